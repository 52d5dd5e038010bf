//! Answers that leave one by one, where the system takes no batches.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use quinn_udp::{Transmit, UdpSocketState};
use rustix::event::{PollFd, PollFlags, poll};

use crate::proto::tracker::udp::MAX_ANSWER;

/// Answers on their way out of one socket.
pub(super) struct Replies<'s> {
    socket: &'s UdpSocket,
    state: UdpSocketState,
    answer: Vec<u8>,
}

impl<'s> Replies<'s> {
    /// No answers yet.
    ///
    /// # Errors
    /// Whatever the operating system refuses.
    pub(super) fn new(socket: &'s UdpSocket) -> io::Result<Self> {
        Ok(Self {
            socket,
            state: UdpSocketState::new(socket.into())?,
            answer: Vec::with_capacity(MAX_ANSWER),
        })
    }

    /// Sends what `write` writes from `source`; nothing where it writes nothing.
    pub(super) fn add(
        &mut self,
        destination: SocketAddr,
        source: Option<IpAddr>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.answer.clear();
        write(&mut self.answer);
        if self.answer.is_empty() {
            return;
        }
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: &self.answer,
            segment_size: None,
            src_ip: source,
        };
        while let Err(error) = self.state.try_send(self.socket.into(), &transmit) {
            if error.kind() != io::ErrorKind::WouldBlock {
                tracing::debug!(%error, %destination, "an answer could not be sent");
                return;
            }
            let _ = poll(&mut [PollFd::new(self.socket, PollFlags::OUT)], None);
        }
    }

    /// Everything has been sent.
    pub(super) fn send(&mut self) {}
}

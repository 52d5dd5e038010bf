//! Answers that leave in one batch, each from the address that its question was sent to.

use std::io::{self, IoSlice};
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use rustix::event::{PollFd, PollFlags, poll};

use crate::proto::tracker::udp::MAX_ANSWER;

/// Answers in a batch, at most.
const BATCH: usize = 64;

/// Answers on their way out of one socket.
pub(super) struct Replies<'s> {
    socket: &'s UdpSocket,
    headers: MultiHeaders<SockaddrStorage>,
    /// Room for answers; the first [`destinations`](Self::destinations) of them are filled.
    answers: Vec<Vec<u8>>,
    destinations: Vec<Option<SockaddrStorage>>,
    /// Where all answers of the batch leave from: one address, for machines have few.
    source: Source,
}

/// An address to send from, in the family of the socket; the unspecified one leaves it to the system.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

impl<'s> Replies<'s> {
    /// No answers yet.
    ///
    /// # Errors
    /// Where the socket has no address.
    pub(super) fn new(socket: &'s UdpSocket) -> io::Result<Self> {
        // What is put into a header has to fill it, so its size depends on the socket's family.
        let (source, room) = match socket.local_addr()? {
            SocketAddr::V4(_) => (
                Source::V4(Ipv4Addr::UNSPECIFIED),
                nix::cmsg_space!(in_pktinfo),
            ),
            SocketAddr::V6(_) => (
                Source::V6(Ipv6Addr::UNSPECIFIED),
                nix::cmsg_space!(in6_pktinfo),
            ),
        };
        Ok(Self {
            socket,
            headers: MultiHeaders::preallocate(BATCH, Some(room)),
            answers: iter::repeat_with(|| Vec::with_capacity(MAX_ANSWER))
                .take(BATCH)
                .collect(),
            destinations: Vec::with_capacity(BATCH),
            source,
        })
    }

    /// Adds what `write` writes, to leave from `source`; nothing where it writes nothing.
    pub(super) fn add(
        &mut self,
        destination: SocketAddr,
        source: Option<IpAddr>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let source = match (self.source, source) {
            (Source::V4(_), Some(IpAddr::V4(ip))) => Source::V4(ip),
            (Source::V4(_), _) => Source::V4(Ipv4Addr::UNSPECIFIED),
            (Source::V6(_), Some(IpAddr::V6(ip))) => Source::V6(ip),
            (Source::V6(_), Some(IpAddr::V4(ip))) => Source::V6(ip.to_ipv6_mapped()),
            (Source::V6(_), None) => Source::V6(Ipv6Addr::UNSPECIFIED),
        };
        if self.destinations.len() == BATCH || self.source != source {
            self.send();
            self.source = source;
        }
        let answer = &mut self.answers[self.destinations.len()];
        answer.clear();
        write(answer);
        if !answer.is_empty() {
            self.destinations.push(Some(destination.into()));
        }
    }

    /// Sends everything.
    pub(super) fn send(&mut self) {
        let mut sent = 0;
        while sent < self.destinations.len() {
            match self.send_from(sent) {
                Ok(count) => sent += count,
                Err(Errno::EAGAIN) => {
                    let mut ready = [PollFd::new(self.socket, PollFlags::OUT)];
                    let _ = poll(&mut ready, None);
                }
                Err(Errno::EINTR) => {}
                Err(error) => {
                    // It is the first's fault; the others are tried without it.
                    tracing::debug!(%error, "an answer could not be sent");
                    sent += 1;
                }
            }
        }
        self.destinations.clear();
    }

    fn send_from(&mut self, first: usize) -> Result<usize, Errno> {
        let slices: Vec<_> = self.answers[first..]
            .iter()
            .map(|answer| [IoSlice::new(answer)])
            .collect();
        let destinations = &self.destinations[first..];
        let (v4, v6);
        let source = match self.source {
            Source::V4(ip) => {
                v4 = in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr {
                        s_addr: u32::from_ne_bytes(ip.octets()),
                    },
                    ipi_addr: in_addr { s_addr: 0 },
                };
                [ControlMessage::Ipv4PacketInfo(&v4)]
            }
            Source::V6(ip) => {
                v6 = in6_pktinfo {
                    ipi6_ifindex: 0,
                    ipi6_addr: in6_addr {
                        s6_addr: ip.octets(),
                    },
                };
                [ControlMessage::Ipv6PacketInfo(&v6)]
            }
        };
        let socket = self.socket.as_raw_fd();
        let sent = sendmmsg(
            socket,
            &mut self.headers,
            &slices,
            destinations,
            source,
            MsgFlags::empty(),
        )?;
        Ok(sent.count())
    }
}

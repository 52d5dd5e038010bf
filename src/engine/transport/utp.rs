//! uTP on a socket for packets that others use too (BEP 29).
//!
//! librqbit-utp does the protocol. It is given the packets that somebody else has told apart, through a bounded channel, and sends through the shared socket
//! without waiting: a packet that the system does not take is lost, as packets are.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use librqbit_dualstack_sockets::PollSendToVectored;
use librqbit_utp::{SocketOpts, Transport, UtpSocket, UtpSocketUdp, UtpStream};
use socket2::SockRef;
use tokio::io::{AsyncWrite, AsyncWriteExt, Interest};
use tokio::sync::{Mutex, mpsc};
use tokio_util::io::poll_read_buf;
use tokio_util::sync::CancellationToken;

/// A packet, and where it came from.
pub type Datagram = (SocketAddr, Vec<u8>);

/// Packets on their way from the socket; where there are more, they are lost.
const PACKETS: usize = 1_024;

/// Bytes that a connection keeps for its reader, and says that it takes, at most.
const RECEIVE_WINDOW: NonZeroUsize = NonZeroUsize::new(128 * 1024).unwrap();

/// Bytes that a connection has under way, at most.
const SEND_WINDOW: NonZeroUsize = NonZeroUsize::new(512 * 1024).unwrap();

/// Bytes that are read ahead or held for the next try to write.
const AHEAD: usize = 16 * 1024;

/// uTP on a shared socket.
pub struct UtpPort {
    socket: Arc<UtpSocket<SharedSocket, Surroundings>>,
}

/// The clock and the randomness that the library takes by itself. It exports no name for them.
type Surroundings = <UtpSocketUdp as Environment>::Type;

trait Environment {
    type Type;
}

impl<T, E> Environment for UtpSocket<T, E> {
    type Type = E;
}

impl UtpPort {
    /// Begins uTP beside the other uses of `socket`; the sender takes the packets for it.
    ///
    /// # Errors
    /// Whatever the operating system refuses.
    pub fn open(
        socket: &UdpSocket,
        options: &crate::engine::Options,
        shutdown: &CancellationToken,
    ) -> io::Result<(Self, mpsc::Sender<Datagram>)> {
        let (sender, receiver) = mpsc::channel(PACKETS);
        let shared = SharedSocket {
            address: socket.local_addr()?,
            socket: socket.try_clone()?,
            incoming: Mutex::new(receiver),
        };
        let bounds = SocketOpts {
            vsock_rx_bufsize_bytes: Some(RECEIVE_WINDOW),
            vsock_tx_bufsize_bytes_max: Some(SEND_WINDOW),
            remote_inactivity_timeout: Some(Duration::from_secs(options.idle_timeout)),
            // As with TCP: what is written together goes out together, and at once.
            disable_nagle: true,
            max_live_vsocks: NonZeroUsize::new(options.connections + options.utp_undecided),
            cancellation_token: shutdown.child_token(),
            ..SocketOpts::default()
        };
        let socket = UtpSocket::new_with_opts(shared, Surroundings::default(), bounds)
            .map_err(io::Error::other)?;
        Ok((Self { socket }, sender))
    }

    /// Waits for the next peer that connects. `None` at the end. Cancel-safe.
    pub(crate) async fn accept(&self) -> Option<UtpStream> {
        self.socket.accept().await.ok()
    }
}

/// A socket whose packets somebody else receives.
struct SharedSocket {
    socket: UdpSocket,
    address: SocketAddr,
    /// Only the library's one dispatcher locks it.
    incoming: Mutex<mpsc::Receiver<Datagram>>,
}

impl SharedSocket {
    fn send(&self, slices: &[IoSlice<'_>], target: SocketAddr) -> io::Result<usize> {
        match SockRef::from(&self.socket).send_to_vectored(slices, &target.into()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Ok(slices.iter().map(|slice| slice.len()).sum())
            }
            sent => sent,
        }
    }
}

impl PollSendToVectored for SharedSocket {
    fn poll_send_to_vectored(
        &self,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.send(slices, target))
    }
}

impl Transport for SharedSocket {
    async fn recv_from<'a>(&'a self, buffer: &'a mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let Some((source, packet)) = self.incoming.lock().await.recv().await else {
            return std::future::pending().await;
        };
        let length = packet.len().min(buffer.len());
        buffer[..length].copy_from_slice(&packet[..length]);
        Ok((length, source))
    }

    async fn send_to<'a>(&'a self, packet: &'a [u8], target: SocketAddr) -> io::Result<usize> {
        self.send(&[IoSlice::new(packet)], target)
    }

    fn poll_send_to(
        &self,
        _: &mut Context<'_>,
        packet: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.send(&[IoSlice::new(packet)], target))
    }

    fn bind_addr(&self) -> SocketAddr {
        self.address
    }
}

/// A uTP connection that is asked like a socket that does not block.
pub(super) struct UtpPeer {
    stream: UtpStream,
    /// What was read while waiting.
    ahead: BytesMut,
    is_ended: bool,
    /// The beginning of what could not be written, to be tried again while waiting.
    offered: Vec<u8>,
    /// How much of that was written while waiting.
    taken: usize,
}

impl UtpPeer {
    pub(super) fn new(stream: UtpStream) -> Self {
        Self {
            stream,
            ahead: BytesMut::new(),
            is_ended: false,
            offered: Vec::new(),
            taken: 0,
        }
    }

    pub(super) async fn ready(&mut self, interest: Interest) -> io::Result<bool> {
        std::future::poll_fn(|cx| self.poll_ready(interest, cx)).await
    }

    fn poll_ready(&mut self, interest: Interest, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let is_readable = interest.is_readable() && self.poll_readable(cx)?.is_ready();
        let is_writable = interest.is_writable() && self.poll_writable(cx)?.is_ready();
        if is_readable || is_writable {
            Poll::Ready(Ok(is_readable))
        } else {
            Poll::Pending
        }
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() && !self.is_ended {
            self.ahead.reserve(AHEAD);
            let read = poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.ahead);
            if read.is_pending() {
                // Idle peers shall cost little.
                self.ahead = BytesMut::new();
            }
            self.is_ended = std::task::ready!(read)? == 0;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.taken == 0 && !self.offered.is_empty() {
            let stream = Pin::new(&mut self.stream);
            self.taken = std::task::ready!(stream.poll_write(cx, &self.offered))?;
            self.offered = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.taken > 0 {
            let taken = self.taken.min(bytes.len());
            self.taken -= taken;
            return Ok(taken);
        }
        if !self.offered.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut nobody = Context::from_waker(Waker::noop());
        match Pin::new(&mut self.stream).poll_write(&mut nobody, bytes) {
            Poll::Ready(written) => written,
            Poll::Pending => {
                self.offered = bytes[..bytes.len().min(AHEAD)].to_vec();
                Err(io::ErrorKind::WouldBlock.into())
            }
        }
    }

    /// Waits until the peer has everything.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.stream.flush().await
    }

    pub(super) fn try_read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if !self.ahead.is_empty() {
            let room = buffer.capacity() - buffer.len();
            let count = self.ahead.len().min(room.max(1));
            buffer.extend_from_slice(&self.ahead[..count]);
            self.ahead.advance(count);
            return Ok(count);
        }
        if self.is_ended {
            return Ok(0);
        }
        let mut nobody = Context::from_waker(Waker::noop());
        match poll_read_buf(Pin::new(&mut self.stream), &mut nobody, buffer) {
            Poll::Ready(count) => count,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

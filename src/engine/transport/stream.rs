//! What carries a peer's bytes: TCP or uTP, encrypted or not.
//!
//! It is asked like a socket that does not block. A plain TCP connection costs two comparisons for each call; an encrypted one decrypts what it reads where it lies, and
//! encrypts what it writes into a buffer of its own.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::BytesMut;
use librqbit_utp::UtpStream;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::utp::UtpPeer;
use crate::engine::figures::Manner;
use crate::proto::wire::encryption::{Keystream, Keystreams};

/// Bytes that are encrypted ahead of the socket, at most.
const ENCRYPTED_AHEAD: usize = 64 * 1024;

/// A peer's connection.
pub(crate) struct Stream {
    carrier: Carrier,
    encryption: Option<Box<Encryption>>,
}

enum Carrier {
    Tcp(TcpStream),
    Utp(Box<UtpPeer>),
}

struct Encryption {
    incoming: Keystream,
    outgoing: Outgoing,
}

/// The bytes that are offered next, as far as they are encrypted already: the socket took only those before them.
struct Outgoing {
    keystream: Keystream,
    encrypted: Vec<u8>,
    sent: usize,
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        let _ = tcp.set_nodelay(true);
        Self {
            carrier: Carrier::Tcp(tcp),
            encryption: None,
        }
    }
}

impl From<UtpStream> for Stream {
    fn from(utp: UtpStream) -> Self {
        Self {
            carrier: Carrier::Utp(Box::new(UtpPeer::new(utp))),
            encryption: None,
        }
    }
}

impl Carrier {
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => until_would_block(tcp, Interest::WRITABLE, bytes.len(), || {
                tcp.try_write(bytes)
            }),
            Self::Utp(utp) => utp.try_write(bytes),
        }
    }
}

impl Stream {
    /// Goes on encrypted.
    pub(super) fn encrypt(&mut self, keystreams: Keystreams) {
        self.encryption = Some(Box::new(Encryption {
            incoming: keystreams.incoming,
            outgoing: Outgoing {
                keystream: keystreams.outgoing,
                encrypted: Vec::new(),
                sent: 0,
            },
        }));
    }

    /// How the peer is connected.
    pub(crate) const fn manner(&self) -> Manner {
        match (&self.carrier, &self.encryption) {
            (Carrier::Tcp(_), None) => Manner::Tcp,
            (Carrier::Tcp(_), Some(_)) => Manner::EncryptedTcp,
            (Carrier::Utp(_), None) => Manner::Utp,
            (Carrier::Utp(_), Some(_)) => Manner::EncryptedUtp,
        }
    }

    /// Our end of the connection; `None` where it is not known, as with uTP.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match &self.carrier {
            Carrier::Tcp(tcp) => tcp.local_addr().ok(),
            Carrier::Utp(_) => None,
        }
    }

    /// Waits until it may be read or written, as `interest` says; says whether it may be read. Cancel-safe.
    pub(crate) async fn ready(&mut self, interest: Interest) -> io::Result<bool> {
        match &mut self.carrier {
            Carrier::Tcp(tcp) => poll_fn(|cx| poll_ready(tcp, interest, cx)).await,
            Carrier::Utp(utp) => utp.ready(interest).await,
        }
    }

    /// Writes as much as goes without waiting, and says how much that was. What was not taken must be offered again before anything else.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.encryption {
            None => self.carrier.try_write(bytes),
            Some(encryption) => encryption.outgoing.try_write(&mut self.carrier, bytes),
        }
    }

    /// Reads as much as is there, up to the room in `buffer`; nothing at the end of the stream.
    pub(crate) fn try_read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        let before = buffer.len();
        let count = match &mut self.carrier {
            Carrier::Tcp(tcp) => {
                let room = buffer.capacity() - before;
                until_would_block(tcp, Interest::READABLE, room, || tcp.try_read_buf(buffer))?
            }
            Carrier::Utp(utp) => utp.try_read_buf(buffer)?,
        };
        if let Some(encryption) = &mut self.encryption {
            encryption.incoming.apply(&mut buffer[before..]);
        }
        Ok(count)
    }

    /// Waits for more bytes.
    pub(crate) async fn receive(&mut self, buffer: &mut BytesMut) -> io::Result<()> {
        loop {
            self.ready(Interest::READABLE).await?;
            buffer.reserve(1);
            match self.try_read_buf(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes everything.
    pub(super) async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready(Interest::WRITABLE).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sees to it that what is written next does not share a packet with what was written before: over uTP it waits for the peer to have that.
    /// TCP has no such packets.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        match &mut self.carrier {
            Carrier::Tcp(_) => Ok(()),
            Carrier::Utp(utp) => utp.flush().await,
        }
    }
}

/// As [`TcpStream::ready`], which needs a hundred bytes more while it waits.
fn poll_ready(tcp: &TcpStream, interest: Interest, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
    let is_readable = interest.is_readable() && tcp.poll_read_ready(cx)?.is_ready();
    let is_writable = interest.is_writable() && tcp.poll_write_ready(cx)?.is_ready();
    if is_readable || is_writable {
        Poll::Ready(Ok(is_readable))
    } else {
        Poll::Pending
    }
}

/// Moves bytes once. Where fewer were moved than there was `room` for, the socket has no more for now; it is noted as not ready, and is spared the
/// call that would only say so.
fn until_would_block(
    tcp: &TcpStream,
    interest: Interest,
    room: usize,
    mut transfer: impl FnMut() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut count = 0;
    let outcome = tcp.try_io(interest, || {
        count = transfer()?;
        if 0 < count && count < room {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    });
    match outcome {
        Err(error) if count == 0 => Err(error),
        _ => Ok(count),
    }
}

impl Outgoing {
    fn try_write(&mut self, carrier: &mut Carrier, bytes: &[u8]) -> io::Result<usize> {
        if self.sent == self.encrypted.len() {
            let next = &bytes[..bytes.len().min(ENCRYPTED_AHEAD)];
            self.encrypted.clear();
            self.encrypted.extend_from_slice(next);
            self.keystream.apply(&mut self.encrypted);
            self.sent = 0;
        }
        let written = carrier.try_write(&self.encrypted[self.sent..])?;
        self.sent += written;
        if self.sent == self.encrypted.len() && written == bytes.len() {
            // Idle peers shall cost little.
            self.encrypted = Vec::new();
            self.sent = 0;
        }
        Ok(written)
    }
}

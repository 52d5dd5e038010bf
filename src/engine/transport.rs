//! A TCP stream becomes a peer: the handshake, in and out (BEP 3).

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::proto::id::{InfoHash, PeerId};
use crate::proto::wire::handshake::{self, Handshake, Reserved};

/// Bytes of a handshake up to and with the info-hash: enough to know what the peer wants.
const UP_TO_INFO_HASH: usize = 48;

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// It took too long.
    #[error("the handshake took too long")]
    Timeout,
    /// The bytes are of another protocol.
    #[error("the peer does not speak BitTorrent")]
    NotBitTorrent,
    /// The peer wants a torrent that is not here.
    #[error("the peer asks for torrent {0}, which is not here")]
    UnknownTorrent(InfoHash),
    /// The peer is this program itself.
    #[error("the peer is this program itself")]
    Ourselves,
    /// The connection failed.
    #[error("the connection failed during the handshake")]
    Io(#[from] io::Error),
}

/// Answers a peer that connected to us. `received` holds the bytes that came already, and afterwards those behind the handshake.
///
/// `find` says what a torrent's info-hash stands for here, and the handshake to answer with, given what the peer speaks; or nothing.
pub(crate) async fn answer<T>(
    stream: &mut TcpStream,
    received: &mut BytesMut,
    ours: PeerId,
    deadline: Duration,
    find: impl Fn(&InfoHash, Reserved) -> Option<(T, Handshake)>,
) -> Result<(Handshake, T), HandshakeError> {
    let exchange = async {
        receive(stream, received, UP_TO_INFO_HASH).await?;
        // Some clients send their peer id only after our answer, so it goes out as soon as the info-hash is known.
        let (reserved, wanted) = wanted(received).ok_or(HandshakeError::NotBitTorrent)?;
        let (found, answer) =
            find(&wanted, reserved).ok_or(HandshakeError::UnknownTorrent(wanted))?;
        stream.write_all(&answer.encode()).await?;
        let theirs = receive_rest(stream, received, ours).await?;
        Ok((theirs, found))
    };
    timeout(deadline, exchange)
        .await
        .map_err(|_| HandshakeError::Timeout)?
}

/// Greets a peer that we connected to. `received` holds afterwards the bytes behind its handshake.
pub(crate) async fn greet(
    stream: &mut TcpStream,
    received: &mut BytesMut,
    info_hash: InfoHash,
    ours: PeerId,
    deadline: Duration,
) -> Result<Handshake, HandshakeError> {
    let exchange = async {
        stream
            .write_all(&Handshake::ours(info_hash, ours).encode())
            .await?;
        let theirs = receive_rest(stream, received, ours).await?;
        if theirs.info_hash == info_hash {
            Ok(theirs)
        } else {
            Err(HandshakeError::UnknownTorrent(theirs.info_hash))
        }
    };
    timeout(deadline, exchange)
        .await
        .map_err(|_| HandshakeError::Timeout)?
}

async fn receive_rest(
    stream: &mut TcpStream,
    received: &mut BytesMut,
    ours: PeerId,
) -> Result<Handshake, HandshakeError> {
    receive(stream, received, handshake::LENGTH).await?;
    let bytes = received.split_to(handshake::LENGTH);
    let theirs = bytes
        .first_chunk()
        .and_then(Handshake::decode)
        .ok_or(HandshakeError::NotBitTorrent)?;
    if theirs.peer_id == ours {
        Err(HandshakeError::Ourselves)
    } else {
        Ok(theirs)
    }
}

/// Reads until at least `length` bytes are there, but gives up as soon as they cannot be a handshake.
async fn receive(
    stream: &mut TcpStream,
    received: &mut BytesMut,
    length: usize,
) -> Result<(), HandshakeError> {
    while received.len() < length {
        if !handshake::may_begin(received) {
            return Err(HandshakeError::NotBitTorrent);
        }
        if stream.read_buf(received).await? == 0 {
            return Err(HandshakeError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    if handshake::may_begin(received) {
        Ok(())
    } else {
        Err(HandshakeError::NotBitTorrent)
    }
}

/// What the peer speaks, and which torrent it wants to talk about.
fn wanted(received: &[u8]) -> Option<(Reserved, InfoHash)> {
    let reserved = received.get(20..)?.first_chunk::<8>()?;
    let info_hash = InfoHash::try_from(received.get(28..UP_TO_INFO_HASH)?).ok()?;
    Some((Reserved::from(*reserved), info_hash))
}

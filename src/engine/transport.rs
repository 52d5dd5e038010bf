//! A connection becomes a peer: the handshake, in and out (BEP 3), encrypted or not (message stream encryption).

mod stream;
mod utp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) use self::stream::Stream;
pub use self::utp::{Datagram, UtpPort};
use crate::ambient;
use crate::catalog::Catalog;
use crate::domain::publication::PublicationId;
use crate::domain::rate::NetworkRate;
use crate::proto::id::{InfoHash, PeerId};
use crate::proto::wire::encryption::{Answering, Calling, EncryptionError, Methods, TorrentMark};
use crate::proto::wire::handshake::{self, Handshake, Reserved};

/// Bytes of a handshake up to and with the info-hash: enough to know what the peer wants.
const UP_TO_INFO_HASH: usize = 48;

/// Encrypted handshakes that a network may begin at once, beyond its rate.
const KEY_BURST: u32 = 100;

/// Whether connections with peers are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// Peers that connect may do as they like; where they leave the choice, what follows the handshake is plain. Those that we call are tried plainly
    /// first.
    #[default]
    PreferPlain,
    /// Peers that connect may do as they like; where they leave the choice, everything is encrypted. Those that we call are tried encrypted first.
    Prefer,
    /// Everything is encrypted, or there is no connection.
    Require,
}

impl Encryption {
    const fn methods(self) -> Methods {
        match self {
            Self::PreferPlain => Methods::PreferPlain,
            Self::Prefer => Methods::PreferRc4,
            Self::Require => Methods::OnlyRc4,
        }
    }

    /// How a peer that we call is tried, one after the other.
    pub(crate) const fn approaches(self) -> &'static [Approach] {
        match self {
            Self::PreferPlain => &[Approach::Plain, Approach::Encrypted],
            Self::Prefer => &[Approach::Encrypted, Approach::Plain],
            Self::Require => &[Approach::Encrypted],
        }
    }
}

/// How a peer is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Approach {
    Plain,
    Encrypted,
}

/// Why a handshake came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// It took too long.
    #[error("the handshake took too long")]
    Timeout,
    /// The bytes are of another protocol.
    #[error("the peer does not speak BitTorrent")]
    NotBitTorrent,
    /// The peer does not encrypt, and must.
    #[error("the peer does not encrypt, and `peer.encryption` requires it")]
    Plain,
    /// The peer's network begins too many encrypted handshakes.
    #[error("the peer's network begins too many encrypted handshakes")]
    TooMany,
    /// The encrypted handshake failed.
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
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

/// How peers that connect to us are received.
pub(crate) struct Reception {
    peer_id: PeerId,
    /// What our handshakes say that we speak.
    reserved: Reserved,
    deadline: Duration,
    encryption: Encryption,
    /// The arithmetic of keys is the only costly thing that a stranger can ask for.
    keys: Option<NetworkRate>,
    start: Instant,
}

/// A peer that has been received.
pub(crate) struct Received {
    pub(crate) stream: Stream,
    /// The bytes that came behind the handshake.
    pub(crate) rest: BytesMut,
    pub(crate) handshake: Handshake,
    /// What it wants.
    pub(crate) publication: PublicationId,
}

impl Reception {
    pub(crate) fn new(identity: &super::Identity, options: &super::Options) -> Self {
        let reserved = Reserved::OURS;
        Self {
            peer_id: identity.peer_id,
            reserved: match identity.dht {
                Some(_) => reserved.with_dht(),
                None => reserved,
            },
            deadline: Duration::from_secs(options.handshake_timeout),
            encryption: options.encryption,
            keys: NetworkRate::new(options.keys_per_minute, KEY_BURST),
            start: ambient::now(),
        }
    }

    /// Answers a peer that connected to us about a torrent of `catalog`. `received` holds the bytes that came already.
    pub(crate) async fn answer(
        &self,
        stream: Stream,
        received: BytesMut,
        source: IpAddr,
        catalog: &Catalog,
    ) -> Result<Received, HandshakeError> {
        let exchange = self.exchange(stream, received, source, catalog);
        timeout(self.deadline, exchange)
            .await
            .map_err(|_| HandshakeError::Timeout)?
    }

    async fn exchange(
        &self,
        mut stream: Stream,
        mut received: BytesMut,
        source: IpAddr,
        catalog: &Catalog,
    ) -> Result<Received, HandshakeError> {
        if is_plain(&mut stream, &mut received).await? {
            if self.encryption == Encryption::Require {
                return Err(HandshakeError::Plain);
            }
        } else {
            self.agree(&mut stream, &mut received, source, catalog)
                .await?;
        }
        receive(&mut stream, &mut received, UP_TO_INFO_HASH).await?;
        // Some clients send their peer id only after our answer, so it goes out as soon as the info-hash is known.
        let (theirs, wanted) = wanted(&received).ok_or(HandshakeError::NotBitTorrent)?;
        let found = self.answer_to(&wanted, theirs, catalog);
        let (publication, ours) = found.ok_or(HandshakeError::UnknownTorrent(wanted))?;
        stream.send(&ours.encode()).await?;
        // Transmission 3 leaves what came in one uTP packet with the handshake unread until more comes.
        stream.flush().await?;
        let handshake = receive_rest(&mut stream, &mut received, self.peer_id).await?;
        Ok(Received {
            stream,
            rest: received,
            handshake,
            publication,
        })
    }

    /// The publication that a handshake asks for, and the handshake to answer with.
    fn answer_to(
        &self,
        wanted: &InfoHash,
        theirs: Reserved,
        catalog: &Catalog,
    ) -> Option<(PublicationId, Handshake)> {
        let listed = catalog.listed(wanted)?;
        let mut answer = Handshake::ours(*wanted, self.peer_id);
        answer.reserved = self.reserved;
        if let Some(v2) = listed.v2 {
            answer.reserved = answer.reserved.with_v2();
            // BEP 52, "upgrade path": whoever speaks v2 is answered with the v2 name of a hybrid.
            if theirs.has_v2() {
                answer.info_hash = v2;
            }
        }
        Some((listed.id, answer))
    }

    /// Comes to terms with a peer that encrypts.
    async fn agree(
        &self,
        stream: &mut Stream,
        received: &mut BytesMut,
        source: IpAddr,
        catalog: &Catalog,
    ) -> Result<(), HandshakeError> {
        let uptime = ambient::now().saturating_duration_since(self.start);
        if let Some(keys) = &self.keys
            && keys.admit(source, uptime).is_err()
        {
            return Err(HandshakeError::TooMany);
        }
        let mut answering = Answering::new(self.encryption.methods(), &mut ambient::rng());
        let find = |mark: &TorrentMark| catalog.marked(mark);
        let mut out = Vec::new();
        loop {
            let agreed = answering.advance(received, &mut out, find)?;
            stream.send(&out).await?;
            out.clear();
            if let Some(agreement) = agreed {
                if let Some(keystreams) = agreement.keystreams {
                    stream.encrypt(keystreams);
                }
                return Ok(());
            }
            stream.receive(received).await?;
        }
    }
}

/// How peers are called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) info_hash: InfoHash,
    pub(crate) peer_id: PeerId,
    pub(crate) encryption: Encryption,
    /// For the connection.
    pub(crate) connect_timeout: Duration,
    /// For the handshake.
    pub(crate) handshake_timeout: Duration,
}

impl Caller {
    /// Connects to a peer and greets it, in one way after another. Gives the bytes behind its handshake too.
    pub(crate) async fn call(
        &self,
        address: SocketAddr,
    ) -> Result<(Stream, BytesMut, Handshake), HandshakeError> {
        let mut failure = HandshakeError::Plain;
        for approach in self.encryption.approaches() {
            let connected = timeout(self.connect_timeout, TcpStream::connect(address)).await;
            let stream = connected.map_err(|_| HandshakeError::Timeout)??;
            let greeted = timeout(self.handshake_timeout, self.greet(stream.into(), *approach));
            match greeted.await {
                Ok(Ok(greeted)) => return Ok(greeted),
                // In another way it would still be the same peer.
                Ok(Err(
                    error @ (HandshakeError::Ourselves | HandshakeError::UnknownTorrent(_)),
                )) => return Err(error),
                Ok(Err(error)) => failure = error,
                Err(_) => failure = HandshakeError::Timeout,
            }
            tracing::debug!(%address, ?approach, error = %failure, "no handshake in this way");
        }
        Err(failure)
    }

    async fn greet(
        &self,
        mut stream: Stream,
        approach: Approach,
    ) -> Result<(Stream, BytesMut, Handshake), HandshakeError> {
        let mut received = BytesMut::new();
        let ours = Handshake::ours(self.info_hash, self.peer_id).encode();
        match approach {
            Approach::Plain => stream.send(&ours).await?,
            Approach::Encrypted => self.agree(&mut stream, &mut received, &ours).await?,
        }
        let theirs = receive_rest(&mut stream, &mut received, self.peer_id).await?;
        if theirs.info_hash == self.info_hash {
            Ok((stream, received, theirs))
        } else {
            Err(HandshakeError::UnknownTorrent(theirs.info_hash))
        }
    }

    /// Comes to terms about encryption; our handshake goes with the proof.
    async fn agree(
        &self,
        stream: &mut Stream,
        received: &mut BytesMut,
        handshake: &[u8],
    ) -> Result<(), HandshakeError> {
        let mut out = Vec::new();
        let methods = self.encryption.methods();
        let (torrent, payload) = (self.info_hash, handshake.to_vec());
        let mut calling = Calling::new(torrent, methods, payload, &mut out, &mut ambient::rng());
        loop {
            stream.send(&out).await?;
            out.clear();
            stream.receive(received).await?;
            if let Some(agreement) = calling.advance(received, &mut out)? {
                stream.send(&out).await?;
                if let Some(keystreams) = agreement.keystreams {
                    stream.encrypt(keystreams);
                }
                return Ok(());
            }
        }
    }
}

/// Whether the peer begins with a plain handshake; else it may be an encrypted one, which begins with random bytes.
async fn is_plain(stream: &mut Stream, received: &mut BytesMut) -> io::Result<bool> {
    while received.len() < handshake::PROTOCOL.len() && handshake::may_begin(received) {
        stream.receive(received).await?;
    }
    Ok(handshake::may_begin(received))
}

async fn receive_rest(
    stream: &mut Stream,
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
    stream: &mut Stream,
    received: &mut BytesMut,
    length: usize,
) -> Result<(), HandshakeError> {
    while received.len() < length {
        if !handshake::may_begin(received) {
            return Err(HandshakeError::NotBitTorrent);
        }
        stream.receive(received).await?;
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

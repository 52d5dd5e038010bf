//! What the nodes of the DHT say to each other, one message a packet (BEP 5, "KRPC protocol"; BEP 32, 42, 43).
//!
//! A [`Message`] is decoded whole or not at all; what it holds too much of is left out, so that an answer
//! of a stranger is never larger in memory than its packet. Who is asked what, and when, is not known here.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use bytes::Bytes;
use rand::Rng;

use self::compact::{Compact, write_ip};
use super::bencode::{Encoder, Limits, ScanError, Value, scan};
use super::id::InfoHash;

mod compact;
mod secure;

/// Bytes in a packet, at most: what comes through every network in one piece.
pub const MAX_PACKET: usize = 1400;

/// Bytes of a transaction id or a token that are taken, at most.
const MAX_MARK: usize = 64;

/// Nodes of one answer that are taken, at most. BEP 5 gives eight.
const MAX_NODES: usize = 32;

const LIMITS: Limits = Limits {
    length: 4096,
    depth: 8,
    elements: 1000,
};

/// Twenty bytes by which a node names itself. Nodes and info-hashes lie in one space, and are near where they differ late.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId([u8; Self::LENGTH]);

impl NodeId {
    /// Bytes in an id.
    pub const LENGTH: usize = 20;

    /// A fresh id.
    pub fn generate(rng: &mut impl Rng) -> Self {
        let mut id = [0; Self::LENGTH];
        rng.fill_bytes(&mut id);
        Self(id)
    }

    /// The bytes, as they go over the wire.
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// How far another is: less is nearer.
    pub fn distance(&self, other: &Self) -> [u8; Self::LENGTH] {
        let mut distance = self.0;
        for (byte, other) in distance.iter_mut().zip(other.0) {
            *byte ^= other;
        }
        distance
    }

    /// How many bits, from the first one on, are the same in another: 160 in itself.
    pub fn common_bits(&self, other: &Self) -> usize {
        let distance = self.distance(other);
        let whole = distance.iter().take_while(|byte| **byte == 0).count();
        let rest = distance.get(whole).map_or(0, |byte| byte.leading_zeros());
        whole
            .saturating_mul(8)
            .saturating_add(usize::try_from(rest).unwrap_or(0))
    }
}

impl From<[u8; Self::LENGTH]> for NodeId {
    fn from(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }
}

impl From<InfoHash> for NodeId {
    fn from(info_hash: InfoHash) -> Self {
        Self(*info_hash.as_bytes())
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

/// A node and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Its name.
    pub id: NodeId,
    /// Its address.
    pub address: SocketAddr,
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Chosen by who asks, repeated by who answers.
    pub transaction: Bytes,
    /// What is said.
    pub body: Body,
}

/// What a packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A question.
    Query(Query),
    /// An answer to one.
    Answer(Answer),
    /// A refusal: a code of BEP 5 and words.
    Error(u16, String),
}

/// A question to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Who asks.
    pub id: NodeId,
    /// Whether who asks answers nobody itself, and shall not be remembered as a node (BEP 43).
    pub is_read_only: bool,
    /// The families of nodes that are wanted; `None` is that of the packet (BEP 32).
    pub want: Option<Want>,
    /// What is asked.
    pub question: Question,
}

/// Families of addresses that an answer shall have nodes of (BEP 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

/// What a node is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether it is there.
    Ping,
    /// Which nodes it knows near an id.
    FindNode(NodeId),
    /// Which peers of a torrent it knows, or which nodes near it.
    GetPeers(InfoHash),
    /// To remember who asks as a peer of a torrent.
    AnnouncePeer {
        /// The torrent.
        info_hash: InfoHash,
        /// Where the peer listens; `None` is the port that the packet comes from.
        port: Option<NonZeroU16>,
        /// What the node gave to the same address before.
        token: Bytes,
    },
    /// Something that is not known here.
    Other,
}

/// The answer to any question. What a question does not call for is left empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who answers.
    pub id: NodeId,
    /// The address that the question came from, as who answers sees it (BEP 42).
    pub asker: Option<SocketAddr>,
    /// Nodes near what was asked for.
    pub nodes: Vec<Contact>,
    /// Peers of the torrent.
    pub peers: Vec<SocketAddr>,
    /// To be shown with an announce.
    pub token: Option<Bytes>,
}

impl Answer {
    /// An answer that says no more than who gives it.
    pub const fn of(id: NodeId) -> Self {
        Self {
            id,
            asker: None,
            nodes: Vec::new(),
            peers: Vec::new(),
            token: None,
        }
    }
}

/// Why a packet is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is no bencode, or over a limit.
    #[error("the packet is not bencoded")]
    Scan(#[from] ScanError),
    /// Something is missing, or is not what it should be.
    #[error("the message has no sound field {0:?}")]
    Field(&'static str),
}

impl Message {
    /// Reads a packet.
    ///
    /// # Errors
    /// [`MessageError`] where it is none of BEP 5.
    pub fn decode(packet: &[u8]) -> Result<Self, MessageError> {
        let message = scan::lenient(packet, &LIMITS)?.root;
        let transaction = mark(message.get("t")).ok_or(MessageError::Field("t"))?;
        let kind = message.get("y").and_then(Value::as_bytes);
        let body = match kind {
            Some(b"q") => Body::Query(Query::read(message)?),
            Some(b"r") => Body::Answer(Answer::read(message)?),
            Some(b"e") => read_error(message),
            _ => return Err(MessageError::Field("y")),
        };
        Ok(Self { transaction, body })
    }

    /// Writes the packet.
    pub fn encode(&self) -> Vec<u8> {
        let mut packet = Vec::new();
        let mut out = Encoder::new(&mut packet);
        out.begin_dict();
        match &self.body {
            Body::Query(query) => query.write(&mut out, &self.transaction),
            Body::Answer(answer) => answer.write(&mut out, &self.transaction),
            Body::Error(code, words) => {
                out.key("e").begin_list();
                out.unsigned((*code).into()).text(words).end();
                out.key("t").bytes(&self.transaction);
                out.key("y").text("e");
            }
        }
        out.end();
        packet
    }
}

impl Query {
    fn read(message: Value<'_>) -> Result<Self, MessageError> {
        let arguments = message.get("a").ok_or(MessageError::Field("a"))?;
        let method = message.get("q").and_then(Value::as_bytes);
        let question = match method.ok_or(MessageError::Field("q"))? {
            b"ping" => Question::Ping,
            b"find_node" => Question::FindNode(id(arguments, "target")?.into()),
            b"get_peers" => Question::GetPeers(id(arguments, "info_hash")?.into()),
            b"announce_peer" => Question::AnnouncePeer {
                info_hash: id(arguments, "info_hash")?.into(),
                port: port(arguments)?,
                token: mark(arguments.get("token")).ok_or(MessageError::Field("token"))?,
            },
            _ => Question::Other,
        };
        Ok(Self {
            id: id(arguments, "id")?.into(),
            is_read_only: message.get("ro").and_then(Value::as_integer) == Some(1),
            want: arguments.get("want").and_then(Want::read),
            question,
        })
    }

    fn write(&self, out: &mut Encoder<'_>, transaction: &[u8]) {
        out.key("a").begin_dict();
        out.key("id").bytes(self.id.as_bytes());
        let method = match &self.question {
            Question::Ping => "ping",
            Question::FindNode(target) => {
                out.key("target").bytes(target.as_bytes());
                "find_node"
            }
            Question::GetPeers(info_hash) => {
                out.key("info_hash").bytes(info_hash.as_bytes());
                "get_peers"
            }
            Question::AnnouncePeer {
                info_hash,
                port,
                token,
            } => {
                out.key("implied_port").unsigned(port.is_none().into());
                out.key("info_hash").bytes(info_hash.as_bytes());
                // Some nodes refuse an announce without a port, even where it does not count.
                let port = port.map_or(1, NonZeroU16::get);
                out.key("port").unsigned(port.into());
                out.key("token").bytes(token);
                "announce_peer"
            }
            Question::Other => "",
        };
        if let Some(want) = self.want {
            out.key("want").begin_list();
            for (is_wanted, family) in [(want.v4, "n4"), (want.v6, "n6")] {
                if is_wanted {
                    out.text(family);
                }
            }
            out.end();
        }
        out.end();
        out.key("q").text(method);
        if self.is_read_only {
            out.key("ro").unsigned(1);
        }
        out.key("t").bytes(transaction);
        out.key("y").text("q");
    }
}

impl Want {
    /// Whether an address is of a family that is wanted.
    pub const fn covers(self, address: SocketAddr) -> bool {
        if address.is_ipv4() { self.v4 } else { self.v6 }
    }

    fn read(value: Value<'_>) -> Option<Self> {
        let mut want = Self {
            v4: false,
            v6: false,
        };
        for family in value.list()? {
            match family.as_bytes() {
                Some(b"n4") => want.v4 = true,
                Some(b"n6") => want.v6 = true,
                _ => {}
            }
        }
        (want.v4 || want.v6).then_some(want)
    }
}

impl Answer {
    fn read(message: Value<'_>) -> Result<Self, MessageError> {
        let values = message.get("r").ok_or(MessageError::Field("r"))?;
        let bytes = |key| values.get(key).and_then(Value::as_bytes);
        let v4 = compact::read_nodes::<[u8; 6]>(bytes("nodes").unwrap_or_default());
        let v6 = compact::read_nodes::<[u8; 18]>(bytes("nodes6").unwrap_or_default());
        let peers = values.get("values").and_then(Value::list);
        let peers = peers.into_iter().flatten().filter_map(Value::as_bytes);
        Ok(Self {
            id: id(values, "id")?.into(),
            asker: message
                .get("ip")
                .and_then(Value::as_bytes)
                .and_then(compact::read),
            nodes: v4.take(MAX_NODES).chain(v6.take(MAX_NODES)).collect(),
            peers: peers.filter_map(compact::read).collect(),
            token: mark(values.get("token")),
        })
    }

    fn write(&self, out: &mut Encoder<'_>, transaction: &[u8]) {
        if let Some(asker) = self.asker {
            out.key("ip").bytes(&Compact::of(asker));
        }
        out.key("r").begin_dict();
        out.key("id").bytes(self.id.as_bytes());
        for (key, is_v4) in [("nodes", true), ("nodes6", false)] {
            let nodes = self.nodes.iter();
            let nodes: Vec<_> = nodes
                .filter(|node| node.address.is_ipv4() == is_v4)
                .collect();
            if !nodes.is_empty() {
                let mut bytes = Vec::new();
                for node in nodes {
                    bytes.extend(node.id.as_bytes());
                    write_ip(node.address.ip(), &mut bytes);
                    bytes.extend(node.address.port().to_be_bytes());
                }
                out.key(key).bytes(&bytes);
            }
        }
        if let Some(token) = &self.token {
            out.key("token").bytes(token);
        }
        if !self.peers.is_empty() {
            out.key("values").begin_list();
            for peer in &self.peers {
                out.bytes(&Compact::of(*peer));
            }
            out.end();
        }
        out.end();
        out.key("t").bytes(transaction);
        out.key("y").text("r");
    }
}

/// An error's words are for a log: what of them is not sound is left out.
fn read_error(message: Value<'_>) -> Body {
    let mut fields = message.get("e").and_then(Value::list).into_iter().flatten();
    let code = fields.next().and_then(Value::as_integer);
    let words = fields.next().and_then(Value::as_text).unwrap_or_default();
    let code = code.and_then(|code| u16::try_from(code).ok());
    let words = words.chars().filter(|c| !c.is_control()).take(200);
    Body::Error(code.unwrap_or_default(), words.collect())
}

fn id(fields: Value<'_>, key: &'static str) -> Result<[u8; 20], MessageError> {
    let bytes = fields.get(key).and_then(Value::as_bytes);
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(MessageError::Field(key))
}

fn port(arguments: Value<'_>) -> Result<Option<NonZeroU16>, MessageError> {
    let integer = |key| arguments.get(key).and_then(Value::as_integer);
    if integer("implied_port").is_some_and(|implied| implied != 0) {
        return Ok(None);
    }
    let port = integer("port").and_then(|port| u16::try_from(port).ok());
    let port = port.and_then(NonZeroU16::new);
    port.map(Some).ok_or(MessageError::Field("port"))
}

/// A transaction id or a token: bytes of its maker's choice.
fn mark(value: Option<Value<'_>>) -> Option<Bytes> {
    let bytes = value.and_then(Value::as_bytes)?;
    (bytes.len() <= MAX_MARK).then(|| Bytes::copy_from_slice(bytes))
}

/// Whether a node or peer could be at such an address.
pub(crate) fn is_possible(address: SocketAddr) -> bool {
    let ip = address.ip();
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

#[cfg(test)]
mod tests;

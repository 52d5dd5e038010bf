//! The peer engine: published torrents to peers, and torrents from peers (BEP 3, 6, 9, 10, 11, 52).
//!
//! | module | what |
//! |---|---|
//! | `transport` | a connection over TCP or uTP becomes a peer: the handshake, in and out, encrypted or not |
//! | `connection` | one peer: the loop between its socket and its `Session` |
//! | `figures` | what the seed does, in numbers |
//! | `limits` | how many connections there may be, and how fast content leaves |
//! | `metadata` | the `info` dictionary for magnet links |
//! | `hashes` | merkle hashes and their proofs, for those who have a v2 torrent's roots |
//! | `leech` | one download: peers, picker, progress |
//! | `verify` | pieces held against their hashes, on their way to the disk and back |
//! | `seed` | published torrents: woken by their first peer, asleep after their last |

pub(crate) mod connection;
pub mod figures;
pub(crate) mod hashes;
pub mod leech;
pub(crate) mod limits;
pub(crate) mod metadata;
pub mod seed;
pub(crate) mod transport;
pub(crate) mod verify;

use serde::{Deserialize, Serialize};

use crate::domain::{choker, session};

pub use figures::{Census, Count, Figures, Manner};
pub use seed::{DhtNode, Engine, Identity};
pub use transport::{Datagram, Encryption, UtpPort};

/// The bounds of the peer engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// An address with a port of their own for peers, beside the one port; empty for none.
    pub listen: String,
    /// The host, or host and port, under which the tracker hands out this server's own seed; empty for the host of the public
    /// address, and the port that peers are let in by; `none` for nowhere.
    pub advertise: String,
    /// Peers that may be connected, in all.
    pub connections: usize,
    /// Peers that may be connected from one address.
    pub connections_per_address: usize,
    /// Peers of one torrent that may be connected.
    pub connections_per_torrent: usize,
    /// Seconds that a peer may want nothing before it makes room for others, where all places are taken.
    pub idle_patience: u64,
    /// Peers of one torrent that may request at the same time; 0 for as many as the line carries, found by trying.
    pub upload_slots: usize,
    /// Whether connections with peers are encrypted.
    pub encryption: Encryption,
    /// Encrypted handshakes that a network (an IPv4 address, an IPv6 /64) may begin in a minute; 0 for no bound. Each costs arithmetic.
    pub keys_per_minute: u32,
    /// Whether peers may come over uTP too, by the port of the UDP tracker.
    pub utp: bool,
    /// uTP connections that have said nothing yet, in all.
    pub utp_undecided: usize,
    /// Seconds that a peer keeps its slot while others wait.
    pub slot_turn: u64,
    /// Bytes of content a second that go to peers, in all; 0 for no bound.
    pub upload_rate: u64,
    /// Bytes of content a second that go to the peers of one torrent; 0 for no bound.
    pub upload_rate_per_torrent: u64,
    /// Bytes of content a second that go to one IPv4 address or one IPv6 /64; 0 for no bound.
    pub upload_rate_per_network: u64,
    /// Seconds in which a handshake must be complete.
    pub handshake_timeout: u64,
    /// Seconds without a message after which a peer is taken for gone.
    pub idle_timeout: u64,
    /// Seconds that a peer may leave what we sent unread.
    pub write_timeout: u64,
    /// Requests that a peer may have waiting.
    pub max_requests: usize,
    /// Requests that are refused beyond those that are answered, after which a peer is left.
    pub max_refusals: usize,
    /// Whether peers of one torrent are introduced to each other (BEP 11).
    pub exchange_peers: bool,
    /// Whether the seed tells each piece to one peer alone, so that hardly more than one copy leaves it (BEP 16).
    pub super_seeding: bool,
    /// Bytes that are read ahead and not yet sent, for each peer, at most.
    pub send_buffer: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: String::new(),
            advertise: String::new(),
            connections: 2_000,
            connections_per_address: 32,
            connections_per_torrent: 1_000,
            idle_patience: 30,
            upload_slots: 64,
            slot_turn: 30,
            upload_rate: 0,
            upload_rate_per_torrent: 0,
            upload_rate_per_network: 0,
            encryption: Encryption::default(),
            keys_per_minute: 600,
            utp: true,
            utp_undecided: 256,
            handshake_timeout: 10,
            idle_timeout: 180,
            write_timeout: 30,
            max_requests: 500,
            max_refusals: 2000,
            exchange_peers: true,
            super_seeding: false,
            send_buffer: 256 * 1024,
        }
    }
}

impl Options {
    fn session(&self) -> session::Options {
        session::Options {
            max_requests: self.max_requests,
            max_refusals: self.max_refusals,
            idle_timeout: self.idle_timeout,
            ..session::Options::default()
        }
    }

    const fn choker(&self) -> choker::Options {
        choker::Options {
            slots: self.upload_slots,
            turn: self.slot_turn,
        }
    }
}

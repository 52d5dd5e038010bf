//! The WebSocket tracker: peers in browsers, who meet by offers and answers that are passed on and never kept.
//!
//! | module | what |
//! |---|---|
//! | `rooms` | who is in which swarm |
//! | `line` | the way to a socket, bounded |
//! | `socket` | one connection: decode, ask the service, encode, and nothing else |

mod line;
pub(super) mod rooms;
mod socket;

use serde::{Deserialize, Serialize};

pub use socket::WsTracker;

/// How the tracker treats peers that come over WebSockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Whether torrents and magnet links name it.
    pub in_torrents: bool,
    /// Origins of the pages that may use it; empty: all. Programs, which name no origin, always may.
    pub origins: Vec<String>,
    /// Seconds between a peer's announces. Each answer adds up to a tenth.
    pub interval: u32,
    /// Seconds without an announce or scrape after which a socket is closed.
    pub idle_timeout: u32,
    /// Seconds between the pings that keep proxies from closing a socket, and find those whose peer is gone.
    pub ping_interval: u32,
    /// Sockets that may be open, in all.
    pub sockets: usize,
    /// Sockets that may be open from one IPv4 address or one IPv6 /64.
    pub sockets_per_address: usize,
    /// Torrents that a socket may be active in.
    pub torrents_per_socket: usize,
    /// Peers in all swarms together.
    pub peers: usize,
    /// Bytes in a message, at most.
    pub message_bytes: usize,
    /// Offers of an announce that are passed on, at most.
    pub offers: usize,
    /// Bytes that may wait for a reader that is slower than those who send to it; what is more is lost.
    pub queue_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            in_torrents: true,
            origins: Vec::new(),
            interval: 2 * 60,
            idle_timeout: 10 * 60,
            ping_interval: 30,
            sockets: 4_096,
            sockets_per_address: 64,
            torrents_per_socket: 1_000,
            peers: 200_000,
            message_bytes: 64 * 1024,
            offers: 10,
            queue_bytes: 128 * 1024,
        }
    }
}

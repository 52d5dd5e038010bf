//! What a publisher can set of the tracker.

use serde::{Deserialize, Serialize};

use super::admission::Mode;
use super::deny::Denial;
use super::ws;

/// How the tracker treats peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// An address with a port of its own for the UDP tracker; empty: the one port.
    pub udp_listen: String,
    /// Which torrents are tracked, and for whom: `published`, `open` or `private`.
    pub mode: Mode,
    /// Info-hashes and networks that are not served.
    pub deny: Vec<Denial>,
    /// A file with more of them, one a line, read again when it changes; empty for none.
    pub deny_file: String,
    /// Announces and scrapes a minute that one IPv4 address or one IPv6 /64 may send over longer times; zero for any number.
    pub announces_per_minute: u32,
    /// How many of them it may send at once.
    pub announce_burst: u32,
    /// Peers of one torrent at one private address from which on it is taken for a gateway that stands for them; zero for never.
    pub gateway_peers: usize,
    /// Whether a peer that asks from a private network may say with `ip` that it is at another address.
    pub ip_from_private_networks: bool,
    /// Seconds between a peer's announces. Each answer adds up to a tenth, so that peers do not come in waves.
    pub interval: u32,
    /// Seconds that a peer must wait even where it is out of peers.
    pub min_interval: u32,
    /// Seconds that a peer may be late before it is forgotten.
    pub grace: u32,
    /// Peers in an answer where the client does not say how many it wants.
    pub numwant: u32,
    /// Peers in an answer, at most.
    pub numwant_max: u32,
    /// Peers of a torrent, at most, IPv4 and IPv6 each; the oldest make room.
    pub peers_per_torrent: usize,
    /// Peers of a torrent at one IPv4 address or in one IPv6 /64, at most; the oldest makes room.
    pub peers_per_address: usize,
    /// Torrents that one IPv4 address or one IPv6 /64 may be active in.
    pub torrents_per_address: u32,
    /// Peers of all torrents, at most; the oldest make room.
    pub peers: usize,
    /// Torrents that are tracked without being published here, at most; those that were silent for longest make room.
    pub unpublished_torrents: usize,
    /// Seconds between two savings of all swarms to the data directory, from where a restart takes them up.
    pub save_interval: u64,
    /// Peers that come over WebSockets.
    pub websocket: ws::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            udp_listen: String::new(),
            mode: Mode::Published,
            deny: Vec::new(),
            deny_file: String::new(),
            announces_per_minute: 6_000,
            announce_burst: 60_000,
            gateway_peers: 20,
            ip_from_private_networks: false,
            interval: 30 * 60,
            min_interval: 5 * 60,
            grace: 10 * 60,
            numwant: 50,
            numwant_max: 200,
            peers_per_torrent: 100_000,
            peers_per_address: 128,
            torrents_per_address: 20_000,
            peers: 2_000_000,
            unpublished_torrents: 1_000_000,
            save_interval: 5 * 60,
            websocket: ws::Options::default(),
        }
    }
}

impl Options {
    /// What is added to the interval, at most, in seconds.
    pub(super) const fn jitter(&self) -> u32 {
        self.interval / 10
    }

    /// Seconds of silence after which a peer is gone.
    pub(super) const fn lifetime(&self) -> u32 {
        self.interval
            .saturating_add(self.jitter())
            .saturating_add(self.grace)
    }
}

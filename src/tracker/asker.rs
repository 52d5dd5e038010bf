//! Who asks the tracker, as its door saw it.

use std::net::IpAddr;

/// Somebody who announces or scrapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Where the question came from. An IPv4-mapped address counts as IPv4.
    pub ip: IpAddr,
    /// The way in.
    pub door: Door,
}

impl Asker {
    /// Somebody at `ip` who came in by `door`.
    pub const fn new(ip: IpAddr, door: Door) -> Self {
        Self {
            ip: ip.to_canonical(),
            door,
        }
    }
}

/// A way into the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// HTTP (BEP 3).
    Http,
    /// UDP (BEP 15).
    Udp,
    /// WebSocket (WebTorrent).
    WebSocket,
}

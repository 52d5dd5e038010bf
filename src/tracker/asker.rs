//! Who asks the tracker, as its door saw it.

use std::net::IpAddr;

use crate::domain::passkey::Passkey;

/// Somebody who announces or scrapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Where the question came from. An IPv4-mapped address counts as IPv4.
    pub ip: IpAddr,
    /// The way in.
    pub door: Door,
    /// The passkey in the address that was asked (BEP 27).
    pub passkey: Option<Passkey>,
}

impl Asker {
    /// Somebody at `ip` who came in by `door`.
    pub const fn new(ip: IpAddr, door: Door) -> Self {
        Self {
            ip: ip.to_canonical(),
            door,
            passkey: None,
        }
    }

    /// The same one, who showed this passkey.
    #[must_use]
    pub const fn with_passkey(self, passkey: Option<Passkey>) -> Self {
        Self { passkey, ..self }
    }

    /// The same one at another address.
    #[must_use]
    pub const fn at(self, ip: IpAddr) -> Self {
        Self {
            ip: ip.to_canonical(),
            ..self
        }
    }
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Http, Self::Udp, Self::WebSocket];

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Udp => "UDP",
            Self::WebSocket => "WebSocket",
        }
    }

    /// One word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Udp => "udp",
            Self::WebSocket => "websocket",
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

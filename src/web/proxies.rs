//! Proxies in front of the server, and what they say of where a request came from.
//!
//! Anybody can write these headers, so they count only where the connection comes from a trusted proxy. Then the list is
//! followed from its end for as long as the hops are trusted themselves: the first other one is whoever asks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::domain::networks::Networks;
use crate::proto::forwarded::{forwarded, forwarded_for};

/// The proxies whose word is believed (`web.trusted_proxies`). Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<Networks>);

impl TrustedProxies {
    /// Trusts the proxies in these networks.
    pub fn new(networks: Arc<Networks>) -> Self {
        Self(networks)
    }

    /// Where a request came from that a connection from `connection` brought. `lines` gives the values of the header of a name, in
    /// their order. `X-Forwarded-For` counts before `Forwarded`, for most proxies write it and leave the other as it came.
    pub(super) fn source<'h, L>(
        &self,
        connection: SocketAddr,
        lines: impl Fn(&'static str) -> L,
    ) -> SocketAddr
    where
        L: DoubleEndedIterator<Item = &'h [u8]>,
    {
        if !self.0.contain(connection.ip()) {
            return connection;
        }
        let mut hops = lines("x-forwarded-for")
            .rev()
            .flat_map(forwarded_for)
            .peekable();
        if hops.peek().is_some() {
            return self.follow(connection, hops);
        }
        self.follow(connection, lines("forwarded").rev().flat_map(forwarded))
    }

    /// The first hop that is not trusted. Where a trusted one hides the next, it stands for it.
    fn follow(
        &self,
        connection: SocketAddr,
        hops: impl Iterator<Item = Option<IpAddr>>,
    ) -> SocketAddr {
        let mut source = connection;
        for hop in hops {
            let Some(hop) = hop.filter(|_| self.0.contain(source.ip())) else {
                break;
            };
            // The port of a hop is seldom said, and means nothing here.
            source = SocketAddr::new(hop, 0);
        }
        source
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::networks::Network;

    fn source(connection: &str, headers: &[(&str, &str)]) -> String {
        let trusted = ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"];
        let trusted: Networks = trusted
            .iter()
            .map(|text| text.parse::<Network>().unwrap())
            .collect();
        let proxies = TrustedProxies::new(Arc::new(trusted));
        let lines = |name: &'static str| {
            let named = headers.iter().filter(move |(header, _)| *header == name);
            named.map(|(_, value)| value.as_bytes())
        };
        let connection = SocketAddr::new(connection.parse().unwrap(), 4711);
        proxies.source(connection, lines).ip().to_string()
    }

    #[test]
    fn headers_of_strangers_change_nothing() {
        let headers = [
            ("x-forwarded-for", "198.51.100.7"),
            ("forwarded", "for=198.51.100.7"),
        ];
        assert_eq!(source("192.0.2.9", &headers), "192.0.2.9");
    }

    #[test]
    fn the_rightmost_hop_that_is_not_trusted_asks() {
        for (list, asks) in [
            ("198.51.100.7", "198.51.100.7"),
            ("203.0.113.66, 198.51.100.7", "198.51.100.7"),
            ("203.0.113.66, 198.51.100.7, 10.0.0.9", "198.51.100.7"),
            (
                "203.0.113.66, 198.51.100.7, fd00::9, 10.0.0.9",
                "198.51.100.7",
            ),
            ("2001:db8::7", "2001:db8::7"),
            // All of them are ours: the one that is farthest asks.
            ("10.0.0.1, 10.0.0.9", "10.0.0.1"),
            // What hides its next hop stands for it.
            ("198.51.100.7, unknown, 10.0.0.9", "10.0.0.9"),
            ("evil", "127.0.0.1"),
        ] {
            assert_eq!(
                source("127.0.0.1", &[("x-forwarded-for", list)]),
                asks,
                "{list}"
            );
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines = [
            ("x-forwarded-for", "203.0.113.66"),
            ("x-forwarded-for", "198.51.100.7, 10.0.0.9"),
        ];
        assert_eq!(source("127.0.0.1", &lines), "198.51.100.7");
    }

    #[test]
    fn forwarded_counts_where_there_is_no_older_header() {
        let forwarded = (
            "forwarded",
            "for=203.0.113.66, for=198.51.100.7;proto=https, for=10.0.0.9",
        );
        assert_eq!(source("127.0.0.1", &[forwarded]), "198.51.100.7");
        let both = [forwarded, ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(source("127.0.0.1", &both), "192.0.2.1");
        assert_eq!(source("127.0.0.1", &[]), "127.0.0.1");
    }
}

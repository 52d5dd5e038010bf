//! Where the tracker says that this server's own seed is.

use std::net::{IpAddr, SocketAddr};

use url::Url;

/// The host and port that peers are sent to.
pub(super) struct Advertised {
    /// Empty where it says nothing of it.
    host: String,
    port: u16,
}

impl Advertised {
    /// From `peer.advertise` (`host`, `host:port`, an address or `none`), else the host of the public address and the peers' port.
    pub(super) fn new(configured: &str, public_url: &Url, peer_port: u16) -> Self {
        if configured == "none" {
            return Self {
                host: String::new(),
                port: peer_port,
            };
        }
        if let Ok(address) = configured.parse::<SocketAddr>() {
            return Self {
                host: address.ip().to_string(),
                port: address.port(),
            };
        }
        if let Ok(ip) = configured.parse::<IpAddr>() {
            return Self {
                host: ip.to_string(),
                port: peer_port,
            };
        }
        if configured.is_empty() {
            let host = public_url.host_str().unwrap_or("localhost");
            return Self {
                host: host.trim_matches(['[', ']']).to_owned(),
                port: peer_port,
            };
        }
        let with_port = configured
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse().ok()?)));
        let (host, port) = with_port.unwrap_or((configured, peer_port));
        Self {
            host: host.to_owned(),
            port,
        }
    }

    /// Where peers come.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Every address of the host. None, with a warning, where it cannot be looked up: the seed is then found by web seed and magnet only.
    pub(super) async fn look_up(&self) -> Vec<SocketAddr> {
        if self.host.is_empty() {
            return Vec::new();
        }
        match tokio::net::lookup_host((self.host.as_str(), self.port)).await {
            Ok(addresses) => addresses.collect(),
            Err(error) => {
                tracing::warn!(host = self.host, %error, "the host of this server's own seed has no address; set peer.advertise");
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advertised(configured: &str) -> (String, u16) {
        let url = Url::parse("https://files.example.org").unwrap();
        let advertised = Advertised::new(configured, &url, 8080);
        (advertised.host, advertised.port)
    }

    #[test]
    fn the_seed_is_advertised_where_the_configuration_says() {
        assert_eq!(advertised(""), ("files.example.org".to_owned(), 8080));
        assert_eq!(
            advertised("seed.example.org"),
            ("seed.example.org".to_owned(), 8080)
        );
        assert_eq!(
            advertised("seed.example.org:6881"),
            ("seed.example.org".to_owned(), 6881)
        );
        assert_eq!(advertised("192.0.2.7"), ("192.0.2.7".to_owned(), 8080));
        assert_eq!(
            advertised("[2001:db8::7]:6881"),
            ("2001:db8::7".to_owned(), 6881)
        );
        assert_eq!(advertised("2001:db8::7"), ("2001:db8::7".to_owned(), 8080));
    }
}

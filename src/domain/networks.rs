//! Networks of addresses, as an operator names them (CIDR: RFC 4632; RFC 4291, section 2.3).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    /// The first address of it.
    first: IpAddr,
    /// How many bits are the same: up to 32, or for IPv6 128.
    prefix: u8,
}

/// A text names no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no network; write one such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1")]
pub struct NotANetwork(pub String);

impl Network {
    /// The network of the addresses that share the first `prefix` bits of `address`; `None` where it has fewer.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let first = match address.to_canonical() {
            IpAddr::V4(ip) => {
                let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                IpAddr::V4((ip.to_bits() & !host).into())
            }
            IpAddr::V6(ip) => {
                let host = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
                IpAddr::V6((ip.to_bits() & !host).into())
            }
        };
        (prefix <= bits(first)).then_some(Self { first, prefix })
    }

    /// The first and the last address, as numbers.
    fn range(self) -> (u128, u128) {
        let (first, hosts) = match self.first {
            IpAddr::V4(ip) => (
                u128::from(ip.to_bits()),
                u128::from(u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0)),
            ),
            IpAddr::V6(ip) => (
                ip.to_bits(),
                u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0),
            ),
        };
        (first, first | hosts)
    }
}

const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    /// Reads `address/prefix`, or an address alone. Bits behind the prefix do not matter.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let Some((address, prefix)) = text.split_once('/') else {
                let address = text.parse::<IpAddr>().ok()?.to_canonical();
                return Self::new(address, bits(address));
            };
            // Parsing alone would take a sign.
            let prefix = prefix
                .bytes()
                .all(|byte| byte.is_ascii_digit())
                .then_some(prefix)?;
            Self::new(address.parse().ok()?, prefix.parse().ok()?)
        };
        read().ok_or_else(|| NotANetwork(text.to_owned()))
    }
}

impl TryFrom<String> for Network {
    type Error = NotANetwork;

    fn try_from(text: String) -> Result<Self, NotANetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

/// What one person commonly has: a single IPv4 address, an IPv6 /64.
pub fn household(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Whether no peer on the Internet can have an address.
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// A set of networks. Asked in the logarithm of their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Ranges,
    v6: Ranges,
}

/// First and last numbers, in order, none touching the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges(Box<[(u128, u128)]>);

impl Networks {
    /// Whether an address is in one of them. IPv4-mapped addresses count as IPv4.
    pub fn contain(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(ip) => self.v4.contain(ip.to_bits().into()),
            IpAddr::V6(ip) => self.v6.contain(ip.to_bits()),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.v4.0.is_empty() && self.v6.0.is_empty()
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        let (v4, v6): (Vec<_>, Vec<_>) = networks
            .into_iter()
            .partition(|network| network.first.is_ipv4());
        Self {
            v4: Ranges::new(v4),
            v6: Ranges::new(v6),
        }
    }
}

impl Ranges {
    fn new(networks: Vec<Network>) -> Self {
        let mut ranges: Vec<_> = networks.into_iter().map(Network::range).collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => merged.push((first, last)),
            }
        }
        Self(merged.into())
    }

    fn contain(&self, number: u128) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= number);
        let range = after.checked_sub(1).and_then(|at| self.0.get(at));
        range.is_some_and(|(_, last)| number <= *last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn networks(list: &[&str]) -> Networks {
        list.iter()
            .map(|text| text.parse::<Network>().unwrap())
            .collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_is_written_as_it_is_read_without_what_lies_behind_its_prefix() {
        for (text, written) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("::1", "::1/128"),
            ("2001:db8:1::/32", "2001:db8::/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), written);
        }
    }

    #[test]
    fn refuses_what_is_no_network() {
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "example.org",
            " ::1",
        ] {
            let refusal = text.parse::<Network>().unwrap_err().to_string();
            assert!(refusal.contains("10.0.0.0/8"), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_set_contains_what_its_networks_do_and_nothing_between() {
        let set = networks(&[
            "192.0.2.0/25",
            "10.0.0.0/8",
            "10.9.0.0/16",
            "192.0.2.128/25",
            "2001:db8::/32",
        ]);
        for inside in [
            "10.0.0.0",
            "10.255.255.255",
            "192.0.2.127",
            "192.0.2.128",
            "2001:db8::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(set.contain(ip(inside)), "{inside}");
        }
        for outside in [
            "9.255.255.255",
            "11.0.0.0",
            "192.0.3.0",
            "2001:db9::",
            "::10.0.0.1",
        ] {
            assert!(!set.contain(ip(outside)), "{outside}");
        }
    }

    #[test]
    fn all_of_one_family_is_nothing_of_the_other() {
        assert!(networks(&["::/0"]).contain(ip("ffff::1")));
        assert!(!networks(&["::/0"]).contain(ip("192.0.2.1")));
        assert!(networks(&["0.0.0.0/0"]).contain(ip("255.255.255.255")));
        assert!(!networks(&["0.0.0.0/0"]).contain(ip("::1")));
        assert!(networks(&[]).is_empty() && !networks(&[]).contain(ip("::1")));
    }

    proptest! {
        #[test]
        fn a_set_agrees_with_looking_through_its_networks(
            list in proptest::collection::vec((any::<[u8; 2]>(), 0..=32_u8), 0..20), asked in any::<[u8; 2]>(),
        ) {
            let near = |[a, b]: [u8; 2]| IpAddr::from([10, a % 4, 0, b]);
            let list: Vec<_> = list.into_iter().filter_map(|(at, prefix)| Network::new(near(at), prefix)).collect();
            let asked = near(asked);
            let same_network = |network: &Network| Network::new(asked, network.prefix) == Some(*network);
            let set: Networks = list.iter().copied().collect();
            prop_assert_eq!(set.contain(asked), list.iter().any(same_network));
        }
    }
}

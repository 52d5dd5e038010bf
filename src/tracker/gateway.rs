//! Finds out that many peers come from one address that stands for all of them: a container's gateway, or a proxy that nobody named.
//!
//! Then other peers are told an address where nobody is, and the swarm is dead without a word. Only addresses that no peer on the
//! Internet can have are looked at, and only peers of one torrent are compared, for some clients have a peer id for each torrent.
//! Memory is fixed; when all is taken, what is seen there first is watched first.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::networks::is_private;
use crate::proto::id::{InfoHash, PeerId};

/// Addresses with a torrent that are watched at the same time.
const WATCHED: usize = 256;

/// For how long peers are remembered: longer than between two announces of each.
const WINDOW: Duration = Duration::from_hours(1);

/// How often the log tells.
const TELL_AGAIN: Duration = Duration::from_hours(1);

/// For how long a finding holds after it was last seen.
const HOLDS: Duration = Duration::from_hours(2);

/// Peers of one torrent at this machine's own gateway that are too many: no peer lives there.
const AT_OWN_GATEWAY: usize = 2;

/// Watches for addresses that stand for many peers.
#[derive(Debug)]
pub(super) struct Gateways {
    /// Peers of one torrent at one private address that are too many; zero: never.
    too_many: usize,
    own: Option<IpAddr>,
    keys: RandomState,
    /// Never held over an await.
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    watched: Box<[Option<Watched>]>,
    finding: Option<Finding>,
    told_at: Option<Duration>,
}

/// The peers of one torrent at one address.
#[derive(Debug)]
struct Watched {
    address: IpAddr,
    info_hash: InfoHash,
    since: Duration,
    /// Under a keyed hash; as many as are too many, at most.
    peers: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Finding {
    address: IpAddr,
    peers: usize,
    at: Duration,
}

impl Gateways {
    /// Watches for `too_many` peers of one torrent; zero for never. `own` is this machine's own gateway, where it is known.
    pub(super) fn new(too_many: usize, own: Option<IpAddr>) -> Self {
        Self {
            too_many,
            own,
            keys: RandomState::new(),
            seen: Mutex::new(Seen {
                watched: std::iter::repeat_with(|| None).take(WATCHED).collect(),
                finding: None,
                told_at: None,
            }),
        }
    }

    /// Takes note of a peer that announces, `uptime` after the start.
    pub(super) fn note(
        &self,
        source: IpAddr,
        info_hash: &InfoHash,
        peer: &PeerId,
        uptime: Duration,
    ) {
        let is_own = self.own == Some(source);
        if self.too_many == 0 || !(is_own || is_private(source)) {
            return;
        }
        let too_many = if is_own {
            self.too_many.min(AT_OWN_GATEWAY)
        } else {
            self.too_many
        };
        let place = self.keys.hash_one((source, info_hash)) % WATCHED as u64;
        let peer = self.keys.hash_one(peer);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watched) = usize::try_from(place)
            .ok()
            .and_then(|at| seen.watched.get_mut(at))
        else {
            return;
        };
        let is_another = watched.as_ref().is_none_or(|watched| {
            let is_old = uptime.saturating_sub(watched.since) > WINDOW;
            let is_same = watched.address == source && watched.info_hash == *info_hash;
            is_old || (!is_same && watched.peers.len() < 2)
        });
        if is_another {
            *watched = Some(Watched {
                address: source,
                info_hash: *info_hash,
                since: uptime,
                peers: Vec::new(),
            });
        }
        let Some(watched) = watched.as_mut() else {
            return;
        };
        if watched.address != source || watched.info_hash != *info_hash {
            return;
        }
        if watched.peers.len() < too_many && !watched.peers.contains(&peer) {
            watched.peers.push(peer);
        }
        if watched.peers.len() < too_many {
            return;
        }
        let finding = Finding {
            address: source,
            peers: watched.peers.len(),
            at: uptime,
        };
        seen.finding = Some(finding);
        let is_told = seen
            .told_at
            .is_some_and(|at| uptime.saturating_sub(at) < TELL_AGAIN);
        if !is_told {
            seen.told_at = Some(uptime);
            drop(seen);
            tracing::warn!(address = %source, "{}", finding.words());
        }
    }

    /// What was found lately, in words for the operator.
    pub(super) fn warning(&self, uptime: Duration) -> Option<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let finding = seen.finding?;
        (uptime.saturating_sub(finding.at) < HOLDS).then(|| finding.words())
    }
}

impl Finding {
    fn words(&self) -> String {
        let Self { address, peers, .. } = self;
        format!(
            "{peers} or more peers of one torrent announce from {address}, which seems to be a container's gateway or a proxy that stands for all of them, so that no other peer can reach them. Give the container the host's network, or name the proxy in web.trusted_proxies (docs/proxies.md)."
        )
    }
}

/// This machine's own gateway over IPv4, where the system tells (Linux).
pub(super) fn own_gateway() -> Option<IpAddr> {
    gateway_in(&std::fs::read_to_string("/proc/net/route").ok()?)
}

/// The gateway of the default route in the kernel's table: columns are interface, destination and gateway, addresses hexadecimal
/// with the last byte first.
fn gateway_in(table: &str) -> Option<IpAddr> {
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (destination, gateway) = (columns.next()?, columns.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        let is_default = destination == "00000000" && gateway != 0;
        is_default.then(|| Ipv4Addr::from(gateway.to_le_bytes()).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn announce(gateways: &Gateways, source: &str, torrent: u8, peer: u8, at: Duration) {
        gateways.note(ip(source), &[torrent; 20].into(), &[peer; 20].into(), at);
    }

    fn gateways() -> Gateways {
        Gateways::new(5, Some(ip("172.17.0.1")))
    }

    #[test]
    fn many_peers_of_a_torrent_at_one_private_address_are_told_of() {
        let gateways = gateways();
        for peer in 0..5 {
            assert_eq!(gateways.warning(START), None);
            announce(&gateways, "192.168.7.1", 1, peer, START);
        }
        let words = gateways.warning(START).unwrap();
        assert!(
            words.contains("192.168.7.1") && words.contains("trusted_proxies"),
            "{words}"
        );
        assert_eq!(gateways.warning(Duration::from_hours(3)), None);
    }

    #[test]
    fn a_seedbox_at_home_is_none_though_it_has_a_name_for_each_torrent() {
        let gateways = gateways();
        for n in 0..100 {
            announce(&gateways, "192.168.7.9", n, n, START);
            announce(&gateways, "192.168.7.9", n, n, START);
        }
        assert_eq!(gateways.warning(START), None);
    }

    #[test]
    fn peers_on_the_internet_may_share_an_address() {
        let gateways = gateways();
        for peer in 0..50 {
            announce(&gateways, "198.51.100.7", 1, peer, START);
            announce(&gateways, "2001:db8::1", 1, peer, START);
        }
        assert_eq!(gateways.warning(START), None);
    }

    #[test]
    fn nobody_lives_at_this_machines_own_gateway() {
        let gateways = gateways();
        announce(&gateways, "172.17.0.1", 1, 1, START);
        assert_eq!(gateways.warning(START), None);
        announce(&gateways, "172.17.0.1", 1, 2, START);
        assert!(gateways.warning(START).is_some());
    }

    #[test]
    fn peers_that_came_and_went_over_days_are_not_many() {
        let gateways = gateways();
        for peer in 0..20 {
            let at = Duration::from_mins(40) * u32::from(peer);
            announce(&gateways, "10.0.0.9", 1, peer, at);
        }
        assert_eq!(gateways.warning(Duration::from_hours(14)), None);
    }

    #[test]
    fn zero_is_never() {
        let gateways = Gateways::new(0, Some(ip("10.0.0.1")));
        for peer in 0..50 {
            announce(&gateways, "10.0.0.1", 1, peer, START);
        }
        assert_eq!(gateways.warning(START), None);
    }

    #[test]
    fn reads_the_kernels_table() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
            eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\n\
            eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\n";
        assert_eq!(gateway_in(table), Some(ip("172.17.0.1")));
        assert_eq!(gateway_in("Iface\n"), None);
        assert_eq!(gateway_in("x"), None);
    }
}

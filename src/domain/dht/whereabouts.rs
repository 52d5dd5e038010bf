//! Where we are, as those who answer us see it (BEP 42): believed once enough of them agree, for one alone may lie or err.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

/// Networks that have to agree.
const WITNESSES: usize = 8;

/// Networks whose last word is kept.
const KEPT: usize = 24;

/// From one change of mind to the next, at least: an address does not change more often, and our name changes with it.
const STEADY: Duration = Duration::from_hours(1);

/// What is said of our IPv4 address: the last word of each IPv4 /24, which is what somebody who has many addresses has of one kind.
#[derive(Debug, Default)]
pub(super) struct Whereabouts {
    said: VecDeque<([u8; 3], Ipv4Addr)>,
    changed: Option<Instant>,
}

impl Whereabouts {
    /// Somebody at `witness` sees us at `seen`. Gives the address once it is to be believed, at most once an hour; `is_new` says whether it
    /// would change anything.
    pub(super) fn hear(
        &mut self,
        witness: SocketAddr,
        seen: SocketAddr,
        now: Instant,
        is_new: impl FnOnce(IpAddr) -> bool,
    ) -> Option<IpAddr> {
        let (IpAddr::V4(witness), IpAddr::V4(seen)) = (witness.ip(), seen.ip()) else {
            return None;
        };
        let [a, b, c, _] = witness.octets();
        let network = [a, b, c];
        self.said.retain(|(other, _)| *other != network);
        self.said.push_back((network, seen));
        if self.said.len() > KEPT {
            self.said.pop_front();
        }
        let agreed = self.said.iter().filter(|(_, said)| *said == seen).count();
        let is_settled = self.changed.is_some_and(|at| now < at + STEADY);
        if agreed < WITNESSES || is_settled || !is_new(seen.into()) {
            return None;
        }
        self.changed = Some(now);
        Some(seen.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient;

    fn at(network: u8, host: u8) -> SocketAddr {
        SocketAddr::from(([198, 51, network, host], 6881))
    }

    #[test]
    fn one_network_alone_is_not_believed() {
        let (mut whereabouts, now) = (Whereabouts::default(), ambient::now());
        for host in 0..100 {
            assert_eq!(whereabouts.hear(at(1, host), at(9, 9), now, |_| true), None);
        }
    }

    #[test]
    fn many_networks_are_believed_and_not_again_within_the_hour() {
        let (mut whereabouts, now) = (Whereabouts::default(), ambient::now());
        let mut hear = |networks: std::ops::Range<u8>, seen, now| -> Vec<IpAddr> {
            let words = networks.filter_map(|it| whereabouts.hear(at(it, 1), seen, now, |_| true));
            words.collect()
        };
        assert_eq!(hear(0..8, at(9, 9), now), [at(9, 9).ip()]);
        assert!(hear(0..20, at(8, 8), now).is_empty());
        let later = now + STEADY;
        assert_eq!(hear(0..1, at(8, 8), later), [at(8, 8).ip()]);
    }

    #[test]
    fn what_changes_nothing_is_no_news() {
        let (mut whereabouts, now) = (Whereabouts::default(), ambient::now());
        for network in 0..20 {
            assert_eq!(
                whereabouts.hear(at(network, 1), at(9, 9), now, |_| false),
                None
            );
        }
    }
}

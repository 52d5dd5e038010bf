//! Who makes room where all places are taken: first those who want nothing, then those of the lowest canonical priority (BEP 40).
//!
//! The canonical priority of two peers is the same from both ends and cannot be chosen freely, so that nobody is pushed out by a crowd from
//! one network, and swarms keep together.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::choker::PeerKey;

/// How firmly a peer holds its place: the least leaves first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It has wanted nothing since then.
    Idle(Instant),
    /// It wants something, or has only just come; by its canonical priority.
    Active(u32),
}

/// The peers of one torrent, and how firmly each holds its place.
#[derive(Debug, Default)]
pub struct Places(BTreeMap<PeerKey, Place>);

#[derive(Clone, Copy, Debug)]
struct Place {
    priority: u32,
    idle_since: Option<Instant>,
}

impl Places {
    /// A peer takes a place; it wants nothing yet.
    pub fn take(&mut self, peer: PeerKey, priority: u32, now: Instant) {
        let idle_since = Some(now);
        self.0.insert(
            peer,
            Place {
                priority,
                idle_since,
            },
        );
    }

    /// A peer gives its place back.
    pub fn leave(&mut self, peer: PeerKey) {
        self.0.remove(&peer);
    }

    /// A peer began or ceased to want pieces.
    pub fn set_interested(&mut self, peer: PeerKey, is_interested: bool, now: Instant) {
        if let Some(place) = self.0.get_mut(&peer) {
            place.idle_since = (!is_interested).then_some(now);
        }
    }

    /// Who would leave first. Whoever wants nothing is idle after `patience`.
    pub fn least(&self, patience: Duration, now: Instant) -> Option<(Standing, PeerKey)> {
        let standings = self.0.iter().map(|(peer, place)| {
            let is_idle = |since: &Instant| now.saturating_duration_since(*since) >= patience;
            let standing = place
                .idle_since
                .filter(is_idle)
                .map_or(Standing::Active(place.priority), Standing::Idle);
            (standing, *peer)
        });
        standings.min()
    }

    /// How many places are taken.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no place is taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The canonical priority of two peers (BEP 40): the higher, the rather they are connected.
///
/// ```
/// # use sower::domain::places::canonical_priority;
/// // The examples of BEP 40.
/// let one = "123.213.32.10:0".parse().unwrap();
/// assert_eq!(canonical_priority(one, "98.76.54.32:0".parse().unwrap()), 0xec2d_7224);
/// assert_eq!(canonical_priority(one, "123.213.32.234:0".parse().unwrap()), 0x9956_8189);
/// ```
pub fn canonical_priority(one: SocketAddr, other: SocketAddr) -> u32 {
    let mut both = match (one.ip().to_canonical(), other.ip().to_canonical()) {
        (one_ip, other_ip) if one_ip == other_ip => {
            [one, other].map(|it| it.port().to_be_bytes().to_vec())
        }
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            // Two bytes count in full, and one more for each that is equal.
            masked(&one.octets(), &other.octets(), 2)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => masked(&one.octets(), &other.octets(), 6),
        // Two families never meet; any number will do.
        (one, other) => [one, other].map(|ip| ip.to_string().into_bytes()),
    };
    both.sort_unstable();
    crc32c(&both.concat())
}

/// Both addresses with the bits of their ends thinned out: of the bytes behind the first `whole`, those count in full that
/// follow upon equal ones.
fn masked(one: &[u8], other: &[u8], whole: usize) -> [Vec<u8>; 2] {
    let equal = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let whole = if equal >= whole { equal + 1 } else { whole };
    [one, other].map(|ip| {
        let bytes = ip.iter().enumerate();
        let bytes = bytes.map(|(at, byte)| if at < whole { *byte } else { byte & 0x55 });
        bytes.collect()
    })
}

/// The checksum of RFC 3720, appendix B.4 (Castagnoli's polynomial), for a few bytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0x82f6_3b78
            } else {
                crc >> 1
            }
        })
    });
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn those_who_want_nothing_leave_first_and_the_longest_idle_before_others() {
        let now = ambient::now();
        let mut places = Places::default();
        places.take(PeerKey(1), 10, now);
        places.take(PeerKey(2), 90, now);
        places.take(PeerKey(3), 50, now + Duration::from_secs(1));
        places.set_interested(PeerKey(1), true, now);
        let later = now + Duration::from_mins(1);
        assert_eq!(
            places.least(PATIENCE, later),
            Some((Standing::Idle(now), PeerKey(2)))
        );
        places.set_interested(PeerKey(2), true, later);
        assert_eq!(places.least(PATIENCE, later).unwrap().1, PeerKey(3));
    }

    #[test]
    fn of_those_who_want_something_the_lowest_priority_leaves() {
        let now = ambient::now();
        let mut places = Places::default();
        for (peer, priority) in [(1, 30), (2, 10), (3, 20)] {
            places.take(PeerKey(peer), priority, now);
        }
        // They have only just come.
        assert_eq!(
            places.least(PATIENCE, now),
            Some((Standing::Active(10), PeerKey(2)))
        );
        assert!(Standing::Idle(now) < Standing::Active(0));
        places.leave(PeerKey(2));
        assert_eq!(places.least(PATIENCE, now).unwrap().1, PeerKey(3));
    }

    #[test]
    fn priority_is_the_same_from_both_ends() {
        for (one, other) in [
            ("192.0.2.1:5", "198.51.100.7:6"),
            ("192.0.2.1:5", "192.0.2.1:6"),
            ("[2001:db8::1]:5", "[2001:db8::2]:6"),
            ("192.0.2.1:5", "[2001:db8::2]:6"),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(
                canonical_priority(one, other),
                canonical_priority(other, one)
            );
        }
    }

    #[test]
    fn the_checksum_is_that_of_rfc_3720() {
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}

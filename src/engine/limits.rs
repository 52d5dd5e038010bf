//! How many connections there may be, in all and from one address; and how fast content may leave.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::Options;
use crate::domain::rate::{ByteRate, NetworkByteRate};

/// Counts connections against two bounds. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    counts: Arc<Mutex<Counts>>,
    in_all: usize,
    per_address: usize,
}

#[derive(Debug, Default)]
struct Counts {
    in_all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    counts: Arc<Mutex<Counts>>,
    address: IpAddr,
}

impl Connections {
    pub(crate) fn new(in_all: usize, per_address: usize) -> Self {
        Self {
            counts: Arc::default(),
            in_all,
            per_address,
        }
    }

    /// A place for a connection from `address`; `None` where either bound is reached. A full address keeps nobody else out.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Place> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let from_address = counts.by_address.get(&address).copied().unwrap_or(0);
        if counts.in_all >= self.in_all || from_address >= self.per_address {
            return None;
        }
        counts.in_all += 1;
        counts.by_address.insert(address, from_address + 1);
        Some(Place {
            counts: Arc::clone(&self.counts),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.in_all = counts.in_all.saturating_sub(1);
        if let Some(from_address) = counts.by_address.get_mut(&self.address) {
            *from_address = from_address.saturating_sub(1);
            if *from_address == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// How fast content leaves: in all, and for each network of peers. May be set anew at any time.
#[derive(Debug)]
pub(crate) struct UploadRates {
    start: Instant,
    in_all: ByteRate,
    per_network: NetworkByteRate,
}

/// What a peer may be sent next, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    /// Bytes of content.
    pub(crate) bytes: usize,
    /// Not before.
    pub(crate) from: Instant,
}

/// What is to be sent to a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Bytes of the next block, which is sent whole.
    pub(crate) at_least: usize,
    /// Bytes of it and what may follow at once.
    pub(crate) bytes: usize,
}

impl Wanted {
    /// All of it, at once.
    pub(crate) const fn granted(self, now: Instant) -> Grant {
        Grant {
            bytes: self.bytes,
            from: now,
        }
    }
}

/// Bytes that a peer is granted at a time where a rate bounds it: one block, or a twentieth of what the rate allows in a second.
fn share(rate: NonZeroU64) -> usize {
    usize::try_from(rate.get() / 20).map_or(usize::MAX, |share| share.max(16 * 1024))
}

impl UploadRates {
    pub(crate) fn new(options: &Options, start: Instant) -> Self {
        Self {
            start,
            in_all: ByteRate::new(options.upload_rate),
            per_network: NetworkByteRate::new(options.upload_rate_per_network),
        }
    }

    /// Takes the rates of `options` from now on. Whoever was granted something should ask anew.
    pub(crate) fn set(&self, options: &Options) {
        self.in_all.set(options.upload_rate);
        self.per_network.set(options.upload_rate_per_network);
    }

    /// Grants some of what is wanted for a peer at `address`; all at once where nothing is bounded.
    pub(crate) fn grant(
        &self,
        of_torrent: &ByteRate,
        address: IpAddr,
        wanted: Wanted,
        now: Instant,
    ) -> Grant {
        let uptime = now.saturating_duration_since(self.start);
        let rates = [
            self.in_all.per_second(),
            of_torrent.per_second(),
            self.per_network.per_second(),
        ];
        let Some(most) = rates.into_iter().flatten().map(share).min() else {
            return wanted.granted(now);
        };
        let bytes = wanted.bytes.min(most).max(wanted.at_least);
        let cost = u64::try_from(bytes).unwrap_or(u64::MAX);
        let wait = self
            .in_all
            .reserve(cost, uptime)
            .max(of_torrent.reserve(cost, uptime))
            .max(self.per_network.reserve(address, cost, uptime));
        Grant {
            bytes,
            from: now + wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_address_keeps_nobody_else_out() {
        let connections = Connections::new(10, 2);
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let places: Vec<_> = std::iter::repeat_with(|| connections.enter(here))
            .take(3)
            .collect();
        assert!(places[0].is_some() && places[1].is_some() && places[2].is_none());
        assert!(connections.enter(there).is_some());
    }

    #[test]
    fn places_are_given_back() {
        let connections = Connections::new(1, 1);
        let here = IpAddr::from([127, 0, 0, 1]);
        let place = connections.enter(here).unwrap();
        assert!(connections.enter(here).is_none());
        drop(place);
        assert!(connections.enter(here).is_some());
    }
}

//! How many swarms each address is in, without a table of addresses.
//!
//! A fixed number of counters, chosen by a keyed hash of the address, so that nobody can aim at another's counter.
//! Addresses that share a counter are counted together: with limits in the thousands and 65,536 counters that does
//! not matter, and memory does not grow with the crowd.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const COUNTERS: usize = 1 << 16;

/// Counts the swarms of each network: an IPv4 address or an IPv6 /64.
#[derive(Debug)]
pub struct Crowd {
    counters: Box<[AtomicU32]>,
    keys: RandomState,
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            counters: std::iter::repeat_with(AtomicU32::default)
                .take(COUNTERS)
                .collect(),
            keys: RandomState::new(),
        }
    }
}

impl Crowd {
    /// A keyed hash of a network, for tables of networks that nobody can aim at.
    pub(super) fn hash(&self, network: impl Hash) -> u64 {
        self.keys.hash_one(network)
    }

    /// In how many swarms a network is.
    pub(super) fn swarms(&self, network: impl Hash) -> u32 {
        self.counter(network).load(Relaxed)
    }

    /// A network's first peer is in a swarm.
    pub(super) fn enter(&self, network: impl Hash) {
        self.counter(network).fetch_add(1, Relaxed);
    }

    /// A network's last peer is out of a swarm.
    pub(super) fn leave(&self, network: impl Hash) {
        self.counter(network).fetch_sub(1, Relaxed);
    }

    /// Whether two networks are counted by one counter.
    #[cfg(test)]
    pub(super) fn share(&self, one: impl Hash, other: impl Hash) -> bool {
        std::ptr::eq(self.counter(one), self.counter(other))
    }

    fn counter(&self, network: impl Hash) -> &AtomicU32 {
        let hash = self.keys.hash_one(network).to_le_bytes();
        let index = u16::from_le_bytes([hash[0], hash[1]]);
        &self.counters[usize::from(index)]
    }
}

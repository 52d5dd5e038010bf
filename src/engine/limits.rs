//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

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

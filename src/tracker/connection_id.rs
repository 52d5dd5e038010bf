//! The connection ids of the UDP tracker: proofs that an asker receives what is sent to its address (BEP 15).
//!
//! An id is a keyed hash of the address and of the minute, so nothing is kept for those who ask. It holds for two minutes at
//! least, and three at most: BEP 15 wants two, and some clients use an id to its very end.

use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::net::IpAddr;

use crate::proto::tracker::udp::ConnectionId;

/// Seconds in which an address gets the same id.
const WINDOW: u64 = 60;

/// Windows behind the current one whose ids still hold.
const LENIENCE: u64 = 2;

/// The first bit of every id: it tells what follows from the packets of uTP, which share the port.
const NOT_UTP: u64 = 1 << 63;

/// Gives and checks connection ids.
#[derive(Debug, Default)]
pub(super) struct ConnectionIds {
    /// `SipHash` under a key that is drawn at random when the tracker starts.
    key: RandomState,
}

impl ConnectionIds {
    /// The id of an address, `uptime` seconds after the tracker started.
    pub(super) fn give(&self, address: IpAddr, uptime: u64) -> ConnectionId {
        self.of_window(address, uptime / WINDOW)
    }

    /// Whether an id was given to this address lately. Takes as long for a wrong id as for a right one.
    pub(super) fn holds(&self, id: ConnectionId, address: IpAddr, uptime: u64) -> bool {
        let window = uptime / WINDOW;
        let oldest = window.saturating_sub(LENIENCE);
        let least = (oldest..=window).fold(u64::MAX, |least, window| {
            let difference = self.of_window(address, window).0 ^ id.0;
            least.min(black_box(difference))
        });
        least == 0
    }

    fn of_window(&self, address: IpAddr, window: u64) -> ConnectionId {
        ConnectionId(self.key.hash_one((address.to_canonical(), window)) | NOT_UTP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::wire::utp::is_utp;

    const ADDRESS: &str = "198.51.100.7";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_id_holds_for_two_to_three_minutes() {
        let ids = ConnectionIds::default();
        for start in [0, 59, 60, 1_000] {
            let id = ids.give(ip(ADDRESS), start);
            assert!(ids.holds(id, ip(ADDRESS), start + 120), "{start}");
            assert!(!ids.holds(id, ip(ADDRESS), start + 180), "{start}");
        }
    }

    #[test]
    fn an_id_is_of_one_address_whichever_way_it_is_written() {
        let ids = ConnectionIds::default();
        let id = ids.give(ip(ADDRESS), 0);
        assert!(ids.holds(id, ip("::ffff:198.51.100.7"), 0));
        assert!(!ids.holds(id, ip("198.51.100.8"), 0));
    }

    #[test]
    fn what_begins_with_an_id_is_not_taken_for_utp() {
        for last in 0..=u8::MAX {
            let id = ConnectionIds::default().give(IpAddr::from([198, 51, 100, last]), 0);
            assert!(!is_utp(&[id.0.to_be_bytes(); 3].concat()));
        }
    }

    #[test]
    fn nobody_can_tell_an_id_ahead() {
        let ids = ConnectionIds::default();
        assert_ne!(ids.give(ip(ADDRESS), 0), ids.give(ip(ADDRESS), 60));
        assert_ne!(
            ids.give(ip(ADDRESS), 0),
            ConnectionIds::default().give(ip(ADDRESS), 0)
        );
        assert!(!ids.holds(ConnectionId(0), ip(ADDRESS), 0));
    }
}

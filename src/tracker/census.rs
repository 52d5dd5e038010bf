//! All swarms together in numbers: counted when somebody asks, swarm by swarm.

use std::sync::PoisonError;

use super::service::Tracker;
use crate::domain::swarm::Population;

/// All swarms together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Swarms that somebody is in.
    pub swarms: u64,
    /// Peers over IPv4.
    pub v4: Population,
    /// Peers over IPv6.
    pub v6: Population,
    /// Peers over WebSockets.
    pub websocket: u64,
    /// How many swarms have at most so many peers as [`SIZES`](Self::SIZES) says at the same place; each counts in all that follow.
    pub swarms_up_to: [u64; Self::SIZES.len()],
}

impl Census {
    /// The steps by which swarms are told apart by size.
    pub const SIZES: [u64; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

    /// Peers that have everything.
    pub const fn seeds(&self) -> u64 {
        self.v4.seeds + self.v6.seeds
    }

    /// Peers that lack something.
    pub const fn leechers(&self) -> u64 {
        self.v4.leechers() + self.v6.leechers()
    }
}

impl Tracker {
    /// Counts all swarms. Takes some milliseconds where there are tens of thousands.
    pub fn census(&self) -> Census {
        let mut census = Census {
            websocket: u64::try_from(self.rooms.peers()).unwrap_or(u64::MAX),
            ..Census::default()
        };
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            for tracked in shard.swarms.values() {
                let (v4, v6) = tracked.swarm.populations();
                let peers = v4.peers() + v6.peers();
                if peers == 0 {
                    continue;
                }
                census.swarms += 1;
                census.v4.add(v4);
                census.v6.add(v6);
                for (up_to, size) in census.swarms_up_to.iter_mut().zip(Census::SIZES) {
                    *up_to += u64::from(peers <= size);
                }
            }
        }
        census
    }
}

#[cfg(feature = "sqlite")]
#[cfg(test)]
mod tests {
    use super::super::asker::{Asker, Door};
    use super::super::options::Options;
    use super::super::tests::{Fixture, START, request};
    use super::*;
    use crate::proto::tracker::announce::{AnnounceRequest, Event};

    #[tokio::test]
    async fn counts_everybody_once() {
        let t = Fixture::new(Options::default()).await;
        assert_eq!(t.tracker.census(), Census::default());
        for n in 0..12_u8 {
            let request = AnnounceRequest {
                left: Some(u64::from(n % 3)),
                event: if n == 11 { Event::Paused } else { Event::None },
                ..request(n.into(), t.v1)
            };
            let ip = [198, 51, 100, n].into();
            let asker = Asker::new(ip, Door::Http);
            t.tracker.announce(&request, &asker, *START).unwrap();
        }
        let census = t.tracker.census();
        assert_eq!(
            (census.swarms, census.seeds(), census.leechers()),
            (1, 4, 8)
        );
        assert_eq!(census.v4.partial_seeds, 1);
        assert_eq!(census.swarms_up_to, [0, 0, 1, 1, 1, 1]);
    }
}

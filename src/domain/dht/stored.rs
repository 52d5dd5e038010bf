//! The peers that others announced to this node: so many at most, for so long, the oldest first to go.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::seq::SliceRandom;

use crate::proto::id::InfoHash;

/// How long a peer is remembered. Clients announce every 15 to 30 minutes.
const LIFETIME: Duration = Duration::from_mins(45);

/// Peers by torrent.
#[derive(Debug)]
pub(super) struct StoredPeers {
    /// Peers in all, at most.
    most: usize,
    /// Peers of one torrent, at most.
    most_per_torrent: usize,
    torrents: HashMap<InfoHash, Vec<Stored>>,
    /// In the order of announcing: some may have announced again since, or be gone.
    order: VecDeque<(Instant, InfoHash, SocketAddr)>,
}

#[derive(Debug)]
struct Stored {
    address: SocketAddr,
    announced: Instant,
}

impl StoredPeers {
    pub(super) fn new(most: usize, most_per_torrent: usize) -> Self {
        Self {
            most,
            most_per_torrent,
            torrents: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(super) fn announce(&mut self, torrent: InfoHash, address: SocketAddr, now: Instant) {
        self.expire(now);
        let peers = self.torrents.entry(torrent).or_default();
        peers.retain(|peer| peer.address != address);
        if peers.len() >= self.most_per_torrent {
            peers.remove(0);
        }
        peers.push(Stored {
            address,
            announced: now,
        });
        self.order.push_back((now, torrent, address));
        while self.order.len() > self.most {
            self.forget_oldest();
        }
    }

    /// So many peers of a torrent, by chance.
    pub(super) fn some(
        &self,
        torrent: &InfoHash,
        is_wanted: impl Fn(SocketAddr) -> bool,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Vec<SocketAddr> {
        let all = self.torrents.get(torrent).into_iter().flatten();
        let alive = all.filter(|peer| now.saturating_duration_since(peer.announced) < LIFETIME);
        let mut peers: Vec<_> = alive
            .map(|peer| peer.address)
            .filter(|peer| is_wanted(*peer))
            .collect();
        peers.shuffle(rng);
        peers
    }

    /// How many peers there are, of all torrents.
    pub(super) fn len(&self) -> usize {
        self.torrents.values().map(Vec::len).sum()
    }

    fn expire(&mut self, now: Instant) {
        while let Some((announced, ..)) = self.order.front()
            && now.saturating_duration_since(*announced) >= LIFETIME
        {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((announced, torrent, address)) = self.order.pop_front() else {
            return;
        };
        if let Some(peers) = self.torrents.get_mut(&torrent) {
            peers.retain(|peer| peer.address != address || peer.announced > announced);
            if peers.is_empty() {
                self.torrents.remove(&torrent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::ambient;

    fn peer(number: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], number))
    }

    fn count(stored: &StoredPeers, torrent: u8, now: Instant) -> usize {
        let mut rng = StdRng::seed_from_u64(1);
        stored
            .some(&[torrent; 20].into(), |_| true, now, &mut rng)
            .len()
    }

    #[test]
    fn peers_are_forgotten_unless_they_announce_again() {
        let mut stored = StoredPeers::new(10, 5);
        let now = ambient::now();
        stored.announce([1; 20].into(), peer(1), now);
        stored.announce([1; 20].into(), peer(2), now);
        let later = now + LIFETIME / 2;
        stored.announce([1; 20].into(), peer(1), later);
        assert_eq!(count(&stored, 1, later), 2);
        assert_eq!(count(&stored, 1, now + LIFETIME), 1);
        stored.announce([2; 20].into(), peer(1), later + LIFETIME);
        assert_eq!(stored.torrents.len(), 1);
        assert_eq!(stored.order.len(), 1);
    }

    #[test]
    fn the_oldest_make_room() {
        let mut stored = StoredPeers::new(10, 5);
        let now = ambient::now();
        for number in 1..=7 {
            stored.announce([1; 20].into(), peer(number), now);
        }
        assert_eq!(count(&stored, 1, now), 5);
        for torrent in 2..200 {
            stored.announce([torrent; 20].into(), peer(1), now);
        }
        assert!(stored.torrents.len() <= 10 && stored.order.len() <= 10);
        assert_eq!((count(&stored, 1, now), count(&stored, 199, now)), (0, 1));
    }
}

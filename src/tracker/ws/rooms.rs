//! Who is in which swarm by WebSocket: a room for each swarm, under the same name, spread over shards as swarms are.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rand::Rng;

use super::super::service::Subject;
use super::line::Line;
use crate::domain::room::Room;
use crate::domain::swarm::Progress;
use crate::proto::id::{InfoHash, PeerId};
use crate::proto::tracker::announce::{AnnounceRequest, ScrapeCounts};

const SHARDS: usize = 16;

/// Some of the rooms.
type Shard = Mutex<HashMap<InfoHash, Room<Contact>>>;

/// All rooms.
#[derive(Debug)]
pub(in crate::tracker) struct Rooms {
    shards: [Shard; SHARDS],
    keys: RandomState,
    /// Peers in all rooms together. Written under the lock of the shard that changed.
    peers: AtomicUsize,
    most: usize,
}

/// How a peer is sent something.
#[derive(Clone, Debug)]
pub(super) struct Contact {
    pub(super) line: Line,
    /// The name that the peer knows the torrent by: one of two where it is a hybrid (BEP 52).
    pub(super) info_hash: InfoHash,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Closed {
    /// There are too many peers already.
    #[error("this tracker has no room for more peers over WebSocket; try again later")]
    Full,
    /// Somebody else has that id.
    #[error("another peer has this peer_id; restart your WebTorrent client")]
    Taken,
}

/// What comes of an announce.
#[derive(Debug)]
pub(super) struct Meeting {
    /// What the peer told that is worth counting.
    pub(super) progress: Progress,
    /// Those who get the peer's offers.
    pub(super) introduced: Vec<Contact>,
}

impl Rooms {
    /// Rooms for at most `most` peers.
    pub(in crate::tracker) fn new(most: usize) -> Self {
        Self {
            shards: Default::default(),
            keys: RandomState::new(),
            peers: AtomicUsize::new(0),
            most,
        }
    }

    /// The peers of a swarm in numbers, of which `downloaded` is not its business and zero; `None` where there are none.
    pub(in crate::tracker) fn counts(&self, name: &InfoHash) -> Option<ScrapeCounts> {
        if self.peers() == 0 {
            return None;
        }
        self.shard(name).get(name).map(Room::counts)
    }

    /// Whether a peer that is in a swarm has said that its download finished.
    pub(in crate::tracker) fn has_completed(&self, name: &InfoHash, peer: PeerId) -> bool {
        self.peers() > 0
            && self
                .shard(name)
                .get(name)
                .is_some_and(|room| room.has_completed(peer))
    }

    /// The names of all swarms that somebody is in.
    pub(in crate::tracker) fn names(&self) -> HashSet<InfoHash> {
        let shards = self.shards.iter().map(lock);
        shards
            .flat_map(|shard| shard.keys().copied().collect::<Vec<_>>())
            .collect()
    }

    /// How many peers there are in all swarms together.
    pub(in crate::tracker) fn peers(&self) -> usize {
        self.peers.load(Relaxed)
    }

    /// Takes in what the peer behind `line` says of itself, and chooses up to `wanted` others to introduce it to.
    pub(super) fn announce(
        &self,
        subject: &Subject,
        request: &AnnounceRequest,
        line: &Line,
        wanted: usize,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Result<Meeting, Closed> {
        let name = subject.name;
        let mut shard = self.shard(&name);
        let known = shard
            .get(&name)
            .and_then(|room| room.contact(request.peer_id));
        match known {
            // A peer whose connection broke may be back before we know that it broke.
            Some(other) if !other.line.leads_where(line) => return Err(Closed::Taken),
            Some(_) => {}
            None if self.peers() >= self.most => return Err(Closed::Full),
            None => _ = self.peers.fetch_add(1, Relaxed),
        }
        let room = shard.entry(name).or_default();
        let contact = Contact {
            line: line.clone(),
            info_hash: request.info_hash,
        };
        let listed = subject.publication;
        let length = listed.map_or(u64::MAX, |listed| listed.total_length);
        Ok(Meeting {
            progress: room.enter(request, length, contact),
            introduced: room.introduce(request, wanted, now, rng),
        })
    }

    /// Forgets a peer, if it is still the one behind `line`.
    pub(super) fn leave(&self, name: &InfoHash, peer: PeerId, line: &Line) {
        let mut shard = self.shard(name);
        let Some(room) = shard.get_mut(name) else {
            return;
        };
        if room.contact(peer).is_some_and(|there| there.line.is(line)) {
            room.dismiss(peer);
            self.peers.fetch_sub(1, Relaxed);
            if room.is_empty() {
                shard.remove(name);
            }
        }
    }

    /// How a peer of a swarm is sent something.
    pub(super) fn contact(&self, name: &InfoHash, peer: PeerId) -> Option<Contact> {
        self.shard(name).get(name)?.contact(peer).cloned()
    }

    fn shard(&self, name: &InfoHash) -> MutexGuard<'_, HashMap<InfoHash, Room<Contact>>> {
        let [first, ..] = self.keys.hash_one(name).to_le_bytes();
        lock(&self.shards[usize::from(first) % SHARDS])
    }
}

fn lock(shard: &Shard) -> MutexGuard<'_, HashMap<InfoHash, Room<Contact>>> {
    // A panic in another thread leaves at worst a peer too many or too few.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(feature = "sqlite")]
#[cfg(test)]
mod tests {
    use super::super::line;
    use crate::ambient;
    use crate::domain::history::SwarmSize;
    use crate::tracker::options::Options;
    use crate::tracker::tests::{Fixture, START, request};

    #[tokio::test]
    async fn swarms_that_meet_here_alone_have_a_size_too() {
        let t = Fixture::new(Options::default()).await;
        let said = request(1, t.v2);
        let subject = t.tracker.subject(&said.info_hash);
        let (line, _inbox) = line::lay([127, 0, 0, 1].into(), 1_000);
        let rng = &mut ambient::rng();
        let rooms = &t.tracker.rooms;
        rooms
            .announce(&subject, &said, &line, 0, *START, rng)
            .unwrap();
        let sizes: Vec<_> = t
            .tracker
            .sizes()
            .into_iter()
            .map(|(_, size)| size)
            .collect();
        let size = SwarmSize {
            seeders: 1,
            leechers: 1,
        };
        assert_eq!(sizes, [size], "this server's seed, and the peer");
    }
}

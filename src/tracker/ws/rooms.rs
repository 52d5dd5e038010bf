//! Who is in which swarm by WebSocket: a room for each swarm, under the same name, spread over shards as swarms are.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rand::Rng;

use super::line::Line;
use crate::domain::room::Room;
use crate::proto::id::{InfoHash, PeerId};
use crate::proto::tracker::announce::{AnnounceRequest, ScrapeCounts};

const SHARDS: usize = 16;

/// All rooms.
#[derive(Debug)]
pub(in crate::tracker) struct Rooms {
    shards: [Mutex<HashMap<InfoHash, Room<Contact>>>; SHARDS],
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
    /// A download finished that was not counted yet.
    pub(super) is_finished: bool,
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

    /// How many peers there are in all swarms together.
    pub(in crate::tracker) fn peers(&self) -> usize {
        self.peers.load(Relaxed)
    }

    /// Takes in what the peer behind `line` says of itself, and chooses up to `wanted` others to introduce it to.
    pub(super) fn announce(
        &self,
        name: &InfoHash,
        request: &AnnounceRequest,
        line: &Line,
        wanted: usize,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Result<Meeting, Closed> {
        let mut shard = self.shard(name);
        let known = shard
            .get(name)
            .and_then(|room| room.contact(request.peer_id));
        match known {
            // A peer whose connection broke may be back before we know that it broke.
            Some(other) if !other.line.leads_where(line) => return Err(Closed::Taken),
            Some(_) => {}
            None if self.peers() >= self.most => return Err(Closed::Full),
            None => _ = self.peers.fetch_add(1, Relaxed),
        }
        let room = shard.entry(*name).or_default();
        let contact = Contact {
            line: line.clone(),
            info_hash: request.info_hash,
        };
        Ok(Meeting {
            is_finished: room.enter(request, contact),
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
        // A panic in another thread leaves at worst a peer too many or too few.
        self.shards[usize::from(first) % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

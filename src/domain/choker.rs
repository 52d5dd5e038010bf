//! Who may request: the choker of a seed (BEP 3, "choking").
//!
//! A seed gains nothing from any peer, so it gives each interested peer its turn. While there are slots for all, all are unchoked at once.
//! When there are not, a peer that had its turn goes to the end of the line, and the one that has waited longest takes its place; each round one slot goes
//! to a peer drawn by lot (the optimistic slot), so that a newcomer need not wait for the whole line.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::seq::IteratorRandom;
use serde::{Deserialize, Serialize};

/// How upload slots are given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Peers of one torrent that may request at the same time.
    pub slots: usize,
    /// Seconds that a peer keeps its slot while others wait.
    pub turn: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            slots: 64,
            turn: 30,
        }
    }
}

/// Names a peer of one torrent, for as long as it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey(pub u64);

/// A peer whose state the choker has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The peer.
    pub peer: PeerKey,
    /// Whether it may request from now on.
    pub is_unchoked: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Wants nothing.
    Idle,
    /// Wants pieces and has no slot, since then.
    Waiting(Instant),
    /// Has a slot, since then.
    Unchoked(Instant),
}

/// The slots of one torrent.
#[derive(Debug)]
pub struct Choker {
    options: Options,
    peers: BTreeMap<PeerKey, State>,
}

impl Choker {
    /// A choker without peers.
    pub const fn new(options: Options) -> Self {
        Self {
            options,
            peers: BTreeMap::new(),
        }
    }

    /// A peer has connected; it wants nothing yet.
    pub fn add(&mut self, peer: PeerKey) {
        self.peers.insert(peer, State::Idle);
    }

    /// A peer has gone; its slot goes to whoever has waited longest.
    pub fn remove(&mut self, peer: PeerKey, now: Instant) -> Option<Change> {
        let left = self.peers.remove(&peer)?;
        if matches!(left, State::Unchoked(_)) {
            self.fill_slot(now)
        } else {
            None
        }
    }

    /// A peer began or ceased to want pieces.
    pub fn set_interested(
        &mut self,
        peer: PeerKey,
        is_interested: bool,
        now: Instant,
    ) -> Vec<Change> {
        let has_free_slot = self.unchoked_count() < self.options.slots;
        let Some(state) = self.peers.get_mut(&peer) else {
            return Vec::new();
        };
        match (*state, is_interested) {
            (State::Idle, true) if has_free_slot => {
                *state = State::Unchoked(now);
                vec![Change {
                    peer,
                    is_unchoked: true,
                }]
            }
            (State::Idle, true) => {
                *state = State::Waiting(now);
                Vec::new()
            }
            (State::Waiting(_), false) => {
                *state = State::Idle;
                Vec::new()
            }
            (State::Unchoked(_), false) => {
                *state = State::Idle;
                let mut changes = vec![Change {
                    peer,
                    is_unchoked: false,
                }];
                changes.extend(self.fill_slot(now));
                changes
            }
            (State::Idle, false) | (State::Waiting(_) | State::Unchoked(_), true) => Vec::new(),
        }
    }

    /// Ends the turns that are over, if anybody waits. Called once a round, every ten seconds.
    pub fn round(&mut self, now: Instant, rng: &mut impl Rng) -> Vec<Change> {
        let turn = Duration::from_secs(self.options.turn);
        let mut over: Vec<(Instant, PeerKey)> = self
            .peers
            .iter()
            .filter_map(|(peer, state)| match state {
                State::Unchoked(since) if now.saturating_duration_since(*since) >= turn => {
                    Some((*since, *peer))
                }
                _ => None,
            })
            .collect();
        over.sort_unstable();
        over.truncate(self.waiting().count());

        let mut changes = Vec::new();
        for (nth, (_, leaving)) in over.into_iter().enumerate() {
            let next = if nth == 0 {
                self.drawn(rng)
            } else {
                self.longest_waiting()
            };
            let Some(next) = next else { break };
            self.peers.insert(leaving, State::Waiting(now));
            self.peers.insert(next, State::Unchoked(now));
            changes.push(Change {
                peer: leaving,
                is_unchoked: false,
            });
            changes.push(Change {
                peer: next,
                is_unchoked: true,
            });
        }
        changes
    }

    /// How many peers are connected.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// Whether no peer is connected.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    fn unchoked_count(&self) -> usize {
        self.peers
            .values()
            .filter(|state| matches!(state, State::Unchoked(_)))
            .count()
    }

    fn waiting(&self) -> impl Iterator<Item = (Instant, PeerKey)> {
        self.peers.iter().filter_map(|(peer, state)| match state {
            State::Waiting(since) => Some((*since, *peer)),
            _ => None,
        })
    }

    fn longest_waiting(&self) -> Option<PeerKey> {
        self.waiting().min().map(|(_, peer)| peer)
    }

    fn drawn(&self, rng: &mut impl Rng) -> Option<PeerKey> {
        self.waiting().choose(rng).map(|(_, peer)| peer)
    }

    fn fill_slot(&mut self, now: Instant) -> Option<Change> {
        let peer = self.longest_waiting()?;
        self.peers.insert(peer, State::Unchoked(now));
        Some(Change {
            peer,
            is_unchoked: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::ambient;

    fn choker(slots: usize, peers: u64, now: Instant) -> (Choker, BTreeSet<PeerKey>) {
        let mut choker = Choker::new(Options { slots, turn: 30 });
        let mut unchoked = BTreeSet::new();
        for peer in (0..peers).map(PeerKey) {
            choker.add(peer);
            apply(&mut unchoked, choker.set_interested(peer, true, now));
        }
        (choker, unchoked)
    }

    fn apply(unchoked: &mut BTreeSet<PeerKey>, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            if change.is_unchoked {
                assert!(unchoked.insert(change.peer), "{change:?} is no change");
            } else {
                assert!(unchoked.remove(&change.peer), "{change:?} is no change");
            }
        }
    }

    #[test]
    fn while_there_are_slots_all_are_unchoked_at_once() {
        let now = ambient::now();
        let (mut choker, unchoked) = choker(4, 4, now);
        assert_eq!(unchoked.len(), 4);
        let later = now + Duration::from_mins(10);
        assert!(
            choker
                .round(later, &mut StdRng::seed_from_u64(1))
                .is_empty()
        );
    }

    #[test]
    fn a_slot_that_comes_free_goes_to_the_longest_waiting() {
        let now = ambient::now();
        let (mut choker, _) = choker(1, 3, now);
        assert_eq!(
            choker.remove(PeerKey(0), now),
            Some(Change {
                peer: PeerKey(1),
                is_unchoked: true
            })
        );
        let changes = choker.set_interested(PeerKey(1), false, now);
        assert_eq!(
            changes.last(),
            Some(&Change {
                peer: PeerKey(2),
                is_unchoked: true
            })
        );
    }

    #[test]
    fn every_peer_has_its_turn_and_slots_are_never_exceeded() {
        let mut now = ambient::now();
        let mut rng = StdRng::seed_from_u64(7);
        let (mut choker, mut unchoked) = choker(5, 40, now);
        let mut served = unchoked.clone();
        for _ in 0..60 {
            now += Duration::from_secs(10);
            apply(&mut unchoked, choker.round(now, &mut rng));
            assert_eq!(unchoked.len(), 5);
            served.extend(&unchoked);
        }
        // 40 peers, 5 slots, 30 s a turn: the line is through after 240 s; 600 s leave room for the lots drawn.
        assert_eq!(served.len(), 40);
    }

    #[test]
    fn who_wants_nothing_holds_no_slot() {
        let now = ambient::now();
        let mut choker = Choker::new(Options { slots: 1, turn: 30 });
        choker.add(PeerKey(1));
        choker.add(PeerKey(2));
        assert!(choker.set_interested(PeerKey(1), false, now).is_empty());
        assert_eq!(choker.set_interested(PeerKey(2), true, now).len(), 1);
    }
}

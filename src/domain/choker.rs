//! Who may request: the upload slots of one torrent, given by a seed (BEP 3, "choking and optimistic unchoking").
//!
//! A seed gets nothing back from a peer, so it gives each interested peer its turn. While there are slots for all, all are unchoked at once.
//! When there are not, a peer that had its turn goes to the end of the line, and the one that has waited longest takes its place. The wait of
//! those who took much in their last turn counts double: what they have spreads soonest. Every fourth slot goes to a peer drawn
//! by lot (the optimistic slot), so that a newcomer need not wait for the whole line. Nobody waits for ever: to be passed again by the same peer takes
//! twice as long each time.

use std::cmp::Reverse;
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

/// Of so many slots that come free, one is given by lot.
const SLOTS_TO_A_LOT: u32 = 4;

#[derive(Clone, Copy, Debug)]
enum State {
    /// Wants nothing.
    Idle,
    /// Wants pieces and has no slot.
    Waiting { since: Instant, took: Appetite },
    /// Has a slot, and has taken so many bytes with it.
    Unchoked { since: Instant, bytes: u64 },
}

/// What a peer did with its last turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Appetite {
    /// Less than others, or it had none.
    Little,
    /// No less than the average.
    Much,
}

impl State {
    const fn waits(now: Instant) -> Self {
        Self::Waiting {
            since: now,
            took: Appetite::Little,
        }
    }

    const fn unchoked(now: Instant) -> Self {
        Self::Unchoked {
            since: now,
            bytes: 0,
        }
    }
}

/// The slots of one torrent.
#[derive(Debug)]
pub struct Choker {
    options: Options,
    peers: BTreeMap<PeerKey, State>,
    /// Slots that were given since the last one by lot.
    since_lot: u32,
}

impl Choker {
    /// A choker without peers.
    pub const fn new(options: Options) -> Self {
        Self {
            options,
            peers: BTreeMap::new(),
            since_lot: 0,
        }
    }

    /// A peer has connected; it wants nothing yet.
    pub fn add(&mut self, peer: PeerKey) {
        self.peers.insert(peer, State::Idle);
    }

    /// A peer has gone; its slot goes to whoever has waited longest.
    pub fn remove(&mut self, peer: PeerKey, now: Instant) -> Option<Change> {
        let left = self.peers.remove(&peer)?;
        if matches!(left, State::Unchoked { .. }) {
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
        let has_free_slot = self.unchoked().count() < self.options.slots;
        let Some(state) = self.peers.get_mut(&peer) else {
            return Vec::new();
        };
        match (*state, is_interested) {
            (State::Idle, true) if has_free_slot => {
                *state = State::unchoked(now);
                vec![Change {
                    peer,
                    is_unchoked: true,
                }]
            }
            (State::Idle, true) => {
                *state = State::waits(now);
                Vec::new()
            }
            (State::Waiting { .. }, false) => {
                *state = State::Idle;
                Vec::new()
            }
            (State::Unchoked { .. }, false) => {
                *state = State::Idle;
                let mut changes = vec![Change {
                    peer,
                    is_unchoked: false,
                }];
                changes.extend(self.fill_slot(now));
                changes
            }
            (State::Idle, false) | (State::Waiting { .. } | State::Unchoked { .. }, true) => {
                Vec::new()
            }
        }
    }

    /// A peer has taken bytes of content.
    pub fn note_sent(&mut self, peer: PeerKey, sent: u64) {
        if let Some(State::Unchoked { bytes, .. }) = self.peers.get_mut(&peer) {
            *bytes = bytes.saturating_add(sent);
        }
    }

    /// Ends the turns that are over, if anybody waits. Called once a round, every ten seconds.
    pub fn round(&mut self, now: Instant, rng: &mut impl Rng) -> Vec<Change> {
        let turn = Duration::from_secs(self.options.turn);
        let mut over: Vec<(Instant, PeerKey, u64)> = self
            .unchoked()
            .filter(|(since, ..)| now.saturating_duration_since(*since) >= turn)
            .collect();
        over.sort_unstable();
        over.truncate(self.waiting().count());
        let taken: u64 = over.iter().map(|(.., bytes)| bytes).sum();
        let average = taken / (over.len() as u64).max(1);

        let mut changes = Vec::new();
        for (_, leaving, bytes) in over {
            let Some(next) = self.next(now, rng) else {
                break;
            };
            let took = if bytes > 0 && bytes >= average {
                Appetite::Much
            } else {
                Appetite::Little
            };
            self.peers
                .insert(leaving, State::Waiting { since: now, took });
            self.peers.insert(next, State::unchoked(now));
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

    /// So many slots from now on: those that are new go to who has waited longest, and those that are no more are taken from whose turn
    /// has lasted longest.
    pub fn set_slots(&mut self, slots: usize, now: Instant) -> Vec<Change> {
        self.options.slots = slots;
        let mut unchoked: Vec<(Instant, PeerKey, u64)> = self.unchoked().collect();
        unchoked.sort_unstable();
        let given = unchoked.len();
        let mut changes = Vec::new();
        for (_, peer, _) in unchoked.into_iter().take(given.saturating_sub(slots)) {
            self.peers.insert(peer, State::waits(now));
            changes.push(Change {
                peer,
                is_unchoked: false,
            });
        }
        changes.extend((given..slots).map_while(|_| self.fill_slot(now)));
        changes
    }

    /// How many peers are connected.
    pub fn len(&self) -> usize {
        self.peers.len()
    }

    /// How many peers have a slot, and how many wait for one.
    pub fn unchoked_and_waiting(&self) -> (usize, usize) {
        (self.unchoked().count(), self.waiting().count())
    }

    /// Whether no peer is connected.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    fn unchoked(&self) -> impl Iterator<Item = (Instant, PeerKey, u64)> {
        self.peers.iter().filter_map(|(peer, state)| match state {
            State::Unchoked { since, bytes } => Some((*since, *peer, *bytes)),
            State::Idle | State::Waiting { .. } => None,
        })
    }

    fn waiting(&self) -> impl Iterator<Item = (Instant, PeerKey, Appetite)> {
        self.peers.iter().filter_map(|(peer, state)| match state {
            State::Waiting { since, took } => Some((*since, *peer, *took)),
            State::Idle | State::Unchoked { .. } => None,
        })
    }

    /// Who gets the slot of somebody whose turn is over.
    fn next(&mut self, now: Instant, rng: &mut impl Rng) -> Option<PeerKey> {
        self.since_lot += 1;
        if self.since_lot < SLOTS_TO_A_LOT {
            return self.first_in_line(now);
        }
        self.since_lot = 0;
        self.waiting().choose(rng).map(|(_, peer, _)| peer)
    }

    fn first_in_line(&self, now: Instant) -> Option<PeerKey> {
        let waits = self.waiting().map(|(since, peer, took)| {
            let wait = now.saturating_duration_since(since);
            let counted = match took {
                Appetite::Little => wait,
                Appetite::Much => wait.saturating_mul(2),
            };
            // Of equals the first that came.
            (counted, Reverse(peer))
        });
        waits.max().map(|(_, Reverse(peer))| peer)
    }

    fn fill_slot(&mut self, now: Instant) -> Option<Change> {
        let peer = self.first_in_line(now)?;
        self.peers.insert(peer, State::unchoked(now));
        Some(Change {
            peer,
            is_unchoked: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

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
    fn the_number_of_slots_may_change_at_any_time() {
        let now = ambient::now();
        let (mut choker, mut unchoked) = choker(2, 6, now);
        apply(&mut unchoked, choker.set_slots(5, now));
        assert_eq!(unchoked.len(), 5);
        let later = now + Duration::from_secs(1);
        apply(&mut unchoked, choker.set_slots(1, later));
        assert_eq!(unchoked.len(), 1);
        apply(&mut unchoked, choker.set_slots(9, later));
        assert_eq!(unchoked.len(), 6, "there are no more peers");
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

    #[test]
    fn who_took_much_is_back_before_who_took_little() {
        let mut now = ambient::now();
        let mut rng = StdRng::seed_from_u64(1);
        let (mut choker, mut unchoked) = choker(2, 6, now);
        let (eager, lazy) = (PeerKey(0), PeerKey(1));
        let mut turns = BTreeMap::from([(eager, 0), (lazy, 0)]);
        for _ in 0..2_000 {
            now += Duration::from_secs(10);
            choker.note_sent(eager, 1_000_000);
            choker.note_sent(lazy, 1);
            for change in choker.round(now, &mut rng) {
                apply(&mut unchoked, [change]);
                if let Some(turns) = turns.get_mut(&change.peer).filter(|_| change.is_unchoked) {
                    *turns += 1;
                }
            }
        }
        assert!(turns[&eager] * 10 > turns[&lazy] * 12, "{turns:?}");
    }

    proptest! {
        /// Three times the turns that it takes to serve everybody once, however much the others take.
        #[test]
        fn nobody_waits_longer_than_three_times_the_whole_line(
            slots in 1_usize..8, peers in 1_u64..60, seed: u64, eager in 0_u64..60,
        ) {
            let start = ambient::now();
            let mut now = start;
            let mut rng = StdRng::seed_from_u64(seed);
            let (mut choker, mut unchoked) = choker(slots, peers, now);
            let mut waits_since: BTreeMap<PeerKey, Instant> = (0..peers).map(|peer| (PeerKey(peer), now)).collect();
            let line = peers.div_ceil(slots as u64);
            // A turn of 30 s ends with the round after it.
            let bound = Duration::from_secs(40) * u32::try_from(3 * line + 3).unwrap();
            for _ in 0..600 {
                now += Duration::from_secs(10);
                for peer in &unchoked {
                    waits_since.insert(*peer, now);
                    choker.note_sent(*peer, if peer.0 < eager { 1_000_000 } else { 1_000 });
                }
                if rng.random_bool(0.1) {
                    // Somebody ceases to want pieces, and wants them again.
                    let fickle = PeerKey(rng.random_range(0..peers));
                    apply(&mut unchoked, choker.set_interested(fickle, false, now));
                    apply(&mut unchoked, choker.set_interested(fickle, true, now));
                    waits_since.insert(fickle, now);
                }
                apply(&mut unchoked, choker.round(now, &mut rng));
                prop_assert!(unchoked.len() <= slots);
                for (peer, since) in &waits_since {
                    let wait = now - *since;
                    prop_assert!(unchoked.contains(peer) || wait <= bound, "{peer:?} waits {wait:?}, bound {bound:?}");
                }
            }
        }
    }
}

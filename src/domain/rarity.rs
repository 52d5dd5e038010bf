//! Which pieces nobody has been asked for yet, and how rare each is among the connected peers.
//!
//! Pieces lie in one bucket for each count of peers that have them, so a piece that becomes rarer or more common moves in constant time
//! and the rarest is found without a search. Peers that have everything are not counted: they make no piece rarer than another.

use rand::{Rng, RngExt};

use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::{Geometry, PieceIndex};

/// The pieces that wait to be begun, by rarity.
#[derive(Debug)]
pub(super) struct Rarity {
    waiting: Bitfield,
    /// For each piece: how many peers have it, seeds not counted.
    owners: Vec<u32>,
    /// For each piece: its place in its bucket; meaningless while it does not wait.
    places: Vec<usize>,
    /// The waiting pieces: those with no owner, with one, and so on.
    buckets: Vec<Vec<PieceIndex>>,
}

impl Rarity {
    /// Nothing waits, and nobody has anything.
    pub(super) fn new(geometry: &Geometry) -> Self {
        let pieces = geometry.piece_count() as usize;
        Self {
            waiting: Bitfield::empty(geometry),
            owners: vec![0; pieces],
            places: vec![0; pieces],
            buckets: Vec::new(),
        }
    }

    /// Whether nothing waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.waiting.count() == 0
    }

    /// `piece` waits from now on.
    pub(super) fn insert(&mut self, piece: PieceIndex) {
        if self.waiting.insert(piece) {
            self.put(piece);
        }
    }

    /// `piece` waits no longer.
    pub(super) fn remove(&mut self, piece: PieceIndex) {
        if self.waiting.remove(piece) {
            self.take(piece);
        }
    }

    /// One more peer has `piece`.
    pub(super) fn add_owner(&mut self, piece: PieceIndex) {
        self.count(piece, |owners| owners.saturating_add(1));
    }

    /// One peer less has `piece`.
    pub(super) fn remove_owner(&mut self, piece: PieceIndex) {
        self.count(piece, |owners| owners.saturating_sub(1));
    }

    /// The rarest waiting piece that is among `pieces`; by lot among equals.
    pub(super) fn rarest(&self, pieces: &Bitfield, rng: &mut impl Rng) -> Option<PieceIndex> {
        if !self.waiting.overlaps(pieces) {
            return None;
        }
        self.buckets.iter().find_map(|bucket| {
            if bucket.is_empty() {
                return None;
            }
            let (before, after) = bucket.split_at(rng.random_range(0..bucket.len()));
            after
                .iter()
                .chain(before)
                .find(|piece| pieces.contains(**piece))
                .copied()
        })
    }

    fn count(&mut self, piece: PieceIndex, change: impl Fn(u32) -> u32) {
        let is_waiting = self.waiting.contains(piece);
        if is_waiting {
            self.take(piece);
        }
        if let Some(owners) = self.owners.get_mut(piece.as_usize()) {
            *owners = change(*owners);
        }
        if is_waiting {
            self.put(piece);
        }
    }

    fn put(&mut self, piece: PieceIndex) {
        let owners = self.owners[piece.as_usize()] as usize;
        if self.buckets.len() <= owners {
            self.buckets.resize_with(owners + 1, Vec::new);
        }
        self.places[piece.as_usize()] = self.buckets[owners].len();
        self.buckets[owners].push(piece);
    }

    fn take(&mut self, piece: PieceIndex) {
        let owners = self.owners[piece.as_usize()] as usize;
        let place = self.places[piece.as_usize()];
        self.buckets[owners].swap_remove(place);
        if let Some(moved) = self.buckets[owners].get(place) {
            self.places[moved.as_usize()] = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn geometry(pieces: u32) -> Geometry {
        Geometry::new(u64::from(pieces) * 16, NonZeroU32::new(16).unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn rarest_is_what_a_search_through_all_pieces_finds(
            steps in prop::collection::vec((0_u8..4, 0_u32..20), 0..200), seed: u64,
        ) {
            let g = geometry(20);
            let mut rng = StdRng::seed_from_u64(seed);
            let mut rarity = Rarity::new(&g);
            let mut owners = [0_u32; 20];
            let mut waiting = [false; 20];
            for (step, index) in steps {
                let (piece, at) = (g.piece(index).unwrap(), index as usize);
                match step {
                    0 => { rarity.insert(piece); waiting[at] = true; }
                    1 => { rarity.remove(piece); waiting[at] = false; }
                    2 => { rarity.add_owner(piece); owners[at] += 1; }
                    _ => { rarity.remove_owner(piece); owners[at] = owners[at].saturating_sub(1); }
                }
                let least = (0..20).filter(|at| waiting[*at]).map(|at| owners[at]).min();
                let found = rarity.rarest(&Bitfield::full(&g), &mut rng);
                prop_assert_eq!(found.map(|piece| owners[piece.as_usize()]), least);
                prop_assert!(found.is_none_or(|piece| waiting[piece.as_usize()]));
                prop_assert_eq!(rarity.is_empty(), least.is_none());
            }
        }
    }

    #[test]
    fn equals_are_drawn_by_lot() {
        let g = geometry(8);
        let mut rarity = Rarity::new(&g);
        g.pieces().for_each(|piece| rarity.insert(piece));
        let mut rng = StdRng::seed_from_u64(7);
        let drawn: std::collections::HashSet<_> = (0..200)
            .filter_map(|_| rarity.rarest(&Bitfield::full(&g), &mut rng))
            .collect();
        assert_eq!(drawn.len(), 8);
    }
}

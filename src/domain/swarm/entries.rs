//! The peers of a swarm, one behind the other, in pieces of one size.
//!
//! A single vector would be copied as it grows, and ten thousand growing swarms would leave as much room in holes as they
//! fill; pieces of one size fit into each other's holes.

use super::entry::Entry;

/// Entries in a full piece.
const PIECE: usize = 32;

/// A vector of entries.
#[derive(Debug)]
pub(super) struct Entries<A> {
    /// All full but the last, and none empty.
    pieces: Vec<Vec<Entry<A>>>,
}

impl<A> Default for Entries<A> {
    fn default() -> Self {
        Self { pieces: Vec::new() }
    }
}

impl<A: Copy> Entries<A> {
    pub(super) fn len(&self) -> usize {
        match self.pieces.split_last() {
            Some((last, full)) => full.len() * PIECE + last.len(),
            None => 0,
        }
    }

    /// The entry at a position below the length.
    pub(super) fn at(&self, position: usize) -> &Entry<A> {
        &self.pieces[position / PIECE][position % PIECE]
    }

    /// The same, to be changed.
    pub(super) fn at_mut(&mut self, position: usize) -> &mut Entry<A> {
        &mut self.pieces[position / PIECE][position % PIECE]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry<A>> {
        self.pieces.iter().flatten()
    }

    pub(super) fn push(&mut self, entry: Entry<A>) {
        match self.pieces.last_mut() {
            Some(last) if last.len() < PIECE => last.push(entry),
            _ => self.pieces.push(vec![entry]),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Entry<A>> {
        let last = self.pieces.last_mut()?;
        let popped = last.pop();
        if last.is_empty() {
            self.pieces.pop();
        }
        popped
    }

    /// Swaps the entries at two different positions.
    pub(super) fn swap(&mut self, a: usize, b: usize) {
        let (at_a, at_b) = (*self.at(a), *self.at(b));
        *self.at_mut(a) = at_b;
        *self.at_mut(b) = at_a;
    }

    /// Gives back the memory that stands empty.
    pub(super) fn shrink(&mut self) {
        if let Some(last) = self.pieces.last_mut() {
            last.shrink_to_fit();
        }
        if self.pieces.capacity() > self.pieces.len() * 2 {
            self.pieces.shrink_to_fit();
        }
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.pieces.iter().map(Vec::capacity).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::num::NonZeroU16;

    use proptest::prelude::*;

    use super::super::entry::{Mark, Moment};
    use super::*;

    fn entry(n: u32) -> Entry<Ipv4Addr> {
        Entry {
            ip: n.into(),
            port: NonZeroU16::MIN,
            seen: Moment::default(),
            mark: Mark::of([1; 20].into()),
        }
    }

    proptest! {
        #[test]
        fn holds_what_a_vector_would_hold(steps in proptest::collection::vec((0..4_u8, any::<usize>(), any::<usize>()), 0..400)) {
            let (mut entries, mut model) = (Entries::default(), Vec::new());
            for (n, (step, a, b)) in (0..).zip(steps) {
                match step {
                    0 | 1 => {
                        entries.push(entry(n));
                        model.push(entry(n));
                    }
                    2 => prop_assert_eq!(entries.pop(), model.pop()),
                    _ if model.is_empty() => entries.shrink(),
                    _ => {
                        let (a, b) = (a % model.len(), b % model.len());
                        entries.swap(a, b);
                        model.swap(a, b);
                        entries.shrink();
                    }
                }
                prop_assert_eq!(entries.len(), model.len());
                prop_assert_eq!(entries.iter().collect::<Vec<_>>(), model.iter().collect::<Vec<_>>());
                for (position, expected) in model.iter().enumerate() {
                    prop_assert_eq!(entries.at(position), expected);
                }
            }
        }
    }
}

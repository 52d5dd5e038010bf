//! Which pieces a peer has (BEP 3, `bitfield`).

use super::geometry::{Geometry, PieceIndex};

/// One bit a piece. Sized by a [`Geometry`]; where all bits are alike, as with seeds and beginners, it takes no memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitfield {
    /// The first piece in the highest bit of the first byte, spare bits zero; empty where no piece is there, or every one.
    bytes: Vec<u8>,
    set: u32,
    pieces: u32,
}

/// Why bytes off the wire are no bitfield for a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitfieldError {
    /// The field is not one bit a piece.
    #[error("a bitfield of {actual} bytes where the torrent needs {expected}")]
    WrongLength {
        /// Bytes that the geometry asks for.
        expected: usize,
        /// Bytes that came.
        actual: usize,
    },
    /// A bit past the last piece is set (BEP 3: "spare bits at the end are set to zero").
    #[error("a bitfield that claims pieces past the last")]
    SpareBitsSet,
}

impl Bitfield {
    /// No piece at all.
    pub const fn empty(geometry: &Geometry) -> Self {
        Self {
            bytes: Vec::new(),
            set: 0,
            pieces: geometry.piece_count(),
        }
    }

    /// Every piece.
    pub const fn full(geometry: &Geometry) -> Self {
        Self {
            bytes: Vec::new(),
            set: geometry.piece_count(),
            pieces: geometry.piece_count(),
        }
    }

    /// Reads the payload of a `bitfield` message.
    ///
    /// # Errors
    /// [`BitfieldError`] where the length does not fit the geometry or a spare bit is set: BEP 3 wants such a
    /// connection closed.
    pub fn from_bytes(bytes: &[u8], geometry: &Geometry) -> Result<Self, BitfieldError> {
        let pieces = geometry.piece_count();
        let expected = byte_length(pieces);
        if bytes.len() != expected {
            return Err(BitfieldError::WrongLength {
                expected,
                actual: bytes.len(),
            });
        }
        if bytes
            .last()
            .is_some_and(|last| last & !last_byte(pieces) != 0)
        {
            return Err(BitfieldError::SpareBitsSet);
        }
        let set = bytes
            .iter()
            .map(|byte| byte.count_ones())
            .fold(0, u32::saturating_add);
        let is_mixed = set > 0 && set < pieces;
        Ok(Self {
            bytes: if is_mixed { bytes.to_vec() } else { Vec::new() },
            set,
            pieces,
        })
    }

    /// The payload of a `bitfield` message.
    pub fn to_bytes(&self) -> Vec<u8> {
        if !self.bytes.is_empty() {
            return self.bytes.clone();
        }
        let all = if self.set == 0 { 0 } else { u8::MAX };
        let mut bytes = vec![all; byte_length(self.pieces)];
        if let Some(last) = bytes.last_mut() {
            *last &= last_byte(self.pieces);
        }
        bytes
    }

    /// Whether the bit of `piece` is set.
    pub fn contains(&self, piece: PieceIndex) -> bool {
        if self.bytes.is_empty() {
            return self.set > 0 && piece.get() < self.pieces;
        }
        let (byte, mask) = position(piece);
        self.bytes.get(byte).is_some_and(|byte| byte & mask != 0)
    }

    /// Sets the bit of `piece`; true if it was not set before.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        self.turn(piece, true)
    }

    /// Clears the bit of `piece`; true if it was set before.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        self.turn(piece, false)
    }

    /// Gives the bit of `piece` a value; says whether it had the other.
    fn turn(&mut self, piece: PieceIndex, is_set: bool) -> bool {
        if piece.get() >= self.pieces || self.contains(piece) == is_set {
            return false;
        }
        if self.bytes.is_empty() {
            self.bytes = self.to_bytes();
        }
        let (byte, mask) = position(piece);
        if let Some(byte) = self.bytes.get_mut(byte) {
            *byte ^= mask;
        }
        self.set = self.set.saturating_add_signed(if is_set { 1 } else { -1 });
        if self.set == 0 || self.is_full() {
            self.bytes = Vec::new();
        }
        true
    }

    /// Whether some piece is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        if self.bytes.is_empty() || other.bytes.is_empty() {
            return self.set > 0 && other.set > 0;
        }
        let mut both = self.bytes.iter().zip(&other.bytes);
        both.any(|(ours, theirs)| ours & theirs != 0)
    }

    /// Whether some piece is in here that is not in `other`.
    pub fn exceeds(&self, other: &Self) -> bool {
        if self.bytes.is_empty() || other.bytes.is_empty() {
            return self.set > 0 && !other.is_full();
        }
        let mut both = self.bytes.iter().zip(&other.bytes);
        both.any(|(ours, theirs)| ours & !theirs != 0)
    }

    /// How many pieces there are.
    pub const fn count(&self) -> u32 {
        self.set
    }

    /// Whether every piece is there.
    pub const fn is_full(&self) -> bool {
        self.set == self.pieces
    }
}

fn position(piece: PieceIndex) -> (usize, u8) {
    (piece.as_usize() >> 3, 0x80 >> (piece.get() & 7))
}

fn byte_length(pieces: u32) -> usize {
    // At most 2²⁹ bytes: fits usize on every platform that has sockets.
    pieces.div_ceil(8) as usize
}

/// The last byte of a full field: without the spare bits.
const fn last_byte(pieces: u32) -> u8 {
    u8::MAX << (pieces.wrapping_neg() % 8)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    fn pieces(count: u32) -> Geometry {
        Geometry::new(u64::from(count) * 16, NonZeroU32::new(16).unwrap()).unwrap()
    }

    #[test]
    fn first_piece_is_the_highest_bit() {
        let g = pieces(9);
        let mut field = Bitfield::empty(&g);
        assert!(field.insert(g.piece(0).unwrap()));
        assert!(!field.insert(g.piece(0).unwrap()));
        field.insert(g.piece(8).unwrap());
        assert_eq!(field.to_bytes(), [0x80, 0x80]);
        assert_eq!(field.count(), 2);
    }

    #[test]
    fn refuses_spare_bits_and_wrong_lengths() {
        let g = pieces(9);
        assert!(Bitfield::from_bytes(&[0xff, 0x80], &g).unwrap().is_full());
        assert_eq!(
            Bitfield::from_bytes(&[0xff, 0x81], &g),
            Err(BitfieldError::SpareBitsSet)
        );
        assert_eq!(
            Bitfield::from_bytes(&[0xff], &g),
            Err(BitfieldError::WrongLength {
                expected: 2,
                actual: 1
            })
        );
        assert_eq!(
            Bitfield::from_bytes(&[0, 0, 0], &g),
            Err(BitfieldError::WrongLength {
                expected: 2,
                actual: 3
            })
        );
    }

    #[test]
    fn whole_bytes_have_no_spare_bits() {
        assert!(Bitfield::from_bytes(&[0xff], &pieces(8)).unwrap().is_full());
    }

    #[test]
    fn compares_with_another() {
        let g = pieces(9);
        let (mut some, full) = (Bitfield::empty(&g), Bitfield::full(&g));
        assert!(!some.overlaps(&full) && full.exceeds(&some));
        some.insert(g.piece(8).unwrap());
        assert!(some.overlaps(&full) && full.exceeds(&some) && !some.exceeds(&full));
        assert!(some.remove(g.piece(8).unwrap()) && !some.remove(g.piece(8).unwrap()));
        assert_eq!(some, Bitfield::empty(&g));
    }

    proptest! {
        #[test]
        fn is_what_a_set_of_pieces_is(
            count in 1_u32..40, turns in proptest::collection::vec((0_u32..40, any::<bool>()), 0..200),
        ) {
            let g = pieces(count);
            let (mut field, mut set) = (Bitfield::empty(&g), std::collections::BTreeSet::new());
            for (piece, is_set) in turns {
                let Some(piece) = g.piece(piece) else { continue };
                let is_news = if is_set { set.insert(piece) } else { set.remove(&piece) };
                prop_assert_eq!(if is_set { field.insert(piece) } else { field.remove(piece) }, is_news);
                prop_assert_eq!(field.count() as usize, set.len());
                prop_assert!(g.pieces().all(|piece| field.contains(piece) == set.contains(&piece)));
                prop_assert_eq!(Bitfield::from_bytes(&field.to_bytes(), &g), Ok(field.clone()));
                prop_assert_eq!(field.overlaps(&Bitfield::full(&g)), !set.is_empty());
                prop_assert_eq!(Bitfield::full(&g).exceeds(&field), set.len() < count as usize);
            }
        }

        #[test]
        fn full_round_trips(count in 0_u32..300) {
            let g = pieces(count);
            let full = Bitfield::full(&g);
            prop_assert!(full.is_full());
            prop_assert_eq!(Bitfield::from_bytes(&full.to_bytes(), &g), Ok(full));
        }
    }
}

//! Which pieces a peer has (BEP 3, `bitfield`).

use super::geometry::{Geometry, PieceIndex};

/// One bit a piece, the first piece in the highest bit of the first byte. Sized by a [`Geometry`]; spare bits are zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitfield {
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
    pub fn empty(geometry: &Geometry) -> Self {
        Self {
            bytes: vec![0; Self::byte_length(geometry)],
            set: 0,
            pieces: geometry.piece_count(),
        }
    }

    /// Every piece.
    pub fn full(geometry: &Geometry) -> Self {
        let mut all = Self::empty(geometry);
        for piece in geometry.pieces() {
            all.insert(piece);
        }
        all
    }

    /// Reads the payload of a `bitfield` message.
    ///
    /// # Errors
    /// [`BitfieldError`] where the length does not fit the geometry or a spare bit is set: BEP 3 wants such a
    /// connection closed.
    pub fn from_bytes(bytes: &[u8], geometry: &Geometry) -> Result<Self, BitfieldError> {
        let expected = Self::byte_length(geometry);
        if bytes.len() != expected {
            return Err(BitfieldError::WrongLength {
                expected,
                actual: bytes.len(),
            });
        }
        let spare = geometry.piece_count().wrapping_neg() % 8;
        let spare_mask = (1_u8 << spare).wrapping_sub(1);
        if bytes.last().is_some_and(|last| last & spare_mask != 0) {
            return Err(BitfieldError::SpareBitsSet);
        }
        let set = bytes
            .iter()
            .map(|byte| byte.count_ones())
            .fold(0, u32::saturating_add);
        Ok(Self {
            bytes: bytes.to_vec(),
            set,
            pieces: geometry.piece_count(),
        })
    }

    /// The payload of a `bitfield` message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the bit of `piece` is set.
    pub fn contains(&self, piece: PieceIndex) -> bool {
        let (byte, mask) = Self::position(piece);
        self.bytes.get(byte).is_some_and(|byte| byte & mask != 0)
    }

    /// Sets the bit of `piece`; true if it was not set before.
    pub fn insert(&mut self, piece: PieceIndex) -> bool {
        let (byte, mask) = Self::position(piece);
        let Some(byte) = self.bytes.get_mut(byte) else {
            return false;
        };
        let is_new = *byte & mask == 0;
        *byte |= mask;
        self.set = self.set.saturating_add(u32::from(is_new));
        is_new
    }

    /// Clears the bit of `piece`; true if it was set before.
    pub fn remove(&mut self, piece: PieceIndex) -> bool {
        let (byte, mask) = Self::position(piece);
        let Some(byte) = self.bytes.get_mut(byte) else {
            return false;
        };
        let was_set = *byte & mask != 0;
        *byte &= !mask;
        self.set = self.set.saturating_sub(u32::from(was_set));
        was_set
    }

    /// Whether some piece is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.bytes
            .iter()
            .zip(&other.bytes)
            .any(|(ours, theirs)| ours & theirs != 0)
    }

    /// Whether some piece is in here that is not in `other`.
    pub fn exceeds(&self, other: &Self) -> bool {
        self.bytes
            .iter()
            .zip(&other.bytes)
            .any(|(ours, theirs)| ours & !theirs != 0)
    }

    /// How many pieces there are.
    pub const fn count(&self) -> u32 {
        self.set
    }

    /// Whether every piece is there.
    pub const fn is_full(&self) -> bool {
        self.set == self.pieces
    }

    fn position(piece: PieceIndex) -> (usize, u8) {
        (piece.as_usize() >> 3, 0x80 >> (piece.get() & 7))
    }

    fn byte_length(geometry: &Geometry) -> usize {
        // At most 2²⁹ bytes: fits usize on every platform that has sockets.
        geometry.piece_count().div_ceil(8) as usize
    }
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
        assert_eq!(field.as_bytes(), [0x80, 0x80]);
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
        fn full_round_trips(count in 0_u32..300) {
            let g = pieces(count);
            let full = Bitfield::full(&g);
            prop_assert!(full.is_full());
            prop_assert_eq!(Bitfield::from_bytes(full.as_bytes(), &g), Ok(full));
        }
    }
}

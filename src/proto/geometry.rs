//! All arithmetic of pieces, blocks and offsets (BEP 3).
//!
//! A torrent is one run of bytes: its files laid end to end, pads included. [`Geometry`] cuts that run into pieces (what
//! is hashed) and pieces into blocks (what is requested). A [`PieceIndex`] or [`Block`] can only be had from the geometry
//! that checked it, so nothing later checks again.

use std::num::NonZeroU32;

/// Bytes in every block but a piece's last: what all clients ask for and accept.
pub const BLOCK_LENGTH: u32 = 16 * 1024;

/// The index of a piece that exists, counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PieceIndex(u32);

impl PieceIndex {
    /// The index as it goes over the wire.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The index as a position in a slice with one entry a piece.
    pub const fn as_usize(self) -> usize {
        // usize is at least 32 bits wide on every platform that has sockets.
        self.0 as usize
    }
}

/// A stretch of one piece that a peer may ask for. It never crosses a piece's end and is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block {
    piece: PieceIndex,
    begin: u32,
    length: NonZeroU32,
}

impl Block {
    /// The piece that the block lies in.
    pub const fn piece(self) -> PieceIndex {
        self.piece
    }

    /// Where the block begins, in bytes from the start of its piece.
    pub const fn begin(self) -> u32 {
        self.begin
    }

    /// Bytes in the block.
    pub const fn length(self) -> u32 {
        self.length.get()
    }
}

/// How a torrent's bytes are cut: its total length and its piece length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    total_length: u64,
    piece_length: NonZeroU32,
    pieces: u32,
}

impl Geometry {
    /// The geometry of `total_length` bytes, pads included, in pieces of `piece_length` bytes.
    ///
    /// `None` where the pieces would be more than the wire can count (2³² − 1).
    pub fn new(total_length: u64, piece_length: NonZeroU32) -> Option<Self> {
        let pieces = u32::try_from(total_length.div_ceil(u64::from(piece_length.get()))).ok()?;
        Some(Self {
            total_length,
            piece_length,
            pieces,
        })
    }

    /// Bytes in all pieces together, pads included.
    pub const fn total_length(&self) -> u64 {
        self.total_length
    }

    /// Bytes in every piece but the last.
    pub const fn piece_length(&self) -> u32 {
        self.piece_length.get()
    }

    /// How many pieces there are. A torrent of zero bytes has none.
    pub const fn piece_count(&self) -> u32 {
        self.pieces
    }

    /// The piece at `index`, if there is one.
    pub const fn piece(&self, index: u32) -> Option<PieceIndex> {
        if index < self.pieces {
            Some(PieceIndex(index))
        } else {
            None
        }
    }

    /// All pieces in order.
    pub fn pieces(&self) -> impl DoubleEndedIterator<Item = PieceIndex> + use<> {
        (0..self.pieces).map(PieceIndex)
    }

    /// The pieces that `length` bytes from `offset` of the torrent touch, in order.
    pub fn pieces_touching(
        &self,
        offset: u64,
        length: u64,
    ) -> impl Iterator<Item = PieceIndex> + use<> {
        let piece_length = u64::from(self.piece_length.get());
        let end = offset.saturating_add(length).min(self.total_length);
        let first = offset.checked_div(piece_length).unwrap_or(0);
        let past = if offset < end {
            end.div_ceil(piece_length)
        } else {
            first
        };
        let clamp =
            |piece: u64| u32::try_from(piece).map_or(self.pieces, |piece| piece.min(self.pieces));
        (clamp(first)..clamp(past)).map(PieceIndex)
    }

    /// Where `piece` begins, in bytes from the start of the torrent.
    pub fn piece_offset(&self, piece: PieceIndex) -> u64 {
        u64::from(piece.0).saturating_mul(u64::from(self.piece_length.get()))
    }

    /// Bytes in `piece`: the piece length, but for the last piece what is left.
    pub fn length_of(&self, piece: PieceIndex) -> u32 {
        let left = self.total_length.saturating_sub(self.piece_offset(piece));
        u32::try_from(left)
            .unwrap_or(u32::MAX)
            .min(self.piece_length.get())
    }

    /// The block that a peer names by three numbers off the wire, if it lies within one piece and is not empty.
    pub fn block(&self, piece: u32, begin: u32, length: u32) -> Option<Block> {
        let piece = self.piece(piece)?;
        let length = NonZeroU32::new(length)?;
        let end = begin.checked_add(length.get())?;
        (end <= self.length_of(piece)).then_some(Block {
            piece,
            begin,
            length,
        })
    }

    /// The blocks of `piece` in order, each of [`BLOCK_LENGTH`] bytes but for the last.
    pub fn blocks(
        &self,
        piece: PieceIndex,
    ) -> impl DoubleEndedIterator<Item = Block> + ExactSizeIterator + use<> {
        let piece_length = self.length_of(piece);
        (0..self.block_count(piece)).map(move |ordinal| {
            let begin = ordinal.saturating_mul(BLOCK_LENGTH);
            let length = piece_length.saturating_sub(begin).min(BLOCK_LENGTH);
            Block {
                piece,
                begin,
                length: NonZeroU32::new(length).unwrap_or(NonZeroU32::MIN),
            }
        })
    }

    /// How many blocks [`blocks`](Self::blocks) gives for `piece`.
    pub fn block_count(&self, piece: PieceIndex) -> u32 {
        self.length_of(piece).div_ceil(BLOCK_LENGTH)
    }

    /// Where `block` begins, in bytes from the start of the torrent.
    pub fn offset(&self, block: Block) -> u64 {
        self.piece_offset(block.piece)
            .saturating_add(u64::from(block.begin))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn geometry(total: u64, piece: u32) -> Geometry {
        Geometry::new(total, NonZeroU32::new(piece).unwrap()).unwrap()
    }

    #[test]
    fn last_piece_is_what_is_left() {
        let g = geometry(100_000, 65_536);
        assert_eq!(g.piece_count(), 2);
        assert_eq!(g.length_of(g.piece(1).unwrap()), 34_464);
        assert_eq!(g.piece(2), None);
    }

    #[test]
    fn nothing_has_no_pieces() {
        assert_eq!(geometry(0, 16_384).piece_count(), 0);
    }

    #[test]
    fn refuses_block_across_piece_end() {
        let g = geometry(100_000, 65_536);
        assert!(g.block(0, 49_152, 16_384).is_some());
        assert!(g.block(0, 49_153, 16_384).is_none());
        assert!(g.block(1, 34_463, 1).is_some());
        assert!(g.block(1, 34_463, 2).is_none());
    }

    #[test]
    fn refuses_empty_blocks_and_overflow() {
        let g = geometry(100_000, 65_536);
        assert!(g.block(0, 0, 0).is_none());
        assert!(g.block(0, u32::MAX, 16_384).is_none());
        assert!(g.block(0, 16_384, u32::MAX).is_none());
    }

    #[test]
    fn refuses_more_pieces_than_the_wire_can_count() {
        assert!(Geometry::new(u64::MAX, NonZeroU32::MIN).is_none());
    }

    #[test]
    fn a_stretch_touches_the_pieces_that_it_lies_in() {
        let g = geometry(100, 16);
        let touched = |offset, length| {
            g.pieces_touching(offset, length)
                .map(PieceIndex::get)
                .collect::<Vec<_>>()
        };
        assert_eq!(touched(0, 16), [0]);
        assert_eq!(touched(15, 2), [0, 1]);
        assert_eq!(touched(96, 1_000), [6]);
        assert_eq!(touched(16, 0), [] as [u32; 0]);
        assert_eq!(touched(500, 5), [] as [u32; 0]);
    }

    proptest! {
        #[test]
        fn pieces_and_blocks_cover_the_torrent_exactly_once(total in 0_u64..3_000_000, piece in 1_u32..200_000) {
            let g = geometry(total, piece);
            let mut at = 0;
            for p in g.pieces() {
                prop_assert_eq!(g.piece_offset(p), at);
                for block in g.blocks(p) {
                    prop_assert_eq!(g.offset(block), at);
                    prop_assert_eq!(g.block(p.get(), block.begin(), block.length()), Some(block));
                    at += u64::from(block.length());
                }
            }
            prop_assert_eq!(at, total);
        }
    }
}

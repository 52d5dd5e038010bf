//! Pieces that one thread hashes together.
//!
//! A batch is whole pieces, enough of them for all lanes of [`sha`]. Pieces too long for that are hashed in slices: in each
//! round the next slice of every piece is read.

use super::layout::{Layout, Piece};
use super::reader::in_memory;
use crate::proto::geometry::BLOCK_LENGTH;
use crate::proto::metainfo::hash::PieceHashes;
use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::merkle::{self, Hash};
use crate::proto::sha::{self, Block, Running, Sha1, Sha256};

/// Pieces that may be hashed at once by the widest way that there is.
const LANES: usize = 8;

/// Bytes in a batch, at least, so that short pieces do not make threads wait for each other.
const WORTHWHILE: usize = 512 << 10;

/// Pieces in a batch, at most.
const MAX_PIECES: usize = 256;

/// In a hybrid, bytes of each piece that are hashed twice before the next, so that the second time finds them in the cache.
const STEP: usize = 32 << 10;

/// Bytes between pieces in memory. Without, all lanes would want the same few places of the cache.
const STAGGER: usize = 192;

/// What pads are made of.
static ZEROS: [Block; 256] = [[0; 64]; 256];

/// Pieces, and the room for their bytes.
pub(super) struct Batch {
    format: Format,
    /// Rows of the merkle tree below a piece.
    height: u32,
    /// Bytes of each piece that are in memory at once; whole blocks of a tree.
    slice_length: usize,
    /// Bytes of all of them together, about.
    room: usize,
    buffer: Vec<u8>,
    first: u64,
    pieces: Vec<PieceAtWork>,
    running: Vec<Running<Sha1>>,
}

/// A piece on its way, of which `done` bytes are hashed.
struct PieceAtWork {
    piece: Piece,
    is_there: bool,
    done: u64,
    /// Where the slice lies in the buffer.
    at: usize,
    length: usize,
    /// Behind the last whole block of the piece.
    rest: Rest,
    leaves: Vec<Hash>,
}

#[derive(Clone, Copy)]
struct Rest {
    bytes: Block,
    length: usize,
}

/// Where the next slice of a piece shall go.
pub(super) struct Slice<'a> {
    /// In bytes from the start of the layout.
    pub(super) offset: u64,
    pub(super) bytes: &'a mut [u8],
    /// To be set to false where some of the bytes are not to be had.
    pub(super) is_there: &'a mut bool,
}

impl Batch {
    /// Room for pieces of that length in about `memory` bytes.
    pub(super) fn new(format: Format, piece_length: u64, memory: usize) -> Self {
        let block = BLOCK_LENGTH as usize;
        let piece_length = in_memory(piece_length);
        // All lanes have room for a slice, or for the whole piece.
        let share = (memory / LANES).saturating_sub(STAGGER).max(block);
        let slice_length = piece_length.min(share - share % block);
        Self {
            format,
            height: merkle::piece_height(u32::try_from(piece_length).unwrap_or(u32::MAX)),
            slice_length,
            room: ((slice_length + STAGGER) * LANES).max(WORTHWHILE.min(memory)),
            buffer: Vec::new(),
            first: 0,
            pieces: Vec::new(),
            running: Vec::new(),
        }
    }

    /// How many pieces it holds.
    pub(super) fn len(&self) -> u64 {
        self.pieces.len() as u64
    }

    /// Takes up the pieces of a layout from `first` on, as many as there is room for.
    pub(super) fn begin(&mut self, first: u64, layout: &Layout<'_>) {
        self.first = first;
        self.pieces.clear();
        let mut room = self.room;
        for piece in (first..)
            .map_while(|index| layout.piece(index))
            .take(MAX_PIECES)
        {
            let length = in_memory(piece.bytes).min(self.slice_length) + STAGGER;
            if length > room && !self.pieces.is_empty() {
                break;
            }
            room = room.saturating_sub(length);
            self.pieces.push(PieceAtWork::new(piece));
        }
        self.running = vec![Running::new(); self.pieces.len()];
    }

    /// The next slice of each piece. What was in memory before is hashed by then.
    pub(super) fn slices(&mut self) -> impl Iterator<Item = Slice<'_>> {
        let mut end = 0;
        for piece in &mut self.pieces {
            let left = if piece.is_there {
                piece.piece.bytes - piece.done
            } else {
                0
            };
            piece.at = end;
            piece.length = in_memory(left).min(self.slice_length);
            end += piece.length + STAGGER;
        }
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        let mut rest = self.buffer.as_mut_slice();
        self.pieces.iter_mut().map(move |piece| {
            let (bytes, after) = std::mem::take(&mut rest).split_at_mut(piece.length + STAGGER);
            rest = after;
            Slice {
                offset: piece.piece.offset + piece.done,
                bytes: &mut bytes[..piece.length],
                is_there: &mut piece.is_there,
            }
        })
    }

    /// Hashes the slices that are in memory, and tells how many bytes that were.
    pub(super) fn hash(&mut self) -> u64 {
        let step = if self.format == Format::Hybrid {
            STEP
        } else {
            self.slice_length
        };
        for from in (0..self.slice_length).step_by(step) {
            self.hash_step(from, step);
        }
        let mut hashed = 0;
        for piece in &mut self.pieces {
            piece.done += piece.length as u64;
            hashed += piece.length as u64;
        }
        hashed
    }

    /// Whether there are more slices to come.
    pub(super) fn is_unfinished(&self) -> bool {
        let mut pieces = self.pieces.iter();
        pieces.any(|piece| piece.is_there && piece.done < piece.piece.bytes)
    }

    /// Hashes up to `step` bytes of each slice.
    fn hash_step(&mut self, from: usize, step: usize) {
        let parts = self.pieces.iter().map(|piece| {
            let (from, to) = (from.min(piece.length), (from + step).min(piece.length));
            if piece.is_there {
                &self.buffer[piece.at + from..piece.at + to]
            } else {
                &[]
            }
        });
        let parts: Vec<&[u8]> = parts.collect();
        if self.format.has_v1() {
            let (blocks, rests): (Vec<&[Block]>, Vec<&[u8]>) =
                parts.iter().map(|part| part.as_chunks()).unzip();
            sha::update_each(&mut self.running, &blocks);
            for (piece, rest) in self.pieces.iter_mut().zip(rests) {
                piece.rest.keep(rest);
            }
        }
        if self.format.has_v2() {
            let blocks = parts
                .iter()
                .flat_map(|part| part.chunks(BLOCK_LENGTH as usize));
            let blocks: Vec<&[u8]> = blocks.collect();
            let mut leaves = sha::digest_each::<Sha256>(&blocks).into_iter();
            for (piece, part) in self.pieces.iter_mut().zip(parts) {
                let count = part.len().div_ceil(BLOCK_LENGTH as usize);
                piece.leaves.extend(leaves.by_ref().take(count));
            }
        }
    }

    /// Bytes that were not hashed, because they are missing or a pad's.
    pub(super) fn unhashed_length(&self) -> u64 {
        let left = |work: &PieceAtWork| work.piece.bytes - work.done + work.piece.zeros;
        self.pieces.iter().map(left).sum()
    }

    /// What came out, after the last slice, of the pieces whose bytes are all there.
    pub(super) fn finish(&mut self) -> Vec<(u64, PieceHashes)> {
        let (bare, padded) = if self.format.has_v1() {
            let rests: Vec<&[u8]> = self.pieces.iter().map(|piece| piece.rest.bytes()).collect();
            let bare = sha::finish_each(self.running.clone(), &rests);
            (bare, self.finish_padded())
        } else {
            (Vec::new(), Vec::new())
        };
        let mut found = Vec::with_capacity(self.pieces.len());
        for (number, (piece, index)) in self.pieces.iter_mut().zip(self.first..).enumerate() {
            if piece.is_there {
                let bare = bare.get(number).copied();
                let hashes = PieceHashes {
                    sha1: padded.get(number).copied(),
                    bare_sha1: bare.filter(|_| piece.piece.zeros > 0),
                    root: piece.root(self.height),
                };
                found.push((index, hashes));
            }
        }
        found
    }

    /// The SHA-1 of each piece and the zeros behind it.
    fn finish_padded(&mut self) -> Vec<[u8; 20]> {
        let of_each = |length: fn(&PieceAtWork) -> u64| self.pieces.iter().map(length);
        // The rest of the piece and zeros make the first block behind it, if they are enough.
        let tails: Vec<u64> = of_each(PieceAtWork::tail_length).collect();
        let firsts = self.pieces.iter().zip(&tails).map(|(piece, tail)| {
            let first = std::slice::from_ref(&piece.rest.bytes);
            if *tail >= 64 { first } else { &[] }
        });
        let firsts: Vec<&[Block]> = firsts.collect();
        sha::update_each(&mut self.running, &firsts);
        let mut zeros: Vec<u64> = tails
            .iter()
            .map(|tail| (tail / 64).saturating_sub(1))
            .collect();
        while zeros.iter().any(|left| *left > 0) {
            let parts = zeros.iter_mut().map(|left| {
                let now = in_memory(*left).min(ZEROS.len());
                *left -= now as u64;
                &ZEROS[..now]
            });
            let parts: Vec<&[Block]> = parts.collect();
            sha::update_each(&mut self.running, &parts);
        }
        let rests = self.pieces.iter().zip(&tails).map(|(piece, tail)| {
            let bytes = if *tail >= 64 {
                &ZEROS[0]
            } else {
                &piece.rest.bytes
            };
            &bytes[..in_memory(tail % 64)]
        });
        let rests: Vec<&[u8]> = rests.collect();
        sha::finish_each(std::mem::take(&mut self.running), &rests)
    }
}

impl PieceAtWork {
    fn new(piece: Piece) -> Self {
        Self {
            piece,
            is_there: true,
            done: 0,
            at: 0,
            length: 0,
            rest: Rest {
                bytes: [0; 64],
                length: 0,
            },
            leaves: Vec::new(),
        }
    }

    /// Bytes behind the last whole block, zeros counted.
    fn tail_length(&self) -> u64 {
        if self.is_there {
            self.rest.length as u64 + self.piece.zeros
        } else {
            0
        }
    }

    fn root(&mut self, height: u32) -> Option<Hash> {
        let leaves = std::mem::take(&mut self.leaves);
        if leaves.is_empty() {
            None
        } else if self.piece.is_whole_file {
            Some(merkle::root(leaves, 0))
        } else {
            Some(merkle::subtree(leaves, 0, height))
        }
    }
}

impl Rest {
    /// Keeps what is shorter than a block, and comes last.
    fn keep(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(..bytes.len())
            && !bytes.is_empty()
        {
            room.copy_from_slice(bytes);
            self.length = bytes.len();
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

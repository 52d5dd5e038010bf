//! A torrent made ready to serve: what the engine and the web seed need to answer a peer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::publication::PublicationId;
use crate::proto::geometry::{BLOCK_LENGTH, Geometry, PieceIndex};
use crate::proto::metainfo::files::Span;
use crate::proto::metainfo::info::Info;
use crate::proto::metainfo::layers::PieceLayers;
use crate::proto::metainfo::merkle::{self, Hash};

/// A published torrent: its `info` dictionary, and where its bytes lie.
#[derive(Debug)]
pub struct Torrent {
    /// The publication that it carries.
    pub publication: PublicationId,
    /// The `info` dictionary, read and raw.
    pub info: Info,
    /// The piece layers that stand beside it (BEP 52); none for v1.
    pub layers: PieceLayers,
    /// For each file of `info.files`, pads counted: the number under which the content store keeps it.
    /// `None` for pads, which are zeros that nobody keeps.
    pub stored_as: Vec<Option<u32>>,
    /// Which pieces have been found whole since the torrent was made ready.
    pub conditions: Conditions,
    /// How the files looked when their pieces were checked.
    pub stamps: Stamps,
}

/// What changes with a file on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes in it.
    pub length: u64,
    /// When it was last written to, in seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
    /// Which file it is.
    pub inode: u64,
}

/// How each file of a torrent looked when it was last seen. Any thread may read and write.
#[derive(Debug, Default)]
pub struct Stamps {
    /// `None` where it was missing.
    seen: Mutex<BTreeMap<usize, Option<Stamp>>>,
    changes: AtomicU64,
}

impl Stamps {
    /// Looks at the file at `index`; says whether it is as it was, or seen for the first time.
    pub fn see(&self, index: usize, stamp: Stamp) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = seen
            .insert(index, Some(stamp))
            .is_none_or(|before| before == Some(stamp));
        if !is_same {
            self.changes.fetch_add(1, Relaxed);
        }
        is_same
    }

    /// Notes that the file at `index` is missing: if it comes back, that is a change.
    pub fn miss(&self, index: usize) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(index, None);
    }

    /// How often files were found to have changed.
    pub fn changes(&self) -> u64 {
        self.changes.load(Relaxed)
    }
}

/// What a piece of a v2 or hybrid torrent must be: a stretch of one file that has its place in the file's merkle tree (BEP 52).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// The piece's bytes, without the pad behind them.
    pub span: Span,
    /// The hash that stands for them in the tree.
    pub hash: Hash,
    /// Rows from the leaves up to that hash.
    pub height: u32,
}

impl Torrent {
    /// Forgets what is known of the pieces of the file at `index`: they must be checked again.
    pub fn forget_conditions(&self, index: usize) {
        if let Some(file) = self.info.files.get(index) {
            for piece in self.info.geometry.pieces_touching(file.offset, file.length) {
                self.conditions.note(piece, Condition::Unknown);
            }
        }
    }

    /// Forgets of the pieces of the file at `index` that they are whole; says whether any was.
    pub fn doubt(&self, index: usize) -> bool {
        let file = self.info.files.get(index);
        let pieces = file.map(|file| {
            let geometry = &self.info.geometry;
            geometry.pieces_touching(file.offset, file.length)
        });
        let mut was_whole = false;
        for piece in pieces.into_iter().flatten() {
            if self.conditions.of(piece) == Condition::Whole {
                self.conditions.note(piece, Condition::Unknown);
                was_whole = true;
            }
        }
        was_whole
    }

    /// How many files hold bytes of damaged pieces.
    pub fn damaged_files(&self) -> usize {
        let geometry = &self.info.geometry;
        let is_damaged = |piece| self.conditions.of(piece) == Condition::Damaged;
        let files = self.info.files.content();
        let damaged = files.filter(|(_, file)| {
            let mut pieces = geometry.pieces_touching(file.offset, file.length);
            pieces.any(is_damaged)
        });
        damaged.count()
    }

    /// The stretch and the merkle hash of a piece; `None` in v1, or where the piece's layer is missing.
    pub fn subtree(&self, piece: PieceIndex) -> Option<Subtree> {
        let geometry = &self.info.geometry;
        let (offset, length) = (
            geometry.piece_offset(piece),
            u64::from(geometry.length_of(piece)),
        );
        // BEP 52: every file begins on a piece, so a pad comes last.
        let span = self.info.files.spans(offset, length).next()?;
        let file = self.info.files.get(span.file)?;
        let root = file.pieces_root?;
        let piece_length = geometry.piece_length();
        if file.length <= u64::from(piece_length) {
            let leaves = file.length.div_ceil(u64::from(BLOCK_LENGTH));
            return Some(Subtree {
                span,
                hash: root,
                height: leaves.next_power_of_two().ilog2(),
            });
        }
        let at = usize::try_from(span.offset / u64::from(piece_length)).ok()?;
        Some(Subtree {
            span,
            hash: *self.layers.of(&root)?.get(at)?,
            height: merkle::piece_height(piece_length),
        })
    }
}

/// What is known of a piece on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Not read since the torrent was made ready.
    Unknown,
    /// It matched its hash.
    Whole,
    /// It did not: it must be sent to nobody.
    Damaged,
}

/// The condition of every piece of a torrent. Any thread may read and write.
#[derive(Debug)]
pub struct Conditions(Box<[AtomicU8]>);

impl Conditions {
    /// All pieces unknown.
    pub fn unknown(geometry: &Geometry) -> Self {
        Self(geometry.pieces().map(|_| AtomicU8::new(0)).collect())
    }

    /// What is known of `piece`.
    pub fn of(&self, piece: PieceIndex) -> Condition {
        match self
            .0
            .get(piece.as_usize())
            .map(|condition| condition.load(Relaxed))
        {
            Some(1) => Condition::Whole,
            Some(2) => Condition::Damaged,
            _ => Condition::Unknown,
        }
    }

    /// Notes what a check has found.
    pub fn note(&self, piece: PieceIndex, condition: Condition) {
        if let Some(slot) = self.0.get(piece.as_usize()) {
            slot.store(
                match condition {
                    Condition::Unknown => 0,
                    Condition::Whole => 1,
                    Condition::Damaged => 2,
                },
                Relaxed,
            );
        }
    }
}

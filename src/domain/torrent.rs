//! A torrent made ready to serve: what the engine and the web seed need to answer a peer.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use bytes::Bytes;

use super::publication::PublicationId;
use crate::proto::geometry::{Geometry, PieceIndex};
use crate::proto::metainfo::info::Info;

/// A published torrent: its `info` dictionary, and where its bytes lie.
#[derive(Debug)]
pub struct Torrent {
    /// The publication that it carries.
    pub publication: PublicationId,
    /// The `info` dictionary, read and raw.
    pub info: Info,
    /// The bencoded `piece layers` dictionary as it goes into the torrent file (BEP 52); empty for v1.
    pub piece_layers: Bytes,
    /// For each file of `info.files`, pads counted: the number under which the content store keeps it.
    /// `None` for pads, which are zeros that nobody keeps.
    pub stored_as: Vec<Option<u32>>,
    /// Which pieces have been found whole since the torrent was made ready.
    pub conditions: Conditions,
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

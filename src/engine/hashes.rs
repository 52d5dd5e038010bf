//! Hashes of merkle trees, for peers that have the roots of a v2 torrent and nothing below (BEP 52, "hash request").
//!
//! Piece layers and what is above them come from the catalogue. What is below is made from the piece itself, of one piece at a time:
//! whoever got a false block wants to know which one it was.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::spawn_blocking;

use crate::domain::torrent::Torrent;
use crate::proto::geometry::{BLOCK_LENGTH, PieceIndex};
use crate::proto::metainfo::merkle::{self, Hash};
use crate::proto::metainfo::proof::{HashRequest, Proof, Tree};
use crate::proto::wire::message::RawHashes;
use crate::reader::{ReadError, Reader};

/// How many times over a peer may be told the hashes of all content on one connection. An honest one needs the piece layers
/// once, and the leaves of a few pieces.
const TIMES: u64 = 4;

/// The trees over the piece layers of one torrent, each made when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Trees(Mutex<HashMap<Hash, Arc<Tree>>>);

impl Trees {
    /// The tree over the layer of the file with this root; `None` where there is no such layer.
    async fn tree(&self, torrent: &Arc<Torrent>, root: Hash) -> io::Result<Option<Arc<Tree>>> {
        let known = |trees: &HashMap<_, _>| trees.get(&root).map(Arc::clone);
        if let Some(tree) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(Some(tree));
        }
        let torrent = Arc::clone(torrent);
        let make = move || {
            let height = merkle::piece_height(torrent.info.geometry.piece_length());
            let layer = torrent.layers.of(&root)?;
            Some(Arc::new(Tree::new(layer.to_vec(), height)))
        };
        let Some(tree) = spawn_blocking(make).await.map_err(io::Error::other)? else {
            return Ok(None);
        };
        let mut trees = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Some(Arc::clone(trees.entry(root).or_insert(tree))))
    }
}

/// What one peer is told of a torrent's trees.
pub(crate) struct HashExchange {
    torrent: Arc<Torrent>,
    /// Bytes of content whose hashes the peer may still be told.
    budget: u64,
    /// The tree of the piece that was read last.
    read: Option<Box<(PieceIndex, Tree)>>,
}

impl HashExchange {
    pub(crate) fn new(torrent: Arc<Torrent>) -> Self {
        let budget = torrent.info.files.total_length().saturating_mul(TIMES);
        Self {
            torrent,
            budget,
            read: None,
        }
    }

    /// The hashes that are asked for, and what proves them; `None` where there are none such, or the peer has had enough.
    ///
    /// # Errors
    /// [`ReadError`] where the piece that they are made of cannot be read, or is damaged.
    pub(crate) async fn prove(
        &mut self,
        asked: &RawHashes,
        trees: &Trees,
        reader: &Reader,
    ) -> Result<Option<Proof>, ReadError> {
        if covered(&asked.request) > self.budget {
            return Ok(None);
        }
        let above = trees.tree(&self.torrent, asked.pieces_root).await?;
        let proof = match above {
            Some(above) if asked.request.row >= self.piece_height() => above.prove(&asked.request),
            above => self.prove_within_piece(asked, above, reader).await?,
        };
        if proof.is_some() {
            self.budget = self.budget.saturating_sub(covered(&asked.request));
        }
        Ok(proof)
    }

    /// The same for hashes below the row of pieces. A file of one piece has no tree `above`.
    async fn prove_within_piece(
        &mut self,
        asked: &RawHashes,
        above: Option<Arc<Tree>>,
        reader: &Reader,
    ) -> Result<Option<Proof>, ReadError> {
        let request = &asked.request;
        let height = self.piece_height();
        let Some((first, count)) = self.pieces_of(&asked.pieces_root) else {
            return Ok(None);
        };
        let at = u64::from(request.index) << request.row.min(height) >> height;
        let Some(at) = u32::try_from(at).ok().filter(|at| *at < count) else {
            return Ok(None);
        };
        let piece = first.get().checked_add(at);
        let Some(piece) = piece.and_then(|piece| self.torrent.info.geometry.piece(piece)) else {
            return Ok(None);
        };
        let Some(below) = self.tree_of(piece, above.is_some(), reader).await? else {
            return Ok(None);
        };
        Ok(match above {
            Some(above) => above.prove_below(request, at, below),
            None => below.prove(request),
        })
    }

    fn piece_height(&self) -> u32 {
        merkle::piece_height(self.torrent.info.geometry.piece_length())
    }

    /// The first piece of the file with this root, and how many it has.
    fn pieces_of(&self, root: &Hash) -> Option<(PieceIndex, u32)> {
        let geometry = &self.torrent.info.geometry;
        let piece_length = u64::from(geometry.piece_length());
        let mut files = self.torrent.info.files.iter();
        let file = files.find(|file| file.pieces_root.as_ref() == Some(root))?;
        let first = u32::try_from(file.offset / piece_length).ok()?;
        let count = u32::try_from(file.length.div_ceil(piece_length)).ok()?;
        Some((geometry.piece(first)?, count))
    }

    /// The tree of a piece, which is read for it. Where it `is_filled`, it has leaves for all the blocks that a piece can have.
    async fn tree_of(
        &mut self,
        piece: PieceIndex,
        is_filled: bool,
        reader: &Reader,
    ) -> Result<Option<&Tree>, ReadError> {
        if self.read.as_ref().is_none_or(|read| read.0 != piece) {
            let cost = u64::from(self.torrent.info.geometry.piece_length());
            let Some(left) = self.budget.checked_sub(cost) else {
                return Ok(None);
            };
            self.budget = left;
            let Some(mut leaves) = reader.leaves(&self.torrent, piece).await? else {
                return Ok(None);
            };
            if is_filled {
                let blocks = self.torrent.info.geometry.piece_length() / BLOCK_LENGTH;
                leaves.resize(usize::try_from(blocks).unwrap_or(usize::MAX), [0; 32]);
            }
            self.read = Some(Box::new((piece, Tree::new(leaves, 0))));
        }
        Ok(self.read.as_ref().map(|read| &read.1))
    }
}

/// Bytes of content that the hashes stand for.
fn covered(request: &HashRequest) -> u64 {
    let blocks = u64::from(request.length).checked_shl(request.row.min(32));
    blocks
        .unwrap_or(u64::MAX)
        .saturating_mul(BLOCK_LENGTH.into())
}

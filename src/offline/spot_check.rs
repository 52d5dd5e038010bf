//! One piece of a new torrent read once more, and hashed by the plain crates: what is fast is held against what is simple.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::hashing::SourceFile;
use crate::proto::geometry::{BLOCK_LENGTH, PieceIndex};
use crate::proto::metainfo::files::{FileKind, Span};
use crate::proto::metainfo::merkle::{self, HASH_LENGTH, Hash};
use crate::proto::metainfo::torrent_file::TorrentFile;

/// Why a piece is not what the torrent says.
#[derive(Debug, thiserror::Error)]
pub enum SpotCheckError {
    /// A file cannot be read any more.
    #[error("{path} cannot be read again", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The piece has another hash than it had.
    #[error(
        "piece {piece} has another hash now: somebody writes to the files, or this machine is not sound"
    )]
    Mismatch {
        /// The piece.
        piece: u32,
    },
}

/// Reads `piece` from `files`, the torrent's content in its order, and holds it against its hashes.
pub(super) fn check(
    torrent: &TorrentFile,
    piece: PieceIndex,
    files: &[SourceFile],
) -> Result<(), SpotCheckError> {
    let info = &torrent.info;
    let mut disks = files.iter().map(|file| file.disk.as_path());
    let places: Vec<Option<&Path>> = info
        .files
        .iter()
        .map(|file| {
            (file.kind == FileKind::Content)
                .then(|| disks.next())
                .flatten()
        })
        .collect();
    let mut hashes = Hashes::default();
    let mut tree = None;
    let length = info.geometry.length_of(piece).into();
    for span in info.files.spans(info.geometry.piece_offset(piece), length) {
        match places.get(span.file).copied().flatten() {
            None => hashes.take_zeros(span.length),
            Some(path) => {
                tree = tree.or(Some(span));
                hashes
                    .take(path, &span)
                    .map_err(|source| SpotCheckError::Unreadable {
                        path: path.to_owned(),
                        source,
                    })?;
            }
        }
    }
    let is_right_v1 = info
        .piece_hash(piece)
        .is_none_or(|expected| hashes.sha1.finalize() == expected);
    let is_right_v2 = tree.is_none_or(|span| is_in_tree(torrent, &span, hashes.leaves));
    if is_right_v1 && is_right_v2 {
        Ok(())
    } else {
        Err(SpotCheckError::Mismatch { piece: piece.get() })
    }
}

#[derive(Default)]
struct Hashes {
    sha1: Sha1,
    leaves: Vec<Hash>,
}

impl Hashes {
    fn take(&mut self, path: &Path, span: &Span) -> io::Result<()> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(span.offset))?;
        let mut left = span.length;
        let mut buffer = [0; BLOCK_LENGTH as usize];
        while left > 0 {
            let length = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let block = buffer.get_mut(..length).unwrap_or_default();
            file.read_exact(block)?;
            self.sha1.update(&*block);
            self.leaves.push(Sha256::digest(&*block).into());
            left = left.saturating_sub(block.len() as u64);
        }
        Ok(())
    }

    fn take_zeros(&mut self, length: u64) {
        let zeros = [0; BLOCK_LENGTH as usize];
        let mut left = length;
        while left > 0 {
            let now = usize::try_from(left).map_or(zeros.len(), |left| left.min(zeros.len()));
            self.sha1.update(zeros.get(..now).unwrap_or_default());
            left = left.saturating_sub(now as u64);
        }
    }
}

/// Whether `leaves` are what the file's tree has at `span` (BEP 52); true where there is no tree.
fn is_in_tree(torrent: &TorrentFile, span: &Span, leaves: Vec<Hash>) -> bool {
    let Some(file) = torrent.info.files.get(span.file) else {
        return false;
    };
    let Some(root) = file.pieces_root else {
        return true;
    };
    let piece_length = torrent.info.geometry.piece_length();
    if file.length <= piece_length.into() {
        return merkle::root(leaves, 0) == root;
    }
    let at = span.offset / u64::from(piece_length);
    let layers = torrent.layers();
    let expected = usize::try_from(at)
        .ok()
        .and_then(|at| layers.get(&root)?.as_chunks::<HASH_LENGTH>().0.get(at));
    let found = merkle::subtree(leaves, 0, merkle::piece_height(piece_length));
    expected == Some(&found)
}

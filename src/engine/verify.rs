//! Pieces held against their hashes: those that come, before they are written, and those that lie in the folder already.
//!
//! Everything here blocks and belongs on the blocking pool.

use std::io::IoSlice;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sha1::{Digest, Sha1};

use super::leech::LeechError;
use crate::domain::picker::Collected;
use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::PieceIndex;
use crate::proto::metainfo::files::FileKind;
use crate::proto::metainfo::info::{Info, Layout};
use crate::proto::metainfo::path::FilePath;
use crate::store::folder::{Folder, FolderError, Target};

/// A torrent's folder, seen as pieces.
pub(crate) struct Pieces {
    info: Arc<Info>,
    folder: Folder,
}

/// What is known of a file after a look at all its pieces.
#[derive(Clone, Copy, Default)]
struct Look {
    /// There are bytes other than zero.
    has_bytes: bool,
    /// A piece that touches the file is whole.
    has_whole_piece: bool,
}

impl Pieces {
    /// Opens the folder that `info` is downloaded to; its files go below `folder` under the torrent's name.
    pub(crate) fn open(info: Arc<Info>, folder: &Path) -> Result<Self, LeechError> {
        let targets: Result<Vec<_>, LeechError> = info
            .files
            .iter()
            .map(|file| match file.kind {
                FileKind::Pad => Ok(None),
                FileKind::Content => Ok(Some(Target {
                    path: path_below(&info, &file.path)?,
                    length: file.length,
                })),
            })
            .collect();
        let folder = Folder::open(folder, targets?)?;
        Ok(Self { info, folder })
    }

    /// Finds the pieces that are there already. `go_on` hears after each piece how many bytes
    /// were looked at and which piece was found whole, and may end the search.
    ///
    /// # Errors
    /// [`FolderError::Foreign`] where a file holds bytes and no piece of it is whole: it is not ours to overwrite.
    pub(crate) fn survey(
        &mut self,
        mut go_on: impl FnMut(u64, Option<PieceIndex>) -> ControlFlow<()>,
    ) -> Result<Bitfield, FolderError> {
        let info = Arc::clone(&self.info);
        let mut whole = Bitfield::empty(&info.geometry);
        let mut looks = vec![Look::default(); info.files.len()];
        let mut buffer = Vec::new();
        for piece in info.geometry.pieces() {
            let is_there = self.read(piece, &mut buffer, &mut looks)?;
            let is_whole = is_there && self.matches(piece, [&*buffer]);
            if is_whole {
                whole.insert(piece);
                for (file, _, _) in spans(&info, piece) {
                    looks[file].has_whole_piece = true;
                }
            }
            let seen = info.geometry.piece_offset(piece) + buffer.len() as u64;
            if go_on(seen, is_whole.then_some(piece)).is_break() {
                return Ok(whole);
            }
        }
        let foreign = looks
            .iter()
            .position(|look| look.has_bytes && !look.has_whole_piece);
        match foreign {
            Some(file) => Err(FolderError::Foreign(self.folder.path_of(file))),
            None => Ok(whole),
        }
    }

    /// Writes a piece if it matches its hash; false where it does not.
    pub(crate) fn keep(&mut self, collected: &Collected) -> Result<bool, FolderError> {
        let blocks = collected.blocks.iter().map(|block| &**block);
        if !self.matches(collected.piece, blocks) {
            return Ok(false);
        }
        let info = Arc::clone(&self.info);
        let mut from = 0;
        for (file, offset, length) in spans(&info, collected.piece) {
            if is_content(&info, file) {
                let mut buffers = slices(&collected.blocks, from, length);
                self.folder.write(file, offset, &mut buffers)?;
            }
            from += length;
        }
        Ok(true)
    }

    /// Makes the files that no piece touches.
    pub(crate) fn make_empty_files(&mut self) -> Result<(), FolderError> {
        self.folder.make_empty_files()
    }

    /// Reads a piece into `buffer`, pads as zeros; false where bytes are missing.
    fn read(
        &mut self,
        piece: PieceIndex,
        buffer: &mut Vec<u8>,
        looks: &mut [Look],
    ) -> Result<bool, FolderError> {
        // What an earlier piece left in it is written over, or not looked at.
        buffer.resize(self.info.geometry.length_of(piece) as usize, 0);
        let mut rest = buffer.as_mut_slice();
        let mut is_there = true;
        let info = Arc::clone(&self.info);
        for (file, offset, length) in spans(&info, piece) {
            let (part, after) = rest.split_at_mut(length);
            rest = after;
            if is_content(&info, file) {
                let read = self.folder.read(file, offset, part)?;
                is_there &= read == length;
                looks[file].has_bytes |= part[..read].iter().any(|byte| *byte != 0);
            } else {
                part.fill(0);
            }
        }
        Ok(is_there)
    }

    fn matches<'a>(&self, piece: PieceIndex, parts: impl IntoIterator<Item = &'a [u8]>) -> bool {
        let mut hasher = Sha1::new();
        for part in parts {
            hasher.update(part);
        }
        let found: [u8; 20] = hasher.finalize().into();
        self.info.piece_hash(piece) == Some(found)
    }
}

/// BEP 3: in a folder's torrent the name stands before each path; in a single file's it is the path.
fn path_below(info: &Info, path: &FilePath) -> Result<FilePath, LeechError> {
    let path = match info.layout {
        Layout::SingleFile => FilePath::from_components([info.name.as_str()]),
        Layout::Folder => {
            let name = std::iter::once(info.name.as_str());
            FilePath::from_components(name.chain(path.components()))
        }
    };
    path.map_err(LeechError::Name)
}

/// The parts of files that make up a piece: file, offset and length.
fn spans(info: &Info, piece: PieceIndex) -> impl Iterator<Item = (usize, u64, usize)> + '_ {
    let (offset, length) = (
        info.geometry.piece_offset(piece),
        info.geometry.length_of(piece),
    );
    // No span is longer than its piece, and that fits 32 bits.
    let length_of = |length: u64| usize::try_from(length).unwrap_or(usize::MAX);
    info.files
        .spans(offset, u64::from(length))
        .map(move |span| (span.file, span.offset, length_of(span.length)))
}

fn is_content(info: &Info, file: usize) -> bool {
    info.files
        .get(file)
        .is_some_and(|file| file.kind == FileKind::Content)
}

/// The part of `blocks`, laid end to end, that begins at `from` and is `length` bytes long.
fn slices(blocks: &[Bytes], from: usize, length: usize) -> Vec<IoSlice<'_>> {
    let mut begin = 0;
    let mut slices = Vec::with_capacity(blocks.len());
    for block in blocks {
        let skip = from.saturating_sub(begin).min(block.len());
        let past = (from + length).saturating_sub(begin).min(block.len());
        if skip < past {
            slices.push(IoSlice::new(&block[skip..past]));
        }
        begin += block.len();
    }
    slices
}

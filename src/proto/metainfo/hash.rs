//! Content hashed while its bytes pass: each byte is seen once (BEP 3, 47, 52).
//!
//! A format with v1 gets the SHA-1 of its pieces, one with v2 the merkle tree of each file.
//! Who asks for it gets the SHA-256 and the CRC-32 of each file besides. Memory is one hash a piece, and for v2 one a block of the current piece.
//!
//! In a hybrid every file begins on a piece, so pieces belong to files and the order of files may be settled later. The
//! zeros behind a file come from one constant buffer.

use std::collections::BTreeMap;

use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::info::Format;
use super::merkle::{self, Hash};
use super::path::FilePath;
use super::piece_length::PieceLength;
use crate::proto::geometry::BLOCK_LENGTH;
use crate::proto::sha;

/// Bytes in a piece's hash in v1.
pub(super) const SHA1_LENGTH: usize = 20;

/// What pads are made of, one block of it.
static ZEROS: [u8; 16 * 1024] = [0; 16 * 1024];

/// The SHA-1 of each piece (BEP 3): several at once where the processor can, which is up to twice as fast as one by one.
///
/// ```
/// # use sower::proto::metainfo::hash::hash_pieces;
/// let hashes = hash_pieces(&[b"abc", b"abc", b"abd"]);
/// assert_eq!(hashes[0][..4], [0xa9, 0x99, 0x3e, 0x36]);
/// assert!(hashes[1] == hashes[0] && hashes[2] != hashes[0]);
/// ```
pub fn hash_pieces(pieces: &[&[u8]]) -> Vec<[u8; SHA1_LENGTH]> {
    sha::digest_each::<sha::Sha1>(pieces)
}

/// Hashes files one after another.
///
/// ```
/// # use sower::proto::metainfo::{hash::TorrentHasher, info::Format, path::FilePath, piece_length::PieceLength};
/// let mut hasher = TorrentHasher::new(Format::V1, PieceLength::MIN);
/// hasher.begin_file(FilePath::parse("greeting.txt").unwrap());
/// hasher.update(b"hello ");
/// hasher.update(b"world");
/// hasher.end_file();
/// assert_eq!(hasher.finish().files()[0].length, 11);
/// ```
#[derive(Debug)]
pub struct TorrentHasher {
    format: Format,
    piece_length: PieceLength,
    has_sums: bool,
    files: Vec<HashedFile>,
    /// In v1: pieces run on from file to file. In a hybrid they do where the pads are settled.
    run: Option<Pieces>,
    /// Zeros in the run before each file, and behind the last; none where nobody has settled them.
    pads: Vec<u64>,
    current: Option<OpenFile>,
}

/// A file that was hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedFile {
    /// Its path, as it was given.
    pub path: FilePath,
    /// Bytes in it.
    pub length: u64,
    /// The SHA-256 of the whole file, as `sha256sum` prints it, if it was [asked for](TorrentHasher::with_sums).
    pub sha256: Option<[u8; 32]>,
    /// Its CRC-32, as archives tell it, if it was asked for likewise.
    pub crc32: Option<u32>,
    /// In a hybrid: the file's own pieces, with the last one filled up with zeros and as it is.
    pub(super) pieces: Option<AlignedPieces>,
    /// In v2 and hybrid, unless the file is empty: its tree.
    pub(super) tree: Option<FileTree>,
}

/// The v1 pieces of one file that begins on a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AlignedPieces {
    /// The SHA-1 of each piece, the last one filled up with zeros.
    pub(super) padded: Vec<u8>,
    /// The SHA-1 of the last piece without zeros, if there are any.
    bare_end: Option<[u8; SHA1_LENGTH]>,
}

impl AlignedPieces {
    /// The SHA-1 of each piece, the last one as long as the file has bytes for it.
    pub(super) fn bare(&self) -> Vec<u8> {
        let mut pieces = self.padded.clone();
        if let (Some(end), Some(last)) = (self.bare_end, pieces.last_chunk_mut()) {
            *last = end;
        }
        pieces
    }
}

/// A file's merkle tree, as far as a torrent file tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileTree {
    /// The root over all blocks.
    pub(super) root: Hash,
    /// One hash a piece; empty for a file of one piece.
    pub(super) layer: Vec<u8>,
}

impl FileTree {
    /// The tree of a file, by the roots of its pieces; `None` for an empty one.
    fn of_layer(roots: &[Hash], piece_length: PieceLength) -> Option<Self> {
        match roots {
            // BEP 52: an empty file has no root; a file of one piece has no layer, and its tree is as high as it must be.
            [] => None,
            [root] => Some(Self {
                root: *root,
                layer: Vec::new(),
            }),
            roots => Some(Self {
                root: merkle::root(roots.to_vec(), merkle::piece_height(piece_length.get())),
                layer: roots.as_flattened().to_vec(),
            }),
        }
    }
}

/// All that is known of content after its bytes have passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedContent {
    pub(super) format: Format,
    pub(super) piece_length: PieceLength,
    pub(super) files: Vec<HashedFile>,
    /// In v1, and in a hybrid whose pads were settled: the SHA-1 of each piece of all files end to end.
    pub(super) pieces: Vec<u8>,
}

impl TorrentHasher {
    /// A hasher for a torrent of that format.
    pub fn new(format: Format, piece_length: PieceLength) -> Self {
        Self {
            format,
            piece_length,
            has_sums: false,
            files: Vec::new(),
            run: (format == Format::V1).then(|| Pieces::new(piece_length)),
            pads: Vec::new(),
            current: None,
        }
    }

    /// A hasher for files of which it is settled how many zeros lie before each, and behind the last.
    pub(super) fn with_pads(format: Format, piece_length: PieceLength, pads: Vec<u64>) -> Self {
        Self {
            run: format.has_v1().then(|| Pieces::new(piece_length)),
            pads,
            ..Self::new(format, piece_length)
        }
    }

    /// The same, with the SHA-256 and the CRC-32 of each whole file besides. No torrent needs it, and it costs as much as all of v2.
    #[must_use]
    pub fn with_sums(mut self) -> Self {
        self.has_sums = true;
        self
    }

    /// Begins the next file; one that was not ended is ended.
    pub fn begin_file(&mut self, path: FilePath) {
        self.end_file();
        self.pad();
        let file = OpenFile::new(path, self.format, self.piece_length);
        let file = match self.run {
            Some(_) => file.without_pieces(),
            None => file,
        };
        self.current = Some(if self.has_sums {
            file.with_sums()
        } else {
            file
        });
    }

    /// Takes the next bytes of the current file, however they are cut. Before the first file there is nothing to take.
    pub fn update(&mut self, bytes: &[u8]) {
        let Some(current) = &mut self.current else {
            return;
        };
        for part in in_cache(bytes) {
            current.update(part);
            if let Some(run) = &mut self.run {
                run.update(part);
            }
        }
    }

    /// Ends the current file.
    pub fn end_file(&mut self) {
        if let Some(current) = self.current.take() {
            self.files.push(current.finish());
        }
    }

    /// Takes the zeros before the next file, or behind the last.
    fn pad(&mut self) {
        if let (Some(run), Some(zeros)) = (&mut self.run, self.pads.get(self.files.len())) {
            run.update_zeros(*zeros);
        }
    }

    /// Ends the last file and gives what was found.
    pub fn finish(mut self) -> HashedContent {
        self.end_file();
        self.pad();
        HashedContent {
            format: self.format,
            piece_length: self.piece_length,
            files: self.files,
            pieces: self.run.map(Pieces::finish_bare).unwrap_or_default(),
        }
    }
}

impl HashedContent {
    /// The files in the order in which they were hashed.
    pub fn files(&self) -> &[HashedFile] {
        &self.files
    }

    /// Calls the files otherwise, in the order in which they were hashed: where a folder begins may be known only at the end.
    pub fn rename(&mut self, paths: impl IntoIterator<Item = FilePath>) {
        for (file, path) in self.files.iter_mut().zip(paths) {
            file.path = path;
        }
    }

    /// What they were hashed for.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// How long the pieces are.
    pub const fn piece_length(&self) -> PieceLength {
        self.piece_length
    }
}

/// What there is to know of a piece that was hashed apart from the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PieceHashes {
    /// The SHA-1 of the piece, filled up with zeros where a pad follows; `None` in v2.
    pub sha1: Option<[u8; SHA1_LENGTH]>,
    /// The SHA-1 of the piece without those zeros, if there are any.
    pub bare_sha1: Option<[u8; SHA1_LENGTH]>,
    /// BEP 52: the root over the blocks of the piece, as high as a piece is, or for a file of one piece that of the file. `None` in v1.
    pub root: Option<Hash>,
}

/// Pieces that were hashed in any order.
#[derive(Debug, Default)]
pub struct HashedPieces {
    sha1: Vec<[u8; SHA1_LENGTH]>,
    roots: Vec<Hash>,
    bare_ends: BTreeMap<usize, [u8; SHA1_LENGTH]>,
}

impl HashedPieces {
    /// Takes down the piece at `index`, counted from the first. In v1 pieces run on from file to file, else each file begins one.
    pub fn insert(&mut self, index: u64, piece: PieceHashes) {
        // What was hashed fits into memory many times.
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(sha1) = piece.sha1 {
            put(&mut self.sha1, index, sha1);
        }
        if let Some(root) = piece.root {
            put(&mut self.roots, index, root);
        }
        if let Some(bare) = piece.bare_sha1 {
            self.bare_ends.insert(index, bare);
        }
    }

    /// The content that they are, of files with these paths and lengths, when all pieces are there.
    pub fn into_content(
        self,
        format: Format,
        piece_length: PieceLength,
        files: impl IntoIterator<Item = (FilePath, u64)>,
    ) -> HashedContent {
        let mut past = 0_usize;
        let files = files.into_iter().map(|(path, length)| {
            let first = past;
            let count = length.div_ceil(piece_length.get().into());
            past = past.saturating_add(usize::try_from(count).unwrap_or(usize::MAX));
            HashedFile {
                path,
                length,
                sha256: None,
                crc32: None,
                pieces: (format == Format::Hybrid).then(|| AlignedPieces {
                    padded: within(&self.sha1, first, past).as_flattened().to_vec(),
                    bare_end: past
                        .checked_sub(1)
                        .and_then(|last| self.bare_ends.get(&last).copied())
                        .filter(|_| length > 0),
                }),
                tree: FileTree::of_layer(within(&self.roots, first, past), piece_length),
            }
        });
        HashedContent {
            format,
            piece_length,
            files: files.collect(),
            pieces: match format {
                Format::V1 => self.sha1.as_flattened().to_vec(),
                Format::V2 | Format::Hybrid => Vec::new(),
            },
        }
    }
}

/// Puts an item into its place in a list that is as long as it must be.
fn put<const N: usize>(list: &mut Vec<[u8; N]>, index: usize, item: [u8; N]) {
    if list.len() <= index {
        list.resize(index.saturating_add(1), [0; N]);
    }
    if let Some(place) = list.get_mut(index) {
        *place = item;
    }
}

/// Items of a list from `first` up to `past`, or none.
fn within<T>(list: &[T], first: usize, past: usize) -> &[T] {
    list.get(first..past).unwrap_or_default()
}

/// Bytes block by block, so that the second and third hash find them in the cache.
pub(super) fn in_cache(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(ZEROS.len())
}

/// What is summed over a whole file.
#[derive(Clone, Debug)]
struct Sums {
    sha256: Sha256,
    crc32: crc32fast::Hasher,
}

/// The file whose bytes are passing.
#[derive(Clone, Debug)]
pub(super) struct OpenFile {
    path: FilePath,
    pub(super) length: u64,
    sums: Option<Sums>,
    pieces: Option<Pieces>,
    tree: Option<TreeHasher>,
}

impl OpenFile {
    pub(super) fn new(path: FilePath, format: Format, piece_length: PieceLength) -> Self {
        Self {
            path,
            length: 0,
            sums: None,
            pieces: (format == Format::Hybrid).then(|| Pieces::new(piece_length)),
            tree: format.has_v2().then(|| TreeHasher::new(piece_length)),
        }
    }

    /// The same, with the SHA-256 and the CRC-32 of the whole file besides.
    pub(super) fn with_sums(self) -> Self {
        Self {
            sums: Some(Sums {
                sha256: Sha256::new(),
                crc32: crc32fast::Hasher::new(),
            }),
            ..self
        }
    }

    /// The same, but its v1 pieces are hashed elsewhere.
    pub(super) fn without_pieces(self) -> Self {
        Self {
            pieces: None,
            ..self
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        // usize is at most 64 bits wide on every platform that Rust knows.
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.length = self.length.saturating_add(length);
        if let Some(sums) = &mut self.sums {
            sums.sha256.update(bytes);
            sums.crc32.update(bytes);
        }
        if let Some(pieces) = &mut self.pieces {
            pieces.update(bytes);
        }
        if let Some(tree) = &mut self.tree {
            tree.update(bytes);
        }
    }

    pub(super) fn finish(self) -> HashedFile {
        let sums = self.sums;
        let sums = sums.map(|sums| (sums.sha256.finalize().into(), sums.crc32.finalize()));
        let (sha256, crc32) = sums.unzip();
        HashedFile {
            path: self.path,
            length: self.length,
            sha256,
            crc32,
            pieces: self.pieces.map(Pieces::finish_aligned),
            tree: self.tree.and_then(TreeHasher::finish),
        }
    }
}

/// The SHA-1 of each piece of a run of bytes.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    room: Room,
    piece: Sha1,
    hashes: Vec<u8>,
}

impl Pieces {
    pub(super) fn new(piece_length: PieceLength) -> Self {
        Self {
            room: Room::new(piece_length.get()),
            piece: Sha1::new(),
            hashes: Vec::new(),
        }
    }

    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = self.room.take(bytes);
            self.piece.update(now);
            if self.room.is_used_up() {
                self.room.empty();
                self.hashes.extend_from_slice(&self.piece.finalize_reset());
            }
            bytes = later;
        }
    }

    /// Takes so many zeros.
    pub(super) fn update_zeros(&mut self, mut left: u64) {
        while left > 0 {
            let now = usize::try_from(left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.update(ZEROS.get(..now).unwrap_or(&ZEROS));
            left = left.saturating_sub(u64::try_from(now).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn finish_bare(mut self) -> Vec<u8> {
        if !self.room.is_untouched() {
            self.hashes.extend_from_slice(&self.piece.finalize());
        }
        self.hashes
    }

    fn finish_aligned(mut self) -> AlignedPieces {
        let is_open = !self.room.is_untouched();
        let bare_end = is_open.then(|| self.piece.clone().finalize().into());
        while !self.room.is_untouched() {
            let zeros = self.room.left.min(ZEROS.len());
            self.update(ZEROS.get(..zeros).unwrap_or(&ZEROS));
        }
        AlignedPieces {
            padded: self.hashes,
            bare_end,
        }
    }
}

/// The merkle tree of one file, kept as one hash a piece.
#[derive(Clone, Debug)]
struct TreeHasher {
    height: u32,
    room: Room,
    block: Sha256,
    /// The leaves of the current piece.
    leaves: Vec<Hash>,
    /// One hash a piece that is complete.
    layer: Vec<Hash>,
}

impl TreeHasher {
    fn new(piece_length: PieceLength) -> Self {
        Self {
            height: merkle::piece_height(piece_length.get()),
            room: Room::new(BLOCK_LENGTH),
            block: Sha256::new(),
            leaves: Vec::new(),
            layer: Vec::new(),
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = self.room.take(bytes);
            // A piece is closed when its successor begins, so that a file of one piece keeps its leaves.
            if self.leaves.len() >= 1 << self.height {
                self.end_piece();
            }
            self.block.update(now);
            if self.room.is_used_up() {
                self.end_block();
            }
            bytes = later;
        }
    }

    fn end_block(&mut self) {
        self.room.empty();
        self.leaves.push(self.block.finalize_reset().into());
    }

    fn end_piece(&mut self) {
        let leaves = std::mem::take(&mut self.leaves);
        self.layer.push(merkle::subtree(leaves, 0, self.height));
    }

    fn finish(mut self) -> Option<FileTree> {
        if !self.room.is_untouched() {
            self.end_block();
        }
        if self.layer.is_empty() {
            // BEP 52: an empty file has no root; a file of one piece has no layer, and its tree is as high as it must be.
            return (!self.leaves.is_empty()).then(|| FileTree {
                root: merkle::root(self.leaves, 0),
                layer: Vec::new(),
            });
        }
        self.end_piece();
        Some(FileTree {
            layer: self.layer.as_flattened().to_vec(),
            root: merkle::root(self.layer, self.height),
        })
    }
}

/// How many bytes still fit what is being hashed.
#[derive(Clone, Debug)]
struct Room {
    capacity: usize,
    left: usize,
}

impl Room {
    fn new(capacity: u32) -> Self {
        // usize is at least 32 bits wide on every platform that has sockets.
        let capacity = usize::try_from(capacity).unwrap_or(usize::MAX);
        Self {
            capacity,
            left: capacity,
        }
    }

    /// Splits off what still fits, and counts it.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let (now, later) = bytes.split_at(self.left.min(bytes.len()));
        self.left = self.left.saturating_sub(now.len());
        (now, later)
    }

    const fn is_used_up(&self) -> bool {
        self.left == 0
    }

    const fn is_untouched(&self) -> bool {
        self.left == self.capacity
    }

    const fn empty(&mut self) {
        self.left = self.capacity;
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn hasher(format: Format) -> TorrentHasher {
        TorrentHasher::new(format, PieceLength::MIN)
    }

    fn path(name: &str) -> FilePath {
        FilePath::parse(name).unwrap()
    }

    #[test]
    fn every_file_has_the_sum_that_sha256sum_prints() {
        for format in [Format::V1, Format::V2, Format::Hybrid] {
            let mut hasher = hasher(format).with_sums();
            hasher.begin_file(path("greeting"));
            hasher.update(b"hello ");
            hasher.update(b"world");
            hasher.begin_file(path("empty"));
            let content = hasher.finish();
            let sums: Vec<_> = content
                .files()
                .iter()
                .map(|file| (file.length, HEXLOWER.encode(&file.sha256.unwrap())))
                .collect();
            let crc32s = content.files().iter().map(|file| file.crc32);
            assert_eq!(crc32s.collect::<Vec<_>>(), [Some(0x0d4a_1185), Some(0)]);
            assert_eq!(
                sums,
                [
                    (
                        11,
                        "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9".into()
                    ),
                    (
                        0,
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".into()
                    ),
                ]
            );
        }
    }

    #[test]
    fn nobody_pays_for_a_sum_that_was_not_asked_for() {
        let mut hasher = hasher(Format::V1);
        hasher.begin_file(path("greeting"));
        assert_eq!(hasher.finish().files()[0].sha256, None);
    }

    #[test]
    fn v1_pieces_run_on_from_file_to_file() {
        let mut hasher = hasher(Format::V1);
        for name in ["a", "b"] {
            hasher.begin_file(path(name));
            hasher.update(&[7; 10_000]);
            hasher.end_file();
        }
        let content = hasher.finish();
        let expected = [Sha1::digest([7; 16_384]), Sha1::digest([7; 3_616])].concat();
        assert_eq!(content.pieces, expected);
    }

    #[test]
    fn hybrid_pieces_belong_to_files_and_end_with_zeros() {
        let mut hasher = hasher(Format::Hybrid);
        hasher.begin_file(path("a"));
        hasher.update(&[7; 10_000]);
        let content = hasher.finish();
        let pieces = content.files()[0].pieces.clone().unwrap();
        let mut padded = vec![7; 10_000];
        padded.resize(16_384, 0);
        assert_eq!(pieces.padded, Sha1::digest(&padded).to_vec());
        assert_eq!(pieces.bare(), Sha1::digest([7; 10_000]).to_vec());
        assert!(content.pieces.is_empty());
    }

    #[test]
    fn a_file_of_one_piece_has_a_root_and_no_layer() {
        for length in [1, 16_384] {
            let mut hasher = hasher(Format::V2);
            hasher.begin_file(path("a"));
            hasher.update(&vec![7; length]);
            let tree = hasher.finish().files()[0].tree.clone().unwrap();
            assert_eq!(tree.root, Hash::from(Sha256::digest(vec![7; length])));
            assert!(tree.layer.is_empty());
        }
    }

    #[test]
    fn an_empty_file_has_no_tree() {
        let mut hasher = hasher(Format::V2);
        hasher.begin_file(path("a"));
        assert!(hasher.finish().files()[0].tree.is_none());
    }

    #[test]
    fn bytes_before_the_first_file_belong_to_none() {
        let mut hasher = hasher(Format::V1);
        hasher.update(b"nothing");
        let content = hasher.finish();
        assert!(content.files().is_empty() && content.pieces.is_empty());
    }
}

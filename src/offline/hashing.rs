//! Files on disk become the hashes of a torrent, or are held against them (BEP 3, 47, 52).
//!
//! Files are opened one after another and read from front to back; memory does not grow with them. Pads are not read
//! and need not exist.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::{BLOCK_LENGTH, PieceIndex};
use crate::proto::metainfo::files::FileKind;
use crate::proto::metainfo::hash::{HashedContent, TorrentHasher};
use crate::proto::metainfo::info::{Format, Info};
use crate::proto::metainfo::merkle::{self, HASH_LENGTH, Hash};
use crate::proto::metainfo::path::FilePath;
use crate::proto::metainfo::piece_length::PieceLength;
use crate::proto::metainfo::torrent_file::TorrentFile;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;

/// A file to be hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Where it lies.
    pub disk: PathBuf,
    /// Its path in the torrent.
    pub path: FilePath,
    /// Bytes in it, as they were counted when the files were listed.
    pub length: u64,
}

/// How much of the machine hashing may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashOptions {
    /// Threads that hash.
    pub threads: NonZeroUsize,
}

impl Default for HashOptions {
    /// One thread for each core.
    fn default() -> Self {
        Self {
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// Why files could not be hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// A file cannot be opened.
    #[error("{path} cannot be opened", path = .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file cannot be read to its end.
    #[error("{path} cannot be read", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file is longer or shorter than it was when the files were listed.
    #[error("{path} changed while it was hashed; make the torrent again when nothing writes to it", path = .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

/// What lies on disk of a torrent's content.
#[derive(Debug)]
pub struct CheckedContent {
    /// The pieces whose bytes are all there and have the right hashes; in a hybrid, those of both halves.
    pub pieces: Bitfield,
    /// What was found of each file, in the order of [`Info::files`]; pads are [`Found::PassedOver`].
    pub files: Vec<Found>,
}

/// What was found at a file's place.
#[derive(Debug)]
pub enum Found {
    /// No place was given: a pad, or a file that nobody asked about. The pieces of the latter count as missing.
    PassedOver,
    /// Nothing is there.
    Missing,
    /// A file of so many bytes, which may be more or fewer than the torrent's.
    File {
        /// Bytes in it.
        length: u64,
    },
    /// Something is there that cannot be read to its end.
    Unreadable(io::Error),
}

/// Hashes `files` in the order given. `progress` is called now and then, from any thread, with how many bytes more are hashed.
///
/// # Errors
/// [`HashError`], which names the file.
pub fn hash_files(
    files: &[SourceFile],
    format: Format,
    piece_length: PieceLength,
    _options: &HashOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<HashedContent, HashError> {
    let mut hasher = TorrentHasher::new(format, piece_length);
    let mut buffer = vec![0; READ_BYTES];
    for file in files {
        let path = || file.disk.clone();
        let mut source = File::open(&file.disk).map_err(|source| HashError::Open {
            path: path(),
            source,
        })?;
        hasher.begin_file(file.path.clone());
        let mut left = file.length;
        loop {
            let read = read_some(&mut source, &mut buffer).map_err(|source| HashError::Read {
                path: path(),
                source,
            })?;
            if read.is_empty() {
                break;
            }
            left = left
                .checked_sub(read.len() as u64)
                .ok_or_else(|| HashError::Changed { path: path() })?;
            hasher.update(read);
            progress(read.len() as u64);
        }
        if left > 0 {
            return Err(HashError::Changed { path: path() });
        }
    }
    Ok(hasher.finish())
}

/// Holds what lies at `places` against a torrent. There is one place for each of [`Info::files`], pads counted; `None` for
/// pads and for files that nobody asks about.
///
/// A missing or short file spoils only its own pieces; bytes past a file's end in the torrent are not read. `progress` is
/// called now and then, from any thread, with how many bytes more were looked at, pads and missing ones counted.
///
/// # Errors
/// None so far: what cannot be read is told in [`CheckedContent::files`].
pub fn check_files(
    torrent: &TorrentFile,
    places: &[Option<PathBuf>],
    _options: &HashOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<CheckedContent, HashError> {
    let info = &torrent.info;
    let layers = torrent.layers();
    let mut places = Places::of(info, places);
    let mut pieces = Bitfield::empty(&info.geometry);
    let mut buffer = Vec::new();
    for piece in info.geometry.pieces() {
        let length = info.geometry.length_of(piece);
        let is_there = places.read(piece, &mut buffer);
        let is_right_v1 = || {
            info.piece_hash(piece)
                .is_none_or(|expected| Sha1::digest(&buffer) == expected)
        };
        let is_right_v2 = || {
            let Some((root, hash, length)) = v2_hash_of(info, piece, &layers) else {
                return true;
            };
            let leaves = buffer.get(..length).unwrap_or_default();
            let leaves = leaves.chunks(BLOCK_LENGTH as usize).map(Sha256::digest);
            let leaves: Vec<Hash> = leaves.map(Hash::from).collect();
            match hash {
                Some(hash) => {
                    let height = merkle::piece_height(info.geometry.piece_length());
                    merkle::subtree(leaves, 0, height) == hash
                }
                None => merkle::root(leaves, 0) == root,
            }
        };
        if is_there && is_right_v1() && is_right_v2() {
            pieces.insert(piece);
        }
        progress(length.into());
    }
    Ok(CheckedContent {
        pieces,
        files: places.found,
    })
}

/// The files at their places, read piece by piece.
struct Places<'a> {
    info: &'a Info,
    /// Of each file that can be read, where it lies.
    paths: Vec<Option<&'a Path>>,
    found: Vec<Found>,
    /// The file that was read last.
    open: Option<(usize, File)>,
}

impl<'a> Places<'a> {
    fn of(info: &'a Info, places: &'a [Option<PathBuf>]) -> Self {
        let places = places.iter().map(Option::as_deref);
        let places = places.chain(std::iter::repeat(None));
        let (paths, found) = info
            .files
            .iter()
            .zip(places)
            .map(|(file, place)| match (file.kind, place) {
                (FileKind::Content, Some(path)) => (Some(path), look_at(path)),
                _ => (None, Found::PassedOver),
            })
            .unzip();
        Self {
            info,
            paths,
            found,
            open: None,
        }
    }

    /// Reads a piece into `buffer`, pads as zeros; false where bytes are missing.
    fn read(&mut self, piece: PieceIndex, buffer: &mut Vec<u8>) -> bool {
        let info = self.info;
        buffer.clear();
        buffer.resize(info.geometry.length_of(piece) as usize, 0);
        let mut rest = buffer.as_mut_slice();
        let mut is_there = true;
        let (offset, length) = (
            info.geometry.piece_offset(piece),
            info.geometry.length_of(piece),
        );
        for span in info.files.spans(offset, length.into()) {
            // No span is longer than its piece, and that fits 32 bits.
            let length = usize::try_from(span.length).unwrap_or(usize::MAX);
            let (part, after) = rest.split_at_mut(length);
            rest = after;
            let is_pad = info.files.get(span.file).map(|file| file.kind) == Some(FileKind::Pad);
            is_there &= is_pad || self.read_span(span.file, span.offset, part);
        }
        is_there
    }

    fn read_span(&mut self, file: usize, offset: u64, part: &mut [u8]) -> bool {
        let Some(Some(path)) = self.paths.get(file) else {
            return false;
        };
        match self.found.get(file) {
            Some(Found::File { length }) if offset.saturating_add(part.len() as u64) <= *length => {
            }
            _ => return false,
        }
        let read = match self.open.take_if(|(open, _)| *open == file) {
            Some((_, source)) => Ok(source),
            None => File::open(path),
        }
        .and_then(|mut source| {
            source.seek(SeekFrom::Start(offset))?;
            source.read_exact(part)?;
            self.open = Some((file, source));
            Ok(())
        });
        if let (Err(error), Some(found)) = (read, self.found.get_mut(file)) {
            *found = Found::Unreadable(error);
            return false;
        }
        true
    }
}

fn look_at(path: &Path) -> Found {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Found::File {
            length: metadata.len(),
        },
        Ok(_) => Found::Unreadable(io::Error::other("it is not a plain file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::Missing,
        Err(error) => Found::Unreadable(error),
    }
}

fn read_some<'a>(source: &mut File, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    loop {
        match source.read(buffer) {
            Ok(length) => return Ok(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What BEP 52 says of a piece: the root of its file, its hash in the file's layer (`None` where the file is one piece), and
/// how many bytes of it are the file's. `None` in v1, and for a piece that is nothing but pad.
fn v2_hash_of(
    info: &Info,
    piece: PieceIndex,
    layers: &BTreeMap<Hash, &[u8]>,
) -> Option<(Hash, Option<Hash>, usize)> {
    let offset = info.geometry.piece_offset(piece);
    let length = info.geometry.length_of(piece);
    let spans = info.files.spans(offset, length.into());
    let (span, file) = spans
        .filter_map(|span| Some((span, info.files.get(span.file)?)))
        .find(|(_, file)| file.kind == FileKind::Content)?;
    let root = file.pieces_root?;
    let length = usize::try_from(span.length).ok()?;
    let Some(layer) = layers.get(&root) else {
        return Some((root, None, length));
    };
    let at = span.offset / u64::from(info.geometry.piece_length());
    let hash = layer.as_chunks::<HASH_LENGTH>().0;
    let hash = hash.get(usize::try_from(at).ok()?).copied();
    Some((root, hash, length))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::proto::metainfo::build::InfoOptions;
    use crate::proto::metainfo::info::{InfoLimits, Layout};
    use crate::proto::metainfo::torrent_file::Envelope;

    const PIECE: usize = 32 << 10;

    fn piece_length() -> PieceLength {
        PieceLength::new(PIECE.try_into().unwrap()).unwrap()
    }

    /// Files on disk, of which file *i* is called *i*.
    struct Sources {
        folder: TempDir,
        files: Vec<SourceFile>,
        bytes: Vec<Vec<u8>>,
    }

    impl Sources {
        fn of(bytes: Vec<Vec<u8>>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let files = bytes.iter().enumerate().map(|(number, bytes)| {
                // In tree order whatever their number, so that v2 keeps the order.
                let name = format!("{number:03}");
                let disk = folder.path().join(&name);
                std::fs::write(&disk, bytes).unwrap();
                SourceFile {
                    disk,
                    path: FilePath::parse(&name).unwrap(),
                    length: bytes.len() as u64,
                }
            });
            Self {
                files: files.collect(),
                bytes,
                folder,
            }
        }

        fn hash(&self, format: Format) -> Result<HashedContent, HashError> {
            hash_files(
                &self.files,
                format,
                piece_length(),
                &HashOptions::default(),
                &|_| {},
            )
        }

        fn torrent(&self, format: Format) -> TorrentFile {
            let options = InfoOptions {
                name: "a folder".to_owned(),
                layout: Layout::Folder,
                private: false,
                source: None,
            };
            let built = self.hash(format).unwrap().into_info(options).unwrap();
            let envelope = Envelope {
                info: &built.info.raw,
                piece_layers: &built.piece_layers,
                ..Envelope::default()
            };
            TorrentFile::parse(&envelope.encode(), &InfoLimits::default()).unwrap()
        }

        fn places(&self, info: &Info) -> Vec<Option<PathBuf>> {
            let place = |path: &FilePath| self.folder.path().join(path.to_string());
            info.files
                .iter()
                .map(|file| (file.kind == FileKind::Content).then(|| place(&file.path)))
                .collect()
        }

        fn check(&self, torrent: &TorrentFile) -> CheckedContent {
            let places = self.places(&torrent.info);
            check_files(torrent, &places, &HashOptions::default(), &|_| {}).unwrap()
        }

        /// The numbers of the pieces that are wrong.
        fn wrong(&self, torrent: &TorrentFile) -> Vec<u32> {
            let right = self.check(torrent).pieces;
            let pieces = torrent.info.geometry.pieces();
            pieces
                .filter(|piece| !right.contains(*piece))
                .map(PieceIndex::get)
                .collect()
        }

        fn path(&self, number: usize) -> &Path {
            &self.files[number].disk
        }
    }

    /// What [`TorrentHasher`] makes of the same bytes.
    fn expected(sources: &Sources, format: Format) -> HashedContent {
        let mut hasher = TorrentHasher::new(format, piece_length());
        for (file, bytes) in sources.files.iter().zip(&sources.bytes) {
            hasher.begin_file(file.path.clone());
            hasher.update(bytes);
        }
        hasher.finish()
    }

    const FORMATS: [Format; 3] = [Format::V1, Format::V2, Format::Hybrid];

    /// Two pieces and a bit, nothing, less than a block, exactly a piece.
    fn four() -> Sources {
        Sources::of(vec![
            vec![1; 2 * PIECE + 100],
            Vec::new(),
            vec![2; 100],
            vec![3; PIECE],
        ])
    }

    #[test]
    fn a_file_of_another_length_is_named() {
        for format in FORMATS {
            for length in [0, 99, 101, 200_000] {
                let sources = four();
                std::fs::write(sources.path(2), vec![2; length]).unwrap();
                match sources.hash(format) {
                    Err(HashError::Changed { path }) => assert_eq!(path, sources.path(2)),
                    other => panic!("{format} of {length} bytes: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_file_that_is_gone_is_named() {
        let sources = four();
        std::fs::remove_file(sources.path(3)).unwrap();
        match sources.hash(Format::V1) {
            Err(HashError::Open { path, .. }) => assert_eq!(path, sources.path(3)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_folder_cannot_be_read() {
        let sources = four();
        std::fs::remove_file(sources.path(3)).unwrap();
        std::fs::create_dir(sources.path(3)).unwrap();
        match sources.hash(Format::V1) {
            Err(HashError::Read { path, .. }) => assert_eq!(path, sources.path(3)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn progress_adds_up_to_all_bytes() {
        let sources = four();
        let hashed = AtomicU64::new(0);
        let count = |bytes| {
            hashed.fetch_add(bytes, Ordering::Relaxed);
        };
        let options = HashOptions::default();
        hash_files(
            &sources.files,
            Format::Hybrid,
            piece_length(),
            &options,
            &count,
        )
        .unwrap();
        let total: u64 = sources.files.iter().map(|file| file.length).sum();
        assert_eq!(hashed.swap(0, Ordering::Relaxed), total);

        let torrent = sources.torrent(Format::Hybrid);
        let places = sources.places(&torrent.info);
        check_files(&torrent, &places, &options, &count).unwrap();
        let total = torrent.info.geometry.total_length();
        assert_eq!(hashed.into_inner(), total);
    }

    #[test]
    fn what_was_hashed_is_right() {
        for format in FORMATS {
            let sources = four();
            let torrent = sources.torrent(format);
            assert!(sources.wrong(&torrent).is_empty(), "{format}");
        }
    }

    #[test]
    fn a_flipped_byte_spoils_its_piece_alone() {
        for (format, spoiled) in [
            (Format::V1, [(0, 1), (2, 2), (3, 3)]),
            (Format::V2, [(0, 1), (2, 3), (3, 4)]),
            (Format::Hybrid, [(0, 1), (2, 3), (3, 4)]),
        ] {
            for (file, piece) in spoiled {
                let sources = four();
                let torrent = sources.torrent(format);
                let mut bytes = sources.bytes[file].clone();
                let at = if file == 0 {
                    PIECE + 9
                } else {
                    bytes.len() - 1
                };
                bytes[at] ^= 1;
                std::fs::write(sources.path(file), bytes).unwrap();
                assert_eq!(sources.wrong(&torrent), [piece], "{format}, file {file}");
            }
        }
    }

    #[test]
    fn a_missing_file_spoils_only_its_own_pieces() {
        for (format, pieces) in [(Format::V1, vec![0, 1, 2]), (Format::V2, vec![0, 1, 2])] {
            let sources = four();
            let torrent = sources.torrent(format);
            std::fs::remove_file(sources.path(0)).unwrap();
            assert_eq!(sources.wrong(&torrent), pieces, "{format}");
            let found = sources.check(&torrent).files;
            assert!(matches!(found[0], Found::Missing));
        }
    }

    #[test]
    fn a_short_file_spoils_what_it_lacks_and_a_long_one_nothing() {
        for format in FORMATS {
            let sources = four();
            let torrent = sources.torrent(format);
            let short = &sources.bytes[0][..PIECE + 5];
            std::fs::write(sources.path(0), short).unwrap();
            let long = vec![3; PIECE + 5];
            std::fs::write(sources.path(3), long).unwrap();
            assert_eq!(sources.wrong(&torrent), [1, 2], "{format}");
            let found = sources.check(&torrent).files;
            let lengths = found.iter().filter_map(|found| match found {
                Found::File { length } => Some(*length),
                _ => None,
            });
            let lengths: Vec<u64> = lengths.collect();
            assert_eq!(lengths, [PIECE as u64 + 5, 0, 100, PIECE as u64 + 5]);
        }
    }

    #[test]
    fn what_is_no_file_cannot_be_read() {
        let sources = four();
        let torrent = sources.torrent(Format::V1);
        std::fs::remove_file(sources.path(2)).unwrap();
        std::fs::create_dir(sources.path(2)).unwrap();
        assert!(matches!(
            sources.check(&torrent).files[2],
            Found::Unreadable(_)
        ));
        assert_eq!(sources.wrong(&torrent), [2]);
    }

    #[test]
    fn a_file_without_a_place_is_passed_over() {
        let sources = four();
        let torrent = sources.torrent(Format::V2);
        let mut places = sources.places(&torrent.info);
        places[0] = None;
        let checked = check_files(&torrent, &places, &HashOptions::default(), &|_| {}).unwrap();
        assert!(matches!(checked.files[0], Found::PassedOver));
        assert_eq!(checked.pieces.count(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn hashes_are_those_of_the_bytes_in_one_stream(
            lengths in prop::collection::vec(prop_oneof![0_usize..200, 0_usize..5 * PIECE], 0..9),
            seed: u8,
        ) {
            let bytes = |(number, length): (usize, usize)| {
                let byte = |at: usize| at.wrapping_mul(number + 7).to_le_bytes()[1] ^ seed;
                (0..length).map(byte).collect()
            };
            let sources = Sources::of(lengths.into_iter().enumerate().map(bytes).collect());
            for format in FORMATS {
                prop_assert_eq!(sources.hash(format).unwrap(), expected(&sources, format));
            }
        }
    }
}

//! Files on disk become the hashes of a torrent, or are held against them (BEP 3, 47, 52).
//!
//! One thread at a time reads the next pieces, from front to back, and hashes them by itself while others read on. Memory is
//! bounded, whatever the files. Pads are not read and need not exist.

mod batch;
mod layout;
mod reader;

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use self::batch::Batch;
use self::layout::{Layout, Source};
use self::reader::{ReadError, Reader};
use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::PieceIndex;
use crate::proto::metainfo::files::{File, FileKind};
use crate::proto::metainfo::hash::{HashedContent, HashedPieces, PieceHashes};
use crate::proto::metainfo::info::{Format, Info};
use crate::proto::metainfo::merkle::{HASH_LENGTH, Hash};
use crate::proto::metainfo::path::FilePath;
use crate::proto::metainfo::piece_length::PieceLength;
use crate::proto::metainfo::torrent_file::TorrentFile;

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
    /// Bytes of files that are in memory at once, about.
    pub memory: usize,
}

impl Default for HashOptions {
    /// One thread for each core, and 32 MiB.
    fn default() -> Self {
        Self {
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            memory: 32 << 20,
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
    options: &HashOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<HashedContent, HashError> {
    check_empty_files(files)?;
    // Zeros fill up the last piece of each file, unless pieces run on from file to file.
    let padding = |length| match format {
        Format::V1 => 0,
        Format::V2 | Format::Hybrid => piece_length.padding_after(length),
    };
    let parts = files.iter().flat_map(|file| {
        let source = Source::Exactly(&file.disk);
        [(source, file.length), (Source::Zeros, padding(file.length))]
    });
    let layout = Layout::new(parts, piece_length.get());
    let pieces = Mutex::new(HashedPieces::default());
    let work = Work {
        layout: &layout,
        format,
        options,
        progress,
    };
    let faults = work.run(&|batch| {
        let found = batch.finish();
        let mut pieces = pieces.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, piece) in found {
            pieces.insert(index, piece);
        }
    });
    if let Some((part, error)) = faults.into_iter().next() {
        // Each file has two parts: itself, and its pad.
        let path = files[part / 2].disk.clone();
        return Err(HashError::of(path, error));
    }
    let pieces = pieces.into_inner().unwrap_or_else(PoisonError::into_inner);
    let files = files.iter().map(|file| (file.path.clone(), file.length));
    Ok(pieces.into_content(format, piece_length, files))
}

/// No piece asks for the bytes of an empty file, and yet it must be there.
fn check_empty_files(files: &[SourceFile]) -> Result<(), HashError> {
    for file in files.iter().filter(|file| file.length == 0) {
        let found = std::fs::File::open(&file.disk)
            .map_err(ReadError::Open)
            .and_then(|found| found.metadata().map_err(ReadError::Read));
        let is_empty = found.and_then(|metadata| match metadata.len() {
            0 => Ok(()),
            _ => Err(ReadError::Length),
        });
        is_empty.map_err(|error| HashError::of(file.disk.clone(), error))?;
    }
    Ok(())
}

impl HashError {
    fn of(path: PathBuf, error: ReadError) -> Self {
        match error {
            ReadError::Open(source) => Self::Open { path, source },
            ReadError::Read(source) => Self::Read { path, source },
            ReadError::Length => Self::Changed { path },
        }
    }
}

/// What all threads do together.
struct Work<'a> {
    layout: &'a Layout<'a>,
    format: Format,
    options: &'a HashOptions,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Work<'_> {
    /// Hashes all pieces; batches that are through go to `sink`, in any order. Gives what was wrong, by part.
    fn run(&self, sink: &(dyn Fn(&mut Batch) + Sync)) -> BTreeMap<usize, ReadError> {
        let threads = self.options.threads.get();
        let reader = Mutex::new(Reader::new(self.layout));
        let work = || {
            let memory = self.options.memory / threads;
            let mut batch = Batch::new(self.format, self.layout.piece_length(), memory);
            let lock = || reader.lock().unwrap_or_else(PoisonError::into_inner);
            while lock().begin(&mut batch) {
                (self.progress)(batch.hash());
                while batch.is_unfinished() {
                    lock().go_on(&mut batch);
                    (self.progress)(batch.hash());
                }
                sink(&mut batch);
            }
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                // Where the system has no more threads to give, those that are there do the work.
                let _handle = thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        let reader = reader.into_inner().unwrap_or_else(PoisonError::into_inner);
        reader.into_faults()
    }
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
    options: &HashOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<CheckedContent, HashError> {
    let info = &torrent.info;
    let places = places.iter().map(Option::as_deref);
    let places = places.chain(std::iter::repeat(None));
    let looks = info
        .files
        .iter()
        .zip(places)
        .map(|(file, place)| Look::at(file, place));
    let looks: Vec<Look<'_>> = looks.collect();
    let layout = Layout::new(
        looks.iter().flat_map(|look| look.parts),
        info.geometry.piece_length(),
    );
    let expected = Expected::of(torrent);
    let right = Mutex::new(Bitfield::empty(&info.geometry));
    let work = Work {
        layout: &layout,
        format: info.format(),
        options,
        progress,
    };
    let faults = work.run(&|batch| {
        progress(batch.unhashed_length());
        let found = batch.finish();
        let mut right = right.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, piece) in found {
            if let Some(index) = expected.find_right(index, &piece) {
                right.insert(index);
            }
        }
    });
    let mut files: Vec<Found> = looks.into_iter().map(|look| look.found).collect();
    for (part, error) in faults {
        // Each file has two parts: what is there, and what is missing.
        files[part / 2] = Found::of(error);
    }
    Ok(CheckedContent {
        pieces: right.into_inner().unwrap_or_else(PoisonError::into_inner),
        files,
    })
}

/// A file of a torrent, and what lies at its place.
struct Look<'a> {
    found: Found,
    /// What is there, and what is missing.
    parts: [(Source<'a>, u64); 2],
}

impl<'a> Look<'a> {
    fn at(file: &File, place: Option<&'a Path>) -> Self {
        if file.kind == FileKind::Pad {
            return Self {
                found: Found::PassedOver,
                parts: [(Source::Zeros, file.length), (Source::Nowhere, 0)],
            };
        }
        let found = place.map_or(Found::PassedOver, Found::at);
        let there = match found {
            Found::File { length } => length.min(file.length),
            _ => 0,
        };
        let source = place.map_or(Source::Nowhere, Source::AtMost);
        Self {
            found,
            parts: [(source, there), (Source::Nowhere, file.length - there)],
        }
    }
}

impl Found {
    fn at(path: &Path) -> Self {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => Self::File {
                length: metadata.len(),
            },
            Ok(_) => Self::Unreadable(io::Error::other("it is not a plain file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::Missing,
            Err(error) => Self::Unreadable(error),
        }
    }

    fn of(error: ReadError) -> Self {
        match error {
            ReadError::Open(error) | ReadError::Read(error) => Self::Unreadable(error),
            ReadError::Length => Self::Unreadable(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// The hashes that a torrent wants.
struct Expected<'a> {
    info: &'a Info,
    layers: BTreeMap<Hash, &'a [u8]>,
}

impl<'a> Expected<'a> {
    fn of(torrent: &'a TorrentFile) -> Self {
        Self {
            info: &torrent.info,
            layers: torrent.layers(),
        }
    }

    /// The piece, if it is as the torrent wants it in each of its halves.
    fn find_right(&self, index: u64, found: &PieceHashes) -> Option<PieceIndex> {
        let index = self.info.geometry.piece(u32::try_from(index).ok()?)?;
        let is_right = found.sha1 == self.info.piece_hash(index) && found.root == self.root(index);
        is_right.then_some(index)
    }

    /// BEP 52: the hash of a piece in its file's layer, or the root of a file of one piece. `None` in v1, and for a piece that is
    /// nothing but pad.
    fn root(&self, piece: PieceIndex) -> Option<Hash> {
        let geometry = &self.info.geometry;
        let files = &self.info.files;
        let spans = files.spans(
            geometry.piece_offset(piece),
            geometry.length_of(piece).into(),
        );
        let (span, file) = spans
            .filter_map(|span| Some((span, files.get(span.file)?)))
            .find(|(_, file)| file.kind == FileKind::Content)?;
        let root = file.pieces_root?;
        let Some(layer) = self.layers.get(&root) else {
            return Some(root);
        };
        let at = span.offset / u64::from(geometry.piece_length());
        let (hashes, _) = layer.as_chunks::<HASH_LENGTH>();
        hashes.get(usize::try_from(at).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;
    use sha1::Digest;
    use tempfile::TempDir;

    use super::*;
    use crate::proto::metainfo::build::InfoOptions;
    use crate::proto::metainfo::hash::TorrentHasher;
    use crate::proto::metainfo::info::{InfoLimits, Layout};
    use crate::proto::metainfo::torrent_file::Envelope;

    const PIECE: usize = 32 << 10;

    fn options(threads: usize, memory: usize) -> HashOptions {
        HashOptions {
            threads: NonZeroUsize::new(threads).unwrap(),
            memory,
        }
    }

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

    #[test]
    fn pads_within_a_piece_are_zeros() {
        // As BEP 47 has it in v1: pieces need not begin with a file, and pads may be anywhere.
        let bytes = [vec![1; 100], vec![0; 50], vec![2; PIECE], vec![0; 7]].concat();
        let hashes: Vec<u8> = bytes
            .chunks(PIECE)
            .flat_map(|piece| sha1::Sha1::digest(piece).to_vec())
            .collect();
        let mut raw = b"d5:files".to_vec();
        raw.extend_from_slice(
            b"ld6:lengthi100e4:pathl3:000eed4:attr1:p6:lengthi50e4:pathl4:.pad2:50ee",
        );
        raw.extend_from_slice(format!("d6:lengthi{PIECE}e4:pathl3:001ee").as_bytes());
        raw.extend_from_slice(b"d4:attr1:p6:lengthi7e4:pathl4:.pad1:7eee4:name1:a");
        raw.extend_from_slice(
            format!("12:piece lengthi{PIECE}e6:pieces{}:", hashes.len()).as_bytes(),
        );
        raw.extend_from_slice(&hashes);
        raw.push(b'e');
        let envelope = Envelope {
            info: &raw,
            ..Envelope::default()
        };
        let torrent = TorrentFile::parse(&envelope.encode(), &InfoLimits::default()).unwrap();
        let sources = Sources::of(vec![vec![1; 100], vec![2; PIECE]]);
        assert!(sources.wrong(&torrent).is_empty());
        std::fs::write(sources.path(1), vec![3; PIECE]).unwrap();
        assert_eq!(sources.wrong(&torrent), [0, 1]);
    }

    #[test]
    fn an_empty_file_must_be_there_and_empty() {
        let sources = four();
        std::fs::remove_file(sources.path(1)).unwrap();
        assert!(
            matches!(sources.hash(Format::V2), Err(HashError::Open { path, .. }) if path == sources.path(1))
        );
    }

    /// Bytes that differ from file to file and from place to place.
    fn bytes((number, length): (usize, usize)) -> Vec<u8> {
        let byte = |at: usize| at.wrapping_mul(number + 7).to_le_bytes()[1] ^ at.to_le_bytes()[0];
        (0..length).map(byte).collect()
    }

    #[test]
    fn pieces_too_long_for_memory_are_hashed_in_slices() {
        let lengths = [700_000, 5, 1 << 20, 300_001, 256 << 10];
        let sources = Sources::of(lengths.into_iter().enumerate().map(bytes).collect());
        let piece_length = PieceLength::new(256 << 10).unwrap();
        for format in FORMATS {
            let mut hasher = TorrentHasher::new(format, piece_length);
            for (file, bytes) in sources.files.iter().zip(&sources.bytes) {
                hasher.begin_file(file.path.clone());
                hasher.update(bytes);
            }
            let expected = hasher.finish();
            for memory in [0, 150_000, 400_000, 600_000, 3 << 20] {
                let options = options(2, memory);
                let found = hash_files(&sources.files, format, piece_length, &options, &|_| {});
                assert_eq!(found.unwrap(), expected, "{format} in {memory} bytes");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn hashes_are_those_of_the_bytes_in_one_stream(
            lengths in prop::collection::vec(prop_oneof![0_usize..200, 0_usize..3 * PIECE], 0..20),
            threads in 1_usize..5,
            memory in prop_oneof![Just(0_usize), 0..1_usize << 20],
        ) {
            let sources = Sources::of(lengths.into_iter().enumerate().map(bytes).collect());
            let options = options(threads, memory);
            for format in FORMATS {
                let found = hash_files(&sources.files, format, piece_length(), &options, &|_| {}).unwrap();
                prop_assert_eq!(found, expected(&sources, format));
                if sources.files.is_empty() {
                    continue;
                }
                let torrent = sources.torrent(format);
                let places = sources.places(&torrent.info);
                let checked = check_files(&torrent, &places, &options, &|_| {}).unwrap();
                prop_assert!(checked.pieces.is_full());
            }
        }
    }
}

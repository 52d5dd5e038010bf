//! A torrent that exists already: files are hashed as it has them, and held against it (BEP 3, 47, 52).
//!
//! Its `info` dictionary is kept byte by byte, so that the info-hash stays. What the dictionary settles, nobody else does: the order of
//! the files, the length of the pieces (in v1 any), and the pads.

use std::fmt;

use super::apart::Spread;
use super::files::{File, FileKind};
use super::hash::{HashedContent, HashedFile, SHA1_LENGTH, TorrentHasher};
use super::info::Info;
use super::layers::PieceLayers;
use super::merkle::HASH_LENGTH;
use super::path::FilePath;
use super::piece_length::PieceLength;
use super::torrent_file::TorrentFile;

/// Bytes that pads may have beyond those of the files. They are zeros that have to be hashed, and a short torrent could ask for a year
/// of that.
const MOST_PADS: u64 = 64 << 30;

/// Files and pieces that a message names, at most.
const NAMED: usize = 10;

/// A torrent that exists, whose content is at hand or will be.
///
/// ```
/// # use sower::proto::metainfo::{info::InfoLimits, original::Original, torrent_file::TorrentFile};
/// let torrent = b"d4:infod6:lengthi11e4:name5:hello12:piece lengthi100e6:pieces20:\
///     \x2a\xae\x6c\x35\xc9\x4f\xcf\xb4\x15\xdb\xe9\x5f\x40\x8b\x9c\xe9\x1e\xe8\x46\xedee";
/// let torrent = TorrentFile::parse(torrent, &InfoLimits::default()).unwrap();
/// let original = Original::of(&torrent).unwrap();
/// let mut hasher = original.hasher();
/// for (_, file) in original.info.files.content() {
///     hasher.begin_file(file.path.clone());
///     hasher.update(b"hello world");
/// }
/// assert!(original.compare(&hasher.finish()).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    /// Its `info` dictionary, read and raw.
    pub info: Info,
    /// Its piece layers, as far as they are known (BEP 52).
    pub layers: PieceLayers,
}

/// The pads of a torrent are far longer than its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the torrent has {0} bytes of pads between its files, which is more than any sound torrent has"
)]
pub struct TooMuchPadding(pub u64);

/// Why content is not that of the torrent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// Files are not there.
    #[error("some of the torrent's files are missing: {0}; add them under these names")]
    Missing(NamedFiles),
    /// A file is longer or shorter.
    #[error(
        "the file {path} has {length} bytes, and in the torrent {expected}; it is not the file that the torrent was made of"
    )]
    Length {
        /// The file.
        path: FilePath,
        /// Bytes in it.
        length: u64,
        /// Bytes that it should have.
        expected: u64,
    },
    /// Bytes are not what they should be.
    #[error(
        "{pieces} of {of} in {files} do not match the torrent; these are not the bytes that it was made of"
    )]
    Pieces {
        /// Pieces whose hashes are others.
        pieces: NamedPieces,
        /// Pieces of the torrent.
        of: u32,
        /// The files that they have bytes of.
        files: NamedFiles,
    },
}

/// Files by their paths, of which the first are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedFiles {
    named: Vec<FilePath>,
    count: usize,
}

/// Pieces by their indices, of which the first are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedPieces {
    named: Vec<u32>,
    count: usize,
}

impl Original {
    /// The torrent in a torrent file.
    ///
    /// # Errors
    /// [`TooMuchPadding`], which would take for ever to hash.
    pub fn of(torrent: &TorrentFile) -> Result<Self, TooMuchPadding> {
        let files = &torrent.info.files;
        let padding = files.total_length().saturating_sub(files.content_length());
        if padding > files.content_length().saturating_add(MOST_PADS) {
            return Err(TooMuchPadding(padding));
        }
        Ok(Self {
            info: torrent.info.clone(),
            layers: PieceLayers::new(torrent.piece_layers.clone()),
        })
    }

    /// How long its pieces are.
    pub fn piece_length(&self) -> PieceLength {
        PieceLength::of(&self.info.geometry)
    }

    /// What hashes its files one after another, in its order.
    pub fn hasher(&self) -> TorrentHasher {
        let mut pads = Vec::new();
        let mut pad = 0_u64;
        for file in &self.info.files {
            match file.kind {
                FileKind::Pad => pad = pad.saturating_add(file.length),
                FileKind::Content => pads.push(std::mem::take(&mut pad)),
            }
        }
        pads.push(pad);
        TorrentHasher::with_pads(self.info.format(), self.piece_length(), pads)
    }

    /// How its files lie, so that each can be hashed by itself.
    pub fn spread(&self) -> Spread {
        let end = |file: &File| file.offset.saturating_add(file.length);
        let files = self.info.files.content();
        let files = files.map(|(_, file)| file.offset..end(file)).collect();
        let total_length = self.info.files.total_length();
        Spread::with_pads(self.info.format(), self.piece_length(), files, total_length)
    }

    /// Holds files that were hashed in its order against it.
    ///
    /// # Errors
    /// [`Difference`], which names files and pieces.
    pub fn compare(&self, content: &HashedContent) -> Result<(), Difference> {
        let hashed = content.files();
        let files = || self.info.files.content().map(|(_, file)| file);
        let missing = NamedFiles::of(files().skip(hashed.len()));
        if missing.count > 0 {
            return Err(Difference::Missing(missing));
        }
        for (file, hashed) in files().zip(hashed) {
            if file.length != hashed.length {
                return Err(Difference::Length {
                    path: file.path.clone(),
                    length: hashed.length,
                    expected: file.length,
                });
            }
        }
        let pieces = self.wrong_pieces(content);
        if pieces.is_empty() {
            return Ok(());
        }
        let geometry = &self.info.geometry;
        let is_touched = |file: &&File| {
            let mut touched = geometry.pieces_touching(file.offset, file.length);
            touched.any(|piece| pieces.binary_search(&piece.get()).is_ok())
        };
        Err(Difference::Pieces {
            files: NamedFiles::of(files().filter(is_touched)),
            of: geometry.piece_count(),
            pieces: NamedPieces {
                named: pieces.iter().copied().take(NAMED).collect(),
                count: pieces.len(),
            },
        })
    }

    /// Pieces with other hashes than the torrent says in any of its halves, in order.
    fn wrong_pieces(&self, content: &HashedContent) -> Vec<u32> {
        let (found, _) = content.pieces.as_chunks::<SHA1_LENGTH>();
        let (expected, _) = self.info.pieces.as_chunks::<SHA1_LENGTH>();
        let mut wrong: Vec<u32> = (0..)
            .zip(expected.iter().enumerate())
            .filter(|(_, (at, hash))| found.get(*at) != Some(*hash))
            .map(|(piece, _)| piece)
            .collect();
        let files = self.info.files.content().zip(content.files());
        for ((_, file), hashed) in files {
            wrong.extend(self.wrong_in_tree(file, hashed));
        }
        wrong.sort_unstable();
        wrong.dedup();
        wrong
    }

    /// BEP 52: pieces of a file that are not those of its tree; all of them where only the root is known.
    fn wrong_in_tree(&self, file: &File, hashed: &HashedFile) -> Vec<u32> {
        let root = hashed.tree.as_ref().map(|tree| tree.root);
        if root == file.pieces_root || !self.info.format().has_v2() {
            return Vec::new();
        }
        let expected = file.pieces_root.and_then(|root| self.layers.of(&root));
        let layer = hashed.tree.as_ref().map_or(&[][..], |tree| &tree.layer);
        let (found, _) = layer.as_chunks::<HASH_LENGTH>();
        let pieces = self.info.geometry.pieces_touching(file.offset, file.length);
        let pieces = pieces
            .enumerate()
            .filter(|(at, _)| expected.is_none_or(|expected| found.get(*at) != expected.get(*at)));
        pieces.map(|(_, piece)| piece.get()).collect()
    }
}

impl NamedFiles {
    fn of<'a>(files: impl Iterator<Item = &'a File>) -> Self {
        let mut names = Self::default();
        for file in files {
            names.push(&file.path);
        }
        names
    }

    /// Adds a file behind all that are there.
    pub fn push(&mut self, path: &FilePath) {
        if self.named.len() < NAMED {
            self.named.push(path.clone());
        }
        self.count = self.count.saturating_add(1);
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl fmt::Display for NamedFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_some(f, &self.named, self.count)
    }
}

impl fmt::Display for NamedPieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.count == 1 { "piece " } else { "pieces " })?;
        write_some(f, &self.named, self.count)
    }
}

/// Writes the items, and how many there are beside.
fn write_some<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: &[T],
    count: usize,
) -> fmt::Result {
    for (number, item) in items.iter().enumerate() {
        let comma = if number == 0 { "" } else { ", " };
        write!(f, "{comma}{item}")?;
    }
    match count.saturating_sub(items.len()) {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;
    use sha1::{Digest, Sha1};

    use super::super::apart::tests::hash_apart;
    use super::super::build::InfoOptions;
    use super::super::info::{Format, InfoLimits, Layout};
    use super::*;
    use crate::proto::bencode::Encoder;

    /// A file of content, or so many zeros.
    #[derive(Clone, Debug)]
    enum Entry {
        Content(Vec<u8>),
        Pad(usize),
    }

    fn path(number: usize) -> FilePath {
        // Against the order of paths: it is the torrent's that counts.
        FilePath::parse(&format!("{:02}", 99 - number)).unwrap()
    }

    /// A v1 torrent as no program of ours makes it, with keys that nobody knows.
    fn v1(entries: &[Entry], piece_length: usize) -> Original {
        let (mut run, mut number) = (Vec::new(), 0);
        let mut info = Vec::new();
        let mut encoder = Encoder::new(&mut info);
        encoder.begin_dict();
        encoder.key("file-duration").begin_list().integer(7).end();
        encoder.key("files").begin_list();
        for entry in entries {
            encoder.begin_dict();
            match entry {
                Entry::Pad(zeros) => {
                    run.resize(run.len() + zeros, 0);
                    encoder.key("attr").text("p");
                    encoder.key("length").unsigned(*zeros as u64);
                    encoder
                        .key("path")
                        .begin_list()
                        .text(".pad")
                        .text("x")
                        .end();
                }
                Entry::Content(bytes) => {
                    run.extend_from_slice(bytes);
                    encoder.key("length").unsigned(bytes.len() as u64);
                    encoder
                        .key("md5sum")
                        .text("d41d8cd98f00b204e9800998ecf8427e");
                    let path = path(number);
                    number += 1;
                    encoder.key("path").begin_list().text(path.as_str()).end();
                }
            }
            encoder.end();
        }
        encoder.end();
        encoder.key("name").text("old");
        encoder.key("piece length").unsigned(piece_length as u64);
        let pieces: Vec<u8> = run.chunks(piece_length).flat_map(Sha1::digest).collect();
        encoder.key("pieces").bytes(&pieces);
        encoder.key("x_cross_seed").text("abc");
        encoder.end();
        Original {
            info: Info::parse(info.into()).unwrap(),
            layers: PieceLayers::default(),
        }
    }

    fn contents(entries: &[Entry]) -> Vec<Vec<u8>> {
        let contents = entries.iter().filter_map(|entry| match entry {
            Entry::Content(bytes) => Some(bytes.clone()),
            Entry::Pad(_) => None,
        });
        contents.collect()
    }

    fn in_one_pass(original: &Original, files: &[Vec<u8>]) -> HashedContent {
        let mut hasher = original.hasher().with_sums();
        for (number, bytes) in files.iter().enumerate() {
            hasher.begin_file(path(number));
            hasher.update(bytes);
        }
        hasher.finish()
    }

    fn apart(original: &Original, files: &[Vec<u8>]) -> HashedContent {
        let spread = original.spread();
        hash_apart(&spread, files, |place| {
            let mut hasher = spread.hasher(place, path(place));
            hasher.update(&files[place]);
            hasher.finish()
        })
    }

    /// A torrent as this program makes them, of files named by their numbers.
    fn made(format: Format, files: &[Vec<u8>]) -> Original {
        let mut hasher = TorrentHasher::new(format, PieceLength::MIN);
        for (number, bytes) in files.iter().enumerate() {
            hasher.begin_file(FilePath::parse(&format!("{number:02}")).unwrap());
            hasher.update(bytes);
        }
        let options = InfoOptions {
            name: "made".to_owned(),
            layout: Layout::Folder,
            private: false,
            source: None,
        };
        let built = hasher.finish().into_info(options).unwrap();
        Original {
            info: built.info,
            layers: PieceLayers::new(built.piece_layers),
        }
    }

    fn refusal(original: &Original, files: &[Vec<u8>]) -> String {
        let refusal = original.compare(&in_one_pass(original, files));
        assert_eq!(original.compare(&apart(original, files)), refusal);
        refusal.unwrap_err().to_string()
    }

    #[test]
    fn wrong_bytes_are_named_by_piece_and_file() {
        let entries = [
            Entry::Content(vec![1; 250]),
            Entry::Pad(50),
            Entry::Content(vec![2; 100]),
            Entry::Content(vec![3; 30]),
        ];
        let (original, mut files) = (v1(&entries, 100), contents(&entries));
        files[0][101] ^= 1;
        let words = refusal(&original, &files);
        assert!(
            words.starts_with("piece 1 of 5 in 99 do not match"),
            "{words}"
        );
        files[2][29] ^= 1;
        let words = refusal(&original, &files);
        assert!(
            words.starts_with("pieces 1, 4 of 5 in 99, 97 do not"),
            "{words}"
        );
        files[1].push(0);
        let words = refusal(&original, &files);
        assert!(
            words.contains("98 has 101 bytes, and in the torrent 100"),
            "{words}"
        );
        files.truncate(1);
        let words = refusal(&original, &files);
        assert!(words.contains("missing: 98, 97; add them"), "{words}");
    }

    #[test]
    fn a_message_names_the_first_ten() {
        let entries = [Entry::Content((0..=99).collect())];
        let words = refusal(&v1(&entries, 5), &[vec![200; 100]]);
        assert!(
            words.contains("pieces 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 10 more of 20"),
            "{words}"
        );
    }

    #[test]
    fn a_tree_names_the_piece_where_its_layer_is_known_and_else_the_whole_file() {
        let files = vec![vec![1; 40_000], vec![2; 20_000]];
        let mut wrong = files.clone();
        wrong[0][20_000] ^= 1;
        for format in [Format::V2, Format::Hybrid] {
            let mut original = made(format, &files);
            assert_eq!(original.compare(&apart(&original, &files)), Ok(()));
            let words = refusal(&original, &wrong);
            assert!(words.starts_with("piece 1 of 5 in 00 "), "{words}");
            original.layers = PieceLayers::default();
            let words = refusal(&original, &wrong);
            assert!(words.starts_with("pieces 0, 1, 2 of 5 in 00 "), "{words}");
        }
    }

    #[test]
    fn layers_that_the_torrent_file_lacks_come_from_the_content() {
        let files = vec![vec![1; 40_000], vec![2; 20_000], Vec::new()];
        for format in [Format::V2, Format::Hybrid] {
            let whole = made(format, &files);
            let original = Original {
                layers: PieceLayers::default(),
                ..whole.clone()
            };
            let content = apart(&original, &files);
            assert_eq!(original.compare(&content), Ok(()));
            assert_eq!(content.piece_layers(), whole.layers.raw());
        }
    }

    #[test]
    fn pads_without_end_are_refused() {
        let torrent = |pad: u64| {
            let mut text = String::from("d4:infod5:filesl");
            write!(
                text,
                "d6:lengthi1e4:pathl1:aeed4:attr1:p6:lengthi{pad}e4:pathl1:beee"
            )
            .unwrap();
            let pieces = (pad + 1).div_ceil(1 << 28);
            let hashes = "x".repeat(usize::try_from(pieces).unwrap() * 20);
            write!(
                text,
                "4:name1:x12:piece lengthi268435456e6:pieces{}:{hashes}ee",
                hashes.len()
            )
            .unwrap();
            TorrentFile::parse(text.as_bytes(), &InfoLimits::default()).unwrap()
        };
        assert!(Original::of(&torrent(64 << 30)).is_ok());
        let refusal = Original::of(&torrent(1 << 46));
        assert_eq!(refusal, Err(TooMuchPadding(1 << 46)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn content_is_itself_and_nothing_else(
            entries in prop::collection::vec(
                prop_oneof![
                    3 => prop::collection::vec(any::<u8>(), 0..5_000).prop_map(Entry::Content),
                    1 => prop::collection::vec(any::<u8>(), 0..50).prop_map(Entry::Content),
                    1 => (0_usize..3_000).prop_map(Entry::Pad),
                ],
                1..10,
            ),
            piece_length in 1_usize..3_000,
            at in any::<prop::sample::Index>(),
        ) {
            let mut files = contents(&entries);
            prop_assume!(files.iter().any(|bytes| !bytes.is_empty()));
            let original = v1(&entries, piece_length);
            let content = apart(&original, &files);
            prop_assert_eq!(&content, &in_one_pass(&original, &files));
            prop_assert_eq!(original.compare(&content), Ok(()));

            let total: usize = files.iter().map(Vec::len).sum();
            let mut at = at.index(total);
            for bytes in &mut files {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1;
                    break;
                }
                at -= bytes.len();
            }
            let words = refusal(&original, &files);
            prop_assert!(words.starts_with("piece "), "{}", words);
        }

        #[test]
        fn what_is_made_here_is_found_again(
            files in prop::collection::vec(
                prop_oneof![prop::collection::vec(any::<u8>(), 0..60_000), Just(vec![5; 16_384])], 1..5,
            ),
            format in prop::sample::select(vec![Format::V1, Format::V2, Format::Hybrid]),
        ) {
            prop_assume!(files.iter().any(|bytes| !bytes.is_empty()));
            let original = made(format, &files);
            let content = apart(&original, &files);
            prop_assert_eq!(original.compare(&content), Ok(()));
            prop_assert_eq!(content.piece_layers(), original.layers.raw());
            prop_assert_eq!(original.compare(&in_one_pass(&original, &files)), Ok(()));
        }
    }
}

//! The `info` dictionary: what is in a torrent (BEP 3, 27, 47, 52).

use std::num::NonZeroU32;

use bytes::Bytes;

use super::files::{File, FileKind, Files};
pub use super::format::{Format, UnknownFormat};
use super::hash::SHA1_LENGTH;
use super::path::{FilePath, PathError, check_component, check_distinct};
use super::{file_list, file_tree, listing};
use crate::proto::bencode::Value;
use crate::proto::bencode::scan::{self, Limits, Rule, ScanError};
use crate::proto::bencode::value::Walk;
use crate::proto::geometry::{BLOCK_LENGTH, Geometry, PieceIndex};
use crate::proto::id::{InfoHash, InfoHashV2, InfoHashes};

/// An `info` dictionary, read and checked. Its raw bytes are kept, for the info-hash is of those and of nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The dictionary as it stood in the torrent file; what `ut_metadata` serves (BEP 9).
    pub raw: Bytes,
    /// SHA-1 and SHA-256 of `raw`, as far as the format has them.
    pub hashes: InfoHashes,
    /// The name of the single file, or of the folder that holds the files.
    pub name: String,
    /// Whether the name is that of the only file or of a folder.
    pub layout: Layout,
    /// How the bytes are cut into pieces, pads counted.
    pub geometry: Geometry,
    /// The files in order, pads among them.
    pub files: Files,
    /// The SHA-1 of each piece, one after another (20 bytes each); empty in a v2-only torrent.
    pub pieces: Bytes,
    /// Whether peers may only come from the torrent's own trackers (BEP 27).
    pub private: bool,
    /// A word that some private trackers add to make the info-hash their own.
    pub source: Option<String>,
}

/// Whether a torrent's `name` is its only file or a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// One file, called by the torrent's name.
    SingleFile,
    /// A folder of that name, with files in it.
    Folder,
}

/// Bounds for what a torrent may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfoLimits {
    /// Bounds of the bencode.
    pub scan: Limits,
    /// Files, at most; as many pads may stand among them.
    pub files: usize,
    /// Bytes for all paths together, at most, with 48 more for each.
    pub path_bytes: usize,
    /// Bytes in a piece, at most.
    pub piece_length: u32,
    /// Pieces, at most. A v2 torrent names millions in a few bytes, and each costs memory.
    pub pieces: u32,
}

impl InfoLimits {
    /// For torrent files of so many bytes with so many files; the other bounds grow with them.
    pub fn of(bytes: usize, files: usize) -> Self {
        let usual = Self::default();
        let elements = files.saturating_mul(ELEMENTS_PER_FILE);
        let path_bytes = files.saturating_mul(PATH_BYTES_PER_FILE);
        Self {
            scan: Limits {
                length: bytes,
                elements: elements.max(usual.scan.elements),
                ..usual.scan
            },
            files,
            path_bytes: path_bytes.max(usual.path_bytes),
            ..usual
        }
    }
}

impl Default for InfoLimits {
    /// 48 MiB, 200,000 files, 64 MiB of paths, pieces of just under 512 MiB (as in libtorrent), four million pieces.
    fn default() -> Self {
        Self {
            scan: Limits::TORRENT_FILE,
            files: 200_000,
            path_bytes: 64 << 20,
            piece_length: 0x7fff * BLOCK_LENGTH,
            pieces: 1 << 22,
        }
    }
}

/// Elements of bencode for a file of a hybrid, its pad and the folders around it.
const ELEMENTS_PER_FILE: usize = 30;

/// Bytes that a path may take, on an average.
const PATH_BYTES_PER_FILE: usize = 335;

/// Why bytes are no usable `info` dictionary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InfoError {
    /// It is no bencoded value.
    #[error("the info dictionary is not sound bencode")]
    Bencode(#[source] ScanError),
    /// It is something else than a dictionary.
    #[error("`info` must be a dictionary")]
    NotADictionary,
    /// A field that must be there is not.
    #[error("the info dictionary has no `{field}`")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field holds something else than it must.
    #[error("`{field}` in the info dictionary must be {expected}")]
    WrongType {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A name in a v2 torrent is not UTF-8 (BEP 52).
    #[error("`{field}` in the info dictionary holds a name that is not UTF-8")]
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
    /// The torrent's name, or that of a file, is not safe, or files get in each other's way.
    #[error("`{field}` in the info dictionary holds a file name that cannot be used")]
    Path {
        /// The field.
        field: &'static str,
        /// What is wrong with the name.
        source: PathError,
    },
    /// The paths together take more memory than [`InfoLimits::path_bytes`].
    #[error("the paths of the torrent take more than {limit} bytes")]
    PathsTooLong {
        /// The limit.
        limit: usize,
    },
    /// There is no file but pads.
    #[error("the torrent has no files")]
    NoFiles,
    /// Over [`InfoLimits::files`].
    #[error("the torrent has more than {limit} files")]
    TooManyFiles {
        /// The limit.
        limit: usize,
    },
    /// Zero, negative, over the limit, or in v2 no power of two from 16 KiB.
    #[error("a piece length of {length} bytes, where {expected} is wanted")]
    PieceLength {
        /// What the torrent says.
        length: i64,
        /// What it should say.
        expected: &'static str,
    },
    /// `pieces` is not whole SHA-1 hashes.
    #[error("`pieces` has {length} bytes, which is no multiple of 20")]
    PiecesNotWhole {
        /// Bytes in it.
        length: usize,
    },
    /// `pieces` has not one hash for each piece.
    #[error("`pieces` has {actual} hashes where the files need {expected}")]
    PieceCount {
        /// Pieces that the files make.
        expected: u32,
        /// Hashes that are there.
        actual: usize,
    },
    /// The pieces are over [`InfoLimits::pieces`], or more than the wire can count.
    #[error("the torrent has more than {limit} pieces")]
    TooManyPieces {
        /// The limit.
        limit: u32,
    },
    /// The lengths of the files add up to more than 64 bits hold.
    #[error("the lengths of the files overflow")]
    LengthOverflow,
    /// Neither v1 nor v2 (BEP 52: `meta version`).
    #[error("the torrent is of meta version {0}, and only 2 is known")]
    UnknownVersion(i64),
    /// The two halves of a hybrid do not describe the same files.
    #[error("the v1 and v2 halves of the torrent differ at the file {path}")]
    HalvesDiffer {
        /// The first file that only one of them has, at this place and of this length.
        path: FilePath,
    },
    /// A file of a hybrid does not begin on a piece.
    #[error("the file {path} does not begin on a piece, as it must in a hybrid torrent")]
    NotAligned {
        /// The file.
        path: FilePath,
    },
}

impl Info {
    /// Reads an `info` dictionary, within the usual limits.
    ///
    /// # Errors
    /// [`InfoError`], naming the field and the rule.
    pub fn parse(raw: Bytes) -> Result<Self, InfoError> {
        Self::parse_within(raw, &InfoLimits::default())
    }

    /// Reads an `info` dictionary, within limits.
    ///
    /// # Errors
    /// [`InfoError`], naming the field and the rule.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the dictionary keeps the bytes, which what was read of them still borrows"
    )]
    pub fn parse_within(raw: Bytes, limits: &InfoLimits) -> Result<Self, InfoError> {
        let scanned = scan::lenient(&raw, &limits.scan).map_err(InfoError::Bencode)?;
        if scanned.has_trailing_newline {
            return Err(InfoError::Bencode(ScanError {
                offset: scanned.root.raw().len(),
                rule: Rule::TrailingBytes,
            }));
        }
        let fields = Fields::take(&mut scanned.root.walk(), limits)?;
        Self::of_fields(raw.clone(), fields, limits)
    }

    /// Puts together what was read of an `info` dictionary, whose bytes are `raw`.
    pub(super) fn of_fields(
        raw: Bytes,
        mut fields: Fields<'_>,
        limits: &InfoLimits,
    ) -> Result<Self, InfoError> {
        let format = fields.format()?;
        let piece_length = fields.piece_length(format, limits)?;
        let name = fields.name(format)?;
        let (name, layout, files) = match format {
            Format::V1 => fields.v1_files(name)?,
            Format::V2 => fields.v2_files(name, piece_length)?,
            Format::Hybrid => {
                let (name, layout, files) = fields.v1_files(name)?;
                let files = join_halves(files, fields.tree_files()?)?;
                (name, layout, files)
            }
        };
        let files = Files::lay_out(files).ok_or(InfoError::LengthOverflow)?;
        check_files(&files)?;
        let geometry = Geometry::new(files.total_length(), piece_length)
            .filter(|geometry| geometry.piece_count() <= limits.pieces)
            .ok_or(InfoError::TooManyPieces {
                limit: limits.pieces,
            })?;
        if format == Format::Hybrid {
            check_alignment(&files, &geometry)?;
        }
        let pieces = if format.has_v1() {
            raw.slice_ref(fields.v1_pieces(&geometry)?)
        } else {
            Bytes::new()
        };
        let (private, source) = (fields.is_private(), fields.source());
        // The info-hash is of the bytes as they came, never of a re-encoding.
        let hashes = match format {
            Format::V1 => InfoHashes::V1(InfoHash::of_v1(&raw)),
            Format::V2 => InfoHashes::V2(InfoHashV2::of_v2(&raw)),
            Format::Hybrid => InfoHashes::Hybrid(InfoHash::of_v1(&raw), InfoHashV2::of_v2(&raw)),
        };
        Ok(Self {
            raw,
            hashes,
            name,
            layout,
            geometry,
            files,
            pieces,
            private,
            source,
        })
    }

    /// Which generation of torrents it belongs to.
    pub const fn format(&self) -> Format {
        match self.hashes {
            InfoHashes::V1(_) => Format::V1,
            InfoHashes::V2(_) => Format::V2,
            InfoHashes::Hybrid(..) => Format::Hybrid,
        }
    }

    /// The SHA-1 that `piece` must have (BEP 3); `None` in a v2-only torrent.
    pub fn piece_hash(&self, piece: PieceIndex) -> Option<[u8; SHA1_LENGTH]> {
        let at = piece.as_usize().checked_mul(SHA1_LENGTH)?;
        self.pieces.get(at..)?.first_chunk().copied()
    }
}

/// The fields of an `info` dictionary that mean something to us, found in one walk.
///
/// The files are nearly all of its bytes. So they are read in passing, and what is wrong with them counts only if the
/// format has them.
#[derive(Default)]
pub(super) struct Fields<'a> {
    file_tree: Option<Result<Vec<File>, InfoError>>,
    files: Option<Result<Vec<File>, InfoError>>,
    length: Option<Value<'a>>,
    meta_version: Option<Value<'a>>,
    name: Option<Value<'a>>,
    name_utf8: Option<Value<'a>>,
    piece_length: Option<Value<'a>>,
    pieces: Option<Value<'a>>,
    private: Option<Value<'a>>,
    source: Option<Value<'a>>,
}

impl<'a> Fields<'a> {
    /// Takes the dictionary that comes next in a walk.
    pub(super) fn take(walk: &mut Walk<'a>, limits: &InfoLimits) -> Result<Self, InfoError> {
        if !walk.enter_dict() {
            return Err(InfoError::NotADictionary);
        }
        let mut fields = Self::default();
        while let Some(key) = walk.key() {
            let field = match key {
                b"file tree" => {
                    fields.file_tree = Some(file_tree::take(walk, limits));
                    continue;
                }
                b"files" => {
                    fields.files = Some(file_list::take(walk, limits));
                    continue;
                }
                b"length" => &mut fields.length,
                b"meta version" => &mut fields.meta_version,
                b"name" => &mut fields.name,
                b"name.utf-8" => &mut fields.name_utf8,
                b"piece length" => &mut fields.piece_length,
                b"pieces" => &mut fields.pieces,
                b"private" => &mut fields.private,
                b"source" => &mut fields.source,
                _ => &mut None,
            };
            *field = walk.value();
        }
        Ok(fields)
    }

    fn format(&self) -> Result<Format, InfoError> {
        let Some(version) = self.meta_version else {
            return Ok(Format::V1);
        };
        match version.as_integer() {
            // BEP 52: a hybrid has the fields of both.
            Some(2) if self.pieces.is_some() => Ok(Format::Hybrid),
            Some(2) => Ok(Format::V2),
            Some(other) => Err(InfoError::UnknownVersion(other)),
            None => Err(InfoError::WrongType {
                field: "meta version",
                expected: "an integer",
            }),
        }
    }

    fn piece_length(&self, format: Format, limits: &InfoLimits) -> Result<NonZeroU32, InfoError> {
        let field = "piece length";
        let length = self
            .piece_length
            .ok_or(InfoError::Missing { field })?
            .as_integer()
            .ok_or(InfoError::WrongType {
                field,
                expected: "an integer",
            })?;
        let expected = if format.has_v2() {
            "a power of two from 16 KiB up to the limit"
        } else {
            "one from 1 byte up to the limit"
        };
        u32::try_from(length)
            .ok()
            .and_then(NonZeroU32::new)
            .filter(|length| length.get() <= limits.piece_length)
            .filter(|length| {
                !format.has_v2() || (length.is_power_of_two() && length.get() >= BLOCK_LENGTH)
            })
            .ok_or(InfoError::PieceLength { length, expected })
    }

    fn name(&self, format: Format) -> Result<String, InfoError> {
        let field = "name";
        let name = self
            .name_utf8
            .or(self.name)
            .ok_or(InfoError::Missing { field })?
            .as_bytes()
            .ok_or(InfoError::WrongType {
                field,
                expected: "a byte string",
            })?;
        let name = match std::str::from_utf8(name) {
            Ok(name) => name.to_owned(),
            Err(_) if format.has_v2() => return Err(InfoError::NotUtf8 { field }),
            // Old torrents are in the publisher's local encoding: better a strange name than none.
            Err(_) => String::from_utf8_lossy(name).into_owned(),
        };
        check_component(&name).map_err(|source| InfoError::Path { field, source })?;
        Ok(name)
    }

    fn v1_files(&mut self, name: String) -> Result<Listing, InfoError> {
        match (self.length, self.files.take()) {
            (Some(_), Some(_)) => Err(InfoError::WrongType {
                field: "files",
                expected: "absent where there is a `length`",
            }),
            (None, Some(files)) => Ok((name, Layout::Folder, files?)),
            (length, None) => {
                let only = File {
                    path: FilePath::from_components([&name]).map_err(|source| InfoError::Path {
                        field: "name",
                        source,
                    })?,
                    length: file_list::read_length(length)?,
                    offset: 0,
                    listed_at: 0,
                    kind: FileKind::Content,
                    pieces_root: None,
                };
                Ok((name, Layout::SingleFile, vec![only]))
            }
        }
    }

    fn v2_files(&mut self, name: String, piece_length: NonZeroU32) -> Result<Listing, InfoError> {
        let files = self.tree_files()?;
        // BEP 52, "interpreting paths": one file at the root of the tree is the whole torrent, whatever `name` says.
        let (name, layout) = match files.as_slice() {
            [only] if only.path.is_bare() => (only.path.file_name().to_owned(), Layout::SingleFile),
            _ => (name, Layout::Folder),
        };
        let files = listing::align(files, u64::from(piece_length.get()))?;
        Ok((name, layout, files))
    }

    fn tree_files(&mut self) -> Result<Vec<File>, InfoError> {
        let field = "file tree";
        self.file_tree.take().ok_or(InfoError::Missing { field })?
    }

    fn v1_pieces(&self, geometry: &Geometry) -> Result<&'a [u8], InfoError> {
        let field = "pieces";
        let pieces = self
            .pieces
            .ok_or(InfoError::Missing { field })?
            .as_bytes()
            .ok_or(InfoError::WrongType {
                field,
                expected: "a byte string",
            })?;
        let (hashes, rest) = pieces.as_chunks::<SHA1_LENGTH>();
        if !rest.is_empty() {
            return Err(InfoError::PiecesNotWhole {
                length: pieces.len(),
            });
        }
        let expected = geometry.piece_count();
        if u32::try_from(hashes.len()) != Ok(expected) {
            return Err(InfoError::PieceCount {
                expected,
                actual: hashes.len(),
            });
        }
        Ok(pieces)
    }

    /// BEP 27: `private=1`. A value that means nothing errs on the side of privacy.
    fn is_private(&self) -> bool {
        self.private
            .is_some_and(|private| private.as_integer() != Some(0))
    }

    fn source(&self) -> Option<String> {
        let source = self.source?.as_bytes()?;
        Some(String::from_utf8_lossy(source).into_owned())
    }
}

/// A torrent's name, what that is the name of, and its files.
type Listing = (String, Layout, Vec<File>);

/// Gives the files of the v1 half the roots of the v2 half, where both describe the same files.
fn join_halves(mut files: Vec<File>, tree: Vec<File>) -> Result<Vec<File>, InfoError> {
    let mut tree = tree.into_iter();
    let content = files
        .iter_mut()
        .filter(|file| file.kind == FileKind::Content);
    for file in content {
        match tree.next() {
            Some(twin) if twin.path == file.path && twin.length == file.length => {
                file.pieces_root = twin.pieces_root;
            }
            _ => {
                let path = file.path.clone();
                return Err(InfoError::HalvesDiffer { path });
            }
        }
    }
    tree.next().map_or(Ok(files), |more| {
        Err(InfoError::HalvesDiffer { path: more.path })
    })
}

fn check_files(files: &Files) -> Result<(), InfoError> {
    if files.content().next().is_none() {
        return Err(InfoError::NoFiles);
    }
    check_distinct(files.content().map(|(_, file)| &file.path)).map_err(|source| InfoError::Path {
        field: "files",
        source,
    })
}

/// BEP 52: in a hybrid every file begins on a piece, so that both halves cut the same bytes.
fn check_alignment(files: &Files, geometry: &Geometry) -> Result<(), InfoError> {
    let piece_length = u64::from(geometry.piece_length());
    let stray = files
        .content()
        .find(|(_, file)| file.length > 0 && !file.offset.is_multiple_of(piece_length));
    stray.map_or(Ok(()), |(_, file)| {
        Err(InfoError::NotAligned {
            path: file.path.clone(),
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::bencode::Encoder;

    fn parse(raw: impl Into<Vec<u8>>) -> Result<Info, InfoError> {
        Info::parse(Bytes::from(raw.into()))
    }

    /// Joins bencoded pieces of text; `#` before a text stands for its length and a colon.
    fn bencode(parts: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for part in parts {
            match part.strip_prefix('#') {
                Some(text) => {
                    Encoder::new(&mut out).text(text);
                }
                None => out.extend_from_slice(part.as_bytes()),
            }
        }
        out
    }

    /// A v1 torrent of one file, with its fields as given.
    fn single(length: &str, name: &str, piece_length: &str, pieces: &str) -> Vec<u8> {
        bencode(&[
            "d",
            "#length",
            length,
            "#name",
            name,
            "#piece length",
            piece_length,
            "#pieces",
            pieces,
            "e",
        ])
    }

    /// A v1 torrent of a folder, with `files` as given and the hashes that `pieces` pieces need.
    fn folder(files: &[u8], pieces: usize) -> Vec<u8> {
        let mut out = b"d5:filesl".to_vec();
        out.extend_from_slice(files);
        out.extend(bencode(&[
            "e",
            "#name",
            "#x",
            "#piece length",
            "i16384e",
            "#pieces",
        ]));
        Encoder::new(&mut out).bytes(&vec![7; pieces * 20]).end();
        out
    }

    fn entry(length: u64, path: &str, more: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        encoder.raw(b"d").raw(more.as_bytes());
        encoder.bytes(b"length").unsigned(length);
        encoder.bytes(b"path").begin_list();
        for component in path.split('/') {
            encoder.text(component);
        }
        encoder.end().raw(b"e");
        out
    }

    /// A symbolic link to `a`.
    fn link(length: u64, path: &str) -> Vec<u8> {
        let mut out = entry(length, path, "4:attr2:xl");
        out.truncate(out.len() - 1);
        out.extend_from_slice(b"12:symlink pathl1:aee");
        out
    }

    /// A v2 file, with a root of sevens unless it is empty.
    fn leaf(length: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        encoder.begin_dict().key("").begin_dict();
        encoder.key("length").unsigned(length);
        if length > 0 {
            encoder.key("pieces root").bytes(&[7; 32]);
        }
        encoder.end().end();
        out
    }

    /// A v2 torrent: the tree as pairs of name and value, in their order.
    fn tree(entries: &[(&str, Vec<u8>)], more: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&mut out);
        encoder.begin_dict().key("file tree").begin_dict();
        for (name, value) in entries {
            encoder.key(name).raw(value);
        }
        encoder.end().raw(more);
        encoder.key("meta version").integer(2);
        encoder.key("name").text("x");
        encoder.key("piece length").integer(16_384).end();
        out
    }

    fn hybrid(files: &[Vec<u8>], entries: &[(&str, Vec<u8>)], pieces: usize) -> Vec<u8> {
        let list = [b"5:filesl", files.concat().as_slice(), b"e"].concat();
        let mut out = tree(entries, &list);
        out.pop();
        out.extend_from_slice(b"6:pieces");
        Encoder::new(&mut out).bytes(&vec![7; pieces * 20]).end();
        out
    }

    #[test]
    fn reads_a_single_file() {
        let raw = single(
            "i16385e",
            "#a.txt",
            "i16384e",
            "40:aaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbb",
        );
        let info = parse(raw.clone()).unwrap();
        assert_eq!(info.raw, raw);
        assert_eq!(info.hashes, InfoHashes::V1(InfoHash::of_v1(&raw)));
        assert_eq!(info.layout, Layout::SingleFile);
        assert_eq!(info.files.get(0).unwrap().path.to_string(), info.name);
        let last = info.geometry.piece(1).unwrap();
        assert_eq!(info.piece_hash(last), Some([b'b'; 20]));
        assert!(!info.private && info.source.is_none());
    }

    #[test]
    fn refuses_piece_lengths_out_of_range() {
        for length in [
            "i0e",
            "i-1e",
            "i4294967297e",
            "i536854529e",
            "i9223372036854775807e",
        ] {
            assert!(
                matches!(
                    parse(single("i1e", "#a", length, "20:aaaaaaaaaaaaaaaaaaaa")),
                    Err(InfoError::PieceLength { .. })
                ),
                "{length}"
            );
        }
        assert!(parse(single("i1e", "#a", "i1e", "20:aaaaaaaaaaaaaaaaaaaa")).is_ok());
    }

    #[test]
    fn refuses_pieces_that_are_not_one_hash_a_piece() {
        assert_eq!(
            parse(single("i1e", "#a", "i16384e", "19:aaaaaaaaaaaaaaaaaaa")),
            Err(InfoError::PiecesNotWhole { length: 19 })
        );
        assert_eq!(
            parse(single(
                "i16385e",
                "#a",
                "i16384e",
                "20:aaaaaaaaaaaaaaaaaaaa"
            )),
            Err(InfoError::PieceCount {
                expected: 2,
                actual: 1
            })
        );
        assert_eq!(
            parse(single("i0e", "#a", "i16384e", "20:aaaaaaaaaaaaaaaaaaaa")),
            Err(InfoError::PieceCount {
                expected: 0,
                actual: 1
            })
        );
        assert!(parse(single("i0e", "#a", "i16384e", "0:")).is_ok());
    }

    #[test]
    fn refuses_lengths_that_are_negative_or_overflow() {
        assert!(matches!(
            parse(single("i-1e", "#a", "i16384e", "0:")),
            Err(InfoError::WrongType {
                field: "length",
                ..
            })
        ));
        let half = i64::MAX.unsigned_abs();
        let files = [
            entry(half, "a", ""),
            entry(half, "b", ""),
            entry(2, "c", ""),
        ]
        .concat();
        assert_eq!(parse(folder(&files, 0)), Err(InfoError::LengthOverflow));
        assert!(matches!(
            parse(single("i9223372036854775807e", "#a", "i1e", "0:")),
            Err(InfoError::TooManyPieces { .. })
        ));
    }

    #[test]
    fn names_the_field_that_is_missing_or_of_another_type() {
        let whole = [
            ("length", "i0e"),
            ("name", "1:a"),
            ("piece length", "i1e"),
            ("pieces", "0:"),
        ];
        for (left_out, _) in whole {
            let mut parts = vec!["d".to_owned()];
            for (key, value) in whole.iter().filter(|(key, _)| *key != left_out) {
                parts.extend([format!("#{key}"), (*value).to_owned()]);
            }
            parts.push("e".to_owned());
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            assert_eq!(
                parse(bencode(&parts)),
                Err(InfoError::Missing { field: left_out })
            );
        }
        for (at, (key, _)) in whole.iter().enumerate() {
            let mut fields = whole.map(|(_, value)| value);
            fields[at] = "le";
            let [length, name, piece_length, pieces] = fields;
            let error = parse(single(length, name, piece_length, pieces)).unwrap_err();
            assert!(
                matches!(error, InfoError::WrongType { field, .. } if field == *key),
                "{error}"
            );
        }
        assert_eq!(parse("le"), Err(InfoError::NotADictionary));
        assert!(matches!(parse("de\n"), Err(InfoError::Bencode(_))));
    }

    #[test]
    fn reads_a_folder_with_pads_and_symbolic_links() {
        let files = [
            entry(5, "a/b", ""),
            entry(16_379, "../../etc", "4:attr1:p"),
            link(5, "../link"),
            entry(7, "c", "4:attr1:x"),
        ]
        .concat();
        let info = parse(folder(&files, 2)).unwrap();
        let seen: Vec<_> = info
            .files
            .iter()
            .map(|file| (file.path.to_string(), file.length, file.offset, file.kind))
            .collect();
        assert_eq!(
            seen,
            [
                ("a/b".to_owned(), 5, 0, FileKind::Content),
                (".pad/16379".to_owned(), 16_379, 5, FileKind::Pad),
                ("c".to_owned(), 7, 16_384, FileKind::Content),
            ]
        );
        assert_eq!(info.layout, Layout::Folder);
    }

    #[test]
    fn places_count_pads_and_links_as_in_libtorrent() {
        let places = |raw| {
            let info = parse(raw).unwrap();
            let content: Vec<_> = info
                .files
                .content()
                .map(|(_, file)| file.listed_at)
                .collect();
            content
        };
        let pad = entry(16_379, "pad", "4:attr1:p");
        let files = [
            link(0, "k"),
            entry(5, "a", ""),
            pad,
            link(0, "l"),
            entry(7, "c", ""),
        ];
        assert_eq!(places(folder(&files.concat(), 2)), [1, 4]);
        let link = b"d0:d4:attr1:l6:lengthi0e12:symlink pathl1:aeee".to_vec();
        let entries = [
            ("a", leaf(1)),
            ("b", leaf(0)),
            ("c", link),
            ("d", leaf(16_384)),
            ("e", leaf(5)),
            ("f", leaf(5)),
        ];
        // Behind `a` and `e` come pads that v2 leaves unwritten.
        assert_eq!(places(tree(&entries, b"")), [0, 2, 4, 5, 7]);
    }

    #[test]
    fn a_symbolic_link_has_no_bytes_and_points_somewhere() {
        let info = parse(folder(&[entry(5, "a", ""), link(9, "b")].concat(), 1)).unwrap();
        assert_eq!((info.files.len(), info.files.total_length()), (1, 5));
        let without_length = b"d4:attr1:l4:pathl1:be12:symlink pathl1:aee";
        let files = [&entry(5, "a", "")[..], without_length].concat();
        assert_eq!(parse(folder(&files, 1)).unwrap().files.len(), 1);
        for target in ["", "12:symlink pathi1e", "12:symlink pathl1:ai4ee"] {
            let nowhere = format!("d4:attr1:l6:lengthi0e4:pathl1:be{target}e");
            let files = [&entry(5, "a", "")[..], nowhere.as_bytes()].concat();
            assert!(
                matches!(
                    parse(folder(&files, 1)),
                    Err(InfoError::WrongType {
                        field: "symlink path",
                        ..
                    })
                ),
                "{target}"
            );
        }
    }

    #[test]
    fn bitcomet_marks_pads_by_their_name_alone() {
        let pad = entry(16_379, "_____padding_file_0_please update____", "");
        let files = [entry(5, "a", ""), pad, entry(1, "b", "")].concat();
        let info = parse(folder(&files, 2)).unwrap();
        let kinds: Vec<_> = info.files.iter().map(|file| file.kind).collect();
        assert_eq!(kinds, [FileKind::Content, FileKind::Pad, FileKind::Content]);
    }

    #[test]
    fn prefers_names_in_utf8_and_reads_others_as_well_as_it_can() {
        let raw =
            b"d6:lengthi0e4:name3:\xff\xfea10:name.utf-84:\xc3\xa4.b12:piece lengthi1e6:pieces0:e";
        assert_eq!(parse(*raw).unwrap().name, "ä.b");
        let raw = b"d6:lengthi0e4:name3:\xffab12:piece lengthi1e6:pieces0:e";
        assert_eq!(parse(*raw).unwrap().name, "\u{fffd}ab");
        let entry = b"d6:lengthi0e4:pathl1:\xffe10:path.utf-8l2:\xc3\xbcee";
        let info = parse(folder(entry, 0)).unwrap();
        assert_eq!(info.files.get(0).unwrap().path.to_string(), "ü");
    }

    #[test]
    fn refuses_names_that_are_not_safe() {
        for name in ["..", ".", "", "a/b", "a\\b", "a\0", "C:", "NUL", "a\nb"] {
            let name = format!("#{name}");
            assert!(
                matches!(
                    parse(single("i0e", &name, "i1e", "0:")),
                    Err(InfoError::Path { .. })
                ),
                "{name:?}"
            );
        }
        for path in ["..", "a/../b", "a//b", "", "C:/x", "con"] {
            let raw = folder(&entry(0, path, ""), 0);
            assert!(
                matches!(parse(raw), Err(InfoError::Path { .. })),
                "{path:?}"
            );
        }
        let files = [entry(0, "a/Ä", ""), entry(0, "A/a\u{308}", "")].concat();
        assert!(matches!(
            parse(folder(&files, 0)),
            Err(InfoError::Path {
                source: PathError::Collision { .. },
                ..
            })
        ));
        let files = [entry(0, "a", ""), entry(0, "A/b", "")].concat();
        assert!(matches!(
            parse(folder(&files, 0)),
            Err(InfoError::Path {
                source: PathError::FileIsFolder { .. },
                ..
            })
        ));
    }

    #[test]
    fn refuses_a_torrent_without_files() {
        assert_eq!(parse(folder(b"", 0)), Err(InfoError::NoFiles));
        let pad = entry(1, "a", "4:attr1:p");
        assert_eq!(parse(folder(&pad, 1)), Err(InfoError::NoFiles));
    }

    #[test]
    fn refuses_what_is_over_a_limit() {
        let limits = InfoLimits {
            files: 2,
            path_bytes: 200,
            piece_length: 16_384,
            pieces: 3,
            ..InfoLimits::default()
        };
        let within = |raw: Vec<u8>| Info::parse_within(Bytes::from(raw), &limits);
        let files = |count: usize| {
            (0..count)
                .flat_map(|i| entry(0, &format!("{i}"), ""))
                .collect::<Vec<_>>()
        };
        assert!(within(folder(&files(2), 0)).is_ok());
        assert_eq!(
            within(folder(&files(3), 0)),
            Err(InfoError::TooManyFiles { limit: 2 })
        );
        let long = entry(0, &"x".repeat(200), "");
        assert_eq!(
            within(folder(&long, 0)),
            Err(InfoError::PathsTooLong { limit: 200 })
        );
        let leaves: Vec<_> = ["a", "b", "c"].map(|name| (name, leaf(0))).to_vec();
        assert_eq!(
            within(tree(&leaves, b"")),
            Err(InfoError::TooManyFiles { limit: 2 })
        );
        let large = tree(&[("a", leaf(16_384 * 3 + 1))], b"");
        assert_eq!(within(large), Err(InfoError::TooManyPieces { limit: 3 }));
        assert!(within(tree(&[("a", leaf(16_384 * 3))], b"")).is_ok());
    }

    #[test]
    fn a_v2_torrent_of_few_bytes_claims_no_more_pieces_than_memory_holds() {
        let raw = tree(&[("a", leaf(1 << 45))], b"");
        assert!(matches!(parse(raw), Err(InfoError::TooManyPieces { .. })));
    }

    #[test]
    fn lays_v2_files_out_on_pieces() {
        let entries = [
            ("a", leaf(1)),
            ("b", leaf(0)),
            ("c", leaf(16_384)),
            ("d", leaf(2)),
        ];
        let raw = tree(&entries, b"");
        let info = parse(raw.clone()).unwrap();
        assert_eq!(info.hashes, InfoHashes::V2(InfoHashV2::of_v2(&raw)));
        let offsets: Vec<_> = info.files.content().map(|(_, file)| file.offset).collect();
        assert_eq!(offsets, [0, 1, 16_384, 32_768]);
        assert_eq!(info.geometry.piece_count(), 3);
        assert_eq!(info.files.total_length(), 32_770);
        assert_eq!(info.files.get(0).unwrap().pieces_root, Some([7; 32]));
        assert_eq!(info.files.content().nth(1).unwrap().1.pieces_root, None);
        assert!(info.pieces.is_empty());
    }

    #[test]
    fn one_file_at_the_root_of_a_tree_is_a_single_file() {
        let info = parse(tree(&[("a.txt", leaf(1))], b"")).unwrap();
        assert_eq!(
            (info.name.as_str(), info.layout),
            ("a.txt", Layout::SingleFile)
        );
        let below = [b"d5:a.txt".to_vec(), leaf(1), b"e".to_vec()].concat();
        let info = parse(tree(&[("dir", below)], b"")).unwrap();
        assert_eq!((info.name.as_str(), info.layout), ("x", Layout::Folder));
    }

    #[test]
    fn refuses_trees_that_break_bep_52() {
        let wrong = |entries: &[(&str, Vec<u8>)]| parse(tree(entries, b"")).unwrap_err();
        let field = |error: &InfoError| match error {
            InfoError::WrongType { field, .. }
            | InfoError::Missing { field }
            | InfoError::NotUtf8 { field } => *field,
            _ => "",
        };
        assert_eq!(field(&wrong(&[])), "file tree");
        assert_eq!(field(&wrong(&[("a", b"de".to_vec())])), "file tree");
        assert_eq!(field(&wrong(&[("a", b"i1e".to_vec())])), "file tree");
        assert_eq!(field(&wrong(&[("a", b"d0:i1ee".to_vec())])), "file tree");
        assert_eq!(field(&wrong(&[("a", b"d0:dee".to_vec())])), "length");
        assert_eq!(
            field(&wrong(&[("a", b"d0:d6:lengthi1eee".to_vec())])),
            "pieces root"
        );
        assert_eq!(
            field(&wrong(&[(
                "a",
                b"d0:d6:lengthi1e11:pieces root3:abcee".to_vec()
            )])),
            "pieces root"
        );
        let zeros = [
            b"d0:d6:lengthi1e11:pieces root32:".as_slice(),
            &[0; 32],
            b"ee",
        ]
        .concat();
        assert_eq!(field(&wrong(&[("a", zeros)])), "pieces root");
        let pad = [
            b"d0:d4:attr1:p6:lengthi1e11:pieces root32:".as_slice(),
            &[7; 32],
            b"ee",
        ]
        .concat();
        assert_eq!(field(&wrong(&[("a", pad)])), "attr");
        let unsorted = b"d9:file treed1:bd0:d6:lengthi0eee1:ad0:d6:lengthi0eeee12:meta versioni2e4:name1:x12:piece lengthi16384ee";
        assert_eq!(field(&parse(*unsorted).unwrap_err()), "file tree");
        let in_folder = [b"d1:z".to_vec(), leaf(1), b"e".to_vec()].concat();
        assert!(parse(tree(&[("a", in_folder), ("b", leaf(1))], b"")).is_ok());
        let no_dictionary = b"d9:file treele12:meta versioni2e4:name1:x12:piece lengthi16384ee";
        assert_eq!(field(&parse(*no_dictionary).unwrap_err()), "file tree");
        let file_and_folder = b"d0:d6:lengthi0ee1:bd0:d6:lengthi0eeee".to_vec();
        assert_eq!(field(&wrong(&[("a", file_and_folder)])), "file tree");
        // A root that is a file itself.
        assert_ne!(
            parse(tree(&[("", b"d6:lengthi0ee".to_vec())], b"")).unwrap_err(),
            InfoError::NoFiles
        );
        assert!(matches!(
            wrong(&[("..", leaf(0))]),
            InfoError::Path {
                source: PathError::Dots(_),
                ..
            }
        ));
        let not_utf8 = b"d9:file treed1:\xffd0:d6:lengthi0eeee12:meta versioni2e4:name1:x12:piece lengthi16384ee";
        assert!(matches!(
            parse(*not_utf8),
            Err(InfoError::NotUtf8 { field: "file tree" })
        ));
    }

    #[test]
    fn a_tree_as_deep_as_bencode_allows_is_refused_by_its_depth() {
        let deep = [b"d1:a".repeat(58), leaf(0), b"e".repeat(58)].concat();
        assert!(matches!(
            parse(tree(&[("a", deep)], b"")),
            Err(InfoError::Path {
                source: PathError::TooDeep { .. },
                ..
            })
        ));
    }

    #[test]
    fn v2_wants_a_power_of_two_from_16_kib() {
        for length in ["i8192e", "i16385e", "i49152e"] {
            let raw = bencode(&[
                "d",
                "#file tree",
                "d1:ad0:d6:lengthi0eeee",
                "#meta version",
                "i2e",
                "#name",
                "#x",
                "#piece length",
                length,
                "e",
            ]);
            assert!(
                matches!(parse(raw), Err(InfoError::PieceLength { .. })),
                "{length}"
            );
        }
    }

    #[test]
    fn refuses_versions_that_it_does_not_know_before_anything_else() {
        assert_eq!(
            parse("d12:meta versioni3ee"),
            Err(InfoError::UnknownVersion(3))
        );
        assert_eq!(
            parse("d12:meta versioni1ee"),
            Err(InfoError::UnknownVersion(1))
        );
    }

    #[test]
    fn both_halves_of_a_hybrid_describe_the_same_files() {
        let pad = || entry(16_383, ".pad/16383", "4:attr1:p");
        let (a, b) = (|| entry(1, "a", ""), || entry(16_384, "b", ""));
        let twins = [("a", leaf(1)), ("b", leaf(16_384))];
        let info = parse(hybrid(&[a(), pad(), b()], &twins, 2)).unwrap();
        assert_eq!(info.format(), Format::Hybrid);
        assert_eq!(info.files.len(), 3);
        assert_eq!(info.files.get(2).unwrap().pieces_root, Some([7; 32]));
        assert_eq!(info.hashes.v1(), Some(InfoHash::of_v1(&info.raw)));
        assert_eq!(info.hashes.v2(), Some(InfoHashV2::of_v2(&info.raw)));

        let error = |files: &[Vec<u8>], twins: &[(&str, Vec<u8>)], pieces| {
            parse(hybrid(files, twins, pieces)).unwrap_err()
        };
        let differ = |path: &str| InfoError::HalvesDiffer {
            path: FilePath::parse(path).unwrap(),
        };
        assert_eq!(error(&[a(), pad(), b()], &twins[..1], 2), differ("b"));
        assert_eq!(error(&[a()], &twins, 1), differ("b"));
        assert_eq!(
            error(&[a(), pad(), b()], &[("a", leaf(1)), ("b", leaf(9))], 2),
            differ("b")
        );
        assert_eq!(
            error(
                &[a(), pad(), b()],
                &[("a", leaf(1)), ("c", leaf(16_384))],
                2
            ),
            differ("b")
        );
        assert_eq!(
            error(&[a(), b()], &twins, 2),
            InfoError::NotAligned {
                path: FilePath::parse("b").unwrap()
            }
        );
        assert!(matches!(
            error(&[a(), pad(), b()], &twins, 3),
            InfoError::PieceCount { .. }
        ));
    }

    #[test]
    fn private_is_private_whatever_it_says_but_zero() {
        let private = |value: &str| {
            let parts = [
                "d",
                "#length",
                "i0e",
                "#name",
                "#a",
                "#piece length",
                "i1e",
                "#pieces",
                "0:",
                "#private",
                value,
                "#source",
                "#S",
                "e",
            ];
            parse(bencode(&parts)).unwrap().private
        };
        assert!(private("i1e") && private("1:1"));
        assert!(!private("i0e"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(middle in "[ilde0-9:a]{0,60}", length: i64, piece_length: i64) {
            let raw = format!("d5:files{middle}6:lengthi{length}e4:name1:a12:piece lengthi{piece_length}e6:pieces0:e");
            let _any = parse(raw);
            let raw = format!("d9:file treed1:a{middle}e12:meta versioni2e4:name1:a12:piece lengthi16384ee");
            let _any = parse(raw);
        }
    }
}

//! The `info` dictionary: what is in a torrent (BEP 3, 27, 47, 52).

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::files::{File, FileKind, Files};
use super::hash::SHA1_LENGTH;
use super::path::{FilePath, PathError, check_component, check_distinct};
use super::{file_list, file_tree};
use crate::proto::bencode::scan::{self, Limits, Rule, ScanError, Value};
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

/// Which generation of torrents a torrent belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// BEP 3 alone: every client reads it.
    #[default]
    V1,
    /// BEP 52 alone.
    V2,
    /// Both in one: two common clients cannot read it.
    Hybrid,
}

impl Format {
    /// The word for it in the API, the database and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Hybrid => "hybrid",
        }
    }

    /// Whether the torrent has SHA-1 pieces.
    pub const fn has_v1(self) -> bool {
        matches!(self, Self::V1 | Self::Hybrid)
    }

    /// Whether the torrent has merkle trees.
    pub const fn has_v2(self) -> bool {
        matches!(self, Self::V2 | Self::Hybrid)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text names no torrent format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the format {0:?} is not known; use v1, v2 or hybrid")]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "v1" => Ok(Self::V1),
            "v2" => Ok(Self::V2),
            "hybrid" => Ok(Self::Hybrid),
            _ => Err(UnknownFormat(text.to_owned())),
        }
    }
}

/// Bounds for what a torrent may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InfoLimits {
    /// Bounds of the bencode.
    pub scan: Limits,
    /// Files, at most; as many pads may stand between them.
    pub files: usize,
    /// Bytes for all paths together, at most, with about 48 for each component.
    pub path_bytes: usize,
    /// Bytes in a piece, at most.
    pub piece_length: u32,
    /// Pieces, at most. A v2 torrent names millions in a few bytes, and each costs memory.
    pub pieces: u32,
}

impl Default for InfoLimits {
    /// 200,000 files, 64 MiB of paths, pieces of 128 MiB, four million pieces.
    fn default() -> Self {
        Self {
            scan: Limits::TORRENT_FILE,
            files: 200_000,
            path_bytes: 64 << 20,
            piece_length: 128 << 20,
            pieces: 1 << 22,
        }
    }
}

/// Why bytes are no usable `info` dictionary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InfoError {
    /// It is no bencoded value.
    #[error("the info dictionary is not sound bencode")]
    Bencode(#[source] ScanError),
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
    #[error("the torrent holds a file name that cannot be used")]
    Path(#[source] PathError),
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
    pub fn parse_within(raw: Bytes, limits: &InfoLimits) -> Result<Self, InfoError> {
        let scanned = scan::lenient(&raw, &limits.scan).map_err(InfoError::Bencode)?;
        if scanned.has_trailing_newline {
            return Err(InfoError::Bencode(ScanError {
                offset: scanned.root.raw().len(),
                rule: Rule::TrailingBytes,
            }));
        }
        let fields = Fields::of(scanned.root)?;
        let format = fields.format()?;
        let piece_length = fields.piece_length(format, limits)?;
        let name = fields.name(format)?;
        let (name, layout, files) = match format {
            Format::V1 => fields.v1_files(name, limits)?,
            Format::V2 => fields.v2_files(name, piece_length, limits)?,
            Format::Hybrid => {
                let (name, layout, files) = fields.v1_files(name, limits)?;
                let files = join_halves(files, fields.tree_files(limits)?)?;
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
#[derive(Default)]
struct Fields<'a> {
    file_tree: Option<Value<'a>>,
    files: Option<Value<'a>>,
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
    fn of(root: Value<'a>) -> Result<Self, InfoError> {
        let entries = root.dict().ok_or(InfoError::WrongType {
            field: "info",
            expected: "a dictionary",
        })?;
        let mut fields = Self::default();
        for (key, value) in entries {
            let field = match key {
                b"file tree" => &mut fields.file_tree,
                b"files" => &mut fields.files,
                b"length" => &mut fields.length,
                b"meta version" => &mut fields.meta_version,
                b"name" => &mut fields.name,
                b"name.utf-8" => &mut fields.name_utf8,
                b"piece length" => &mut fields.piece_length,
                b"pieces" => &mut fields.pieces,
                b"private" => &mut fields.private,
                b"source" => &mut fields.source,
                _ => continue,
            };
            *field = Some(value);
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
        check_component(&name).map_err(InfoError::Path)?;
        Ok(name)
    }

    fn v1_files(&self, name: String, limits: &InfoLimits) -> Result<Listing, InfoError> {
        match (self.length, self.files) {
            (Some(_), Some(_)) => Err(InfoError::WrongType {
                field: "files",
                expected: "absent where there is a `length`",
            }),
            (None, Some(files)) => Ok((name, Layout::Folder, file_list::read(files, limits)?)),
            (length, None) => {
                let only = File {
                    path: FilePath::from_components([name.as_str()]).map_err(InfoError::Path)?,
                    length: file_list::read_length(length)?,
                    offset: 0,
                    kind: FileKind::Content,
                    pieces_root: None,
                };
                Ok((name, Layout::SingleFile, vec![only]))
            }
        }
    }

    fn v2_files(
        &self,
        name: String,
        piece_length: NonZeroU32,
        limits: &InfoLimits,
    ) -> Result<Listing, InfoError> {
        let files = self.tree_files(limits)?;
        // BEP 52, "interpreting paths": one file at the root of the tree is the whole torrent, whatever `name` says.
        let (name, layout) = match files.as_slice() {
            [only] if only.path.components().len() == 1 => {
                (only.path.file_name().to_owned(), Layout::SingleFile)
            }
            _ => (name, Layout::Folder),
        };
        let files = file_tree::align(files, u64::from(piece_length.get()))?;
        Ok((name, layout, files))
    }

    fn tree_files(&self, limits: &InfoLimits) -> Result<Vec<File>, InfoError> {
        let field = "file tree";
        file_tree::read(self.file_tree.ok_or(InfoError::Missing { field })?, limits)
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
    check_distinct(files.content().map(|(_, file)| &file.path)).map_err(InfoError::Path)
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

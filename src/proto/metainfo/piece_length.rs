//! How long the pieces of a new torrent are.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::info::Format;
use crate::proto::geometry::Geometry;

/// The longest piece that [`PieceLength::for_total`] picks: 16 MiB.
const LONGEST_PICKED: u32 = 16 << 20;

/// The piece length of a torrent that we make: a power of two from 16 KiB to 128 MiB.
///
/// BEP 52 wants a power of two of at least 16 KiB, and clients expect no other in v1; libtorrent loads nothing above 128 MiB.
/// Of a torrent that others made, it is what it has, in v1 any length.
/// Reads and displays as `16KiB` or `1MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PieceLength(NonZeroU32);

/// A number of bytes is no piece length that we make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a piece length of {0} bytes; use a power of two from 16 KiB to 128 MiB")]
pub struct BadPieceLength(pub u64);

/// A text is no piece length that we make.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no piece length; write a power of two from 16KiB to 128MiB, such as 1MiB")]
pub struct NoPieceLength(pub String);

impl PieceLength {
    /// The shortest piece: one block, 16 KiB.
    pub const MIN: Self = Self(NonZeroU32::new(16 << 10).expect("16 KiB is not zero"));

    /// The longest piece: 128 MiB.
    pub const MAX: Self = Self(NonZeroU32::new(128 << 20).expect("128 MiB is not zero"));

    /// Pieces of `bytes`.
    ///
    /// # Errors
    /// [`BadPieceLength`] where it is no power of two from [`MIN`](Self::MIN) to [`MAX`](Self::MAX).
    pub fn new(bytes: u32) -> Result<Self, BadPieceLength> {
        NonZeroU32::new(bytes)
            .filter(|bytes| bytes.is_power_of_two())
            .map(Self)
            .filter(|length| (Self::MIN..=Self::MAX).contains(length))
            .ok_or_else(|| BadPieceLength(u64::from(bytes)))
    }

    /// How long the pieces of a torrent that exists are.
    pub(super) fn of(geometry: &Geometry) -> Self {
        NonZeroU32::new(geometry.piece_length()).map_or(Self::MIN, Self)
    }

    /// What suits `total` bytes, when nobody says: libtorrent's table, from 16 KiB to 16 MiB.
    ///
    /// The length doubles each time the total quadruples, so that the torrent file grows with the root of the content.
    pub fn for_total(total: u64) -> Self {
        let mut length = Self::MIN;
        // 2²⁶ / 25 bytes = 2.68 MB.
        let mut scaled_limit = 1_u128 << 26;
        while u128::from(total).saturating_mul(25) > scaled_limit && length.get() < LONGEST_PICKED {
            length = length.twice();
            scaled_limit = scaled_limit.saturating_mul(4);
        }
        length
    }

    /// What suits files of these lengths in a torrent of that format.
    ///
    /// In a hybrid of several files each one is padded to whole pieces. Where that costs more than 5 %, pieces are one
    /// step shorter.
    pub fn for_files(format: Format, lengths: &[u64]) -> Self {
        let total = lengths.iter().copied().fold(0, u64::saturating_add);
        let length = Self::for_total(total);
        if format != Format::Hybrid || lengths.len() < 2 {
            return length;
        }
        let padding = lengths
            .iter()
            .map(|file| length.padding_after(*file))
            .fold(0, u64::saturating_add);
        if padding > total / 20 {
            length.half()
        } else {
            length
        }
    }

    /// Bytes in a piece.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// Bytes in a piece, proven not to be zero.
    pub const fn non_zero(self) -> NonZeroU32 {
        self.0
    }

    /// Zeros that fill up the last piece of a file of `length` bytes.
    pub fn padding_after(self, length: u64) -> u64 {
        let piece = u64::from(self.get());
        length
            .checked_next_multiple_of(piece)
            .map_or(0, |padded| padded.saturating_sub(length))
    }

    fn twice(self) -> Self {
        Self::new(self.get().saturating_mul(2)).unwrap_or(Self::MAX)
    }

    fn half(self) -> Self {
        Self::new(self.get() / 2).unwrap_or(Self::MIN)
    }
}

impl FromStr for PieceLength {
    type Err = NoPieceLength;

    /// Reads a number of bytes, `KiB` or `MiB`; capitals and the letters behind the first do not matter.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = text.strip_prefix(digits).unwrap_or_default().trim_start();
        let scale = match unit.to_ascii_lowercase().as_str() {
            "" => Some(1),
            "k" | "kib" => Some(1 << 10),
            "m" | "mib" => Some(1 << 20),
            _ => None,
        };
        let bytes = digits.parse::<u32>().ok().zip(scale);
        bytes
            .and_then(|(count, scale)| count.checked_mul(scale))
            .and_then(|bytes| Self::new(bytes).ok())
            .ok_or_else(|| NoPieceLength(text.to_owned()))
    }
}

impl TryFrom<String> for PieceLength {
    type Error = NoPieceLength;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PieceLength> for String {
    fn from(length: PieceLength) -> Self {
        length.to_string()
    }
}

impl fmt::Display for PieceLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            bytes if bytes < 1 << 20 => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{}MiB", bytes >> 20),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_length_is_written_with_its_unit() {
        for (text, bytes) in [
            ("16KiB", 16 << 10),
            ("1MiB", 1 << 20),
            ("128mib", 128 << 20),
            ("512 k", 512 << 10),
            ("2M", 2 << 20),
            ("65536", 64 << 10),
        ] {
            let length: PieceLength = text.parse().unwrap();
            assert_eq!(length.get(), bytes, "{text}");
            assert_eq!(length.to_string().parse(), Ok(length));
        }
        for text in [
            "", "20", "1MB", "3MiB", "8KiB", "256MiB", "MiB", "-1", "1.5MiB", "4096MiB", "0",
        ] {
            assert_eq!(
                text.parse::<PieceLength>(),
                Err(NoPieceLength(text.to_owned()))
            );
        }
    }

    #[test]
    fn only_powers_of_two_in_the_range_are_piece_lengths() {
        assert_eq!(PieceLength::new(1 << 20).unwrap().get(), 1 << 20);
        for bytes in [0, 1, 8 << 10, 20_000, 3 << 20, 256 << 20, u32::MAX] {
            assert_eq!(
                PieceLength::new(bytes),
                Err(BadPieceLength(u64::from(bytes)))
            );
        }
    }

    #[test]
    fn follows_the_table() {
        for (total, kib) in [
            (0, 16),
            (2_684_354, 16),
            (2_684_355, 32),
            (10_737_418, 32),
            (10_737_419, 64),
            (42_949_673, 128),
            (687_194_768, 512),
            (2_748_779_069, 512),
            (2_748_779_070, 1 << 10),
            (703_687_441_776, 8 << 10),
            (703_687_441_777, 16 << 10),
            (u64::MAX, 16 << 10),
        ] {
            assert_eq!(
                PieceLength::for_total(total).get(),
                kib << 10,
                "{total} bytes"
            );
        }
    }

    #[test]
    fn hybrids_of_small_files_take_a_step_down() {
        let small = [100_000_u64; 100];
        assert_eq!(
            PieceLength::for_files(Format::V1, &small).get(),
            32 << 10,
            "10 MB"
        );
        assert_eq!(
            PieceLength::for_files(Format::Hybrid, &small).get(),
            16 << 10
        );
        assert_eq!(
            PieceLength::for_files(Format::Hybrid, &[10_000_000]).get(),
            32 << 10
        );
        assert_eq!(
            PieceLength::for_files(Format::Hybrid, &[5_000_000; 2]).get(),
            32 << 10
        );
    }
}

//! How long the pieces of a torrent are, and why.

use std::fmt;
use std::num::NonZeroU32;

use humansize::{BINARY, format_size};

use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::piece_length::PieceLength;

/// What somebody wants of the piece length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PieceLengthWish {
    /// What suits the size.
    #[default]
    Suitable,
    /// This.
    Exactly(PieceLength),
    /// The shortest of which there are at most so many pieces.
    AtMostPieces(NonZeroU32),
}

/// A piece length for given files, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// The piece length.
    pub piece_length: PieceLength,
    /// Pieces of that length in the torrent.
    pub pieces: u64,
    /// Bytes that their hashes take in the torrent file.
    pub hashes: u64,
    reason: Reason,
    options: Vec<Size>,
}

/// What one piece length would come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    piece_length: PieceLength,
    pieces: u64,
    /// Bytes of hashes in the torrent file.
    hashes: u64,
    /// Zeros between files in a hybrid.
    padding: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Given,
    Table { total: u64 },
    StepDown { total: u64, from: Size },
    Target { wanted: u32, is_met: bool },
}

impl Sizing {
    /// Picks the piece length for files of these lengths.
    pub fn of(wish: PieceLengthWish, format: Format, lengths: &[u64]) -> Self {
        let total = lengths.iter().copied().fold(0, u64::saturating_add);
        let options: Vec<Size> = every_length()
            .map(|piece_length| Size::of(piece_length, format, lengths))
            .collect();
        let (piece_length, reason) = match wish {
            PieceLengthWish::Exactly(length) => (length, Reason::Given),
            PieceLengthWish::Suitable => suitable(format, lengths, total),
            PieceLengthWish::AtMostPieces(wanted) => at_most(wanted.get(), &options),
        };
        let chosen = Size::of(piece_length, format, lengths);
        Self {
            piece_length,
            pieces: chosen.pieces,
            hashes: chosen.hashes,
            reason,
            options,
        }
    }
}

fn suitable(format: Format, lengths: &[u64], total: u64) -> (PieceLength, Reason) {
    let (by_table, length) = (
        PieceLength::for_total(total),
        PieceLength::for_files(format, lengths),
    );
    let reason = if length == by_table {
        Reason::Table { total }
    } else {
        let from = Size::of(by_table, format, lengths);
        Reason::StepDown { total, from }
    };
    (length, reason)
}

/// The shortest length that gives no more than `wanted` pieces, or as few as there can be: in v2 no piece holds two files.
fn at_most(wanted: u32, options: &[Size]) -> (PieceLength, Reason) {
    let fewest = options.last().map_or(0, |size| size.pieces);
    let bound = fewest.max(wanted.into());
    let chosen = options.iter().find(|size| size.pieces <= bound);
    let reason = Reason::Target {
        wanted,
        is_met: fewest <= wanted.into(),
    };
    (
        chosen.map_or(PieceLength::MAX, |size| size.piece_length),
        reason,
    )
}

fn every_length() -> impl Iterator<Item = PieceLength> {
    let bytes = std::iter::successors(Some(PieceLength::MIN.get()), |bytes| bytes.checked_mul(2));
    bytes.map_while(|bytes| PieceLength::new(bytes).ok())
}

impl Size {
    fn of(piece_length: PieceLength, format: Format, lengths: &[u64]) -> Self {
        let length = u64::from(piece_length.get());
        let total = lengths.iter().copied().fold(0, u64::saturating_add);
        let of_files = lengths.iter().map(|file| file.div_ceil(length));
        let of_files = of_files.fold(0, u64::saturating_add);
        let layered = lengths.iter().filter(|file| **file > length);
        let layered = layered
            .map(|file| file.div_ceil(length))
            .fold(0, u64::saturating_add);
        let pieces = if format.has_v2() {
            of_files
        } else {
            total.div_ceil(length)
        };
        let sha1 = if format.has_v1() {
            pieces.saturating_mul(20)
        } else {
            0
        };
        let sha256 = if format.has_v2() {
            layered.saturating_mul(32)
        } else {
            0
        };
        let pads = lengths.iter().map(|file| piece_length.padding_after(*file));
        let is_padded = format == Format::Hybrid && lengths.len() > 1;
        Self {
            piece_length,
            pieces,
            hashes: sha1.saturating_add(sha256),
            padding: if is_padded {
                pads.fold(0, u64::saturating_add)
            } else {
                0
            },
        }
    }
}

impl fmt::Display for Sizing {
    /// The reason in words, then what each length would come to.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "pieces of {}: {}",
            size(self.piece_length.get()),
            self.reason
        )?;
        let longest = PieceLength::for_total(u64::MAX).max(self.piece_length);
        writeln!(
            f,
            "  {:>9} {:>10} {:>12} {:>12}",
            "length", "pieces", "hashes", "padding"
        )?;
        for option in self
            .options
            .iter()
            .filter(|size| size.piece_length <= longest)
        {
            let mark = if option.piece_length == self.piece_length {
                '>'
            } else {
                ' '
            };
            writeln!(
                f,
                "{mark} {:>9} {:>10} {:>12} {:>12}",
                size(option.piece_length.get()),
                option.pieces,
                size(option.hashes),
                size(option.padding)
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("as it was asked for"),
            Self::Table { total } => write!(
                f,
                "the usual for {}, so that hashes and pieces grow alike, each with the root of the size",
                size(*total)
            ),
            Self::StepDown { total, from } => write!(
                f,
                "{} is usual for {}, but there it would take {} of padding to begin each file on a piece, over 5 %; so one step shorter",
                size(from.piece_length.get()),
                size(*total),
                size(from.padding)
            ),
            Self::Target {
                wanted,
                is_met: true,
            } => {
                write!(f, "the shortest that gives at most {wanted} pieces")
            }
            Self::Target {
                wanted,
                is_met: false,
            } => write!(
                f,
                "{wanted} pieces cannot be had, but this is the shortest that gives as few as can be"
            ),
        }
    }
}

fn size(bytes: impl Into<u64>) -> String {
    format_size(bytes.into(), BINARY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(pieces: u32, format: Format, lengths: &[u64]) -> Sizing {
        let wish = PieceLengthWish::AtMostPieces(NonZeroU32::new(pieces).unwrap());
        Sizing::of(wish, format, lengths)
    }

    #[test]
    fn the_shortest_length_that_gives_at_most_so_many_pieces() {
        let one = [1 << 30];
        for (pieces, kib) in [
            (1, 128 << 10),
            (8, 128 << 10),
            (1000, 2048),
            (1024, 1024),
            (1 << 20, 16),
        ] {
            let sizing = target(pieces, Format::V1, &one);
            assert_eq!(sizing.piece_length.get(), kib << 10, "{pieces}");
            assert_eq!(sizing.pieces, (1 << 20) / u64::from(kib));
        }
        assert!(
            target(1, Format::V1, &one)
                .to_string()
                .contains("cannot be had")
        );
        assert!(
            target(8, Format::V1, &one)
                .to_string()
                .contains("at most 8 pieces")
        );
    }

    #[test]
    fn files_of_v2_share_no_piece() {
        let small = [10_000; 50];
        assert_eq!(target(10, Format::V1, &small).pieces, 8);
        let sizing = target(10, Format::V2, &small);
        assert_eq!((sizing.pieces, sizing.piece_length), (50, PieceLength::MIN));
        assert!(sizing.to_string().contains("cannot be had"), "{sizing}");
    }

    #[test]
    fn the_explanation_marks_what_was_picked() {
        let sizing = Sizing::of(PieceLengthWish::Suitable, Format::Hybrid, &[100_000; 100]);
        let text = sizing.to_string();
        assert!(
            text.starts_with("pieces of 16 KiB: 32 KiB is usual for 9.54 MiB"),
            "{text}"
        );
        let marked: Vec<&str> = text.lines().filter(|line| line.starts_with('>')).collect();
        assert_eq!(marked, [">    16 KiB        700    35.55 KiB     1.40 MiB"]);
        assert_eq!(
            text.lines().last().unwrap().split_whitespace().next(),
            Some("16")
        );
    }

    #[test]
    fn what_is_asked_for_is_taken() {
        let wish = PieceLengthWish::Exactly(PieceLength::MAX);
        let sizing = Sizing::of(wish, Format::V1, &[1]);
        assert_eq!((sizing.piece_length, sizing.pieces), (PieceLength::MAX, 1));
        assert!(sizing.to_string().contains("as it was asked for"));
    }
}

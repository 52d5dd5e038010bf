//! What a torrent's run of bytes is made of on disk, and which pieces it is cut into.

use std::path::Path;

/// Where bytes come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// A file that must be as long as it was said to be. What is wrong with it ends all work.
    Exactly(&'a Path),
    /// A file that may be longer or shorter. What is wrong with it spoils the pieces that need it.
    AtMost(&'a Path),
    /// A pad: zeros that need not be on disk.
    Zeros,
    /// Nothing is there.
    Nowhere,
}

/// A stretch of the run that has one source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) source: Source<'a>,
    /// Where it begins, in bytes from the start of the run.
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Some bytes of one part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) part: usize,
    /// In bytes from the start of the part.
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Parts end to end, cut into pieces.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    parts: Vec<Part<'a>>,
    piece_length: u64,
    length: u64,
}

/// A piece of a layout: bytes, and behind them the zeros of pads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where it begins, in bytes from the start of the run.
    pub(super) offset: u64,
    /// Bytes up to the last that is no pad's.
    pub(super) bytes: u64,
    /// Zeros behind those.
    pub(super) zeros: u64,
    /// Whether no file of it lies in another piece too.
    pub(super) is_whole_file: bool,
}

impl<'a> Layout<'a> {
    /// Lays parts end to end; their lengths were added up by the caller, and did not overflow.
    pub(super) fn new(
        parts: impl IntoIterator<Item = (Source<'a>, u64)>,
        piece_length: u32,
    ) -> Self {
        let mut length = 0_u64;
        let part = |(source, part_length)| {
            let offset = length;
            length = length.saturating_add(part_length);
            Part {
                source,
                offset,
                length: part_length,
            }
        };
        Self {
            parts: parts.into_iter().map(part).collect(),
            piece_length: piece_length.into(),
            length,
        }
    }

    /// The parts in order.
    pub(super) fn parts(&self) -> &[Part<'a>] {
        &self.parts
    }

    /// Bytes in a piece.
    pub(super) fn piece_length(&self) -> u64 {
        self.piece_length
    }

    /// The piece at `index`, if there is one.
    pub(super) fn piece(&self, index: u64) -> Option<Piece> {
        let offset = index.checked_mul(self.piece_length)?;
        let length = self.length.checked_sub(offset)?.min(self.piece_length);
        let (mut at, mut bytes, mut is_whole_file) = (0, 0, false);
        for span in self.spans(offset, length) {
            at += span.length;
            let part = self.parts[span.part];
            if !matches!(part.source, Source::Zeros) {
                bytes = at;
                is_whole_file = part.length == span.length;
            }
        }
        (length > 0).then_some(Piece {
            offset,
            bytes,
            zeros: length - bytes,
            is_whole_file,
        })
    }

    /// The parts of `length` bytes from `offset` of the run, in order.
    pub(super) fn spans(&self, offset: u64, length: u64) -> impl Iterator<Item = Span> + '_ {
        let end = offset.saturating_add(length);
        let ends_before = |part: &Part<'_>| part.offset + part.length <= offset;
        let first = self.parts.partition_point(ends_before);
        let parts = self.parts.iter().enumerate().skip(first);
        parts
            .take_while(move |(_, part)| part.offset < end)
            .map(move |(index, part)| {
                let from = offset.max(part.offset);
                let to = end.min(part.offset + part.length);
                Span {
                    part: index,
                    offset: from - part.offset,
                    length: to - from,
                }
            })
            .filter(|span| span.length > 0)
    }
}

//! Files hashed apart from one another, in any order, when their lengths are known (BEP 3, 47, 52).
//!
//! Whole pieces inside a file are hashed with the file. In v1 a piece may have bytes of several files: those bytes are its files' borders,
//! and have to be read once more, in the order of the files. In v2 and hybrid every file begins on a piece and has no borders; but where
//! the pads of a hybrid are settled already, its v1 pieces are taken as v1 takes them.

use std::ops::Range;

use super::hash::{HashedContent, HashedFile, OpenFile, Pieces, SHA1_LENGTH, in_cache};
use super::info::Format;
use super::path::FilePath;
use super::piece_length::PieceLength;

/// How files lie behind one another in a torrent.
///
/// ```
/// # use sower::proto::metainfo::{apart::{Borders, Spread}, info::Format, path::FilePath, piece_length::PieceLength};
/// let files = [("a", vec![1; 10_000]), ("b", vec![2; 40_000])];
/// let spread = Spread::new(Format::V1, PieceLength::MIN, [10_000, 40_000]);
/// let hash = |place: usize| {
///     let mut hasher = spread.hasher(place, FilePath::parse(files[place].0).unwrap());
///     hasher.update(&files[place].1);
///     hasher.finish()
/// };
/// let (b, a) = (hash(1), hash(0));
/// let mut borders = Borders::new(&spread);
/// for (place, (_, bytes)) in files.iter().enumerate() {
///     borders.begin_file(&spread, place);
///     for border in spread.borders(place) {
///         borders.update(&bytes[border.start as usize..border.end as usize]);
///     }
/// }
/// assert_eq!(spread.put_together([a, b], borders).files().len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    format: Format,
    piece_length: PieceLength,
    /// Whether pieces run on from file to file: in v1, and in a hybrid where the pads are settled.
    runs_on: bool,
    /// For each file, where it begins and ends. What lies between two files is pad.
    files: Vec<Range<u64>>,
    /// Where the last pad ends, or the last file.
    end: u64,
}

impl Spread {
    /// Files of these lengths, in the torrent's order.
    pub fn new(
        format: Format,
        piece_length: PieceLength,
        lengths: impl IntoIterator<Item = u64>,
    ) -> Self {
        let mut past = 0_u64;
        let files = lengths.into_iter().map(|length| {
            let begin = past;
            past = past.saturating_add(length);
            begin..past
        });
        Self {
            format,
            piece_length,
            runs_on: format == Format::V1,
            files: files.collect(),
            end: past,
        }
    }

    /// Files that lie at these places, up to `end`, with pads in between.
    pub(super) fn with_pads(
        format: Format,
        piece_length: PieceLength,
        files: Vec<Range<u64>>,
        end: u64,
    ) -> Self {
        Self {
            format,
            piece_length,
            runs_on: format.has_v1(),
            files,
            end,
        }
    }

    /// What hashes the file at `place`, from its first byte on. A place past the last file is that of an empty one.
    pub fn hasher(&self, place: usize, path: FilePath) -> FileHasher {
        let file = OpenFile::new(path, self.format, self.piece_length).with_sums();
        if !self.runs_on {
            return FileHasher { file, inside: None };
        }
        FileHasher {
            file: file.without_pieces(),
            inside: Some(Inside {
                span: self.inside(place),
                pieces: Pieces::new(self.piece_length),
            }),
        }
    }

    /// The stretches at the beginning and at the end of a file that belong to pieces which are not whole inside it, in bytes from the
    /// start of the file. Either may be empty.
    pub fn borders(&self, place: usize) -> [Range<u64>; 2] {
        if !self.runs_on {
            return [0..0, 0..0];
        }
        let length = self
            .files
            .get(place)
            .map_or(0, |file| file.end.saturating_sub(file.start));
        let inside = self.inside(place);
        [0..inside.start, inside.end..length]
    }

    /// The whole pieces inside a file, in bytes from its start. Where there is none, what is empty is the place behind its last byte.
    fn inside(&self, place: usize) -> Range<u64> {
        let piece = u64::from(self.piece_length.get());
        let file = self.files.get(place).cloned().unwrap_or_default();
        let length = file.end.saturating_sub(file.start);
        let from = file
            .start
            .checked_next_multiple_of(piece)
            .unwrap_or(u64::MAX);
        let to = file
            .end
            .saturating_sub(file.end.checked_rem(piece).unwrap_or(0));
        if from < to {
            from.saturating_sub(file.start)..to.saturating_sub(file.start)
        } else {
            length..length
        }
    }

    /// All that was hashed as one content: the files in the torrent's order, and in v1 all borders.
    pub fn put_together(
        &self,
        files: impl IntoIterator<Item = HashedApart>,
        borders: Borders,
    ) -> HashedContent {
        let piece = u64::from(self.piece_length.get());
        let borders = borders.finish(self);
        let mut borders = borders.as_slice();
        let mut pieces = Vec::new();
        let mut hashed = Vec::with_capacity(self.files.len());
        for (file, span) in files.into_iter().zip(&self.files) {
            if !file.inside.is_empty() {
                let first = span.start.div_ceil(piece);
                let before = usize::try_from(first)
                    .unwrap_or(usize::MAX)
                    .saturating_mul(SHA1_LENGTH)
                    .saturating_sub(pieces.len())
                    .min(borders.len());
                let (now, later) = borders.split_at(before);
                pieces.extend_from_slice(now);
                borders = later;
                pieces.extend_from_slice(&file.inside);
            }
            hashed.push(file.file);
        }
        pieces.extend_from_slice(borders);
        HashedContent {
            format: self.format,
            piece_length: self.piece_length,
            files: hashed,
            pieces,
        }
    }
}

/// Hashes one file as its bytes come. A clone is a point to go back to.
#[derive(Clone, Debug)]
pub struct FileHasher {
    file: OpenFile,
    inside: Option<Inside>,
}

/// The v1 pieces that are whole inside a file.
#[derive(Clone, Debug)]
struct Inside {
    span: Range<u64>,
    pieces: Pieces,
}

impl FileHasher {
    /// Takes the next bytes, however they are cut.
    pub fn update(&mut self, bytes: &[u8]) {
        for part in in_cache(bytes) {
            if let Some(inside) = &mut self.inside {
                inside.update(self.file.length, part);
            }
            self.file.update(part);
        }
    }

    /// Bytes that were taken.
    pub const fn length(&self) -> u64 {
        self.file.length
    }

    /// Ends the file.
    pub fn finish(self) -> HashedApart {
        HashedApart {
            file: self.file.finish(),
            inside: self
                .inside
                .map(|inside| inside.pieces.finish_bare())
                .unwrap_or_default(),
        }
    }
}

impl Inside {
    /// Takes bytes that begin at `at`, of which not all need to be inside.
    fn update(&mut self, at: u64, bytes: &[u8]) {
        let place = |bound: u64| {
            let offset = usize::try_from(bound.saturating_sub(at)).unwrap_or(usize::MAX);
            offset.min(bytes.len())
        };
        let within = bytes.get(place(self.span.start)..place(self.span.end));
        self.pieces.update(within.unwrap_or_default());
    }
}

/// A file that was hashed apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedApart {
    file: HashedFile,
    /// In v1: the SHA-1 of each piece that is whole inside it.
    inside: Vec<u8>,
}

/// Hashes the borders of all files, one behind another in the torrent's order, and the pads between them.
#[derive(Clone, Debug)]
pub struct Borders {
    pieces: Option<Pieces>,
    /// Where the last file that was begun ends.
    at: u64,
}

impl Borders {
    /// For these files. Where every file begins on a piece of its own there is nothing to hash.
    pub fn new(spread: &Spread) -> Self {
        // What lies between two borders is whole pieces, so the borders alone fill pieces as all bytes do.
        Self {
            pieces: spread.runs_on.then(|| Pieces::new(spread.piece_length)),
            at: 0,
        }
    }

    /// Begins the file at `place`: takes the pad before it.
    pub fn begin_file(&mut self, spread: &Spread, place: usize) {
        if let Some(file) = spread.files.get(place) {
            self.pad(file.start);
            self.at = file.end;
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(pieces) = &mut self.pieces {
            pieces.update(bytes);
        }
    }

    fn pad(&mut self, end: u64) {
        if let Some(pieces) = &mut self.pieces {
            pieces.update_zeros(end.saturating_sub(self.at));
        }
    }

    fn finish(mut self, spread: &Spread) -> Vec<u8> {
        self.pad(spread.end);
        self.pieces.map(Pieces::finish_bare).unwrap_or_default()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::super::hash::TorrentHasher;
    use super::*;

    fn path(number: usize) -> FilePath {
        FilePath::parse(&format!("file {number}")).unwrap()
    }

    fn in_one_pass(format: Format, files: &[Vec<u8>]) -> HashedContent {
        let mut hasher = TorrentHasher::new(format, PieceLength::MIN).with_sums();
        for (number, bytes) in files.iter().enumerate() {
            hasher.begin_file(path(number));
            hasher.update(bytes);
        }
        hasher.finish()
    }

    fn apart(format: Format, files: &[Vec<u8>], parts: &[usize]) -> HashedContent {
        let lengths = files.iter().map(|bytes| bytes.len() as u64);
        let spread = Spread::new(format, PieceLength::MIN, lengths);
        let mut lengths = parts.iter().copied().cycle();
        hash_apart(&spread, files, |place| {
            let mut hasher = spread.hasher(place, path(place));
            let mut rest = files[place].as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(lengths.next().unwrap().min(rest.len()));
                let mut tried = hasher.clone();
                tried.update(b"bytes that are taken back");
                hasher.update(now);
                rest = later;
            }
            assert_eq!(hasher.length(), files[place].len() as u64);
            hasher.finish()
        })
    }

    /// Puts files together that are hashed by themselves, the last one first: the order must not matter.
    pub(in super::super) fn hash_apart(
        spread: &Spread,
        files: &[Vec<u8>],
        hash: impl FnMut(usize) -> HashedApart,
    ) -> HashedContent {
        let mut hashed: Vec<_> = (0..files.len()).rev().map(hash).collect();
        hashed.reverse();
        let mut borders = Borders::new(spread);
        for (place, bytes) in files.iter().enumerate() {
            borders.begin_file(spread, place);
            for border in spread.borders(place) {
                let at = |bound: u64| usize::try_from(bound).unwrap();
                borders.update(&bytes[at(border.start)..at(border.end)]);
            }
        }
        spread.put_together(hashed, borders)
    }

    #[test]
    fn a_file_of_whole_pieces_has_no_borders() {
        let spread = Spread::new(
            Format::V1,
            PieceLength::MIN,
            [32 << 10, 16 << 10, 5, 16 << 10],
        );
        let read = |place| {
            let borders = spread.borders(place);
            borders.map(|border| border.end - border.start)
        };
        assert_eq!(read(0), [0, 0]);
        assert_eq!(read(1), [0, 0]);
        assert_eq!(read(2).iter().sum::<u64>(), 5);
        assert_eq!(read(3).iter().sum::<u64>(), 16 << 10);
        assert_eq!(read(4), [0, 0]);
    }

    #[test]
    fn v2_and_hybrid_read_nothing_twice() {
        for format in [Format::V2, Format::Hybrid] {
            let spread = Spread::new(format, PieceLength::MIN, [10, 20_000]);
            assert_eq!(spread.borders(1), [0..0, 0..0]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn files_hashed_apart_are_the_same_content(
            files in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..60_000),
                    prop::collection::vec(any::<u8>(), 16_384..=16_384),
                    prop::collection::vec(any::<u8>(), 0..100),
                ],
                1..6,
            ),
            parts in prop::collection::vec(1_usize..20_000, 1..8),
            format in prop::sample::select(vec![Format::V1, Format::V2, Format::Hybrid]),
        ) {
            prop_assert_eq!(apart(format, &files, &parts), in_one_pass(format, &files));
        }
    }
}

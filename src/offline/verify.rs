//! A torrent held against files of this machine: which are right, and what is wrong with the others.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::hashing::{CheckedContent, Found, HashError, HashOptions, check_files};
use super::places::Places;
use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::{Geometry, PieceIndex};
use crate::proto::metainfo::files::{File, FileKind};
use crate::proto::metainfo::path::FilePath;
use crate::proto::metainfo::torrent_file::TorrentFile;

/// What was found of a torrent's content.
#[derive(Debug)]
pub struct Report {
    /// The file or folder that was looked at, whether it is there or not.
    pub root: PathBuf,
    /// Each file of the torrent in order, pads not counted.
    pub files: Vec<FileReport>,
    /// Bytes that are right.
    pub right_bytes: u64,
    /// Bytes in all files together.
    pub total_bytes: u64,
    /// Pieces that are not right, whyever.
    pub wrong_pieces: u32,
}

/// What was found of one file.
#[derive(Debug)]
pub struct FileReport {
    /// Its path in the torrent.
    pub path: FilePath,
    /// Where it was looked for.
    pub place: PathBuf,
    /// Bytes that it should have.
    pub length: u64,
    /// How it is.
    pub state: FileState,
    /// Its pieces that are not right. One that two files share in v1 is named with both.
    pub bad_pieces: PieceRanges,
    /// Its pieces that another file's missing bytes keep from being checked: v1 pieces run on from file to file.
    pub unproven_pieces: PieceRanges,
}

/// How a file is.
#[derive(Debug)]
pub enum FileState {
    /// All its bytes are right.
    Right,
    /// It has its length, and bytes that are not right.
    Bad,
    /// It is not there.
    Missing,
    /// It ends too early, after so many bytes.
    Short(u64),
    /// It goes on after its end, up to so many bytes.
    Long(u64),
    /// It is there, and cannot be read.
    Unreadable(io::Error),
    /// Nothing is wrong with it, but bytes that it shares a piece with are missing.
    Unproven,
}

/// Pieces by their indices, in ascending ranges, ends included. Displays as `3, 7-9`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PieceRanges(Vec<RangeInclusive<u32>>);

/// Why content could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The path is not there, or is no folder where one is needed.
    #[error("{path} cannot be looked at", path = .path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The files cannot be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
}

/// A part of a whole in tenths of a percent: 1000 only for all of it, and 0 only for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permille(u16);

/// Holds the content at `path`, or in a folder of the torrent's name below it, against the torrent. `progress` hears how many
/// bytes more were looked at, from any thread.
///
/// # Errors
/// [`VerifyError`] where there is nothing to look at. Files that are bad or missing are no error, but told.
pub fn verify(
    torrent: &TorrentFile,
    path: &Path,
    options: &HashOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Report, VerifyError> {
    let places = Places::find(&torrent.info, path).map_err(|source| VerifyError::Path {
        path: path.to_owned(),
        source,
    })?;
    let checked = check_files(torrent, &places.files, options, progress)?;
    Ok(Report::of(torrent, places, checked))
}

impl Report {
    fn of(torrent: &TorrentFile, places: Places, checked: CheckedContent) -> Self {
        let info = &torrent.info;
        let geometry = &info.geometry;
        let right = checked.pieces;
        let mut spoiled = Bitfield::empty(geometry);
        for (file, found) in info.files.iter().zip(&checked.files) {
            for piece in absent_pieces(geometry, file, found) {
                spoiled.insert(piece);
            }
        }
        let mut right_bytes = 0_u64;
        let files = info
            .files
            .iter()
            .zip(checked.files.into_iter().zip(places.files))
            .filter_map(|(file, (found, place))| Some((file, found, place?)))
            .map(|(file, found, place)| {
                right_bytes = right_bytes.saturating_add(right_length(geometry, file, &right));
                FileReport {
                    place,
                    ..FileReport::of(geometry, file, found, &right, &spoiled)
                }
            })
            .collect();
        Self {
            root: places.root,
            files,
            right_bytes,
            total_bytes: info.files.content_length(),
            wrong_pieces: geometry.piece_count().saturating_sub(right.count()),
        }
    }

    /// Whether every file is there, of its length, and right.
    pub fn is_right(&self) -> bool {
        self.wrong_pieces == 0 && self.faults().next().is_none()
    }

    /// The files that are not known to be right.
    pub fn faults(&self) -> impl Iterator<Item = &FileReport> {
        let files = self.files.iter();
        files.filter(|file| !matches!(file.state, FileState::Right))
    }

    /// How much of the content is right: all only where [`is_right`](Self::is_right), none only where no byte is. Content
    /// without bytes counts by its files.
    pub fn share(&self) -> Permille {
        let (part, whole) = if self.total_bytes > 0 {
            (self.right_bytes, self.total_bytes)
        } else {
            let files = self.files.len();
            let right = files.saturating_sub(self.faults().count());
            (right as u64, files as u64)
        };
        let share = Permille::of(part, whole);
        if self.is_right() {
            Permille(1000)
        } else {
            Permille(share.0.min(999))
        }
    }
}

impl FileReport {
    fn of(
        geometry: &Geometry,
        file: &File,
        found: Found,
        right: &Bitfield,
        spoiled: &Bitfield,
    ) -> Self {
        let absent: Vec<PieceIndex> = absent_pieces(geometry, file, &found).collect();
        let (first_absent, last_absent) = (absent.first(), absent.last());
        let is_absent = |piece| first_absent <= Some(&piece) && Some(&piece) <= last_absent;
        let (mut bad_pieces, mut unproven_pieces) =
            (PieceRanges::default(), PieceRanges::default());
        let pieces = geometry.pieces_touching(file.offset, file.length);
        for piece in pieces.filter(|piece| !right.contains(*piece)) {
            if spoiled.contains(piece) && !is_absent(piece) {
                unproven_pieces.push(piece);
            } else {
                bad_pieces.push(piece);
            }
        }
        let state = match found {
            Found::PassedOver | Found::Missing => FileState::Missing,
            Found::Unreadable(error) => FileState::Unreadable(error),
            Found::File { length } if length < file.length => FileState::Short(length),
            Found::File { length } if length > file.length => FileState::Long(length),
            Found::File { .. } if !bad_pieces.is_empty() => FileState::Bad,
            Found::File { .. } if !unproven_pieces.is_empty() => FileState::Unproven,
            Found::File { .. } => FileState::Right,
        };
        Self {
            path: file.path.clone(),
            place: PathBuf::new(),
            length: file.length,
            state,
            bad_pieces,
            unproven_pieces,
        }
    }
}

impl FileState {
    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Bad => "bad",
            Self::Missing => "missing",
            Self::Short(_) => "short",
            Self::Long(_) => "long",
            Self::Unreadable(_) => "unreadable",
            Self::Unproven => "unproven",
        }
    }
}

/// The pieces that a file cannot give all its bytes to.
fn absent_pieces(
    geometry: &Geometry,
    file: &File,
    found: &Found,
) -> impl Iterator<Item = PieceIndex> + use<> {
    let there = match found {
        _ if file.kind == FileKind::Pad => file.length,
        Found::File { length } => (*length).min(file.length),
        Found::PassedOver | Found::Missing | Found::Unreadable(_) => 0,
    };
    let offset = file.offset.saturating_add(there);
    geometry.pieces_touching(offset, file.length.saturating_sub(there))
}

/// Bytes of a file that lie in right pieces.
fn right_length(geometry: &Geometry, file: &File, right: &Bitfield) -> u64 {
    let end = file.offset.saturating_add(file.length);
    geometry
        .pieces_touching(file.offset, file.length)
        .filter(|piece| right.contains(*piece))
        .map(|piece| {
            let from = geometry.piece_offset(piece);
            let to = from.saturating_add(geometry.length_of(piece).into());
            to.min(end).saturating_sub(from.max(file.offset))
        })
        .fold(0, u64::saturating_add)
}

impl PieceRanges {
    /// The ranges.
    pub fn ranges(&self) -> &[RangeInclusive<u32>] {
        &self.0
    }

    /// Whether there is no piece.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a piece behind all that are there.
    fn push(&mut self, piece: PieceIndex) {
        let piece = piece.get();
        match self.0.last_mut() {
            Some(last) if last.end().checked_add(1) == Some(piece) => *last = *last.start()..=piece,
            _ => self.0.push(piece..=piece),
        }
    }
}

impl fmt::Display for PieceRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, range) in self.0.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            if range.start() == range.end() {
                write!(f, "{comma}{}", range.start())?;
            } else {
                write!(f, "{comma}{}-{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}

impl Permille {
    /// `part` of `whole`, rounded down, but up to 1 where it is not nothing. Of nothing, there is nothing.
    pub fn of(part: u64, whole: u64) -> Self {
        let exact = u128::from(part.min(whole)).saturating_mul(1000);
        let share = exact.checked_div(whole.into()).unwrap_or(0);
        let share = u16::try_from(share).unwrap_or(1000);
        Self(if part > 0 { share.max(1) } else { share })
    }

    /// The share in percent.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}

impl fmt::Display for Permille {
    /// As percent, with a decimal unless it is 0 or 100.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0 %"),
            1000 => f.write_str("100 %"),
            share => write!(f, "{}.{} %", share / 10, share % 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::super::choices::Choices;
    use super::super::create::Plan;
    use super::super::selection::Selection;
    use super::*;
    use crate::proto::metainfo::info::{Format, InfoLimits};
    use crate::proto::metainfo::piece_length::PieceLength;

    const PIECE: usize = 16 << 10;

    /// Content on disk and a torrent of it.
    struct Content {
        around: TempDir,
        torrent: TorrentFile,
    }

    impl Content {
        /// A folder `content` of files by these names and lengths.
        fn folder(format: Format, files: &[(&str, usize)]) -> Self {
            let around = tempfile::tempdir().unwrap();
            let root = around.path().join("content");
            for (seed, (name, length)) in (1..).zip(files) {
                let path = root.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let bytes: Vec<u8> = (0_u8..=250).cycle().skip(seed).take(*length).collect();
                fs::write(path, bytes).unwrap();
            }
            Self::of(around, format)
        }

        fn of(around: TempDir, format: Format) -> Self {
            let choices = Choices {
                format: Some(format),
                piece_length: Some(PieceLength::MIN),
                ..Choices::default()
            };
            let options = choices.selection_options(100, None, None);
            let selection = Selection::of(&around.path().join("content"), &options).unwrap();
            let plan =
                Plan::new(selection, choices.recipe(0).unwrap(), InfoLimits::default()).unwrap();
            let made = plan.make(&HashOptions::default(), &|_| {}).unwrap();
            let torrent = made.check(&made.bytes).unwrap();
            Self { around, torrent }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.around.path().join("content").join(name)
        }

        fn verify(&self) -> Report {
            self.verify_at(self.around.path())
        }

        fn verify_at(&self, path: &Path) -> Report {
            verify(&self.torrent, path, &HashOptions::default(), &|_| {}).unwrap()
        }

        /// Every file that is not right, in words.
        fn faults(&self) -> Vec<String> {
            let report = self.verify();
            assert_eq!(report.is_right(), report.faults().next().is_none());
            let faults = report.faults().map(|file| {
                format!(
                    "{} {} bad {} unproven {}",
                    file.state.as_str(),
                    file.path,
                    file.bad_pieces,
                    file.unproven_pieces
                )
            });
            faults.collect()
        }

        fn flip(&self, name: &str, at: usize) {
            let mut bytes = fs::read(self.path(name)).unwrap();
            bytes[at] ^= 1;
            fs::write(self.path(name), bytes).unwrap();
        }

        fn cut(&self, name: &str, length: u64) {
            let file = fs::File::options()
                .write(true)
                .open(self.path(name))
                .unwrap();
            file.set_len(length).unwrap();
        }
    }

    const FORMATS: [Format; 3] = [Format::V1, Format::V2, Format::Hybrid];

    #[test]
    fn what_is_whole_is_right_in_every_format() {
        for format in FORMATS {
            let content =
                Content::folder(format, &[("a", 3 * PIECE + 5), ("b/c", 1), ("empty", 0)]);
            let report = content.verify();
            assert!(report.is_right(), "{format}: {report:?}");
            assert_eq!(report.share().to_string(), "100 %");
            assert_eq!(report.root, content.around.path().join("content"));
            let total = 3 * PIECE as u64 + 6;
            assert_eq!((report.right_bytes, report.total_bytes), (total, total));
        }
    }

    #[test]
    fn a_flipped_bit_is_found_in_its_piece() {
        for format in FORMATS {
            let content = Content::folder(format, &[("a", 4 * PIECE), ("b", 3 * PIECE)]);
            content.flip("b", PIECE + 3);
            assert_eq!(content.faults(), ["bad b bad 5 unproven "], "{format}");
            let report = content.verify();
            assert_eq!(report.right_bytes, 6 * PIECE as u64);
            assert_eq!(report.share().to_string(), "85.7 %");
            assert_eq!(report.wrong_pieces, 1);
        }
    }

    #[test]
    fn a_bad_piece_of_two_files_is_named_with_both() {
        let content = Content::folder(Format::V1, &[("a", PIECE + 10), ("b", PIECE), ("c", 10)]);
        content.flip("b", 0);
        assert_eq!(
            content.faults(),
            ["bad a bad 1 unproven ", "bad b bad 1 unproven "]
        );
    }

    #[test]
    fn a_missing_file_does_not_make_its_neighbours_bad() {
        let files = [("a", PIECE + 10), ("b", 2 * PIECE), ("c", PIECE), ("d", 0)];
        for (format, expected) in [
            (
                Format::V1,
                &[
                    "unproven a bad  unproven 1",
                    "missing b bad 1-3 unproven ",
                    "unproven c bad  unproven 3",
                ][..],
            ),
            (Format::V2, &["missing b bad 2-3 unproven "]),
            (Format::Hybrid, &["missing b bad 2-3 unproven "]),
        ] {
            let content = Content::folder(format, &files);
            fs::remove_file(content.path("b")).unwrap();
            assert_eq!(content.faults(), expected, "{format}");
        }
    }

    #[test]
    fn short_long_and_unreadable_files_are_told_apart() {
        for format in FORMATS {
            let content = Content::folder(
                format,
                &[("a", 4 * PIECE), ("b", 2 * PIECE), ("c", PIECE), ("d", 0)],
            );
            content.cut("a", 2 * PIECE as u64 + 1);
            content.cut("b", 3 * PIECE as u64);
            fs::remove_file(content.path("c")).unwrap();
            fs::create_dir(content.path("c")).unwrap();
            content.cut("d", 1);
            assert_eq!(
                content.faults(),
                [
                    "short a bad 2-3 unproven ",
                    "long b bad  unproven ",
                    "unreadable c bad 6 unproven ",
                    "long d bad  unproven ",
                ],
                "{format}"
            );
            let report = content.verify();
            assert!(
                matches!(report.files[0].state, FileState::Short(length) if length == 2 * PIECE as u64 + 1)
            );
        }
    }

    #[test]
    fn content_that_only_goes_on_after_its_end_is_not_all_right() {
        let content = Content::folder(Format::V1, &[("a", PIECE)]);
        content.cut("a", PIECE as u64 + 1);
        let report = content.verify();
        assert_eq!((report.right_bytes, report.wrong_pieces), (PIECE as u64, 0));
        assert!(!report.is_right());
        assert_eq!(report.share().to_string(), "99.9 %");
    }

    #[test]
    fn empty_files_count_where_there_is_nothing_else() {
        let content = Content::folder(Format::V1, &[("a", 0), ("b", 0)]);
        assert_eq!(content.verify().share().to_string(), "100 %");
        fs::remove_file(content.path("a")).unwrap();
        assert_eq!(content.verify().share().to_string(), "50.0 %");
        assert_eq!(content.faults(), ["missing a bad  unproven "]);
    }

    #[test]
    fn the_content_or_the_folder_around_it_may_be_named() {
        for format in FORMATS {
            let content = Content::folder(format, &[("a", 10), ("b/c", PIECE)]);
            let renamed = content.around.path().join("another name");
            assert!(content.verify_at(&content.path("")).is_right());
            fs::rename(content.path(""), &renamed).unwrap();
            assert!(content.verify_at(&renamed).is_right());
            // Nothing is where it was: it is looked for under its name.
            let report = content.verify();
            assert_eq!(report.root, content.around.path().join("content"));
            assert_eq!(report.share().to_string(), "0 %");
        }
    }

    #[test]
    fn of_a_folder_and_one_of_its_name_in_it_the_fuller_is_taken() {
        let content = Content::folder(Format::V1, &[("content/x", 10), ("a", PIECE), ("b", 1)]);
        let root = content.path("");
        assert!(content.verify_at(&root).is_right());
        assert!(content.verify_at(content.around.path()).is_right());
        fs::remove_file(content.path("b")).unwrap();
        assert_eq!(
            content.verify_at(&root).faults().count(),
            2,
            "b, and what shares its piece"
        );
        assert_eq!(content.verify_at(&root).root, root);
    }

    #[test]
    fn files_that_are_cut_short_are_found_where_they_lie() {
        let content = Content::folder(Format::V1, &[("a", 2 * PIECE), ("b", PIECE)]);
        content.cut("a", PIECE as u64);
        content.cut("b", 1);
        let renamed = content.around.path().join("another name");
        fs::rename(content.path(""), &renamed).unwrap();
        let report = content.verify_at(&renamed);
        assert_eq!(report.root, renamed);
        let mut faults = report.faults();
        assert!(faults.all(|file| matches!(file.state, FileState::Short(_))));
    }

    #[test]
    fn a_single_file_is_found_under_any_name_when_it_is_named() {
        for format in FORMATS {
            let around = tempfile::tempdir().unwrap();
            fs::write(around.path().join("content"), vec![1; 2 * PIECE]).unwrap();
            let content = Content::of(around, format);
            assert!(content.verify().is_right());
            let renamed = content.around.path().join("renamed");
            fs::rename(content.around.path().join("content"), &renamed).unwrap();
            assert!(content.verify_at(&renamed).is_right());
            assert_eq!(content.faults(), ["missing content bad 0-1 unproven "]);
        }
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error() {
        let content = Content::folder(Format::V1, &[("a", 1)]);
        for path in ["absent", "content/a"] {
            let path = content.around.path().join(path);
            let error = verify(&content.torrent, &path, &HashOptions::default(), &|_| {});
            assert!(
                error
                    .unwrap_err()
                    .to_string()
                    .contains(&path.display().to_string())
            );
        }
    }

    #[test]
    fn no_share_is_rounded_to_all_or_nothing() {
        for (part, whole, text) in [
            (0, 10, "0 %"),
            (1, u64::MAX, "0.1 %"),
            (1, 3, "33.3 %"),
            (9_999, 10_000, "99.9 %"),
            (u64::MAX - 1, u64::MAX, "99.9 %"),
            (10, 10, "100 %"),
            (0, 0, "0 %"),
        ] {
            assert_eq!(
                Permille::of(part, whole).to_string(),
                text,
                "{part} of {whole}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn any_flipped_bit_spoils_the_files_of_its_piece_alone(
            lengths in prop::collection::vec(0_usize..3 * PIECE, 1..6),
            format in prop::sample::select(FORMATS.to_vec()),
            at in any::<prop::sample::Index>(),
        ) {
            let names: Vec<String> = (0..lengths.len()).map(|number| number.to_string()).collect();
            let names = names.iter().map(String::as_str);
            let files: Vec<(&str, usize)> = names.zip(lengths.iter().copied()).collect();
            let content = Content::folder(format, &files);
            // Not the folder around it: a folder of one file is that file in v2.
            let root = content.path("");
            prop_assert!(content.verify_at(&root).is_right());
            let total: usize = lengths.iter().sum();
            prop_assume!(total > 0);
            let mut offset = at.index(total);
            let spoilt = files.iter().find(|(_, length)| {
                let is_here = offset < *length;
                offset -= if is_here { 0 } else { *length };
                is_here
            });
            let name = spoilt.unwrap().0;
            content.flip(name, offset);
            let report = content.verify_at(&root);
            prop_assert_eq!(report.wrong_pieces, 1);
            let info = &content.torrent.info;
            let file = info.files.iter().find(|file| file.path.to_string() == name).unwrap();
            let piece = u32::try_from((file.offset + offset as u64) / PIECE as u64).unwrap();
            let mut right = 0;
            for (report, (_, file)) in report.files.iter().zip(info.files.content()) {
                let mut pieces = info.geometry.pieces_touching(file.offset, file.length);
                let is_touched = pieces.any(|touched| touched.get() == piece);
                prop_assert_eq!(matches!(report.state, FileState::Bad), is_touched);
                let expected = if is_touched { piece.to_string() } else { String::new() };
                prop_assert_eq!(report.bad_pieces.to_string(), expected);
                right += file.length;
            }
            prop_assert!(report.right_bytes < right && report.right_bytes + PIECE as u64 >= right);
            prop_assert!(report.share().percent() < 100.0);
        }
    }
}

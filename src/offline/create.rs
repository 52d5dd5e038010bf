//! Files of this machine become a torrent file.
//!
//! First a [`Plan`], which checks all that can be known without reading the files; then the hashes; then a look back at what
//! was written. The same files and the same [`Recipe`] give the same bytes on every machine.

use std::fmt;

use super::hashing::{HashError, HashOptions, SourceFile, hash_files};
use super::selection::Selection;
use super::sizing::{PieceLengthWish, Sizing};
use super::spot_check::{self, SpotCheckError};
use crate::proto::metainfo::build::{BuildError, BuiltInfo, InfoOptions};
use crate::proto::metainfo::info::{Format, InfoLimits, Layout};
use crate::proto::metainfo::torrent_file::{
    Envelope, TorrentFile, TorrentFileError, is_tracker_url, is_web_seed_url,
};

/// What a torrent says besides its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    /// v1, v2 or both.
    pub format: Format,
    /// How long the pieces are.
    pub piece_length: PieceLengthWish,
    /// Whether peers may only come from the torrent's own trackers (BEP 27).
    pub private: bool,
    /// A word that makes the info-hash one's own.
    pub source: Option<String>,
    /// Tracker URLs in tiers, the first tier to be asked first (BEP 12).
    pub trackers: Vec<Vec<String>>,
    /// Web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// DHT nodes to begin with, by host and port (BEP 5).
    pub nodes: Vec<(String, u16)>,
    /// A remark.
    pub comment: Option<String>,
    /// The program that makes it.
    pub created_by: Option<String>,
    /// When it is made, in seconds since 1970.
    pub creation_date: Option<i64>,
}

/// A torrent to be, of which all is settled but the hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The files.
    pub selection: Selection,
    /// What the torrent says besides.
    pub recipe: Recipe,
    /// How long its pieces are, and why.
    pub sizing: Sizing,
    limits: InfoLimits,
}

/// Something that was perhaps not meant. It hinders nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    /// A private torrent without a tracker: nobody will find a peer (BEP 27).
    PrivateWithoutTracker,
    /// A private torrent with DHT nodes, which no client may ask (BEP 27).
    PrivateWithNodes,
    /// The web seed of a folder does not end with a slash (BEP 19).
    WebSeedWithoutSlash(String),
    /// v2 knows no folder with a single file right in it, so the torrent is that file (BEP 52).
    FolderOfOneFile(String),
}

/// Why there is no torrent.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A tracker that nobody would ask.
    #[error("{0:?} is no tracker; write a URL that begins with http, https, udp, ws or wss")]
    Tracker(String),
    /// A web seed that nobody would ask.
    #[error("{0:?} is no web seed; write a URL that begins with http or https")]
    WebSeed(String),
    /// More pieces than [`InfoLimits::pieces`].
    #[error("there would be {pieces} pieces, more than {limit}; make them longer")]
    TooManyPieces {
        /// Pieces that the files make.
        pieces: u64,
        /// The limit.
        limit: u32,
    },
    /// The torrent file would be longer than we read.
    #[error(
        "the torrent file would be longer than {limit} bytes; take longer pieces or fewer files"
    )]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// A file cannot be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The hashed files make no torrent.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Why a torrent file is not what was made.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Other bytes came back than were written.
    #[error(
        "the torrent file was read back, and is not what was written: the disk or the memory is not sound"
    )]
    Differs,
    /// It cannot be read by our own rules.
    #[error("the torrent file was read back, and cannot be used")]
    Unusable(#[from] TorrentFileError),
    /// The files do not match the hashes any more.
    #[error(transparent)]
    Content(#[from] SpotCheckError),
}

/// A torrent that was made.
#[derive(Debug)]
pub struct Made {
    /// The torrent file.
    pub bytes: Vec<u8>,
    files: Vec<SourceFile>,
    limits: InfoLimits,
}

impl Plan {
    /// Settles all but the hashes.
    ///
    /// # Errors
    /// [`CreateError`], which names what is wrong, where it can be known without reading the files.
    pub fn new(
        selection: Selection,
        recipe: Recipe,
        limits: InfoLimits,
    ) -> Result<Self, CreateError> {
        let bad_tracker = recipe
            .trackers
            .iter()
            .flatten()
            .find(|url| !is_tracker_url(url));
        if let Some(url) = bad_tracker {
            return Err(CreateError::Tracker(url.clone()));
        }
        if let Some(url) = recipe.web_seeds.iter().find(|url| !is_web_seed_url(url)) {
            return Err(CreateError::WebSeed(url.clone()));
        }
        let sizing = Sizing::of(recipe.piece_length, recipe.format, &selection.lengths());
        if sizing.pieces > limits.pieces.into() {
            return Err(CreateError::TooManyPieces {
                pieces: sizing.pieces,
                limit: limits.pieces,
            });
        }
        let limit = limits.scan.length;
        if u64::try_from(limit).is_ok_and(|limit| least_length(&selection, &sizing) > limit) {
            return Err(CreateError::TooLong { limit });
        }
        Ok(Self {
            selection,
            recipe,
            sizing,
            limits,
        })
    }

    /// What was perhaps not meant.
    pub fn advice(&self) -> Vec<Advice> {
        let mut all = Vec::new();
        if self.recipe.private && self.recipe.trackers.iter().all(Vec::is_empty) {
            all.push(Advice::PrivateWithoutTracker);
        }
        if self.recipe.private && !self.recipe.nodes.is_empty() {
            all.push(Advice::PrivateWithNodes);
        }
        if self.selection.layout == Layout::Folder {
            let web_seeds = self
                .recipe
                .web_seeds
                .iter()
                .filter(|url| !url.ends_with('/'));
            all.extend(web_seeds.cloned().map(Advice::WebSeedWithoutSlash));
            if let ([only], Format::V2) = (self.selection.files.as_slice(), self.recipe.format)
                && only.path.components().count() == 1
            {
                all.push(Advice::FolderOfOneFile(only.path.to_string()));
            }
        }
        all
    }

    /// Hashes the files and puts the torrent together. `progress` hears how many bytes more were hashed, from any thread.
    ///
    /// # Errors
    /// [`CreateError`], which names the file.
    pub fn make(
        self,
        options: &HashOptions,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Made, CreateError> {
        let Self {
            selection,
            recipe,
            sizing,
            limits,
        } = self;
        let content = hash_files(
            &selection.files,
            recipe.format,
            sizing.piece_length,
            options,
            progress,
        )?;
        let info_options = InfoOptions {
            name: selection.name,
            layout: selection.layout,
            private: recipe.private,
            source: recipe.source,
        };
        let BuiltInfo {
            info, piece_layers, ..
        } = content.into_info_within(info_options, &limits)?;
        let bytes = Envelope {
            info: &info.raw,
            piece_layers: &piece_layers,
            trackers: &recipe.trackers,
            web_seeds: &recipe.web_seeds,
            comment: recipe.comment.as_deref(),
            created_by: recipe.created_by.as_deref(),
            creation_date: recipe.creation_date,
            nodes: &recipe.nodes,
        }
        .encode();
        if bytes.len() > limits.scan.length {
            let limit = limits.scan.length;
            return Err(CreateError::TooLong { limit });
        }
        Ok(Made {
            bytes,
            files: selection.files,
            limits,
        })
    }
}

impl Made {
    /// Looks back: `written` is the torrent file as it was read again from where it was put.
    ///
    /// It must be byte for byte what was made, and usable by the rules for every torrent file. Then the first and the last
    /// piece are read from the files once more and hashed one by one, without what makes hashing fast. That is cheap, and
    /// finds a processor that hashes wrongly or files that somebody writes to; to be sure of every piece, verify.
    ///
    /// # Errors
    /// [`CheckError`].
    pub fn check(&self, written: &[u8]) -> Result<TorrentFile, CheckError> {
        if written != self.bytes {
            return Err(CheckError::Differs);
        }
        let torrent = TorrentFile::parse(written, &self.limits)?;
        let last = torrent.info.geometry.piece_count().saturating_sub(1);
        let first_and_last = if last == 0 { vec![0] } else { vec![0, last] };
        for piece in first_and_last {
            if let Some(piece) = torrent.info.geometry.piece(piece) {
                spot_check::check(&torrent, piece, &self.files)?;
            }
        }
        Ok(torrent)
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PrivateWithoutTracker => f.write_str(
                "the torrent is private and has no tracker, so its peers will not find each other",
            ),
            Self::PrivateWithNodes => {
                f.write_str("the torrent is private, so no client will ask its DHT nodes")
            }
            Self::WebSeedWithoutSlash(url) => write!(
                f,
                "the web seed {url} does not end with a slash, as that of a folder should"
            ),
            Self::FolderOfOneFile(file) => write!(
                f,
                "v2 knows no folder with a single file in it, so the torrent is the file {file}"
            ),
        }
    }
}

/// Bytes that the torrent file has at the least: hashes, names, and the letters around them.
fn least_length(selection: &Selection, sizing: &Sizing) -> u64 {
    /// `d6:lengthi0e4:pathl1:aee` in v1; v2 takes more.
    const AROUND_A_FILE: u64 = 20;
    let names = selection.files.iter().map(|file| {
        let names = file.path.components().map(|name| name.len() as u64);
        names.fold(AROUND_A_FILE, u64::saturating_add)
    });
    names.fold(sizing.hashes, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::choices::Choices;
    use super::*;
    use crate::proto::metainfo::piece_length::PieceLength;

    const FORMATS: [Format; 3] = [Format::V1, Format::V2, Format::Hybrid];

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, length) in [("a", 40_000), ("b/c", 16_384), ("d", 0), ("e", 70_000)] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![u8::try_from(length % 251).unwrap(); length]).unwrap();
        }
        folder
    }

    fn choices(format: Format) -> Choices {
        Choices {
            format: Some(format),
            piece_length: Some(PieceLength::MIN),
            no_date: true,
            ..Choices::default()
        }
    }

    fn plan_within(
        path: &Path,
        choices: &Choices,
        limits: InfoLimits,
    ) -> Result<Plan, CreateError> {
        let options = choices.selection_options(100, Some("content".to_owned()), None);
        let selection = Selection::of(path, &options).unwrap();
        Plan::new(selection, choices.recipe(0).unwrap(), limits)
    }

    fn plan(path: &Path, choices: &Choices) -> Result<Plan, CreateError> {
        plan_within(path, choices, InfoLimits::default())
    }

    fn make(path: &Path, choices: &Choices) -> Made {
        let plan = plan(path, choices).unwrap();
        plan.make(&HashOptions::default(), &|_| {}).unwrap()
    }

    #[test]
    fn the_plan_knows_the_pieces_that_come() {
        let folder = folder();
        for format in FORMATS {
            let plan = plan(folder.path(), &choices(format)).unwrap();
            let (pieces, least) = (
                plan.sizing.pieces,
                least_length(&plan.selection, &plan.sizing),
            );
            let made = plan.make(&HashOptions::default(), &|_| {}).unwrap();
            let torrent = made.check(&made.bytes).unwrap();
            assert_eq!(
                u64::from(torrent.info.geometry.piece_count()),
                pieces,
                "{format}"
            );
            assert!(least <= made.bytes.len() as u64, "{format}");
            assert!(torrent.warnings.is_empty());
        }
    }

    #[test]
    fn everything_that_was_chosen_is_in_the_torrent() {
        let folder = folder();
        let choices = Choices {
            announce: vec![
                "http://a.example/x,udp://b.example:1".to_owned(),
                "ws://c.example".to_owned(),
            ],
            web_seed: vec!["http://w.example/".to_owned()],
            node: vec!["[::1]:7".to_owned()],
            private: true,
            source: Some("S".to_owned()),
            comment: Some("C".to_owned()),
            ..choices(Format::Hybrid)
        };
        let made = make(folder.path(), &choices);
        let torrent = made.check(&made.bytes).unwrap();
        assert_eq!(torrent.trackers.concat().len(), 3);
        assert_eq!(torrent.trackers.len(), 2);
        assert_eq!(torrent.web_seeds, choices.web_seed);
        assert_eq!(torrent.nodes, [("::1".to_owned(), 7)]);
        assert_eq!(
            (torrent.comment, torrent.info.source),
            (choices.comment, choices.source)
        );
        assert_eq!(
            (torrent.info.private, &*torrent.info.name),
            (true, "content")
        );
        assert!(torrent.created_by.unwrap().starts_with("Sower/"));
        assert_eq!(torrent.creation_date, None);
    }

    #[test]
    fn addresses_that_nobody_would_ask_are_refused() {
        let folder = folder();
        for url in ["ftp://a.example", "a.example", "http://", "http://a b"] {
            let tracker = Choices {
                announce: vec![url.to_owned()],
                ..Choices::default()
            };
            let error = plan(folder.path(), &tracker).unwrap_err();
            assert!(
                matches!(&error, CreateError::Tracker(bad) if bad == url),
                "{error}"
            );
            let web_seed = Choices {
                web_seed: vec![url.to_owned()],
                ..Choices::default()
            };
            let error = plan(folder.path(), &web_seed).unwrap_err();
            assert!(
                matches!(&error, CreateError::WebSeed(bad) if bad == url),
                "{error}"
            );
        }
    }

    #[test]
    fn what_would_break_a_limit_is_known_before_anything_is_hashed() {
        let folder = folder();
        let few = InfoLimits {
            pieces: 5,
            ..InfoLimits::default()
        };
        let mut short = InfoLimits::default();
        for format in FORMATS {
            let error = plan_within(folder.path(), &choices(format), few).unwrap_err();
            assert!(
                matches!(error, CreateError::TooManyPieces { limit: 5, .. }),
                "{error}"
            );
            short.scan.length = 100;
            let error = plan_within(folder.path(), &choices(format), short).unwrap_err();
            assert!(
                matches!(error, CreateError::TooLong { limit: 100 }),
                "{error}"
            );
            // The least that it can be is let through, and what it really is refused.
            let plan = plan(folder.path(), &choices(format)).unwrap();
            short.scan.length =
                usize::try_from(least_length(&plan.selection, &plan.sizing)).unwrap();
            let plan = plan_within(folder.path(), &choices(format), short).unwrap();
            let error = plan.make(&HashOptions::default(), &|_| {}).unwrap_err();
            assert!(
                matches!(error, CreateError::TooLong { .. } | CreateError::Build(_)),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_that_changes_after_it_was_hashed_is_noticed() {
        for (format, name) in FORMATS
            .into_iter()
            .flat_map(|format| [(format, "a"), (format, "e")])
        {
            let folder = folder();
            let made = make(folder.path(), &choices(format));
            assert!(made.check(&made.bytes).is_ok(), "{format}");
            let path = folder.path().join(name);
            let mut bytes = fs::read(&path).unwrap();
            // The first byte of the first file, and the last of the last.
            let at = if name == "a" { 0 } else { bytes.len() - 1 };
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let error = made.check(&made.bytes).unwrap_err();
            assert!(
                matches!(error, CheckError::Content(SpotCheckError::Mismatch { .. })),
                "{error}"
            );
            fs::remove_file(&path).unwrap();
            let error = made.check(&made.bytes).unwrap_err().to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }

    #[test]
    fn a_torrent_file_that_came_back_otherwise_is_noticed() {
        let folder = folder();
        let made = make(folder.path(), &choices(Format::V1));
        let mut damaged = made.bytes.clone();
        damaged[50] ^= 1;
        for bytes in [&damaged, &made.bytes[..made.bytes.len() - 1]] {
            assert!(matches!(made.check(bytes), Err(CheckError::Differs)));
        }
    }

    #[test]
    fn what_was_perhaps_not_meant_is_said() {
        let folder = folder();
        let advice = |choices: &Choices| plan(folder.path(), choices).unwrap().advice();
        assert_eq!(advice(&Choices::default()), []);
        let private = Choices {
            private: true,
            node: vec!["a.example:1".to_owned()],
            web_seed: vec!["http://w.example/x".to_owned()],
            ..Choices::default()
        };
        assert_eq!(
            advice(&private),
            [
                Advice::PrivateWithoutTracker,
                Advice::PrivateWithNodes,
                Advice::WebSeedWithoutSlash("http://w.example/x".to_owned())
            ]
        );
        let only_a = Choices {
            include: vec!["/a".to_owned()],
            ..choices(Format::V2)
        };
        assert_eq!(advice(&only_a), [Advice::FolderOfOneFile("a".to_owned())]);
        let torrent = make(folder.path(), &only_a);
        assert_eq!(torrent.check(&torrent.bytes).unwrap().info.name, "a");
    }

    #[test]
    fn nothing_at_all_makes_a_torrent_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("empty");
        fs::write(&path, b"").unwrap();
        for format in FORMATS {
            let made = make(&path, &choices(format));
            let torrent = made.check(&made.bytes).unwrap();
            assert_eq!(torrent.info.geometry.piece_count(), 0, "{format}");
        }
    }
}

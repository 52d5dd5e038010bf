//! Publishing under a torrent that is out in the world already: the content is held against it, and its raw `info` is kept, so that the
//! info-hash stays and peers of the old swarm are peers of the new one.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Options;
use super::ingest::{Details, Ingest, IngestError};
use super::particulars::{is_tracker, is_web_seed};
use crate::domain::draft::DraftFile;
use crate::domain::publication::Words;
use crate::proto::metainfo::info::{Info, InfoLimits, Layout};
use crate::proto::metainfo::original::{Difference, NamedFiles, Original, TooMuchPadding};
use crate::proto::metainfo::path::FilePath;
use crate::proto::metainfo::torrent_file::{TorrentFile, TorrentFileError};

/// A torrent that exists, to be published again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    original: Arc<Original>,
    /// What stands around its `info` dictionary.
    trackers: Vec<String>,
    web_seeds: Vec<String>,
    comment: String,
}

/// Why a torrent is not imported. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is no torrent file, or it breaks a rule.
    #[error("the .torrent cannot be used: {}", in_full(.0))]
    Unusable(#[source] TorrentFileError),
    /// It is longer than torrents may be here.
    #[error(
        "the .torrent is longer than {limit} bytes; `publish.max_torrent_bytes` in the configuration allows more"
    )]
    TooLarge {
        /// `publish.max_torrent_bytes`.
        limit: usize,
    },
    /// Its pads are endless.
    #[error(transparent)]
    Padding(#[from] TooMuchPadding),
    /// The server has private torrents alone.
    #[error(
        "this server publishes private torrents alone, and this one is public; publish its files without the .torrent, as a new torrent"
    )]
    Public,
    /// A public torrent is wanted to be private.
    #[error(
        "the torrent is public, and to make it private would change its info-hash; leave that out, or publish its files without the .torrent, as a new torrent"
    )]
    NotPrivate,
    /// Files were listed beside the torrent.
    #[error("the .torrent says which files there are; leave out the list of files")]
    Listed,
    /// Two files are meant to be one of the torrent.
    #[error("the torrent's file {0} came twice; send each file once")]
    Twice(FilePath),
    /// The files are others.
    #[error(transparent)]
    Difference(#[from] Difference),
}

/// A message with all that it repeats of its causes.
fn in_full(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", in_full(cause)),
        None => error.to_string(),
    }
}

fn check_size(bytes: &[u8], limits: &InfoLimits) -> Result<(), ImportError> {
    let limit = limits.scan.length;
    if bytes.len() > limit {
        return Err(ImportError::TooLarge { limit });
    }
    Ok(())
}

impl Ingest {
    /// Reads a torrent file whose content is to be published under it. Blocks for moments.
    ///
    /// # Errors
    /// [`IngestError::Import`] where it is none, or none for this server; else as [`import`](Self::import).
    pub fn read_torrent(&self, bytes: &Bytes) -> Result<Import, IngestError> {
        let limits = self.options.torrent_limits();
        check_size(bytes, &limits)?;
        let torrent = TorrentFile::parse_shared(bytes, &limits).map_err(ImportError::Unusable)?;
        self.import(&torrent)
    }

    /// Takes a torrent whose content is to be published under it.
    ///
    /// # Errors
    /// [`IngestError::AlreadyPublished`] and [`IngestError::TakenDown`] where its info-hash is known; [`IngestError`] where its files
    /// could not be published, or it is none for this server.
    pub fn import(&self, torrent: &TorrentFile) -> Result<Import, IngestError> {
        let info = &torrent.info;
        check_size(&info.raw, &self.options.torrent_limits())?;
        let limit = self.options.max_files;
        if info.files.content().count() > limit {
            return Err(IngestError::TooManyFiles { limit });
        }
        if info.files.content_length() == 0 {
            return Err(IngestError::NoBytes);
        }
        // With its pads, which are hashed like all else.
        self.check_length(info.files.total_length())?;
        if self.is_private_only && !info.private {
            return Err(ImportError::Public.into());
        }
        let original = Original::of(torrent).map_err(ImportError::from)?;
        self.press.check_hashes(&info.hashes)?;
        Ok(Import {
            original: Arc::new(original),
            trackers: torrent.trackers.concat(),
            web_seeds: torrent.web_seeds.clone(),
            comment: torrent.comment.clone().unwrap_or_default(),
        })
    }

    /// Brings what is said of an upload into its form: the server's rules and the torrent, if there is one, have the last word.
    pub(super) fn settle(&self, mut details: Details) -> Result<Details, IngestError> {
        if let Some(import) = &details.import {
            let info = &import.original.info;
            if details.private && !info.private {
                return Err(ImportError::NotPrivate.into());
            }
            details.private = info.private;
            details.format = info.format();
        }
        details.private |= self.is_private_only;
        let words = self.options.tidy(&details.words, details.private)?;
        details.words = match &details.import {
            Some(import) => self.options.add_known(words, import),
            None => words,
        };
        Ok(details)
    }
}

impl Options {
    /// Bounds for a torrent that is imported: what is kept must be read again at each start, within the usual limits.
    fn torrent_limits(&self) -> InfoLimits {
        let usual = InfoLimits::default();
        InfoLimits::of(
            self.max_torrent_bytes.min(usual.scan.length),
            self.max_files.min(usual.files),
        )
    }

    /// Adds what the torrent says to what the publisher says, as far as it is sound and there is room.
    fn add_known(&self, mut words: Words, import: &Import) -> Words {
        let sources = &mut words.particulars;
        // BEP 27: a private torrent has the tracker of this server alone.
        if !import.info().private {
            let trackers = import.trackers.iter().filter(|it| is_tracker(it));
            self.add_sources(&mut sources.trackers, trackers);
        }
        let web_seeds = import.web_seeds.iter().filter(|it| is_web_seed(it));
        self.add_sources(&mut sources.web_seeds, web_seeds);
        if words.description.is_empty() {
            let comment = import.comment.trim();
            let end = comment.floor_char_boundary(self.max_description_bytes);
            comment
                .get(..end)
                .unwrap_or_default()
                .clone_into(&mut words.description);
        }
        words
    }

    fn add_sources<'a>(&self, to: &mut Vec<String>, known: impl Iterator<Item = &'a String>) {
        for address in known {
            if to.len() < self.max_sources && !to.contains(address) {
                to.push(address.clone());
            }
        }
    }
}

impl Import {
    /// The `info` dictionary.
    pub fn info(&self) -> &Info {
        &self.original.info
    }

    /// The torrent, as content is held against it.
    pub(super) fn original(&self) -> Arc<Original> {
        Arc::clone(&self.original)
    }

    /// The files, in the torrent's order, with the folder around them if there is one.
    pub(super) fn files(&self) -> Result<Vec<DraftFile>, IngestError> {
        let info = &self.original.info;
        let folder = (info.layout == Layout::Folder).then_some(info.name.as_str());
        let files = info.files.content().map(|(_, file)| {
            let path = FilePath::from_components(folder.into_iter().chain(file.path.components()))?;
            let length = file.length;
            Ok(DraftFile { path, length })
        });
        files.collect::<Result<_, _>>().map_err(IngestError::Name)
    }

    /// Where files belong that come under their names.
    pub(super) fn places(&self) -> Places {
        let info = &self.original.info;
        let files = info.files.content().map(|(_, file)| file.path.clone());
        let by_path: HashMap<FilePath, usize> = files.zip(0..).collect();
        Places {
            folder: (info.layout == Layout::Folder).then(|| info.name.clone()),
            stored_as: vec![None; by_path.len()],
            by_path,
        }
    }

    /// What is missing of the torrent's files, where only those at some places are there.
    pub(super) fn missing(&self, is_there: impl Fn(usize) -> bool) -> Result<(), ImportError> {
        let mut missing = NamedFiles::default();
        for (place, (_, file)) in self.original.info.files.content().enumerate() {
            if !is_there(place) {
                missing.push(&file.path);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(Difference::Missing(missing).into())
    }
}

/// Files of an upload on their way to their places in a torrent.
pub(super) struct Places {
    /// What the torrent calls the folder around its files.
    folder: Option<String>,
    by_path: HashMap<FilePath, usize>,
    /// For each place, the number of the file that has come for it.
    stored_as: Vec<Option<u32>>,
}

impl Places {
    /// The place of a file: its path is the torrent's, with the folder around it or without, whatever that is called now, or in one more
    /// folder. `None` for a file that the torrent does not have.
    pub(super) fn find(&self, path: &FilePath) -> Option<usize> {
        let in_folder = |path: &FilePath| {
            let (folder, rest) = path.split_first()?;
            (Some(folder) == self.folder.as_deref()).then_some(rest)
        };
        let rest = path.split_first().map(|(_, rest)| rest);
        let ways = [
            in_folder(path),
            Some(path.clone()),
            rest.clone(),
            rest.as_ref().and_then(in_folder),
        ];
        let mut found = ways
            .iter()
            .flatten()
            .filter_map(|path| self.by_path.get(path));
        found.next().copied()
    }

    /// The same, and the file that has this number takes it.
    pub(super) fn take(
        &mut self,
        path: &FilePath,
        number: u32,
    ) -> Result<Option<usize>, ImportError> {
        let Some(place) = self.find(path) else {
            return Ok(None);
        };
        match self.stored_as.get_mut(place) {
            Some(free @ None) => *free = Some(number),
            _ => return Err(ImportError::Twice(path.clone())),
        }
        Ok(Some(place))
    }

    /// The number of each file, where all have come.
    pub(super) fn numbers(&self, import: &Import) -> Result<Vec<u32>, ImportError> {
        import.missing(|place| self.stored_as.get(place).is_some_and(Option::is_some))?;
        Ok(self.stored_as.iter().filter_map(|number| *number).collect())
    }
}

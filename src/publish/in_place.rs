//! Publishing files where they lie, without a copy. They are read once, to hash them, and from then on whenever somebody asks for them.
//!
//! They stay their owners'. One that changes or goes while it is hashed is an error; later, the reader notices, and serves of it only what
//! still matches.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::hashing::READ_BYTES;
use super::import::{Import, ImportError};
use super::ingest::{Details, Ingest, IngestError};
use super::naming::{Names, name_torrent};
use super::press::Manuscript;
use crate::ambient;
use crate::domain::publication::{Publication, PublicationId};
use crate::domain::torrent::Stamp;
use crate::proto::metainfo::hash::{HashedContent, TorrentHasher};
use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::path::FilePath;
use crate::proto::metainfo::piece_length::PieceLength;
use crate::store::content::{ContentStore, Staging};
use crate::store::place;

/// A file that is to be published where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its path as an upload would have it, with the folder around all files if there is one.
    pub path: FilePath,
    /// Where it lies: an absolute path without symbolic links.
    pub place: PathBuf,
    /// Bytes in it, as they were counted when it was listed.
    pub length: u64,
}

impl Ingest {
    /// Publishes files where they lie, at `now`, in seconds since 1970. `progress` hears how many bytes more are hashed. Dropped, it
    /// stops and leaves nothing, unless all is hashed already: then it goes on to its end.
    ///
    /// # Errors
    /// [`IngestError`], among others [`Unreadable`](IngestError::Unreadable) and [`Changed`](IngestError::Changed).
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn publish_in_place(
        &self,
        mut files: Vec<Placed>,
        details: Details,
        now: i64,
        progress: impl Fn(u64) + Send + 'static,
    ) -> Result<Publication, IngestError> {
        let slot = Arc::clone(&self.slots).try_acquire_owned();
        let slot = slot.map_err(|_| IngestError::TooManyUploads)?;
        let details = self.settle(details)?;
        self.check_files(&files)?;
        let names = if let Some(import) = &details.import {
            files = in_order(import, files)?;
            Names::of(import.info())
        } else {
            // The same files are the same torrent, however they were listed.
            files.sort_by(|a, b| a.path.cmp(&b.path));
            let paths = files.iter().map(|file| file.path.clone()).collect();
            name_torrent(paths, &details.words.title).map_err(IngestError::Name)?
        };
        let id = PublicationId::generate(&mut ambient::rng());
        let content = Arc::clone(&self.press.content);
        let hasher = match &details.import {
            Some(import) => import.original().hasher(),
            None => new_hasher(details.format, &files),
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone().drop_guard();
        let hashing = self.tasks.spawn_blocking(move || {
            hash(&*content, id, hasher.with_sums(), files, &progress, &stop)
        });
        let placed = hashing.await.map_err(|_| IngestError::Interrupted)??;
        stopped.disarm();
        let manuscript = Manuscript {
            id,
            stored_as: (0..).take(names.paths.len()).collect(),
            names,
            original: details.import.as_ref().map(Import::original),
            details,
            created_at: now,
            published_at: ambient::unix_now(),
        };
        let ingest = self.clone();
        let publishing = self.tasks.spawn(async move {
            let Hashed {
                staging,
                content,
                stamps,
            } = placed;
            let seal = move || {
                check_stamps(&stamps)?;
                Ok(staging.seal()?)
            };
            let published = ingest.publish(manuscript, content, seal).await;
            drop(slot);
            published
        });
        publishing.await.unwrap_or(Err(IngestError::Interrupted))
    }

    fn check_files(&self, files: &[Placed]) -> Result<(), IngestError> {
        let limit = self.options.max_files;
        let lengths = files.iter().map(|file| file.length);
        let total_length = lengths.fold(0, u64::saturating_add);
        match (files.len(), total_length) {
            (0, _) => Err(IngestError::NoFiles),
            (count, _) if count > limit => Err(IngestError::TooManyFiles { limit }),
            (_, 0) => Err(IngestError::NoBytes),
            (_, total_length) => self.check_length(total_length),
        }
    }
}

/// The files of a torrent in its order; those that it does not have are left out.
fn in_order(import: &Import, files: Vec<Placed>) -> Result<Vec<Placed>, ImportError> {
    let places = import.places();
    let mut ordered = BTreeMap::new();
    for file in files {
        if let Some(place) = places.find(&file.path)
            && let Some(twice) = ordered.insert(place, file)
        {
            return Err(ImportError::Twice(twice.path));
        }
    }
    import.missing(|place| ordered.contains_key(&place))?;
    Ok(ordered.into_values().collect())
}

fn new_hasher(format: Format, files: &[Placed]) -> TorrentHasher {
    let lengths: Vec<u64> = files.iter().map(|file| file.length).collect();
    TorrentHasher::new(format, PieceLength::for_files(format, &lengths))
}

/// Files that were hashed where they lie, and how they looked.
struct Hashed {
    staging: Box<dyn Staging>,
    content: HashedContent,
    stamps: Vec<(PathBuf, Stamp)>,
}

fn hash(
    content: &dyn ContentStore,
    id: PublicationId,
    mut hasher: TorrentHasher,
    files: Vec<Placed>,
    progress: &dyn Fn(u64),
    stop: &CancellationToken,
) -> Result<Hashed, IngestError> {
    let mut staging = content.stage(id)?;
    let mut stamps = Vec::with_capacity(files.len());
    let mut buffer = vec![0; READ_BYTES];
    for file in files {
        staging.refer(&file.place)?;
        hasher.begin_file(file.path);
        let take = |bytes: &[u8]| {
            hasher.update(bytes);
            progress(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            (!stop.is_cancelled()).then_some(())
        };
        let stamp = read(&file.place, &mut buffer, take)?;
        if stamp.length != file.length {
            return Err(IngestError::Changed(file.place));
        }
        stamps.push((file.place, stamp));
    }
    Ok(Hashed {
        staging,
        content: hasher.finish(),
        stamps,
    })
}

/// Reads a whole file until `take` has enough, and says how it looks: the same before and after.
fn read(
    place: &Path,
    buffer: &mut [u8],
    mut take: impl FnMut(&[u8]) -> Option<()>,
) -> Result<Stamp, IngestError> {
    let unreadable = |source| IngestError::Unreadable {
        path: place.to_owned(),
        source,
    };
    let mut file = place::open(place).map_err(unreadable)?;
    let before = place::stamp(&file.metadata().map_err(unreadable)?);
    let mut length = 0_u64;
    loop {
        let read = match file.read(buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(error)),
        };
        length = length.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        take(buffer.get(..read).unwrap_or_default()).ok_or(IngestError::Interrupted)?;
    }
    let after = place::stamp(&file.metadata().map_err(unreadable)?);
    if before == after && length == before.length {
        Ok(before)
    } else {
        Err(IngestError::Changed(place.to_owned()))
    }
}

/// Looks once more at files that were hashed a while ago.
fn check_stamps(stamps: &[(PathBuf, Stamp)]) -> Result<(), IngestError> {
    for (place, stamp) in stamps {
        let now = std::fs::symlink_metadata(place);
        if !now.is_ok_and(|now| now.is_file() && place::stamp(&now) == *stamp) {
            return Err(IngestError::Changed(place.clone()));
        }
    }
    Ok(())
}

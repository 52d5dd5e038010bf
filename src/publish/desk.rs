//! A draft that is being worked on: how much of each file is there, who writes to it, and what was hashed of it.
//!
//! Files are hashed while their bytes come. What that leaves out is read: a file whose hashing a restart cut short, and in v1 the pieces
//! that belong to several files. The latter are read as soon as all files before them are there, so that little is left for the end.

use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::hashing::READ_BYTES;
use super::naming::{Names, name_torrent};
use crate::domain::draft::Draft;
use crate::proto::metainfo::apart::{Borders, FileHasher, HashedApart, Spread};
use crate::proto::metainfo::hash::HashedContent;
use crate::proto::metainfo::path::PathError;
use crate::store::StoreError;
use crate::store::content::{ContentStore, DraftStaging};

/// A draft with its files open.
pub(super) struct Desk {
    pub(super) draft: Arc<Draft>,
    /// The torrent's name and those of its files, in its order.
    pub(super) names: Names,
    pub(super) staging: Box<dyn DraftStaging>,
    spread: Spread,
    /// The files in the torrent's order.
    order: Vec<usize>,
    /// The place of each file in that order.
    places: Vec<usize>,
    /// Held for moments; never over an await or a look at the disk.
    progress: Mutex<Progress>,
    /// Held while borders are read.
    borders: Mutex<BorderRun>,
    /// All of it together, once that was done: what is tried again is not hashed again.
    hashed: Mutex<Option<HashedContent>>,
}

struct Progress {
    files: Vec<FileProgress>,
    /// How many of them are not whole.
    unfinished: usize,
    phase: Phase,
    /// Why it is whole and not published, where that was tried.
    delay: Option<Delay>,
}

/// Why a draft whose bytes are all there is not published yet. It is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Delay {
    /// There is no room to write down what it is.
    #[error(
        "everything is here, but the disk is full; free some space, or ask the administrator to: then it is published by itself"
    )]
    Full,
    /// Something failed that is the administrator's business.
    #[error(
        "everything is here, but publishing failed; the log of the server says why, and it is tried again by itself"
    )]
    Failure,
}

#[derive(Default)]
struct FileProgress {
    /// Bytes that are there and count.
    received: u64,
    /// Whether all of them are known to be on the disk.
    is_durable: bool,
    /// What was hashed of the bytes so far; none after a restart.
    hasher: Option<Box<FileHasher>>,
    /// All of it, when the file is whole.
    hashed: Option<Box<HashedApart>>,
    writer: Option<Arc<Writer>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Receiving,
    /// All files are whole, and one task makes the publication.
    Publishing,
    /// Published, failed or dropped: nothing is written any more.
    Over,
}

/// The borders of the files before `next`.
struct BorderRun {
    next: usize,
    hasher: Borders,
}

/// Who writes to a file.
pub(super) struct Writer {
    /// When bytes came last.
    pub(super) heard: watch::Sender<Instant>,
    /// Cancelled to end it.
    pub(super) stop: CancellationToken,
    /// Cancelled when it has let go of the file.
    pub(super) ended: CancellationToken,
}

/// Why a file cannot be written to.
pub(super) enum Taken {
    /// Somebody else writes to it.
    By(Arc<Writer>),
    /// So many bytes are there.
    At(u64),
    /// Nothing is written to the draft any more.
    Over,
}

impl Desk {
    /// Opens the files of a draft. Blocks.
    pub(super) fn open(draft: Draft, content: &dyn ContentStore) -> Result<Self, StoreError> {
        let names = names(&draft)
            .map_err(|error| StoreError::Damaged(format!("the draft {}: {error}", draft.id)))?;
        let staging = content.stage_draft(draft.id)?;
        let count = u32::try_from(draft.files.len()).unwrap_or(u32::MAX);
        let lengths = staging.lengths(count)?;
        let files = lengths.iter().zip(&draft.files);
        let files = files.map(|(received, file)| FileProgress {
            received: (*received).min(file.length),
            ..FileProgress::default()
        });
        let files: Vec<FileProgress> = files.collect();
        let whole = files.iter().zip(&draft.files);
        let whole = whole.filter(|(it, file)| it.received == file.length);
        let order = draft.order();
        let mut places = vec![0; order.len()];
        for (place, file) in order.iter().enumerate() {
            if let Some(it) = places.get_mut(*file) {
                *it = place;
            }
        }
        let spread = draft.spread();
        Ok(Self {
            progress: Mutex::new(Progress {
                unfinished: draft.files.len().saturating_sub(whole.count()),
                files,
                phase: Phase::Receiving,
                delay: None,
            }),
            hashed: Mutex::default(),
            borders: Mutex::new(BorderRun::new(&spread)),
            draft: Arc::new(draft),
            names,
            staging,
            spread,
            order,
            places,
        })
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files in the torrent's order.
    pub(super) fn order(&self) -> &[usize] {
        &self.order
    }

    /// Bytes of each file that are there.
    pub(super) fn received(&self) -> Vec<u64> {
        let progress = self.progress();
        progress.files.iter().map(|file| file.received).collect()
    }

    /// Bytes of one file that are there.
    pub(super) fn received_of(&self, file: usize) -> u64 {
        let progress = self.progress();
        progress.files.get(file).map_or(0, |file| file.received)
    }

    /// Whether all bytes are there.
    pub(super) fn is_whole(&self) -> bool {
        self.progress().unfinished == 0
    }

    /// Ends all writing for good, unless the publication is being made already; says whether it did.
    pub(super) fn close(&self) -> bool {
        let mut progress = self.progress();
        if progress.phase == Phase::Publishing {
            return false;
        }
        progress.phase = Phase::Over;
        let writers = progress.files.iter().filter_map(|it| it.writer.as_ref());
        writers.for_each(|writer| writer.stop.cancel());
        true
    }

    /// Begins to publish if all files are whole and nobody has begun; says whether it did.
    pub(super) fn begin_publishing(&self) -> bool {
        let mut progress = self.progress();
        let is_whole = progress.phase == Phase::Receiving && progress.unfinished == 0;
        if is_whole {
            progress.phase = Phase::Publishing;
        }
        is_whole
    }

    /// Notes that publishing has to be tried again, and why.
    pub(super) fn put_off(&self, delay: Delay) {
        let mut progress = self.progress();
        progress.phase = Phase::Receiving;
        progress.delay = Some(delay);
    }

    /// Why it is not published although all bytes are there; `None` where it has not been tried in vain.
    pub(super) fn delay(&self) -> Option<Delay> {
        self.progress().delay
    }

    /// Notes that it is published, or that nothing can come of it.
    pub(super) fn end(&self) {
        self.progress().phase = Phase::Over;
    }

    /// Makes the caller the writer of a file of which `offset` bytes are there.
    pub(super) fn claim(
        self: &Arc<Self>,
        file: usize,
        offset: u64,
        now: Instant,
    ) -> Result<Claim, Taken> {
        let length = self.draft.files.get(file).map(|file| file.length);
        let mut progress = self.progress();
        let phase = progress.phase;
        let Some(it) = progress.files.get_mut(file) else {
            return Err(Taken::Over);
        };
        if let Some(writer) = &it.writer {
            return Err(Taken::By(Arc::clone(writer)));
        }
        if it.received != offset {
            return Err(Taken::At(it.received));
        }
        if phase == Phase::Over {
            return Err(Taken::Over);
        }
        let writer = Arc::new(Writer {
            heard: watch::Sender::new(now),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        it.writer = Some(Arc::clone(&writer));
        Ok(Claim {
            desk: Arc::clone(self),
            file,
            received: it.received,
            was_whole: Some(it.received) == length,
            hasher: it.hasher.take(),
            is_durable: it.is_durable,
            writer,
        })
    }

    /// What hashes a file from its first byte on.
    fn new_hasher(&self, file: usize) -> Option<FileHasher> {
        let path = self.draft.files.get(file)?.path.clone();
        Some(self.spread.hasher(*self.places.get(file)?, path))
    }

    /// Reads a stretch of a file and hands it on; `None` where `stop` ended that. A file that is shorter is damaged.
    fn read(
        &self,
        file: usize,
        span: Range<u64>,
        stop: &CancellationToken,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Option<()>, StoreError> {
        let mut left = span.end.saturating_sub(span.start);
        if left == 0 {
            return Ok(Some(()));
        }
        let number = u32::try_from(file).unwrap_or(u32::MAX);
        let mut bytes = self.staging.read(number, span)?;
        let room = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
        let mut buffer = vec![0; room];
        while left > 0 {
            if stop.is_cancelled() {
                return Ok(None);
            }
            let length = match bytes.read(&mut buffer) {
                Ok(0) => {
                    return Err(StoreError::Damaged(format!(
                        "file {file} of the draft {} is shorter than it was",
                        self.draft.id
                    )));
                }
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            take(buffer.get(..length).unwrap_or_default());
            left = left.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
        }
        Ok(Some(()))
    }

    /// Reads borders as far as all files before them are whole, unless somebody does already. Blocks.
    fn advance_borders(&self) {
        let mut run = match self.borders.try_lock() {
            Ok(run) => run,
            Err(TryLockError::WouldBlock) => return,
            Err(TryLockError::Poisoned(poisoned)) => {
                let mut run = poisoned.into_inner();
                *run = BorderRun::new(&self.spread);
                run
            }
        };
        if let Err(error) = self.run_borders(&mut run, &CancellationToken::new()) {
            // The end begins anew, and tells if it fails too.
            tracing::debug!(draft = %self.draft.id, %error, "the borders of files could not be read");
            *run = BorderRun::new(&self.spread);
        }
    }

    fn run_borders(
        &self,
        run: &mut BorderRun,
        stop: &CancellationToken,
    ) -> Result<Option<()>, StoreError> {
        while let Some(file) = self.order.get(run.next) {
            if !self.is_file_whole(*file) {
                break;
            }
            run.hasher.begin_file(&self.spread, run.next);
            for border in self.spread.borders(run.next) {
                let read = self.read(*file, border, stop, |bytes| run.hasher.update(bytes))?;
                if read.is_none() {
                    return Ok(None);
                }
            }
            run.next = run.next.saturating_add(1);
        }
        Ok(Some(()))
    }

    fn is_file_whole(&self, file: usize) -> bool {
        let progress = self.progress();
        let it = progress.files.get(file);
        let length = self.draft.files.get(file).map(|file| file.length);
        it.is_some_and(|it| it.writer.is_none() && Some(it.received) == length)
    }

    /// Hashes what was not hashed when it came, and puts all together; all bytes are durable then. `None` where `stop` ended that.
    /// To be called while publishing. Blocks.
    pub(super) fn finish(
        &self,
        stop: &CancellationToken,
    ) -> Result<Option<HashedContent>, StoreError> {
        let mut kept = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            *kept = self.put_together(stop)?;
        }
        Ok(kept.clone())
    }

    fn put_together(&self, stop: &CancellationToken) -> Result<Option<HashedContent>, StoreError> {
        for (file, drafted) in self.draft.files.iter().enumerate() {
            let (is_hashed, is_durable) = {
                let progress = self.progress();
                let it = progress.files.get(file);
                it.map_or((true, true), |it| (it.hashed.is_some(), it.is_durable))
            };
            if !is_durable && drafted.length > 0 {
                let number = u32::try_from(file).unwrap_or(u32::MAX);
                self.staging.sync(number)?;
            }
            let hasher = self.new_hasher(file).filter(|_| !is_hashed);
            let Some(mut hasher) = hasher else { continue };
            let whole = 0..drafted.length;
            let read = self.read(file, whole, stop, |bytes| hasher.update(bytes))?;
            if read.is_none() {
                return Ok(None);
            }
            if let Some(it) = self.progress().files.get_mut(file) {
                it.is_durable = true;
                it.hashed = Some(Box::new(hasher.finish()));
            }
        }
        // Whoever reads borders at this moment is soon done; after a panic they are read anew.
        let mut run = self.borders.lock().unwrap_or_else(|poisoned| {
            let mut run = poisoned.into_inner();
            *run = BorderRun::new(&self.spread);
            run
        });
        let read = self.run_borders(&mut run, stop);
        let borders = std::mem::replace(&mut *run, BorderRun::new(&self.spread)).hasher;
        if read?.is_none() {
            return Ok(None);
        }
        let mut progress = self.progress();
        let hashed = self
            .order
            .iter()
            .filter_map(|file| Some(*progress.files.get_mut(*file)?.hashed.take()?))
            .collect::<Vec<_>>();
        drop(progress);
        Ok(Some(self.spread.put_together(hashed, borders)))
    }
}

/// The names that the torrent of a draft will have.
pub(super) fn names(draft: &Draft) -> Result<Names, PathError> {
    if let Some(original) = &draft.original {
        return Ok(Names::of(&original.info));
    }
    let files = draft.order().into_iter();
    let paths = files.filter_map(|file| Some(draft.files.get(file)?.path.clone()));
    name_torrent(paths.collect(), &draft.words.title)
}

impl BorderRun {
    fn new(spread: &Spread) -> Self {
        Self {
            next: 0,
            hasher: Borders::new(spread),
        }
    }
}

/// The right to write to a file. Dropped, it lets go of the file with what it has by then.
pub(super) struct Claim {
    desk: Arc<Desk>,
    file: usize,
    /// Bytes that are there and count.
    received: u64,
    was_whole: bool,
    hasher: Option<Box<FileHasher>>,
    is_durable: bool,
    writer: Arc<Writer>,
}

impl Claim {
    pub(super) const fn writer(&self) -> &Arc<Writer> {
        &self.writer
    }

    pub(super) const fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    pub(super) fn file(&self) -> u32 {
        u32::try_from(self.file).unwrap_or(u32::MAX)
    }

    /// Bytes that the file will have.
    pub(super) fn length(&self) -> u64 {
        let file = self.desk.draft.files.get(self.file);
        file.map_or(0, |file| file.length)
    }

    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// What hashed the bytes that are there; where a restart lost it, they are read. Blocks.
    pub(super) fn hasher(
        &mut self,
        stop: &CancellationToken,
    ) -> Result<Option<Box<FileHasher>>, StoreError> {
        let hasher = self.hasher.take();
        let hasher = hasher.or_else(|| self.desk.new_hasher(self.file).map(Box::new));
        let Some(mut hasher) = hasher else {
            return Ok(None);
        };
        let missing = hasher.length()..self.received;
        let read = self
            .desk
            .read(self.file, missing, stop, |bytes| hasher.update(bytes))?;
        Ok(read.map(|()| hasher))
    }

    /// Notes that so many bytes are there now.
    pub(super) fn advance(&mut self, received: u64) {
        self.received = received;
        self.is_durable = false;
        if let Some(it) = self.desk.progress().files.get_mut(self.file) {
            it.received = received;
        }
    }

    /// Lets go of the file, all of whose bytes are durable, with what hashed them. Blocks.
    pub(super) fn finish(mut self, hasher: Option<Box<FileHasher>>) {
        self.is_durable = true;
        self.hasher = hasher;
        let (desk, is_whole) = (Arc::clone(&self.desk), self.received == self.length());
        if is_whole {
            let whole = self.hasher.take().map(|hasher| Box::new(hasher.finish()));
            if let Some(it) = desk.progress().files.get_mut(self.file) {
                it.hashed = whole.or_else(|| it.hashed.take());
            }
        }
        drop(self);
        if is_whole {
            desk.advance_borders();
        }
    }

    /// Lets go of the file with what hashed the bytes that count.
    pub(super) fn let_go(mut self, hasher: Option<Box<FileHasher>>) {
        self.hasher = hasher.filter(|hasher| hasher.length() == self.received);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let is_whole = self.received == self.length();
        let mut progress = self.desk.progress();
        if let Some(it) = progress.files.get_mut(self.file) {
            it.received = self.received;
            it.is_durable = self.is_durable;
            it.hasher = self.hasher.take();
            it.writer = None;
        }
        if is_whole && !self.was_whole {
            progress.unfinished = progress.unfinished.saturating_sub(1);
        }
        drop(progress);
        self.writer.ended.cancel();
    }
}

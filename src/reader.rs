//! The one reader of published content, behind two doors: the peer engine and the web seed.
//!
//! A piece is held against its hash before its first byte leaves this server, and again once its file has changed on disk. A piece that fails is sent to nobody, by no door,
//! and the failure is logged loudly: a seed that sends damaged data poisons its whole swarm.

use std::collections::BTreeSet;
use std::io::{self, IoSliceMut};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha1::{Digest, Sha1};
use tokio::sync::{Notify, Semaphore};
use tokio::task::spawn_blocking;

use crate::domain::publication::PublicationId;
use crate::domain::torrent::{Condition, Torrent};
use crate::proto::geometry::PieceIndex;
use crate::proto::metainfo::files::Span;
use crate::proto::metainfo::merkle::{self, Hash};
use crate::store::StoreError;
use crate::store::content::{ContentFile, ContentStore};

/// Checks that may run at the same time: they are bound by the processor, and the rest of the server needs some of it.
const CHECKS_AT_ONCE: usize = 2;

/// Bytes that a check reads in one go.
const CHECK_STRIDE: usize = 1024 * 1024;

/// Why published bytes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The piece does not match its hash.
    #[error("piece {piece} of publication {publication} is damaged on disk")]
    Damaged {
        /// The publication, as it is named in addresses.
        publication: String,
        /// The piece.
        piece: u32,
    },
    /// The file changed while it was read.
    #[error("a file of publication {0} has changed on disk")]
    Changed(String),
    /// The file is not there any more.
    #[error("a file of publication {0} is missing on disk")]
    Missing(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Reading failed.
    #[error("published content cannot be read")]
    Io(#[from] io::Error),
}

/// What was read since the start, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Reads for peers that found everything in memory.
    pub from_memory: u64,
    /// Reads for peers that had to wait for the disk.
    pub from_disk: u64,
    /// Checks of pieces that matched their hashes.
    pub whole: u64,
    /// Checks of pieces that did not.
    pub damaged: u64,
    /// Files that are kept open at this moment.
    pub open_files: u64,
}

/// Any thread counts, with every read and check.
#[derive(Default)]
struct Counters {
    from_memory: AtomicU64,
    from_disk: AtomicU64,
    whole: AtomicU64,
    damaged: AtomicU64,
}

/// Publications of which a piece failed, or a file changed, since they were last verified as a whole. Written by reads and checks.
#[derive(Default)]
struct Suspects {
    ids: Mutex<BTreeSet<PublicationId>>,
    added: Notify,
}

/// Reads published content and vouches for it. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    content: Arc<dyn ContentStore>,
    checks: Arc<Semaphore>,
    counters: Arc<Counters>,
    suspects: Arc<Suspects>,
}

impl Reader {
    /// A reader of what `content` keeps.
    pub fn new(content: Arc<dyn ContentStore>) -> Self {
        Self {
            content,
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            counters: Arc::default(),
            suspects: Arc::default(),
        }
    }

    /// What was read since the start.
    pub fn figures(&self) -> Figures {
        let counters = &self.counters;
        Figures {
            from_memory: counters.from_memory.load(Relaxed),
            from_disk: counters.from_disk.load(Relaxed),
            whole: counters.whole.load(Relaxed),
            damaged: counters.damaged.load(Relaxed),
            open_files: self.content.open_files(),
        }
    }

    /// Opens the file at `index` of the torrent's files, pads counted; `None` for a pad.
    ///
    /// # Errors
    /// [`ReadError::Missing`] where the file is gone; [`ReadError::Store`].
    pub async fn open(
        &self,
        torrent: &Torrent,
        index: usize,
    ) -> Result<Option<Arc<dyn ContentFile>>, ReadError> {
        let Some(stored_as) = torrent.stored_as.get(index).copied().flatten() else {
            return Ok(None);
        };
        let file = self.content.open(torrent.publication, stored_as).await?;
        let Some(file) = file else {
            torrent.stamps.miss(index);
            if torrent.doubt(index) {
                self.suspects.add(torrent.publication);
                tracing::error!(publication = %torrent.publication, file = index, "a file of publication {} is missing on disk", torrent.publication);
            }
            return Err(ReadError::Missing(torrent.publication.to_string()));
        };
        self.look_at(torrent, index, &*file)?;
        Ok(Some(file))
    }

    /// Looks whether the file at `index` has changed on disk since it was last seen. If it has, its pieces must be checked again before
    /// they are sent. Asks the file system, and reads nothing.
    ///
    /// # Errors
    /// [`io::Error`] where the file system does not say.
    pub fn look_at(
        &self,
        torrent: &Torrent,
        index: usize,
        file: &dyn ContentFile,
    ) -> io::Result<()> {
        if !torrent.stamps.see(index, file.stamp()?) {
            torrent.forget_conditions(index);
            self.suspects.add(torrent.publication);
            tracing::error!(publication = %torrent.publication, file = index, "a file of publication {} has changed on disk; its pieces are checked again", torrent.publication);
        }
        Ok(())
    }

    /// Fills `buffers`, one after another, from `offset` of a file: with what is in memory at once, with the rest by waiting for the disk.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the file is shorter than it was.
    pub async fn read_scattered(
        &self,
        file: &dyn ContentFile,
        offset: u64,
        mut buffers: &mut [IoSliceMut<'_>],
    ) -> io::Result<()> {
        let at_once = file.try_read(offset, buffers)?;
        IoSliceMut::advance_slices(&mut buffers, at_once);
        let length = buffers.iter().map(|buffer| buffer.len()).sum();
        if length == 0 {
            self.counters.from_memory.fetch_add(1, Relaxed);
            return Ok(());
        }
        self.counters.from_disk.fetch_add(1, Relaxed);
        let bytes = file.read(offset + at_once as u64, length).await?;
        let mut rest = bytes.as_slice();
        for buffer in buffers {
            let Some((head, tail)) = rest.split_at_checked(buffer.len()) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            buffer.copy_from_slice(head);
            rest = tail;
        }
        Ok(())
    }

    /// Makes sure that `piece` matches its hash; reads it only if that is not known yet.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] where it does not match, and whatever reading it fails with.
    pub async fn check(&self, torrent: &Torrent, piece: PieceIndex) -> Result<(), ReadError> {
        match torrent.conditions.of(piece) {
            Condition::Whole => Ok(()),
            Condition::Damaged if self.is_as_it_was(torrent, piece).await => {
                Err(damaged(torrent, piece))
            }
            Condition::Damaged | Condition::Unknown => self.check_on_disk(torrent, piece).await,
        }
    }

    /// Makes sure of every piece that `length` bytes from `offset` of the torrent touch.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn check_stretch(
        &self,
        torrent: &Torrent,
        offset: u64,
        length: u64,
    ) -> Result<(), ReadError> {
        for piece in torrent.info.geometry.pieces_touching(offset, length) {
            self.check(torrent, piece).await?;
        }
        Ok(())
    }

    /// The merkle leaves of a piece (BEP 52), read now and found right; `None` in v1.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn leaves(
        &self,
        torrent: &Torrent,
        piece: PieceIndex,
    ) -> Result<Option<Vec<Hash>>, ReadError> {
        if torrent.subtree(piece).is_none() {
            return Ok(None);
        }
        if torrent.conditions.of(piece) == Condition::Damaged {
            return Err(damaged(torrent, piece));
        }
        let _permit = self.checks.acquire().await;
        let leaves = self.hash_leaves(torrent, piece).await?;
        self.judge(torrent, piece, leaves.is_some())?;
        Ok(leaves)
    }

    /// Reads `piece` and holds it against its hash, whatever is known of it. What only this brought into memory does not stay there.
    ///
    /// # Errors
    /// [`ReadError::Damaged`] where it does not match or cannot be read; [`ReadError::Store`].
    pub async fn recheck(&self, torrent: &Torrent, piece: PieceIndex) -> Result<(), ReadError> {
        let _permit = self.checks.acquire().await;
        let mut cold = Vec::new();
        for span in spans(torrent, piece) {
            if let Ok(Some(file)) = self.open(torrent, span.file).await
                && !file.is_at_hand(span.offset)
            {
                cold.push((file, span));
            }
        }
        let is_whole = match self.is_whole(torrent, piece).await {
            Err(ReadError::Io(error)) => {
                tracing::error!(publication = %torrent.publication, piece = piece.get(), %error, "a piece cannot be read");
                false
            }
            is_whole => is_whole?,
        };
        for (file, span) in cold {
            file.let_go(span.offset, span.length);
        }
        self.judge(torrent, piece, is_whole)
    }

    /// Has a publication verified as a whole: somebody knows that something has happened to its files.
    pub fn accuse(&self, publication: PublicationId) {
        self.suspects.add(publication);
    }

    /// A publication that should be verified as a whole, if there is one; it is not named again until there is new suspicion.
    pub fn suspect(&self) -> Option<PublicationId> {
        self.suspects.lock().pop_first()
    }

    /// Notes that a publication was verified: there is no more to find than was found.
    pub fn acquit(&self, publication: PublicationId) {
        self.suspects.lock().remove(&publication);
    }

    /// Waits until there is new suspicion. Cancel-safe.
    pub async fn suspected(&self) {
        self.suspects.added.notified().await;
    }

    /// Whether nothing has happened to the files of a damaged piece: else they may have been brought back.
    async fn is_as_it_was(&self, torrent: &Torrent, piece: PieceIndex) -> bool {
        for span in spans(torrent, piece) {
            // Opening looks at the file. One that is missing is as it was.
            let _ = self.open(torrent, span.file).await;
        }
        torrent.conditions.of(piece) == Condition::Damaged
    }

    async fn check_on_disk(&self, torrent: &Torrent, piece: PieceIndex) -> Result<(), ReadError> {
        let _permit = self.checks.acquire().await;
        // Somebody else may have checked it while this one waited.
        if torrent.conditions.of(piece) == Condition::Whole {
            return Ok(());
        }
        let is_whole = self.is_whole(torrent, piece).await?;
        self.judge(torrent, piece, is_whole)
    }

    async fn is_whole(&self, torrent: &Torrent, piece: PieceIndex) -> Result<bool, ReadError> {
        let is_whole = if let Some(expected) = torrent.info.piece_hash(piece) {
            let found = self.hash_piece(torrent, piece).await;
            found.map(|found| found == expected)
        } else {
            let leaves = self.hash_leaves(torrent, piece).await;
            leaves.map(|leaves| leaves.is_some())
        };
        match is_whole {
            // The file is shorter than it was, or gone.
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(ReadError::Missing(_)) => Ok(false),
            is_whole => is_whole,
        }
    }

    /// The leaves of a piece; `None` where they do not add up to what the torrent says.
    async fn hash_leaves(
        &self,
        torrent: &Torrent,
        piece: PieceIndex,
    ) -> Result<Option<Vec<Hash>>, ReadError> {
        let Some(subtree) = torrent.subtree(piece) else {
            return Ok(None);
        };
        let Some(file) = self.open(torrent, subtree.span.file).await? else {
            return Ok(None);
        };
        let mut leaves = Vec::new();
        for (at, stride) in strides(subtree.span) {
            let bytes = file.read(at, stride).await?;
            // Strides are whole blocks, but for the last.
            let hashed = spawn_blocking(move || merkle::leaves(&bytes)).await;
            leaves.extend(hashed.map_err(io::Error::other)?);
        }
        let found = merkle::subtree(leaves.clone(), 0, subtree.height);
        Ok((found == subtree.hash).then_some(leaves))
    }

    async fn hash_piece(
        &self,
        torrent: &Torrent,
        piece: PieceIndex,
    ) -> Result<[u8; 20], ReadError> {
        let mut hasher = Sha1::new();
        for span in spans(torrent, piece) {
            let file = self.open(torrent, span.file).await?;
            for (at, stride) in strides(span) {
                let bytes = match &file {
                    Some(file) => file.read(at, stride).await?,
                    None => vec![0; stride],
                };
                hasher = spawn_blocking(move || hasher.chain_update(&bytes))
                    .await
                    .map_err(io::Error::other)?;
            }
        }
        Ok(hasher.finalize().into())
    }

    /// Takes down what a check has found.
    fn judge(&self, torrent: &Torrent, piece: PieceIndex, is_whole: bool) -> Result<(), ReadError> {
        if is_whole {
            self.counters.whole.fetch_add(1, Relaxed);
            torrent.conditions.note(piece, Condition::Whole);
            return Ok(());
        }
        self.counters.damaged.fetch_add(1, Relaxed);
        let is_news = torrent.conditions.of(piece) != Condition::Damaged;
        torrent.conditions.note(piece, Condition::Damaged);
        let error = damaged(torrent, piece);
        if is_news {
            self.suspects.add(torrent.publication);
            tracing::error!(publication = %torrent.publication, piece = piece.get(), "{error}; it is no longer served");
        }
        Err(error)
    }
}

impl Suspects {
    fn add(&self, publication: PublicationId) {
        if self.lock().insert(publication) {
            self.added.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<PublicationId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the bytes of a piece lie.
fn spans(torrent: &Torrent, piece: PieceIndex) -> impl Iterator<Item = Span> {
    let geometry = &torrent.info.geometry;
    let length = u64::from(geometry.length_of(piece));
    torrent
        .info
        .files
        .spans(geometry.piece_offset(piece), length)
}

/// A stretch of a file in parts that are read in one go: where each begins, and its length.
fn strides(span: Span) -> impl Iterator<Item = (u64, usize)> {
    let end = span.offset.saturating_add(span.length);
    (span.offset..end).step_by(CHECK_STRIDE).map(move |at| {
        let stride = usize::try_from(end - at).map_or(CHECK_STRIDE, |left| left.min(CHECK_STRIDE));
        (at, stride)
    })
}

fn damaged(torrent: &Torrent, piece: PieceIndex) -> ReadError {
    ReadError::Damaged {
        publication: torrent.publication.to_string(),
        piece: piece.get(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use rustix::fs::{Advice, fadvise};

    use super::*;
    use crate::store::files::{FileStore, Options};

    #[tokio::test]
    async fn reads_on_from_the_disk_where_memory_ends() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path(), Options::default()).unwrap();
        let content: Vec<u8> = (0..400_000_u32).map(|i| (i / 7 % 251) as u8).collect();
        let id = "abcdefghij".parse().unwrap();
        let mut upload = store.stage(id).unwrap();
        upload.begin_file().unwrap();
        upload.write(&content).unwrap();
        upload.seal().unwrap();
        let file = store.open(id, 0).await.unwrap().unwrap();
        // The file leaves memory, and its beginning comes back.
        let on_disk = File::open(folder.path().join("abcdefghij/0")).unwrap();
        fadvise(&on_disk, 0, None, Advice::DontNeed).unwrap();
        file.read(0, 1).await.unwrap();

        let mut buffers = vec![vec![0; 16_384]; 16];
        let mut slices: Vec<_> = buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        let reader = Reader::new(Arc::new(store));
        let read = reader.read_scattered(&*file, 5, &mut slices).await;
        read.unwrap();
        assert!(buffers.concat() == content[5..5 + 16 * 16_384]);
    }
}

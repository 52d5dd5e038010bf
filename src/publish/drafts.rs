//! Uploads file by file, over many requests: drafts are made, filled, and published by themselves when their last byte is there.
//!
//! What is said of a draft is in the store, its bytes are in the content store, and the length of a file is what was received of it, so
//! a crash loses nothing that was acknowledged. Every step from the last byte to the publication may be repeated: what a crash
//! cut short, the next start goes on with.

mod upkeep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OnceCell, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::desk::{Claim, Delay, Desk, Taken, Writer, names};
use super::idempotency::{Keys, Running};
use super::import::{Import, ImportError};
use super::ingest::{Details, Ingest, IngestError};
use super::press::Manuscript;
use super::receiving::{PartHead, PartUpload, Received};
use crate::ambient;
use crate::domain::account::Account;
use crate::domain::draft::{Draft, DraftFile, UploadId};
use crate::domain::ledger::{Maker, Refusal};
use crate::domain::publication::{Publication, PublicationId};
use crate::proto::metainfo::path::{FilePath, PathError};
use crate::store::StoreError;
use crate::store::drafts::{DraftFailure, DraftStore, KeptDraft};

/// How long a writer may be silent before another takes the file over.
const SILENCE: Duration = Duration::from_secs(2);

/// How long a writer may take to let go of a file.
const LETTING_GO: Duration = Duration::from_secs(2);

/// How long a request waits for its turn where as many as may be are under way.
const TURN: Duration = Duration::from_secs(10);

/// Drafts that are open. Whoever finds one unopened opens it, and all others wait for that.
type Desks = HashMap<PublicationId, Arc<OnceCell<Arc<Desk>>>>;

/// Takes uploads file by file. Cheap to clone.
#[derive(Clone)]
pub struct Drafts {
    ingest: Ingest,
    store: Arc<dyn DraftStore>,
    keys: Keys,
    /// Those that were worked on lately. Never held over an await.
    desks: Arc<Mutex<Desks>>,
    /// Counts those that came to their end.
    ended: Arc<watch::Sender<u64>>,
    stop: CancellationToken,
}

/// What asks for a draft.
pub struct Asked {
    /// Who does.
    pub maker: Maker,
    /// The request, where it has a key.
    pub keyed: Option<Running>,
    /// When, in seconds since 1970.
    pub now: i64,
}

/// How far a draft is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftState {
    /// Bytes are missing.
    Receiving,
    /// All bytes are there, and the publication is being made; or it could not be made so far.
    Hashing(Option<Delay>),
    /// Nothing can come of it.
    Failed(DraftFailure),
}

/// A draft, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftStatus {
    /// What was said of it.
    pub draft: Arc<Draft>,
    /// The name that the torrent will have.
    pub name: String,
    /// Bytes of each file that are there.
    pub received: Vec<u64>,
    /// How far it is.
    pub state: DraftState,
    /// How long it is kept if nobody sends anything.
    pub left: Duration,
}

/// Why a draft does not do what it is asked. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The draft cannot be begun, or nothing comes of its bytes.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// There are too many, or there is no room.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is none of this id, or it is somebody else's.
    #[error("there is no such upload; it may have expired or been deleted, so begin a new one")]
    NoUpload,
    /// Other bytes are expected.
    #[error("{offset} bytes of this file are here; send those behind them")]
    WrongOffset {
        /// Bytes that are there.
        offset: u64,
    },
    /// Somebody else writes to the file.
    #[error("another request is sending this file at this moment; wait until it has ended")]
    Locked,
    /// Another request went on with the file.
    #[error("another request went on with this file, for nothing came here any more")]
    Overtaken,
    /// The bytes are not what their sender says.
    #[error(
        "the bytes do not have the checksum that came with them, so none was kept; send them again"
    )]
    WrongChecksum,
    /// More bytes than the file has.
    #[error("the file has {length} bytes, and more came; begin a new upload with the right length")]
    TooLong {
        /// Bytes that the file was said to have.
        length: u64,
    },
    /// The publication is being made.
    #[error("everything is here and is being published; wait a moment")]
    Publishing,
    /// The server ends, or the request broke off.
    #[error("the upload was interrupted; what came is kept, so go on where it ended")]
    Stopping,
}

impl From<StoreError> for DraftError {
    fn from(error: StoreError) -> Self {
        Self::Ingest(error.into())
    }
}

impl Drafts {
    pub(super) fn new(ingest: Ingest, store: Arc<dyn DraftStore>) -> Self {
        Self {
            keys: Keys::new(store.clone(), Arc::clone(&ingest.options)),
            ingest,
            store,
            desks: Arc::default(),
            ended: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    pub(super) const fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// What requests have made already.
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Cancelled when the server ends.
    pub(super) const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    fn desks(&self) -> MutexGuard<'_, Desks> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a draft of files with these names and lengths, and keeps room for them. Of files that have a torrent already, that says the names
    /// and lengths.
    ///
    /// Once begun, it goes on to its end even if this future is dropped.
    ///
    /// # Errors
    /// [`DraftError::Ingest`] where such files cannot be published, [`DraftError::Refused`] where they cannot be now.
    pub async fn make(
        &self,
        details: Details,
        files: Vec<(String, u64)>,
        asked: Asked,
    ) -> Result<DraftStatus, DraftError> {
        let Asked { maker, keyed, now } = asked;
        let draft = self.plan(details, files, now)?;
        let this = self.clone();
        // Half-way it would leave room promised to a draft that nobody keeps.
        let making = self.ingest.tasks.spawn(async move {
            if let Some(request) = &keyed {
                request.note(draft.id, now).await?;
            }
            this.keep(draft, maker).await
        });
        making.await.map_err(|_| DraftError::Stopping)?
    }

    fn plan(
        &self,
        details: Details,
        files: Vec<(String, u64)>,
        now: i64,
    ) -> Result<Draft, DraftError> {
        let details = self.ingest.settle(details)?;
        let files = match &details.import {
            Some(_) if !files.is_empty() => {
                return Err(IngestError::from(ImportError::Listed).into());
            }
            Some(import) => import.files()?,
            None => self.read_list(files)?,
        };
        let draft = Draft {
            id: PublicationId::generate(&mut ambient::rng()),
            words: details.words,
            format: details.format,
            private: details.private,
            publisher: details.publisher,
            files,
            original: details.import.as_ref().map(Import::original),
            created_at: now,
        };
        if draft.files.is_empty() {
            return Err(IngestError::NoFiles.into());
        }
        if draft.total_length() == 0 {
            return Err(IngestError::NoBytes.into());
        }
        self.ingest.check_length(draft.total_length())?;
        Ok(draft)
    }

    async fn keep(&self, draft: Draft, maker: Maker) -> Result<DraftStatus, DraftError> {
        let name = names(&draft).map_err(IngestError::Name)?.name;
        let draft = self.admit(draft, maker).await?;
        if let Err(error) = self.store.keep_draft(&draft).await {
            self.ingest.ledger().remove(draft.id);
            return Err(error.into());
        }
        Ok(DraftStatus {
            name,
            received: vec![0; draft.files.len()],
            state: DraftState::Receiving,
            left: self.left(draft.id).unwrap_or_default(),
            draft: Arc::new(draft),
        })
    }

    fn read_list(&self, files: Vec<(String, u64)>) -> Result<Vec<DraftFile>, IngestError> {
        let limit = self.ingest.options().max_files;
        if files.len() > limit {
            return Err(IngestError::TooManyFiles { limit });
        }
        let files = files.into_iter().map(|(path, length)| {
            let path = FilePath::parse(&path)?;
            Ok(DraftFile { path, length })
        });
        files
            .collect::<Result<_, PathError>>()
            .map_err(IngestError::Name)
    }

    async fn admit(&self, draft: Draft, maker: Maker) -> Result<Draft, DraftError> {
        let ingest = self.ingest.clone();
        let admitting = self.ingest.tasks.spawn_blocking(move || {
            let mut ledger = ingest.ledger();
            // Asked under the lock: room is promised once.
            let free = ingest.press.content.free_bytes()?;
            ledger.admit(&draft, maker, free, ambient::now())?;
            drop(ledger);
            Ok(draft)
        });
        admitting.await.map_err(|_| DraftError::Stopping)?
    }

    /// Tells when drafts are published, fail, or are deleted: whoever waits for one looks then.
    pub fn ends(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }

    /// Closes the desk of a draft that has come to its end.
    fn clear(&self, id: PublicationId) {
        self.desks().remove(&id);
        self.ended
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// How long a draft is kept if nobody sends anything; `None` where there is none.
    pub fn left(&self, id: PublicationId) -> Option<Duration> {
        self.ingest.ledger().left(id, ambient::now())
    }

    /// A draft and how far it is; `None` where there is none that `account` may see.
    ///
    /// # Errors
    /// [`DraftError::Ingest`] where a store fails.
    pub async fn status(
        &self,
        id: PublicationId,
        account: Option<&Account>,
    ) -> Result<Option<DraftStatus>, DraftError> {
        if let Some(desk) = self.open(id, account).await? {
            return Ok(Some(DraftStatus {
                draft: Arc::clone(&desk.draft),
                name: desk.names.name.clone(),
                received: desk.received(),
                state: if desk.is_whole() {
                    DraftState::Hashing(desk.delay())
                } else {
                    DraftState::Receiving
                },
                left: self.left(id).unwrap_or_default(),
            }));
        }
        let Some((draft, failure)) = self.failed(id, account).await? else {
            return Ok(None);
        };
        Ok(Some(DraftStatus {
            name: names(&draft).map_err(IngestError::Name)?.name,
            // It was whole, or it would not have failed.
            received: draft.files.iter().map(|file| file.length).collect(),
            draft: Arc::new(draft),
            state: DraftState::Failed(failure),
            left: self.left(id).unwrap_or_default(),
        }))
    }

    /// How much of a file is there, and how long its draft is kept; `None` where there is none that `account` may see.
    ///
    /// # Errors
    /// [`DraftError::Ingest`] where a store fails.
    pub async fn upload(
        &self,
        upload: UploadId,
        account: Option<&Account>,
    ) -> Result<Option<(Received, Duration)>, DraftError> {
        let place = usize::try_from(upload.file).unwrap_or(usize::MAX);
        let received = if let Some(desk) = self.open(upload.draft, account).await? {
            desk.draft.files.get(place).map(|file| Received {
                offset: desk.received_of(place),
                length: file.length,
            })
        } else {
            let failed = self.failed(upload.draft, account).await?;
            failed.and_then(|(draft, _)| {
                let length = draft.files.get(place)?.length;
                let offset = length;
                Some(Received { offset, length })
            })
        };
        Ok(received.zip(self.left(upload.draft)))
    }

    /// The desk of a draft that has not expired and that `account` may fill.
    async fn open(
        &self,
        id: PublicationId,
        account: Option<&Account>,
    ) -> Result<Option<Arc<Desk>>, StoreError> {
        if self.left(id).is_none() {
            return Ok(None);
        }
        let desk = self.desk(id).await?;
        Ok(desk.filter(|desk| desk.draft.is_open_to(account)))
    }

    /// A draft of which nothing can come, and why, for its maker.
    async fn failed(
        &self,
        id: PublicationId,
        account: Option<&Account>,
    ) -> Result<Option<(Draft, DraftFailure)>, StoreError> {
        if self.left(id).is_none() {
            return Ok(None);
        }
        let kept = self.store.draft(id).await?;
        let kept = kept.filter(|kept| kept.draft.is_open_to(account));
        Ok(kept.and_then(|KeptDraft { draft, failure }| Some((draft, failure?))))
    }

    /// Begins to receive bytes of a file. Of two requests for one file the first wins as long as bytes come.
    ///
    /// # Errors
    /// [`DraftError`]; then the file is as it was.
    pub async fn begin_part(
        &self,
        upload: UploadId,
        account: Option<&Account>,
        head: PartHead,
    ) -> Result<PartUpload, DraftError> {
        let desk = self.open(upload.draft, account).await?;
        let desk = desk.ok_or(DraftError::NoUpload)?;
        let slot = timeout(TURN, Arc::clone(&self.ingest.slots).acquire_owned()).await;
        let Ok(Ok(slot)) = slot else {
            return Err(IngestError::TooManyUploads.into());
        };
        let place = usize::try_from(upload.file).unwrap_or(usize::MAX);
        let claim = claim(&desk, place, head.offset).await?;
        let (length, end) = (
            claim.length(),
            head.offset.checked_add(head.length.unwrap_or(0)),
        );
        if end.is_none_or(|end| end > length) {
            return Err(DraftError::TooLong { length });
        }
        Ok(PartUpload::begin(self, claim, head, slot))
    }

    /// Deletes a draft and what came of its files.
    ///
    /// # Errors
    /// [`DraftError::NoUpload`], or [`DraftError::Publishing`] where it is too late.
    pub async fn delete(
        &self,
        id: PublicationId,
        account: Option<&Account>,
    ) -> Result<(), DraftError> {
        let is_theirs =
            self.open(id, account).await?.is_some() || self.failed(id, account).await?.is_some();
        if !is_theirs {
            return Err(DraftError::NoUpload);
        }
        tracing::info!(draft = %id, "a draft is deleted");
        self.remove(id).await
    }

    async fn remove(&self, id: PublicationId) -> Result<(), DraftError> {
        let this = self.clone();
        let removing = self.ingest.tasks.spawn(async move {
            let desk = this.desk(id).await?;
            if desk.as_ref().is_some_and(|desk| !desk.close()) {
                return Err(DraftError::Publishing);
            }
            // First the line, then the bytes: what is left of them after a crash nobody owns, and the next start removes it.
            this.store.forget_draft(id).await?;
            if let Some(desk) = desk {
                this.discard(&desk).await;
            }
            this.ingest.ledger().remove(id);
            this.clear(id);
            Ok(())
        });
        removing.await.map_err(|_| DraftError::Stopping)?
    }

    async fn discard(&self, desk: &Arc<Desk>) {
        let (at, id) = (Arc::clone(desk), desk.draft.id);
        let discarding = self.ingest.tasks.spawn_blocking(move || {
            at.staging.unseal()?;
            at.staging.discard()
        });
        if let Ok(Err(error)) = discarding.await {
            tracing::warn!(draft = %id, %error, "the files of a draft could not be removed; the next start does it");
        }
    }

    /// The open files of a draft; `None` where there is none, or nothing can come of it.
    async fn desk(&self, id: PublicationId) -> Result<Option<Arc<Desk>>, StoreError> {
        let cell = Arc::clone(self.desks().entry(id).or_default());
        let opened: Result<_, Option<StoreError>> = cell
            .get_or_try_init(|| async {
                let kept = self.store.draft(id).await.map_err(Some)?;
                let kept = kept.filter(|kept| kept.failure.is_none()).ok_or(None)?;
                let content = Arc::clone(&self.ingest.press.content);
                let opening = move || Desk::open(kept.draft, &*content);
                let opened = self.ingest.tasks.spawn_blocking(opening).await;
                let opened = opened.map_err(|error| Some(std::io::Error::other(error).into()))?;
                Ok(Arc::new(opened.map_err(Some)?))
            })
            .await;
        match opened {
            Ok(desk) => Ok(Some(Arc::clone(desk))),
            Err(error) => {
                let mut desks = self.desks();
                // Somebody else may have had more luck meanwhile.
                if desks.get(&id).is_some_and(|cell| !cell.initialized()) {
                    desks.remove(&id);
                }
                drop(desks);
                error.map_or(Ok(None), Err)
            }
        }
    }

    /// Makes the publication of a draft whose files are all whole; nothing happens where bytes are missing, or somebody does it already.
    pub(super) fn publish_when_whole(&self, desk: &Arc<Desk>) {
        if desk.begin_publishing() {
            let (this, desk) = (self.clone(), Arc::clone(desk));
            self.ingest
                .tasks
                .spawn(async move { this.publish(&desk).await });
        }
    }

    async fn publish(&self, desk: &Arc<Desk>) {
        let id = desk.draft.id;
        let error = match self.print(desk).await {
            Ok(publication) => {
                tracing::info!(publication = %id, title = %publication.title, "published");
                desk.end();
                self.ingest.ledger().remove(id);
                self.clear(id);
                return;
            }
            Err(error) => error,
        };
        let ended = match failure(&error) {
            Some(failure) => self.end(desk, &failure).await,
            None => Err(error),
        };
        if let Err(error) = ended {
            tracing::warn!(draft = %id, %error, "a draft could not be published; it is tried again");
            desk.put_off(delay(&error));
        }
    }

    /// Ends a draft of which nothing can come. It stays for a while, without its files, to say why.
    async fn end(&self, desk: &Arc<Desk>, why: &DraftFailure) -> Result<(), IngestError> {
        let id = desk.draft.id;
        self.store.fail_draft(id, why).await?;
        tracing::info!(draft = %id, reason = %why.reason, "nothing comes of a draft");
        desk.end();
        self.discard(desk).await;
        self.ingest.ledger().note_failed(id);
        self.clear(id);
        Ok(())
    }

    /// From whole files to a publication. May be repeated from any point.
    async fn print(&self, desk: &Arc<Desk>) -> Result<Publication, IngestError> {
        let (press, draft) = (&self.ingest.press, &desk.draft);
        let kept = press.catalog.store().publication(draft.id).await?;
        if let Some(publication) = kept {
            return Ok(publication);
        }
        let (at, stop) = (Arc::clone(desk), self.stop.clone());
        let hashing = self.ingest.tasks.spawn_blocking(move || {
            at.staging.unseal()?;
            at.finish(&stop)
        });
        let hashed = hashing.await.map_err(|_| IngestError::Interrupted)??;
        let content = hashed.ok_or(IngestError::Interrupted)?;
        let manuscript = Manuscript {
            id: draft.id,
            names: desk.names.clone(),
            stored_as: desk
                .order()
                .iter()
                .filter_map(|file| u32::try_from(*file).ok())
                .collect(),
            details: Details {
                words: draft.words.clone(),
                format: draft.format,
                private: draft.private,
                publisher: draft.publisher.clone(),
                import: None,
            },
            original: draft.original.clone(),
            created_at: draft.created_at,
            published_at: ambient::unix_now(),
        };
        let (at, files) = (Arc::clone(desk), draft.files.len());
        let files = u32::try_from(files).unwrap_or(u32::MAX);
        press
            .publish(manuscript, content, move || Ok(at.staging.seal(files)?))
            .await
    }
}

/// Waits for the right to write to a file: at once where nobody writes, and soon where whoever does is silent.
async fn claim(desk: &Arc<Desk>, file: usize, offset: u64) -> Result<Claim, DraftError> {
    loop {
        let writer = match desk.claim(file, offset, ambient::now()) {
            Ok(claim) => return Ok(claim),
            Err(Taken::By(writer)) => writer,
            Err(Taken::At(offset)) => return Err(DraftError::WrongOffset { offset }),
            Err(Taken::Over) => return Err(DraftError::NoUpload),
        };
        wait_for(&writer).await?;
    }
}

/// Waits until a writer has let go, and makes it do so where it is silent.
async fn wait_for(writer: &Writer) -> Result<(), DraftError> {
    let mut heard = writer.heard.subscribe();
    let silent_for = ambient::now().saturating_duration_since(*heard.borrow_and_update());
    tokio::select! {
        () = writer.ended.cancelled() => return Ok(()),
        heard = heard.changed() => if heard.is_ok() { return Err(DraftError::Locked) },
        () = sleep(SILENCE.saturating_sub(silent_for)) => {}
    }
    writer.stop.cancel();
    let ended = timeout(LETTING_GO, writer.ended.cancelled()).await;
    ended.map_err(|_| DraftError::Locked)
}

/// What its maker is told of a failure after which it is tried again.
const fn delay(error: &IngestError) -> Delay {
    match error {
        IngestError::Store(StoreError::Full(_)) => Delay::Full,
        _ => Delay::Failure,
    }
}

/// Why nothing can come of a draft; `None` where it is worth another try.
fn failure(error: &IngestError) -> Option<DraftFailure> {
    let twin = match error {
        IngestError::AlreadyPublished(twin) => Some(*twin),
        IngestError::Name(_)
        | IngestError::Build(_)
        | IngestError::Import(_)
        | IngestError::TakenDown(_) => None,
        _ => return None,
    };
    Some(DraftFailure {
        reason: error.to_string(),
        twin,
    })
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests;

//! The outer side of an upload: what a face calls while bytes come in, and what makes a publication of them.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::Options;
use super::drafts::Drafts;
use super::edit::Editor;
use super::hashing::{Hashed, Part, Plan, receive};
use super::idempotency::Running;
use super::import::{Import, ImportError, Places};
use super::naming::{Names, name_torrent};
use super::press::{Manuscript, Press};
use super::words::WordsError;
use crate::ambient;
use crate::catalog::Catalog;
use crate::domain::ledger::{Ledger, Maker};
use crate::domain::publication::{Publication, PublicationId, Words};
use crate::proto::metainfo::build::BuildError;
use crate::proto::metainfo::hash::HashedContent;
use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::path::{FilePath, PathError};
use crate::proto::metainfo::piece_length::PieceLength;
use crate::store::StoreError;
use crate::store::content::ContentStore;
use crate::store::drafts::DraftStore;

/// Buffers between the network and the disk. When all are full, the sender waits.
pub(super) const WAITING_PARTS: usize = 8;

/// What a form adds to the files in it, at most: an expected length may be too high by so much.
const FORM_OVERHEAD: u64 = 1024 * 1024;

/// Makes publications of uploads. Cheap to clone: all clones share the limits.
#[derive(Clone)]
pub struct Ingest {
    pub(super) press: Press,
    pub(super) options: Arc<Options>,
    /// Whether every torrent is private, whatever is asked for.
    pub(super) is_private_only: bool,
    pub(super) slots: Arc<Semaphore>,
    /// The drafts, and what is promised to them of the disk.
    ledger: Arc<Mutex<Ledger>>,
    /// What must not stop half-way: receiving threads, and sealing with its transaction.
    pub(super) tasks: TaskTracker,
}

/// What is known of an upload before its first byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Bytes that will come, at most (a request's `Content-Length` will do); `None` where nobody says. Then everything
    /// is read a second time to hash it.
    pub total_length: Option<u64>,
    /// The format that is probably wanted.
    pub format: Format,
    /// How long the pieces will be, where all lengths are known; `None` for what suits the total.
    pub piece_length: Option<PieceLength>,
    /// The torrent that the files have already, if they have one. What else is expected of the torrent does not count then.
    pub import: Option<Import>,
}

/// What is said of a publication besides its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// What people are told of it.
    pub words: Words,
    /// The torrent's format.
    pub format: Format,
    /// Whether peers may only come from our tracker (BEP 27).
    pub private: bool,
    /// The account that publishes, by name.
    pub publisher: String,
    /// The torrent that the files have already, if they have one: it says the format, and whether it is private.
    pub import: Option<Import>,
}

/// Why an upload does not become a publication. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A file's name is not safe, or two get in each other's way.
    #[error("{0}; rename it and try again")]
    Name(PathError),
    /// There is no file.
    #[error("there is no file in the upload; choose at least one")]
    NoFiles,
    /// There is no byte.
    #[error(
        "every file is empty, and nobody can download nothing; add a file with something in it"
    )]
    NoBytes,
    /// More bytes than one publication may have.
    #[error(
        "the upload is larger than the {limit} bytes that this server takes; publish less at once"
    )]
    TooLarge {
        /// `publish.max_bytes`.
        limit: u64,
    },
    /// More files than one publication may have.
    #[error(
        "there are more than {limit} files; publish fewer at once, or pack them into an archive"
    )]
    TooManyFiles {
        /// `publish.max_files`, or for a form `publish.max_form_files`.
        limit: usize,
    },
    /// What is said of the upload is too long.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// As many uploads as may be are under way.
    #[error("too many uploads are under way; try again in a moment")]
    TooManyUploads,
    /// The same files are published already, under this id.
    #[error("the same files are published already as {0}; share that publication")]
    AlreadyPublished(PublicationId),
    /// The same files were published under this id, and taken down.
    #[error(
        "these files were taken down here as {0}, and are not published again; the page of that publication says why"
    )]
    TakenDown(PublicationId),
    /// They have a torrent already, and cannot be published under it.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The files make no valid torrent.
    #[error("no torrent can be made of these files: {0}")]
    Build(#[from] BuildError),
    /// A file that is published where it lies cannot be read.
    #[error("{} cannot be read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file that is published where it lies is not what it was when it was listed.
    #[error("{} changed while it was hashed; publish it again when nothing writes to it", .0.display())]
    Changed(PathBuf),
    /// The server stopped working on the upload.
    #[error("the server stopped in the middle of the upload; send it again")]
    Interrupted,
    /// A store failed; among others [`StoreError::Full`] and [`StoreError::Busy`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Ingest {
    /// An ingest that keeps what it makes in these stores.
    pub fn new(catalog: Catalog, content: Arc<dyn ContentStore>, options: Options) -> Self {
        let slots = Arc::new(Semaphore::new(
            options.max_uploads.min(Semaphore::MAX_PERMITS),
        ));
        let ledger = Ledger::new(options.bounds_of_drafts());
        let tasks = TaskTracker::new();
        Self {
            press: Press {
                catalog,
                content,
                tasks: tasks.clone(),
            },
            options: Arc::new(options),
            is_private_only: false,
            slots,
            ledger: Arc::new(Mutex::new(ledger)),
            tasks,
        }
    }

    /// The same, but every torrent that it makes is private (BEP 27): for a private tracker.
    #[must_use]
    pub fn private_only(self) -> Self {
        Self {
            is_private_only: true,
            ..self
        }
    }

    /// What may be published, and by whom.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What is published.
    pub const fn catalog(&self) -> &Catalog {
        &self.press.catalog
    }

    /// What changes publications that are there; its work counts as the ingest's at the end.
    pub fn editor(&self) -> Editor {
        Editor::new(
            self.press.catalog.clone(),
            Arc::clone(&self.press.content),
            Arc::clone(&self.options),
            self.tasks.clone(),
        )
    }

    /// What takes uploads file by file, over many requests; its work counts as the ingest's at the end.
    pub fn drafts(&self, store: Arc<dyn DraftStore>) -> Drafts {
        Drafts::new(self.clone(), store)
    }

    /// Bytes that can still be uploaded: what is free on the disk, less what is promised to drafts.
    ///
    /// Blocks: call it on a thread that may.
    ///
    /// # Errors
    /// [`StoreError`] where the disk does not say.
    pub fn room(&self) -> Result<u64, StoreError> {
        let free = self.press.content.free_bytes()?;
        Ok(self.ledger().room(free))
    }

    /// Those of them that a new draft of this maker can be promised. Blocks too.
    ///
    /// # Errors
    /// [`StoreError`] where the disk does not say.
    pub fn room_for(&self, maker: &Maker) -> Result<u64, StoreError> {
        let free = self.press.content.free_bytes()?;
        Ok(self.ledger().room_for(maker, free).0)
    }

    /// Never held over an await.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an upload at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`IngestError::TooManyUploads`], [`IngestError::TooLarge`], or [`StoreError::Full`] where so much will not fit.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn begin(&self, expected: Expected, now: i64) -> Result<Upload, IngestError> {
        let slot = Arc::clone(&self.slots).try_acquire_owned();
        let slot = slot.map_err(|_| IngestError::TooManyUploads)?;
        if let Some(total_length) = expected.total_length {
            let at_least = total_length.saturating_sub(FORM_OVERHEAD);
            self.check_length(at_least)?;
            if at_least > self.room()? {
                let full = io::Error::from(io::ErrorKind::StorageFull);
                return Err(StoreError::Full(full).into());
            }
        }
        let plan = match (&expected.import, expected.total_length) {
            (Some(import), _) => Some(Plan::Again(import.original())),
            (None, Some(total_length)) => Some(Plan::New {
                format: expected.format,
                piece_length: expected
                    .piece_length
                    .unwrap_or_else(|| PieceLength::for_total(total_length)),
            }),
            (None, None) => None,
        };
        let id = PublicationId::generate(&mut ambient::rng());
        let (parts, incoming) = mpsc::channel(WAITING_PARTS);
        let content = Arc::clone(&self.press.content);
        let receiver = self
            .tasks
            .spawn_blocking(move || receive(&*content, id, plan, incoming));
        Ok(Upload {
            ingest: self.clone(),
            id,
            created_at: now,
            paths: Vec::new(),
            places: expected.import.as_ref().map(Import::places),
            import: expected.import,
            is_passed_over: false,
            length: 0,
            parts,
            receiver: Some(receiver),
            slot,
        })
    }

    /// Holds what is said of an upload against the limits, before it begins.
    ///
    /// # Errors
    /// [`IngestError::Words`].
    pub fn check_words(&self, details: &Details) -> Result<(), IngestError> {
        self.settle(details.clone()).map(drop)
    }

    /// Waits until what is under way is published or gone; call it when no upload can begin any more.
    pub async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub(super) fn check_length(&self, length: u64) -> Result<(), IngestError> {
        match self.options.max_bytes {
            0 => Ok(()),
            limit if length > limit => Err(IngestError::TooLarge { limit }),
            _ => Ok(()),
        }
    }
}

/// An upload under way. Dropped before [`finish`](Self::finish) is done, it leaves nothing behind.
///
/// After an error there is nothing left to do but to drop it.
pub struct Upload {
    ingest: Ingest,
    id: PublicationId,
    created_at: i64,
    paths: Vec<FilePath>,
    import: Option<Import>,
    /// Where the files belong in the torrent that they have.
    places: Option<Places>,
    /// Whether the current file is none of that torrent's.
    is_passed_over: bool,
    length: u64,
    parts: mpsc::Sender<Part>,
    /// `None` once it has been heard.
    receiver: Option<JoinHandle<Result<Option<Hashed>, StoreError>>>,
    slot: OwnedSemaphorePermit,
}

impl Upload {
    /// Begins the next file, called `name`: a relative path with `/` between its components. Where the files have a torrent already, those
    /// that are not in it are passed over.
    ///
    /// # Errors
    /// [`IngestError::Name`], [`IngestError::TooManyFiles`], [`ImportError::Twice`], or what went wrong with the bytes before.
    pub async fn begin_file(&mut self, name: &str) -> Result<(), IngestError> {
        let path = FilePath::parse(name).map_err(IngestError::Name)?;
        let options = &self.ingest.options;
        let limit = options.max_form_files.min(options.max_files);
        if self.paths.len() >= limit {
            return Err(IngestError::TooManyFiles { limit });
        }
        let mut place = None;
        if let Some(places) = &mut self.places {
            let number = u32::try_from(self.paths.len()).unwrap_or(u32::MAX);
            place = places.take(&path, number)?;
            self.is_passed_over = place.is_none();
            if self.is_passed_over {
                return Ok(());
            }
        }
        self.paths.push(path.clone());
        self.send(Part::File { path, place }).await
    }

    /// Takes the next bytes of the current file; waits while the disk is slower than the sender.
    ///
    /// # Errors
    /// [`IngestError::NoFiles`] before the first file; [`IngestError::TooLarge`]; or what went wrong with the bytes
    /// before, such as [`StoreError::Full`].
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), IngestError> {
        if self.is_passed_over {
            return Ok(());
        }
        if self.paths.is_empty() {
            return Err(IngestError::NoFiles);
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.length = self.length.saturating_add(length);
        self.ingest.check_length(self.length)?;
        self.send(Part::Bytes(bytes)).await
    }

    /// Publishes at `now`, in seconds since 1970. When it returns, everything is on the disk and visible. `request` is what asks for it,
    /// where that has a key.
    ///
    /// Once the files are sealed, publishing goes on to its end even if this future is dropped.
    ///
    /// # Errors
    /// [`IngestError`]; then nothing is left of the upload.
    pub async fn finish(
        mut self,
        mut details: Details,
        request: Option<Running>,
        now: i64,
    ) -> Result<Publication, IngestError> {
        details.import = self.import.take();
        let details = self.ingest.settle(details)?;
        let stored_as = match details.import.as_ref().zip(self.places.as_ref()) {
            Some((import, places)) => places.numbers(import)?,
            None => (0..).take(self.paths.len()).collect(),
        };
        if self.paths.is_empty() {
            return Err(IngestError::NoFiles);
        }
        if self.length == 0 {
            return Err(IngestError::NoBytes);
        }
        let paths = std::mem::take(&mut self.paths);
        let names = match &details.import {
            Some(import) => Names::of(import.info()),
            None => name_torrent(paths, &details.words.title).map_err(IngestError::Name)?,
        };
        self.send(Part::End(details.format)).await?;
        let hashed = self.hear().await?;
        let manuscript = Manuscript {
            id: self.id,
            stored_as,
            names,
            original: details.import.as_ref().map(Import::original),
            details,
            created_at: self.created_at,
            published_at: now,
        };
        let (ingest, slot) = (self.ingest, self.slot);
        let tasks = ingest.tasks.clone();
        let publishing = tasks.spawn(async move {
            if let Some(request) = &request {
                request.note(manuscript.id, now).await?;
            }
            let Hashed { staging, content } = hashed;
            let seal = move || Ok(staging.seal()?);
            let published = ingest.publish(manuscript, content, seal).await;
            drop(slot);
            published
        });
        publishing.await.unwrap_or(Err(IngestError::Interrupted))
    }

    async fn send(&mut self, part: Part) -> Result<(), IngestError> {
        if self.parts.send(part).await.is_ok() {
            return Ok(());
        }
        // The receiver went away first, so it has something to say.
        self.hear().await.and(Err(IngestError::Interrupted))
    }

    /// What the receiving thread ended with.
    async fn hear(&mut self) -> Result<Hashed, IngestError> {
        let receiver = self.receiver.take().ok_or(IngestError::Interrupted)?;
        let heard = receiver.await.map_err(|_| IngestError::Interrupted)?;
        heard?.ok_or(IngestError::Interrupted)
    }
}

impl Ingest {
    /// Publishes, and leaves nothing where that fails.
    pub(super) async fn publish(
        &self,
        manuscript: Manuscript,
        content: HashedContent,
        seal: impl FnOnce() -> Result<(), IngestError> + Send + 'static,
    ) -> Result<Publication, IngestError> {
        let id = manuscript.id;
        let published = self.press.publish(manuscript, content, seal).await;
        if published.is_err() {
            self.unseal(id).await;
        }
        published
    }

    /// Removes content whose publication could not be kept, unless it was kept after all.
    async fn unseal(&self, id: PublicationId) {
        let removed = match self.press.was_kept(id).await {
            Ok(false) => self.press.content.remove(id).await,
            Ok(true) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(publication = %id, %error, "unpublished content could not be removed; the next start does it");
        }
    }
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use std::path::Path;

    use async_trait::async_trait;
    use tempfile::TempDir;

    use super::*;
    use crate::catalog;
    use crate::domain::history::{Day, History, Hour, SwarmSize};
    use crate::domain::tally::Counts;
    use crate::proto::metainfo::info::Layout;
    use crate::publish::{Swept, sweep};
    use crate::store::files::{self, FileStore};
    use crate::store::publications::{
        Due, Facet, FacetKind, HistoryStore, IndexEntry, Newer, Page, PageQuery, PublicationStore,
        StoredMetainfo, VerificationStore, Verified, VersionStore, WithdrawalStore,
    };
    use crate::store::sqlite::{self, SqliteStore};
    use crate::store::takedowns::{Takedown, TakedownStore};

    /// Names and bytes.
    type Files<'a> = &'a [(&'a str, &'a [u8])];

    /// A server's stores in a folder of their own.
    struct Bench {
        ingest: Ingest,
        content: Arc<dyn ContentStore>,
        catalog: Catalog,
        folder: TempDir,
    }

    impl Bench {
        async fn new(options: Options) -> Self {
            Self::in_folder(tempfile::tempdir().unwrap(), options).await
        }

        /// Starts in a folder where a server may have run before.
        async fn in_folder(folder: TempDir, options: Options) -> Self {
            let store = Arc::new(open_database(folder.path()).await);
            Self::with_store(folder, store, options).await
        }

        async fn with_store(
            folder: TempDir,
            store: Arc<dyn PublicationStore>,
            options: Options,
        ) -> Self {
            let content = FileStore::open(folder.path(), files::Options::default()).unwrap();
            let content: Arc<dyn ContentStore> = Arc::new(content);
            let cache = catalog::Options::default();
            let catalog = Catalog::load(store, &cache).await.unwrap();
            Self {
                ingest: Ingest::new(catalog.clone(), Arc::clone(&content), options),
                content,
                catalog,
                folder,
            }
        }

        async fn upload(
            &self,
            files: Files<'_>,
            details: Details,
        ) -> Result<Publication, IngestError> {
            let total_length = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
            let expected = Expected {
                total_length: Some(total_length),
                format: details.format,
                ..Expected::default()
            };
            let mut upload = self.ingest.begin(expected, 1)?;
            for (name, bytes) in files {
                upload.begin_file(name).await?;
                for part in bytes.chunks(10_000) {
                    upload.write(Bytes::copy_from_slice(part)).await?;
                }
            }
            upload.finish(details, None, 2).await
        }

        async fn sweep(&self) -> Result<Swept, StoreError> {
            sweep(&self.catalog, &*self.content, &[]).await
        }

        /// Waits for what is under way, then looks whether anything is left of it.
        async fn is_empty(&self) -> bool {
            self.ingest.finished().await;
            let staged = std::fs::read_dir(self.folder.path().join("staging")).unwrap();
            let sealed = self.content.sealed().await.unwrap();
            let (kept, _) = self.catalog.store().index(0).await.unwrap();
            staged.count() == 0 && sealed.is_empty() && kept.is_empty()
        }
    }

    async fn open_database(folder: &Path) -> SqliteStore {
        SqliteStore::open(&folder.join("sower.db"), &sqlite::Options::default())
            .await
            .unwrap()
    }

    fn details(title: &str) -> Details {
        Details {
            words: words(title, ""),
            publisher: "ada".to_owned(),
            ..Details::default()
        }
    }

    fn words(title: &str, description: &str) -> Words {
        Words {
            title: title.to_owned(),
            description: description.to_owned(),
            ..Words::default()
        }
    }

    fn some_bytes(length: usize) -> Vec<u8> {
        (0_u32..).flat_map(u32::to_le_bytes).take(length).collect()
    }

    #[tokio::test]
    async fn an_upload_becomes_a_publication_that_can_be_served() {
        let bytes = some_bytes(100_000);
        for format in [Format::V1, Format::V2, Format::Hybrid] {
            let bench = Bench::new(Options::default()).await;
            let files: [(&str, &[u8]); 3] = [
                ("f/z \u{65e5}\u{672c}.bin", &bytes),
                ("f/empty", b""),
                ("f/a", b"!"),
            ];
            let wanted = Details {
                format,
                ..details(" My \n title ")
            };
            let publication = bench.upload(&files, wanted).await.unwrap();
            assert_eq!(publication.title, "My title");
            assert_eq!(publication.name, "f");
            assert_eq!((publication.created_at, publication.published_at), (1, 2));
            assert_eq!(publication.format, format);
            assert_eq!(publication.total_length, 100_001);

            let torrent = bench.catalog.torrent(publication.id).await;
            assert_eq!(torrent.unwrap().unwrap().info.layout, Layout::Folder);
            for hash in publication.info_hashes.wire() {
                assert_eq!(bench.catalog.find(&hash), Some(publication.id));
            }
            assert_eq!(publication.files.len(), 3);
            for file in &publication.files {
                let name = format!("f/{}", file.path);
                let (_, expected) = files.iter().find(|(sent, _)| *sent == name).unwrap();
                let kept = bench.content.open(publication.id, file.stored_as).await;
                let kept = kept.unwrap().unwrap();
                assert_eq!(kept.length(), file.length);
                assert_eq!(kept.read(0, expected.len()).await.unwrap(), *expected);
            }
            let stored = bench.catalog.store().publication(publication.id).await;
            assert_eq!(stored.unwrap(), Some(publication));
            assert_eq!(bench.sweep().await.unwrap(), Swept::default());
        }
    }

    #[tokio::test]
    async fn an_upload_of_unknown_length_or_other_format_is_the_same_torrent() {
        let bytes = some_bytes(3_000_000);
        let hybrid = || Details {
            format: Format::Hybrid,
            ..details("")
        };
        let bench = Bench::new(Options::default()).await;
        let expected = bench.upload(&[("x", &bytes)], hybrid()).await.unwrap();
        for (total_length, format) in [
            (None, Format::Hybrid),
            (Some(3_000_000), Format::V1),
            (Some(800_000_000), Format::Hybrid),
        ] {
            let bench = Bench::new(Options::default()).await;
            let expectation = Expected {
                total_length,
                format,
                ..Expected::default()
            };
            let mut upload = bench.ingest.begin(expectation, 1).unwrap();
            upload.begin_file("x").await.unwrap();
            upload.write(Bytes::copy_from_slice(&bytes)).await.unwrap();
            let publication = upload.finish(hybrid(), None, 2).await.unwrap();
            assert_eq!(publication.info_hashes, expected.info_hashes);
            assert_eq!(publication.title, "x");
        }
    }

    #[tokio::test]
    async fn refuses_what_cannot_be_published_and_keeps_nothing_of_it() {
        let options = Options {
            max_bytes: 10,
            max_files: 3,
            max_title_length: 5,
            max_description_bytes: 8,
            ..Options::default()
        };
        let long_description = Details {
            words: words("", "123456789"),
            ..details("")
        };
        let long_name = "x".repeat(256);
        let cases: [(Files, Details, &str); 18] = [
            (&[], details(""), "no file"),
            (
                &[("a", b""), ("b", b"")],
                details(""),
                "every file is empty",
            ),
            (&[("", b"1")], details(""), "rename"),
            (&[("../a", b"1")], details(""), "rename"),
            (&[("a/../../b", b"1")], details(""), "rename"),
            (&[("/etc/passwd", b"1")], details(""), "rename"),
            (&[("C:\\a", b"1")], details(""), "rename"),
            (&[("C:a", b"1")], details(""), "rename"),
            (&[("a\0", b"1")], details(""), "rename"),
            (&[("a//b", b"1")], details(""), "rename"),
            (&[("con", b"1")], details(""), "rename"),
            (&[(&long_name, b"1")], details(""), "rename"),
            (&[("a", b"1"), ("A", b"2")], details(""), "rename"),
            (&[("a", b"1"), ("a/b", b"2")], details(""), "rename"),
            (
                &[("a", b"12345"), ("b", b"678901")],
                details(""),
                "10 bytes",
            ),
            (
                &[("a", b"1"), ("b", b"1"), ("c", b"1"), ("d", b"1")],
                details(""),
                "3 files",
            ),
            (&[("a", b"1")], details("longer"), "5 characters"),
            (&[("a", b"1")], long_description, "8 bytes"),
        ];
        for (files, details, words) in cases {
            let bench = Bench::new(options.clone()).await;
            let refusal = bench.upload(files, details).await.unwrap_err().to_string();
            assert!(refusal.contains(words), "{files:?}: {refusal}");
            assert!(bench.is_empty().await, "{files:?}");
        }
    }

    #[tokio::test]
    async fn a_sender_that_goes_away_leaves_nothing() {
        let bench = Bench::new(Options::default()).await;
        let mut upload = bench.ingest.begin(Expected::default(), 1).unwrap();
        upload.begin_file("x").await.unwrap();
        let half = Bytes::from_static(b"half of it");
        upload.write(half).await.unwrap();
        drop(upload);
        assert!(bench.is_empty().await);
    }

    #[tokio::test]
    async fn the_same_files_are_published_once() {
        let bench = Bench::new(Options::default()).await;
        let first = bench.upload(&[("x", b"same")], details("one")).await;
        let first = first.unwrap();
        let refusal = bench.upload(&[("x", b"same")], details("two")).await;
        assert!(
            matches!(refusal, Err(IngestError::AlreadyPublished(id)) if id == first.id),
            "{refusal:?}"
        );
        assert_eq!(bench.content.sealed().await.unwrap().len(), 1);
        let other = bench.upload(&[("x", b"other")], details("one")).await;
        other.unwrap();
    }

    #[tokio::test]
    async fn uploads_side_by_side_do_not_mix() {
        let options = Options {
            max_uploads: 8,
            ..Options::default()
        };
        let bench = Bench::new(options).await;
        let mut uploads = Vec::new();
        for number in 0..8_u8 {
            let mut upload = bench.ingest.begin(Expected::default(), 1).unwrap();
            upload.begin_file("x").await.unwrap();
            uploads.push((number, upload));
        }
        let refusal = bench.ingest.begin(Expected::default(), 1).err();
        assert!(matches!(refusal, Some(IngestError::TooManyUploads)));
        for _ in 0..3 {
            for (number, upload) in &mut uploads {
                let bytes = Bytes::from(vec![*number; 100]);
                upload.write(bytes).await.unwrap();
            }
        }
        for (number, upload) in uploads {
            let publication = upload.finish(details("x"), None, 2).await.unwrap();
            let file = bench.content.open(publication.id, 0).await.unwrap();
            let bytes = file.unwrap().read(0, 300).await.unwrap();
            assert_eq!(bytes, [number; 300]);
        }
        bench.ingest.begin(Expected::default(), 1).unwrap();
    }

    #[tokio::test]
    async fn refuses_at_once_what_will_not_fit() {
        let begin = async |max_bytes, total_length| {
            let bench = Bench::new(Options {
                max_bytes,
                ..Options::default()
            });
            let expected = Expected {
                total_length: Some(total_length),
                ..Expected::default()
            };
            bench.await.ingest.begin(expected, 1).map(drop)
        };
        // A form is a little longer than the files in it.
        begin(1 << 20, (1 << 20) + 5_000).await.unwrap();
        let refusal = begin(1 << 20, 3 << 20).await;
        assert!(matches!(refusal, Err(IngestError::TooLarge { .. })));
        let refusal = begin(0, u64::MAX).await;
        assert!(matches!(
            refusal,
            Err(IngestError::Store(StoreError::Full(_)))
        ));
    }

    #[tokio::test]
    async fn a_failed_upload_stays_failed() {
        let bench = Bench::new(Options::default()).await;
        let mut upload = bench.ingest.begin(Expected::default(), 1).unwrap();
        upload.begin_file("x").await.unwrap();
        // Its folder is taken away until the receiver stumbles over it.
        let staged = bench.folder.path().join("staging").join(upload.id.as_str());
        while upload.begin_file("z").await.is_ok() {
            let _ = std::fs::remove_dir_all(&staged);
        }
        assert!(upload.write(Bytes::from_static(b"1")).await.is_err());
        assert!(upload.finish(details(""), None, 2).await.is_err());
        assert!(bench.is_empty().await);
    }

    /// A database that keeps nothing that it is given.
    struct Failing(SqliteStore);

    #[async_trait]
    impl VerificationStore for Failing {
        async fn note_verified(
            &self,
            id: PublicationId,
            found: Verified,
        ) -> Result<(), StoreError> {
            self.0.note_verified(id, found).await
        }

        async fn verified(&self, id: PublicationId) -> Result<Option<Verified>, StoreError> {
            self.0.verified(id).await
        }

        async fn due(&self, due: Due) -> Result<Option<PublicationId>, StoreError> {
            self.0.due(due).await
        }

        async fn damaged(&self, limit: u32) -> Result<(u64, Vec<PublicationId>), StoreError> {
            self.0.damaged(limit).await
        }
    }

    #[async_trait]
    impl PublicationStore for Failing {
        async fn insert(&self, _: &Publication, _: &StoredMetainfo) -> Result<(), StoreError> {
            Err(StoreError::Busy("locked".into()))
        }

        async fn publication(&self, id: PublicationId) -> Result<Option<Publication>, StoreError> {
            self.0.publication(id).await
        }

        async fn metainfo(&self, id: PublicationId) -> Result<Option<StoredMetainfo>, StoreError> {
            self.0.metainfo(id).await
        }

        async fn oldest_first(
            &self,
            skip: u64,
            limit: u32,
        ) -> Result<Vec<(PublicationId, i64)>, StoreError> {
            self.0.oldest_first(skip, limit).await
        }

        async fn reword(
            &self,
            id: PublicationId,
            from: &Words,
            to: &Words,
        ) -> Result<bool, StoreError> {
            self.0.reword(id, from, to).await
        }

        async fn note_crc32(
            &self,
            id: PublicationId,
            stored_as: u32,
            crc32: u32,
        ) -> Result<(), StoreError> {
            self.0.note_crc32(id, stored_as, crc32).await
        }

        async fn facets(&self, kind: FacetKind, limit: u32) -> Result<Vec<Facet>, StoreError> {
            self.0.facets(kind, limit).await
        }

        async fn page(&self, query: &PageQuery) -> Result<Page, StoreError> {
            self.0.page(query).await
        }

        async fn index(&self, after: i64) -> Result<(Vec<IndexEntry>, i64), StoreError> {
            self.0.index(after).await
        }

        async fn counts(&self) -> Result<Vec<(PublicationId, Counts)>, StoreError> {
            self.0.counts().await
        }
    }

    #[async_trait]
    impl TakedownStore for Failing {
        async fn take_down(
            &self,
            id: PublicationId,
            reason: &str,
            account: &str,
            now: i64,
        ) -> Result<bool, StoreError> {
            self.0.take_down(id, reason, account, now).await
        }

        async fn put_back(&self, id: PublicationId) -> Result<Option<IndexEntry>, StoreError> {
            self.0.put_back(id).await
        }

        async fn takedown(&self, id: PublicationId) -> Result<Option<Takedown>, StoreError> {
            self.0.takedown(id).await
        }

        async fn takedowns(&self) -> Result<Vec<Takedown>, StoreError> {
            self.0.takedowns().await
        }

        async fn taken_down_with(
            &self,
            sha256: &[[u8; 32]],
        ) -> Result<Option<PublicationId>, StoreError> {
            self.0.taken_down_with(sha256).await
        }
    }

    #[async_trait]
    impl VersionStore for Failing {
        async fn newer(&self, id: PublicationId) -> Result<Newer, StoreError> {
            self.0.newer(id).await
        }
    }

    #[async_trait]
    impl WithdrawalStore for Failing {
        async fn withdraw(&self, id: PublicationId, now: i64) -> Result<bool, StoreError> {
            self.0.withdraw(id, now).await
        }

        async fn withdrawn(&self, id: PublicationId) -> Result<Option<i64>, StoreError> {
            self.0.withdrawn(id).await
        }
    }

    #[async_trait]
    impl HistoryStore for Failing {
        async fn add_counts(
            &self,
            batch: &[(PublicationId, Counts)],
            day: Day,
        ) -> Result<(), StoreError> {
            self.0.add_counts(batch, day).await
        }

        async fn note_swarms(
            &self,
            batch: &[(PublicationId, SwarmSize)],
            hour: Hour,
        ) -> Result<(), StoreError> {
            self.0.note_swarms(batch, hour).await
        }

        async fn forget_before(&self, hour: Hour, day: Day) -> Result<(), StoreError> {
            self.0.forget_before(hour, day).await
        }

        async fn history(&self, id: PublicationId) -> Result<History, StoreError> {
            self.0.history(id).await
        }

        async fn counts_since(&self, day: Day) -> Result<Counts, StoreError> {
            self.0.counts_since(day).await
        }
    }

    #[tokio::test]
    async fn content_goes_when_its_publication_cannot_be_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Failing(open_database(folder.path()).await));
        let bench = Bench::with_store(folder, store, Options::default()).await;
        let refusal = bench.upload(&[("x", b"bytes")], details("")).await;
        assert!(
            matches!(refusal, Err(IngestError::Store(StoreError::Busy(_)))),
            "{refusal:?}"
        );
        assert!(bench.is_empty().await);
    }

    /// Drives an upload to where its bytes are staged and hashed.
    async fn stop_before_sealing(bench: &Bench) -> (Hashed, Manuscript) {
        let mut upload = bench.ingest.begin(Expected::default(), 1).unwrap();
        upload.begin_file("x").await.unwrap();
        let bytes = Bytes::from_static(b"bytes");
        upload.write(bytes).await.unwrap();
        upload.send(Part::End(Format::V1)).await.unwrap();
        let hashed = upload.hear().await.unwrap();
        let manuscript = Manuscript {
            id: upload.id,
            stored_as: vec![0],
            names: name_torrent(upload.paths.clone(), "").unwrap(),
            details: details(""),
            original: None,
            created_at: 1,
            published_at: 2,
        };
        (hashed, manuscript)
    }

    /// Starts anew on what a server left behind.
    async fn start_again(bench: Bench) -> Bench {
        Bench::in_folder(bench.folder, Options::default()).await
    }

    #[tokio::test]
    async fn a_crash_before_sealing_leaves_nothing() {
        let bench = Bench::new(Options::default()).await;
        let (hashed, _) = stop_before_sealing(&bench).await;
        // A crash runs no destructor.
        std::mem::forget(hashed.staging);
        let bench = start_again(bench).await;
        assert_eq!(bench.sweep().await.unwrap(), Swept::default());
        assert!(bench.is_empty().await);
    }

    #[tokio::test]
    async fn a_crash_between_sealing_and_the_transaction_leaves_nothing() {
        let bench = Bench::new(Options::default()).await;
        let (hashed, manuscript) = stop_before_sealing(&bench).await;
        hashed.staging.seal().unwrap();
        let bench = start_again(bench).await;
        assert_eq!(bench.sweep().await.unwrap().removed, [manuscript.id]);
        assert!(bench.is_empty().await);
    }

    #[tokio::test]
    async fn a_crash_after_the_transaction_leaves_the_whole_publication() {
        let bench = Bench::new(Options::default()).await;
        let (hashed, manuscript) = stop_before_sealing(&bench).await;
        hashed.staging.seal().unwrap();
        let (publication, metainfo) = manuscript.build(hashed.content).unwrap();
        let kept = bench.catalog.publish(&publication, &metainfo).await;
        kept.unwrap();
        let bench = start_again(bench).await;
        assert_eq!(bench.sweep().await.unwrap(), Swept::default());
        assert!(bench.content.sealed().await.unwrap()[0].is_claimed);
        let file = bench.content.open(publication.id, 0).await.unwrap();
        assert_eq!(file.unwrap().read(0, 5).await.unwrap(), b"bytes");
        let torrent = bench.catalog.torrent(publication.id).await.unwrap();
        assert_eq!(torrent.unwrap().info.raw, metainfo.info);
    }

    #[tokio::test]
    async fn content_stays_when_the_database_was_lost() {
        let bench = Bench::new(Options::default()).await;
        let kept = bench.upload(&[("x", b"old")], details("")).await.unwrap();
        let lost = bench.upload(&[("x", b"new")], details("")).await.unwrap();

        // A backup from before the second upload.
        let backup = tempfile::tempdir().unwrap();
        let store = open_database(backup.path()).await;
        let metainfo = bench.catalog.store().metainfo(kept.id).await.unwrap();
        store.insert(&kept, &metainfo.unwrap()).await.unwrap();
        let bench = Bench::with_store(bench.folder, Arc::new(store), Options::default()).await;
        let swept = bench.sweep().await.unwrap();
        assert_eq!((swept.removed, swept.unowned), (vec![], vec![lost.id]));
        assert!(bench.content.open(lost.id, 0).await.unwrap().is_some());

        // No backup at all.
        let empty = tempfile::tempdir().unwrap();
        let store = Arc::new(open_database(empty.path()).await);
        let bench = Bench::with_store(bench.folder, store, Options::default()).await;
        let refusal = bench.sweep().await;
        assert!(
            matches!(refusal, Err(StoreError::Damaged(_))),
            "{refusal:?}"
        );
        assert!(bench.content.open(kept.id, 0).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn the_sweep_names_publications_without_content() {
        let bench = Bench::new(Options::default()).await;
        let publication = bench.upload(&[("x", b"x")], details("")).await.unwrap();
        bench.content.remove(publication.id).await.unwrap();
        assert_eq!(bench.sweep().await.unwrap().missing, [publication.id]);
    }
}

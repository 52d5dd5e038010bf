//! The watch folder: a file or folder in it that has been still for a while becomes a publication, in place, without copying.
//!
//! It is looked into at intervals: file systems do not tell what other machines change, and to know what is still takes a clock anyway.
//! What was published is noted, so that a restart publishes nothing twice. A crash before the note is no harm: the same files are found
//! to be published already.
//!
//! What changes or goes after it was published is verified at once, and the reader serves of it only what still matches. Its publication
//! stays until somebody withdraws it; then what lies there by then is published.

mod names;
mod sight;
mod standing;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::sight::{
    Bounds, Fingerprint, FolderError, Identity, Obstacle, Sight, explain, look_at, look_into, show,
};
use self::standing::Standing;
use crate::ambient;
use crate::domain::publication::PublicationId;
use crate::publish::{Details, Ingest, IngestError, Placed};
use crate::reader::Reader;
use crate::store::StoreError;
use crate::store::watched::{WatchStore, Watched};

/// Where looking takes long, so many times as long passes between two looks.
const REST: u32 = 9;

/// What a watcher works with.
pub struct Parts {
    /// What makes the publications; its options say which folder is watched.
    pub ingest: Ingest,
    /// What is told of files that have changed.
    pub reader: Reader,
    /// What was published from the folder before.
    pub notes: Arc<dyn WatchStore>,
    /// The data directory, of which nothing is published.
    pub data_dir: PathBuf,
}

/// Publishes what is put into the watch folder.
pub struct Watcher {
    parts: Parts,
    bounds: Bounds,
    notes: HashMap<PathBuf, Note>,
    standings: HashMap<PathBuf, Standing>,
    withdrawals: watch::Receiver<u64>,
    /// The folder that was looked into last.
    home: Option<Identity>,
    /// What is wrong with the folder as a whole, as it was said in the log.
    trouble: String,
}

/// What is known of a file or folder that was published.
#[derive(Clone, Copy)]
struct Note {
    content: Fingerprint,
    publication: PublicationId,
    /// Whether it was seen to be another since.
    has_changed: bool,
}

impl Watcher {
    /// A watcher that knows what was published before.
    ///
    /// # Errors
    /// [`StoreError`] where the notes cannot be read.
    pub async fn take_up(parts: Parts) -> Result<Self, StoreError> {
        let options = parts.ingest.options();
        let bounds = Bounds {
            data_dir: parts.data_dir.clone(),
            max_entries: options.watch_entries,
            max_files: options.max_files,
        };
        let notes = parts.notes.watched().await?.into_iter().map(|watched| {
            let note = Note {
                content: Fingerprint(watched.fingerprint),
                publication: watched.publication,
                has_changed: false,
            };
            (watched.path, note)
        });
        Ok(Self {
            bounds,
            notes: notes.collect(),
            standings: HashMap::new(),
            withdrawals: parts.ingest.catalog().withdrawals(),
            home: None,
            trouble: String::new(),
            parts,
        })
    }

    /// Looks into the folder again and again until `shutdown`; returns at once where there is none to be watched.
    pub async fn run(mut self, shutdown: CancellationToken) {
        if self.parts.ingest.options().watch.as_os_str().is_empty() {
            return;
        }
        // What is being hashed is given up, and what is hashed is published to its end.
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.watch() => {}
        }
    }

    async fn watch(&mut self) {
        let interval = Duration::from_secs(self.parts.ingest.options().watch_interval);
        loop {
            let began = ambient::now();
            let seen = self.look().await;
            let took = ambient::now().saturating_duration_since(began);
            match seen {
                Ok(due) => {
                    self.say_trouble(String::new());
                    for sight in due {
                        self.settle(sight).await;
                    }
                }
                Err(trouble) => self.say_trouble(explain(&trouble)),
            }
            sleep(interval.max(took.saturating_mul(REST))).await;
        }
    }

    /// Looks into the folder, and gives what something should be done about.
    async fn look(&mut self) -> Result<Vec<Sight>, FolderError> {
        let folder = self.parts.ingest.options().watch.clone();
        let (noted, bounds) = (self.notes.keys().cloned(), self.bounds.clone());
        let noted: Vec<PathBuf> = noted.collect();
        let home = self.home;
        let looking = spawn_blocking(move || look_into(&folder, &noted, home, &bounds));
        let Ok(seen) = looking.await else {
            // A panic has been reported already.
            return Ok(Vec::new());
        };
        let (home, sights) = seen?;
        self.home = Some(home);
        Ok(self.due(sights))
    }

    /// Those that have been still for long enough, and that nothing was done about yet. What is not there any more is forgotten.
    fn due(&mut self, sights: Vec<Sight>) -> Vec<Sight> {
        let now = ambient::now();
        let quiet = Duration::from_secs(self.parts.ingest.options().watch_quiet);
        let something_was_withdrawn = self.withdrawals.has_changed().unwrap_or(false);
        if something_was_withdrawn {
            self.withdrawals.mark_unchanged();
        }
        let mut standings = HashMap::with_capacity(sights.len());
        let mut due = Vec::new();
        for sight in sights {
            let standing = self.standings.remove(&sight.path);
            let mut standing = standing.unwrap_or_else(|| Standing::new(sight.all, now));
            standing.see(sight.all, now);
            // What lies there in its place may be published now.
            let has_changed = self
                .notes
                .get(&sight.path)
                .is_some_and(|note| note.has_changed);
            if something_was_withdrawn && has_changed {
                standing.reopen();
            }
            let path = sight.path.clone();
            if standing.is_due(now, quiet) {
                due.push(sight);
            }
            standings.insert(path, standing);
        }
        self.standings = standings;
        due
    }

    /// Does what is to be done about a file or folder that is still.
    async fn settle(&mut self, sight: Sight) {
        let path = sight.path.clone();
        let done = match self.notes.get(&path).copied() {
            Some(note) => self.compare(note, sight).await,
            None => self.take_in(sight).await,
        };
        let Some(standing) = self.standings.get_mut(&path) else {
            return;
        };
        match done {
            Ok(()) => standing.settle(),
            Err(NotYet(why)) => {
                standing.put_off(ambient::now());
                if !why.is_empty() && standing.is_news(&why) {
                    let path = show(&path);
                    tracing::warn!(path, "{path} is not published yet, and tried again: {why}");
                }
            }
        }
    }

    /// Holds what was published against how it was then.
    async fn compare(&mut self, note: Note, sight: Sight) -> Result<(), NotYet> {
        let is_as_it_was = match &sight.content {
            // What is added to a folder is no change of what was published.
            Err(Obstacle::Unfinished(_)) => return Ok(()),
            content => content
                .as_ref()
                .is_ok_and(|content| *content == note.content),
        };
        let (path, publication) = (sight.path.clone(), note.publication);
        let shown = show(&path);
        if is_as_it_was {
            if note.has_changed {
                tracing::info!(%publication, path = shown, "{shown} is as it was when it was published");
                self.mark(&path, false);
                self.parts.reader.accuse(publication);
            }
            return Ok(());
        }
        let catalog = self.parts.ingest.catalog();
        if catalog.torrent(publication).await?.is_some() {
            if !note.has_changed {
                // The verification that follows says what is damaged, if anything: it may be that something was added to a folder.
                tracing::warn!(%publication, path = shown, "{shown} is not what it was when it was published as {publication}; what does not match is not served, so bring it back, or withdraw the publication to have what lies there now published");
            }
            self.mark(&path, true);
            self.parts.reader.accuse(publication);
            return Ok(());
        }
        if let Err(Obstacle::Missing(_)) = sight.content {
            self.parts.notes.forget_watched(&path).await?;
            self.notes.remove(&path);
            return Ok(());
        }
        self.take_in(sight).await
    }

    fn mark(&mut self, path: &Path, has_changed: bool) {
        if let Some(note) = self.notes.get_mut(path) {
            note.has_changed = has_changed;
        }
    }

    /// Publishes what lies there, if it can be published.
    async fn take_in(&mut self, sight: Sight) -> Result<(), NotYet> {
        let path = sight.path.clone();
        match &sight.content {
            Ok(_) => {}
            // Somebody has just made a folder, or taken something out again.
            Err(Obstacle::Empty(_) | Obstacle::Missing(_)) => return Ok(()),
            Err(obstacle) => {
                self.refuse(&path, &explain(obstacle));
                return Ok(());
            }
        }
        // What came before it may have taken long to hash.
        let (again, max_files) = (path.clone(), self.bounds.max_files);
        let looking = spawn_blocking(move || look_at(&again, max_files));
        let (now, files) = looking.await.map_err(|_| NotYet::quietly())?;
        match now.content {
            Ok(content) if now.all == sight.all => self.publish(path, content, files).await,
            _ => Err(NotYet::quietly()),
        }
    }

    async fn publish(
        &mut self,
        path: PathBuf,
        content: Fingerprint,
        files: Vec<Placed>,
    ) -> Result<(), NotYet> {
        let ingest = &self.parts.ingest;
        let published = ingest
            .publish_in_place(files, Details::default(), ambient::unix_now(), |_| {})
            .await;
        let (id, how) = match published {
            Ok(publication) => (publication.id, "in place"),
            // By somebody else, or by this server before it crashed.
            Err(IngestError::AlreadyPublished(twin)) => (twin, "already"),
            Err(IngestError::Changed(_)) => return Err(NotYet::quietly()),
            Err(
                error @ (IngestError::TooManyUploads
                | IngestError::Interrupted
                | IngestError::Store(_)),
            ) => return Err(NotYet(explain(&error))),
            Err(error) => {
                self.refuse(&path, &explain(&error));
                return Ok(());
            }
        };
        let shown = show(&path);
        tracing::info!(publication = %id, path = shown, "{shown} is published {how} as {id}");
        self.note(path, content, id).await;
        Ok(())
    }

    async fn note(&mut self, path: PathBuf, content: Fingerprint, publication: PublicationId) {
        let watched = Watched {
            path,
            fingerprint: content.0,
            publication,
        };
        if let Err(error) = self.parts.notes.keep_watched(&watched).await {
            let path = show(&watched.path);
            tracing::warn!(%publication, path, %error, "it could not be noted that {path} is published; the next start hashes it once more");
        }
        let note = Note {
            content,
            publication,
            has_changed: false,
        };
        self.notes.insert(watched.path, note);
    }

    fn refuse(&mut self, path: &Path, why: &str) {
        let standing = self.standings.get_mut(path);
        if standing.is_some_and(|standing| standing.is_news(why)) {
            let path = show(path);
            tracing::warn!(path, "{path} is not published until it changes: {why}");
        }
    }

    fn say_trouble(&mut self, trouble: String) {
        if self.trouble == trouble {
            return;
        }
        if trouble.is_empty() {
            tracing::info!("the watch folder can be looked into again");
        } else {
            tracing::error!("{trouble}; nothing in it is published until then");
        }
        self.trouble = trouble;
    }
}

/// It is to be tried again later. The text says why, where somebody should know.
struct NotYet(String);

impl NotYet {
    /// It has changed since it was looked at, as things do.
    const fn quietly() -> Self {
        Self(String::new())
    }
}

impl From<StoreError> for NotYet {
    fn from(error: StoreError) -> Self {
        Self(explain(&error))
    }
}

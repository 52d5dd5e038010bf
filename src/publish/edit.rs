//! Changes to publications that are there: other words for one, a takedown, or its end. A crash on the way leaves no publication without content,
//! and of a withdrawn one at most content that the next start removes.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::Options;
use super::words::{WordsError, in_one_line, name_if_untitled};
use crate::catalog::Catalog;
use crate::domain::account::Account;
use crate::domain::publication::{Publication, PublicationId, Words};
use crate::store::StoreError;
use crate::store::content::ContentStore;

/// Changes publications. Cheap to clone.
#[derive(Clone)]
pub struct Editor {
    catalog: Catalog,
    content: Arc<dyn ContentStore>,
    options: Arc<Options>,
    /// What must not stop half-way: a transaction, and telling the catalogue of it.
    tasks: TaskTracker,
}

/// Why a publication is not changed. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The new words are too long, or make no sense.
    #[error(transparent)]
    Words(#[from] WordsError),
    /// It is not any more what whoever edits has seen.
    #[error(
        "somebody else has changed the publication meanwhile; look at it again, then repeat your change"
    )]
    Changed,
    /// A takedown has no reason.
    #[error("a takedown needs a reason, for everybody who comes to the page; write one")]
    NoReason,
    /// The reason of a takedown is too long.
    #[error("the reason is longer than {limit} characters; shorten it")]
    LongReason {
        /// `publish.max_reason_length`.
        limit: usize,
    },
    /// It was not taken down, or is put back already.
    #[error("this publication is not taken down")]
    NotTakenDown,
    /// It was withdrawn before.
    #[error("the publication is gone already")]
    Gone,
    /// The server stopped working on it.
    #[error("the server stopped in the middle of the change; look whether it was made")]
    Interrupted,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Editor {
    pub(super) const fn new(
        catalog: Catalog,
        content: Arc<dyn ContentStore>,
        options: Arc<Options>,
        tasks: TaskTracker,
    ) -> Self {
        Self {
            catalog,
            content,
            options,
            tasks,
        }
    }

    /// Gives a publication other words. `seen` is how it was when they were chosen.
    ///
    /// Once begun, it goes on to its end even if this future is dropped.
    ///
    /// # Errors
    /// [`EditError`]; then nothing is changed.
    pub async fn reword(&self, seen: &Publication, words: &Words) -> Result<(), EditError> {
        let words = name_if_untitled(self.options.tidy(words, seen.private)?, &seen.name);
        let (catalog, id, from) = (self.catalog.clone(), seen.id, seen.words());
        let rewording = self
            .tasks
            .spawn(async move { catalog.reword(id, &from, &words).await });
        let was_seen = rewording.await.map_err(|_| EditError::Interrupted)??;
        was_seen.then_some(()).ok_or(EditError::Changed)
    }

    /// Takes a publication down at `now`, in seconds since 1970, on behalf of an administrator. All of it is kept, out of sight.
    ///
    /// Once begun, it goes on to its end even if this future is dropped.
    ///
    /// # Errors
    /// [`EditError`]; then nothing is changed.
    pub async fn take_down(
        &self,
        publication: &Publication,
        reason: &str,
        administrator: &Account,
        now: i64,
    ) -> Result<(), EditError> {
        let reason = in_one_line(reason);
        let limit = self.options.max_reason_length;
        match reason.chars().count() {
            0 => return Err(EditError::NoReason),
            length if length > limit => return Err(EditError::LongReason { limit }),
            _ => {}
        }
        let (catalog, publication) = (self.catalog.clone(), publication.clone());
        let (id, account) = (publication.id, administrator.name.clone());
        tracing::info!(publication = %id, %account, %reason, "taking down");
        let taking_down = self.tasks.spawn(async move {
            catalog
                .take_down(&publication, &reason, &account, now)
                .await
        });
        let was_there = taking_down.await.map_err(|_| EditError::Interrupted)??;
        was_there.then_some(()).ok_or(EditError::Gone)
    }

    /// Puts back what was taken down, on behalf of an administrator.
    ///
    /// Once begun, it goes on to its end even if this future is dropped.
    ///
    /// # Errors
    /// [`EditError`]; then nothing is changed.
    pub async fn put_back(
        &self,
        id: PublicationId,
        administrator: &Account,
    ) -> Result<(), EditError> {
        let catalog = self.catalog.clone();
        tracing::info!(publication = %id, account = %administrator.name, "putting back what was taken down");
        let putting_back = self.tasks.spawn(async move { catalog.put_back(id).await });
        let was_there = putting_back.await.map_err(|_| EditError::Interrupted)??;
        was_there.then_some(()).ok_or(EditError::NotTakenDown)
    }

    /// Withdraws a publication at `now`, in seconds since 1970, and deletes its content, which is nobody else's.
    ///
    /// Once begun, it goes on to its end even if this future is dropped.
    ///
    /// # Errors
    /// [`EditError`]; then nothing is changed.
    pub async fn withdraw(&self, publication: &Publication, now: i64) -> Result<(), EditError> {
        let (editor, publication) = (self.clone(), publication.clone());
        let withdrawing = self.tasks.spawn(async move {
            let was_there = editor.catalog.withdraw(&publication, now).await?;
            let id = publication.id;
            if was_there && let Err(error) = editor.content.remove(id).await {
                tracing::warn!(publication = %id, %error, "withdrawn content could not be removed; the next start does it");
            }
            Ok::<_, StoreError>(was_there)
        });
        let was_there = withdrawing.await.map_err(|_| EditError::Interrupted)??;
        was_there.then_some(()).ok_or(EditError::Gone)
    }
}

//! The port for drafts: what is said of publications whose files are still coming. Their bytes are the content store's.

use async_trait::async_trait;

use super::StoreError;
use super::idempotency::IdempotencyStore;
use crate::domain::draft::Draft;
use crate::domain::publication::PublicationId;

/// Why nothing can come of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftFailure {
    /// In words, for the person who made it.
    pub reason: String,
    /// The publication that has the same files already.
    pub twin: Option<PublicationId>,
}

/// A draft as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptDraft {
    /// What was said when it was made.
    pub draft: Draft,
    /// Why nothing can come of it, if so.
    pub failure: Option<DraftFailure>,
}

/// A draft without its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftLine {
    /// Which one.
    pub id: PublicationId,
    /// The account that made it, by name.
    pub publisher: String,
    /// Bytes in all of its files, when they are there.
    pub total_length: u64,
    /// Whether nothing can come of it.
    pub has_failed: bool,
    /// When somebody last worked on it, in seconds since 1970.
    pub touched_at: i64,
}

/// Keeps drafts. One whose publication is [kept](super::publications::PublicationStore::insert) is forgotten in the same transaction.
#[async_trait]
pub trait DraftStore: IdempotencyStore {
    /// Keeps a new draft and its files, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the id is taken.
    async fn keep_draft(&self, draft: &Draft) -> Result<(), StoreError>;

    /// A draft with its files, if there is one.
    async fn draft(&self, id: PublicationId) -> Result<Option<KeptDraft>, StoreError>;

    /// All drafts.
    async fn drafts(&self) -> Result<Vec<DraftLine>, StoreError>;

    /// Notes that somebody worked on drafts at `now`, in seconds since 1970. Ids that are not there are passed over.
    async fn touch_drafts(&self, ids: &[PublicationId], now: i64) -> Result<(), StoreError>;

    /// Notes that nothing can come of a draft.
    async fn fail_draft(&self, id: PublicationId, why: &DraftFailure) -> Result<(), StoreError>;

    /// Forgets a draft; says whether it was there.
    async fn forget_draft(&self, id: PublicationId) -> Result<bool, StoreError>;
}

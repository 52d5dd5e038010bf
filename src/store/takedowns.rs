//! The port for takedowns.

use async_trait::async_trait;

use super::StoreError;
use super::publications::IndexEntry;
use crate::domain::publication::PublicationId;

/// A publication that an administrator has taken down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takedown {
    /// The publication and its torrent.
    pub entry: IndexEntry,
    /// What people called it.
    pub title: String,
    /// Why, in the administrator's words.
    pub reason: String,
    /// The administrator, by name.
    pub account: String,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// Keeps what was taken down: all of it, and out of sight of all other ports.
#[async_trait]
pub trait TakedownStore: Send + Sync {
    /// Takes a publication down at `now`, in seconds since 1970, on behalf of the administrator `account`; says whether it was there.
    async fn take_down(
        &self,
        id: PublicationId,
        reason: &str,
        account: &str,
        now: i64,
    ) -> Result<bool, StoreError>;

    /// Puts back what was taken down, as it was; gives its line of the index, if it was there.
    async fn put_back(&self, id: PublicationId) -> Result<Option<IndexEntry>, StoreError>;

    /// Why and when a publication was taken down, if it was.
    async fn takedown(&self, id: PublicationId) -> Result<Option<Takedown>, StoreError>;

    /// All that was taken down, the last first.
    async fn takedowns(&self) -> Result<Vec<Takedown>, StoreError>;

    /// A publication that was taken down and has all of its files among these, by their SHA-256; empty files count for nothing.
    async fn taken_down_with(
        &self,
        sha256: &[[u8; 32]],
    ) -> Result<Option<PublicationId>, StoreError>;
}

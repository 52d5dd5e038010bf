//! The port for idempotency keys: what a request has made, so that the same request again makes nothing more.
//!
//! A key is noted before the request makes anything, with the id that this will have. Whether it was made is then a question to the one transaction
//! that makes it, and a crash in between leaves a key that has made nothing.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::publication::PublicationId;

/// A request that came with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedRequest {
    /// The account that sent it.
    pub account: i64,
    /// The key, which is that account's alone.
    pub key: String,
    /// A SHA-256 of what tells it from other requests.
    pub fingerprint: [u8; 32],
}

/// What a request has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// What told the request from others.
    pub fingerprint: [u8; 32],
    /// The draft or publication, which may be withdrawn or taken down.
    pub publication: PublicationId,
}

/// Keeps idempotency keys.
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// What an account's request under a key has made; `None` where it has made nothing, or a draft that is gone.
    async fn made(&self, account: i64, key: &str) -> Result<Option<Made>, StoreError>;

    /// Notes at `now`, in seconds since 1970, which id that has what a request will make, in the place of what was noted under this key. Of the account's
    /// keys the newest `most` are kept, and those of drafts.
    async fn note_key(
        &self,
        request: &KeyedRequest,
        publication: PublicationId,
        now: i64,
        most: u32,
    ) -> Result<(), StoreError>;

    /// Forgets the keys that were noted until `time`, in seconds since 1970, but for those of drafts.
    async fn forget_keys(&self, time: i64) -> Result<(), StoreError>;
}

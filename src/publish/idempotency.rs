//! Requests that come again: one with an idempotency key makes something once, and told of it again it answers with what it has made.
//!
//! The key's row names the id before anything has that id, so the transaction that makes it settles the key too: after a crash the id is there or
//! nowhere. Beside the rows stand the requests that are under way, so that of two at the same time only one runs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Options;
use crate::ambient;
use crate::domain::account::Account;
use crate::domain::publication::PublicationId;
use crate::store::StoreError;
use crate::store::idempotency::{IdempotencyStore, KeyedRequest};

/// Knows what requests with a key have made. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    store: Arc<dyn IdempotencyStore>,
    options: Arc<Options>,
    /// Accounts and keys of the requests under way; each takes itself out. Never held over an await.
    running: Arc<Mutex<HashSet<(i64, String)>>>,
}

/// What a request with a key has to do.
pub enum Turn {
    /// It came for the first time, or has made nothing so far.
    First(Running),
    /// It has made this draft or publication.
    Again(PublicationId),
}

/// Why a request with a key is not run. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It runs already.
    #[error(
        "a request with this Idempotency-Key is under way; wait for its answer, or ask again in a moment"
    )]
    UnderWay,
    /// The key is that of another request.
    #[error("this Idempotency-Key came with another request before; send a new key with each")]
    Reused,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A request with a key that is under way. Dropped, it may come again.
pub struct Running {
    keys: Keys,
    request: KeyedRequest,
}

impl Keys {
    pub(super) fn new(store: Arc<dyn IdempotencyStore>, options: Arc<Options>) -> Self {
        Self {
            store,
            options,
            running: Arc::default(),
        }
    }

    /// Begins a request that an account has sent under a key. `fingerprint` is a SHA-256 of what tells it from other requests.
    ///
    /// # Errors
    /// [`KeyError`]; then the request is not to be run.
    pub async fn begin(
        &self,
        account: &Account,
        key: &str,
        fingerprint: [u8; 32],
    ) -> Result<Turn, KeyError> {
        let request = KeyedRequest {
            account: account.id,
            key: key.to_owned(),
            fingerprint,
        };
        if !self.running().insert(name(&request)) {
            return Err(KeyError::UnderWay);
        }
        let running = Running {
            keys: self.clone(),
            request,
        };
        match self.store.made(account.id, key).await? {
            None => Ok(Turn::First(running)),
            Some(made) if made.fingerprint == fingerprint => Ok(Turn::Again(made.publication)),
            Some(_) => Err(KeyError::Reused),
        }
    }

    /// Forgets keys whose time is over.
    pub(super) async fn forget_old(&self) {
        let lifetime = i64::try_from(self.options.key_lifetime).unwrap_or(i64::MAX);
        let until = ambient::unix_now().saturating_sub(lifetime);
        if let Err(error) = self.store.forget_keys(until).await {
            tracing::warn!(%error, "old idempotency keys could not be forgotten; it is tried again");
        }
    }

    fn running(&self) -> MutexGuard<'_, HashSet<(i64, String)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Notes at `now`, in seconds since 1970, which id that will have what the request makes. To be done before it is made, and the request kept until
    /// it is.
    pub(super) async fn note(&self, id: PublicationId, now: i64) -> Result<(), StoreError> {
        let most = self.keys.options.max_keys;
        self.keys.store.note_key(&self.request, id, now, most).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.keys.running().remove(&name(&self.request));
    }
}

fn name(request: &KeyedRequest) -> (i64, String) {
    (request.account, request.key.clone())
}

//! The port for what the watch folder held when it was published.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::StoreError;
use crate::domain::publication::PublicationId;

/// A file or folder that was published from the watch folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Where it lies: an absolute path.
    pub path: PathBuf,
    /// How its files looked: a SHA-256 over names, lengths and times.
    pub fingerprint: [u8; 32],
    /// What became of it. It may have been withdrawn since.
    pub publication: PublicationId,
}

/// Keeps what was published from the watch folder.
#[async_trait]
pub trait WatchStore: Send + Sync {
    /// All of it, in the order of the paths.
    async fn watched(&self) -> Result<Vec<Watched>, StoreError>;

    /// Keeps what was published, in the place of what was published from the same path before.
    async fn keep_watched(&self, watched: &Watched) -> Result<(), StoreError>;

    /// Forgets what was published from a path, if anything was.
    async fn forget_watched(&self, path: &Path) -> Result<(), StoreError>;
}

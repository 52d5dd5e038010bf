//! What lasts: publications, accounts and content, behind small traits, and the adapters that keep them.
//!
//! The traits speak of what the program wants kept, not of tables or folders. Adapters know nothing of each other, and
//! every adapter of a trait passes the same conformance suite.

pub mod accounts;
#[cfg(test)]
pub(crate) mod conformance;
pub mod content;
pub mod drafts;
pub mod files;
pub mod folder;
pub mod idempotency;
pub mod lock;
pub mod passkeys;
pub mod place;
pub mod publications;
pub mod snapshot;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod takedowns;
pub mod watched;

use std::path::PathBuf;

/// Why something could not be kept or read. "Not there" is no error: it is `Ok(None)`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Something with this name is there already.
    #[error("{0} is taken already; choose another")]
    Conflict(String),
    /// A publication would be a newer version of itself.
    #[error(
        "a publication replaces neither itself nor one that is newer than it; name an older one"
    )]
    Circular,
    /// The disk is full.
    #[error("the disk is full; free some space and try again")]
    Full(#[source] std::io::Error),
    /// The store is busy for longer than it may take.
    #[error("the database is busy; try again in a moment")]
    Busy(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was read makes no sense: the data directory is damaged.
    #[error("the data directory is damaged: {0}; restore it from a backup")]
    Damaged(String),
    /// A newer version of the program wrote the database.
    #[error(
        "the database was written by a newer version of Sower; start that version or a later one"
    )]
    TooNew,
    /// Another server has the data directory.
    #[error("another Sower serves the data directory {}; stop it first, or choose another data_dir", .0.display())]
    InUse(PathBuf),
    /// Reading or writing failed.
    #[error("the data directory cannot be used")]
    Io(#[source] std::io::Error),
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::Full(error)
            }
            _ => Self::Io(error),
        }
    }
}

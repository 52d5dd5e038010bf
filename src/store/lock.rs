//! The lock on a data directory: two servers on one directory would sweep away each other's uploads.
//!
//! Commands that only touch the database need no lock; the database has its own. Commands that bring content share another one, which
//! keeps a server that starts meanwhile from sweeping away what they are at.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::StoreError;

/// The name of the locked file. The file stays behind when the lock is gone: only the lock counts.
const FILE_NAME: &str = "sower.lock";

/// A data directory that is ours until this value is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct DataDirLock {
    _file: File,
}

impl DataDirLock {
    /// Takes the lock on `data_dir`, which must exist.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where another server has it; [`StoreError::Io`] where the directory cannot be written to.
    pub fn acquire(data_dir: &Path) -> Result<Self, StoreError> {
        let file = open(data_dir, FILE_NAME)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(data_dir.to_owned())),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

/// The name of the file that is locked by whoever brings content.
const PUBLISHING: &str = "publishing.lock";

/// The right to bring content into a data directory, beside a server or without one: any number of commands may share it. Held until
/// this value is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct PublishingLock {
    _file: File,
}

impl PublishingLock {
    /// Shares the lock on `data_dir`, which must exist. Blocks while a server sweeps there, which is short.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the directory cannot be written to.
    pub fn share(data_dir: &Path) -> Result<Self, StoreError> {
        let file = open(data_dir, PUBLISHING)?;
        file.lock_shared()?;
        Ok(Self { _file: file })
    }

    /// Keeps commands from publishing; `None` where one does so now.
    ///
    /// # Errors
    /// [`StoreError::Io`] where the directory cannot be written to.
    pub fn keep_out(data_dir: &Path) -> Result<Option<Self>, StoreError> {
        let file = open(data_dir, PUBLISHING)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

fn open(data_dir: &Path, name: &str) -> io::Result<File> {
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(data_dir.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_server_has_a_data_directory() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDirLock::acquire(folder.path()).unwrap();
        let refusal = DataDirLock::acquire(folder.path()).unwrap_err();
        assert!(matches!(refusal, StoreError::InUse(_)), "{refusal:?}");
        assert!(
            refusal
                .to_string()
                .contains(folder.path().to_str().unwrap())
        );
        drop(first);
        DataDirLock::acquire(folder.path()).unwrap();
    }

    #[test]
    fn commands_publish_side_by_side_and_a_sweep_waits_for_its_turn() {
        let folder = tempfile::tempdir().unwrap();
        let first = PublishingLock::share(folder.path()).unwrap();
        let second = PublishingLock::share(folder.path()).unwrap();
        drop(first);
        let sweep = || PublishingLock::keep_out(folder.path()).unwrap();
        assert!(sweep().is_none());
        drop(second);
        assert!(sweep().is_some());
    }
}

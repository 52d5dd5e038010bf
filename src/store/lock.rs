//! The lock on a data directory: two servers on one directory would sweep away each other's uploads.
//!
//! Commands that only touch the database need no lock; the database has its own.

use std::fs::{File, TryLockError};
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
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(data_dir.join(FILE_NAME))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(data_dir.to_owned())),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
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
}

//! Uploads on their way in.
//!
//! Bytes are written back to the disk while more arrive: at most two windows wait in memory, so sealing gigabytes takes
//! as long as sealing the last few megabytes.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{
    Folders, UNCLAIMED, make_folder, open_file, open_folder, reference, remove_folder,
    to_store_error,
};
use crate::domain::publication::PublicationId;
use crate::store::StoreError;
use crate::store::content::Staging;

/// Files of one upload that wait to be synced, at most: each is a descriptor.
const MAX_UNSYNCED_FILES: usize = 64;

/// Bytes between two looks at the free space.
pub(super) const SPACE_CHECK_BYTES: u64 = 8 * 1024 * 1024;

/// An upload under `staging/{id}`; dropped, it takes its folder along.
pub(super) struct StagedUpload {
    folders: Arc<Folders>,
    id: PublicationId,
    folder: OwnedFd,
    current: Option<Arc<File>>,
    files: u32,
    write_back: WriteBack,
    since_space_check: u64,
    /// Nothing is left under `staging` to remove.
    is_moved: bool,
}

impl StagedUpload {
    pub(super) fn begin(folders: Arc<Folders>, id: PublicationId) -> Result<Self, StoreError> {
        check_space(&folders)?;
        let taken = || StoreError::Conflict(format!("the id {id}"));
        match open_folder(&folders.root, id.as_str()) {
            Err(Errno::NOENT) => (),
            _ => return Err(taken()),
        }
        match make_folder(&folders.staging, id.as_str()) {
            Ok(()) => (),
            Err(Errno::EXIST) => return Err(taken()),
            Err(error) => return Err(to_store_error(error)),
        }
        let folder = open_folder(&folders.staging, id.as_str()).map_err(to_store_error)?;
        let write_back = WriteBack::new(folders.options.write_back_bytes);
        let upload = Self {
            folders,
            id,
            folder,
            current: None,
            files: 0,
            write_back,
            since_space_check: 0,
            is_moved: false,
        };
        upload.create(UNCLAIMED)?;
        Ok(upload)
    }

    fn create(&self, name: &str) -> Result<File, StoreError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        open_file(&self.folder, name, flags).map_err(to_store_error)
    }
}

impl Staging for StagedUpload {
    fn begin_file(&mut self) -> Result<u32, StoreError> {
        let number = self.files;
        let file = Arc::new(self.create(&number.to_string())?);
        self.write_back.written(&file, 0)?;
        self.current = Some(file);
        self.files = number.saturating_add(1);
        Ok(number)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let Some(file) = &self.current else {
            return Err(StoreError::Io(io::Error::new(
                io::ErrorKind::InvalidInput,
                "bytes came before the first file",
            )));
        };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.since_space_check = self.since_space_check.saturating_add(length);
        if self.since_space_check >= SPACE_CHECK_BYTES {
            check_space(&self.folders)?;
            self.since_space_check = 0;
        }
        (&mut &**file).write_all(bytes)?;
        self.write_back.written(file, length)?;
        Ok(())
    }

    fn refer(&mut self, place: &Path) -> Result<u32, StoreError> {
        let number = self.files;
        rustix::fs::symlinkat(place, &self.folder, reference(number)).map_err(to_store_error)?;
        self.current = None;
        self.files = number.saturating_add(1);
        Ok(number)
    }

    fn reopen(&self, stored_as: u32) -> Result<Box<dyn io::Read + Send>, StoreError> {
        let file = open_file(&self.folder, &stored_as.to_string(), OFlags::RDONLY);
        Ok(Box::new(file.map_err(to_store_error)?))
    }

    fn seal(mut self: Box<Self>) -> Result<(), StoreError> {
        let Folders { root, staging, .. } = &*Arc::clone(&self.folders);
        let name = self.id.as_str();
        self.write_back.finish()?;
        rustix::fs::fsync(&self.folder).map_err(to_store_error)?;
        rustix::fs::renameat(staging, name, root, name).map_err(to_store_error)?;
        self.is_moved = true;
        if let Err(error) = rustix::fs::fsync(root).and_then(|()| rustix::fs::fsync(staging)) {
            // Nobody may find what is perhaps gone after a power cut. Should this fail too, the next start sweeps.
            let _ = remove_folder(root, name);
            return Err(to_store_error(error));
        }
        Ok(())
    }
}

impl Drop for StagedUpload {
    fn drop(&mut self) {
        if !self.is_moved {
            // Should this fail, the next start discards what is left.
            let _ = remove_folder(&self.folders.staging, self.id.as_str());
        }
    }
}

pub(super) fn check_space(folders: &Folders) -> Result<(), StoreError> {
    match folders.free_bytes()? {
        0 => Err(StoreError::Full(io::ErrorKind::StorageFull.into())),
        _ => Ok(()),
    }
}

/// Syncs what was written while more is written, one window at a time.
///
/// The writer waits only when the next window is full before the last one is on the disk: then the disk is the bottleneck,
/// and waiting now is what spares waiting at the end.
pub(super) struct WriteBack {
    window: u64,
    unsynced: Vec<Arc<File>>,
    unsynced_bytes: u64,
    running: Option<JoinHandle<io::Result<()>>>,
}

impl WriteBack {
    pub(super) fn new(window: u64) -> Self {
        Self {
            window,
            unsynced: Vec::new(),
            unsynced_bytes: 0,
            running: None,
        }
    }

    /// Notes that `bytes` more went into `file`, and syncs when a window is full.
    pub(super) fn written(&mut self, file: &Arc<File>, bytes: u64) -> io::Result<()> {
        if !self
            .unsynced
            .last()
            .is_some_and(|last| Arc::ptr_eq(last, file))
        {
            self.unsynced.push(Arc::clone(file));
        }
        self.unsynced_bytes = self.unsynced_bytes.saturating_add(bytes);
        if self.unsynced_bytes < self.window && self.unsynced.len() < MAX_UNSYNCED_FILES {
            return Ok(());
        }
        self.wait()?;
        self.unsynced_bytes = 0;
        let window = std::mem::take(&mut self.unsynced);
        let sync = move || window.iter().try_for_each(|file| file.sync_data());
        let thread = thread::Builder::new().name("write-back".to_owned());
        self.running = Some(thread.spawn(sync)?);
        Ok(())
    }

    /// Waits until everything that was written is on the disk.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.wait()?;
        let rest = std::mem::take(&mut self.unsynced);
        rest.iter().try_for_each(|file| file.sync_data())
    }

    fn wait(&mut self) -> io::Result<()> {
        let Some(running) = self.running.take() else {
            return Ok(());
        };
        running
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that writes back panicked")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_most_two_windows_wait_for_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let file = Arc::new(File::create(folder.path().join("0")).unwrap());
        let mut write_back = WriteBack::new(1000);
        for _ in 0..50 {
            write_back.written(&file, 300).unwrap();
            assert!(write_back.unsynced_bytes < 1000);
        }
        write_back.finish().unwrap();
        assert!(write_back.unsynced.is_empty() && write_back.running.is_none());
    }

    #[test]
    fn many_small_files_do_not_stay_open() {
        let folder = tempfile::tempdir().unwrap();
        let mut write_back = WriteBack::new(u64::MAX);
        for number in 0..300 {
            let file = Arc::new(File::create(folder.path().join(number.to_string())).unwrap());
            write_back.written(&file, 1).unwrap();
            assert!(write_back.unsynced.len() < MAX_UNSYNCED_FILES);
        }
        write_back.finish().unwrap();
    }
}

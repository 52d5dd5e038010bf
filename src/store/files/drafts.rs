//! The files of drafts: under `staging/{id}`, as uploads in one request are, but in any order and over many requests and restarts.
//!
//! How much of a file is there is its length. Where bytes were appended on trial, `{number}.from` says what the length was before.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;

use super::staging::{SPACE_CHECK_BYTES, WriteBack, check_space};
use super::{
    Folders, UNCLAIMED, if_there, make_folder, open_file, open_folder, remove_folder,
    to_store_error,
};
use crate::domain::publication::PublicationId;
use crate::store::StoreError;
use crate::store::content::{Appending, DraftStaging};

/// The files of one draft.
pub(super) struct DraftFolder {
    folders: Arc<Folders>,
    id: PublicationId,
    folder: Arc<OwnedFd>,
}

impl DraftFolder {
    /// Opens the files of a draft, or makes the folder for them. What was sealed for it and never claimed is taken back.
    pub(super) fn open(folders: Arc<Folders>, id: PublicationId) -> Result<Self, StoreError> {
        if let Some(sealed) = if_there(open_folder(&folders.root, id.as_str()))? {
            let marker = rustix::fs::statat(&sealed, UNCLAIMED, AtFlags::SYMLINK_NOFOLLOW);
            if if_there(marker)?.is_none() {
                return Err(StoreError::Conflict(format!("the id {id}")));
            }
            rustix::fs::renameat(&folders.root, id.as_str(), &folders.staging, id.as_str())
                .map_err(to_store_error)?;
        }
        match make_folder(&folders.staging, id.as_str()) {
            Ok(()) | Err(Errno::EXIST) => (),
            Err(error) => return Err(to_store_error(error)),
        }
        let folder = open_folder(&folders.staging, id.as_str()).map_err(to_store_error)?;
        open_file(&folder, UNCLAIMED, OFlags::WRONLY | OFlags::CREATE).map_err(to_store_error)?;
        Ok(Self {
            folders,
            id,
            folder: Arc::new(folder),
        })
    }

    fn open_to_write(&self, file: u32) -> Result<File, StoreError> {
        let flags = OFlags::WRONLY | OFlags::CREATE;
        open_file(&self.folder, &file.to_string(), flags).map_err(to_store_error)
    }

    /// Begins to append. What lies behind `at` does not count, and goes.
    fn appended(&self, file: u32, at: u64) -> Result<Appended, StoreError> {
        check_space(&self.folders)?;
        let opened = self.open_to_write(file)?;
        let length = opened.metadata()?.len();
        if length < at {
            return Err(StoreError::Damaged(format!(
                "file {file} of the draft {} is shorter than it was",
                self.id
            )));
        }
        if length > at {
            opened.set_len(at)?;
        }
        let opened = Arc::new(opened);
        let mut write_back = WriteBack::new(self.folders.options.write_back_bytes);
        write_back.written(&opened, 0)?;
        Ok(Appended {
            folders: Arc::clone(&self.folders),
            file: opened,
            end: at,
            since_space_check: 0,
            write_back,
            trial: None,
        })
    }

    /// Takes back what was on trial when the server stopped.
    fn end_trial(&self, file: u32) -> Result<(), StoreError> {
        let marker = marker(file);
        let Some(mut opened) = if_there(open_file(&self.folder, &marker, OFlags::RDONLY))? else {
            return Ok(());
        };
        let mut text = String::new();
        opened.read_to_string(&mut text)?;
        // A marker that a power cut left empty was followed by nothing.
        if let Ok(at) = text.parse() {
            let opened = self.open_to_write(file)?;
            if opened.metadata()?.len() > at {
                opened.set_len(at)?;
                opened.sync_all()?;
            }
        }
        remove_marker(&self.folder, &marker).map_err(to_store_error)
    }
}

/// Ends a trial for good: a marker that came back after a power cut would take bytes away that count by then.
fn remove_marker(folder: &OwnedFd, marker: &str) -> rustix::io::Result<()> {
    rustix::fs::unlinkat(folder, marker, AtFlags::empty())?;
    rustix::fs::fsync(folder)
}

fn marker(file: u32) -> String {
    format!("{file}.from")
}

impl DraftStaging for DraftFolder {
    fn lengths(&self, files: u32) -> Result<Vec<u64>, StoreError> {
        let length = |file: u32| {
            self.end_trial(file)?;
            let opened = open_file(&self.folder, &file.to_string(), OFlags::RDONLY);
            match if_there(opened)? {
                Some(opened) => Ok(opened.metadata()?.len()),
                None => Ok(0),
            }
        };
        (0..files).map(length).collect()
    }

    fn append(&self, file: u32, at: u64) -> Result<Box<dyn Appending>, StoreError> {
        Ok(Box::new(self.appended(file, at)?))
    }

    fn append_on_trial(&self, file: u32, at: u64) -> Result<Box<dyn Appending>, StoreError> {
        let mut appended = self.appended(file, at)?;
        let name = marker(file);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        let mut marker = open_file(&self.folder, &name, flags).map_err(to_store_error)?;
        marker.write_all(at.to_string().as_bytes())?;
        // It must be there before any of the bytes is.
        marker.sync_all()?;
        appended.trial = Some(Trial {
            folder: Arc::clone(&self.folder),
            marker: name,
            at,
        });
        Ok(Box::new(appended))
    }

    fn read(&self, file: u32, span: Range<u64>) -> Result<Box<dyn Read + Send>, StoreError> {
        let opened = open_file(&self.folder, &file.to_string(), OFlags::RDONLY);
        let mut opened = opened.map_err(to_store_error)?;
        opened.seek(SeekFrom::Start(span.start))?;
        Ok(Box::new(opened.take(span.end.saturating_sub(span.start))))
    }

    fn sync(&self, file: u32) -> Result<(), StoreError> {
        self.open_to_write(file)?.sync_all()?;
        Ok(())
    }

    fn seal(&self, files: u32) -> Result<(), StoreError> {
        for file in 0..files {
            let name = file.to_string();
            let there = rustix::fs::statat(&*self.folder, name, AtFlags::SYMLINK_NOFOLLOW);
            if if_there(there)?.is_none() {
                self.sync(file)?;
            }
        }
        rustix::fs::fsync(&*self.folder).map_err(to_store_error)?;
        let (Folders { root, staging, .. }, name) = (&*self.folders, self.id.as_str());
        rustix::fs::renameat(staging, name, root, name).map_err(to_store_error)?;
        let synced = rustix::fs::fsync(root).and_then(|()| rustix::fs::fsync(staging));
        synced.map_err(|error| {
            // Nobody may find what is perhaps gone after a power cut. Should this fail too, the next start takes it back.
            let _ = self.unseal();
            to_store_error(error)
        })
    }

    fn unseal(&self) -> Result<(), StoreError> {
        let (Folders { root, staging, .. }, name) = (&*self.folders, self.id.as_str());
        if_there(rustix::fs::renameat(root, name, staging, name))?;
        Ok(())
    }

    fn discard(&self) -> Result<(), StoreError> {
        remove_folder(&self.folders.staging, self.id.as_str()).map_err(to_store_error)?;
        Ok(())
    }
}

/// A file that grows.
struct Appended {
    folders: Arc<Folders>,
    file: Arc<File>,
    end: u64,
    since_space_check: u64,
    write_back: WriteBack,
    trial: Option<Trial>,
}

/// What is to be taken back unless it is kept.
struct Trial {
    folder: Arc<OwnedFd>,
    marker: String,
    at: u64,
}

impl Appending for Appended {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.since_space_check = self.since_space_check.saturating_add(length);
        if self.since_space_check >= SPACE_CHECK_BYTES {
            check_space(&self.folders)?;
            self.since_space_check = 0;
        }
        self.file.write_all_at(bytes, self.end)?;
        self.end = self.end.saturating_add(length);
        self.write_back.written(&self.file, length)?;
        Ok(())
    }

    fn keep(mut self: Box<Self>) -> Result<(), StoreError> {
        self.write_back.finish()?;
        if let Some(Trial { folder, marker, .. }) = &self.trial {
            remove_marker(folder, marker).map_err(to_store_error)?;
            self.trial = None;
        }
        Ok(())
    }
}

impl Drop for Appended {
    fn drop(&mut self) {
        if let Some(Trial { folder, marker, at }) = &self.trial {
            // Should this fail, the marker is still there for the next start, and whoever appends next begins where this began.
            let _ = self
                .file
                .set_len(*at)
                .and_then(|()| Ok(remove_marker(folder, marker)?));
        }
    }
}

//! Content in a directory: `{root}/{id}/{number}`, with uploads on their way in under `{root}/staging/{id}/`.
//!
//! Only ids and numbers become names on disk, and everything is opened relative to a directory handle and never through
//! a symbolic link. A file that stays at a place of its own is the link `{number}.place`, which is read and not followed: see
//! [`place`]. An upload becomes visible by one rename, after its bytes and both directories are synced. The file
//! `unclaimed` travels with it and is unlinked when the publication is kept.

mod drafts;
mod staging;

use std::ffi::{CStr, OsString};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use moka::future::Cache;
use rustix::fs::{Advice, AtFlags, Dir, Mode, OFlags, fadvise};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use self::drafts::DraftFolder;
use self::staging::StagedUpload;
use super::content::{ContentFile, ContentStore, DraftStaging, Sealed, Staging};
use super::{StoreError, place};
use crate::domain::publication::PublicationId;
use crate::domain::torrent::Stamp;

/// Beside the sealed content, so that sealing is a rename. No id has seven characters.
const STAGING: &str = "staging";

/// In every upload, and in sealed content until it is claimed.
const UNCLAIMED: &str = "unclaimed";

/// Behind the number of a file that lies at a place of its own.
const PLACE: &str = ".place";

/// How content is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Files kept open for reading, at most.
    pub open_files: u64,
    /// Bytes of the disk that uploads never fill: the database and the logs need room too.
    pub reserve_bytes: u64,
    /// Bytes of an upload that may wait in memory before they are written back to the disk.
    pub write_back_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            open_files: 512,
            reserve_bytes: 256 * 1024 * 1024,
            write_back_bytes: 32 * 1024 * 1024,
        }
    }
}

/// Content in a directory. Cheap to clone: all clones are one directory.
#[derive(Clone)]
pub struct FileStore {
    folders: Arc<Folders>,
    open_files: Cache<(PublicationId, u32), Arc<SealedFile>>,
}

/// The directory handles that everything is opened relative to.
struct Folders {
    root: OwnedFd,
    staging: OwnedFd,
    options: Options,
}

impl FileStore {
    /// Opens the directory at `root`; makes it where there is none.
    ///
    /// # Errors
    /// [`StoreError::Io`] where it cannot be made or opened.
    pub fn open(root: &Path, options: Options) -> Result<Self, StoreError> {
        std::fs::create_dir_all(root)?;
        let parent = root.canonicalize()?.join("..");
        let root = OwnedFd::from(File::open(root)?);
        match make_folder(&root, STAGING) {
            Ok(()) | Err(Errno::EXIST) => (),
            Err(error) => return Err(to_store_error(error)),
        }
        let staging = open_folder(&root, STAGING).map_err(to_store_error)?;
        // Content is only as durable as the names of the folders above it.
        rustix::fs::fsync(&root).map_err(to_store_error)?;
        File::open(parent)?.sync_all()?;
        let open_files = Cache::new(options.open_files);
        Ok(Self {
            folders: Arc::new(Folders {
                root,
                staging,
                options,
            }),
            open_files,
        })
    }

    /// Runs `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folders) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let folders = Arc::clone(&self.folders);
        tokio::task::spawn_blocking(move || work(&folders))
            .await
            .map_err(io::Error::other)?
    }
}

#[async_trait]
impl ContentStore for FileStore {
    fn stage(&self, id: PublicationId) -> Result<Box<dyn Staging>, StoreError> {
        let upload = StagedUpload::begin(Arc::clone(&self.folders), id)?;
        Ok(Box::new(upload))
    }

    fn stage_draft(&self, id: PublicationId) -> Result<Box<dyn DraftStaging>, StoreError> {
        let draft = DraftFolder::open(Arc::clone(&self.folders), id)?;
        Ok(Box::new(draft))
    }

    async fn open(
        &self,
        id: PublicationId,
        stored_as: u32,
    ) -> Result<Option<Arc<dyn ContentFile>>, StoreError> {
        if let Some(file) = self.open_files.get(&(id, stored_as)).await
            && file.has_its_name()
        {
            return Ok(Some(file));
        }
        let opened = self
            .blocking(move |folders| folders.open_sealed(id, stored_as))
            .await?;
        let Some(file) = opened.map(Arc::new) else {
            self.open_files.invalidate(&(id, stored_as)).await;
            return Ok(None);
        };
        self.open_files
            .insert((id, stored_as), Arc::clone(&file))
            .await;
        Ok(Some(file))
    }

    async fn claim(&self, id: PublicationId) -> Result<(), StoreError> {
        self.blocking(move |folders| folders.claim(id)).await
    }

    async fn remove(&self, id: PublicationId) -> Result<(), StoreError> {
        let removed = self.blocking(move |folders| folders.remove(id)).await?;
        for stored_as in removed {
            self.open_files.invalidate(&(id, stored_as)).await;
        }
        Ok(())
    }

    async fn sealed(&self) -> Result<Vec<Sealed>, StoreError> {
        self.blocking(Folders::sealed).await
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        self.folders.free_bytes()
    }

    fn open_files(&self) -> u64 {
        // The cache's own count lags behind.
        u64::try_from(self.open_files.iter().count()).unwrap_or(u64::MAX)
    }

    async fn staged_bytes(&self, id: PublicationId) -> Result<u64, StoreError> {
        self.blocking(move |folders| folders.staged_bytes(id)).await
    }

    async fn discard_stagings(&self, kept: Vec<PublicationId>) -> Result<(), StoreError> {
        self.blocking(move |folders| folders.discard_stagings(&kept))
            .await
    }
}

impl Folders {
    fn open_sealed(
        &self,
        id: PublicationId,
        stored_as: u32,
    ) -> Result<Option<SealedFile>, StoreError> {
        let Some(folder) = if_there(open_folder(&self.root, id.as_str()))? else {
            return Ok(None);
        };
        let own = open_file(&folder, &stored_as.to_string(), OFlags::RDONLY);
        let (file, place) = match if_there(own)? {
            Some(own) => (Some(own), None),
            None => match if_there(rustix::fs::readlinkat(&folder, reference(stored_as), []))? {
                Some(link) => {
                    let place = PathBuf::from(OsString::from_vec(link.into_bytes()));
                    (place::find(&place)?, Some(place))
                }
                None => (None, None),
            },
        };
        let Some(file) = file else {
            return Ok(None);
        };
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then(|| SealedFile {
            length: metadata.len(),
            file: Arc::new(file),
            place,
        }))
    }

    fn claim(&self, id: PublicationId) -> Result<(), StoreError> {
        let claimed = open_folder(&self.root, id.as_str())
            .and_then(|folder| rustix::fs::unlinkat(folder, UNCLAIMED, AtFlags::empty()));
        if_there(claimed)?;
        Ok(())
    }

    /// Moves the content out of sight in one step, then unlinks it: a crash leaves all of it or, to the next start, none.
    fn remove(&self, id: PublicationId) -> Result<Vec<u32>, StoreError> {
        let hidden = format!("{id}.removed");
        let moved = rustix::fs::renameat(&self.root, id.as_str(), &self.staging, &hidden);
        if if_there(moved)?.is_none() {
            return Ok(Vec::new());
        }
        rustix::fs::fsync(&self.root).map_err(to_store_error)?;
        let names = remove_folder(&self.staging, &hidden).map_err(to_store_error)?;
        let numbers = names.iter().filter_map(|name| {
            let number = name.strip_suffix(PLACE).unwrap_or(name);
            number.parse().ok()
        });
        Ok(numbers.collect())
    }

    fn sealed(&self) -> Result<Vec<Sealed>, StoreError> {
        let mut sealed = Vec::new();
        for name in entries(&self.root).map_err(to_store_error)? {
            // What is no id (the staging area, a file system's `lost+found`) is not ours to judge.
            let Ok(id) = name.parse::<PublicationId>() else {
                continue;
            };
            let marker = open_folder(&self.root, &name).and_then(|folder| {
                rustix::fs::statat(folder, UNCLAIMED, AtFlags::SYMLINK_NOFOLLOW)
            });
            let is_claimed = if_there(marker)?.is_none();
            sealed.push(Sealed { id, is_claimed });
        }
        Ok(sealed)
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        let disk = rustix::fs::fstatvfs(&self.root).map_err(to_store_error)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        Ok(free.saturating_sub(self.options.reserve_bytes))
    }

    fn staged_bytes(&self, id: PublicationId) -> Result<u64, StoreError> {
        let Some(folder) = if_there(open_folder(&self.staging, id.as_str()))? else {
            return Ok(0);
        };
        let mut bytes = 0_u64;
        for name in entries(&folder).map_err(to_store_error)? {
            let file = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
            let length = if_there(file)?.map_or(0, |file| file.st_size);
            bytes = bytes.saturating_add(u64::try_from(length).unwrap_or(0));
        }
        Ok(bytes)
    }

    fn discard_stagings(&self, kept: &[PublicationId]) -> Result<(), StoreError> {
        for name in entries(&self.staging).map_err(to_store_error)? {
            if name.parse().is_ok_and(|id| kept.contains(&id)) {
                continue;
            }
            remove_folder(&self.staging, &name).map_err(to_store_error)?;
        }
        Ok(())
    }
}

/// One file of sealed content, open.
struct SealedFile {
    file: Arc<File>,
    length: u64,
    /// Where it lies, if that is not in our folder.
    place: Option<PathBuf>,
}

impl SealedFile {
    /// Whether nobody has removed it or put another in its place.
    fn has_its_name(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| {
            let place = self.place.as_deref();
            metadata.nlink() > 0 && place.is_none_or(|place| place::is_at(place, &metadata))
        })
    }

    /// Nobody shortens sealed files but the end of a read could lie past theirs.
    fn check_end(&self, offset: u64, length: usize) -> io::Result<()> {
        let end = u64::try_from(length)
            .ok()
            .and_then(|length| offset.checked_add(length));
        match end {
            Some(end) if end <= self.length => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl SealedFile {
    /// Whether both ends of a stretch are in memory. What lies between them was read with them, as a rule; where it was
    /// dropped since, the disk is waited for in place.
    fn is_in_memory(&self, offset: u64, length: usize) -> io::Result<bool> {
        let last = offset.saturating_add((length as u64).saturating_sub(1));
        for at in [offset, last] {
            let mut byte = [0];
            if self.try_read(at, &mut [IoSliceMut::new(&mut byte)])? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[async_trait]
impl ContentFile for SealedFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn stamp(&self) -> io::Result<Stamp> {
        Ok(place::stamp(&self.file.metadata()?))
    }

    fn let_go(&self, offset: u64, length: u64) {
        // It is a piece of advice: where the system does not take it, nothing is lost.
        let _ = fadvise(
            &self.file,
            offset,
            NonZeroU64::new(length),
            Advice::DontNeed,
        );
    }

    fn try_read(&self, offset: u64, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let wanted = buffers.iter().map(|buffer| buffer.len()).sum();
        self.check_end(offset, wanted)?;
        match read_without_waiting(&self.file, buffers, offset) {
            Ok(0) if wanted > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => Ok(read),
            // Not in the page cache, or a file system that cannot tell.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn try_send(&self, offset: u64, length: usize, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.check_end(offset, length)?;
        if !self.is_in_memory(offset, length)? {
            return Ok(0);
        }
        match send_from_cache(&self.file, offset, length, socket) {
            Ok(0) if length > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(sent) => Ok(sent),
            // A file system, or an operating system, that only lets its files be read.
            Err(Errno::INVAL | Errno::NOSYS) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    async fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.check_end(offset, length)?;
        let file = Arc::clone(&self.file);
        let read = move || {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, offset)?;
            Ok(bytes)
        };
        tokio::task::spawn_blocking(read)
            .await
            .map_err(io::Error::other)?
    }
}

#[cfg(target_os = "linux")]
fn read_without_waiting(
    file: &File,
    buffers: &mut [IoSliceMut<'_>],
    offset: u64,
) -> rustix::io::Result<usize> {
    rustix::io::preadv2(file, buffers, offset, rustix::io::ReadWriteFlags::NOWAIT)
}

/// Only Linux can read what is in memory and nothing else.
#[cfg(not(target_os = "linux"))]
fn read_without_waiting(_: &File, _: &mut [IoSliceMut<'_>], _: u64) -> rustix::io::Result<usize> {
    Err(Errno::NOSYS)
}

#[cfg(target_os = "linux")]
fn send_from_cache(
    file: &File,
    mut offset: u64,
    length: usize,
    socket: BorrowedFd<'_>,
) -> rustix::io::Result<usize> {
    rustix::fs::sendfile(socket, file, Some(&mut offset), length)
}

#[cfg(not(target_os = "linux"))]
fn send_from_cache(_: &File, _: u64, _: usize, _: BorrowedFd<'_>) -> rustix::io::Result<usize> {
    Err(Errno::NOSYS)
}

/// The link to the place of a file.
fn reference(stored_as: u32) -> String {
    format!("{stored_as}{PLACE}")
}

fn make_folder(parent: &OwnedFd, name: &str) -> rustix::io::Result<()> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700))
}

fn open_folder(parent: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn open_file(folder: &OwnedFd, name: &str, flags: OFlags) -> rustix::io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600)).map(File::from)
}

/// The names in a folder, but for `.` and `..` and what is no UTF-8: we never write such names.
fn entries(folder: &OwnedFd) -> rustix::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = CStr::to_str(entry.file_name()).unwrap_or_default();
        if !matches!(name, "" | "." | "..") {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Removes a folder and the files in it; gives their names. What is no folder is unlinked.
fn remove_folder(parent: &OwnedFd, name: &str) -> rustix::io::Result<Vec<String>> {
    let folder = match open_folder(parent, name) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(Errno::NOTDIR | Errno::LOOP) => {
            rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let names = entries(&folder)?;
    for file in &names {
        rustix::fs::unlinkat(&folder, file.as_str(), AtFlags::empty())?;
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?;
    Ok(names)
}

/// "Not there" is no error.
fn if_there<T>(result: rustix::io::Result<T>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(to_store_error(error)),
    }
}

fn to_store_error(error: Errno) -> StoreError {
    io::Error::from(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    fn store(folder: &tempfile::TempDir) -> FileStore {
        FileStore::open(&folder.path().join("content"), Options::default()).unwrap()
    }

    fn id(text: &str) -> PublicationId {
        text.parse().unwrap()
    }

    fn seal(store: &FileStore, id: PublicationId, files: &[&[u8]]) {
        let mut staging = store.stage(id).unwrap();
        for bytes in files {
            staging.begin_file().unwrap();
            staging.write(bytes).unwrap();
        }
        staging.seal().unwrap();
    }

    #[tokio::test]
    async fn keeps_content_as_the_port_says() {
        let folder = tempfile::tempdir().unwrap();
        conformance::content::check(&store(&folder)).await;
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn hands_bytes_in_memory_to_a_socket_and_no_others() {
        use std::io::Read;
        use std::os::fd::AsFd;

        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let content: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
        seal(&store, id("abcdefghij"), &[&content]);
        let file = store.open(id("abcdefghij"), 0).await.unwrap().unwrap();
        file.read(0, content.len()).await.unwrap();
        let is_at_hand = || file.try_read(0, &mut [IoSliceMut::new(&mut [0])]).unwrap() > 0;
        let (socket, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        let sent = file.try_send(10, 50_000, socket.as_fd()).unwrap();
        // Some file systems cannot tell what is in memory.
        assert_eq!(sent > 0, is_at_hand());
        let mut received = vec![0; sent];
        far.read_exact(&mut received).unwrap();
        assert!(received == content[10..10 + sent]);
        let past_the_end = file.try_send(99_999, 2, socket.as_fd()).unwrap_err();
        assert_eq!(past_the_end.kind(), io::ErrorKind::UnexpectedEof);

        let on_disk = File::open(folder.path().join("content/abcdefghij/0")).unwrap();
        fadvise(&on_disk, 0, None, Advice::DontNeed).unwrap();
        // And a file system in memory keeps its bytes there.
        let sent = file.try_send(0, 50_000, socket.as_fd()).unwrap();
        assert_eq!(sent > 0, is_at_hand());
    }

    #[tokio::test]
    async fn serves_no_file_through_a_symbolic_link() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        let content = folder.path().join("content");
        seal(&store, id("abcdefghij"), &[b"secret"]);
        std::os::unix::fs::symlink("abcdefghij", content.join("aaaaaaaaaa")).unwrap();
        std::fs::create_dir(content.join("bbbbbbbbbb")).unwrap();
        std::os::unix::fs::symlink("../abcdefghij/0", content.join("bbbbbbbbbb/0")).unwrap();
        for link in ["aaaaaaaaaa", "bbbbbbbbbb"] {
            assert!(store.open(id(link), 0).await.is_err(), "{link}");
        }
    }

    #[tokio::test]
    async fn a_file_cut_short_is_an_error_and_not_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        seal(&store, id("abcdefghij"), &[&[7; 10_000]]);
        let file = store.open(id("abcdefghij"), 0).await.unwrap().unwrap();
        let path = folder.path().join("content/abcdefghij/0");
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(5_000)
            .unwrap();

        let error = file.read(4_000, 2_000).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let mut buffer = [0; 2_000];
        let mut read = |offset| file.try_read(offset, &mut [IoSliceMut::new(&mut buffer)]);
        // A file system that cannot tell what is in memory leaves everything to `read`.
        if read(0).unwrap() > 0 {
            assert!(read(4_000).unwrap() <= 1_000);
            let error = read(5_000).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[tokio::test]
    async fn keeps_no_more_files_open_than_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            open_files: 2,
            ..Options::default()
        };
        let store = FileStore::open(folder.path(), options).unwrap();
        seal(&store, id("abcdefghij"), &[b"a".as_slice(); 20]);
        for number in 0..20 {
            store.open(id("abcdefghij"), number).await.unwrap().unwrap();
        }
        store.open_files.run_pending_tasks().await;
        assert!(store.open_files.entry_count() <= 2);
    }

    #[tokio::test]
    async fn a_reader_is_not_disturbed_by_removal() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        seal(&store, id("abcdefghij"), &[b"still here"]);
        let file = store.open(id("abcdefghij"), 0).await.unwrap().unwrap();
        store.remove(id("abcdefghij")).await.unwrap();
        assert_eq!(file.read(0, 10).await.unwrap(), b"still here");
        assert!(store.open(id("abcdefghij"), 0).await.unwrap().is_none());
    }

    #[test]
    fn refuses_an_upload_when_only_the_reserve_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            reserve_bytes: u64::MAX,
            ..Options::default()
        };
        let store = FileStore::open(folder.path(), options).unwrap();
        assert_eq!(store.free_bytes().unwrap(), 0);
        let refusal = store.stage(id("abcdefghij")).err().unwrap();
        assert!(matches!(refusal, StoreError::Full(_)), "{refusal:?}");
        assert_eq!(
            entries(&store.folders.staging).unwrap(),
            Vec::<String>::new()
        );
    }

    #[tokio::test]
    async fn leaves_alone_what_is_not_content() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder);
        std::fs::create_dir(folder.path().join("content/lost+found")).unwrap();
        assert_eq!(store.sealed().await.unwrap(), []);
        std::fs::write(folder.path().join("content/staging/stray"), b"x").unwrap();
        store.discard_stagings(Vec::new()).await.unwrap();
        assert!(!folder.path().join("content/staging/stray").exists());
    }
}

//! The folder that a download goes to: a torrent's files under their own names.
//!
//! Names come from strangers. So everything is opened relative to the folder's handle, one component at a time, and never through a symbolic
//! link; and what lies there under a torrent's name is only taken for the torrent's if it may be: a plain file, and no longer than the torrent's.
//! Pads have no file. Written bytes are the operating system's to bring to the disk: what a crash takes is found missing when the download goes on.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::proto::metainfo::path::FilePath;

/// Buffers that one call to the operating system may write (`IOV_MAX` is 1024).
const BUFFERS_AT_ONCE: usize = 512;

/// Why a folder cannot take a download.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// What lies there is longer than the torrent's file, so it is another file.
    #[error(
        "{path} is there already, {actual} bytes long where the torrent's is {expected}; move it away or choose another folder"
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Bytes in what lies there.
        actual: u64,
        /// Bytes in the torrent's file.
        expected: u64,
    },
    /// What lies there holds bytes, and none of them are the torrent's.
    #[error("{0} is there already and is another file; move it away or choose another folder")]
    Foreign(PathBuf),
    /// A symbolic link or a device lies there, a folder where a file should be, or the other way round.
    #[error(
        "{0} is there already and is no plain file or folder; move it away or choose another folder"
    )]
    NotPlain(PathBuf),
    /// The disk is full.
    #[error(
        "the disk is full; free some space and start the download again, it goes on where it was"
    )]
    Full(#[source] io::Error),
    /// Reading or writing failed.
    #[error("{path} cannot be used")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// A file that a folder is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where, below the folder.
    pub path: FilePath,
    /// Bytes in the file when it is complete.
    pub length: u64,
}

/// An open folder. Its methods block: call them on a thread that may.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    root: OwnedFd,
    /// One for each file of the torrent; `None` for pads.
    targets: Vec<Option<Target>>,
    /// The file that was used last, by its place among the targets: most pieces go on where the last one ended.
    open: Option<(usize, File)>,
}

impl Folder {
    /// Opens the folder at `path`, makes it where there is none, and looks at what lies there already.
    ///
    /// # Errors
    /// [`FolderError`] where something lies there that cannot be the torrent's.
    pub fn open(path: &Path, targets: Vec<Option<Target>>) -> Result<Self, FolderError> {
        let open = || {
            std::fs::create_dir_all(path)?;
            File::open(path)
        };
        let root = open().map_err(|source| FolderError::Io {
            path: path.to_owned(),
            source,
        })?;
        let mut folder = Self {
            path: path.to_owned(),
            root: root.into(),
            targets,
            open: None,
        };
        for file in 0..folder.targets.len() {
            folder.open_file(file)?;
        }
        Ok(folder)
    }

    /// Where a file lies, for messages.
    pub fn path_of(&self, file: usize) -> PathBuf {
        let target = self.targets.get(file).and_then(Option::as_ref);
        target.map_or_else(
            || self.path.clone(),
            |target| self.path.join(target.path.to_string()),
        )
    }

    /// Reads from `offset` of a file into `buffer`; gives the bytes that were there. A file's end, a hole or a missing file gives fewer than
    /// asked for.
    ///
    /// # Errors
    /// [`FolderError`] where what lies there is not the torrent's or cannot be read.
    pub fn read(
        &mut self,
        file: usize,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, FolderError> {
        let Some(opened) = self.open_file(file)? else {
            return Ok(0);
        };
        let result = read_present(opened, offset, buffer);
        result.map_err(|source| self.failed(file, source))
    }

    /// Writes `buffers`, one after another, from `offset` of a file; makes the file and its folders where there are none.
    ///
    /// # Errors
    /// [`FolderError::Full`], or whatever else keeps the bytes from being written.
    pub fn write(
        &mut self,
        file: usize,
        offset: u64,
        buffers: &mut [IoSlice<'_>],
    ) -> Result<(), FolderError> {
        let Some(opened) = self.make_file(file)? else {
            return Ok(());
        };
        let mut at = offset;
        let result = buffers
            .chunks_mut(BUFFERS_AT_ONCE)
            .try_for_each(|buffers| write_all_at(opened, &mut at, buffers));
        result.map_err(|source| self.failed(file, source))
    }

    /// Makes the files that have no bytes: no piece will.
    ///
    /// # Errors
    /// [`FolderError`] where one cannot be made.
    pub fn make_empty_files(&mut self) -> Result<(), FolderError> {
        for file in 0..self.targets.len() {
            let target = self.targets.get(file).and_then(Option::as_ref);
            if target.is_some_and(|target| target.length == 0) {
                self.make_file(file)?;
            }
        }
        Ok(())
    }

    /// The file as it lies there; `None` where it does not, or is a pad.
    fn open_file(&mut self, file: usize) -> Result<Option<&File>, FolderError> {
        self.switch_to(file, OFlags::empty())
    }

    /// The file, made where there is none; `None` for pads.
    fn make_file(&mut self, file: usize) -> Result<Option<&File>, FolderError> {
        self.switch_to(file, OFlags::CREATE)
    }

    fn switch_to(&mut self, file: usize, create: OFlags) -> Result<Option<&File>, FolderError> {
        if self.open.as_ref().is_none_or(|(at, _)| *at != file) {
            let Some(target) = self.targets.get(file).and_then(Option::as_ref) else {
                return Ok(None);
            };
            let opened = match open_below(&self.root, &target.path, create) {
                Ok(opened) => opened,
                Err(Errno::NOENT) if create.is_empty() => return Ok(None),
                Err(error) => return Err(self.failed(file, error.into())),
            };
            self.check(file, target, &opened)?;
            self.open = Some((file, opened));
        }
        Ok(self.open.as_ref().map(|(_, opened)| opened))
    }

    fn check(&self, file: usize, target: &Target, opened: &File) -> Result<(), FolderError> {
        let metadata = opened
            .metadata()
            .map_err(|source| self.failed(file, source))?;
        if !metadata.is_file() {
            return Err(FolderError::NotPlain(self.path_of(file)));
        }
        if metadata.len() > target.length {
            return Err(FolderError::TooLong {
                path: self.path_of(file),
                actual: metadata.len(),
                expected: target.length,
            });
        }
        Ok(())
    }

    fn failed(&self, file: usize, source: io::Error) -> FolderError {
        let path = self.path_of(file);
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT) => FolderError::Full(source),
            // A symbolic link that we do not follow, or a file where a folder should be.
            Some(Errno::LOOP | Errno::NOTDIR | Errno::ISDIR) => FolderError::NotPlain(path),
            _ => FolderError::Io { path, source },
        }
    }
}

/// Opens a file below `root`, folder by folder. With `CREATE` what is missing is made.
fn open_below(root: &OwnedFd, path: &FilePath, create: OFlags) -> rustix::io::Result<File> {
    let mut folders = path.components();
    let name = folders.next_back().ok_or(Errno::INVAL)?;
    let mut inner: Option<OwnedFd> = None;
    for name in folders {
        let outer = inner.as_ref().unwrap_or(root).as_fd();
        if !create.is_empty() {
            match rustix::fs::mkdirat(outer, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(outer, name, flags, Mode::empty())?;
        inner = Some(folder);
    }
    let folder = inner.as_ref().unwrap_or(root).as_fd();
    // Not to wait for the other end of a pipe that somebody has put there.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | create;
    let mode = Mode::from_raw_mode(0o666);
    rustix::fs::openat(folder, name, flags, mode).map(File::from)
}

fn read_present(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    if is_hole(file, offset, buffer.len() as u64) {
        return Ok(0);
    }
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether nothing was ever written to a stretch of a file: an unfinished download is mostly holes, and reading zeros takes time.
#[cfg(target_os = "linux")]
fn is_hole(file: &File, offset: u64, length: u64) -> bool {
    use rustix::fs::{SeekFrom, seek};
    match seek(file, SeekFrom::Data(offset)) {
        Ok(data) => data >= offset.saturating_add(length),
        Err(error) => error == Errno::NXIO,
    }
}

#[cfg(not(target_os = "linux"))]
fn is_hole(_: &File, _: u64, _: u64) -> bool {
    false
}

fn write_all_at(file: &File, at: &mut u64, mut buffers: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !buffers.is_empty() {
        match rustix::io::pwritev(file, buffers, *at) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                *at += written as u64;
                IoSlice::advance_slices(&mut buffers, written);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn targets(files: &[(&str, u64)]) -> Vec<Option<Target>> {
        let target = |(path, length): &(&str, u64)| Target {
            path: FilePath::parse(path).unwrap(),
            length: *length,
        };
        files.iter().map(|file| Some(target(file))).collect()
    }

    fn write(
        folder: &mut Folder,
        file: usize,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), FolderError> {
        folder.write(file, offset, &mut [IoSlice::new(bytes)])
    }

    #[test]
    fn makes_files_and_folders_when_their_bytes_come() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/folder");
        let files = [("t/a/b", 6), ("t/empty", 0), ("t/later", 3)];
        let mut folder = Folder::open(&path, targets(&files)).unwrap();
        let buffers = &mut [IoSlice::new(b"de"), IoSlice::new(b""), IoSlice::new(b"f")];
        folder.write(0, 3, buffers).unwrap();
        write(&mut folder, 0, 0, b"abc").unwrap();
        folder.make_empty_files().unwrap();
        assert_eq!(std::fs::read(path.join("t/a/b")).unwrap(), b"abcdef");
        assert_eq!(std::fs::read(path.join("t/empty")).unwrap(), b"");
        assert!(!path.join("t/later").exists());
    }

    #[test]
    fn writes_more_buffers_than_the_system_takes_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..5_000_u32).map(|at| (at % 251) as u8).collect();
        let mut folder = Folder::open(dir.path(), targets(&[("f", 5_000)])).unwrap();
        let mut buffers: Vec<IoSlice> = bytes.chunks(2).map(IoSlice::new).collect();
        folder.write(0, 0, &mut buffers).unwrap();
        assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), bytes);
    }

    #[test]
    fn reads_what_is_there_and_no_holes() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::open(dir.path(), targets(&[("f", 1 << 20), ("g", 1)])).unwrap();
        write(&mut folder, 0, 1 << 19, b"abc").unwrap();
        let mut buffer = [0; 5];
        assert_eq!(folder.read(0, 1 << 19, &mut buffer).unwrap(), 3);
        assert_eq!(&buffer[..3], b"abc");
        assert_eq!(folder.read(0, 0, &mut buffer).unwrap(), 0);
        assert_eq!(folder.read(1, 0, &mut buffer).unwrap(), 0);
    }

    #[test]
    fn refuses_a_longer_file_and_leaves_it_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), b"mine").unwrap();
        let refused = Folder::open(dir.path(), targets(&[("f", 3)]));
        assert!(matches!(
            refused,
            Err(FolderError::TooLong {
                actual: 4,
                expected: 3,
                ..
            })
        ));
        assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"mine");
    }

    #[test]
    fn follows_no_symbolic_link() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::fs::write(elsewhere.path().join("f"), b"").unwrap();
        symlink(elsewhere.path().join("f"), dir.path().join("f")).unwrap();
        symlink(elsewhere.path(), dir.path().join("t")).unwrap();
        for name in ["f", "t/f", "t/new"] {
            let refused = Folder::open(dir.path(), targets(&[(name, 3)]))
                .and_then(|mut folder| write(&mut folder, 0, 0, b"abc"));
            assert!(
                matches!(refused, Err(FolderError::NotPlain(_))),
                "{name}: {refused:?}"
            );
        }
        assert_eq!(std::fs::read(elsewhere.path().join("f")).unwrap(), b"");
        assert!(!elsewhere.path().join("new").exists());
    }

    #[test]
    fn refuses_what_is_no_plain_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        std::fs::write(dir.path().join("file"), b"").unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::RWXU,
            0,
        )
        .unwrap();
        for name in ["folder", "file/below", "pipe"] {
            let refused = Folder::open(dir.path(), targets(&[(name, 3)]));
            assert!(
                matches!(refused, Err(FolderError::NotPlain(_))),
                "{name}: {refused:?}"
            );
        }
    }
}

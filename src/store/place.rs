//! Files that are published where they lie: they stay their owners', and may change or go at any time.
//!
//! A place is a path from the root without symbolic links, and it is opened so: a link that is put on the way later leads nowhere. What
//! is no regular file is not opened, and a pipe is not waited for.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::domain::torrent::Stamp;

/// Opens the file at a place to read it.
///
/// # Errors
/// [`io::Error`] where there is none, or it is no regular file.
pub fn open(place: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match open_without_links(place, flags) {
        // Old systems, and containers that do not know the call.
        Err(Errno::NOSYS | Errno::PERM) => {
            rustix::fs::open(place, flags, Mode::empty()).map(File::from)
        }
        opened => opened,
    }?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is no regular file",
        ))
    }
}

/// The same, but `None` where the file is not at its place any more, or not for us.
pub(super) fn find(place: &Path) -> io::Result<Option<File>> {
    match open(place) {
        Ok(file) => Ok(Some(file)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidInput => Ok(None),
            _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Ok(None),
            _ => Err(error),
        },
    }
}

/// Whether an open file is still the one at a place.
pub(super) fn is_at(place: &Path, file: &Metadata) -> bool {
    let there = std::fs::symlink_metadata(place);
    there.is_ok_and(|there| (there.dev(), there.ino()) == (file.dev(), file.ino()))
}

/// How a file looks.
pub fn stamp(metadata: &Metadata) -> Stamp {
    Stamp {
        length: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        inode: metadata.ino(),
    }
}

#[cfg(target_os = "linux")]
fn open_without_links(place: &Path, flags: OFlags) -> rustix::io::Result<File> {
    let resolve = rustix::fs::ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(CWD, place, flags, Mode::empty(), resolve).map(File::from)
}

#[cfg(not(target_os = "linux"))]
fn open_without_links(_: &Path, _: OFlags) -> rustix::io::Result<File> {
    Err(Errno::NOSYS)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn opens_regular_files_alone_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let at = |name: &str| root.join(name);
        std::fs::create_dir(at("folder")).unwrap();
        std::fs::write(at("folder/file"), "x").unwrap();
        symlink("folder", at("link to folder")).unwrap();
        symlink("folder/file", at("link to file")).unwrap();
        let pipe = std::process::Command::new("mkfifo")
            .arg(at("pipe"))
            .status();
        assert!(pipe.unwrap().success());
        let opened = open(&at("folder/file")).unwrap();
        assert!(is_at(&at("folder/file"), &opened.metadata().unwrap()));
        let others = [
            "folder",
            "link to file",
            "link to folder/file",
            "pipe",
            "folder/file/x",
            "nothing",
        ];
        for name in others {
            assert!(open(&at(name)).is_err(), "{name}");
            assert!(find(&at(name)).unwrap().is_none(), "{name}");
            assert!(
                !is_at(&at(name), &opened.metadata().unwrap()) || name.contains("link to folder"),
                "{name}"
            );
        }
    }
}

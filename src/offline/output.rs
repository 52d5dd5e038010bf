//! A torrent file written whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What becomes of a file that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and that is an error.
    #[default]
    Keep,
    /// The new one takes its place.
    Overwrite,
}

/// Why a file was not written. Then what was there before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// There is a file, and it is to be kept.
    #[error("{path} is there already", path = .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is something that no file can take the place of: a folder, a device.
    #[error("{path} is there already, and is no ordinary file", path = .path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// The system does not let us.
    #[error("{path} cannot be written", path = .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Checks what can be known before there is anything to write, so that nobody hashes for an hour in vain.
///
/// # Errors
/// [`OutputError`].
pub fn check(path: &Path, existing: Existing) -> Result<(), OutputError> {
    let to_owned = || path.to_owned();
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(OutputError::NotAFile { path: to_owned() }),
        Ok(_) if existing == Existing::Keep => Err(OutputError::Exists { path: to_owned() }),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = fs::metadata(folder_of(path)).map_err(unwritable(path))?;
            if folder.is_dir() {
                Ok(())
            } else {
                Err(unwritable(path)(io::ErrorKind::NotADirectory.into()))
            }
        }
        Err(source) => Err(unwritable(path)(source)),
    }
}

/// Writes a file under another name, syncs it, and gives it its name in one step.
///
/// # Errors
/// [`OutputError`].
pub fn write(path: &Path, bytes: &[u8], existing: Existing) -> Result<(), OutputError> {
    check(path, existing)?;
    let folder = folder_of(path);
    let mut file = tempfile::Builder::new()
        .prefix(".sower-")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(unwritable(path))?;
    // Whoever could read the file before can read it after, and nobody else.
    let permissions = fs::metadata(path).map(|metadata| metadata.permissions());
    let written = permissions
        .map_or(Ok(()), |same| file.as_file().set_permissions(same))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.as_file().sync_all());
    written.map_err(unwritable(path))?;
    let named = match existing {
        Existing::Keep => file.persist_noclobber(path),
        Existing::Overwrite => file.persist(path),
    };
    named.map_err(|failed| match failed.error.kind() {
        io::ErrorKind::AlreadyExists => OutputError::Exists {
            path: path.to_owned(),
        },
        _ => unwritable(path)(failed.error),
    })?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(unwritable(path))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> OutputError {
    let path = path.to_owned();
    |source| OutputError::Unwritable { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[test]
    fn a_file_is_kept_unless_it_is_to_be_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.torrent");
        write(&path, b"one", Existing::Keep).unwrap();
        for refused in [
            check(&path, Existing::Keep),
            write(&path, b"two", Existing::Keep),
        ] {
            assert!(matches!(refused, Err(OutputError::Exists { .. })));
        }
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"three", Existing::Overwrite).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(names(folder.path()), ["a.torrent"], "nothing else is left");
    }

    #[test]
    fn others_may_read_it_as_they_may_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
        write(&ours, b"", Existing::Keep).unwrap();
        fs::write(&theirs, b"").unwrap();
        let mode = |path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(ours), mode(theirs));
    }

    #[test]
    fn whoever_could_read_it_before_can_read_it_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.torrent");
        fs::write(&path, b"one").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        write(&path, b"two", Existing::Overwrite).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
    }

    #[test]
    fn no_folder_and_no_device_is_overwritten() {
        for path in [Path::new("/dev/null"), &std::env::temp_dir()] {
            for existing in [Existing::Keep, Existing::Overwrite] {
                let refused = write(path, b"x", existing);
                assert!(matches!(refused, Err(OutputError::NotAFile { .. })));
            }
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_known_before() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), b"").unwrap();
        for path in ["absent/a.torrent", "file/a.torrent"] {
            let refused = check(&folder.path().join(path), Existing::Keep);
            assert!(
                matches!(refused, Err(OutputError::Unwritable { .. })),
                "{path}"
            );
        }
    }
}

//! A file that is replaced as a whole: after a crash it holds what it held before or what it was to hold, never a part.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read};
use std::path::Path;

/// Replaces the file at `path` by what `fill` writes.
///
/// # Errors
/// What the system or `fill` says; then the file is as it was.
pub fn write(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    // It may tell who was where.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut buffered = BufWriter::new(options.open(&unfinished)?);
    fill(&mut buffered)?;
    let whole = buffered
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    whole.sync_all()?;
    fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The bytes of the file at `path`; `None` where there is none.
///
/// # Errors
/// What the system says, and where the file is longer than `limit`.
pub fn read(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    let length = file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(length).is_ok_and(|length| length <= limit) {
        return Ok(Some(bytes));
    }
    Err(io::Error::new(
        io::ErrorKind::FileTooLarge,
        format!("the file {} is too long to be ours", path.display()),
    ))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_failed_write_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("swarms");
        assert_eq!(read(&path, 3).unwrap(), None);
        write(&path, |out| out.write_all(b"old")).unwrap();
        let failed = write(&path, |out| {
            out.write_all(b"half of the n")?;
            Err(io::Error::other("the disk is full"))
        });
        assert!(failed.is_err());
        assert_eq!(read(&path, 3).unwrap().unwrap(), b"old");
        assert!(read(&path, 2).is_err());
        write(&path, |out| out.write_all(b"new")).unwrap();
        assert_eq!(read(&path, 3).unwrap().unwrap(), b"new");
    }
}

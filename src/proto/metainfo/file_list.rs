//! The files of a torrent as v1 lists them: `length`, or `files` (BEP 3, BEP 47).

use super::files::{File, FileKind};
use super::info::{InfoError, InfoLimits};
use super::path::FilePath;
use crate::proto::bencode::Value;

/// A budget for paths: many short entries may share long folders, so that a small input asks for much memory.
#[derive(Debug)]
pub(super) struct PathBudget {
    left: usize,
    limit: usize,
}

impl PathBudget {
    /// What the bookkeeping of one component costs, about.
    const PER_COMPONENT: usize = 48;

    pub(super) const fn new(limits: &InfoLimits) -> Self {
        let limit = limits.path_bytes;
        Self { left: limit, limit }
    }

    /// Pays for a path that is kept.
    pub(super) fn charge(&mut self, path: &FilePath) -> Result<(), InfoError> {
        let cost = path
            .components()
            .iter()
            .map(|component| component.len().saturating_add(Self::PER_COMPONENT))
            .fold(0, usize::saturating_add);
        let limit = self.limit;
        self.left = self
            .left
            .checked_sub(cost)
            .ok_or(InfoError::PathsTooLong { limit })?;
        Ok(())
    }
}

/// Reads the list at `files`. Symbolic links are passed over; pads get a name of our own, for nobody writes them.
pub(super) fn read(list: Value<'_>, limits: &InfoLimits) -> Result<Vec<File>, InfoError> {
    let entries = list.list().ok_or(InfoError::WrongType {
        field: "files",
        expected: "a list",
    })?;
    let mut budget = PathBudget::new(limits);
    let (mut content, mut pads) = (0_usize, 0_usize);
    let mut files = Vec::new();
    for file in entries.map(read_entry) {
        let Some(file) = file? else {
            continue;
        };
        let count = match file.kind {
            FileKind::Content => &mut content,
            FileKind::Pad => &mut pads,
        };
        *count = count.saturating_add(1);
        if *count > limits.files {
            return Err(InfoError::TooManyFiles {
                limit: limits.files,
            });
        }
        budget.charge(&file.path)?;
        files.push(file);
    }
    Ok(files)
}

/// Reads a `length` field.
pub(super) fn read_length(length: Option<Value<'_>>) -> Result<u64, InfoError> {
    let length = length.ok_or(InfoError::Missing { field: "length" })?;
    length
        .as_integer()
        .and_then(|length| u64::try_from(length).ok())
        .ok_or(InfoError::WrongType {
            field: "length",
            expected: "an integer from 0",
        })
}

/// A pad of `length` zeros (BEP 47).
pub(super) fn pad(length: u64) -> Result<File, InfoError> {
    Ok(File {
        path: pad_path(length)?,
        length,
        offset: 0,
        kind: FileKind::Pad,
        pieces_root: None,
    })
}

/// BEP 47: a pad is called `.pad/N`, where N is its length; those of one length share a name.
pub(super) fn pad_path(length: u64) -> Result<FilePath, InfoError> {
    FilePath::from_components([".pad".to_owned(), length.to_string()]).map_err(InfoError::Path)
}

/// Whether an entry's `attr` has the letter (BEP 47).
pub(super) fn has_attribute(entry: Value<'_>, letter: u8) -> bool {
    entry
        .get("attr")
        .and_then(Value::as_bytes)
        .is_some_and(|letters| letters.contains(&letter))
}

fn read_entry(entry: Value<'_>) -> Result<Option<File>, InfoError> {
    if entry.dict().is_none() {
        return Err(InfoError::WrongType {
            field: "files",
            expected: "a list of dictionaries",
        });
    }
    let length = read_length(entry.get("length"))?;
    if has_attribute(entry, b'p') {
        return pad(length).map(Some);
    }
    if has_attribute(entry, b'l') {
        return refuse_long_symlink(length).map(|()| None);
    }
    Ok(Some(File {
        path: read_path(entry)?,
        length,
        offset: 0,
        kind: FileKind::Content,
        pieces_root: None,
    }))
}

/// BEP 47: a symbolic link has no bytes of its own. One that claims some would shift every piece after it.
pub(super) fn refuse_long_symlink(length: u64) -> Result<(), InfoError> {
    if length == 0 {
        Ok(())
    } else {
        Err(InfoError::WrongType {
            field: "length",
            expected: "0 for a symbolic link",
        })
    }
}

fn read_path(entry: Value<'_>) -> Result<FilePath, InfoError> {
    // Old torrents hold `path` in the publisher's local encoding, and its UTF-8 beside it.
    let path = entry
        .get("path.utf-8")
        .or_else(|| entry.get("path"))
        .ok_or(InfoError::Missing { field: "path" })?;
    let wrong = InfoError::WrongType {
        field: "path",
        expected: "a list of byte strings",
    };
    let Some(components) = path.list() else {
        return Err(wrong);
    };
    if components.clone().any(|one| one.as_bytes().is_none()) {
        return Err(wrong);
    }
    FilePath::from_components(
        components.map(|one| String::from_utf8_lossy(one.as_bytes().unwrap_or_default())),
    )
    .map_err(InfoError::Path)
}

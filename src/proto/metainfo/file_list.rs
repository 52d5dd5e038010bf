//! The files of a torrent as v1 lists them: `length`, or `files` (BEP 3, BEP 47).

use super::files::{File, FileKind};
use super::info::{InfoError, InfoLimits};
use super::path::{FilePath, Joined, PathError};
use crate::proto::bencode::Value;
use crate::proto::bencode::value::Walk;

/// A budget for paths: many short entries may share long folders, so that a small input asks for much memory.
#[derive(Debug)]
pub(super) struct PathBudget {
    left: usize,
    limit: usize,
}

impl PathBudget {
    /// What the bookkeeping of one file costs, about.
    const PER_FILE: usize = 48;

    pub(super) const fn new(limits: &InfoLimits) -> Self {
        let limit = limits.path_bytes;
        Self { left: limit, limit }
    }

    /// Pays for a path that is kept.
    pub(super) fn charge(&mut self, path: &FilePath) -> Result<(), InfoError> {
        let cost = path.as_str().len().saturating_add(Self::PER_FILE);
        let limit = self.limit;
        self.left = self
            .left
            .checked_sub(cost)
            .ok_or(InfoError::PathsTooLong { limit })?;
        Ok(())
    }
}

/// Takes the list at `files`, which comes next in a walk, whether it is sound or not.
pub(super) fn take(walk: &mut Walk<'_>, limits: &InfoLimits) -> Result<Vec<File>, InfoError> {
    walk.attempt(|inside| read(inside, limits))
}

/// Symbolic links are passed over; pads get a name of our own, for nobody writes them.
fn read(walk: &mut Walk<'_>, limits: &InfoLimits) -> Result<Vec<File>, InfoError> {
    if !walk.enter_list() {
        return Err(InfoError::WrongType {
            field: "files",
            expected: "a list",
        });
    }
    let mut budget = PathBudget::new(limits);
    let (mut content, mut pads) = (0_usize, 0_usize);
    let mut room = Joined::default();
    let mut files = Vec::new();
    while !walk.leave() {
        let Some(file) = Entry::take(walk)?.read(&mut room)? else {
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
    FilePath::from_components([".pad", &length.to_string()]).map_err(|source| InfoError::Path {
        field: "path",
        source,
    })
}

/// BEP 47: what a symbolic link points to must be there, as a list of names. It is not followed, nor made.
pub(super) fn check_symlink(target: Option<Value<'_>>) -> Result<(), InfoError> {
    let is_path = target
        .and_then(Value::list)
        .is_some_and(|mut names| names.all(|name| name.as_bytes().is_some()));
    if is_path {
        Ok(())
    } else {
        Err(InfoError::WrongType {
            field: "symlink path",
            expected: "a list of byte strings in a symbolic link",
        })
    }
}

/// How `BitComet` called its pads before BEP 47, and calls them still.
const UNMARKED_PAD: &[u8] = b"_____padding_file_";

/// The fields of an entry that mean something to us, found in one walk.
#[derive(Default)]
struct Entry<'a> {
    attr: Option<Value<'a>>,
    length: Option<Value<'a>>,
    path: Option<Value<'a>>,
    path_utf8: Option<Value<'a>>,
    symlink_path: Option<Value<'a>>,
}

impl<'a> Entry<'a> {
    fn take(walk: &mut Walk<'a>) -> Result<Self, InfoError> {
        if !walk.enter_dict() {
            return Err(InfoError::WrongType {
                field: "files",
                expected: "a list of dictionaries",
            });
        }
        let mut entry = Self::default();
        while let Some(key) = walk.key() {
            let value = walk.value();
            match key {
                b"attr" => entry.attr = value,
                b"length" => entry.length = value,
                b"path" => entry.path = value,
                b"path.utf-8" => entry.path_utf8 = value,
                b"symlink path" => entry.symlink_path = value,
                _ => {}
            }
        }
        Ok(entry)
    }

    /// The file; `None` for a symbolic link. `room` is where its path is put together.
    fn read(&self, room: &mut Joined) -> Result<Option<File>, InfoError> {
        if has_letter(self.attr, b'p') {
            return pad(read_length(self.length)?).map(Some);
        }
        // BEP 47: a symbolic link has no bytes of its own, whatever its `length` says. In the torrent of a program that
        // counted them the number of pieces does not fit, and that is found later.
        if has_letter(self.attr, b'l') {
            return check_symlink(self.symlink_path).map(|()| None);
        }
        let length = read_length(self.length)?;
        // Old torrents hold `path` in the publisher's local encoding, and its UTF-8 beside it.
        let path = self.path_utf8.or(self.path);
        let path = path.ok_or(InfoError::Missing { field: "path" })?;
        let (path, is_pad) = read_path(path, room)?;
        if is_pad {
            return pad(length).map(Some);
        }
        Ok(Some(File {
            path,
            length,
            offset: 0,
            kind: FileKind::Content,
            pieces_root: None,
        }))
    }
}

/// The path, and whether its last name is that of a pad.
fn read_path(path: Value<'_>, room: &mut Joined) -> Result<(FilePath, bool), InfoError> {
    let field = "path";
    let wrong = InfoError::WrongType {
        field,
        expected: "a list of byte strings",
    };
    let unsafe_name = |source| InfoError::Path { field, source };
    let mut walk = path.walk();
    if !walk.enter_list() {
        return Err(wrong);
    }
    let mut is_pad = false;
    room.clear();
    while !walk.leave() {
        let Some(component) = walk.bytes() else {
            return Err(wrong);
        };
        is_pad = component.starts_with(UNMARKED_PAD);
        room.push(component).map_err(unsafe_name)?;
    }
    let path = room.check().unwrap_or_else(|| in_another_encoding(path));
    Ok((path.map_err(unsafe_name)?, is_pad))
}

/// What can be read of a path that is no UTF-8.
fn in_another_encoding(path: Value<'_>) -> Result<FilePath, PathError> {
    let components = path.list().into_iter().flatten();
    FilePath::from_components(
        components.map(|one| String::from_utf8_lossy(one.as_bytes().unwrap_or_default())),
    )
}

/// Whether an `attr` field has the letter (BEP 47).
pub(super) fn has_letter(attr: Option<Value<'_>>, letter: u8) -> bool {
    attr.and_then(Value::as_bytes)
        .is_some_and(|letters| letters.contains(&letter))
}

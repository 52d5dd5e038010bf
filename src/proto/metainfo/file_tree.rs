//! The files of a torrent as v2 lists them: the `file tree` (BEP 52).

use super::file_list::{PathBudget, has_attribute, pad, read_length, refuse_long_symlink};
use super::files::{File, FileKind};
use super::info::{InfoError, InfoLimits};
use super::merkle::Hash;
use super::path::{FilePath, MAX_DEPTH, PathError};
use crate::proto::bencode::Value;

/// Reads the dictionary at `file tree`: its files in the order of the tree. Symbolic links are passed over.
pub(super) fn read(tree: Value<'_>, limits: &InfoLimits) -> Result<Vec<File>, InfoError> {
    let mut files = Vec::new();
    let mut budget = PathBudget::new(limits);
    let mut walk = tree.walk();
    // The names that lead to where the walk is.
    let mut path: Vec<&str> = Vec::new();
    if !walk.enter() {
        return Err(NOT_A_TREE);
    }
    let mut is_at_start = true;
    loop {
        match walk.key() {
            // An empty name stands alone, and tells of the file that the path so far is.
            Some(b"") => {
                let leaf = walk.value().filter(|leaf| leaf.dict().is_some());
                let (Some(leaf), true, None) = (leaf, is_at_start, walk.key()) else {
                    return Err(NOT_A_TREE);
                };
                if let Some((length, pieces_root)) = read_leaf(leaf)? {
                    let path =
                        FilePath::from_components(path.iter().copied()).map_err(InfoError::Path)?;
                    budget.charge(&path)?;
                    files.push(File {
                        path,
                        length,
                        offset: 0,
                        kind: FileKind::Content,
                        pieces_root,
                    });
                }
                if files.len() > limits.files {
                    return Err(InfoError::TooManyFiles {
                        limit: limits.files,
                    });
                }
                path.pop();
                is_at_start = false;
            }
            Some(name) => {
                let name = std::str::from_utf8(name)
                    .map_err(|_| InfoError::NotUtf8 { field: "file tree" })?;
                path.push(name);
                if path.len() > MAX_DEPTH {
                    return Err(InfoError::Path(PathError::TooDeep { limit: MAX_DEPTH }));
                }
                is_at_start = walk.enter();
                if !is_at_start {
                    return Err(NOT_A_TREE);
                }
            }
            None if is_at_start => return Err(NOT_A_TREE),
            None => {
                if path.pop().is_none() {
                    return Ok(files);
                }
            }
        }
    }
}

const NOT_A_TREE: InfoError = InfoError::WrongType {
    field: "file tree",
    expected: "a dictionary with a file or a folder at each name, and no folder empty",
};

/// Puts the pads between files that BEP 52 leaves unwritten: every file begins on a piece.
pub(super) fn align(files: Vec<File>, piece_length: u64) -> Result<Vec<File>, InfoError> {
    let mut aligned = Vec::with_capacity(files.len().saturating_mul(2));
    let mut at = 0_u64;
    for file in files {
        let next = at
            .checked_next_multiple_of(piece_length)
            .ok_or(InfoError::LengthOverflow)?;
        if file.length > 0 && next > at {
            aligned.push(pad(next.saturating_sub(at))?);
            at = next;
        }
        at = at
            .checked_add(file.length)
            .ok_or(InfoError::LengthOverflow)?;
        aligned.push(file);
    }
    Ok(aligned)
}

/// Length and root of a file; `None` for a symbolic link.
fn read_leaf(leaf: Value<'_>) -> Result<Option<(u64, Option<Hash>)>, InfoError> {
    if has_attribute(leaf, b'l') {
        let length = leaf
            .get("length")
            .map_or(Ok(0), |it| read_length(Some(it)))?;
        return refuse_long_symlink(length).map(|()| None);
    }
    let length = read_length(leaf.get("length"))?;
    if length == 0 {
        // libtorrent 2.0.0 to 2.0.3 wrote a root of zeros here.
        return Ok(Some((0, None)));
    }
    let root = leaf
        .get("pieces root")
        .ok_or(InfoError::Missing {
            field: "pieces root",
        })?
        .as_bytes()
        .and_then(|root| <Hash>::try_from(root).ok())
        .ok_or(InfoError::WrongType {
            field: "pieces root",
            expected: "32 bytes",
        })?;
    Ok(Some((length, Some(root))))
}

//! The files of a torrent as v2 lists them: the `file tree` (BEP 52).

use super::file_list::{check_symlink, has_letter, read_length};
use super::files::File;
use super::info::{InfoError, InfoLimits};
use super::listing::Listing;
use super::merkle::{HASH_LENGTH, Hash};
use super::path::{MAX_DEPTH, PathError};
use crate::proto::bencode::Value;
use crate::proto::bencode::value::Walk;

/// Takes the dictionary at `file tree`, which comes next in a walk, whether it is sound or not: its files in the order of
/// the tree.
pub(super) fn take(walk: &mut Walk<'_>, limits: &InfoLimits) -> Result<Vec<File>, InfoError> {
    walk.attempt(|inside| read(inside, limits))
}

/// Symbolic links are passed over.
fn read(walk: &mut Walk<'_>, limits: &InfoLimits) -> Result<Vec<File>, InfoError> {
    let mut listing = Listing::new(FIELD, walk.bytes_left(), limits);
    // The names that lead to where the walk is.
    let mut path: Vec<&str> = Vec::new();
    // The last key of each dictionary that the walk is in.
    let mut last: Vec<&[u8]> = vec![b""];
    if !walk.enter_dict() {
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
                match read_leaf(leaf)? {
                    None => listing.pass_link(),
                    Some((length, pieces_root)) => {
                        path.iter()
                            .try_for_each(|name| listing.push_name(name.as_bytes()))?;
                        listing.add(length, pieces_root)?;
                    }
                }
                path.pop();
                last.pop();
                is_at_start = false;
            }
            Some(name) => {
                // BEP 52: the files stand in the order of the tree, and programs sort it when they write it again.
                match last.last_mut() {
                    Some(last) if name > *last => *last = name,
                    _ => return Err(NOT_SORTED),
                }
                let name =
                    std::str::from_utf8(name).map_err(|_| InfoError::NotUtf8 { field: FIELD })?;
                path.push(name);
                if path.len() > MAX_DEPTH {
                    return Err(listing.unsafe_name(PathError::TooDeep { limit: MAX_DEPTH }));
                }
                is_at_start = walk.enter_dict();
                if !is_at_start {
                    return Err(NOT_A_TREE);
                }
                last.push(b"");
            }
            None if is_at_start => return Err(NOT_A_TREE),
            None => {
                last.pop();
                if path.pop().is_none() {
                    return Ok(listing.into_files());
                }
            }
        }
    }
}

const FIELD: &str = "file tree";

const NOT_A_TREE: InfoError = InfoError::WrongType {
    field: FIELD,
    expected: "a dictionary with a file or a folder at each name, and no folder empty",
};

const NOT_SORTED: InfoError = InfoError::WrongType {
    field: FIELD,
    expected: "sorted by name, for that is the order of its files",
};

/// Length and root of a file; `None` for a symbolic link.
fn read_leaf(leaf: Value<'_>) -> Result<Option<(u64, Option<Hash>)>, InfoError> {
    let (mut attr, mut length, mut root, mut symlink_path) = (None, None, None, None);
    for (key, value) in leaf.dict().into_iter().flatten() {
        match key {
            b"attr" => attr = Some(value),
            b"length" => length = Some(value),
            b"pieces root" => root = Some(value),
            b"symlink path" => symlink_path = Some(value),
            _ => {}
        }
    }
    if has_letter(attr, b'p') {
        return Err(InfoError::WrongType {
            field: "attr",
            expected: "without `p` in a file tree, for BEP 52 writes no pads there",
        });
    }
    if has_letter(attr, b'l') {
        return check_symlink(symlink_path).map(|()| None);
    }
    let length = read_length(length)?;
    if length == 0 {
        // libtorrent 2.0.0 to 2.0.3 wrote a root of zeros here.
        return Ok(Some((0, None)));
    }
    let field = "pieces root";
    root.ok_or(InfoError::Missing { field })?
        .as_bytes()
        .and_then(|root| <Hash>::try_from(root).ok())
        .filter(|root| *root != [0; HASH_LENGTH])
        .map(|root| Some((length, Some(root))))
        .ok_or(InfoError::WrongType {
            field,
            expected: "32 bytes, and not all zeros",
        })
}

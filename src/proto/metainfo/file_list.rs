//! The files of a torrent as v1 lists them: `length`, or `files` (BEP 3, BEP 47).

use super::files::File;
use super::info::{InfoError, InfoLimits};
use super::listing::Listing;
use crate::proto::bencode::Value;
use crate::proto::bencode::value::Walk;

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
    let mut listing = Listing::new("path", walk.bytes_left(), limits);
    while !walk.leave() {
        if !take_plain(walk, &mut listing)? {
            Entry::take(walk)?.read(&mut listing)?;
        }
    }
    Ok(listing.into_files())
}

/// Takes an entry of a length and a path and nothing else, as nearly all are; false, without a step, if the next is another.
fn take_plain(walk: &mut Walk<'_>, listing: &mut Listing<'_>) -> Result<bool, InfoError> {
    let mut inside = walk.clone();
    let Some(length) = plain_fields(&mut inside, listing) else {
        listing.forget_names();
        return Ok(false);
    };
    *walk = inside;
    listing.add(length, None)?;
    Ok(true)
}

fn plain_fields(walk: &mut Walk<'_>, listing: &mut Listing<'_>) -> Option<u64> {
    if !walk.step_over(b"d6:length") {
        return None;
    }
    let length = walk.small_integer()?;
    if !walk.step_over(b"4:pathl") {
        return None;
    }
    let mut last: &[u8] = b"";
    while !walk.leave() {
        last = walk.bytes()?;
        listing.push_name(last).ok()?;
    }
    (walk.leave() && !last.starts_with(UNMARKED_PAD)).then_some(length)
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

    /// Adds the file to the listing, unless it is a symbolic link.
    fn read(&self, listing: &mut Listing<'_>) -> Result<(), InfoError> {
        if has_letter(self.attr, b'p') {
            return listing.add_pad(read_length(self.length)?);
        }
        // BEP 47: a symbolic link has no bytes of its own, whatever its `length` says. In the torrent of a program that
        // counted them the number of pieces does not fit, and that is found later.
        if has_letter(self.attr, b'l') {
            listing.pass_link();
            return check_symlink(self.symlink_path);
        }
        let length = read_length(self.length)?;
        // Old torrents hold `path` in the publisher's local encoding, and its UTF-8 beside it.
        let path = self.path_utf8.or(self.path);
        let path = path.ok_or(InfoError::Missing { field: "path" })?;
        if push_path(path, listing)?.starts_with(UNMARKED_PAD) {
            return listing.add_pad(length);
        }
        listing.add(length, None)
    }
}

/// Adds the names of a path, and gives the last of them.
fn push_path<'a>(path: Value<'a>, listing: &mut Listing<'_>) -> Result<&'a [u8], InfoError> {
    let wrong = || InfoError::WrongType {
        field: "path",
        expected: "a list of byte strings",
    };
    let mut last: &[u8] = b"";
    for name in path.list().ok_or_else(wrong)? {
        last = name.as_bytes().ok_or_else(wrong)?;
        listing.push_name(last)?;
    }
    Ok(last)
}

/// Whether an `attr` field has the letter (BEP 47).
pub(super) fn has_letter(attr: Option<Value<'_>>, letter: u8) -> bool {
    attr.and_then(Value::as_bytes)
        .is_some_and(|letters| letters.contains(&letter))
}

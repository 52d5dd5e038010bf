//! Which names in the watch folder are passed over.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// A name that is passed over where it belongs to a file inside a folder, as a pattern.
pub(super) const PASSED_OVER: &str = "*~";

/// What programs put behind the name of a file that they are still downloading, or of a file of their own beside it.
const UNFINISHED: [&[u8]; 11] = [
    // Firefox, KTorrent
    b".part",
    // rsync
    b".partial",
    // Chrome
    b".crdownload",
    // Opera
    b".opdownload",
    // Safari
    b".download",
    // WinSCP
    b".filepart",
    // qBittorrent
    b".!qb",
    // uTorrent and BitTorrent
    b".!ut",
    b".!bt",
    // BitComet
    b".bc!",
    // aria2, beside the file
    b".aria2",
];

/// Whether a name says that the file or folder is still being downloaded.
pub(super) fn is_unfinished(name: &OsStr) -> bool {
    let name = name.as_bytes().to_ascii_lowercase();
    UNFINISHED.iter().any(|ending| name.ends_with(ending))
}

/// Whether a file or folder is nothing that anybody wants to publish: hidden, or the copy that an editor keeps of what was before.
pub(super) fn is_passed_over(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".") || name.as_bytes().ends_with(b"~")
}

/// Those among the names in a folder under which something whole may lie. Neither `x` nor `x.aria2` is among them where both are there.
pub(super) fn whole(names: Vec<OsString>) -> Vec<OsString> {
    let unfinished: HashSet<Vec<u8>> = names
        .iter()
        .filter(|name| is_unfinished(name))
        .map(|name| name.as_bytes().to_ascii_lowercase())
        .collect();
    let is_awaited = |name: &OsStr| {
        let mut beside = name.as_bytes().to_ascii_lowercase();
        let length = beside.len();
        UNFINISHED.iter().any(|ending| {
            beside.truncate(length);
            beside.extend_from_slice(ending);
            unfinished.contains(&beside)
        })
    };
    let mut whole = names;
    whole.retain(|name| !is_passed_over(name) && !is_unfinished(name) && !is_awaited(name));
    whole
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn left(names: &[&str]) -> Vec<String> {
        let names = names.iter().map(OsString::from).collect();
        let left = whole(names).into_iter();
        left.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn what_is_still_downloaded_is_passed_over() {
        let names = [
            "a.part",
            "b.crdownload",
            "c.!qB",
            "d.BC!",
            "e.download",
            "f",
            "g.part.iso",
            "part",
        ];
        assert_eq!(left(&names), ["f", "g.part.iso", "part"]);
    }

    #[test]
    fn a_file_is_passed_over_while_another_beside_it_says_that_it_is_unfinished() {
        let names = ["film.mkv", "film.mkv.aria2", "a", "A.part", "b", "b.txt"];
        assert_eq!(left(&names), ["b", "b.txt"]);
    }

    #[test]
    fn hidden_files_and_copies_of_editors_are_passed_over() {
        assert_eq!(left(&[".hidden", "notes~", "~notes", "."]), ["~notes"]);
    }

    #[test]
    fn names_need_not_be_utf_8() {
        let name = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let names = vec![name(b"\xe9"), name(b"\xe9.part"), name(b"\xea")];
        assert_eq!(whole(names), [name(b"\xea")]);
    }
}

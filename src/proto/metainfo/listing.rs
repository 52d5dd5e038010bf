//! The files of a torrent while they are read, one after another, within limits.
//!
//! A torrent may hold hundreds of thousands of files. A text for the path of each would cost more than to read them, and
//! weigh more than they do. So a thousand at a time share one: who keeps one path keeps no more than its neighbours'.

use std::ops::Range;

use super::files::{File, FileKind};
use super::info::{InfoError, InfoLimits};
use super::joined::Joined;
use super::merkle::Hash;
use super::path::{FilePath, PathError};

/// Files whose paths share a text, at most.
const BATCH: usize = 1024;

/// Bytes of bencode that a file takes, at least: `1:ad0:d6:lengthi0eee` in a tree, and more in a list.
const SHORTEST_ENTRY: usize = 20;

/// What the bookkeeping of one file costs, about.
const BYTES_PER_FILE: usize = 48;

/// The files that were read so far.
#[derive(Debug)]
pub(super) struct Listing<'l> {
    files: Vec<File>,
    /// The last of the files, with the places of their paths in the text that they will share.
    waiting: Vec<(Range<usize>, Contents)>,
    path: Joined,
    /// What errors in names name.
    field: &'static str,
    limits: &'l InfoLimits,
    content: usize,
    pads: usize,
    links: usize,
    /// Many short entries may share long folders, so that a small input asks for much memory.
    path_bytes: usize,
}

/// What there is to a file but its path.
#[derive(Debug)]
struct Contents {
    listed_at: u32,
    length: u64,
    kind: FileKind,
    pieces_root: Option<Hash>,
}

impl<'l> Listing<'l> {
    /// Nothing yet. `field` is where in the `info` dictionary the names stand, and `bytes` are left to be read.
    pub(super) fn new(field: &'static str, bytes: usize, limits: &'l InfoLimits) -> Self {
        // Room for all from the start, of which nobody touches more than it needs: a list that grew would be copied, and be
        // there twice.
        let most = limits.files.saturating_mul(2).min(bytes / SHORTEST_ENTRY);
        Self {
            files: Vec::with_capacity(most),
            waiting: Vec::with_capacity(BATCH),
            path: Joined::default(),
            field,
            limits,
            content: 0,
            pads: 0,
            links: 0,
            path_bytes: 0,
        }
    }

    /// Adds a component to the path of the next file.
    pub(super) fn push_name(&mut self, name: &[u8]) -> Result<(), InfoError> {
        self.path
            .push(name)
            .map_err(|error| self.unsafe_name(error))
    }

    /// Forgets the components that were added since the last file.
    pub(super) fn forget_names(&mut self) {
        self.path.give_up();
    }

    /// Adds a file whose path is of the names that were pushed.
    pub(super) fn add(&mut self, length: u64, pieces_root: Option<Hash>) -> Result<(), InfoError> {
        let listed_at = self.next_place();
        self.content = self.content.saturating_add(1);
        self.wait(Contents {
            listed_at,
            length,
            kind: FileKind::Content,
            pieces_root,
        })
    }

    /// Adds a pad of `length` zeros (BEP 47).
    pub(super) fn add_pad(&mut self, length: u64) -> Result<(), InfoError> {
        let listed_at = self.next_place();
        self.pads = self.pads.saturating_add(1);
        self.forget_names();
        push_pad_path(&mut self.path, length).map_err(|source| self.unsafe_name(source))?;
        self.wait(Contents {
            listed_at,
            length,
            kind: FileKind::Pad,
            pieces_root: None,
        })
    }

    /// Passes over a symbolic link, which is listed but is no file.
    pub(super) fn pass_link(&mut self) {
        self.links = self.links.saturating_add(1);
        self.forget_names();
    }

    fn next_place(&self) -> u32 {
        let listed = self.content.saturating_add(self.pads);
        u32::try_from(listed.saturating_add(self.links)).unwrap_or(u32::MAX)
    }

    /// All of them, in the order in which they were added.
    pub(super) fn into_files(mut self) -> Vec<File> {
        self.place();
        self.files.shrink_to_fit();
        self.files
    }

    pub(super) const fn unsafe_name(&self, source: PathError) -> InfoError {
        let field = self.field;
        InfoError::Path { field, source }
    }

    fn wait(&mut self, contents: Contents) -> Result<(), InfoError> {
        let limits = self.limits;
        if self.content.max(self.pads) > limits.files {
            return Err(InfoError::TooManyFiles {
                limit: limits.files,
            });
        }
        let place = self.path.end().map_err(|source| self.unsafe_name(source))?;
        let cost = place.len().saturating_add(BYTES_PER_FILE);
        self.path_bytes = self.path_bytes.saturating_add(cost);
        if self.path_bytes > limits.path_bytes {
            return Err(InfoError::PathsTooLong {
                limit: limits.path_bytes,
            });
        }
        self.waiting.push((place, contents));
        if self.waiting.len() >= BATCH {
            self.place();
        }
        Ok(())
    }

    /// Gives the files that wait their paths.
    fn place(&mut self) {
        let text = self.path.take_text();
        let placed = self.waiting.drain(..).map(|(place, contents)| File {
            path: FilePath::within(&text, place),
            length: contents.length,
            offset: 0,
            listed_at: contents.listed_at,
            kind: contents.kind,
            pieces_root: contents.pieces_root,
        });
        self.files.extend(placed);
    }
}

/// Puts the pads between files that BEP 52 leaves unwritten: every file begins on a piece.
pub(super) fn align(files: Vec<File>, piece_length: u64) -> Result<Vec<File>, InfoError> {
    let mut aligned = Vec::with_capacity(files.len().saturating_mul(2));
    let mut at = 0_u64;
    let mut last_pad = None;
    // Each stands in the list right behind its file, even where empty files come next.
    let (mut pads, mut pad_listed_at) = (0_u32, 0_u32);
    for mut file in files {
        file.listed_at = file.listed_at.saturating_add(pads);
        let next = at
            .checked_next_multiple_of(piece_length)
            .ok_or(InfoError::LengthOverflow)?;
        if file.length > 0 && next > at {
            let length = next.saturating_sub(at);
            // Files alike need pads alike.
            let alike = last_pad.take_if(|pad: &mut File| pad.length == length);
            let mut pad = alike.map_or_else(|| pad(length), Ok)?;
            pad.listed_at = pad_listed_at;
            last_pad = Some(pad.clone());
            aligned.push(pad);
            at = next;
        }
        at = at
            .checked_add(file.length)
            .ok_or(InfoError::LengthOverflow)?;
        if file.length > 0 && !at.is_multiple_of(piece_length) {
            pads = pads.saturating_add(1);
            pad_listed_at = file.listed_at.saturating_add(1);
        }
        aligned.push(file);
    }
    Ok(aligned)
}

fn pad(length: u64) -> Result<File, InfoError> {
    Ok(File {
        path: pad_path(length).map_err(|source| InfoError::Path {
            field: "file tree",
            source,
        })?,
        length,
        offset: 0,
        listed_at: 0,
        kind: FileKind::Pad,
        pieces_root: None,
    })
}

/// BEP 47: a pad is called `.pad/N`, where N is its length; those of one length share a name.
pub(super) fn pad_path(length: u64) -> Result<FilePath, PathError> {
    FilePath::from_components([".pad", &length.to_string()])
}

fn push_pad_path(path: &mut Joined, length: u64) -> Result<(), PathError> {
    path.push(b".pad")?;
    path.push(length.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(paths: &[Vec<&[u8]>]) -> Result<Vec<String>, InfoError> {
        let limits = InfoLimits::default();
        let mut listing = Listing::new("path", 0, &limits);
        for names in paths {
            names.iter().try_for_each(|name| listing.push_name(name))?;
            listing.add(1, None)?;
        }
        let files = listing.into_files();
        Ok(files.iter().map(|file| file.path.to_string()).collect())
    }

    #[test]
    fn every_path_is_its_own_whatever_its_neighbours_are() {
        // Halves of one character at the end of a path and the beginning of the next are no character.
        let paths: [Vec<&[u8]>; 5] = [
            vec![b"a\xc3"],
            vec![b"\xa4b", b"\xc3\xa4"],
            vec![b"plain", b"c"],
            vec!["日本".as_bytes()],
            vec![b"\xff"],
        ];
        let seen = listed(&paths).unwrap();
        let replaced = char::REPLACEMENT_CHARACTER;
        assert_eq!(
            seen,
            [
                format!("a{replaced}"),
                format!("{replaced}b/ä"),
                "plain/c".to_owned(),
                "日本".to_owned(),
                replaced.to_string(),
            ]
        );
    }

    #[test]
    fn texts_end_where_batches_do() {
        for count in [0, 1, BATCH - 1, BATCH, BATCH + 1, 3 * BATCH] {
            let names: Vec<String> = (0..count).map(|file| format!("file {file}")).collect();
            let paths: Vec<Vec<&[u8]>> = names
                .iter()
                .map(|name| vec![b"folder".as_slice(), name.as_bytes()])
                .collect();
            let expected: Vec<_> = names.iter().map(|name| format!("folder/{name}")).collect();
            assert_eq!(listed(&paths), Ok(expected));
        }
    }

    #[test]
    fn names_that_were_forgotten_leave_nothing() {
        let limits = InfoLimits::default();
        let mut listing = Listing::new("path", 0, &limits);
        listing.push_name("ä".as_bytes()).unwrap();
        listing.forget_names();
        assert!(matches!(
            listing.add(1, None),
            Err(InfoError::Path {
                source: PathError::Empty,
                ..
            })
        ));
        listing.push_name(b"gone").unwrap();
        listing.add_pad(7).unwrap();
        listing.push_name(b"b").unwrap();
        listing.add(1, None).unwrap();
        let files = listing.into_files();
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, [".pad/7", "b"]);
    }

    #[test]
    fn refuses_more_than_the_limits() {
        let limits = InfoLimits {
            files: 2,
            path_bytes: 3 * BYTES_PER_FILE,
            ..InfoLimits::default()
        };
        let mut listing = Listing::new("path", 0, &limits);
        for _ in 0..2 {
            listing.push_name(b"a").unwrap();
            listing.add(1, None).unwrap();
        }
        listing.push_name(b"a").unwrap();
        assert_eq!(
            listing.add(1, None),
            Err(InfoError::TooManyFiles { limit: 2 })
        );
        assert!(matches!(
            listing.add_pad(1),
            Err(InfoError::TooManyFiles { .. })
        ));
        let mut listing = Listing::new("path", 0, &limits);
        listing.push_name(&[b'x'; 100]).unwrap();
        assert_eq!(
            listing.add(1, None),
            Err(InfoError::PathsTooLong {
                limit: limits.path_bytes
            })
        );
    }
}

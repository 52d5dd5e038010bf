//! The files of a torrent, and which of their bytes a stretch of the torrent is (BEP 3, BEP 47).

use super::path::FilePath;

/// What a file is to a downloader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Bytes that somebody wants.
    Content,
    /// Zeros that align the next file to a piece (BEP 47, `attr = p`): never stored, listed or downloaded.
    Pad,
}

/// One file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path below the torrent's name; in a torrent of a single file, that name itself.
    pub path: FilePath,
    /// Bytes in the file.
    pub length: u64,
    /// Where it begins, in bytes from the start of the torrent, pads counted.
    pub offset: u64,
    /// Its place in the torrent's own list, where pads and symbolic links count: what a magnet link's `so` names it by
    /// (BEP 53). A v2 torrent leaves its pads unwritten, and they count nevertheless, as libtorrent has it.
    pub listed_at: u32,
    /// Content or pad.
    pub kind: FileKind,
    /// The root of the file's merkle tree in a v2 or hybrid torrent (BEP 52); `None` in v1, for pads and empty files.
    pub pieces_root: Option<[u8; 32]>,
}

/// A stretch of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The file's place in [`Files`], pads counted.
    pub file: usize,
    /// Where the stretch begins, in bytes from the start of the file.
    pub offset: u64,
    /// Bytes in the stretch; never 0.
    pub length: u64,
}

/// All files of a torrent in order, end to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(Vec<File>);

impl Files {
    /// Lays files end to end in the order given; `None` where their lengths overflow.
    ///
    /// The `offset`s that the caller wrote are overwritten.
    pub fn lay_out(files: impl IntoIterator<Item = File>) -> Option<Self> {
        let mut files: Vec<File> = files.into_iter().collect();
        let mut at = 0_u64;
        for file in &mut files {
            file.offset = at;
            at = at.checked_add(file.length)?;
        }
        Some(Self(files))
    }

    /// Every file in order, pads among them.
    pub fn iter(&self) -> std::slice::Iter<'_, File> {
        self.0.iter()
    }

    /// The files that are content, each with its place in the whole list.
    pub fn content(&self) -> impl Iterator<Item = (usize, &File)> + Clone {
        self.0
            .iter()
            .enumerate()
            .filter(|(_, file)| file.kind == FileKind::Content)
    }

    /// The file at `index`, pads counted.
    pub fn get(&self, index: usize) -> Option<&File> {
        self.0.get(index)
    }

    /// How many files there are, pads counted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no file.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes in all files together, pads counted: what [`Geometry`](crate::proto::geometry::Geometry) cuts into pieces.
    pub fn total_length(&self) -> u64 {
        self.0
            .last()
            .map_or(0, |last| last.offset.saturating_add(last.length))
    }

    /// Bytes that a downloader gets: without pads.
    pub fn content_length(&self) -> u64 {
        self.content()
            .map(|(_, file)| file.length)
            .fold(0, u64::saturating_add)
    }

    /// The stretches of files that make up `length` bytes from `offset` of the torrent, in order, pads among them.
    ///
    /// Past the torrent's end there is nothing, so the lengths may add up to less.
    pub fn spans(&self, offset: u64, length: u64) -> impl Iterator<Item = Span> + '_ {
        let end = offset.saturating_add(length);
        // The first file that ends past the offset; empty files before it hold none of its bytes.
        let first = self
            .0
            .partition_point(|file| file.offset.saturating_add(file.length) <= offset);
        self.0
            .iter()
            .enumerate()
            .skip(first)
            .take_while(move |(_, file)| file.offset < end)
            .map(move |(index, file)| {
                let from = offset.max(file.offset);
                let to = end.min(file.offset.saturating_add(file.length));
                Span {
                    file: index,
                    offset: from.saturating_sub(file.offset),
                    length: to.saturating_sub(from),
                }
            })
            .filter(|span| span.length > 0)
    }
}

impl<'a> IntoIterator for &'a Files {
    type Item = &'a File;
    type IntoIter = std::slice::Iter<'a, File>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn files(lengths: &[u64]) -> Files {
        Files::lay_out(lengths.iter().enumerate().map(|(i, length)| File {
            path: FilePath::parse(&format!("f{i}")).unwrap(),
            length: *length,
            offset: 0,
            listed_at: 0,
            kind: FileKind::Content,
            pieces_root: None,
        }))
        .unwrap()
    }

    #[test]
    fn a_stretch_crosses_files_and_skips_empty_ones() {
        let spans: Vec<_> = files(&[3, 0, 2, 5]).spans(2, 5).collect();
        assert_eq!(
            spans,
            [
                Span {
                    file: 0,
                    offset: 2,
                    length: 1
                },
                Span {
                    file: 2,
                    offset: 0,
                    length: 2
                },
                Span {
                    file: 3,
                    offset: 0,
                    length: 2
                }
            ]
        );
    }

    #[test]
    fn a_stretch_of_nothing_has_no_spans() {
        assert_eq!(files(&[3, 5]).spans(4, 0).count(), 0);
    }

    #[test]
    fn past_the_end_there_is_nothing() {
        assert_eq!(files(&[3]).spans(3, 10).count(), 0);
        assert_eq!(files(&[]).spans(0, 10).count(), 0);
    }

    #[test]
    fn refuses_lengths_that_overflow() {
        let file = |length| File {
            path: FilePath::parse("f").unwrap(),
            length,
            offset: 0,
            listed_at: 0,
            kind: FileKind::Content,
            pieces_root: None,
        };
        assert!(Files::lay_out([file(u64::MAX), file(1)]).is_none());
    }

    proptest! {
        #[test]
        fn spans_are_the_bytes_asked_for(
            lengths in prop::collection::vec(0_u64..50, 0..20), offset in 0_u64..600, length in 0_u64..600,
        ) {
            let files = files(&lengths);
            let expected = files.total_length().saturating_sub(offset).min(length);
            let mut at = offset;
            for span in files.spans(offset, length) {
                let file = files.get(span.file).unwrap();
                prop_assert_eq!(file.offset + span.offset, at);
                prop_assert!(span.length > 0 && span.offset + span.length <= file.length);
                at += span.length;
            }
            prop_assert_eq!(at - offset.min(at), expected);
        }
    }
}

//! The one reader: pieces from front to back, a batch of them for each thread that asks.
//!
//! While one thread reads, the others hash what they have read. So the disk sees one sequential reader, which is never idle
//! as long as it is slower than the hashing, and bytes are hashed on the core that read them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::batch::Batch;
use super::layout::{Layout, Source};

/// Reads a layout.
pub(super) struct Reader<'a> {
    layout: &'a Layout<'a>,
    /// The first piece of the next batch.
    next: u64,
    open: Option<OpenPart>,
    /// By part.
    faults: BTreeMap<usize, ReadError>,
    is_over: bool,
}

/// Why a part could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    Open(io::Error),
    Read(io::Error),
    /// It is longer or shorter than it was said to be.
    Length,
}

/// The file that was read last, and how far.
struct OpenPart {
    part: usize,
    file: File,
    offset: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layout: &'a Layout<'a>) -> Self {
        Self {
            layout,
            next: 0,
            open: None,
            faults: BTreeMap::new(),
            is_over: false,
        }
    }

    /// Fills the batch with the next pieces, or the first slice of each; false where there are none.
    pub(super) fn begin(&mut self, batch: &mut Batch) -> bool {
        if self.is_over {
            return false;
        }
        batch.begin(self.next, self.layout);
        self.next += batch.len();
        self.go_on(batch);
        batch.len() > 0
    }

    /// Fills the batch with the next slice of each piece.
    pub(super) fn go_on(&mut self, batch: &mut Batch) {
        for slice in batch.slices() {
            let mut rest = slice.bytes;
            for span in self.layout.spans(slice.offset, rest.len() as u64) {
                let Some((bytes, after)) = rest.split_at_mut_checked(in_memory(span.length)) else {
                    break;
                };
                rest = after;
                *slice.is_there &= self.read(span.part, span.offset, bytes);
            }
        }
    }

    /// What was wrong, by part.
    pub(super) fn into_faults(self) -> BTreeMap<usize, ReadError> {
        self.faults
    }

    /// Reads bytes of a part; false where they are not to be had.
    fn read(&mut self, part: usize, offset: u64, bytes: &mut [u8]) -> bool {
        let source = self.layout.parts()[part].source;
        let (Source::Exactly(path) | Source::AtMost(path)) = source else {
            bytes.fill(0);
            return matches!(source, Source::Zeros);
        };
        if self.faults.contains_key(&part) {
            return false;
        }
        let result = self.read_file(part, path, offset, bytes).and_then(|()| {
            let is_exact = matches!(source, Source::Exactly(_));
            if is_exact { self.check_end() } else { Ok(()) }
        });
        result
            .map_err(|error| {
                self.is_over |= matches!(source, Source::Exactly(_));
                self.faults.insert(part, error);
            })
            .is_ok()
    }

    /// Reads from the file that is open, or opens it.
    fn read_file(
        &mut self,
        part: usize,
        path: &Path,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), ReadError> {
        let open = match &mut self.open {
            Some(open) if open.part == part => open,
            open => open.insert(OpenPart {
                part,
                file: File::open(path).map_err(ReadError::Open)?,
                offset: 0,
            }),
        };
        if open.offset != offset {
            let start = SeekFrom::Start(offset);
            open.file.seek(start).map_err(ReadError::Read)?;
        }
        open.offset = offset + bytes.len() as u64;
        open.file.read_exact(bytes).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                ReadError::Length
            } else {
                ReadError::Read(error)
            }
        })
    }

    /// When a file was read to the end that it should have, asks whether it ends there.
    fn check_end(&self) -> Result<(), ReadError> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let length = self.layout.parts()[open.part].length;
        if open.offset < length {
            return Ok(());
        }
        let metadata = open.file.metadata().map_err(ReadError::Read)?;
        if metadata.len() == length {
            Ok(())
        } else {
            Err(ReadError::Length)
        }
    }
}

/// The length of a stretch that lies in a buffer.
pub(super) fn in_memory(length: u64) -> usize {
    // It was cut to the buffer, and so fits.
    usize::try_from(length).unwrap_or(usize::MAX)
}

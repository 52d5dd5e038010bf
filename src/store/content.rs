//! The port for content: the bytes of publications.
//!
//! Content is staged while an upload runs, then sealed under the publication's id in one step, and never changes after.
//! Once its publication is kept too, it is claimed: sealed content that was never claimed is the rest of an upload that a
//! crash cut off, and may go. Claimed content without a publication means that the database was lost, and must stay.
//! Files are kept under numbers; their names are data of the publication. A file may also stay its owner's, at its own place: then it may
//! change, and is not removed with the content.

use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::domain::publication::PublicationId;
use crate::domain::torrent::Stamp;

/// Sealed content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sealed {
    /// The publication that it was sealed for.
    pub id: PublicationId,
    /// Whether that publication is known to have been kept.
    pub is_claimed: bool,
}

/// Keeps the bytes of publications.
#[async_trait]
pub trait ContentStore: Send + Sync {
    /// Begins an upload that will become the content of `id`.
    ///
    /// Blocks: call it on a thread that may.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where there is content or an upload of this id already; [`StoreError::Full`] where the
    /// disk has no more than its reserve left.
    fn stage(&self, id: PublicationId) -> Result<Box<dyn Staging>, StoreError>;

    /// Opens the files of a draft that will become the content of `id`, or begins them. What was sealed for it and never claimed is
    /// a draft's again.
    ///
    /// Blocks: call it on a thread that may.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where there is claimed content of this id.
    fn stage_draft(&self, id: PublicationId) -> Result<Box<dyn DraftStaging>, StoreError>;

    /// Opens a file of sealed content; `None` where it is not there. Handles are shared and kept open in a bounded cache.
    async fn open(
        &self,
        id: PublicationId,
        stored_as: u32,
    ) -> Result<Option<Arc<dyn ContentFile>>, StoreError>;

    /// Notes that the publication of sealed content is kept; nothing happens where there is no such content.
    async fn claim(&self, id: PublicationId) -> Result<(), StoreError>;

    /// Removes sealed content, but no file that lies at a place of its own; nothing happens where there is none.
    async fn remove(&self, id: PublicationId) -> Result<(), StoreError>;

    /// All sealed content, in no order.
    async fn sealed(&self) -> Result<Vec<Sealed>, StoreError>;

    /// Bytes that can still be staged: what is free, less the reserve that is never filled.
    ///
    /// # Errors
    /// [`StoreError`] where the disk does not say.
    fn free_bytes(&self) -> Result<u64, StoreError>;

    /// How many files are kept open for reading.
    fn open_files(&self) -> u64;

    /// Bytes that are staged of a draft, on trial too. It is left alone: another program may be filling it.
    async fn staged_bytes(&self, id: PublicationId) -> Result<u64, StoreError>;

    /// Removes every staging area but those of the drafts `kept`: at start, no upload is running.
    async fn discard_stagings(&self, kept: Vec<PublicationId>) -> Result<(), StoreError>;
}

/// An upload on its way in. Methods block: call them on a thread that may. Dropped without [`seal`](Self::seal), it takes its bytes along.
pub trait Staging: Send {
    /// Begins the next file, numbered from zero; what was written before is complete.
    ///
    /// # Errors
    /// [`StoreError`] where the disk is full or fails.
    fn begin_file(&mut self) -> Result<u32, StoreError>;

    /// Appends to the current file.
    ///
    /// # Errors
    /// [`StoreError`] where the disk is full or fails, or no file was begun.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Adds a file that stays where it lies, numbered as others are: a [place](super::place). It is read from there, and never removed.
    ///
    /// # Errors
    /// [`StoreError`] where the disk is full or fails.
    fn refer(&mut self, place: &Path) -> Result<u32, StoreError>;

    /// Reads a staged file from its start, for hashing it a second time.
    ///
    /// # Errors
    /// [`StoreError`] where the file cannot be opened.
    fn reopen(&self, stored_as: u32) -> Result<Box<dyn io::Read + Send>, StoreError>;

    /// Makes every byte durable and moves the whole upload to its publication's place, in one step. It is not claimed yet.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails; then nothing is sealed.
    fn seal(self: Box<Self>) -> Result<(), StoreError>;
}

/// The files of a draft: they come in any order, over many requests and restarts. Methods block: call them on a thread that may. Who
/// calls sees to it that a file has one writer.
pub trait DraftStaging: Send + Sync {
    /// Bytes of each of the first `files` files. What was appended on trial before the last stop is taken back. To be asked before
    /// anything is appended.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails.
    fn lengths(&self, files: u32) -> Result<Vec<u64>, StoreError>;

    /// Appends to a file that has `at` bytes which count; what lies behind them goes. Bytes stay as soon as they are written.
    ///
    /// # Errors
    /// [`StoreError::Full`] where the disk has no more than its reserve left; [`StoreError::Damaged`] where the file is shorter.
    fn append(&self, file: u32, at: u64) -> Result<Box<dyn Appending>, StoreError>;

    /// The same, but bytes stay only where they are [kept](Appending::keep): dropped before, they are taken back, after a crash too.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    fn append_on_trial(&self, file: u32, at: u64) -> Result<Box<dyn Appending>, StoreError>;

    /// Reads a stretch of a file, which may end before it.
    ///
    /// # Errors
    /// [`StoreError`] where the file cannot be opened.
    fn read(&self, file: u32, span: Range<u64>) -> Result<Box<dyn io::Read + Send>, StoreError>;

    /// Makes all bytes of a file durable, whoever wrote them. A file that is not there is made, empty.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails.
    fn sync(&self, file: u32) -> Result<(), StoreError>;

    /// Moves the first `files` files, whose bytes are durable, to their publication's place in one step; those that are not there
    /// are empty. They are not claimed yet.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails; then nothing is sealed.
    fn seal(&self, files: u32) -> Result<(), StoreError>;

    /// Takes back what was sealed and not claimed; nothing happens where nothing was.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails.
    fn unseal(&self) -> Result<(), StoreError>;

    /// Removes all files that are not sealed.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails.
    fn discard(&self) -> Result<(), StoreError>;
}

/// A file of a draft that grows.
pub trait Appending: Send {
    /// Appends bytes.
    ///
    /// # Errors
    /// [`StoreError`] where the disk is full or fails.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Makes all bytes of the file durable, and ends the trial.
    ///
    /// # Errors
    /// [`StoreError`] where the disk fails.
    fn keep(self: Box<Self>) -> Result<(), StoreError>;
}

/// An open file of sealed content.
#[async_trait]
pub trait ContentFile: Send + Sync {
    /// Bytes in the file.
    fn length(&self) -> u64;

    /// How the file looks on disk at this moment.
    ///
    /// # Errors
    /// What the disk says.
    fn stamp(&self) -> io::Result<Stamp>;

    /// Whether the first byte of a stretch is in memory, and so, as a rule, the rest of it.
    fn is_at_hand(&self, offset: u64) -> bool {
        let mut byte = [0];
        let read = self.try_read(offset, &mut [IoSliceMut::new(&mut byte)]);
        read.is_ok_and(|read| read > 0)
    }

    /// Says that a stretch will not be read again soon, so that it need not be kept in memory.
    fn let_go(&self, offset: u64, length: u64);

    /// Fills `buffers`, one after another, from `offset`, as far as that needs no waiting. Gives the number of bytes read: fewer than
    /// the buffers hold where the rest is not in memory.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the file is shorter than it was.
    fn try_read(&self, offset: u64, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize>;

    /// Hands up to `length` bytes from `offset` to a socket, without copying them, as far as they are in memory. Gives the
    /// number of bytes that the socket took: none where they must be read.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where the socket has no room; [`io::ErrorKind::UnexpectedEof`] where the file is
    /// shorter than it was; what the socket fails with.
    fn try_send(&self, offset: u64, length: usize, socket: BorrowedFd<'_>) -> io::Result<usize>;

    /// Reads `length` bytes from `offset`, waiting for the disk on a thread that may.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the file is shorter than it was.
    async fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

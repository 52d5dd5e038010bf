//! Published bytes on their way out, read as the connection takes them, so each holds little memory.
//!
//! A [`Stretch`] is what an answer still has to send of a file. It leaves straight from the page cache, or as the body of
//! a response that hyper sends. What lies in memory is taken at once on the connection's own task; only what does not is
//! waited for elsewhere.

use std::io::{self, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::{Body, Frame, SizeHint};

use crate::domain::tally::Tally;
use crate::domain::torrent::{Condition, Torrent};
use crate::reader::{ReadError, Reader};
use crate::store::content::ContentFile;

/// Bytes in a frame: enough that system calls do not matter, little enough to stay in the processor's cache between
/// reading and writing.
const FRAME: usize = 64 * 1024;

/// Which door the bytes leave by: they are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// To BitTorrent clients (BEP 19).
    WebSeed,
    /// To people.
    Files,
}

/// Where the bytes of an answer come from.
#[derive(Clone)]
pub(super) enum Source {
    /// A file of a torrent.
    File(Stored),
    /// A pad of a hybrid torrent: zeros that nobody keeps (BEP 47).
    Zeros,
}

/// An open file, and what is needed to vouch for its bytes.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) file: Arc<dyn ContentFile>,
    pub(super) reader: Reader,
    pub(super) torrent: Arc<Torrent>,
    /// Where the file begins, in bytes from the start of the torrent.
    pub(super) offset: u64,
    /// Its place among the torrent's files, pads counted.
    pub(super) index: usize,
}

impl Stored {
    /// Whether every piece that these bytes of the file touch is known to be whole.
    fn is_vouched_for(&self, at: u64, length: usize) -> bool {
        let looked = self.reader.look_at(&self.torrent, self.index, &*self.file);
        if looked.is_err() {
            return false;
        }
        let from = self.offset.saturating_add(at);
        self.torrent
            .info
            .geometry
            .pieces_touching(from, length as u64)
            .all(|piece| self.torrent.conditions.of(piece) == Condition::Whole)
    }

    /// Makes sure of those pieces.
    async fn vouch(&self, at: u64, length: usize) -> Result<(), ReadError> {
        let from = self.offset.saturating_add(at);
        self.reader
            .check_stretch(&self.torrent, from, length as u64)
            .await
    }
}

/// What is still to be sent of a file: a span of its bytes. It shrinks from the front.
#[derive(Clone)]
pub(super) struct Stretch {
    source: Source,
    /// The next byte to send, from the start of the file.
    at: u64,
    end: u64,
    tally: Arc<Tally>,
    door: Door,
}

impl Stretch {
    pub(super) fn new(
        source: Source,
        span: std::ops::Range<u64>,
        tally: Arc<Tally>,
        door: Door,
    ) -> Self {
        Self {
            source,
            at: span.start,
            end: span.end,
            tally,
            door,
        }
    }

    /// The bytes that are left, or `most` of them; `None` at the end.
    pub(super) fn next(&self, most: usize) -> Option<usize> {
        let left = self.end.saturating_sub(self.at);
        let length = usize::try_from(left).map_or(most, |left| left.min(most));
        (length > 0).then_some(length)
    }

    /// Makes sure of the next `length` bytes.
    ///
    /// # Errors
    /// As [`Reader::check_stretch`].
    pub(super) async fn vouch(&self, length: usize) -> Result<(), ReadError> {
        match &self.source {
            Source::File(stored) if !stored.is_vouched_for(self.at, length) => {
                stored.vouch(self.at, length).await
            }
            Source::File(_) | Source::Zeros => Ok(()),
        }
    }

    /// Hands up to `length` bytes that were vouched for to a socket. Gives how many it took: none where they are not in
    /// memory.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where the socket has no room; whatever reading or sending fails with.
    pub(super) fn try_send(&self, length: usize, socket: BorrowedFd<'_>) -> io::Result<usize> {
        match &self.source {
            Source::File(stored) => stored.file.try_send(self.at, length, socket),
            Source::Zeros => Ok(0),
        }
    }

    /// Reads the next `length` bytes, waiting for the disk where that is needed.
    ///
    /// # Errors
    /// As [`Reader::check_stretch`]; whatever reading fails with.
    pub(super) async fn read(&self, length: usize) -> Result<Bytes, ReadError> {
        let Source::File(stored) = &self.source else {
            return Ok(vec![0; length].into());
        };
        stored
            .reader
            .look_at(&stored.torrent, stored.index, &*stored.file)?;
        stored.vouch(self.at, length).await?;
        Ok(stored.file.read(self.at, length).await?.into())
    }

    /// The next `length` bytes if they need no waiting for.
    fn try_read(&self, length: usize) -> io::Result<Option<Bytes>> {
        let mut bytes = vec![0; length];
        if let Source::File(stored) = &self.source {
            let is_at_hand = stored.is_vouched_for(self.at, length)
                && stored
                    .file
                    .try_read(self.at, &mut [IoSliceMut::new(&mut bytes)])?
                    == length;
            if !is_at_hand {
                return Ok(None);
            }
        }
        Ok(Some(bytes.into()))
    }

    /// Takes the next `length` bytes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(super) async fn take(&mut self, length: usize) -> Result<Bytes, ReadError> {
        let bytes = match self.try_read(length)? {
            Some(bytes) => bytes,
            None => self.read(length).await?,
        };
        self.advance(bytes.len());
        Ok(bytes)
    }

    /// The same, of which nothing is counted as sent.
    pub(super) fn uncounted(self) -> Self {
        Self {
            tally: Arc::default(),
            ..self
        }
    }

    /// Counts `length` bytes as sent.
    pub(super) fn advance(&mut self, length: usize) {
        let length = length as u64;
        self.at = self.at.saturating_add(length);
        match self.door {
            Door::WebSeed => self.tally.add_web_seed_bytes(length),
            Door::Files => self.tally.add_file_bytes(length),
        }
    }
}

/// A stretch as the body of a response.
pub(super) struct ContentBody {
    stretch: Stretch,
    waiting: Option<BoxFuture<'static, Result<Bytes, ReadError>>>,
}

impl ContentBody {
    pub(super) const fn new(stretch: Stretch) -> Self {
        Self {
            stretch,
            waiting: None,
        }
    }

    fn passed(&mut self, bytes: Bytes) -> Frame<Bytes> {
        self.stretch.advance(bytes.len());
        Frame::data(bytes)
    }
}

impl Body for ContentBody {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        let this = &mut *self;
        let waiting = if let Some(waiting) = &mut this.waiting {
            waiting
        } else {
            let Some(length) = this.stretch.next(FRAME) else {
                return Poll::Ready(None);
            };
            match this.stretch.try_read(length) {
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(this.passed(bytes)))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
            let stretch = this.stretch.clone();
            this.waiting
                .insert(Box::pin(async move { stretch.read(length).await }))
        };
        let read = ready!(waiting.as_mut().poll(context));
        this.waiting = None;
        // The head of the answer is gone already: an error here makes hyper cut the connection, so nobody takes half a
        // file for a whole one.
        Poll::Ready(Some(match read {
            Ok(bytes) => Ok(this.passed(bytes)),
            Err(error) => {
                tracing::warn!(%error, "an answer was cut off");
                Err(error)
            }
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.stretch.end.saturating_sub(self.stretch.at))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn zeros_come_in_full_and_are_counted() {
        let tally = Arc::new(Tally::default());
        let stretch = Stretch::new(Source::Zeros, 5..200_000, Arc::clone(&tally), Door::WebSeed);
        let body = ContentBody::new(stretch);
        assert_eq!(body.size_hint().exact(), Some(199_995));
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(bytes.len(), 199_995);
        assert!(bytes.iter().all(|byte| *byte == 0));
        assert_eq!(tally.counts().web_seed_bytes, 199_995);
        assert_eq!(tally.counts().file_bytes, 0);
    }
}

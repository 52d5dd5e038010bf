//! Published bytes on their way into an answer: read piece by piece as the connection takes them, so each holds little
//! memory.
//!
//! What lies in the page cache is read at once on the connection's own task; only what does not is waited for
//! elsewhere. Buffers are lent from a small pool and come back when the connection has sent them, so a busy server
//! neither allocates nor clears memory for them.

use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
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

/// Buffers that wait in the pool, at most.
const SPARE_BUFFERS: usize = 64;

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
}

impl Stored {
    /// Whether every piece that these bytes of the file touch is known to be whole.
    fn is_vouched_for(&self, at: u64, length: usize) -> bool {
        let from = self.offset.saturating_add(at);
        self.torrent
            .info
            .geometry
            .pieces_touching(from, length as u64)
            .all(|piece| self.torrent.conditions.of(piece) == Condition::Whole)
    }

    /// Makes sure of the pieces, then reads, waiting for the disk where that is needed.
    async fn read(self, at: u64, length: usize) -> Result<Bytes, ReadError> {
        let from = self.offset.saturating_add(at);
        self.reader
            .check_stretch(&self.torrent, from, length as u64)
            .await?;
        let bytes = self.file.read(at, length).await?;
        if bytes.len() < length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(bytes.into())
    }
}

/// The bytes of one answer.
pub(super) struct ContentBody {
    source: Source,
    /// The next byte to send, from the start of the file.
    at: u64,
    end: u64,
    waiting: Option<BoxFuture<'static, Result<Bytes, ReadError>>>,
    buffers: Buffers,
    tally: Arc<Tally>,
    door: Door,
}

impl ContentBody {
    /// `length` bytes from `at` of the source.
    pub(super) fn new(
        source: Source,
        span: std::ops::Range<u64>,
        buffers: Buffers,
        tally: Arc<Tally>,
        door: Door,
    ) -> Self {
        Self {
            source,
            at: span.start,
            end: span.end,
            waiting: None,
            buffers,
            tally,
            door,
        }
    }

    /// The next bytes if they need no waiting for.
    fn read_at_once(&self, length: usize) -> io::Result<Option<Bytes>> {
        let mut lent = self.buffers.lend(length);
        match &self.source {
            Source::Zeros => lent.bytes_mut().fill(0),
            Source::File(stored) => {
                if !stored.is_vouched_for(self.at, length) {
                    return Ok(None);
                }
                let mut buffers = [IoSliceMut::new(lent.bytes_mut())];
                if stored.file.try_read(self.at, &mut buffers)? < length {
                    return Ok(None);
                }
            }
        }
        Ok(Some(Bytes::from_owner(lent)))
    }

    fn passed(&mut self, bytes: Bytes) -> Frame<Bytes> {
        let length = bytes.len() as u64;
        self.at = self.at.saturating_add(length);
        match self.door {
            Door::WebSeed => self.tally.add_web_seed_bytes(length),
            Door::Files => self.tally.add_file_bytes(length),
        }
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
        if this.waiting.is_none() {
            let left = this.end.saturating_sub(this.at);
            let length = usize::try_from(left).map_or(FRAME, |left| left.min(FRAME));
            if length == 0 {
                return Poll::Ready(None);
            }
            match (this.read_at_once(length), &this.source) {
                (Ok(Some(bytes)), _) => return Poll::Ready(Some(Ok(this.passed(bytes)))),
                (Ok(None), Source::File(stored)) => {
                    this.waiting = Some(Box::pin(stored.clone().read(this.at, length)));
                }
                (Ok(None), Source::Zeros) => return Poll::Ready(None),
                (Err(error), _) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
        let Some(waiting) = &mut this.waiting else {
            return Poll::Ready(None);
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
        SizeHint::with_exact(self.end.saturating_sub(self.at))
    }
}

/// A pool of buffers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// The buffer that came back last, for it is the likeliest to be in the processor's cache.
    fn lend(&self, length: usize) -> Lent {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Lent {
            buffer: spare.unwrap_or_else(|| vec![0; FRAME]),
            length: length.min(FRAME),
            home: self.clone(),
        }
    }
}

/// A buffer that goes home when nobody needs its bytes any more.
struct Lent {
    buffer: Vec<u8>,
    length: usize,
    home: Buffers,
}

impl Lent {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.length).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut spare = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS {
            spare.push(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn zeros_come_in_full_and_are_counted() {
        let tally = Arc::new(Tally::default());
        let body = ContentBody::new(
            Source::Zeros,
            5..200_000,
            Buffers::default(),
            Arc::clone(&tally),
            Door::WebSeed,
        );
        assert_eq!(body.size_hint().exact(), Some(199_995));
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(bytes.len(), 199_995);
        assert!(bytes.iter().all(|byte| *byte == 0));
        assert_eq!(tally.counts().web_seed_bytes, 199_995);
        assert_eq!(tally.counts().file_bytes, 0);
    }

    #[test]
    fn buffers_come_home() {
        let buffers = Buffers::default();
        let bytes = Bytes::from_owner(buffers.lend(10));
        assert_eq!(bytes.len(), 10);
        assert_eq!(buffers.0.lock().unwrap().len(), 0);
        drop(bytes);
        assert_eq!(buffers.0.lock().unwrap().len(), 1);
    }
}

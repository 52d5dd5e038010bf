//! One request's bytes on their way into a file of a draft.
//!
//! Each buffer is written and hashed once, on a thread that may block. What came before a request breaks off stays, unless it is on trial:
//! what has a checksum counts when the checksum is right, and what has no length when its end has come.

use std::sync::Arc;

use bytes::Bytes;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::desk::{Claim, Writer};
use super::drafts::{DraftError, Drafts};
use super::ingest::{Ingest, WAITING_PARTS};
use crate::ambient;
use crate::proto::metainfo::apart::FileHasher;

/// What a request says of its bytes before the first of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    /// Bytes of the file that are there already, as the sender knows.
    pub offset: u64,
    /// Bytes that will come, if that is known.
    pub length: Option<u64>,
    /// What they have to hash to.
    pub checksum: Option<Checksum>,
}

/// The hash of one request's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-1.
    Sha1([u8; 20]),
    /// SHA-256.
    Sha256([u8; 32]),
}

/// How much of a file is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes that are there.
    pub offset: u64,
    /// Bytes that the file will have.
    pub length: u64,
}

/// A request whose bytes are coming. Dropped before [`finish`](Self::finish), it is one that broke off.
pub struct PartUpload {
    writer: Arc<Writer>,
    stop: CancellationToken,
    parts: mpsc::Sender<Part>,
    /// `None` once it has been heard.
    receiver: Option<JoinHandle<Result<Received, DraftError>>>,
}

enum Part {
    Bytes(Bytes),
    End,
}

impl PartUpload {
    /// Begins to receive, with the right to write to the file.
    pub(super) fn begin(
        drafts: &Drafts,
        claim: Claim,
        head: PartHead,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let (parts, incoming) = mpsc::channel(WAITING_PARTS);
        let (writer, desk) = (Arc::clone(claim.writer()), Arc::clone(claim.desk()));
        let stop = drafts.stop().clone();
        let receiving = Receiving {
            ingest: drafts.ingest().clone(),
            head,
            stop: stop.clone(),
        };
        let drafts = drafts.clone();
        let tasks = receiving.ingest.tasks.clone();
        let receiver = tasks.spawn_blocking(move || {
            let received = receiving.run(claim, incoming);
            drop(slot);
            drafts.publish_when_whole(&desk);
            received
        });
        Self {
            writer,
            stop,
            parts,
            receiver: Some(receiver),
        }
    }

    /// Waits until these bytes are not wanted any more: another request goes on with the file, the draft is dropped, or the server
    /// stops. Cancel-safe.
    pub async fn unwanted(&self) -> DraftError {
        tokio::select! {
            () = self.writer.stop.cancelled() => DraftError::Overtaken,
            () = self.stop.cancelled() => DraftError::Stopping,
        }
    }

    /// Takes the next bytes; waits while the disk is slower than the sender.
    ///
    /// # Errors
    /// [`DraftError::TooLong`], or what went wrong with the bytes before.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), DraftError> {
        self.writer.heard.send_replace(ambient::now());
        self.send(Part::Bytes(bytes)).await
    }

    /// Ends the request. When it returns, its bytes are on the disk; where they were the last that were missing, the publication is
    /// being made.
    ///
    /// # Errors
    /// [`DraftError::WrongChecksum`], or what went wrong with the bytes.
    pub async fn finish(mut self) -> Result<Received, DraftError> {
        self.send(Part::End).await?;
        self.hear().await
    }

    async fn send(&mut self, part: Part) -> Result<(), DraftError> {
        if self.parts.send(part).await.is_ok() {
            return Ok(());
        }
        // The receiver went away first, so it has something to say.
        self.hear().await.and(Err(DraftError::Stopping))
    }

    async fn hear(&mut self) -> Result<Received, DraftError> {
        let receiver = self.receiver.take().ok_or(DraftError::Stopping)?;
        receiver.await.map_err(|_| DraftError::Stopping)?
    }
}

/// The thread behind a request.
struct Receiving {
    ingest: Ingest,
    head: PartHead,
    stop: CancellationToken,
}

/// Computes a [`Checksum`] as bytes pass.
enum Summing {
    None,
    Sha1(Sha1, [u8; 20]),
    Sha256(Sha256, [u8; 32]),
}

impl Receiving {
    /// Takes parts until their end. Blocks.
    fn run(&self, mut claim: Claim, parts: mpsc::Receiver<Part>) -> Result<Received, DraftError> {
        let length = claim.length();
        if self.head.length == Some(0) {
            let offset = claim.received();
            return Ok(Received { offset, length });
        }
        let hasher = claim.hasher(&self.stop)?.ok_or(DraftError::Stopping)?;
        let is_on_trial = self.head.checksum.is_some() || self.head.length.is_none();
        if is_on_trial {
            self.receive_on_trial(claim, hasher, parts)
        } else {
            self.receive(claim, hasher, parts)
        }
    }

    /// Takes bytes that count as they come.
    fn receive(
        &self,
        mut claim: Claim,
        mut hasher: Box<FileHasher>,
        mut parts: mpsc::Receiver<Part>,
    ) -> Result<Received, DraftError> {
        let length = claim.length();
        let mut appending = claim
            .desk()
            .staging
            .append(claim.file(), claim.received())?;
        let mut failure = None;
        let has_ended = loop {
            let bytes = match parts.blocking_recv() {
                Some(Part::Bytes(bytes)) => bytes,
                Some(Part::End) => break true,
                None => break false,
            };
            let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let received = claim.received().saturating_add(count);
            let written = if received > length {
                Err(DraftError::TooLong { length })
            } else {
                appending.write(&bytes).map_err(DraftError::from)
            };
            if let Err(error) = written {
                failure = Some(error);
                break false;
            }
            hasher.update(&bytes);
            claim.advance(received);
            self.note_received(&claim, count);
        };
        // What came counts, whatever broke off: it is to be there after a power cut too.
        let kept = appending.keep();
        let offset = claim.received();
        match kept {
            Ok(()) => claim.finish(Some(hasher)),
            Err(error) => {
                claim.let_go(Some(hasher));
                return Err(error.into());
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None if has_ended => Ok(Received { offset, length }),
            None => Err(DraftError::Stopping),
        }
    }

    /// Takes bytes that count when their end has come and the checksum is right.
    fn receive_on_trial(
        &self,
        mut claim: Claim,
        hasher: Box<FileHasher>,
        parts: mpsc::Receiver<Part>,
    ) -> Result<Received, DraftError> {
        let before = hasher.clone();
        let (length, from) = (claim.length(), claim.received());
        let mut trial = Trial {
            hasher,
            summing: Summing::new(self.head.checksum),
            received: from,
        };
        match self.try_out(&mut claim, &mut trial, parts) {
            Ok(()) => {
                let offset = trial.received;
                claim.advance(offset);
                claim.finish(Some(trial.hasher));
                Ok(Received { offset, length })
            }
            Err(error) => {
                let taken_back = trial.received.saturating_sub(from);
                let id = claim.desk().draft.id;
                self.ingest.ledger().note_taken_back(id, taken_back);
                claim.let_go(Some(before));
                Err(error)
            }
        }
    }

    fn try_out(
        &self,
        claim: &mut Claim,
        trial: &mut Trial,
        mut parts: mpsc::Receiver<Part>,
    ) -> Result<(), DraftError> {
        let length = claim.length();
        let mut appending = claim
            .desk()
            .staging
            .append_on_trial(claim.file(), trial.received)?;
        loop {
            let bytes = match parts.blocking_recv() {
                Some(Part::Bytes(bytes)) => bytes,
                Some(Part::End) => break,
                None => return Err(DraftError::Stopping),
            };
            let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let received = trial.received.saturating_add(count);
            if received > length {
                return Err(DraftError::TooLong { length });
            }
            appending.write(&bytes)?;
            trial.hasher.update(&bytes);
            trial.summing.update(&bytes);
            trial.received = received;
            self.note_received(claim, count);
        }
        if !std::mem::replace(&mut trial.summing, Summing::None).was_right() {
            return Err(DraftError::WrongChecksum);
        }
        appending.keep()?;
        Ok(())
    }

    fn note_received(&self, claim: &Claim, bytes: u64) {
        let id = claim.desk().draft.id;
        self.ingest
            .ledger()
            .note_received(id, bytes, ambient::now());
    }
}

/// Bytes that may be taken back.
struct Trial {
    hasher: Box<FileHasher>,
    summing: Summing,
    /// Bytes of the file, with those on trial.
    received: u64,
}

impl Summing {
    fn new(checksum: Option<Checksum>) -> Self {
        match checksum {
            None => Self::None,
            Some(Checksum::Sha1(wanted)) => Self::Sha1(Sha1::new(), wanted),
            Some(Checksum::Sha256(wanted)) => Self::Sha256(Sha256::new(), wanted),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Sha1(hasher, _) => hasher.update(bytes),
            Self::Sha256(hasher, _) => hasher.update(bytes),
        }
    }

    fn was_right(self) -> bool {
        match self {
            Self::None => true,
            Self::Sha1(hasher, wanted) => <[u8; 20]>::from(hasher.finalize()) == wanted,
            Self::Sha256(hasher, wanted) => <[u8; 32]>::from(hasher.finalize()) == wanted,
        }
    }
}

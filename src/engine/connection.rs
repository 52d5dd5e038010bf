//! One peer: the loop between its socket and its [`Session`].
//!
//! The loop is the only place that awaits both. Messages are decoded from whatever bytes came; answers and blocks are laid into one [`Outbox`] and
//! written together. Content is read only when everything before it has left, so a slow reader holds one batch and
//! no more; and while the outbox is full nothing is read, so a peer cannot make us owe it answers without end.

use std::io;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::Interest;
use tokio::task::consume_budget;
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Options;
use super::limits::{Grant, Wanted};
use super::transport::Stream;
use crate::ambient;
use crate::domain::session::{CloseReason, Output, Session};
use crate::proto::geometry::Block;
use crate::proto::metainfo::proof::Proof;
use crate::proto::wire::message::{
    self, Limits, Message, MessageError, PIECE_HEADER_LENGTH, RawHashes,
};
use crate::reader::ReadError;

/// Unsent bytes of answers above which no more of the peer's messages are read.
const OUTBOX_FULL: usize = 64 * 1024;

/// Bytes that a batch holds for a socket of which nothing is known, or that takes little: one block.
const LITTLE: usize = 16 * 1024;

/// Blocks that one batch holds, at most, however small they are.
const BATCH_BLOCKS: usize = 64;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    /// The peer hung up.
    #[error("the peer closed the connection")]
    ByPeer,
    /// We are shutting down, or need this peer no longer.
    #[error("the connection is no longer needed")]
    ByUs,
    /// The peer's blocks made up a piece that is not the torrent's.
    #[error("the peer sent false data")]
    Poisoned,
    /// All places are taken, and another has a better claim to this one.
    #[error("the peer made room for another")]
    Displaced,
    /// The peer gives nothing.
    #[error("the peer gives nothing")]
    Unhelpful,
    /// The peer left what we sent unread.
    #[error("the peer has not read what it asked for")]
    Unread,
    /// The peer broke the protocol or a bound.
    #[error(transparent)]
    Session(#[from] CloseReason),
    /// The peer's bytes are no messages.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// Content cannot be read.
    #[error(transparent)]
    Content(#[from] ReadError),
    /// The socket failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
}

/// The torrent's side of a connection: a seed's, or a download's.
pub(crate) trait Party: Send {
    /// Reacts to what the session makes known. Commands to the session are welcome.
    fn handle(&mut self, output: Output, session: &mut Session, now: Instant)
    -> Result<(), Closed>;

    /// Waits until the torrent wants something of this peer. Cancel-safe.
    fn woken(&self) -> impl Future<Output = ()> + Send;

    /// Does what the torrent wants of this peer.
    fn wake(&mut self, session: &mut Session, now: Instant) -> Result<Woken, Closed>;

    /// Lays blocks that the peer asked for into the outbox. What cannot be served is refused on the session.
    fn lay_out(
        &mut self,
        blocks: &[Block],
        session: &mut Session,
        outbox: &mut Outbox,
    ) -> impl Future<Output = Result<(), Closed>> + Send;

    /// Finds hashes that the peer asked for, and what proves them (BEP 52); `None` where they cannot or will not be given.
    fn prove(
        &mut self,
        asked: &RawHashes,
    ) -> impl Future<Output = Result<Option<Proof>, Closed>> + Send;

    /// Says how many of the `wanted` bytes of content may leave for this peer next, and when. What is granted counts as sent.
    fn grant(&self, wanted: Wanted, now: Instant) -> Grant;

    /// Content of so many bytes has left for the peer.
    fn sent(&mut self, bytes: u64);

    /// A request of the peer is being rejected (BEP 6).
    fn rejected(&mut self);
}

/// What a peer's task wakes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The rates that hold for it are those of before.
    AsBefore,
    /// What it was granted under other rates is void.
    WithNewRates,
}

/// Bytes on their way out: encoded messages and blocks, in one buffer, so that one call writes them all.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// `filled` of it are to be sent, of which `sent` have been.
    buffer: Vec<u8>,
    filled: usize,
    sent: usize,
    /// Bytes of content among the filled.
    content: u64,
    scratch: BytesMut,
}

impl Outbox {
    fn unsent(&self) -> &[u8] {
        self.buffer.get(self.sent..self.filled).unwrap_or_default()
    }

    fn push(&mut self, message: &Message) {
        self.scratch.clear();
        message.encode(&mut self.scratch);
        let scratch = std::mem::take(&mut self.scratch);
        self.append(scratch.len()).copy_from_slice(&scratch);
        self.scratch = scratch;
    }

    /// Room for the blocks' headers and bytes, in order; every header is written, the blocks' bytes are the caller's to fill.
    pub(crate) fn room_for(&mut self, blocks: &[Block]) -> Vec<&mut [u8]> {
        let content: usize = blocks.iter().map(|block| block.length() as usize).sum();
        self.content += content as u64;
        let mut rest = self.append(content + blocks.len() * PIECE_HEADER_LENGTH);
        let mut rooms = Vec::with_capacity(blocks.len());
        for block in blocks {
            let length = block.length() as usize;
            let (head, after) = rest.split_at_mut(PIECE_HEADER_LENGTH);
            head.copy_from_slice(&message::piece_header(
                block.piece().get(),
                block.begin(),
                length,
            ));
            let (room, after) = after.split_at_mut(length);
            rooms.push(room);
            rest = after;
        }
        rooms
    }

    fn append(&mut self, length: usize) -> &mut [u8] {
        let from = self.filled;
        self.filled += length;
        if self.buffer.len() < self.filled {
            self.buffer.resize(self.filled, 0);
        }
        &mut self.buffer[from..self.filled]
    }

    /// Notes that bytes have left. When all have, gives the bytes of content that were among them.
    fn advance(&mut self, bytes: usize) -> Option<u64> {
        self.sent += bytes;
        if self.sent < self.filled {
            return None;
        }
        self.sent = 0;
        self.filled = 0;
        Some(std::mem::take(&mut self.content))
    }

    /// Gives back the memory that what is unsent does not need: idle peers and slow readers shall cost little.
    fn release(&mut self) {
        self.scratch = BytesMut::new();
        if self.buffer.len() > 2 * self.unsent().len() {
            self.buffer = self.unsent().to_vec();
            self.filled = self.buffer.len();
            self.sent = 0;
        }
    }
}

/// How much the socket takes in one go. What it leaves of a batch waits in memory, and slow readers may be many.
#[derive(Debug, Default)]
pub(crate) struct Appetite {
    /// Bytes that it took since it last would take no more.
    taken: usize,
    /// Bytes that it took in the go before.
    before: usize,
}

impl Appetite {
    fn took(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_add(bytes);
    }

    /// Notes that it takes no more for now, and gives what it took.
    fn sated(&mut self) -> usize {
        self.before = std::mem::take(&mut self.taken);
        self.before
    }

    /// Bytes that a batch shall hold: a quarter of a go, so that little is left when it ends.
    fn batch(&self) -> usize {
        (self.taken.max(self.before) / 4).max(LITTLE)
    }
}

/// What a connection is made of.
pub(crate) struct Connection<'a, P> {
    pub(crate) stream: Stream,
    /// Bytes that came behind the handshake.
    pub(crate) received: BytesMut,
    pub(crate) session: Session,
    pub(crate) party: P,
    pub(crate) options: &'a Options,
    /// Bytes to make room for at each read: little for requests, much for blocks.
    pub(crate) read_size: usize,
    /// What may be laid out next, while it has to wait; nothing at first.
    pub(crate) grant: Option<Grant>,
    pub(crate) appetite: Appetite,
}

impl<P: Party> Connection<'_, P> {
    /// Runs until either side ends it, and says why. Not cancel-safe: use the token.
    pub(crate) async fn run(&mut self, shutdown: &CancellationToken) -> Closed {
        match self.exchange(shutdown).await {
            Ok(never) => match never {},
            Err(closed) => closed,
        }
    }

    async fn exchange(
        &mut self,
        shutdown: &CancellationToken,
    ) -> Result<std::convert::Infallible, Closed> {
        let limits = Limits::for_pieces(self.session.geometry().piece_count());
        let write_timeout = Duration::from_secs(self.options.write_timeout);
        let mut outbox = Outbox::default();
        let mut write_progress = ambient::now();
        let mut shutdown = std::pin::pin!(shutdown.cancelled());
        let mut timer = std::pin::pin!(sleep_until(self.session.poll_timeout().into()));
        loop {
            let now = ambient::now();
            let is_held_back = self.take_messages(&limits, &mut outbox, now)?;
            if outbox.unsent().is_empty() {
                self.answer_hash_request(&mut outbox).await?;
                self.lay_out_batch(&mut outbox).await?;
                write_progress = now;
            }
            self.write(&mut outbox, &mut write_progress)?;
            if is_held_back && self.has_room(&outbox) {
                // What was held back has come already: the socket would never say so again.
                consume_budget().await;
                continue;
            }

            let mut deadline = self.session.poll_timeout();
            let is_writing = !outbox.unsent().is_empty();
            let may_lay_out = self.session.request_count() > 0 && self.grant.is_none();
            let wants_to_write = is_writing || may_lay_out || self.session.is_asked_for_hashes();
            if let Some(grant) = &self.grant {
                deadline = deadline.min(grant.from);
            }
            if is_writing {
                deadline = deadline.min(write_progress + write_timeout);
            } else if !wants_to_write {
                outbox.release();
                self.session.release();
                if self.received.is_empty() {
                    self.received = BytesMut::new();
                }
            }
            hasten(timer.as_mut(), deadline);

            let interest = match (self.has_room(&outbox), wants_to_write) {
                (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
                (true, false) => Some(Interest::READABLE),
                (false, true) => Some(Interest::WRITABLE),
                // What is owed must wait, and more is not taken in.
                (false, false) => None,
            };
            tokio::select! {
                // A fast reader's socket is always ready, so it is asked last.
                biased;
                () = &mut shutdown => return Err(Closed::ByUs),
                () = self.party.woken() => {
                    let now = ambient::now();
                    if self.party.wake(&mut self.session, now)? == Woken::WithNewRates {
                        self.grant = None;
                    }
                    self.drain(&mut outbox, now)?;
                }
                () = timer.as_mut() => {
                    let now = ambient::now();
                    self.session.handle_timeout(now)?;
                    if is_writing && now >= write_progress + write_timeout {
                        return Err(Closed::Unread);
                    }
                    self.drain(&mut outbox, now)?;
                    timer.as_mut().reset(self.session.poll_timeout().into());
                }
                ready = self.stream.ready(interest.unwrap_or(Interest::READABLE)), if interest.is_some() => {
                    if ready? {
                        self.read()?;
                    }
                }
            }
        }
    }

    /// Hands every whole message to the session, as long as there is room for it; says whether some were held back.
    fn take_messages(
        &mut self,
        limits: &Limits,
        outbox: &mut Outbox,
        now: Instant,
    ) -> Result<bool, Closed> {
        self.drain(outbox, now)?;
        while self.has_room(outbox) {
            let Some(message) = message::decode(&mut self.received, limits)? else {
                return Ok(false);
            };
            self.session.handle_message(message, now)?;
            self.drain(outbox, now)?;
        }
        Ok(true)
    }

    /// Takes what the session puts out: messages into the outbox, the rest to the party.
    fn drain(&mut self, outbox: &mut Outbox, now: Instant) -> Result<(), Closed> {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(message) => {
                    if matches!(message, Message::Reject(_)) {
                        self.party.rejected();
                    }
                    outbox.push(&message);
                }
                other => self.party.handle(other, &mut self.session, now)?,
            }
        }
        Ok(())
    }

    /// Whether further messages can be taken in, and the answers to them still fit.
    fn has_room(&self, outbox: &Outbox) -> bool {
        self.session.has_room() && outbox.unsent().len() < OUTBOX_FULL + self.options.send_buffer
    }

    /// Takes one request for hashes off the session's queue, for its answer may be as large as a batch.
    async fn answer_hash_request(&mut self, outbox: &mut Outbox) -> Result<(), Closed> {
        let Some(asked) = self.session.poll_hash_request() else {
            return Ok(());
        };
        match Box::pin(self.party.prove(&asked)).await? {
            Some(proof) => self.session.prove(asked, &proof),
            None => self.session.refuse_hashes(asked),
        }
        self.drain(outbox, ambient::now())
    }

    /// Takes requests off the session's queue, as many as one batch holds, and lays their blocks out.
    async fn lay_out_batch(&mut self, outbox: &mut Outbox) -> Result<(), Closed> {
        let now = ambient::now();
        let lengths = self.session.requests().take(BATCH_BLOCKS);
        let mut lengths = lengths.map(|block| block.length() as usize).peekable();
        let Some(first) = lengths.peek().copied() else {
            // What was granted was for requests that were taken back.
            self.grant = None;
            return Ok(());
        };
        let wanted = Wanted {
            at_least: first,
            bytes: (lengths.sum::<usize>())
                .min(self.appetite.batch())
                .min(self.options.send_buffer),
        };
        let grant = self.grant.take();
        let grant = grant.unwrap_or_else(|| self.party.grant(wanted, now));
        if now < grant.from {
            self.grant = Some(grant);
            return Ok(());
        }
        let batch = self.take_requests(grant.bytes);
        // Boxed, for idle peers shall cost little.
        Box::pin(self.party.lay_out(&batch, &mut self.session, outbox)).await?;
        self.drain(outbox, ambient::now())
    }

    /// Takes requests of so many bytes off the session's queue, or the first of them where that is more.
    fn take_requests(&mut self, bytes: usize) -> Vec<Block> {
        let mut batch = Vec::new();
        let mut left = bytes;
        while batch.len() < BATCH_BLOCKS {
            let next = self.session.requests().next();
            let Some(next) = next.map(|block| block.length() as usize) else {
                break;
            };
            if next > left && !batch.is_empty() {
                break;
            }
            left = left.saturating_sub(next);
            batch.extend(self.session.poll_request());
        }
        batch
    }

    /// Writes as much as the socket takes without waiting.
    fn write(&mut self, outbox: &mut Outbox, progress: &mut Instant) -> Result<(), Closed> {
        while !outbox.unsent().is_empty() {
            match self.stream.try_write(outbox.unsent()) {
                Ok(0) => return Err(Closed::ByPeer),
                Ok(written) => {
                    *progress = ambient::now();
                    self.session.handle_sent(*progress);
                    self.appetite.took(written);
                    if let Some(content) = outbox.advance(written) {
                        self.party.sent(content);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.appetite.sated() < self.options.send_buffer {
                        outbox.release();
                    }
                    break;
                }
                Err(error) => return Err(closed(error)),
            }
        }
        Ok(())
    }

    /// Reads as much as there is, up to one buffer.
    fn read(&mut self) -> Result<(), Closed> {
        // Blocks are slices of the buffer that they came in, so a buffer is filled before the next is made: else each small read would pin a whole one.
        if self.received.capacity() - self.received.len() < self.read_size / 8 {
            self.received.reserve(self.read_size);
        }
        match self.stream.try_read_buf(&mut self.received) {
            Ok(0) => Err(Closed::ByPeer),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(closed(error)),
        }
    }
}

/// Moves a timer forward, never back: a deadline that has moved on is found out when the timer fires.
fn hasten(timer: std::pin::Pin<&mut Sleep>, deadline: Instant) {
    if timer.deadline() > deadline.into() {
        timer.reset(deadline.into());
    }
}

/// A connection that the peer reset is closed by the peer, not broken.
fn closed(error: io::Error) -> Closed {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Closed::ByPeer,
        _ => Closed::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_socket_is_given_one_block_and_a_fast_one_more_from_the_first_on() {
        let mut appetite = Appetite::default();
        assert_eq!(appetite.batch(), LITTLE);
        appetite.took(64 * 1024);
        assert_eq!(appetite.batch(), LITTLE);
        appetite.took(960 * 1024);
        assert_eq!(appetite.batch(), 256 * 1024);
        assert_eq!(appetite.sated(), 1024 * 1024);
        assert_eq!(appetite.batch(), 256 * 1024);
        // Nothing taken: it has become slow.
        assert_eq!(appetite.sated(), 0);
        assert_eq!(appetite.batch(), LITTLE);
    }
}

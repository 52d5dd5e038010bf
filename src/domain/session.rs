//! One peer, as a state machine: who chokes whom, what was asked for, what is owed (BEP 3, BEP 6).
//!
//! A `Session` owns no socket, no clock and no content. Its driver feeds it messages ([`handle_message`](Session::handle_message)) and
//! time ([`handle_timeout`](Session::handle_timeout)), gives it commands, and takes what comes out: [`poll_output`](Session::poll_output) for
//! what must be sent or made known now, [`poll_request`](Session::poll_request) for the next block that the peer is owed, to be asked only when the socket
//! can take it, so that a `cancel` still finds it in the queue.
//!
//! Invariants: every request of an unchoked peer is served, rejected (BEP 6) or cancelled; the queue of requests never passes
//! [`Options::max_requests`]; every index has been held against the torrent's geometry before it leaves this module.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::proto::bitfield::{Bitfield, BitfieldError};
use crate::proto::geometry::{Block, Geometry, PieceIndex};
use crate::proto::wire::handshake::Reserved;
use crate::proto::wire::message::{Message, RawBlock};

/// Bytes in a request, at most: more is no honest client (BEP 3 clients close above 128 KiB).
const MAX_REQUEST_LENGTH: u32 = 128 * 1024;

/// The bounds of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Requests that a peer may have waiting; further ones are rejected.
    pub max_requests: usize,
    /// Seconds without a message after which a peer is taken for gone.
    pub idle_timeout: u64,
    /// Seconds without sending after which a keep-alive goes out. BEP 3 expects one every two minutes.
    pub keep_alive: u64,
    /// Seconds that a peer may take over a block that we asked for.
    pub request_timeout: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_requests: 500,
            idle_timeout: 180,
            keep_alive: 100,
            request_timeout: 60,
        }
    }
}

/// What a session wants from its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to the peer.
    Send(Message),
    /// The peer began or ceased to want pieces of ours.
    Interest(bool),
    /// The peer lets us request (`true`) or no longer does.
    Unchoked(bool),
    /// The peer has told of pieces; [`Session::peer_pieces`] has them.
    PeerPieces,
    /// The peer has one more piece.
    PeerHas(PieceIndex),
    /// A block that we asked for has come.
    Received {
        /// Which.
        block: Block,
        /// Its bytes; as many as the block is long.
        data: Bytes,
    },
    /// A block that we asked for will not come from this peer.
    Lost(Block),
    /// A message of the extension protocol (BEP 10).
    Extended {
        /// Which, as our extension handshake numbered them; 0 is the handshake.
        id: u8,
        /// Its payload.
        payload: Bytes,
    },
}

/// Why a connection ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// A piece or block that the torrent does not have.
    #[error("the peer spoke of a piece that the torrent does not have")]
    OutOfRange,
    /// A request longer than any honest client's.
    #[error("the peer asked for {0} bytes at once")]
    RequestTooLong(u32),
    /// A bitfield that does not fit the torrent.
    #[error("the peer sent a bad bitfield")]
    Bitfield(#[from] BitfieldError),
    /// A message of the Fast extension without having agreed to it (BEP 6).
    #[error("the peer used the Fast extension without having offered it")]
    FastNotAgreed,
    /// A bitfield or its like a second time.
    #[error("the peer told of all its pieces twice")]
    PiecesToldTwice,
    /// Nothing came for [`Options::idle_timeout`].
    #[error("the peer has been silent for too long")]
    Idle,
    /// A block did not come for [`Options::request_timeout`].
    #[error("the peer owes a block for too long")]
    Stalled,
    /// Both sides have everything.
    #[error("neither side needs anything of the other")]
    BothComplete,
}

/// One peer.
#[derive(Debug)]
pub struct Session {
    geometry: Geometry,
    options: Options,
    has_fast: bool,
    our_pieces: Bitfield,
    is_choking: bool,
    is_peer_interested: bool,
    requests: VecDeque<Block>,
    is_interested: bool,
    is_peer_choking: bool,
    peer_pieces: Bitfield,
    has_peer_told_pieces: bool,
    outstanding: VecDeque<Block>,
    /// When the peer last made progress on `outstanding`, or the first of them went out.
    outstanding_since: Instant,
    outputs: VecDeque<Output>,
    last_received: Instant,
    last_sent: Instant,
}

impl Session {
    /// A session that begins after the handshakes. Its first output tells the peer which pieces we have.
    ///
    /// `peer` is what the peer's handshake said it speaks.
    pub fn new(
        geometry: Geometry,
        our_pieces: Bitfield,
        peer: Reserved,
        options: Options,
        now: Instant,
    ) -> Self {
        let has_fast = peer.has_fast();
        let mut session = Self {
            geometry,
            options,
            has_fast,
            our_pieces,
            is_choking: true,
            is_peer_interested: false,
            requests: VecDeque::new(),
            is_interested: false,
            is_peer_choking: true,
            peer_pieces: Bitfield::empty(&geometry),
            has_peer_told_pieces: false,
            outstanding: VecDeque::new(),
            outstanding_since: now,
            outputs: VecDeque::new(),
            last_received: now,
            last_sent: now,
        };
        session.tell_pieces();
        session
    }

    /// BEP 6: with the Fast extension exactly one of three messages comes first; without it a bitfield may be left out.
    fn tell_pieces(&mut self) {
        let message = if self.has_fast && self.our_pieces.is_full() {
            Message::HaveAll
        } else if self.our_pieces.count() == 0 {
            if !self.has_fast {
                return;
            }
            Message::HaveNone
        } else {
            Message::Bitfield(Bytes::copy_from_slice(self.our_pieces.as_bytes()))
        };
        self.send(message);
    }

    /// Whether we let the peer wait.
    pub const fn is_choking(&self) -> bool {
        self.is_choking
    }

    /// Whether the peer wants pieces of ours.
    pub const fn is_peer_interested(&self) -> bool {
        self.is_peer_interested
    }

    /// Whether the peer lets us wait.
    pub const fn is_peer_choking(&self) -> bool {
        self.is_peer_choking
    }

    /// The pieces that the peer has told of.
    pub const fn peer_pieces(&self) -> &Bitfield {
        &self.peer_pieces
    }

    /// The torrent's geometry.
    pub const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// How many blocks of ours the peer has not answered.
    pub fn outstanding_count(&self) -> usize {
        self.outstanding.len()
    }

    /// How many blocks the peer waits for.
    pub fn request_count(&self) -> usize {
        self.requests.len()
    }

    /// Takes in a message.
    ///
    /// # Errors
    /// [`CloseReason`] where an honest peer would not have sent it; the connection must be closed.
    pub fn handle_message(&mut self, message: Message, now: Instant) -> Result<(), CloseReason> {
        self.last_received = now;
        match message {
            Message::KeepAlive | Message::Port(_) | Message::Unknown(_) => Ok(()),
            Message::Choke => {
                self.peer_chokes();
                Ok(())
            }
            Message::Unchoke => {
                if std::mem::replace(&mut self.is_peer_choking, false) {
                    self.outputs.push_back(Output::Unchoked(true));
                }
                Ok(())
            }
            Message::Interested => self.peer_interest(true),
            Message::NotInterested => self.peer_interest(false),
            Message::Have(index) => self.peer_has(index),
            Message::Bitfield(bits) => {
                let pieces = Bitfield::from_bytes(&bits, &self.geometry)?;
                self.peer_tells(pieces)
            }
            Message::HaveAll => {
                self.need_fast()?;
                self.peer_tells(Bitfield::full(&self.geometry))
            }
            Message::HaveNone => {
                self.need_fast()?;
                self.peer_tells(Bitfield::empty(&self.geometry))
            }
            Message::Request(block) => self.peer_requests(block),
            Message::Cancel(block) => {
                self.peer_cancels(block);
                Ok(())
            }
            Message::Piece { index, begin, data } => {
                self.peer_sends(index, begin, data, now);
                Ok(())
            }
            Message::Reject(block) => {
                self.need_fast()?;
                self.peer_rejects(block);
                Ok(())
            }
            // We ask by rarity and only while unchoked, so both hints are heard and not followed (BEP 6 allows it).
            Message::SuggestPiece(index) | Message::AllowedFast(index) => {
                self.need_fast()?;
                self.geometry
                    .piece(index)
                    .map(|_| ())
                    .ok_or(CloseReason::OutOfRange)
            }
            Message::Extended { id, payload } => {
                self.outputs.push_back(Output::Extended { id, payload });
                Ok(())
            }
        }
    }

    /// Takes in the passing of time; wanted at [`poll_timeout`](Self::poll_timeout), harmless at any other time.
    ///
    /// # Errors
    /// [`CloseReason::Idle`] or [`CloseReason::Stalled`].
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), CloseReason> {
        if now >= self.idle_deadline() {
            return Err(CloseReason::Idle);
        }
        if self
            .stall_deadline()
            .is_some_and(|deadline| now >= deadline)
        {
            return Err(CloseReason::Stalled);
        }
        if now >= self.keep_alive_deadline() {
            self.last_sent = now;
            self.send(Message::KeepAlive);
        }
        Ok(())
    }

    /// Notes that bytes went out, so that no keep-alive is due.
    pub const fn handle_sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    /// The next thing that the driver must send or make known.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next block that the peer is owed, to be read and sent in a `piece` message. Ask only when the socket can take it.
    pub fn poll_request(&mut self) -> Option<Block> {
        self.requests.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is wanted.
    pub fn poll_timeout(&self) -> Instant {
        let next = self.idle_deadline().min(self.keep_alive_deadline());
        self.stall_deadline().map_or(next, |stall| next.min(stall))
    }

    /// Lets the peer wait. What it asked for is rejected or, without the Fast extension, forgotten, as BEP 3 has it.
    pub fn choke(&mut self) {
        if std::mem::replace(&mut self.is_choking, true) {
            return;
        }
        self.send(Message::Choke);
        // BEP 6: a choke no longer rejects silently; each request is answered.
        for block in std::mem::take(&mut self.requests) {
            self.reject(block.into());
        }
    }

    /// Lets the peer request.
    pub fn unchoke(&mut self) {
        if std::mem::replace(&mut self.is_choking, false) {
            self.send(Message::Unchoke);
        }
    }

    /// Asks the peer for a block. Only while it does not choke us and has the piece.
    pub fn request(&mut self, block: Block, now: Instant) {
        if self.outstanding.is_empty() {
            self.outstanding_since = now;
        }
        self.outstanding.push_back(block);
        self.send(Message::Request(block.into()));
    }

    /// Takes back a request, because the block came from elsewhere.
    pub fn cancel(&mut self, block: Block) {
        let before = self.outstanding.len();
        self.outstanding.retain(|outstanding| *outstanding != block);
        if self.outstanding.len() < before {
            self.send(Message::Cancel(block.into()));
        }
    }

    /// Tells the peer that we have one more piece.
    pub fn have(&mut self, piece: PieceIndex) {
        if self.our_pieces.insert(piece) {
            self.send(Message::Have(piece.get()));
        }
    }

    /// Tells the peer whether it has what we want, if that is news.
    pub fn set_interested(&mut self, is_interested: bool) {
        if std::mem::replace(&mut self.is_interested, is_interested) != is_interested {
            self.send(if is_interested {
                Message::Interested
            } else {
                Message::NotInterested
            });
        }
    }

    /// Sends a message of the extension protocol; `id` as the peer's extension handshake numbered it.
    pub fn extend(&mut self, id: u8, payload: Bytes) {
        self.send(Message::Extended { id, payload });
    }

    /// Refuses a block that was polled but cannot be read.
    pub fn refuse(&mut self, block: Block) {
        self.reject(block.into());
    }

    fn send(&mut self, message: Message) {
        self.outputs.push_back(Output::Send(message));
    }

    /// Without the Fast extension there is no word for it: BEP 3 drops such requests in silence.
    fn reject(&mut self, block: RawBlock) {
        if self.has_fast {
            self.send(Message::Reject(block));
        }
    }

    const fn need_fast(&self) -> Result<(), CloseReason> {
        if self.has_fast {
            Ok(())
        } else {
            Err(CloseReason::FastNotAgreed)
        }
    }

    fn peer_chokes(&mut self) {
        if std::mem::replace(&mut self.is_peer_choking, true) {
            return;
        }
        self.outputs.push_back(Output::Unchoked(false));
        // BEP 6: with Fast each request is still answered by a block or a reject. Without it a choke drops them all.
        if !self.has_fast {
            let lost = std::mem::take(&mut self.outstanding);
            self.outputs.extend(lost.into_iter().map(Output::Lost));
        }
    }

    fn peer_interest(&mut self, is_interested: bool) -> Result<(), CloseReason> {
        if std::mem::replace(&mut self.is_peer_interested, is_interested) != is_interested {
            self.outputs.push_back(Output::Interest(is_interested));
        }
        Ok(())
    }

    fn peer_has(&mut self, index: u32) -> Result<(), CloseReason> {
        let piece = self.geometry.piece(index).ok_or(CloseReason::OutOfRange)?;
        self.has_peer_told_pieces = true;
        if self.peer_pieces.insert(piece) {
            self.outputs.push_back(Output::PeerHas(piece));
        }
        self.check_need()
    }

    fn peer_tells(&mut self, pieces: Bitfield) -> Result<(), CloseReason> {
        if std::mem::replace(&mut self.has_peer_told_pieces, true) {
            return Err(CloseReason::PiecesToldTwice);
        }
        self.peer_pieces = pieces;
        self.outputs.push_back(Output::PeerPieces);
        self.check_need()
    }

    /// Two seeds have nothing to say to each other, and the place is wanted by somebody else.
    fn check_need(&self) -> Result<(), CloseReason> {
        let both_complete = self.our_pieces.is_full() && self.peer_pieces.is_full();
        if both_complete && self.geometry.piece_count() > 0 {
            return Err(CloseReason::BothComplete);
        }
        Ok(())
    }

    fn peer_requests(&mut self, raw: RawBlock) -> Result<(), CloseReason> {
        if raw.length > MAX_REQUEST_LENGTH {
            return Err(CloseReason::RequestTooLong(raw.length));
        }
        let block = self
            .geometry
            .block(raw.index, raw.begin, raw.length)
            .ok_or(CloseReason::OutOfRange)?;
        // A request that crossed our choke on the way is no offence, and neither is one for a piece that we do not have yet.
        let is_refused = self.is_choking
            || self.requests.len() >= self.options.max_requests
            || !self.our_pieces.contains(block.piece());
        if is_refused {
            self.reject(raw);
        } else {
            self.requests.push_back(block);
        }
        Ok(())
    }

    fn peer_cancels(&mut self, raw: RawBlock) {
        let found = self
            .requests
            .iter()
            .position(|block| RawBlock::from(*block) == raw);
        if let Some(position) = found {
            self.requests.remove(position);
            // BEP 6: a cancelled request is answered, by the block or by a reject.
            self.reject(raw);
        }
    }

    /// A block that nobody asked for is dropped: it may have crossed our cancel.
    fn peer_sends(&mut self, index: u32, begin: u32, data: Bytes, now: Instant) {
        let Ok(length) = u32::try_from(data.len()) else {
            return;
        };
        let Some(block) = self.geometry.block(index, begin, length) else {
            return;
        };
        if self.forget_outstanding(block) {
            // Progress: the others have as long again.
            self.outstanding_since = now;
            self.outputs.push_back(Output::Received { block, data });
        }
    }

    fn peer_rejects(&mut self, raw: RawBlock) {
        let Some(block) = self.geometry.block(raw.index, raw.begin, raw.length) else {
            return;
        };
        if self.forget_outstanding(block) {
            self.outputs.push_back(Output::Lost(block));
        }
    }

    fn forget_outstanding(&mut self, block: Block) -> bool {
        let found = self
            .outstanding
            .iter()
            .position(|outstanding| *outstanding == block);
        found.is_some_and(|position| self.outstanding.remove(position).is_some())
    }

    fn idle_deadline(&self) -> Instant {
        self.last_received + Duration::from_secs(self.options.idle_timeout)
    }

    fn keep_alive_deadline(&self) -> Instant {
        self.last_sent + Duration::from_secs(self.options.keep_alive)
    }

    fn stall_deadline(&self) -> Option<Instant> {
        let is_owed = !self.outstanding.is_empty();
        is_owed.then(|| self.outstanding_since + Duration::from_secs(self.options.request_timeout))
    }
}

impl From<Block> for RawBlock {
    fn from(block: Block) -> Self {
        Self {
            index: block.piece().get(),
            begin: block.begin(),
            length: block.length(),
        }
    }
}

//! One peer, as a state machine: who chokes whom, what was asked for, what is owed (BEP 3, BEP 6, BEP 52).
//!
//! A `Session` owns no socket, no clock and no content. Its driver feeds it messages ([`handle_message`](Session::handle_message)) and
//! time ([`handle_timeout`](Session::handle_timeout)), gives it commands, and takes what comes out: [`poll_output`](Session::poll_output) for
//! what must be sent or made known now, [`poll_request`](Session::poll_request) for the next block that the peer is owed, to be asked only when the socket
//! can take it, so that a `cancel` still finds it in the queue; likewise [`poll_hash_request`](Session::poll_hash_request) for hashes.
//!
//! Invariants: every request of an unchoked peer is served, rejected (BEP 6) or cancelled, and every request for hashes is answered
//! or rejected (BEP 52); the queues never pass [`Options::max_requests`] and [`Options::max_hash_requests`]; every index has been held against the torrent's geometry before it leaves this module.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::proto::bitfield::{Bitfield, BitfieldError};
use crate::proto::geometry::{Block, Geometry, PieceIndex};
use crate::proto::metainfo::proof::Proof;
use crate::proto::wire::handshake::Reserved;
use crate::proto::wire::message::{Message, RawBlock, RawHashes};

/// Bytes in a request, at most: more is no honest client (BEP 3 clients close above 128 KiB).
const MAX_REQUEST_LENGTH: u32 = 128 * 1024;

/// The bounds of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Requests that a peer may have waiting; further ones are rejected.
    pub max_requests: usize,
    /// Requests that are refused beyond those that are answered, after which a peer is left: it asks again and again for what it will not get.
    pub max_refusals: usize,
    /// Requests for hashes that a peer may have waiting (BEP 52); further ones are rejected. libtorrent has two.
    pub max_hash_requests: usize,
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
            max_refusals: 2000,
            max_hash_requests: 16,
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
    /// The peer has a node of the DHT at that port (BEP 5).
    DhtPort(u16),
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
    /// Nothing came for [`Options::idle_timeout`].
    #[error("the peer has been silent for too long")]
    Idle,
    /// A block did not come for [`Options::request_timeout`].
    #[error("the peer owes a block for too long")]
    Stalled,
    /// More than [`Options::max_refusals`] requests were refused.
    #[error("the peer goes on asking for what it was refused")]
    Insistent,
    /// Both sides have everything.
    #[error("neither side needs anything of the other")]
    BothComplete,
}

/// One peer.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "choking and interest, each in two directions, are what BEP 3 calls them"
)]
pub struct Session {
    geometry: Geometry,
    options: Arc<Options>,
    has_fast: bool,
    our_pieces: Bitfield,
    is_choking: bool,
    is_peer_interested: bool,
    requests: VecDeque<Block>,
    /// Requests that were refused, less those that were answered.
    refusals: usize,
    hash_requests: VecDeque<RawHashes>,
    is_interested: bool,
    is_peer_choking: bool,
    peer_pieces: Bitfield,
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
        options: impl Into<Arc<Options>>,
        now: Instant,
    ) -> Self {
        let has_fast = peer.has_fast();
        let mut session = Self {
            geometry,
            options: options.into(),
            has_fast,
            our_pieces,
            is_choking: true,
            is_peer_interested: false,
            requests: VecDeque::new(),
            refusals: 0,
            hash_requests: VecDeque::new(),
            is_interested: false,
            is_peer_choking: true,
            peer_pieces: Bitfield::empty(&geometry),
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
            Message::Bitfield(self.our_pieces.to_bytes().into())
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

    /// The blocks that the peer waits for, in the order in which they are to be sent.
    pub fn requests(&self) -> impl Iterator<Item = Block> + '_ {
        self.requests.iter().copied()
    }

    /// Whether the peer waits for hashes.
    pub fn is_asked_for_hashes(&self) -> bool {
        !self.hash_requests.is_empty()
    }

    /// Whether another message can be taken in. Without the Fast extension a request beyond the bound could be neither kept nor
    /// refused (rTorrent queues more and never asks again), so the peer must wait until some have been served.
    pub fn has_room(&self) -> bool {
        self.has_fast || self.requests.len() < self.options.max_requests
    }

    /// Takes in a message. To be called while there is [room](Self::has_room).
    ///
    /// # Errors
    /// [`CloseReason`] where an honest peer would not have sent it; the connection must be closed.
    pub fn handle_message(&mut self, message: Message, now: Instant) -> Result<(), CloseReason> {
        self.last_received = now;
        match message {
            // We ask for no hashes, so none are expected.
            Message::KeepAlive
            | Message::Hashes { .. }
            | Message::HashReject(_)
            | Message::Unknown(_) => Ok(()),
            Message::Port(port) => {
                self.outputs.push_back(Output::DhtPort(port));
                Ok(())
            }
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
            Message::Interested => {
                self.peer_interest(true);
                Ok(())
            }
            Message::NotInterested => {
                self.peer_interest(false);
                Ok(())
            }
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
            Message::HashRequest(asked) => {
                self.peer_requests_hashes(asked);
                Ok(())
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

    /// Gives back memory that is not needed while nothing is under way.
    pub fn release(&mut self) {
        self.outputs.shrink_to_fit();
        self.requests.shrink_to_fit();
        self.outstanding.shrink_to_fit();
    }

    /// The next block that the peer is owed, to be read and sent in a `piece` message. Ask only when the socket can take it.
    pub fn poll_request(&mut self) -> Option<Block> {
        let request = self.requests.pop_front()?;
        self.refusals = self.refusals.saturating_sub(1);
        Some(request)
    }

    /// The next hashes that the peer is owed, to be [proven](Self::prove) or [refused](Self::refuse_hashes). They are not held
    /// against the torrent yet. Ask only when the socket can take them.
    pub fn poll_hash_request(&mut self) -> Option<RawHashes> {
        self.hash_requests.pop_front()
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

    /// Tells the peer at which port our node of the DHT is (BEP 5).
    pub fn tell_dht_port(&mut self, port: u16) {
        self.send(Message::Port(port));
    }

    /// Sends a message of the extension protocol; `id` as the peer's extension handshake numbered it.
    pub fn extend(&mut self, id: u8, payload: Bytes) {
        self.send(Message::Extended { id, payload });
    }

    /// Refuses a block that was polled but cannot be read.
    pub fn refuse(&mut self, block: Block) {
        // One for this, and one for its being polled, which was no answer.
        self.refusals = self.refusals.saturating_add(2);
        self.reject(block.into());
    }

    /// Sends hashes that the peer asked for, and their uncles behind them.
    pub fn prove(&mut self, asked: RawHashes, proof: &Proof) {
        let hashes = [proof.hashes.as_flattened(), proof.uncles.as_flattened()];
        self.send(Message::Hashes {
            asked,
            hashes: hashes.concat().into(),
        });
    }

    /// Refuses hashes that the peer asked for.
    pub fn refuse_hashes(&mut self, asked: RawHashes) {
        self.send(Message::HashReject(asked));
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

    fn peer_interest(&mut self, is_interested: bool) {
        if std::mem::replace(&mut self.is_peer_interested, is_interested) != is_interested {
            self.outputs.push_back(Output::Interest(is_interested));
        }
    }

    fn peer_has(&mut self, index: u32) -> Result<(), CloseReason> {
        let piece = self.geometry.piece(index).ok_or(CloseReason::OutOfRange)?;
        if self.peer_pieces.insert(piece) {
            self.outputs.push_back(Output::PeerHas(piece));
        }
        self.check_need()
    }

    /// BEP 3 and BEP 6 have this come first and once, but aria2 says it again where it would owe twenty `have`s or more.
    fn peer_tells(&mut self, pieces: Bitfield) -> Result<(), CloseReason> {
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
        if self.refusals > self.options.max_refusals {
            return Err(CloseReason::Insistent);
        }
        if is_refused {
            self.refusals = self.refusals.saturating_add(1);
            self.reject(raw);
        } else {
            self.requests.push_back(block);
        }
        Ok(())
    }

    /// Hashes are given whether the peer is choked or not: without them it cannot tell what it got.
    fn peer_requests_hashes(&mut self, asked: RawHashes) {
        if self.hash_requests.len() < self.options.max_hash_requests {
            self.hash_requests.push_back(asked);
        } else {
            self.refuse_hashes(asked);
        }
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

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use bytes::BytesMut;
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::ambient;
    use crate::proto::geometry::BLOCK_LENGTH;
    use crate::proto::metainfo::proof::HashRequest;
    use crate::proto::wire::message::{self, Limits};

    /// A peer that speaks BEP 3 and nothing else.
    fn plain() -> Reserved {
        Reserved::default()
    }

    fn geometry() -> Geometry {
        let piece_length = NonZeroU32::new(2 * BLOCK_LENGTH).unwrap();
        Geometry::new(u64::from(BLOCK_LENGTH) * 7 + 100, piece_length).unwrap()
    }

    fn block(piece: u32, ordinal: u32) -> Block {
        let piece = geometry().piece(piece).unwrap();
        geometry().blocks(piece).nth(ordinal as usize).unwrap()
    }

    fn session(our_pieces: Bitfield, peer: Reserved) -> Session {
        Session::new(
            geometry(),
            our_pieces,
            peer,
            Options::default(),
            ambient::now(),
        )
    }

    fn seed(peer: Reserved) -> Session {
        session(Bitfield::full(&geometry()), peer)
    }

    fn leecher(peer: Reserved) -> Session {
        session(Bitfield::empty(&geometry()), peer)
    }

    /// What a session sends, and what it makes known, up to now.
    fn outputs(session: &mut Session) -> (Vec<Message>, Vec<Output>) {
        let mut sent = Vec::new();
        let mut known = Vec::new();
        while let Some(output) = session.poll_output() {
            match output {
                Output::Send(message) => sent.push(message),
                other => known.push(other),
            }
        }
        (sent, known)
    }

    fn piece_message(block: Block) -> Message {
        Message::Piece {
            index: block.piece().get(),
            begin: block.begin(),
            data: Bytes::from(vec![7; block.length() as usize]),
        }
    }

    /// Two sessions and the bytes on their way between them, in order, late, and cut anywhere.
    struct VirtualLink {
        sides: [Side; 2],
        now: Instant,
        rng: StdRng,
    }

    struct Side {
        session: Session,
        on_the_way: VecDeque<(Instant, Vec<u8>)>,
        arrived: BytesMut,
        known: Vec<Output>,
        closed: Option<CloseReason>,
        /// A side that has hung keeps its socket open and does nothing.
        has_hung: bool,
    }

    const SEED: usize = 0;
    const LEECHER: usize = 1;

    impl VirtualLink {
        fn new(reserved: Reserved, seed_of_rng: u64) -> Self {
            let side = |session| Side {
                session,
                on_the_way: VecDeque::new(),
                arrived: BytesMut::new(),
                known: Vec::new(),
                closed: None,
                has_hung: false,
            };
            Self {
                sides: [side(seed(reserved)), side(leecher(reserved))],
                now: ambient::now(),
                rng: StdRng::seed_from_u64(seed_of_rng),
            }
        }

        /// Lets time pass, from one arrival or deadline to the next.
        fn run(&mut self, time: Duration) {
            let end = self.now + time;
            loop {
                self.settle();
                let next = self.sides.iter().filter_map(Side::next_event).min();
                let Some(next) = next.filter(|next| *next <= end) else {
                    break;
                };
                self.now = self.now.max(next);
                for side in &mut self.sides {
                    side.take_in(self.now);
                }
            }
            self.now = end;
        }

        /// Puts what the sessions say on its way.
        fn settle(&mut self) {
            for (from, to) in [(SEED, LEECHER), (LEECHER, SEED)] {
                let mut bytes = self.sides[from].put_out(self.now);
                while !bytes.is_empty() {
                    let cut = self.rng.random_range(1..=bytes.len());
                    let delay = Duration::from_millis(self.rng.random_range(0..200));
                    let on_the_way = &mut self.sides[to].on_the_way;
                    let last = on_the_way.back().map_or(self.now, |(at, _)| *at);
                    let arrival = last.max(self.now + delay);
                    on_the_way.push_back((arrival, bytes.split_to(cut).to_vec()));
                }
            }
        }
    }

    impl Side {
        fn next_event(&self) -> Option<Instant> {
            if self.closed.is_some() {
                return None;
            }
            let arrival = self.on_the_way.front().map(|(at, _)| *at);
            let deadline = (!self.has_hung).then(|| self.session.poll_timeout());
            arrival.into_iter().chain(deadline).min()
        }

        fn take_in(&mut self, now: Instant) {
            while let Some((_, bytes)) = self.on_the_way.pop_front_if(|(at, _)| *at <= now) {
                self.arrived.extend_from_slice(&bytes);
            }
            if self.has_hung || self.closed.is_some() {
                return;
            }
            let limits = Limits::for_pieces(geometry().piece_count());
            let mut result = self.session.handle_timeout(now);
            while result.is_ok()
                && let Some(message) = message::decode(&mut self.arrived, &limits).unwrap()
            {
                result = self.session.handle_message(message, now);
            }
            self.closed = result.err();
        }

        fn put_out(&mut self, now: Instant) -> BytesMut {
            let mut bytes = BytesMut::new();
            if self.has_hung || self.closed.is_some() {
                return bytes;
            }
            loop {
                let (sent, known) = outputs(&mut self.session);
                self.known.extend(known);
                for message in sent {
                    message.encode(&mut bytes);
                }
                let Some(block) = self.session.poll_request() else {
                    break;
                };
                piece_message(block).encode(&mut bytes);
            }
            if !bytes.is_empty() {
                self.session.handle_sent(now);
            }
            bytes
        }

        fn received(&self) -> Vec<Block> {
            let received = |output: &Output| match output {
                Output::Received { block, .. } => Some(*block),
                _ => None,
            };
            self.known.iter().filter_map(received).collect()
        }
    }

    #[test]
    fn first_message_tells_the_pieces_in_the_words_the_peer_knows() {
        let mut some = Bitfield::empty(&geometry());
        some.insert(geometry().piece(1).unwrap());
        let bitfield = Message::Bitfield(Bytes::from_static(&[0b0100_0000]));
        let full = Message::Bitfield(Bytes::from_static(&[0b1111_0000]));
        for (mut session, first) in [
            (seed(Reserved::OURS), vec![Message::HaveAll]),
            (leecher(Reserved::OURS), vec![Message::HaveNone]),
            (seed(plain()), vec![full]),
            (leecher(plain()), vec![]),
            (session(some.clone(), plain()), vec![bitfield.clone()]),
            (session(some, Reserved::OURS), vec![bitfield]),
        ] {
            assert_eq!(outputs(&mut session).0, first);
        }
    }

    #[test]
    fn a_download_over_a_slow_link_ends_whole() {
        for (reserved, seed) in [(plain(), 1), (Reserved::OURS, 2)] {
            let mut link = VirtualLink::new(reserved, seed);
            link.run(Duration::from_secs(2));
            assert_eq!(link.sides[LEECHER].known, [Output::PeerPieces]);
            link.sides[LEECHER].session.set_interested(true);
            link.run(Duration::from_secs(2));
            assert!(link.sides[SEED].known.contains(&Output::Interest(true)));
            link.sides[SEED].session.unchoke();
            link.run(Duration::from_secs(2));
            let all: Vec<_> = geometry()
                .pieces()
                .flat_map(|piece| geometry().blocks(piece))
                .collect();
            for block in &all {
                link.sides[LEECHER].session.request(*block, link.now);
            }
            link.run(Duration::from_secs(30));
            assert_eq!(link.sides[LEECHER].received(), all);
            assert_eq!(link.sides[LEECHER].session.outstanding_count(), 0);
        }
    }

    #[test]
    fn two_that_say_nothing_keep_each_other_alive() {
        let mut link = VirtualLink::new(plain(), 3);
        link.run(Duration::from_hours(1));
        assert!(link.sides.iter().all(|side| side.closed.is_none()));
    }

    #[test]
    fn a_peer_that_falls_silent_is_taken_for_gone() {
        let mut link = VirtualLink::new(plain(), 4);
        link.run(Duration::from_secs(1));
        link.sides[SEED].has_hung = true;
        link.run(Duration::from_secs(170));
        assert_eq!(link.sides[LEECHER].closed, None);
        link.run(Duration::from_secs(15));
        assert_eq!(link.sides[LEECHER].closed, Some(CloseReason::Idle));
    }

    #[test]
    fn a_peer_that_owes_a_block_has_a_minute_from_its_last_one() {
        let start = ambient::now();
        let mut session = leecher(plain());
        let at = |seconds| start + Duration::from_secs(seconds);
        session.handle_message(Message::Unchoke, at(0)).unwrap();
        session.request(block(0, 0), at(0));
        session.request(block(0, 1), at(0));
        session
            .handle_message(piece_message(block(0, 0)), at(50))
            .unwrap();
        // Signs of life are no progress.
        session.handle_message(Message::KeepAlive, at(100)).unwrap();
        session.handle_timeout(at(109)).unwrap();
        assert_eq!(session.poll_timeout(), at(110));
        assert_eq!(session.handle_timeout(at(110)), Err(CloseReason::Stalled));
    }

    #[test]
    fn a_request_while_choked_is_rejected_or_passed_over() {
        for (reserved, answer) in [
            (Reserved::OURS, vec![Message::Reject(block(0, 0).into())]),
            (plain(), vec![]),
        ] {
            let mut session = seed(reserved);
            outputs(&mut session);
            let request = Message::Request(block(0, 0).into());
            session.handle_message(request, ambient::now()).unwrap();
            assert_eq!(outputs(&mut session).0, answer);
            assert_eq!(session.poll_request(), None);
        }
    }

    #[test]
    fn a_request_for_a_piece_that_we_lack_is_rejected() {
        let mut session = leecher(Reserved::OURS);
        session.unchoke();
        outputs(&mut session);
        let request = Message::Request(block(0, 0).into());
        session.handle_message(request, ambient::now()).unwrap();
        assert_eq!(
            outputs(&mut session).0,
            [Message::Reject(block(0, 0).into())]
        );
        session.have(block(0, 0).piece());
        let request = Message::Request(block(0, 0).into());
        session.handle_message(request, ambient::now()).unwrap();
        assert_eq!(session.poll_request(), Some(block(0, 0)));
    }

    #[test]
    fn the_queue_of_requests_is_bounded() {
        let mut session = seed(Reserved::OURS);
        session.unchoke();
        outputs(&mut session);
        for _ in 0..600 {
            let request = Message::Request(block(1, 0).into());
            session.handle_message(request, ambient::now()).unwrap();
        }
        assert_eq!(session.request_count(), 500);
        assert_eq!(outputs(&mut session).0.len(), 100);
    }

    #[test]
    fn requests_for_hashes_wait_even_while_choked_and_further_ones_are_rejected() {
        let mut session = seed(plain());
        outputs(&mut session);
        let asked = |index| RawHashes {
            pieces_root: [7; 32],
            request: HashRequest {
                row: 0,
                index,
                length: 2,
                proof_rows: 1,
            },
        };
        for index in 0..17 {
            let request = Message::HashRequest(asked(index));
            session.handle_message(request, ambient::now()).unwrap();
        }
        assert_eq!(outputs(&mut session).0, [Message::HashReject(asked(16))]);
        assert!(session.is_asked_for_hashes());
        assert_eq!(session.poll_hash_request(), Some(asked(0)));
        let proof = Proof {
            hashes: vec![[1; 32], [2; 32]],
            uncles: vec![[3; 32]],
        };
        session.prove(asked(0), &proof);
        let hashes = [[1; 32], [2; 32], [3; 32]].concat().into();
        let answer = Message::Hashes {
            asked: asked(0),
            hashes,
        };
        assert_eq!(outputs(&mut session).0, [answer]);
    }

    #[test]
    fn a_choke_rejects_what_waits_and_loses_what_was_asked() {
        let now = ambient::now();
        let mut seed = seed(Reserved::OURS);
        seed.unchoke();
        outputs(&mut seed);
        seed.handle_message(Message::Request(block(0, 1).into()), now)
            .unwrap();
        seed.choke();
        let rejected = Message::Reject(block(0, 1).into());
        assert_eq!(outputs(&mut seed).0, [Message::Choke, rejected.clone()]);
        assert_eq!(seed.poll_request(), None);

        // BEP 6: with Fast the reject loses the block, without it the choke does.
        let mut fast = leecher(Reserved::OURS);
        let mut plain = leecher(plain());
        for session in [&mut fast, &mut plain] {
            session.handle_message(Message::Unchoke, now).unwrap();
            session.request(block(0, 1), now);
            outputs(session);
            session.handle_message(Message::Choke, now).unwrap();
        }
        assert_eq!(outputs(&mut fast).1, [Output::Unchoked(false)]);
        fast.handle_message(rejected, now).unwrap();
        assert_eq!(outputs(&mut fast).1, [Output::Lost(block(0, 1))]);
        let both = [Output::Unchoked(false), Output::Lost(block(0, 1))];
        assert_eq!(outputs(&mut plain).1, both);
    }

    #[test]
    fn a_cancel_finds_the_request_in_the_queue() {
        let now = ambient::now();
        let mut session = seed(Reserved::OURS);
        session.unchoke();
        outputs(&mut session);
        for ordinal in [0, 1] {
            let request = Message::Request(block(2, ordinal).into());
            session.handle_message(request, now).unwrap();
        }
        session
            .handle_message(Message::Cancel(block(2, 0).into()), now)
            .unwrap();
        assert_eq!(
            outputs(&mut session).0,
            [Message::Reject(block(2, 0).into())]
        );
        assert_eq!(session.poll_request(), Some(block(2, 1)));
        assert_eq!(session.poll_request(), None);
    }

    #[test]
    fn blocks_that_nobody_asked_for_are_dropped() {
        let now = ambient::now();
        let mut session = leecher(plain());
        session.request(block(0, 0), now);
        session.cancel(block(0, 0));
        session.request(block(1, 0), now);
        outputs(&mut session);
        let short = Message::Piece {
            index: 1,
            begin: 0,
            data: Bytes::from_static(b"short"),
        };
        let nowhere = Message::Piece {
            index: u32::MAX,
            begin: u32::MAX,
            data: Bytes::from_static(b"nowhere"),
        };
        for message in [piece_message(block(0, 0)), short, nowhere] {
            session.handle_message(message, now).unwrap();
        }
        assert_eq!(outputs(&mut session), (vec![], vec![]));
        assert_eq!(session.outstanding_count(), 1);
    }

    #[test]
    fn what_no_honest_peer_sends_closes() {
        let raw = |index, begin, length| RawBlock {
            index,
            begin,
            length,
        };
        let field = |bytes: &'static [u8]| Message::Bitfield(Bytes::from_static(bytes));
        for (message, reason) in [
            (Message::Have(4), CloseReason::OutOfRange),
            (Message::Request(raw(4, 0, 1)), CloseReason::OutOfRange),
            (
                Message::Request(raw(0, u32::MAX, 2)),
                CloseReason::OutOfRange,
            ),
            (Message::Request(raw(0, 0, 0)), CloseReason::OutOfRange),
            (
                Message::Request(raw(0, 0, 131_073)),
                CloseReason::RequestTooLong(131_073),
            ),
            (
                field(&[0b1111_1000]),
                CloseReason::Bitfield(BitfieldError::SpareBitsSet),
            ),
            (
                field(&[0, 0]),
                CloseReason::Bitfield(BitfieldError::WrongLength {
                    expected: 1,
                    actual: 2,
                }),
            ),
            (Message::HaveAll, CloseReason::FastNotAgreed),
            (Message::HaveNone, CloseReason::FastNotAgreed),
            (Message::Reject(raw(0, 0, 1)), CloseReason::FastNotAgreed),
            (Message::AllowedFast(0), CloseReason::FastNotAgreed),
            (Message::SuggestPiece(0), CloseReason::FastNotAgreed),
        ] {
            let mut session = leecher(plain());
            let result = session.handle_message(message.clone(), ambient::now());
            assert_eq!(result, Err(reason), "{message:?}");
        }
        let mut fast = leecher(Reserved::OURS);
        let result = fast.handle_message(Message::SuggestPiece(4), ambient::now());
        assert_eq!(result, Err(CloseReason::OutOfRange));
    }

    #[test]
    fn leaves_a_peer_that_insists_on_what_it_was_refused() {
        let now = ambient::now();
        let mut session = session(Bitfield::full(&geometry()), Reserved::OURS);
        session.unchoke();
        let block = session.geometry.block(0, 0, 1).unwrap();
        let ask = |session: &mut Session| {
            session.handle_message(Message::Request(block.into()), now)?;
            outputs(session);
            Ok(session.poll_request().unwrap())
        };
        // Every second one answered: it may go on for ever.
        let most = Options::default().max_refusals;
        for _ in 0..2 * most {
            let refused = ask(&mut session).unwrap();
            session.refuse(refused);
            ask(&mut session).unwrap();
        }
        for _ in 0..most {
            let refused = ask(&mut session).unwrap();
            session.refuse(refused);
        }
        let refusal: Result<Block, CloseReason> = ask(&mut session);
        assert_eq!(refusal, Err(CloseReason::Insistent));
    }

    #[test]
    fn pieces_may_be_told_anew() {
        let now = ambient::now();
        let mut session = leecher(Reserved::OURS);
        session.handle_message(Message::HaveNone, now).unwrap();
        let two_pieces = Message::Bitfield(Bytes::from_static(&[0b1100_0000]));
        session.handle_message(two_pieces, now).unwrap();
        assert_eq!(session.peer_pieces().count(), 2);
        session.handle_message(Message::HaveAll, now).unwrap();
        assert!(session.peer_pieces().is_full());
    }

    #[test]
    fn two_seeds_part() {
        let now = ambient::now();
        let mut session = seed(Reserved::OURS);
        let result = session.handle_message(Message::HaveAll, now);
        assert_eq!(result, Err(CloseReason::BothComplete));
        // One that becomes a seed while we talk parts too.
        let mut session = seed(plain());
        for index in 0..3 {
            session.handle_message(Message::Have(index), now).unwrap();
        }
        let result = session.handle_message(Message::Have(3), now);
        assert_eq!(result, Err(CloseReason::BothComplete));
    }

    #[test]
    fn news_is_told_once() {
        let now = ambient::now();
        let mut session = leecher(plain());
        for message in [
            Message::Unchoke,
            Message::Unchoke,
            Message::Have(1),
            Message::Have(1),
        ] {
            session.handle_message(message, now).unwrap();
        }
        session.set_interested(true);
        session.set_interested(true);
        session.have(geometry().piece(2).unwrap());
        session.have(geometry().piece(2).unwrap());
        let (sent, known) = outputs(&mut session);
        assert_eq!(sent, [Message::Interested, Message::Have(2)]);
        let has = Output::PeerHas(geometry().piece(1).unwrap());
        assert_eq!(known, [Output::Unchoked(true), has]);
    }

    proptest! {
        #[test]
        fn every_request_is_answered_once_whatever_crosses_it(
            commands in prop::collection::vec((0_u8..4, 0_u32..7, 0_u64..300), 0..60), has_fast: bool, seed: u64,
        ) {
            let reserved = if has_fast { Reserved::OURS } else { plain() };
            let mut link = VirtualLink::new(reserved, seed);
            link.run(Duration::from_secs(1));
            link.sides[LEECHER].session.set_interested(true);
            let mut asked = 0;
            let mut cancelled = 0;
            for (command, nth, wait) in commands {
                let block = block(nth / 2, nth % 2);
                let leecher = &mut link.sides[LEECHER].session;
                match command {
                    0 => link.sides[SEED].session.unchoke(),
                    1 => link.sides[SEED].session.choke(),
                    2 if !leecher.is_peer_choking() && !leecher.outstanding.contains(&block) => {
                        leecher.request(block, link.now);
                        asked += 1;
                    }
                    3 if leecher.outstanding.contains(&block) => {
                        leecher.cancel(block);
                        cancelled += 1;
                    }
                    _ => {}
                }
                link.run(Duration::from_millis(wait));
            }
            // Without Fast a request that crosses a choke is passed over; the choke, once it has come, is the answer.
            link.run(Duration::from_secs(30));
            let leecher = &link.sides[LEECHER];
            let answers = leecher.known.iter();
            let answers = answers.filter(|output| matches!(output, Output::Received { .. } | Output::Lost(_)));
            prop_assert_eq!(&leecher.closed, &None);
            prop_assert_eq!(leecher.session.outstanding_count(), 0);
            prop_assert_eq!(answers.count() + cancelled, asked);
        }
    }
}

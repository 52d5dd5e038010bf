//! One peer of a download: called, greeted, and asked for blocks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::swarm::{Link, Swarm};
use crate::ambient;
use crate::domain::addresses::Outcome;
use crate::domain::choker::PeerKey;
use crate::domain::picker::Collected;
use crate::domain::pipeline::Pipeline;
use crate::domain::session::{Output, Session};
use crate::engine::connection::{Appetite, Closed, Connection, Outbox, Party, Woken};
use crate::engine::limits::{Grant, Wanted};
use crate::engine::transport::HandshakeError;
use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::Block;
use crate::proto::metainfo::proof::Proof;
use crate::proto::wire::extension::{EXTENSION_HANDSHAKE, ExtensionHandshake};
use crate::proto::wire::message::RawHashes;

/// Bytes to make room for when reading from a peer: some blocks at once.
const READ_SIZE: usize = 256 * 1024;

/// Blocks that a peer may reject in a row while it does not choke us.
const MAX_REJECTS: u32 = 1_000;

/// Calls a peer and exchanges with it until either side ends it; says what came of it.
pub(super) async fn call(
    swarm: Arc<Swarm>,
    key: PeerKey,
    address: SocketAddr,
    to_check: mpsc::Sender<Collected>,
    hang_up: &CancellationToken,
) -> Outcome {
    let caller = swarm.caller();
    let greeted = tokio::select! {
        () = hang_up.cancelled() => return Outcome::Useless,
        greeted = caller.call(address) => greeted,
    };
    let (stream, received, handshake) = match greeted {
        Ok(greeted) => greeted,
        Err(error) => {
            tracing::debug!(%address, %error, "no peer");
            return match error {
                HandshakeError::Ourselves => Outcome::Banned,
                _ => Outcome::Useless,
            };
        }
    };
    let now = ambient::now();
    let (peer, our_pieces) = Leeching::join(swarm, key, to_check, now);
    let options = peer.swarm.options.connection();
    let mut session = Session::new(
        peer.swarm.info.geometry,
        our_pieces,
        handshake.reserved,
        peer.swarm.options.session(),
        now,
    );
    if handshake.reserved.has_extension_protocol() {
        introduce(&mut session, address.ip());
    }
    let mut connection = Connection {
        stream,
        received,
        session,
        party: peer,
        options: &options,
        read_size: READ_SIZE,
        grant: None,
        appetite: Appetite::default(),
    };
    let closed = connection.run(hang_up).await;
    tracing::debug!(%address, peer_id = %handshake.peer_id, reason = %closed, "peer has gone");
    match closed {
        Closed::Poisoned => Outcome::Banned,
        _ if connection.party.has_given => Outcome::Useful,
        _ => Outcome::Useless,
    }
}

/// Tells the peer what we speak (BEP 10): nothing beyond the handshake itself.
fn introduce(session: &mut Session, peer: IpAddr) {
    let ours = ExtensionHandshake {
        client: Some(concat!("Sower ", env!("CARGO_PKG_VERSION")).to_owned()),
        your_ip: Some(peer.to_canonical()),
        ..ExtensionHandshake::default()
    };
    session.extend(EXTENSION_HANDSHAKE, ours.encode());
}

/// The download's side of one connection. Joins the swarm when made, leaves it when dropped.
struct Leeching {
    swarm: Arc<Swarm>,
    key: PeerKey,
    wake: Arc<Notify>,
    to_check: mpsc::Sender<Collected>,
    pipeline: Pipeline,
    /// How many of the swarm's kept pieces the peer has been told of.
    told: usize,
    has_given: bool,
    /// When it gave its last block, or came.
    last_useful: Instant,
    rejects: u32,
}

impl Leeching {
    /// Gives the pieces that the peer is to be told of at first, too: from there on it is told of each one as it comes.
    fn join(
        swarm: Arc<Swarm>,
        key: PeerKey,
        to_check: mpsc::Sender<Collected>,
        now: Instant,
    ) -> (Self, Bitfield) {
        let link = Link::default();
        let wake = Arc::clone(&link.wake);
        let mut state = swarm.lock();
        state.picker.add_peer(key);
        state.links.insert(key, link);
        let (told, our_pieces) = (state.kept.len(), state.picker.whole().clone());
        drop(state);
        let peer = Self {
            swarm,
            key,
            wake,
            to_check,
            pipeline: Pipeline::new(now),
            told,
            has_given: false,
            last_useful: now,
            rejects: 0,
        };
        (peer, our_pieces)
    }

    /// Asks for as many blocks as the pipeline has room for.
    fn ask(&self, session: &mut Session, now: Instant) {
        let room = self.pipeline.room(session.outstanding_count());
        if session.is_peer_choking() || room == 0 {
            return;
        }
        let picker = &mut self.swarm.lock().picker;
        for block in picker.pick(self.key, room, &mut ambient::rng()) {
            session.request(block, now);
        }
    }

    fn receive(
        &mut self,
        block: Block,
        data: Bytes,
        session: &mut Session,
        now: Instant,
    ) -> Result<(), Closed> {
        self.has_given = true;
        self.last_useful = now;
        self.rejects = 0;
        self.pipeline.handle_block(now);
        self.swarm.add_received(block.length());
        let mut state = self.swarm.lock();
        let receipt = state.picker.receive(self.key, block, data);
        let cancel = receipt.as_ref().and_then(|receipt| receipt.cancel);
        if let Some(link) = cancel.and_then(|other| state.links.get_mut(&other)) {
            link.cancels.push(block);
            link.wake.notify_one();
        }
        drop(state);
        if let Some(collected) = receipt.and_then(|receipt| receipt.collected) {
            // Full it cannot be: the picker begins no more pieces than it has room for. Closed it is when the disk has failed.
            self.to_check
                .try_send(collected)
                .map_err(|_| Closed::ByUs)?;
        }
        self.ask(session, now);
        Ok(())
    }

    fn lose(&mut self, block: Block, session: &Session) -> Result<(), Closed> {
        let mut state = self.swarm.lock();
        state.picker.lose(self.key, block);
        state.wake_all();
        drop(state);
        // The peer is not asked again at once, lest it reject and we ask in a circle: the next block or tick will do.
        if !session.is_peer_choking() {
            self.rejects += 1;
        }
        if self.rejects > MAX_REJECTS {
            return Err(Closed::Unhelpful);
        }
        Ok(())
    }
}

impl Party for Leeching {
    fn handle(
        &mut self,
        output: Output,
        session: &mut Session,
        now: Instant,
    ) -> Result<(), Closed> {
        let may_ask = matches!(
            output,
            Output::PeerPieces | Output::PeerHas(_) | Output::Unchoked(true)
        );
        match output {
            Output::PeerPieces => {
                let picker = &mut self.swarm.lock().picker;
                picker.set_pieces(self.key, session.peer_pieces());
                session.set_interested(picker.is_interesting(self.key));
            }
            Output::PeerHas(piece) => {
                let picker = &mut self.swarm.lock().picker;
                picker.add_piece(self.key, piece);
                session.set_interested(picker.is_interesting(self.key));
            }
            Output::Received { block, data } => self.receive(block, data, session, now)?,
            Output::Lost(block) => self.lose(block, session)?,
            Output::Extended { id, payload } if id == EXTENSION_HANDSHAKE => {
                let theirs = ExtensionHandshake::decode(&payload);
                if let Some(requests) = theirs.and_then(|theirs| theirs.max_requests) {
                    self.pipeline
                        .set_limit(requests, self.swarm.options.requests);
                }
            }
            Output::Send(_)
            | Output::Interest(_)
            | Output::Unchoked(_)
            | Output::DhtPort(_)
            | Output::Extended { .. } => {}
        }
        if may_ask {
            self.ask(session, now);
        }
        Ok(())
    }

    async fn woken(&self) {
        self.wake.notified().await;
    }

    fn wake(&mut self, session: &mut Session, now: Instant) -> Result<Woken, Closed> {
        let patience = Duration::from_secs(self.swarm.options.patience);
        if self.swarm.is_crowded() && now.saturating_duration_since(self.last_useful) >= patience {
            return Err(Closed::Unhelpful);
        }
        let mut state = self.swarm.lock();
        let Some(link) = state.links.get_mut(&self.key) else {
            return Err(Closed::ByUs);
        };
        if link.is_poisoner {
            return Err(Closed::Poisoned);
        }
        for block in std::mem::take(&mut link.cancels) {
            session.cancel(block);
        }
        for piece in state.kept.iter().skip(self.told) {
            session.have(*piece);
        }
        self.told = state.kept.len();
        session.set_interested(state.picker.is_interesting(self.key));
        drop(state);
        self.ask(session, now);
        Ok(Woken::AsBefore)
    }

    /// Nobody is unchoked, so nobody is owed anything.
    async fn lay_out(
        &mut self,
        blocks: &[Block],
        session: &mut Session,
        _outbox: &mut Outbox,
    ) -> Result<(), Closed> {
        for block in blocks {
            session.refuse(*block);
        }
        Ok(())
    }

    /// Hashes are given by those who have the content, and no v2-only torrent is downloaded here.
    async fn prove(&mut self, _asked: &RawHashes) -> Result<Option<Proof>, Closed> {
        Ok(None)
    }

    fn grant(&self, wanted: Wanted, now: Instant) -> Grant {
        wanted.granted(now)
    }

    fn sent(&mut self, _bytes: u64) {}

    fn rejected(&mut self) {}
}

impl Drop for Leeching {
    fn drop(&mut self) {
        let mut state = self.swarm.lock();
        state.links.remove(&self.key);
        state.picker.remove_peer(self.key);
        state.wake_all();
    }
}

//! The seed's side of one connection: what the peer asks for is read and sent, and the torrent's other peers are told of it.

use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::{Awake, DhtNode, Inner, Link, Newcomer};
use crate::ambient;
use crate::domain::choker::PeerKey;
use crate::domain::introductions::FIRST_PEER_PORT;
use crate::domain::places::canonical_priority;
use crate::domain::session::{CloseReason, Output, Session};
use crate::domain::torrent::Torrent;
use crate::engine::connection::{Closed, Outbox, Party, Woken};
use crate::engine::figures::{Connected, Count};
use crate::engine::hashes::HashExchange;
use crate::engine::limits::{Grant, Wanted};
use crate::engine::metadata::MetadataExchange;
use crate::engine::transport::Stream;
use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::{Block, PieceIndex};
use crate::proto::metainfo::proof::Proof;
use crate::proto::wire::extension::{EXTENSION_HANDSHAKE, ExtensionHandshake};
use crate::proto::wire::message::RawHashes;
use crate::proto::wire::peer_exchange::PeerFlags;
use crate::reader::ReadError;
use crate::store::content::ContentFile;

/// The number that we give `ut_pex`. We dial nobody, so what comes under it is passed over; but libtorrent hangs up on whoever
/// sends such messages without having asked for them.
const OUR_PEER_EXCHANGE_ID: u8 = 2;

/// The seed's side of one connection. Joins its torrent's peers when made, leaves them when dropped.
pub(super) struct Seeding<'a> {
    engine: &'a Inner,
    awake: Arc<Awake>,
    key: PeerKey,
    source: IpAddr,
    link: Arc<Link>,
    figures: Connected<'a>,
    metadata: MetadataExchange,
    hashes: HashExchange,
    /// The number under which the peer takes `ut_pex` messages, if it wants them and may have them.
    peer_exchange_id: Option<u8>,
    /// Whether it has said where its node of the DHT is.
    has_named_node: bool,
    /// The file that was read last, by its place in the torrent: most batches go on where the last one ended.
    open: Option<(usize, Arc<dyn ContentFile>)>,
}

impl<'a> Seeding<'a> {
    /// The extension handshake, where the peer speaks the extension protocol, goes out before anything else.
    /// `None` where there is no place.
    pub(super) fn join(
        engine: &'a Inner,
        torrent: Arc<Torrent>,
        source: SocketAddr,
        stream: &Stream,
    ) -> Option<Self> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let local = stream.local_addr().unwrap_or(nowhere);
        let key = PeerKey(engine.next_peer.fetch_add(1, Relaxed));
        let newcomer = Newcomer {
            key,
            source,
            priority: canonical_priority(source, local),
        };
        let (awake, link) = engine.join(&torrent, &newcomer, ambient::now())?;
        let metadata = MetadataExchange::new(Arc::clone(&torrent));
        Some(Self {
            engine,
            awake,
            key,
            source: source.ip(),
            link,
            figures: engine.figures.connect(stream.manner()),
            metadata,
            hashes: HashExchange::new(torrent),
            peer_exchange_id: None,
            has_named_node: false,
            open: None,
        })
    }

    /// The pieces that the peer is told of at once: all of them, unless we super-seed.
    pub(super) fn told_at_once(&self) -> Bitfield {
        let super_seeding = &mut self.awake.lock_peers().super_seeding;
        let told = super_seeding
            .as_mut()
            .map(|super_seeding| super_seeding.add(self.key, ambient::now()));
        told.unwrap_or_else(|| Bitfield::full(&self.awake.torrent.info.geometry))
    }

    /// Tells the peer what we speak, right after the handshake (BEP 10).
    pub(super) fn introduce(&self, session: &mut Session, peer: IpAddr) {
        let ours = ExtensionHandshake {
            client: Some(concat!("Sower ", env!("CARGO_PKG_VERSION")).to_owned()),
            max_requests: Some(self.engine.options.max_requests as u64),
            your_ip: Some(peer.to_canonical()),
            // A super-seed passes for a peer that has little. libtorrent hangs up on those who upload only and have nothing for it.
            is_upload_only: !self.is_super_seeding(),
            complete_ago: (!self.is_super_seeding()).then_some(0),
            peer_exchange_id: self.exchanges_peers().then_some(OUR_PEER_EXCHANGE_ID),
            ..self.metadata.offer()
        };
        session.extend(EXTENSION_HANDSHAKE, ours.encode());
    }

    /// The node of the DHT that is beside us. BEP 27: peers of a private torrent are told of none, nor believed about theirs.
    fn dht(&self) -> Option<&'a DhtNode> {
        let is_private = self.awake.torrent.info.private;
        self.engine.dht.as_ref().filter(|_| !is_private)
    }

    /// Tells a peer that takes part in the DHT where our node is (BEP 5).
    pub(super) fn tell_of_node(&self, session: &mut Session) {
        if let Some(node) = self.dht() {
            session.tell_dht_port(node.port);
        }
    }

    /// Has our node ask the peer's, once: it is at the peer's own address, so nobody else can be made to hear from us.
    fn hear_of_node(&mut self, port: u16) {
        if let Some(node) = self.dht()
            && port >= FIRST_PEER_PORT
            && !std::mem::replace(&mut self.has_named_node, true)
        {
            let address = SocketAddr::new(self.source.to_canonical(), port);
            let _ = node.heard.try_send(address);
        }
    }

    const fn is_super_seeding(&self) -> bool {
        self.engine.options.super_seeding
    }

    /// Learns which pieces the peer has, and tells it of more where it has earned that (BEP 16).
    fn learn_pieces(
        &self,
        news: Option<PieceIndex>,
        session: &mut Session,
        now: Instant,
    ) -> Result<(), Closed> {
        if !self.is_super_seeding() {
            return Ok(());
        }
        let theirs = session.peer_pieces();
        let mut peers = self.awake.lock_peers();
        let Some(super_seeding) = &mut peers.super_seeding else {
            return Ok(());
        };
        let earned = match news {
            Some(piece) => super_seeding.handle_have(self.key, piece, now),
            None => super_seeding.handle_pieces(self.key, theirs, now),
        };
        for peer in earned {
            peers.wake(peer);
        }
        drop(peers);
        if theirs.is_full() {
            // The session does not know that we have everything too.
            return Err(CloseReason::BothComplete.into());
        }
        Ok(())
    }

    /// Tells the peer of pieces that it may ask us for (BEP 16).
    fn tell_of_pieces(&self, session: &mut Session, now: Instant) {
        let mut peers = self.awake.lock_peers();
        if let Some(super_seeding) = &mut peers.super_seeding {
            let mut rng = ambient::rng();
            while let Some(piece) = super_seeding.offer(self.key, now, &mut rng) {
                session.have(piece);
            }
        }
    }

    /// BEP 27: peers of a private torrent come from its tracker alone.
    fn exchanges_peers(&self) -> bool {
        self.engine.options.exchange_peers && !self.awake.torrent.info.private
    }

    /// Takes in what the peer says of itself.
    fn greeted(&mut self, theirs: &ExtensionHandshake, session: &mut Session, now: Instant) {
        self.metadata.note(theirs);
        if !self.exchanges_peers() {
            return;
        }
        if let Some(id) = theirs.peer_exchange_id {
            self.peer_exchange_id = Some(id).filter(|id| *id != 0);
        }
        let mut peers = self.awake.lock_peers();
        let introductions = &mut peers.introductions;
        introductions.set_wanted(self.key, self.peer_exchange_id.is_some());
        if let Some(port) = theirs.port {
            let flags = PeerFlags::default()
                .with(PeerFlags::PREFERS_ENCRYPTION, theirs.prefers_encryption)
                .with(PeerFlags::UPLOAD_ONLY, theirs.is_upload_only);
            introductions.listens(self.key, port.get(), flags);
        }
        drop(peers);
        self.tell_of_peers(session, now);
    }

    /// Introduces others to the peer, if it is time (BEP 11).
    fn tell_of_peers(&self, session: &mut Session, now: Instant) {
        let Some(id) = self.peer_exchange_id else {
            return;
        };
        let mut peers = self.awake.lock_peers();
        let told = peers.introductions.tell(self.key, now, &mut ambient::rng());
        if let Some(told) = told {
            session.extend(id, told.encode());
        }
    }

    async fn file(&mut self, index: usize) -> Result<Option<Arc<dyn ContentFile>>, ReadError> {
        if let Some((at, file)) = &self.open
            && *at == index
        {
            return Ok(Some(Arc::clone(file)));
        }
        let file = self.engine.reader.open(&self.awake.torrent, index).await?;
        self.open = file.clone().map(|file| (index, file));
        Ok(file)
    }

    /// Fills the rooms with the blocks' bytes. Blocks that lie behind each other in one file are read by one call.
    async fn fill(&mut self, blocks: &[Block], rooms: Vec<&mut [u8]>) -> Result<(), ReadError> {
        let torrent = Arc::clone(&self.awake.torrent);
        let mut run = Run::default();
        for (block, room) in blocks.iter().zip(rooms) {
            let offset = torrent.info.geometry.offset(*block);
            let mut rest = room;
            for span in torrent.info.files.spans(offset, u64::from(block.length())) {
                let length = usize::try_from(span.length).unwrap_or(rest.len());
                let Some((slice, after)) = rest.split_at_mut_checked(length) else {
                    break;
                };
                rest = after;
                if !run.is_continued_by(span.file, span.offset) {
                    self.read(std::mem::take(&mut run)).await?;
                    run.file = span.file;
                    run.offset = span.offset;
                }
                run.length += span.length;
                run.slices.push(IoSliceMut::new(slice));
            }
        }
        self.read(run).await
    }

    async fn read(&mut self, mut run: Run<'_>) -> Result<(), ReadError> {
        if run.slices.is_empty() {
            return Ok(());
        }
        let Some(file) = self.file(run.file).await? else {
            // BEP 47: a pad is zeros that nobody keeps.
            run.slices.iter_mut().for_each(|slice| slice.fill(0));
            return Ok(());
        };
        let reader = &self.engine.reader;
        let read = reader
            .read_scattered(&*file, run.offset, &mut run.slices)
            .await;
        reader.look_at(&self.awake.torrent, run.file, &*file)?;
        Ok(read?)
    }
}

/// Blocks, or parts of them, that lie behind each other in one file.
#[derive(Default)]
struct Run<'a> {
    file: usize,
    offset: u64,
    length: u64,
    slices: Vec<IoSliceMut<'a>>,
}

impl Run<'_> {
    fn is_continued_by(&self, file: usize, offset: u64) -> bool {
        self.file == file && self.offset + self.length == offset
    }
}

impl Party for Seeding<'_> {
    fn handle(
        &mut self,
        output: Output,
        session: &mut Session,
        now: Instant,
    ) -> Result<(), Closed> {
        match output {
            Output::Interest(is_interested) => {
                let mut peers = self.awake.lock_peers();
                peers.places.set_interested(self.key, is_interested, now);
                let changes = peers.choker.set_interested(self.key, is_interested, now);
                peers.apply(&changes);
            }
            Output::Extended {
                id: EXTENSION_HANDSHAKE,
                payload,
            } => {
                if let Some(theirs) = ExtensionHandshake::decode(&payload) {
                    self.greeted(&theirs, session, now);
                }
            }
            Output::Extended { id, payload } => self.metadata.handle(id, &payload, session),
            Output::DhtPort(port) => self.hear_of_node(port),
            Output::PeerPieces => self.learn_pieces(None, session, now)?,
            Output::PeerHas(piece) => self.learn_pieces(Some(piece), session, now)?,
            // A seed asks for nothing, so nothing else concerns it.
            Output::Send(_) | Output::Unchoked(_) | Output::Received { .. } | Output::Lost(_) => {}
        }
        Ok(())
    }

    async fn woken(&self) {
        self.link.changed.notified().await;
    }

    fn wake(&mut self, session: &mut Session, now: Instant) -> Result<Woken, Closed> {
        if self.link.is_displaced.load(Relaxed) {
            return Err(Closed::Displaced);
        }
        if self.link.is_unchoked.load(Relaxed) {
            session.unchoke();
        } else {
            session.choke();
        }
        self.tell_of_peers(session, now);
        self.tell_of_pieces(session, now);
        Ok(if self.link.has_new_rates.swap(false, Relaxed) {
            Woken::WithNewRates
        } else {
            Woken::AsBefore
        })
    }

    async fn lay_out(
        &mut self,
        blocks: &[Block],
        session: &mut Session,
        outbox: &mut Outbox,
    ) -> Result<(), Closed> {
        let torrent = Arc::clone(&self.awake.torrent);
        let changes = torrent.stamps.changes();
        let mut whole = Vec::with_capacity(blocks.len());
        for block in blocks {
            match self.engine.reader.check(&torrent, block.piece()).await {
                Ok(()) => whole.push(*block),
                Err(ReadError::Damaged { .. }) => session.refuse(*block),
                Err(error) => return Err(error.into()),
            }
        }
        let rooms = outbox.room_for(&whole);
        self.fill(&whole, rooms).await?;
        // What was read may be other bytes than those that were checked: none of them leaves.
        if torrent.stamps.changes() != changes {
            return Err(ReadError::Changed(torrent.publication.to_string()).into());
        }
        Ok(())
    }

    async fn prove(&mut self, asked: &RawHashes) -> Result<Option<Proof>, Closed> {
        let (trees, reader) = (&self.awake.trees, &self.engine.reader);
        match self.hashes.prove(asked, trees, reader).await {
            Err(ReadError::Damaged { .. }) => Ok(None),
            proven => Ok(proven?),
        }
    }

    fn grant(&self, wanted: Wanted, now: Instant) -> Grant {
        let rates = &self.engine.rates;
        rates.grant(&self.awake.rate, self.source, wanted, now)
    }

    fn sent(&mut self, bytes: u64) {
        self.awake.tally.add_peer_bytes(bytes);
        self.figures.add_sent(bytes);
        self.awake.lock_peers().choker.note_sent(self.key, bytes);
    }

    fn rejected(&mut self) {
        self.engine.figures.add(Count::Rejected, 1);
    }
}

impl Drop for Seeding<'_> {
    fn drop(&mut self) {
        self.engine.leave(&self.awake, self.key);
    }
}

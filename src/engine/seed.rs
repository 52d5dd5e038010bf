//! Published torrents, given to whoever asks (ARCHITECTURE, flow 3).
//!
//! A torrent wakes with its first peer and is forgotten after its last: an idle one costs a line in the catalogue's index and
//! nothing here. Choke decisions are made once a round for each torrent, not for each block.

use std::collections::HashMap;
use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Options;
use super::connection::{Closed, Connection, Outbox, Party};
use super::hashes::{HashExchange, Trees};
use super::limits::Connections;
use super::metadata::MetadataExchange;
use super::transport::{Received, Reception};
use crate::ambient;
use crate::catalog::Catalog;
use crate::domain::choker::{Change, Choker, PeerKey};
use crate::domain::publication::PublicationId;
use crate::domain::session::{Output, Session};
use crate::domain::tally::Tally;
use crate::domain::torrent::Torrent;
use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::Block;
use crate::proto::id::PeerId;
use crate::proto::metainfo::proof::Proof;
use crate::proto::wire::message::RawHashes;
use crate::reader::{ReadError, Reader, read_scattered};
use crate::store::content::ContentFile;

/// How often choke decisions are made (BEP 3: every ten seconds).
const ROUND: Duration = Duration::from_secs(10);

/// Bytes to make room for when reading from a peer: two hundred requests.
const READ_SIZE: usize = 4 * 1024;

/// The seeding engine: gives every published torrent to every peer that asks. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    catalog: Catalog,
    reader: Reader,
    options: Options,
    reception: Reception,
    connections: Connections,
    next_peer: AtomicU64,
    /// The torrents that have peers. Locked before any torrent's own lock; never held over an await.
    awake: Mutex<HashMap<PublicationId, Arc<Awake>>>,
}

/// A torrent with at least one peer.
struct Awake {
    torrent: Arc<Torrent>,
    tally: Arc<Tally>,
    trees: Trees,
    peers: Mutex<Peers>,
}

struct Peers {
    choker: Choker,
    links: HashMap<PeerKey, Arc<Link>>,
}

/// What a choke round leaves for a peer's task: the choker writes it, the task reads it.
#[derive(Default)]
struct Link {
    is_unchoked: AtomicBool,
    changed: Notify,
}

impl Engine {
    /// An engine that serves what `catalog` lists from where `reader` reads it, under the name `peer_id`.
    pub fn new(catalog: Catalog, reader: Reader, options: Options, peer_id: PeerId) -> Self {
        let reception = Reception::new(peer_id, &options);
        let connections = Connections::new(options.connections, options.connections_per_address);
        Self(Arc::new(Inner {
            catalog,
            reader,
            options,
            reception,
            connections,
            next_peer: AtomicU64::new(0),
            awake: Mutex::default(),
        }))
    }

    /// Makes choke decisions until shutdown.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = rounds.tick() => self.0.choke_round(ambient::now()),
            }
        }
    }

    /// Serves a peer that connected to us, until either side ends it. `received` holds the bytes that came already.
    pub async fn serve(
        &self,
        stream: TcpStream,
        received: BytesMut,
        source: SocketAddr,
        shutdown: &CancellationToken,
    ) {
        let Some(_place) = self.0.connections.enter(source.ip().to_canonical()) else {
            tracing::debug!(%source, "no place for another peer");
            return;
        };
        let reception = &self.0.reception;
        let answered = reception.answer(stream, received, source.ip(), &self.0.catalog);
        let Received {
            stream,
            rest: received,
            handshake,
            publication,
        } = match answered.await {
            Ok(answered) => answered,
            Err(error) => return tracing::debug!(%source, %error, "no handshake"),
        };
        let torrent = match self.0.catalog.torrent(publication).await {
            Ok(Some(torrent)) => torrent,
            Ok(None) => return,
            Err(error) => return tracing::error!(%publication, %error, "torrent cannot be served"),
        };
        let geometry = torrent.info.geometry;
        let now = ambient::now();
        let mut session = Session::new(
            geometry,
            Bitfield::full(&geometry),
            handshake.reserved,
            self.0.options.session(),
            now,
        );
        let metadata = MetadataExchange::new(Arc::clone(&torrent), self.0.options.max_requests);
        if handshake.reserved.has_extension_protocol() {
            metadata.introduce(&mut session, source.ip());
        }
        let mut peer = Seeding::join(&self.0, torrent, metadata);
        let connection = Connection {
            stream,
            received,
            session,
            party: &mut peer,
            options: &self.0.options,
            read_size: READ_SIZE,
        };
        let closed = connection.run(shutdown).await;
        tracing::debug!(%source, peer_id = %handshake.peer_id, %publication, reason = %closed, "peer has gone");
    }

    /// How many peers a publication's torrent has at this moment.
    pub fn peer_count(&self, publication: PublicationId) -> usize {
        let awake = self.0.awake.lock().unwrap_or_else(PoisonError::into_inner);
        awake
            .get(&publication)
            .map_or(0, |torrent| torrent.lock_peers().choker.len())
    }
}

impl Inner {
    fn choke_round(&self, now: Instant) {
        let awake: Vec<Arc<Awake>> = {
            let awake = self.awake.lock().unwrap_or_else(PoisonError::into_inner);
            awake.values().map(Arc::clone).collect()
        };
        for torrent in awake {
            let mut peers = torrent.lock_peers();
            let changes = peers.choker.round(now, &mut ambient::rng());
            peers.apply(&changes);
        }
    }
}

impl Awake {
    fn lock_peers(&self) -> std::sync::MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peers {
    /// Leaves each decision for the task of the peer that it is about.
    fn apply(&self, changes: &[Change]) {
        for change in changes {
            if let Some(link) = self.links.get(&change.peer) {
                link.is_unchoked.store(change.is_unchoked, Relaxed);
                link.changed.notify_one();
            }
        }
    }
}

/// The seed's side of one connection. Joins its torrent's peers when made, leaves them when dropped.
struct Seeding<'a> {
    engine: &'a Inner,
    awake: Arc<Awake>,
    key: PeerKey,
    link: Arc<Link>,
    metadata: MetadataExchange,
    hashes: HashExchange,
    /// The file that was read last, by its place in the torrent: most batches go on where the last one ended.
    open: Option<(usize, Arc<dyn ContentFile>)>,
}

impl<'a> Seeding<'a> {
    fn join(engine: &'a Inner, torrent: Arc<Torrent>, metadata: MetadataExchange) -> Self {
        let key = PeerKey(engine.next_peer.fetch_add(1, Relaxed));
        let link = Arc::new(Link::default());
        let mut all = engine.awake.lock().unwrap_or_else(PoisonError::into_inner);
        let awake = Arc::clone(all.entry(torrent.publication).or_insert_with(|| {
            tracing::debug!(publication = %torrent.publication, "torrent wakes");
            let tally = engine.catalog.tally(torrent.publication);
            let choker = Choker::new(engine.options.choker());
            Arc::new(Awake {
                torrent,
                tally,
                trees: Trees::default(),
                peers: Mutex::new(Peers {
                    choker,
                    links: HashMap::new(),
                }),
            })
        }));
        let mut peers = awake.lock_peers();
        peers.choker.add(key);
        peers.links.insert(key, Arc::clone(&link));
        drop(peers);
        drop(all);
        let hashes = HashExchange::new(Arc::clone(&awake.torrent));
        Self {
            engine,
            hashes,
            awake,
            key,
            link,
            metadata,
            open: None,
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
        Ok(read_scattered(&*file, run.offset, &mut run.slices).await?)
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
                let changes = peers.choker.set_interested(self.key, is_interested, now);
                peers.apply(&changes);
            }
            Output::Extended { id, payload } => self.metadata.handle(id, &payload, session),
            // A seed asks for nothing, so nothing else concerns it.
            Output::Send(_)
            | Output::Unchoked(_)
            | Output::PeerPieces
            | Output::PeerHas(_)
            | Output::Received { .. }
            | Output::Lost(_) => {}
        }
        Ok(())
    }

    async fn woken(&self) {
        self.link.changed.notified().await;
    }

    fn wake(&mut self, session: &mut Session, _now: Instant) -> Result<(), Closed> {
        if self.link.is_unchoked.load(Relaxed) {
            session.unchoke();
        } else {
            session.choke();
        }
        Ok(())
    }

    async fn lay_out(
        &mut self,
        blocks: &[Block],
        session: &mut Session,
        outbox: &mut Outbox,
    ) -> Result<(), Closed> {
        let mut whole = Vec::with_capacity(blocks.len());
        for block in blocks {
            match self
                .engine
                .reader
                .check(&self.awake.torrent, block.piece())
                .await
            {
                Ok(()) => whole.push(*block),
                Err(ReadError::Damaged { .. }) => session.refuse(*block),
                Err(error) => return Err(error.into()),
            }
        }
        let rooms = outbox.room_for(&whole);
        Ok(self.fill(&whole, rooms).await?)
    }

    async fn prove(&mut self, asked: &RawHashes) -> Result<Option<Proof>, Closed> {
        let (trees, reader) = (&self.awake.trees, &self.engine.reader);
        match self.hashes.prove(asked, trees, reader).await {
            Err(ReadError::Damaged { .. }) => Ok(None),
            proven => Ok(proven?),
        }
    }

    fn sent(&mut self, bytes: u64) {
        self.awake.tally.add_peer_bytes(bytes);
    }
}

impl Drop for Seeding<'_> {
    fn drop(&mut self) {
        let mut all = self
            .engine
            .awake
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut peers = self.awake.lock_peers();
        peers.links.remove(&self.key);
        let change = peers.choker.remove(self.key, ambient::now());
        peers.apply(change.as_slice());
        if peers.choker.is_empty() {
            tracing::debug!(publication = %self.awake.torrent.publication, "torrent falls asleep");
            all.remove(&self.awake.torrent.publication);
        }
    }
}

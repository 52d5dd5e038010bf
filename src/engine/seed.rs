//! Published torrents, given to whoever asks (ARCHITECTURE, flow 3).
//!
//! A torrent wakes with its first peer and is forgotten after its last: an idle one costs a line in the catalogue's index and
//! nothing here. Choke decisions are made once a round for each torrent, not for each block.

mod peer;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::peer::Seeding;
use super::Options;
use super::connection::Connection;
use super::hashes::Trees;
use super::limits::{Connections, UploadRates};
use super::transport::{Received, Reception, Stream, UtpPort};
use crate::ambient;
use crate::catalog::Catalog;
use crate::domain::choker::{Change, Choker, PeerKey};
use crate::domain::introductions::Introductions;
use crate::domain::publication::PublicationId;
use crate::domain::rate::ByteRate;
use crate::domain::session::Session;
use crate::domain::tally::Tally;
use crate::domain::torrent::Torrent;
use crate::proto::bitfield::Bitfield;
use crate::proto::id::PeerId;
use crate::reader::Reader;

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
    rates: UploadRates,
    next_peer: AtomicU64,
    /// The torrents that have peers. Locked before any torrent's own lock; never held over an await.
    awake: Mutex<HashMap<PublicationId, Arc<Awake>>>,
}

/// A torrent with at least one peer.
struct Awake {
    torrent: Arc<Torrent>,
    tally: Arc<Tally>,
    trees: Trees,
    rate: Option<ByteRate>,
    peers: Mutex<Peers>,
}

struct Peers {
    choker: Choker,
    introductions: Introductions,
    links: HashMap<PeerKey, Arc<Link>>,
}

/// What a round leaves for a peer's task: the choker writes it, the task reads it.
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
            rates: UploadRates::new(&options, ambient::now()),
            options,
            reception,
            connections,
            next_peer: AtomicU64::new(0),
            awake: Mutex::default(),
        }))
    }

    /// The bounds that it was made with.
    pub fn options(&self) -> &Options {
        &self.0.options
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
        self.attend(stream.into(), received, source, shutdown).await;
    }

    /// Serves whoever connects over uTP, each in a task of its own, until shutdown.
    pub async fn serve_utp(&self, port: UtpPort, tasks: &TaskTracker, shutdown: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = port.accept() => accepted,
            };
            let Some(stream) = accepted else {
                return;
            };
            let (engine, shutdown) = (self.clone(), shutdown.clone());
            tasks.spawn(async move {
                let source = stream.remote_addr();
                let (stream, received) = (stream.into(), BytesMut::new());
                engine.attend(stream, received, source, &shutdown).await;
            });
        }
    }

    async fn attend(
        &self,
        stream: Stream,
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
        let mut peer = Seeding::join(&self.0, torrent, source.ip());
        if handshake.reserved.has_extension_protocol() {
            peer.introduce(&mut session, source.ip());
        }
        let connection = Connection {
            stream,
            received,
            session,
            party: &mut peer,
            options: &self.0.options,
            read_size: READ_SIZE,
            grant: None,
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
            for peer in peers.introductions.due(now) {
                peers.wake(peer);
            }
        }
    }

    /// Adds a peer to those of its torrent, which wakes with the first one.
    fn join(
        &self,
        torrent: &Arc<Torrent>,
        peer: PeerKey,
        source: IpAddr,
    ) -> (Arc<Awake>, Arc<Link>) {
        let mut all = self.awake.lock().unwrap_or_else(PoisonError::into_inner);
        let awake = all.entry(torrent.publication).or_insert_with(|| {
            tracing::debug!(publication = %torrent.publication, "torrent wakes");
            Arc::new(Awake {
                torrent: Arc::clone(torrent),
                tally: self.catalog.tally(torrent.publication),
                trees: Trees::default(),
                rate: UploadRates::of_torrent(&self.options),
                peers: Mutex::new(Peers {
                    choker: Choker::new(self.options.choker()),
                    introductions: Introductions::default(),
                    links: HashMap::new(),
                }),
            })
        });
        let link = Arc::new(Link::default());
        let mut peers = awake.lock_peers();
        peers.choker.add(peer);
        peers.introductions.add(peer, source);
        peers.links.insert(peer, Arc::clone(&link));
        drop(peers);
        (Arc::clone(awake), link)
    }

    /// Takes a peer from those of its torrent, which falls asleep after the last one.
    fn leave(&self, awake: &Awake, peer: PeerKey) {
        let mut all = self.awake.lock().unwrap_or_else(PoisonError::into_inner);
        let mut peers = awake.lock_peers();
        peers.links.remove(&peer);
        peers.introductions.remove(peer);
        let change = peers.choker.remove(peer, ambient::now());
        peers.apply(change.as_slice());
        if peers.choker.is_empty() {
            tracing::debug!(publication = %awake.torrent.publication, "torrent falls asleep");
            all.remove(&awake.torrent.publication);
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

    fn wake(&self, peer: PeerKey) {
        if let Some(link) = self.links.get(&peer) {
            link.changed.notify_one();
        }
    }
}

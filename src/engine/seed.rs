//! Published torrents, given to whoever asks (ARCHITECTURE, flow 3).
//!
//! A torrent wakes with its first peer and is forgotten after its last: an idle one costs a line in the catalogue's index and
//! nothing here. Choke decisions are made once a round for each torrent, not for each block.

mod arrivals;
mod link;
mod peer;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::link::Link;
use super::Options;
use super::figures::{Census, Count, Figures};
use super::hashes::Trees;
use super::limits::{Connections, UploadRates};
use super::transport::Reception;
use crate::ambient;
use crate::catalog::Catalog;
use crate::domain::capacity::{self, Capacity};
use crate::domain::choker::{Change, Choker, PeerKey};
use crate::domain::introductions::Introductions;
use crate::domain::places::{Places, Standing};
use crate::domain::publication::PublicationId;
use crate::domain::rate::ByteRate;
use crate::domain::session;
use crate::domain::super_seeding::SuperSeeding;
use crate::domain::tally::Tally;
use crate::domain::torrent::Torrent;
use crate::proto::geometry::Geometry;
use crate::proto::id::PeerId;
use crate::reader::Reader;

/// How often choke decisions are made (BEP 3: every ten seconds).
const ROUND: Duration = Duration::from_secs(10);

/// Peers that may shake hands beyond those that may be connected.
const HANDSHAKES: usize = 256;

/// The seeding engine: gives every published torrent to every peer that asks. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

/// Who the engine is to its peers.
#[derive(Debug)]
pub struct Identity {
    /// Its name in handshakes.
    pub peer_id: PeerId,
    /// The node of the DHT that stands beside it, if there is one.
    pub dht: Option<DhtNode>,
}

/// A node of the DHT, as far as peers are told of it and tell of theirs (BEP 5).
#[derive(Debug)]
pub struct DhtNode {
    /// Where its packets come in.
    pub port: u16,
    /// Takes the addresses of peers' nodes. What does not fit is lost: a node lives by few others.
    pub heard: mpsc::Sender<SocketAddr>,
}

struct Inner {
    catalog: Catalog,
    reader: Reader,
    options: Options,
    /// What of them is each peer's: shared, for peers may be many.
    session_options: Arc<session::Options>,
    reception: Reception,
    connections: Connections,
    rates: UploadRates,
    figures: Figures,
    dht: Option<DhtNode>,
    next_peer: AtomicU64,
    /// The torrents that have peers. Locked before any torrent's own lock; never held over an await.
    awake: Mutex<Swarms>,
}

/// The torrents that have peers, and how many peers those are.
struct Swarms {
    torrents: HashMap<PublicationId, Arc<Awake>>,
    peers: usize,
    /// What holds for torrents that wake: as the engine was made, but for what was adjusted since.
    adjusted: Options,
    /// Where the slots are to be found by trying.
    capacity: Option<Capacity>,
}

/// A peer that has come, and is to have a place.
struct Newcomer {
    key: PeerKey,
    source: SocketAddr,
    /// Its canonical priority (BEP 40).
    priority: u32,
}

/// A torrent with at least one peer.
struct Awake {
    torrent: Arc<Torrent>,
    tally: Arc<Tally>,
    trees: Trees,
    rate: ByteRate,
    peers: Mutex<Peers>,
}

struct Peers {
    choker: Choker,
    introductions: Introductions,
    places: Places,
    /// `None` where everybody is told of everything.
    super_seeding: Option<SuperSeeding>,
    links: HashMap<PeerKey, Arc<Link>>,
}

impl Engine {
    /// An engine that serves what `catalog` lists from where `reader` reads it, under that identity.
    pub fn new(catalog: Catalog, reader: Reader, options: Options, identity: Identity) -> Self {
        let reception = Reception::new(&identity, &options);
        // Whoever shakes hands may find a place although all are taken.
        let connections = options.connections.saturating_add(HANDSHAKES);
        let connections = Connections::new(connections, options.connections_per_address);
        Self(Arc::new(Inner {
            catalog,
            reader,
            rates: UploadRates::new(&options, ambient::now()),
            figures: Figures::default(),
            dht: identity.dht,
            reception,
            connections,
            next_peer: AtomicU64::new(0),
            awake: Mutex::new(Swarms::new(&options)),
            session_options: options.session().into(),
            options,
        }))
    }

    /// The bounds that it was made with.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// Takes the upload rates and slots of `options` from now on; the rest holds as it was.
    pub fn adjust(&self, options: &Options) {
        self.0.rates.set(options);
        let slots = {
            let mut awake = self.0.lock_awake();
            awake.adjusted.upload_rate_per_torrent = options.upload_rate_per_torrent;
            awake.set_slots(options.upload_slots)
        };
        self.0.give_slots(slots, ambient::now());
        for torrent in self.0.awake_torrents() {
            torrent.rate.set(options.upload_rate_per_torrent);
            let peers = torrent.lock_peers();
            for link in peers.links.values() {
                link.has_new_rates.store(true, Relaxed);
                link.changed.notify_one();
            }
        }
    }

    /// Makes choke decisions, and lets peers of withdrawn torrents go, until shutdown.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut withdrawals = self.0.catalog.withdrawals();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = rounds.tick() => self.0.choke_round(ambient::now()),
                Ok(()) = withdrawals.changed() => self.0.let_go_of_withdrawn(ambient::now()),
            }
        }
    }

    /// What is counted since the start.
    pub fn figures(&self) -> &Figures {
        &self.0.figures
    }

    /// The peers of this moment, by what they may do.
    pub fn census(&self) -> Census {
        self.0.census()
    }

    /// How many peers a publication's torrent has at this moment.
    pub fn peer_count(&self, publication: PublicationId) -> u64 {
        let awake = self.0.lock_awake();
        let torrent = awake.torrents.get(&publication);
        torrent.map_or(0, |torrent| count(torrent.lock_peers().places.len()))
    }
}

impl Inner {
    fn census(&self) -> Census {
        let mut census = Census::default();
        for torrent in self.awake_torrents() {
            let peers = torrent.lock_peers();
            let (unchoked, waiting) = peers.choker.unchoked_and_waiting();
            census.torrents += 1;
            census.unchoked += count(unchoked);
            census.waiting += count(waiting);
            census.idle += count(peers.choker.len() - unchoked - waiting);
        }
        census
    }

    /// Finds the slots by what the line has carried, where the configuration names no number.
    fn measure(&self, now: Instant) {
        let census = self.census();
        let standing = capacity::Standing {
            sent: self.figures.sent_in_all(),
            unchoked: census.unchoked,
            waiting: census.waiting,
        };
        let slots = {
            let mut awake = self.lock_awake();
            let Some(capacity) = &mut awake.capacity else {
                return;
            };
            let slots = capacity.round(standing, now);
            awake.adjusted.upload_slots = slots;
            slots
        };
        self.give_slots(slots, now);
    }

    fn give_slots(&self, slots: usize, now: Instant) {
        for torrent in self.awake_torrents() {
            let mut peers = torrent.lock_peers();
            let changes = peers.choker.set_slots(slots, now);
            peers.apply(&changes);
        }
    }

    fn choke_round(&self, now: Instant) {
        self.figures.add(Count::Rounds, 1);
        self.measure(now);
        for torrent in self.awake_torrents() {
            let mut peers = torrent.lock_peers();
            let changes = peers.choker.round(now, &mut ambient::rng());
            peers.apply(&changes);
            let given = changes.iter().filter(|change| change.is_unchoked).count();
            self.figures.add(Count::Turns, count(given));
            for peer in peers.introductions.due(now) {
                peers.wake(peer);
            }
            if let Some(super_seeding) = &peers.super_seeding {
                for peer in super_seeding.due(now) {
                    peers.wake(peer);
                }
            }
        }
    }

    fn awake_torrents(&self) -> Vec<Arc<Awake>> {
        let awake = self.lock_awake();
        awake.torrents.values().map(Arc::clone).collect()
    }

    fn lock_awake(&self) -> std::sync::MutexGuard<'_, Swarms> {
        self.awake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a peer to those of its torrent, which wakes with the first one; `None` where there is no place for it.
    fn join(
        &self,
        torrent: &Arc<Torrent>,
        peer: &Newcomer,
        now: Instant,
    ) -> Option<(Arc<Awake>, Arc<Link>)> {
        let mut all = self.lock_awake();
        // Asked under the lock: who comes between a withdrawal and the end of its peers stays out.
        if !self.catalog.lists(torrent) {
            return None;
        }
        let own = all.torrents.get(&torrent.publication).map(Arc::clone);
        if !self.make_room(
            &mut all,
            own.as_deref(),
            Standing::Active(peer.priority),
            now,
        ) {
            return None;
        }
        let Swarms {
            torrents, adjusted, ..
        } = &mut *all;
        let awake = torrents.entry(torrent.publication).or_insert_with(|| {
            tracing::debug!(publication = %torrent.publication, "torrent wakes");
            Arc::new(Awake {
                torrent: Arc::clone(torrent),
                tally: self.catalog.tally(torrent.publication),
                trees: Trees::default(),
                rate: ByteRate::new(adjusted.upload_rate_per_torrent),
                peers: Mutex::new(Peers::new(adjusted, &torrent.info.geometry)),
            })
        });
        let awake = Arc::clone(awake);
        let link = awake.lock_peers().add(peer, now);
        all.peers += 1;
        Some((awake, link))
    }

    /// Makes sure of a place for somebody of that standing, whose torrent is `own`; says whether there is one.
    fn make_room(
        &self,
        all: &mut Swarms,
        own: Option<&Awake>,
        standing: Standing,
        now: Instant,
    ) -> bool {
        let patience = Duration::from_secs(self.options.idle_patience);
        let least = |torrent: &Awake| {
            let least = torrent.lock_peers().places.least(patience, now);
            least.map(|(standing, peer)| (standing, peer, torrent.torrent.publication))
        };
        let own_is_full = own.is_some_and(|own| {
            own.lock_peers().places.len() >= self.options.connections_per_torrent
        });
        let least = if own_is_full {
            own.and_then(least)
        } else if all.peers >= self.options.connections {
            let torrents = all.torrents.values();
            torrents.filter_map(|torrent| least(torrent)).min()
        } else {
            return true;
        };
        let Some((_, peer, publication)) = least.filter(|(least, ..)| *least < standing) else {
            return false;
        };
        if let Some(torrent) = all.torrents.get(&publication).map(Arc::clone)
            && let Some(link) = all.remove(&torrent, peer, now)
        {
            link.displace();
        }
        true
    }

    /// Ends the connections of all peers whose torrent is not published any more.
    fn let_go_of_withdrawn(&self, now: Instant) {
        let mut all = self.lock_awake();
        let torrents = all.torrents.values();
        let withdrawn = torrents.filter(|awake| !self.catalog.lists(&awake.torrent));
        let withdrawn: Vec<_> = withdrawn.map(Arc::clone).collect();
        for torrent in withdrawn {
            let peers: Vec<PeerKey> = torrent.lock_peers().links.keys().copied().collect();
            for peer in peers {
                if let Some(link) = all.remove(&torrent, peer, now) {
                    link.displace();
                }
            }
        }
    }

    /// Takes a peer from those of its torrent, if it did not have to make room before.
    fn leave(&self, torrent: &Awake, peer: PeerKey) {
        self.lock_awake().remove(torrent, peer, ambient::now());
    }
}

impl Swarms {
    fn new(options: &Options) -> Self {
        let mut none = Self {
            torrents: HashMap::new(),
            peers: 0,
            adjusted: options.clone(),
            capacity: None,
        };
        none.set_slots(options.upload_slots);
        none
    }

    /// So many slots for each torrent, or as many as the line carries where it is 0; gives how many those are now.
    fn set_slots(&mut self, slots: usize) -> usize {
        let before = self.capacity.take();
        self.capacity = (slots == 0).then(|| before.unwrap_or_default());
        self.adjusted.upload_slots = self.capacity.as_ref().map_or(slots, Capacity::slots);
        self.adjusted.upload_slots
    }

    /// Takes a peer from those of its torrent, which falls asleep after the last one. `None` where it was taken before.
    fn remove(&mut self, torrent: &Awake, peer: PeerKey, now: Instant) -> Option<Arc<Link>> {
        let mut peers = torrent.lock_peers();
        let link = peers.remove(peer, now)?;
        self.peers = self.peers.saturating_sub(1);
        if peers.places.is_empty() {
            tracing::debug!(publication = %torrent.torrent.publication, "torrent falls asleep");
            self.torrents.remove(&torrent.torrent.publication);
        }
        Some(link)
    }
}

impl Awake {
    fn lock_peers(&self) -> std::sync::MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peers {
    fn new(options: &Options, geometry: &Geometry) -> Self {
        Self {
            choker: Choker::new(options.choker()),
            introductions: Introductions::default(),
            places: Places::default(),
            super_seeding: options.super_seeding.then(|| SuperSeeding::new(geometry)),
            links: HashMap::new(),
        }
    }

    fn add(&mut self, peer: &Newcomer, now: Instant) -> Arc<Link> {
        self.choker.add(peer.key);
        self.introductions.add(peer.key, peer.source.ip());
        self.places.take(peer.key, peer.priority, now);
        let link = Arc::new(Link::default());
        self.links.insert(peer.key, Arc::clone(&link));
        link
    }

    fn remove(&mut self, peer: PeerKey, now: Instant) -> Option<Arc<Link>> {
        let link = self.links.remove(&peer)?;
        self.introductions.remove(peer);
        self.places.leave(peer);
        if let Some(super_seeding) = &mut self.super_seeding {
            super_seeding.remove(peer);
        }
        let change = self.choker.remove(peer, now);
        self.apply(change.as_slice());
        Some(link)
    }

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

fn count(things: usize) -> u64 {
    u64::try_from(things).unwrap_or(u64::MAX)
}

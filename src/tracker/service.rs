//! Announces and scrapes, answered from memory.
//!
//! The swarms are spread over shards, each behind a mutex of its own that is held for microseconds and never over an
//! await. A swarm is kept under one name, so both info-hashes of a hybrid torrent (BEP 52) are one swarm. The server's own
//! seed is in every answer without ever announcing. Who may ask for what is decided in [`admission`](super::admission).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde::Serialize;

use super::admission::Admission;
use super::asker::{Asker, Door};
use super::deny::DenyFileError;
use super::figures::{Figures, Outcome};
use super::options::Options;
use super::ws::rooms::Rooms;
use crate::catalog::{Catalog, Listed};
use crate::domain::history::SwarmSize;
use crate::domain::publication::PublicationId;
use crate::domain::swarm::crowd::Crowd;
use crate::domain::swarm::{Limits, Swarm, Terms, Uptime};
use crate::domain::tally::Tally;
use crate::proto::id::{InfoHash, InfoHashes, PeerId};
use crate::proto::tracker::announce::{
    AnnounceAnswer, AnnounceRequest, Event, Failure, Peer, ScrapeAnswer, ScrapeCounts,
    ScrapeRequest,
};

/// Many more than there are processors, so that announces seldom wait for each other.
const SHARDS: usize = 64;

/// This server's own seed, as peers can reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedSeed {
    /// What it calls itself in handshakes.
    pub peer_id: PeerId,
    /// Where it listens; empty where it does not seed.
    pub addresses: Vec<SocketAddr>,
}

/// A swarm in numbers, for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SwarmCounts {
    /// Peers that have everything, this server among them.
    pub seeders: u32,
    /// Peers that lack something.
    pub leechers: u32,
    /// Downloads that finished since the torrent was published.
    pub completed: u64,
}

/// The tracker of everything in the catalogue. Shared by all transports.
pub struct Tracker {
    pub(super) catalog: Catalog,
    pub(super) options: Options,
    admission: Admission,
    /// When it started, as the clock of its swarms.
    start: Instant,
    /// Written by the app when the server's addresses are known or change.
    embedded: RwLock<EmbeddedSeed>,
    pub(super) shards: Box<[Mutex<Shard>]>,
    shard_keys: RandomState,
    pub(super) crowd: Crowd,
    /// Peers in all shards together. Written under the lock of the shard that changed.
    pub(super) peers: AtomicUsize,
    /// The peers that came over WebSockets, who have no address.
    pub(super) rooms: Rooms,
    figures: Figures,
}

/// Some of the swarms, each under the name that stands for its torrent.
pub(super) struct Shard {
    /// Boxed, for a table has empty places.
    pub(super) swarms: HashMap<InfoHash, Box<Tracked>>,
    /// How many of them are of torrents that are not published here.
    pub(super) unpublished: usize,
    rng: StdRng,
}

/// A swarm and where its finished downloads are counted.
pub(super) struct Tracked {
    pub(super) swarm: Swarm,
    pub(super) finished: Finished,
}

/// Where the finished downloads of a torrent are counted.
pub(super) enum Finished {
    /// With all else that a publication gives.
    Published(Arc<Tally>),
    /// Here, for as long as somebody is in the swarm.
    Unpublished(u64),
}

impl Finished {
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Published(tally) => tally.counts().completed,
            Self::Unpublished(count) => *count,
        }
    }

    const fn is_unpublished(&self) -> bool {
        matches!(self, Self::Unpublished(_))
    }
}

/// A torrent that somebody asks about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    /// The one name that stands for it.
    pub(super) name: InfoHash,
    /// Where it is published here.
    pub(super) publication: Option<Listed>,
    /// Whether it was published here, and taken down.
    pub(super) is_taken_down: bool,
}

impl Tracker {
    /// A tracker without peers, started at `now`. `rng` seeds the generators that choose peers.
    pub fn new(
        catalog: Catalog,
        options: Options,
        embedded: EmbeddedSeed,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Self {
        let shard = || {
            Mutex::new(Shard {
                swarms: HashMap::new(),
                unpublished: 0,
                rng: StdRng::from_rng(rng),
            })
        };
        Self {
            admission: Admission::new(&options, &catalog, now),
            rooms: Rooms::new(options.websocket.peers),
            catalog,
            options,
            start: now,
            embedded: RwLock::new(embedded),
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            shard_keys: RandomState::new(),
            crowd: Crowd::default(),
            peers: AtomicUsize::new(0),
            figures: Figures::default(),
        }
    }

    /// Who is admitted.
    pub const fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Reads the deny list anew if its file changed, and says whether it did. Waits for the disk.
    ///
    /// # Errors
    /// [`DenyFileError`], once for each change; then the list stays as it was.
    pub fn refresh_deny_list(&self) -> Result<bool, DenyFileError> {
        self.admission.refresh_deny_list(&self.catalog)
    }

    /// Says from now on that this server's own seed is elsewhere.
    pub fn embed(&self, seed: EmbeddedSeed) {
        *self
            .embedded
            .write()
            .unwrap_or_else(PoisonError::into_inner) = seed;
    }

    /// Answers an announce.
    ///
    /// # Errors
    /// [`Failure`] where the torrent is not published here or the address is active in too many.
    pub fn announce(
        &self,
        request: &AnnounceRequest,
        asker: &Asker,
        now: Instant,
    ) -> Result<AnnounceAnswer, Failure> {
        let answered = self.take_in(request, asker, now);
        self.count(asker.door, &answered);
        answered
    }

    /// Counts an announce by what came of it.
    pub(super) fn count(&self, door: Door, answered: &Result<AnnounceAnswer, Failure>) {
        let outcome = match answered {
            Ok(_) => Outcome::Announced,
            Err(_) => Outcome::Refused,
        };
        self.figures.add(door, outcome);
    }

    fn take_in(
        &self,
        request: &AnnounceRequest,
        asker: &Asker,
        now: Instant,
    ) -> Result<AnnounceAnswer, Failure> {
        let source = asker.ip;
        let subject = self.admit(request, asker, now)?;
        let terms = Terms {
            now: self.uptime(now),
            limits: &self.limits(),
            crowd: &self.crowd,
            length: subject.publication.map(|listed| listed.total_length),
        };
        let mut peers = self.embedded_for(&subject, request, source);
        let mut guard = self.shard(&subject.name);
        let shard = &mut *guard;
        let jitter = shard.rng.random_range(0..=self.options.jitter());
        if subject.publication.is_none() && !shard.swarms.contains_key(&subject.name) {
            self.make_room_for_swarm(shard, terms.now);
            shard.unpublished += 1;
        }
        let tracked = shard
            .swarms
            .entry(subject.name)
            .or_insert_with(|| self.track(&subject, Swarm::default()));
        let before = tracked.swarm.len();
        let progress = tracked
            .swarm
            .announce(request, source, &terms)
            .map_err(|error| Failure::new(error.to_string()))?;
        let after = tracked.swarm.len();
        let is_finished =
            progress.is_finished && !self.rooms.has_completed(&subject.name, request.peer_id);
        match &mut tracked.finished {
            Finished::Published(tally) => {
                tally.add_delivered_bytes(progress.delivered);
                if is_finished {
                    tally.add_completed();
                }
            }
            Finished::Unpublished(count) => *count += u64::from(is_finished),
        }
        let wanted = self.wanted(request).saturating_sub(peers.len());
        tracked
            .swarm
            .choose(request, source, wanted, &mut shard.rng, &mut peers);
        let counts = self.with_rooms(&subject, tracked.swarm.counts());
        let downloaded = tracked.finished.count();
        self.settle(shard, before, after, terms.now);
        drop(guard);
        Ok(AnnounceAnswer {
            interval: self.options.interval.saturating_add(jitter),
            min_interval: Some(self.options.min_interval),
            complete: Some(
                counts
                    .complete
                    .saturating_add(self.embedded_count(&subject)),
            ),
            incomplete: Some(counts.incomplete),
            downloaded: Some(downloaded),
            peers,
            external_ip: Some(source),
            warning: None,
        })
    }

    /// The torrent that somebody announces, if they may.
    pub(super) fn admit(
        &self,
        request: &AnnounceRequest,
        asker: &Asker,
        now: Instant,
    ) -> Result<Subject, Failure> {
        let subject = self.subject(&request.info_hash);
        self.admission.admit(request, &subject, asker, now)?;
        Ok(subject)
    }

    /// Answers a scrape. Torrents that are not tracked here are left out.
    ///
    /// # Errors
    /// [`Failure`] where the asker is not admitted.
    pub fn scrape(
        &self,
        request: &ScrapeRequest,
        asker: &Asker,
        now: Instant,
    ) -> Result<ScrapeAnswer, Failure> {
        if let Err(refusal) = self.admission.admit_asker(asker, now) {
            self.figures.add(asker.door, Outcome::Refused);
            return Err(refusal);
        }
        self.figures.add(asker.door, Outcome::Scraped);
        let known = request.info_hashes.iter().filter_map(|info_hash| {
            let subject = self.subject(info_hash);
            let is_denied = self.admission.is_denied(info_hash, &subject);
            let numbers = self.numbers(&subject).filter(|_| !is_denied)?;
            Some((*info_hash, numbers))
        });
        Ok(ScrapeAnswer {
            files: known.collect(),
            min_request_interval: Some(self.options.min_interval),
        })
    }

    /// The swarm of a publication in numbers; all zero where it is none.
    pub fn counts(&self, info_hashes: &InfoHashes) -> SwarmCounts {
        let subject = self.subject(&info_hashes.primary());
        let numbers = self.numbers(&subject).unwrap_or_default();
        SwarmCounts {
            seeders: numbers.complete,
            leechers: numbers.incomplete,
            completed: numbers.downloaded,
        }
    }

    /// Forgets the peers that fell silent. Called every minute or so.
    pub fn sweep(&self, now: Instant) {
        let (now, lifetime) = (self.uptime(now), self.options.lifetime());
        for shard in &self.shards {
            let mut shard = lock(shard);
            let before = shard.len();
            let Shard {
                swarms,
                unpublished,
                ..
            } = &mut *shard;
            swarms.retain(|_, tracked| {
                tracked.swarm.expire(now, lifetime, &self.crowd);
                let is_empty = tracked.swarm.is_empty();
                *unpublished -= usize::from(is_empty && tracked.finished.is_unpublished());
                !is_empty
            });
            self.peers.fetch_sub(before - shard.len(), Relaxed);
        }
    }

    /// What was asked and what came of it.
    pub const fn figures(&self) -> &Figures {
        &self.figures
    }

    /// The refusal of a question that was not understood.
    pub(super) fn not_understood(&self, door: Door, error: &impl Display) -> Failure {
        self.figures.add(door, Outcome::Malformed);
        Failure::new(error.to_string())
    }

    /// How often the swarms are to be saved.
    pub const fn save_interval(&self) -> Duration {
        Duration::from_secs(self.options.save_interval)
    }

    /// The size of the swarm of every publication that somebody is in.
    pub fn sizes(&self) -> Vec<(PublicationId, SwarmSize)> {
        let mut names = self.rooms.names();
        for shard in &self.shards {
            let shard = lock(shard);
            let swarms = shard.swarms.iter().filter(|(_, it)| !it.swarm.is_empty());
            names.extend(swarms.map(|(name, _)| name));
        }
        let sizes = names.iter().filter_map(|name| {
            let subject = self.subject(name);
            let (listed, counts) = (subject.publication?, self.numbers(&subject)?);
            let size = SwarmSize {
                seeders: counts.complete,
                leechers: counts.incomplete,
            };
            Some((listed.id, size))
        });
        sizes.collect()
    }

    /// How many peers there are in all swarms together.
    pub fn peers(&self) -> usize {
        self.peers.load(Relaxed)
    }

    /// The torrent of an info-hash: both of a hybrid torrent mean one.
    pub(super) fn subject(&self, info_hash: &InfoHash) -> Subject {
        let publication = self.catalog.listed(info_hash);
        Subject {
            name: publication.map_or(*info_hash, |listed| listed.primary),
            publication,
            is_taken_down: publication.is_none() && self.catalog.taken_down(info_hash).is_some(),
        }
    }

    pub(super) fn track(&self, subject: &Subject, swarm: Swarm) -> Box<Tracked> {
        let published = subject
            .publication
            .map(|it| Finished::Published(self.catalog.tally(it.id)));
        Box::new(Tracked {
            swarm,
            finished: published.unwrap_or(Finished::Unpublished(0)),
        })
    }

    /// A torrent's swarm in numbers; `None` where the torrent is neither published nor has a swarm.
    pub(super) fn numbers(&self, subject: &Subject) -> Option<ScrapeCounts> {
        let tracked = self
            .shard(&subject.name)
            .swarms
            .get(&subject.name)
            .map(|tracked| {
                let downloaded = tracked.finished.count();
                (tracked.swarm.counts(), downloaded)
            });
        let without_swarm = || {
            let tally = self.catalog.tally(subject.publication?.id);
            Some((Swarm::default().counts(), tally.counts().completed))
        };
        let in_room_alone = || {
            self.rooms.counts(&subject.name)?;
            Some((Swarm::default().counts(), 0))
        };
        let (swarm, downloaded) = tracked.or_else(without_swarm).or_else(in_room_alone)?;
        let swarm = self.with_rooms(subject, swarm);
        Some(ScrapeCounts {
            complete: swarm.complete.saturating_add(self.embedded_count(subject)),
            downloaded,
            ..swarm
        })
    }

    /// The numbers of a swarm, with those added who are in it by WebSocket.
    fn with_rooms(&self, subject: &Subject, swarm: ScrapeCounts) -> ScrapeCounts {
        let room = self.rooms.counts(&subject.name);
        room.map_or(swarm, |room| swarm.plus(room))
    }

    fn wanted(&self, request: &AnnounceRequest) -> usize {
        if request.event == Event::Stopped {
            return 0;
        }
        let wanted = request.numwant.unwrap_or(self.options.numwant);
        usize::try_from(wanted.min(self.options.numwant_max)).unwrap_or(usize::MAX)
    }

    /// The addresses of this server's own seed that are of use to a peer, as the beginning of its answer.
    fn embedded_for(
        &self,
        subject: &Subject,
        request: &AnnounceRequest,
        source: IpAddr,
    ) -> Vec<Peer> {
        let wanted = self.wanted(request);
        let mut peers = Vec::with_capacity(wanted.min(64));
        if subject.publication.is_some() && !request.wants_nothing() {
            let seed = self.embedded.read().unwrap_or_else(PoisonError::into_inner);
            let addresses = seed
                .addresses
                .iter()
                .filter(|address| source.is_ipv6() || address.is_ipv4());
            peers.extend(addresses.take(wanted).map(|address| Peer {
                address: *address,
                id: Some(seed.peer_id),
            }));
        }
        peers
    }

    /// The seeds that this server adds to a swarm: itself, where it has what the torrent is of.
    fn embedded_count(&self, subject: &Subject) -> u32 {
        subject.publication.map_or(0, |_| self.embedded_seeds())
    }

    fn embedded_seeds(&self) -> u32 {
        let seed = self.embedded.read().unwrap_or_else(PoisonError::into_inner);
        u32::from(!seed.addresses.is_empty())
    }

    /// Counts what an announce changed, and makes room where the whole table is over its bound.
    fn settle(&self, shard: &mut Shard, before: usize, after: usize, now: Uptime) {
        if after <= before {
            self.peers.fetch_sub(before - after, Relaxed);
            return;
        }
        let peers = self.peers.fetch_add(after - before, Relaxed) + (after - before);
        if peers > self.options.peers {
            let swarms = shard.swarms.values_mut().map(|tracked| &mut tracked.swarm);
            let evicted = Swarm::drop_oldest(swarms, 16, now, &self.crowd);
            self.peers.fetch_sub(evicted, Relaxed);
        }
    }

    /// Makes room for the swarm of one more torrent that is not published here, where there are too many: the sixteenth of those
    /// in the shard that were silent for longest goes.
    fn make_room_for_swarm(&self, shard: &mut Shard, now: Uptime) {
        if shard.unpublished < self.options.unpublished_torrents.div_ceil(SHARDS) {
            return;
        }
        let mut silences: Vec<_> = shard
            .swarms
            .iter()
            .filter(|(_, tracked)| tracked.finished.is_unpublished())
            .map(|(name, tracked)| (Reverse(tracked.swarm.silence(now)), *name))
            .collect();
        let quota = (silences.len() / 16).max(1);
        silences.sort_unstable_by_key(|(silence, _)| *silence);
        for (_, name) in silences.into_iter().take(quota) {
            if let Some(mut tracked) = shard.swarms.remove(&name) {
                shard.unpublished -= 1;
                self.peers.fetch_sub(tracked.swarm.len(), Relaxed);
                tracked.swarm.clear(&self.crowd);
            }
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            peers: self.options.peers_per_torrent,
            peers_per_network: self.options.peers_per_address,
            swarms_per_network: self.options.torrents_per_address,
        }
    }

    pub(super) fn uptime(&self, now: Instant) -> Uptime {
        now.saturating_duration_since(self.start).into()
    }

    pub(super) fn shard(&self, name: &InfoHash) -> MutexGuard<'_, Shard> {
        let [first, ..] = self.shard_keys.hash_one(name).to_le_bytes();
        lock(&self.shards[usize::from(first) % SHARDS])
    }
}

impl Shard {
    /// How many peers it holds.
    fn len(&self) -> usize {
        let swarms = self.swarms.values();
        swarms.map(|tracked| tracked.swarm.len()).sum()
    }
}

/// A panic in another thread leaves at worst a peer too many or too few.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(feature = "sqlite")]
#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::super::tests::{Fixture, START, request};
    use super::*;

    fn asker(n: u16) -> Asker {
        Asker::new(source(n), Door::Http)
    }

    fn source(n: u16) -> IpAddr {
        let [high, low] = n.to_be_bytes();
        Ipv4Addr::new(198, 51, high, low).into()
    }

    impl Fixture {
        fn announce(&self, n: u16, request: &AnnounceRequest) -> AnnounceAnswer {
            self.tracker.announce(request, &asker(n), *START).unwrap()
        }

        fn numbers(&self) -> (u32, u32, u64) {
            let counts = self.tracker.counts(&InfoHashes::V1(self.v1));
            (counts.seeders, counts.leechers, counts.completed)
        }
    }

    #[tokio::test]
    async fn both_info_hashes_of_a_hybrid_are_one_swarm() {
        let t = Fixture::new(Options::default()).await;
        t.announce(1, &request(1, t.v1));
        let answer = t.announce(2, &request(2, t.v2));
        assert_eq!(answer.incomplete, Some(2));
        assert_eq!(answer.peers.len(), 2, "the seed and the other peer");
        let both = ScrapeRequest {
            info_hashes: vec![t.v1, t.v2],
        };
        let scraped = t.tracker.scrape(&both, &asker(1), *START).unwrap();
        assert!(
            scraped
                .files
                .iter()
                .all(|(_, counts)| counts.incomplete == 2)
        );
    }

    #[tokio::test]
    async fn the_embedded_seed_comes_first_and_only_to_those_who_want_something() {
        let t = Fixture::new(Options::default()).await;
        t.announce(1, &request(1, t.v1));
        let answer = t.announce(2, &request(2, t.v1));
        assert_eq!(answer.peers[0].address.to_string(), "203.0.113.5:6881");
        assert_eq!(answer.complete, Some(1));
        let seed = AnnounceRequest {
            left: Some(0),
            event: Event::None,
            ..request(3, t.v1)
        };
        let paused = AnnounceRequest {
            event: Event::Paused,
            ..request(4, t.v1)
        };
        for (n, wants_nothing) in [(3, seed), (4, paused)] {
            let answer = t.announce(n, &wants_nothing);
            let id = (*b"-SW0100-embeddedseed").into();
            assert!(answer.peers.iter().all(|peer| peer.id != Some(id)));
            assert_eq!(answer.complete, Some(2), "it is counted all the same");
        }
    }

    #[tokio::test]
    async fn the_embedded_seed_moves_at_run_time() {
        let t = Fixture::new(Options::default()).await;
        t.tracker.embed(EmbeddedSeed {
            peer_id: (*b"-SW0100-embeddedseed").into(),
            addresses: vec!["192.0.2.9:1".parse().unwrap()],
        });
        let answer = t.announce(1, &request(1, t.v1));
        assert_eq!(answer.peers[0].address.to_string(), "192.0.2.9:1");
        t.tracker.embed(EmbeddedSeed {
            peer_id: (*b"-SW0100-embeddedseed").into(),
            addresses: Vec::new(),
        });
        let answer = t.announce(1, &request(1, t.v1));
        assert_eq!((answer.peers, answer.complete), (vec![], Some(0)));
    }

    #[tokio::test]
    async fn numwant_is_fifty_unless_said_and_two_hundred_at_most() {
        let t = Fixture::new(Options::default()).await;
        for n in 0..300 {
            t.announce(n, &request(n, t.v1));
        }
        for (numwant, given) in [
            (None, 50),
            (Some(0), 0),
            (Some(3), 3),
            (Some(u32::MAX), 200),
        ] {
            let asker = AnnounceRequest {
                numwant,
                ..request(999, t.v1)
            };
            assert_eq!(t.announce(999, &asker).peers.len(), given, "{numwant:?}");
        }
    }

    #[tokio::test]
    async fn finished_downloads_reach_the_tally() {
        let t = Fixture::new(Options::default()).await;
        t.announce(1, &request(1, t.v1));
        assert_eq!(t.numbers(), (1, 1, 0));
        let completed = AnnounceRequest {
            left: Some(0),
            event: Event::Completed,
            ..request(1, t.v1)
        };
        assert_eq!(t.announce(1, &completed).downloaded, Some(1));
        t.announce(1, &completed);
        assert_eq!(t.numbers(), (2, 0, 1));
        assert_eq!(t.catalog.tally(t.id).counts().completed, 1);
        let stopped = AnnounceRequest {
            event: Event::Stopped,
            ..completed
        };
        assert_eq!(t.announce(1, &stopped).peers, []);
        assert_eq!(t.numbers(), (1, 0, 1));
    }

    #[tokio::test]
    async fn claims_give_no_rights_and_overflow_nothing() {
        let t = Fixture::new(Options::default()).await;
        let boast = AnnounceRequest {
            uploaded: u64::MAX,
            downloaded: u64::MAX,
            left: Some(u64::MAX),
            ..request(1, t.v1)
        };
        t.announce(1, &boast);
        t.announce(1, &boast);
        assert_eq!(t.numbers(), (1, 1, 0));
    }

    #[tokio::test]
    async fn silent_peers_are_swept_with_their_swarm() {
        let options = Options {
            interval: 100,
            grace: 10,
            ..Options::default()
        };
        let t = Fixture::new(options).await;
        t.announce(1, &request(1, t.v1));
        t.tracker.sweep(*START + Duration::from_mins(2));
        assert_eq!(t.tracker.peers(), 1, "interval, jitter and grace");
        // The clock of swarms is coarse: nobody is forgotten early, and some a few seconds late.
        t.tracker.sweep(*START + Duration::from_secs(137));
        assert_eq!((t.tracker.peers(), t.numbers()), (0, (1, 0, 0)));
        assert!(t.tracker.shard(&t.v1).swarms.is_empty());
    }

    #[tokio::test]
    async fn the_whole_table_is_bounded_and_the_oldest_make_room() {
        let options = Options {
            peers: 32,
            ..Options::default()
        };
        let t = Fixture::new(options).await;
        for n in 0..100 {
            let now = *START + Duration::from_secs(n.into());
            let request = request(n, t.v1);
            t.tracker.announce(&request, &asker(n), now).unwrap();
            assert!(t.tracker.peers() <= 32);
            assert_eq!(t.tracker.peers(), t.tracker.shard(&t.v1).len());
        }
        let asker = AnnounceRequest {
            numwant: Some(200),
            ..request(99, t.v1)
        };
        let answer = t.announce(99, &asker);
        let oldest = source(60);
        let others = answer.peers.iter().skip(1);
        assert!(others.map(|peer| peer.address.ip()).all(|ip| ip > oldest));
    }

    #[tokio::test]
    async fn an_address_that_is_everywhere_is_told_so() {
        let options = Options {
            torrents_per_address: 0,
            ..Options::default()
        };
        let t = Fixture::new(options).await;
        let refused = t.tracker.announce(&request(1, t.v1), &asker(1), *START);
        let reason = refused.unwrap_err().reason;
        assert!(reason.contains("stop some of them"), "{reason}");
        assert_eq!(t.tracker.peers(), 0);
    }

    #[tokio::test]
    async fn intervals_differ_so_that_peers_do_not_come_in_waves() {
        let t = Fixture::new(Options::default()).await;
        let intervals: std::collections::BTreeSet<_> = (0..50)
            .map(|n| t.announce(n, &request(n, t.v1)).interval)
            .collect();
        assert!(intervals.len() > 20);
        assert!(
            intervals
                .iter()
                .all(|interval| (1800..=1980).contains(interval))
        );
    }
}

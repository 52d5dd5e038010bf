//! The swarm of one torrent, as a tracker sees it: who is in it, and who is handed to whom (BEP 3, 7, 21).
//!
//! A peer is known by the address it announces from and the port it names, so nobody can remove or replace somebody
//! else. Nothing here asks a clock: times are [`Uptime`]s. Every size is bounded by [`Limits`]: in a full swarm the
//! peers that were silent for longest make room.
//!
//! Who is handed out: never the asker, under either of its addresses; no seeds to those who want nothing (seeds and
//! partial seeds); no private addresses to the public. A peer that asks over IPv4 gets IPv4 peers; one that asks over
//! IPv6 may have both, so it gets IPv6 peers and, where there are too few, IPv4 peers too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rand::Rng;

use crate::proto::id::PeerId;
use crate::proto::tracker::announce::{AnnounceRequest, Event, Peer, ScrapeCounts};
use crowd::Crowd;
use entry::{Mark, Moment, Share};
use members::{Admission, Members, Role, nth_longest};

pub mod crowd;
mod entries;
mod entry;
mod members;
mod saved;

pub use saved::Damaged;

/// A point in time: whole seconds since the tracker started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(u32);

impl From<Duration> for Uptime {
    fn from(since_start: Duration) -> Self {
        Self(u32::try_from(since_start.as_secs()).unwrap_or(u32::MAX))
    }
}

/// How much a swarm may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Peers of each address family.
    pub peers: usize,
    /// Peers at one IPv4 address or in one IPv6 /64. A further one takes the place of the oldest of them.
    pub peers_per_network: usize,
    /// Swarms that one IPv4 address or one IPv6 /64 may be in.
    pub swarms_per_network: u32,
}

/// What an announce is held against.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The time of the announce.
    pub now: Uptime,
    /// How much a swarm may hold.
    pub limits: &'a Limits,
    /// Who is in how many swarms.
    pub crowd: &'a Crowd,
    /// Bytes of the torrent's content, where they are known.
    pub length: Option<u64>,
}

/// What an announce told that is worth counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// A download finished that was not counted yet.
    pub is_finished: bool,
    /// Bytes of content that came to the peer since its announce before, as far as what it lacks tells: an estimate, never more
    /// than the torrent's length.
    pub delivered: u64,
}

/// An address is in as many swarms as it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many torrents are active at this address; stop some of them")]
pub struct TooManySwarms;

/// The peers of one address family by what they are after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Population {
    /// They lack something and want it.
    pub downloaders: u64,
    /// They lack something and do not want it (BEP 21).
    pub partial_seeds: u64,
    /// They have everything.
    pub seeds: u64,
}

impl Population {
    /// Those who lack something.
    pub const fn leechers(&self) -> u64 {
        self.downloaders + self.partial_seeds
    }

    /// All.
    pub const fn peers(&self) -> u64 {
        self.leechers() + self.seeds
    }

    /// Counts others in.
    pub const fn add(&mut self, others: Self) {
        self.downloaders += others.downloaders;
        self.partial_seeds += others.partial_seeds;
        self.seeds += others.seeds;
    }
}

/// The peers of one torrent.
#[derive(Debug, Default)]
pub struct Swarm {
    v4: Members<Ipv4Addr>,
    v6: Members<Ipv6Addr>,
}

impl Swarm {
    /// Takes in what a peer at `source` says of itself; answers what there is to count.
    ///
    /// # Errors
    /// [`TooManySwarms`] where a new peer is at an address that is in too many; then nothing changes.
    pub fn announce(
        &mut self,
        request: &AnnounceRequest,
        source: IpAddr,
        terms: &Terms<'_>,
    ) -> Result<Progress, TooManySwarms> {
        let source = source.to_canonical();
        if request.event == Event::Stopped {
            match source {
                IpAddr::V4(ip) => self.v4.leave(ip, request.port, terms),
                IpAddr::V6(ip) => self.v6.leave(ip, request.port, terms),
            }
            return Ok(Progress::default());
        }
        let role = role(request);
        let lacks = match (role, request.left, terms.length) {
            (Role::Seed, ..) => Share::of(0, 1),
            (_, Some(left), Some(length)) => Share::of(left, length),
            _ => Share::UNKNOWN,
        };
        let mut mark = Mark::of(request.peer_id).lacking(lacks);
        let is_completed = request.event == Event::Completed && role == Role::Seed;
        // A peer may announce over both families, and again from another port: its id tells that it was counted.
        let was_counted = is_completed && self.has_completed(request.peer_id);
        if is_completed {
            mark = mark.completed();
        }
        let admission = Admission {
            port: request.port,
            id: request.peer_id,
            role,
            mark,
        };
        let previous = match source {
            IpAddr::V4(ip) => self.v4.admit(ip, &admission, terms)?,
            IpAddr::V6(ip) => self.v6.admit(ip, &admission, terms)?,
        };
        let was_seed = previous.is_some_and(|it| it.role == Role::Seed);
        Ok(Progress {
            is_finished: is_completed && !was_counted && !was_seed,
            delivered: previous.map_or(0, |it| {
                it.mark.lacks().decrease(lacks, terms.length.unwrap_or(0))
            }),
        })
    }

    /// Hands out up to `wanted` peers to the peer at `source`, chosen at random, at the end of `peers`.
    pub fn choose(
        &self,
        request: &AnnounceRequest,
        source: IpAddr,
        wanted: usize,
        rng: &mut impl Rng,
        peers: &mut Vec<Peer>,
    ) {
        let source = source.to_canonical();
        let asker = Asker {
            address: SocketAddr::new(source, request.port.get()),
            mark: Mark::of(request.peer_id),
            is_public: is_public(source),
        };
        let full = peers.len().saturating_add(wanted);
        let wants_nothing = request.wants_nothing();
        if source.is_ipv6() {
            self.v6
                .choose(&asker, wants_nothing, full, &mut *rng, peers);
        }
        self.v4.choose(&asker, wants_nothing, full, rng, peers);
    }

    /// The swarm in numbers; `downloaded` is not its business and zero.
    pub fn counts(&self) -> ScrapeCounts {
        let seeds = self.v4.seeds().saturating_add(self.v6.seeds());
        let downloaders = self.v4.downloaders().saturating_add(self.v6.downloaders());
        ScrapeCounts {
            complete: saturate(seeds),
            incomplete: saturate(self.len().saturating_sub(seeds)),
            downloaded: 0,
            downloaders: Some(saturate(downloaders)),
        }
    }

    /// Who is in it, over IPv4 and over IPv6.
    pub fn populations(&self) -> (Population, Population) {
        (self.v4.population(), self.v6.population())
    }

    /// How many peers it holds.
    pub fn len(&self) -> usize {
        self.v4.len().saturating_add(self.v6.len())
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops the peers that were silent for longer than `lifetime` seconds, and memory that is no longer used.
    pub fn expire(&mut self, now: Uptime, lifetime: u32, crowd: &Crowd) {
        let lifetime = Moment::lasting(lifetime);
        self.v4.expire(now.into(), lifetime, crowd);
        self.v6.expire(now.into(), lifetime, crowd);
    }

    /// Drops the `share`th part of the peers of `swarms`, at least one where there is any: those that were silent for longest.
    /// Answers how many.
    pub fn drop_oldest<'a>(
        swarms: impl Iterator<Item = &'a mut Self>,
        share: usize,
        now: Uptime,
        crowd: &Crowd,
    ) -> usize {
        let now = now.into();
        let mut swarms: Vec<_> = swarms.collect();
        let silences: Vec<_> = swarms.iter().flat_map(|it| it.silences(now)).collect();
        let quota = (silences.len() / share.max(1)).max(1);
        let Some(silence) = nth_longest(silences, quota) else {
            return 0;
        };
        let mut dropped = 0;
        // Those silent for longer go first; among equals it does not matter.
        for silence in [silence.saturating_add(1), silence] {
            for swarm in &mut swarms {
                dropped += swarm.v4.evict(now, silence, quota - dropped, crowd);
                dropped += swarm.v6.evict(now, silence, quota - dropped, crowd);
            }
        }
        dropped
    }

    /// For how long nobody in it was heard of: a measure that is the same for all swarms.
    pub fn silence(&self, now: Uptime) -> u16 {
        self.silences(now.into()).min().unwrap_or(u16::MAX)
    }

    /// Drops everybody.
    pub fn clear(&mut self, crowd: &Crowd) {
        self.v4.evict(Moment::default(), 0, usize::MAX, crowd);
        self.v6.evict(Moment::default(), 0, usize::MAX, crowd);
    }

    fn silences(&self, now: Moment) -> impl Iterator<Item = u16> {
        self.v4.silences(now).chain(self.v6.silences(now))
    }

    /// Whether a peer of this id is in it. Looks at everybody.
    pub fn has(&self, id: PeerId) -> bool {
        self.v4.has(id) || self.v6.has(id)
    }

    /// Whether a peer that is in it has said that its download finished.
    pub fn has_completed(&self, id: PeerId) -> bool {
        self.v4.has_completed(id) || self.v6.has_completed(id)
    }
}

/// A peer that asks for others.
struct Asker {
    address: SocketAddr,
    mark: Mark,
    is_public: bool,
}

impl Asker {
    /// Whether a peer is of use: another one, at an address that the asker can reach.
    fn can_use(&self, address: SocketAddr, mark: Mark) -> bool {
        address != self.address
            && !mark.is_same_peer(self.mark)
            && (!self.is_public || is_public(address.ip()))
    }
}

/// What a peer is, by its own word.
fn role(request: &AnnounceRequest) -> Role {
    if request.is_complete() {
        Role::Seed
    } else if request.event == Event::Paused {
        Role::PartialSeed
    } else {
        Role::Downloader
    }
}

/// Whether an address means the same peer everywhere, as far as its looks tell.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !(ip.is_private() || ip.is_loopback() || ip.is_link_local()),
        IpAddr::V6(ip) => !(ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local()),
    }
}

fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::num::NonZeroU16;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const LIMITS: Limits = Limits {
        peers: 10_000,
        peers_per_network: 100,
        swarms_per_network: 2,
    };

    const LENGTH: u64 = 1_000_000;

    fn request(n: u16, left: Option<u64>, event: Event) -> AnnounceRequest {
        let mut id = *b"-SW0100-............";
        id[18..].copy_from_slice(&n.to_be_bytes());
        AnnounceRequest {
            info_hash: [7; 20].into(),
            peer_id: id.into(),
            port: NonZeroU16::new(6881).unwrap(),
            uploaded: 0,
            downloaded: 0,
            left,
            event,
            numwant: None,
            key: None,
        }
    }

    fn v4(n: u16) -> IpAddr {
        let [high, low] = n.to_be_bytes();
        Ipv4Addr::new(198, 51, high, low).into()
    }

    fn v6(n: u16) -> IpAddr {
        Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 1).into()
    }

    #[derive(Default)]
    struct Fixture {
        swarm: Swarm,
        crowd: Crowd,
        now: Uptime,
    }

    impl Fixture {
        fn announce(&mut self, request: &AnnounceRequest, source: IpAddr) -> bool {
            self.progress(request, source).is_finished
        }

        fn progress(&mut self, request: &AnnounceRequest, source: IpAddr) -> Progress {
            let terms = Terms {
                now: self.now,
                limits: &LIMITS,
                crowd: &self.crowd,
                length: Some(LENGTH),
            };
            self.swarm.announce(request, source, &terms).unwrap()
        }

        fn enter(&mut self, n: u16, left: u64, source: IpAddr) {
            self.announce(&request(n, Some(left), Event::Started), source);
        }

        fn ask(&self, n: u16, left: u64, source: IpAddr, wanted: usize) -> Vec<IpAddr> {
            self.ask_as(&request(n, Some(left), Event::None), source, wanted, 1)
        }

        fn ask_as(
            &self,
            request: &AnnounceRequest,
            source: IpAddr,
            wanted: usize,
            seed: u64,
        ) -> Vec<IpAddr> {
            let mut peers = Vec::new();
            let mut rng = StdRng::seed_from_u64(seed);
            self.swarm
                .choose(request, source, wanted, &mut rng, &mut peers);
            let mut ips: Vec<_> = peers.iter().map(|peer| peer.address.ip()).collect();
            ips.sort_unstable();
            ips
        }

        fn numbers(&self) -> (u32, u32, Option<u32>) {
            let counts = self.swarm.counts();
            (counts.complete, counts.incomplete, counts.downloaders)
        }
    }

    #[test]
    fn counts_seeds_partial_seeds_and_downloaders_apart() {
        let mut t = Fixture::default();
        t.enter(1, 0, v4(1));
        t.enter(2, 5, v4(2));
        t.enter(3, 5, v6(3));
        t.announce(&request(4, Some(5), Event::Paused), v6(4));
        assert_eq!(t.numbers(), (1, 3, Some(2)));
        // A magnet client does not know what it lacks.
        t.announce(&request(5, None, Event::Started), v4(5));
        assert_eq!(t.numbers(), (1, 4, Some(3)));
        t.announce(&request(2, Some(0), Event::Completed), v4(2));
        assert_eq!(t.numbers(), (2, 3, Some(2)));
    }

    #[test]
    fn seeds_are_not_handed_to_those_who_want_nothing() {
        let mut t = Fixture::default();
        t.enter(1, 0, v4(1));
        t.enter(2, 0, v4(2));
        t.enter(3, 5, v4(3));
        t.announce(&request(4, Some(5), Event::Paused), v4(4));
        assert_eq!(t.ask(1, 0, v4(1), 50), [v4(3)]);
        let paused = request(4, Some(5), Event::Paused);
        assert_eq!(t.ask_as(&paused, v4(4), 50, 1), [v4(3)]);
        assert_eq!(t.ask(3, 5, v4(3), 50), [v4(1), v4(2), v4(4)]);
    }

    #[test]
    fn nobody_is_in_their_own_answer_under_either_family() {
        let mut t = Fixture::default();
        t.enter(1, 5, v4(1));
        t.enter(1, 5, v6(1));
        t.enter(2, 5, v4(2));
        assert_eq!(t.ask(1, 5, v6(1), 50), [v4(2)]);
        assert_eq!(t.ask(1, 5, v4(1), 50), [v4(2)]);
    }

    #[test]
    fn each_family_sees_what_it_can_use() {
        let mut t = Fixture::default();
        t.enter(1, 5, v4(1));
        t.enter(2, 5, v6(2));
        t.enter(3, 5, v6(3));
        assert_eq!(t.ask(9, 5, v4(9), 50), [v4(1)]);
        assert_eq!(t.ask(9, 5, v6(9), 50), [v4(1), v6(2), v6(3)]);
        // IPv6 comes first where not all fit.
        assert_eq!(t.ask(9, 5, v6(9), 2), [v6(2), v6(3)]);
    }

    #[test]
    fn a_mapped_address_is_an_ipv4_address() {
        let mut t = Fixture::default();
        let mapped = Ipv4Addr::new(198, 51, 0, 1).to_ipv6_mapped();
        t.enter(1, 5, mapped.into());
        assert_eq!(t.ask(2, 5, v4(2), 50), [v4(1)]);
        t.announce(&request(1, Some(5), Event::Stopped), v4(1));
        assert!(t.swarm.is_empty());
    }

    #[test]
    fn private_addresses_stay_among_private_peers() {
        let mut t = Fixture::default();
        let lan: IpAddr = [192, 168, 1, 5].into();
        let neighbour: IpAddr = [192, 168, 1, 6].into();
        t.enter(1, 5, lan);
        t.enter(2, 5, v4(2));
        assert_eq!(t.ask(9, 5, v4(9), 50), [v4(2)]);
        assert_eq!(t.ask(9, 5, neighbour, 50), [lan, v4(2)]);
    }

    #[test]
    fn numwant_zero_gives_none() {
        let mut t = Fixture::default();
        t.enter(1, 5, v4(1));
        assert_eq!(t.ask(2, 5, v4(2), 0), Vec::<IpAddr>::new());
    }

    #[test]
    fn stopped_from_another_address_evicts_nobody() {
        let mut t = Fixture::default();
        t.enter(1, 5, v4(1));
        let stopped = request(1, Some(5), Event::Stopped);
        t.announce(&stopped, v4(2));
        let other_port = AnnounceRequest {
            port: NonZeroU16::MIN,
            ..stopped.clone()
        };
        t.announce(&other_port, v4(1));
        assert_eq!(t.swarm.len(), 1);
        t.announce(&stopped, v4(1));
        assert_eq!(t.swarm.len(), 0);
    }

    #[test]
    fn a_download_is_counted_once() {
        let mut t = Fixture::default();
        let completed = request(1, Some(0), Event::Completed);
        t.enter(1, 5, v4(1));
        assert!(t.announce(&completed, v4(1)));
        assert!(!t.announce(&completed, v4(1)), "sent again");
        assert!(!t.announce(&completed, v6(1)), "sent over the other family");
        assert!(!t.announce(&completed, v4(2)), "sent from another address");
        t.enter(1, 5, v4(1));
        assert!(!t.announce(&completed, v4(1)), "after a check of the files");
        let unknown = request(2, Some(0), Event::Completed);
        assert!(t.announce(&unknown, v4(9)), "began before the tracker did");
    }

    #[test]
    fn no_download_is_counted_of_a_seed_or_of_a_liar() {
        let mut t = Fixture::default();
        t.enter(1, 0, v4(1));
        assert!(!t.announce(&request(1, Some(0), Event::Completed), v4(1)));
        assert!(!t.announce(&request(2, Some(5), Event::Completed), v4(2)));
        assert_eq!(t.numbers(), (1, 1, Some(1)));
    }

    #[test]
    fn a_new_client_at_an_old_address_is_a_new_peer() {
        let mut t = Fixture::default();
        t.enter(1, 5, v4(1));
        assert!(t.announce(&request(1, Some(0), Event::Completed), v4(1)));
        t.enter(2, 5, v4(1));
        assert!(t.announce(&request(2, Some(0), Event::Completed), v4(1)));
    }

    #[test]
    fn silent_peers_expire() {
        let mut t = Fixture::default();
        t.enter(1, 5, v4(1));
        t.now = Duration::from_secs(100).into();
        t.enter(2, 5, v6(2));
        t.swarm.expire(t.now, 100, &t.crowd);
        assert_eq!(t.swarm.len(), 2, "not yet");
        t.swarm.expire(t.now, 80, &t.crowd);
        assert_eq!(t.swarm.len(), 1);
        t.swarm.expire(t.now, 0, &t.crowd);
        assert_eq!(t.swarm.len(), 1, "just heard of");
    }

    #[test]
    fn what_came_to_a_peer_is_the_decrease_of_what_it_lacks() {
        let mut t = Fixture::default();
        let mut delivered =
            |left: Option<u64>, event| t.progress(&request(1, left, event), v4(1)).delivered;
        assert_eq!(delivered(Some(1 << 60), Event::Started), 0, "made up");
        assert_eq!(delivered(Some(LENGTH), Event::None), 0);
        assert_eq!(delivered(Some(LENGTH / 2), Event::None), LENGTH / 2);
        assert_eq!(delivered(Some(LENGTH), Event::None), 0, "it lost some");
        assert_eq!(delivered(None, Event::None), 0);
        assert_eq!(delivered(Some(LENGTH), Event::None), 0);
        assert_eq!(delivered(Some(0), Event::Completed), LENGTH);
        assert_eq!(delivered(Some(0), Event::None), 0);
        // Another client at the address says nothing of what came to the first.
        assert_eq!(
            t.progress(&request(1, Some(LENGTH), Event::None), v4(1))
                .delivered,
            0
        );
        assert_eq!(
            t.progress(&request(2, Some(0), Event::None), v4(1))
                .delivered,
            0
        );
    }

    #[test]
    fn an_address_may_be_in_so_many_swarms() {
        let crowd = Crowd::default();
        let mut swarms: [Swarm; 3] = Default::default();
        let terms = Terms {
            now: Uptime::default(),
            limits: &LIMITS,
            crowd: &crowd,
            length: None,
        };
        let started = request(1, Some(5), Event::Started);
        let entered = swarms
            .each_mut()
            .map(|swarm| swarm.announce(&started, v6(1), &terms).is_ok());
        assert_eq!(entered, [true, true, false]);
        let stopped = request(1, Some(5), Event::Stopped);
        swarms[0].announce(&stopped, v6(1), &terms).unwrap();
        assert!(swarms[2].announce(&started, v6(1), &terms).is_ok());
    }

    /// Ten of a hundred peers, 20,000 times: everybody is drawn 2,000 times give or take chance.
    #[test]
    fn everybody_is_handed_out_equally_often() {
        let mut t = Fixture::default();
        for n in 0..100 {
            t.enter(n, u64::from(n % 3), v4(n));
        }
        let asker = request(999, Some(5), Event::None);
        let mut drawn: HashMap<IpAddr, u32> = HashMap::new();
        for seed in 0..20_000 {
            let ips = t.ask_as(&asker, v4(999), 10, seed);
            assert_eq!(ips.len(), 10);
            for ip in ips {
                *drawn.entry(ip).or_default() += 1;
            }
        }
        assert_eq!(drawn.len(), 100);
        // Six standard deviations of a binomial with n = 20,000 and p = 0.1.
        for (ip, times) in drawn {
            assert!((1_745..=2_255).contains(&times), "{ip}: {times}");
        }
    }
}

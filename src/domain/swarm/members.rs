//! The peers of a swarm in one address family.
//!
//! One dense row in three segments, downloaders before partial seeds before seeds, so that a peer's role is where
//! it lies, every count is known, and a random choice among any prefix takes no search. An entry is what a peer must be
//! known by and no more: 14 bytes for IPv4. A small swarm is searched from end to end; a large one has an index from
//! networks (an IPv4 address, an IPv6 /64) to positions. Ids are kept beside the entries while a swarm is small, for the
//! few clients that want a list with ids (BEP 3); all others get compact answers, which have none (BEP 23).

use std::fmt::Debug;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;

use hashbrown::HashTable;
use rand::{Rng, RngExt};

use super::crowd::Crowd;
use super::entries::Entries;
use super::entry::{Entry, Mark, Moment};
use super::{Asker, Population, Terms, TooManySwarms};
use crate::proto::id::PeerId;
use crate::proto::tracker::announce::Peer;

/// Peers in a swarm whose ids are kept.
const WITH_IDS: usize = 32;

/// Peers in a swarm that has no index: so many are looked through in less time than an index costs in memory.
const UNINDEXED: usize = 256;

/// What a peer is after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It lacks something and wants it.
    Downloader,
    /// It lacks something and does not want it (BEP 21).
    PartialSeed,
    /// It has everything.
    Seed,
}

/// An IP address of one family.
pub(super) trait Address: Copy + Eq + Debug + Into<IpAddr> {
    /// What one customer of a provider commonly has: a single IPv4 address, an IPv6 /64.
    type Network: Copy + Eq + Hash + Debug;

    fn network(self) -> Self::Network;
}

impl Address for Ipv4Addr {
    type Network = [u8; 4];

    fn network(self) -> [u8; 4] {
        self.octets()
    }
}

impl Address for Ipv6Addr {
    type Network = [u16; 4];

    fn network(self) -> [u16; 4] {
        let [a, b, c, d, ..] = self.segments();
        [a, b, c, d]
    }
}

/// What a peer says when it enters or stays.
pub(super) struct Admission {
    pub(super) port: NonZeroU16,
    pub(super) id: PeerId,
    pub(super) role: Role,
    pub(super) mark: Mark,
}

/// What a peer was before it said something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Previous {
    pub(super) role: Role,
    pub(super) mark: Mark,
}

#[derive(Debug)]
pub(super) struct Members<A: Address> {
    /// `[..partial_from]` are downloaders, `[partial_from..seeds_from]` partial seeds, `[seeds_from..]` seeds.
    all: Entries<A>,
    partial_from: u32,
    seeds_from: u32,
    beside: Beside,
}

/// What is kept beside the peers.
#[derive(Debug)]
enum Beside {
    /// Of a small swarm: the ids, in step with the peers.
    Ids(Vec<PeerId>),
    /// Nothing.
    Nothing,
    /// Of a large swarm: positions by network.
    Index(HashTable<u32>),
}

impl<A: Address> Default for Members<A> {
    fn default() -> Self {
        Self {
            all: Entries::default(),
            partial_from: 0,
            seeds_from: 0,
            beside: Beside::Ids(Vec::new()),
        }
    }
}

impl<A: Address> Members<A> {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn downloaders(&self) -> usize {
        position(self.partial_from)
    }

    pub(super) fn seeds(&self) -> usize {
        self.all.len() - position(self.seeds_from)
    }

    pub(super) fn population(&self) -> Population {
        let count = |peers: usize| u64::try_from(peers).unwrap_or(u64::MAX);
        Population {
            downloaders: u64::from(self.partial_from),
            partial_seeds: u64::from(self.seeds_from - self.partial_from),
            seeds: count(self.seeds()),
        }
    }

    /// How long each peer has been silent, in no order.
    pub(super) fn silences(&self, now: Moment) -> impl Iterator<Item = u16> {
        self.all.iter().map(move |entry| entry.seen.silence(now))
    }

    /// Every peer with its role.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Role, &Entry<A>)> {
        let entries = self.all.iter().enumerate();
        entries.map(|(position, entry)| (self.role(position), entry))
    }

    /// Whether a peer of this id is here. Looks at everybody.
    pub(super) fn has(&self, id: PeerId) -> bool {
        let mark = Mark::of(id);
        self.all.iter().any(|entry| entry.mark.is_same_peer(mark))
    }

    /// Whether a peer of this id told that its download finished. Looks at everybody: asked once in a download.
    pub(super) fn has_completed(&self, id: PeerId) -> bool {
        let mark = Mark::of(id);
        let mut entries = self.all.iter();
        entries.any(|entry| entry.mark.has_completed() && entry.mark.is_same_peer(mark))
    }

    /// Enters a peer, or notes that it is still there; answers what it was before.
    pub(super) fn admit(
        &mut self,
        ip: A,
        admission: &Admission,
        terms: &Terms<'_>,
    ) -> Result<Option<Previous>, TooManySwarms> {
        let (limits, crowd) = (terms.limits, terms.crowd);
        let network = self.survey(ip, admission.port, terms);
        let Some(position) = network.found else {
            if network.peers == 0 && crowd.swarms(ip.network()) >= limits.swarms_per_network {
                return Err(TooManySwarms);
            }
            if let Some((oldest, _)) = network.oldest
                && network.peers >= limits.peers_per_network
            {
                self.remove(oldest, crowd);
            } else if self.all.len() >= limits.peers {
                self.make_room(terms);
            }
            self.push(ip, admission, terms);
            return Ok(None);
        };
        let role = self.role(position);
        let entry = self.all.at_mut(position);
        let mark = entry.mark;
        let is_same_peer = mark.is_same_peer(admission.mark);
        entry.seen = terms.now.into();
        entry.mark = if is_same_peer && mark.has_completed() {
            admission.mark.completed()
        } else {
            admission.mark
        };
        if let Beside::Ids(ids) = &mut self.beside {
            ids[position] = admission.id;
        }
        self.assign(position, admission.role, crowd);
        Ok(is_same_peer.then_some(Previous { role, mark }))
    }

    /// Removes the peer at this very address, if it is there.
    pub(super) fn leave(&mut self, ip: A, port: NonZeroU16, terms: &Terms<'_>) {
        if let Some(position) = self.survey(ip, port, terms).found {
            self.remove(position, terms.crowd);
        }
    }

    /// Drops the peers that were silent for longer than `lifetime`, and memory that is no longer used.
    pub(super) fn expire(&mut self, now: Moment, lifetime: u16, crowd: &Crowd) {
        // From the end, since a removal fills its place from behind, where everybody was looked at already.
        for position in (0..self.all.len()).rev() {
            if self.all.at(position).seen.silence(now) > lifetime {
                self.remove(position, crowd);
            }
        }
        self.all.shrink();
        match &mut self.beside {
            Beside::Ids(ids) => ids.shrink_to(ids.len() * 2),
            _ if self.all.len() == 0 => self.beside = Beside::Ids(Vec::new()),
            Beside::Index(_) if self.all.len() < UNINDEXED / 2 => self.beside = Beside::Nothing,
            Beside::Index(index) if index.capacity() / 4 > index.len() => {
                index.shrink_to(index.len() * 2, |at| hash_at(&self.all, *at, crowd));
            }
            Beside::Index(_) | Beside::Nothing => {}
        }
    }

    /// Drops up to `quota` peers that were silent for `silence` or longer; answers how many.
    pub(super) fn evict(
        &mut self,
        now: Moment,
        silence: u16,
        quota: usize,
        crowd: &Crowd,
    ) -> usize {
        let before = self.all.len();
        for position in (0..before).rev() {
            if before - self.all.len() >= quota {
                break;
            }
            if self.all.at(position).seen.silence(now) >= silence {
                self.remove(position, crowd);
            }
        }
        before - self.all.len()
    }

    /// Puts a peer back that was there before a restart. Bounds held when it was first entered.
    pub(super) fn restore(&mut self, entry: Entry<A>, role: Role, crowd: &Crowd) {
        // What is restored has no ids.
        if let Beside::Ids(_) = self.beside {
            self.beside = Beside::Nothing;
        }
        self.enter(entry, role, crowd);
    }

    /// Hands out peers of use to `asker` until `peers` holds `full`: a walk from a random start in random strides, which
    /// comes by everybody once, costs two random numbers and ends early where most are of no use.
    pub(super) fn choose(
        &self,
        asker: &Asker,
        only_downloaders: bool,
        full: usize,
        rng: &mut impl Rng,
        peers: &mut Vec<Peer>,
    ) {
        let count = if only_downloaders {
            self.downloaders()
        } else {
            self.all.len()
        };
        let wanted = full.saturating_sub(peers.len());
        if count == 0 || wanted == 0 {
            return;
        }
        let stride = coprime(count, rng);
        let mut position = rng.random_range(0..count);
        for _ in 0..count.min(wanted.saturating_mul(4)) {
            let entry = self.all.at(position);
            let address = SocketAddr::new(entry.ip.into(), entry.port.get());
            if asker.can_use(address, entry.mark) {
                let id = match &self.beside {
                    Beside::Ids(ids) => ids.get(position).copied(),
                    Beside::Nothing | Beside::Index(_) => None,
                };
                peers.push(Peer { address, id });
                if peers.len() == full {
                    return;
                }
            }
            position += stride;
            if position >= count {
                position -= count;
            }
        }
    }

    /// What there is of the network of `ip`.
    fn survey(&self, ip: A, port: NonZeroU16, terms: &Terms<'_>) -> Survey {
        let now = terms.now.into();
        let mut survey = Survey::default();
        for (position, entry) in self.network(ip, terms.crowd) {
            if entry.ip == ip && entry.port == port {
                survey.found = Some(position);
                break;
            }
            survey.peers += 1;
            let silence = entry.seen.silence(now);
            if survey.oldest.is_none_or(|(_, longest)| silence > longest) {
                survey.oldest = Some((position, silence));
            }
        }
        survey
    }

    /// The peers of the network of `ip`, with their positions.
    fn network(&self, ip: A, crowd: &Crowd) -> impl Iterator<Item = (usize, &Entry<A>)> {
        let network = ip.network();
        let (indexed, unindexed) = match &self.beside {
            Beside::Index(index) => (Some(index.iter_hash(crowd.hash(network))), None),
            Beside::Ids(_) | Beside::Nothing => (None, Some(self.all.iter().enumerate())),
        };
        let indexed = indexed.into_iter().flatten().map(|at| {
            let position = position(*at);
            (position, self.all.at(position))
        });
        let unindexed = unindexed.into_iter().flatten();
        indexed
            .chain(unindexed)
            .filter(move |(_, entry)| entry.ip.network() == network)
    }

    /// Drops the oldest sixteenth of a full vector, so that the search for them is spread over many that enter.
    fn make_room(&mut self, terms: &Terms<'_>) {
        let now = terms.now.into();
        let quota = (terms.limits.peers / 16).max(1);
        let Some(silence) = nth_longest(self.silences(now).collect(), quota) else {
            return;
        };
        // Those silent for longer go first; among equals it does not matter.
        let longer = self.evict(now, silence.saturating_add(1), quota, terms.crowd);
        self.evict(now, silence, quota - longer, terms.crowd);
    }

    fn push(&mut self, ip: A, admission: &Admission, terms: &Terms<'_>) {
        match &mut self.beside {
            Beside::Ids(ids) if ids.len() < WITH_IDS => ids.push(admission.id),
            Beside::Ids(_) => self.beside = Beside::Nothing,
            Beside::Nothing | Beside::Index(_) => {}
        }
        let entry = Entry {
            ip,
            port: admission.port,
            seen: terms.now.into(),
            mark: admission.mark,
        };
        self.enter(entry, admission.role, terms.crowd);
    }

    fn enter(&mut self, entry: Entry<A>, role: Role, crowd: &Crowd) {
        if self.network(entry.ip, crowd).next().is_none() {
            crowd.enter(entry.ip.network());
        }
        let position = self.all.len();
        self.all.push(entry);
        let all = &self.all;
        match &mut self.beside {
            Beside::Index(index) => {
                let hash = hash_at(all, link(position), crowd);
                index.insert_unique(hash, link(position), |at| hash_at(all, *at, crowd));
            }
            Beside::Nothing if position >= UNINDEXED => {
                self.beside = Beside::Index(index_of(all, crowd));
            }
            Beside::Ids(_) | Beside::Nothing => {}
        }
        // It lies behind the seeds.
        self.assign(position, role, crowd);
    }

    fn remove(&mut self, position: usize, crowd: &Crowd) {
        let position = self.assign(position, Role::Seed, crowd);
        let last = self.all.len() - 1;
        self.swap(position, last, crowd);
        match &mut self.beside {
            Beside::Ids(ids) => ids.truncate(last),
            Beside::Nothing => {}
            Beside::Index(index) => {
                let hash = hash_at(&self.all, link(last), crowd);
                if let Ok(gone) = index.find_entry(hash, |at| *at == link(last)) {
                    gone.remove();
                }
            }
        }
        let gone = self.all.pop();
        if let Some(gone) = gone
            && self.network(gone.ip, crowd).next().is_none()
        {
            crowd.leave(gone.ip.network());
        }
    }

    fn role(&self, position: usize) -> Role {
        if link(position) < self.partial_from {
            Role::Downloader
        } else if link(position) < self.seeds_from {
            Role::PartialSeed
        } else {
            Role::Seed
        }
    }

    /// Moves a peer into the segment of `role`; answers where it lies then.
    fn assign(&mut self, mut position: usize, role: Role, crowd: &Crowd) -> usize {
        loop {
            // The peer at the border of the segment changes places with this one, and the border moves past it.
            let border = match (self.role(position), role) {
                (Role::Downloader, Role::PartialSeed | Role::Seed) => {
                    self.partial_from -= 1;
                    self.partial_from
                }
                (Role::PartialSeed, Role::Seed) => {
                    self.seeds_from -= 1;
                    self.seeds_from
                }
                (Role::Seed, Role::PartialSeed | Role::Downloader) => {
                    self.seeds_from += 1;
                    self.seeds_from - 1
                }
                (Role::PartialSeed, Role::Downloader) => {
                    self.partial_from += 1;
                    self.partial_from - 1
                }
                _ => return position,
            };
            let border = self::position(border);
            self.swap(position, border, crowd);
            position = border;
        }
    }

    /// Swaps two peers, and has the index follow.
    fn swap(&mut self, a: usize, b: usize, crowd: &Crowd) {
        if a == b {
            return;
        }
        self.all.swap(a, b);
        let index = match &mut self.beside {
            Beside::Ids(ids) => return ids.swap(a, b),
            Beside::Nothing => return,
            Beside::Index(index) => index,
        };
        // Peers of one network lie under one hash: nothing to do. Otherwise the first steps aside, lest both be at one place.
        if self.all.at(a).ip.network() == self.all.at(b).ip.network() {
            return;
        }
        let [hash_a, hash_b] = [a, b].map(|at| hash_at(&self.all, link(at), crowd));
        let mut turn = |hash, from, to| {
            if let Some(at) = index.find_mut(hash, |at| *at == from) {
                *at = to;
            }
        };
        turn(hash_b, link(a), ASIDE);
        turn(hash_a, link(b), link(a));
        turn(hash_b, ASIDE, link(b));
    }
}

/// What there is of a network in a swarm.
#[derive(Default)]
struct Survey {
    /// Where the peer that was asked for lies; the others are incomplete then.
    found: Option<usize>,
    peers: usize,
    /// The peer that was silent for longest, and for how long.
    oldest: Option<(usize, u16)>,
}

/// No position of a peer.
const ASIDE: u32 = u32::MAX;

/// A position as the index keeps it. Limits keep swarms far below four thousand million.
fn link(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(ASIDE)
}

fn position(link: u32) -> usize {
    usize::try_from(link).unwrap_or(usize::MAX)
}

fn hash_at<A: Address>(all: &Entries<A>, at: u32, crowd: &Crowd) -> u64 {
    crowd.hash(all.at(position(at)).ip.network())
}

fn index_of<A: Address>(all: &Entries<A>, crowd: &Crowd) -> HashTable<u32> {
    let mut index = HashTable::with_capacity(all.len());
    for at in (0..all.len()).map(link) {
        index.insert_unique(hash_at(all, at, crowd), at, |at| hash_at(all, *at, crowd));
    }
    index
}

/// The silence that `n` of `silences` reach or pass; `None` where there are none or `n` is zero.
pub(super) fn nth_longest(mut silences: Vec<u16>, n: usize) -> Option<u16> {
    let nth = n.min(silences.len()).checked_sub(1)?;
    let (_, silence, _) = silences.select_nth_unstable_by(nth, |a, b| b.cmp(a));
    Some(*silence)
}

/// A stride that comes by each of `count` positions once.
fn coprime(count: usize, rng: &mut impl Rng) -> usize {
    if count < 3 {
        return 1;
    }
    let mut stride = rng.random_range(1..count);
    while gcd(count, stride) != 1 {
        stride = rng.random_range(1..count);
    }
    stride
}

fn gcd(mut a: usize, mut b: usize) -> usize {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::super::{Limits, Uptime};
    use super::*;

    const LIMITS: Limits = Limits {
        peers: 12,
        peers_per_network: 4,
        swarms_per_network: 10,
    };

    #[derive(Clone, Debug)]
    enum Step {
        Admit(u8, u16, Role),
        Leave(u8, u16),
        Expire(u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let role = proptest::sample::select(vec![Role::Downloader, Role::PartialSeed, Role::Seed]);
        let step = prop_oneof![
            8 => (0..6_u8, 1..6_u16, role).prop_map(|(ip, port, role)| Step::Admit(ip, port, role)),
            3 => (0..6_u8, 1..6_u16).prop_map(|(ip, port)| Step::Leave(ip, port)),
            1 => (0..30_u16).prop_map(Step::Expire),
        ];
        proptest::collection::vec(step, 0..200)
    }

    impl Members<Ipv4Addr> {
        fn check(&self, crowd: &Crowd) {
            assert!(
                self.partial_from <= self.seeds_from && position(self.seeds_from) <= self.all.len()
            );
            let networks: BTreeSet<_> = self.all.iter().map(|it| it.ip.network()).collect();
            let mut found = 0;
            for network in &networks {
                let ip = Ipv4Addr::from(*network);
                let mut positions: Vec<_> = self.network(ip, crowd).map(|(at, _)| at).collect();
                positions.sort_unstable();
                positions.dedup();
                found += positions.len();
                // Networks that share a counter are counted together.
                let sharing = networks
                    .iter()
                    .filter(|other| crowd.share(**other, *network));
                assert_eq!(crowd.swarms(*network) as usize, sharing.count());
            }
            assert_eq!(found, self.all.len());
            match &self.beside {
                Beside::Ids(ids) => assert_eq!(ids.len(), found),
                Beside::Nothing => {}
                Beside::Index(index) => assert_eq!(index.len(), found),
            }
        }

        fn listed(&self) -> BTreeMap<(u8, u16), &'static str> {
            let listed: BTreeMap<_, _> = (0..self.all.len())
                .map(|position| {
                    let member = self.all.at(position);
                    let key = (member.ip.octets()[3], member.port.get());
                    (key, name(self.role(position)))
                })
                .collect();
            assert_eq!(listed.len(), self.all.len(), "nobody is listed twice");
            listed
        }
    }

    fn name(role: Role) -> &'static str {
        match role {
            Role::Downloader => "downloader",
            Role::PartialSeed => "partial seed",
            Role::Seed => "seed",
        }
    }

    /// Every step a moment after the one before.
    fn at(now: u16) -> Uptime {
        Uptime(u32::from(now) * Moment::SECONDS)
    }

    fn terms<'a>(now: u16, limits: &'a Limits, crowd: &'a Crowd) -> Terms<'a> {
        Terms {
            now: at(now),
            limits,
            crowd,
            length: None,
        }
    }

    /// With an index from the first peer on, or without.
    fn members(is_indexed: bool) -> Members<Ipv4Addr> {
        Members {
            beside: if is_indexed {
                Beside::Index(HashTable::new())
            } else {
                Beside::Ids(Vec::new())
            },
            ..Members::default()
        }
    }

    proptest! {
        /// Against a map that is obviously right, where no bound is reached.
        #[test]
        fn holds_whom_a_plain_map_would_hold(steps in steps(), is_indexed: bool) {
            let limits = Limits { peers: 100, peers_per_network: 100, swarms_per_network: 10 };
            let (mut members, crowd) = (members(is_indexed), Crowd::default());
            let mut model: BTreeMap<(u8, u16), (&str, u16)> = BTreeMap::new();
            for (now, step) in (0..).zip(steps) {
                let terms = terms(now, &limits, &crowd);
                match step {
                    Step::Admit(ip, port, role) => {
                        let admitted = members.admit(Ipv4Addr::new(192, 0, 2, ip), &admission(port, role), &terms);
                        let previous = model.insert((ip, port), (name(role), now));
                        prop_assert_eq!(admitted.unwrap().map(|it| name(it.role)), previous.map(|(role, _)| role));
                    }
                    Step::Leave(ip, port) => {
                        members.leave(Ipv4Addr::new(192, 0, 2, ip), NonZeroU16::new(port).unwrap(), &terms);
                        model.remove(&(ip, port));
                    }
                    Step::Expire(lifetime) => {
                        members.expire(at(now).into(), lifetime, &crowd);
                        model.retain(|_, (_, seen)| now - *seen <= lifetime);
                        if is_indexed {
                            members.beside = Beside::Index(index_of(&members.all, &crowd));
                        }
                    }
                }
                members.check(&crowd);
                let expected: BTreeMap<_, _> = model.iter().map(|(key, (role, _))| (*key, *role)).collect();
                prop_assert_eq!(members.listed(), expected);
            }
        }

        #[test]
        fn no_bound_is_ever_passed(steps in steps(), is_indexed: bool) {
            let (mut members, crowd) = (members(is_indexed), Crowd::default());
            for (now, step) in (0..).zip(steps) {
                let terms = terms(now, &LIMITS, &crowd);
                match step {
                    Step::Admit(ip, port, role) => {
                        let ip = Ipv4Addr::new(192, 0, 2, ip);
                        members.admit(ip, &admission(port, role), &terms).unwrap();
                        let found = members.survey(ip, NonZeroU16::new(port).unwrap(), &terms).found;
                        prop_assert_eq!(found.map(|position| members.role(position)), Some(role));
                    }
                    Step::Leave(ip, port) => {
                        members.leave(Ipv4Addr::new(192, 0, 2, ip), NonZeroU16::new(port).unwrap(), &terms);
                    }
                    Step::Expire(lifetime) => members.expire(at(now).into(), lifetime, &crowd),
                }
                members.check(&crowd);
                prop_assert!(members.len() <= LIMITS.peers);
                for ip in 0..6 {
                    let listed = members.listed();
                    prop_assert!(listed.keys().filter(|(at, _)| *at == ip).count() <= LIMITS.peers_per_network);
                }
            }
        }

        #[test]
        fn strides_come_by_everybody_once(count in 1..200_usize, seed: u64) {
            use rand::SeedableRng;
            let stride = coprime(count, &mut rand::rngs::StdRng::seed_from_u64(seed));
            let mut visited: Vec<_> = (0..count).map(|step| step * stride % count).collect();
            visited.sort_unstable();
            prop_assert_eq!(visited, (0..count).collect::<Vec<_>>());
        }
    }

    fn admission(port: u16, role: Role) -> Admission {
        let id = [1; 20].into();
        Admission {
            port: NonZeroU16::new(port).unwrap(),
            id,
            role,
            mark: Mark::of(id),
        }
    }

    #[test]
    fn a_full_swarm_drops_those_that_were_silent_for_longest() {
        let (mut members, crowd) = (Members::default(), Crowd::default());
        let limits = Limits {
            peers: 32,
            ..LIMITS
        };
        let mut admit = |ip: u8, now: u16| {
            let terms = terms(now, &limits, &crowd);
            let ip = Ipv4Addr::new(192, 0, 2, ip);
            members
                .admit(ip, &admission(1, Role::Seed), &terms)
                .unwrap();
        };
        for ip in 0..32 {
            admit(ip, ip.into());
        }
        // The very first speaks up again.
        admit(0, 40);
        admit(99, 40);
        members.check(&crowd);
        let left: Vec<u8> = members.listed().keys().map(|(ip, _)| *ip).collect();
        let expected: Vec<u8> = [0].into_iter().chain(3..32).chain([99]).collect();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_network_displaces_only_its_own_oldest() {
        let (mut members, crowd) = (Members::default(), Crowd::default());
        let [ours, other] = [7, 8].map(|last| Ipv4Addr::new(192, 0, 2, last));
        let first = terms(0, &LIMITS, &crowd);
        members
            .admit(other, &admission(1, Role::Seed), &first)
            .unwrap();
        for port in 1..=100 {
            let terms = terms(port, &LIMITS, &crowd);
            members
                .admit(ours, &admission(port, Role::Downloader), &terms)
                .unwrap();
        }
        let left: Vec<_> = members.listed().into_keys().collect();
        assert_eq!(left, [(7, 97), (7, 98), (7, 99), (7, 100), (8, 1)]);
    }

    #[test]
    fn an_idle_swarm_gives_its_memory_back() {
        let (mut members, crowd) = (Members::default(), Crowd::default());
        let limits = Limits {
            peers: 10_000,
            ..LIMITS
        };
        for ip in 0..1000_u32 {
            let terms = terms(0, &limits, &crowd);
            members
                .admit(Ipv4Addr::from(ip), &admission(1, Role::Seed), &terms)
                .unwrap();
        }
        assert!(matches!(members.beside, Beside::Index(_)));
        members.check(&crowd);
        members.expire(at(9).into(), 8, &crowd);
        assert_eq!(members.all.capacity(), 0);
        assert!(matches!(members.beside, Beside::Ids(ids) if ids.capacity() == 0));
    }

    #[test]
    fn ids_are_kept_while_a_swarm_is_small() {
        let (mut members, crowd) = (Members::default(), Crowd::default());
        let limits = Limits {
            peers: 100,
            ..LIMITS
        };
        for n in 0..33_u8 {
            let terms = terms(0, &limits, &crowd);
            let admission = Admission {
                id: [n; 20].into(),
                role: if n % 2 == 0 {
                    Role::Seed
                } else {
                    Role::Downloader
                },
                ..admission(1, Role::Seed)
            };
            members
                .admit(Ipv4Addr::new(192, 0, 2, n), &admission, &terms)
                .unwrap();
            match &members.beside {
                Beside::Ids(ids) => {
                    assert!(ids.len() <= WITH_IDS);
                    let mut known = members.all.iter().zip(ids);
                    assert!(known.all(|(entry, id)| *id == [entry.ip.octets()[3]; 20].into()));
                }
                _ => assert_eq!(members.len(), WITH_IDS + 1),
            }
        }
    }
}

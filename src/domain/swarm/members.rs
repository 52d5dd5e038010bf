//! The peers of a swarm in one address family.
//!
//! One dense vector in three segments, downloaders before partial seeds before seeds, so that a peer's role is where
//! it lies, every count is known, and a random choice among any prefix takes no search. An index finds the first peer
//! of each network (an IPv4 address, an IPv6 /64); the others of the network hang on it as a chain through the vector.
//! Chains are as short as [`Limits::peers_per_network`] wants them.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};

use rand::{Rng, RngExt};

use super::crowd::Crowd;
use super::{Asker, Limits, TooManySwarms, Uptime};
use crate::proto::id::PeerId;
use crate::proto::tracker::announce::Peer;

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
    pub(super) now: Uptime,
    pub(super) has_completed: bool,
}

/// A position in the vector, plus one.
type Link = NonZeroU32;

#[derive(Debug)]
struct Member<A> {
    ip: A,
    port: NonZeroU16,
    /// It told that its download finished.
    has_completed: bool,
    id: PeerId,
    last_seen: Uptime,
    /// The next peer of the same network.
    next: Option<Link>,
}

#[derive(Debug)]
pub(super) struct Members<A: Address> {
    /// `[..partial_from]` are downloaders, `[partial_from..seeds_from]` partial seeds, `[seeds_from..]` seeds.
    all: Vec<Member<A>>,
    partial_from: usize,
    seeds_from: usize,
    /// The head of each network's chain.
    networks: HashMap<A::Network, Link>,
}

impl<A: Address> Default for Members<A> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            partial_from: 0,
            seeds_from: 0,
            networks: HashMap::new(),
        }
    }
}

impl<A: Address> Members<A> {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn downloaders(&self) -> usize {
        self.partial_from
    }

    pub(super) fn seeds(&self) -> usize {
        self.all.len() - self.seeds_from
    }

    pub(super) fn last_seen(&self) -> impl Iterator<Item = Uptime> {
        self.all.iter().map(|member| member.last_seen)
    }

    /// Whether a peer of this id told that its download finished. Looks at everybody: asked once in a download.
    pub(super) fn has_completed(&self, id: PeerId) -> bool {
        self.all
            .iter()
            .any(|member| member.has_completed && member.id == id)
    }

    /// Enters a peer, or notes that it is still there; answers what it was before.
    pub(super) fn admit(
        &mut self,
        ip: A,
        admission: &Admission,
        limits: &Limits,
        crowd: &Crowd,
    ) -> Result<Option<Role>, TooManySwarms> {
        let network = self.survey(ip, admission.port);
        let Some(position) = network.found else {
            if network.peers == 0 && crowd.swarms(ip.network()) >= limits.swarms_per_network {
                return Err(TooManySwarms);
            }
            if let Some(oldest) = network.oldest
                && network.peers >= limits.peers_per_network
            {
                self.remove(oldest, crowd);
            } else if self.all.len() >= limits.peers {
                self.make_room(limits.peers, crowd);
            }
            self.push(ip, admission, crowd);
            return Ok(None);
        };
        let previous = self.role(position);
        let member = &mut self.all[position];
        let is_same_peer = member.id == admission.id;
        member.id = admission.id;
        member.last_seen = admission.now;
        member.has_completed = admission.has_completed || (is_same_peer && member.has_completed);
        self.assign(position, admission.role);
        Ok(is_same_peer.then_some(previous))
    }

    /// Removes the peer at this very address, if it is there.
    pub(super) fn leave(&mut self, ip: A, port: NonZeroU16, crowd: &Crowd) {
        if let Some(position) = self.survey(ip, port).found {
            self.remove(position, crowd);
        }
    }

    /// Drops the peers last heard of before `deadline`, and memory that is no longer used.
    pub(super) fn expire(&mut self, deadline: Uptime, crowd: &Crowd) {
        // From the end, since a removal fills its place from behind, where everybody was looked at already.
        for position in (0..self.all.len()).rev() {
            if self.all[position].last_seen < deadline {
                self.remove(position, crowd);
            }
        }
        if self.all.capacity() / 4 > self.all.len() {
            self.all.shrink_to(self.all.len() * 2);
            self.networks.shrink_to(self.networks.len() * 2);
        }
    }

    /// Drops up to `quota` peers last heard of at `latest` or before; answers how many.
    pub(super) fn evict(&mut self, latest: Uptime, quota: usize, crowd: &Crowd) -> usize {
        let before = self.all.len();
        for position in (0..before).rev() {
            if before - self.all.len() >= quota {
                break;
            }
            if self.all[position].last_seen <= latest {
                self.remove(position, crowd);
            }
        }
        before - self.all.len()
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
        let candidates = if only_downloaders {
            &self.all[..self.partial_from]
        } else {
            &self.all
        };
        let count = candidates.len();
        let wanted = full.saturating_sub(peers.len());
        if count == 0 || wanted == 0 {
            return;
        }
        let stride = coprime(count, rng);
        let mut position = rng.random_range(0..count);
        for _ in 0..count.min(wanted.saturating_mul(4)) {
            let member = &candidates[position];
            let peer = Peer {
                address: SocketAddr::new(member.ip.into(), member.port.get()),
                id: Some(member.id),
            };
            if asker.can_use(&peer) {
                peers.push(peer);
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
    fn survey(&self, ip: A, port: NonZeroU16) -> Survey {
        let mut survey = Survey::default();
        let mut link = self.networks.get(&ip.network()).copied();
        while let Some(position) = link.map(position) {
            let member = &self.all[position];
            if member.ip == ip && member.port == port {
                survey.found = Some(position);
                break;
            }
            survey.peers += 1;
            if survey
                .oldest
                .is_none_or(|oldest: usize| member.last_seen < self.all[oldest].last_seen)
            {
                survey.oldest = Some(position);
            }
            link = member.next;
        }
        survey
    }

    /// Drops the oldest sixteenth of a full vector, so that the search for them is spread over many that enter.
    fn make_room(&mut self, limit: usize, crowd: &Crowd) {
        let quota = (limit / 16).max(1);
        let Some(latest) = Uptime::nth_oldest(self.last_seen().collect(), quota) else {
            return;
        };
        // Those strictly older go first; among the equally old it does not matter.
        let older = self.evict(latest.before(1), quota, crowd);
        self.evict(latest, quota - older, crowd);
    }

    fn push(&mut self, ip: A, admission: &Admission, crowd: &Crowd) {
        let position = self.all.len();
        let Some(link) = link(position) else {
            return;
        };
        let next = self.networks.insert(ip.network(), link);
        if next.is_none() {
            crowd.enter(ip.network());
        }
        self.all.push(Member {
            ip,
            port: admission.port,
            has_completed: admission.has_completed,
            id: admission.id,
            last_seen: admission.now,
            next,
        });
        self.assign(position, admission.role);
    }

    fn remove(&mut self, position: usize, crowd: &Crowd) {
        let position = self.assign(position, Role::Seed);
        let last = self.all.len() - 1;
        self.swap(position, last);
        self.unlink(last, crowd);
        self.all.pop();
    }

    /// Takes the last peer of the vector out of its network's chain.
    fn unlink(&mut self, last: usize, crowd: &Crowd) {
        let network = self.all[last].ip.network();
        let next = self.all[last].next;
        let gone = link(last);
        let head = self.networks.get(&network).copied();
        if head == gone {
            if let Some(next) = next {
                self.networks.insert(network, next);
            } else {
                self.networks.remove(&network);
                crowd.leave(network);
            }
            return;
        }
        let mut link = head;
        while let Some(position) = link.map(position) {
            link = self.all[position].next;
            if link == gone {
                self.all[position].next = next;
                return;
            }
        }
    }

    fn role(&self, position: usize) -> Role {
        if position < self.partial_from {
            Role::Downloader
        } else if position < self.seeds_from {
            Role::PartialSeed
        } else {
            Role::Seed
        }
    }

    /// Moves a peer into the segment of `role`; answers where it lies then.
    fn assign(&mut self, mut position: usize, role: Role) -> usize {
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
            self.swap(position, border);
            position = border;
        }
    }

    /// Swaps two peers, and turns the links to them round.
    fn swap(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        self.all.swap(a, b);
        let (network_a, network_b) = (self.all[a].ip.network(), self.all[b].ip.network());
        self.relink(network_a, a, b);
        if network_a != network_b {
            self.relink(network_b, a, b);
        }
    }

    /// Follows one chain after `a` and `b` were swapped.
    fn relink(&mut self, network: A::Network, a: usize, b: usize) {
        let (link_a, link_b) = (link(a), link(b));
        let turned = |old: Option<Link>| match old {
            old if old == link_a => link_b,
            old if old == link_b => link_a,
            old => old,
        };
        let Some(head) = self.networks.get_mut(&network) else {
            return;
        };
        let mut at = turned(Some(*head));
        if let Some(link) = at {
            *head = link;
        }
        while let Some(position) = at.map(position) {
            let member = &mut self.all[position];
            member.next = turned(member.next);
            at = member.next;
        }
    }
}

/// What there is of a network in a swarm.
#[derive(Default)]
struct Survey {
    /// Where the peer that was asked for lies; the other two are incomplete then.
    found: Option<usize>,
    peers: usize,
    oldest: Option<usize>,
}

/// The link to a position; none beyond four thousand million peers.
fn link(position: usize) -> Option<Link> {
    u32::try_from(position)
        .ok()
        .and_then(|position| position.checked_add(1))
        .and_then(Link::new)
}

fn position(link: Link) -> usize {
    usize::try_from(link.get() - 1).unwrap_or(usize::MAX)
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
    use std::collections::BTreeMap;

    use proptest::prelude::*;

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
        Expire(u32),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let role = proptest::sample::select(vec![Role::Downloader, Role::PartialSeed, Role::Seed]);
        let step = prop_oneof![
            8 => (0..6_u8, 1..6_u16, role).prop_map(|(ip, port, role)| Step::Admit(ip, port, role)),
            3 => (0..6_u8, 1..6_u16).prop_map(|(ip, port)| Step::Leave(ip, port)),
            1 => (0..30_u32).prop_map(Step::Expire),
        ];
        proptest::collection::vec(step, 0..200)
    }

    impl Members<Ipv4Addr> {
        fn check(&self, crowd: &Crowd) {
            assert!(self.partial_from <= self.seeds_from && self.seeds_from <= self.all.len());
            let mut chained = 0;
            for (network, head) in &self.networks {
                let mut at = Some(*head);
                while let Some(position) = at.map(position) {
                    assert_eq!(self.all[position].ip.network(), *network);
                    chained += 1;
                    at = self.all[position].next;
                }
                // Networks that share a counter are counted together.
                let sharing = self
                    .networks
                    .keys()
                    .filter(|other| crowd.share(**other, *network));
                assert_eq!(crowd.swarms(*network) as usize, sharing.count());
            }
            assert_eq!(chained, self.all.len());
        }

        fn listed(&self) -> BTreeMap<(u8, u16), &'static str> {
            let listed: BTreeMap<_, _> = (0..self.all.len())
                .map(|position| {
                    let member = &self.all[position];
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

    proptest! {
        /// Against a map that is obviously right, where no bound is reached.
        #[test]
        fn holds_whom_a_plain_map_would_hold(steps in steps()) {
            let limits = Limits { peers: 100, peers_per_network: 100, swarms_per_network: 10 };
            let (mut members, crowd) = (Members::default(), Crowd::default());
            let mut model: BTreeMap<(u8, u16), (&str, Uptime)> = BTreeMap::new();
            for (now, step) in (0..).zip(steps) {
                let now = Uptime(now);
                match step {
                    Step::Admit(ip, port, role) => {
                        let admitted = members.admit(Ipv4Addr::new(192, 0, 2, ip), &admission(port, role, now), &limits, &crowd);
                        let previous = model.insert((ip, port), (name(role), now));
                        prop_assert_eq!(admitted.unwrap().map(name), previous.map(|(role, _)| role));
                    }
                    Step::Leave(ip, port) => {
                        members.leave(Ipv4Addr::new(192, 0, 2, ip), NonZeroU16::new(port).unwrap(), &crowd);
                        model.remove(&(ip, port));
                    }
                    Step::Expire(age) => {
                        members.expire(now.before(age), &crowd);
                        model.retain(|_, (_, last_seen)| *last_seen >= now.before(age));
                    }
                }
                members.check(&crowd);
                let expected: BTreeMap<_, _> = model.iter().map(|(key, (role, _))| (*key, *role)).collect();
                prop_assert_eq!(members.listed(), expected);
            }
        }

        #[test]
        fn no_bound_is_ever_passed(steps in steps()) {
            let (mut members, crowd) = (Members::default(), Crowd::default());
            for (now, step) in (0..).zip(steps) {
                let now = Uptime(now);
                match step {
                    Step::Admit(ip, port, role) => {
                        let ip = Ipv4Addr::new(192, 0, 2, ip);
                        members.admit(ip, &admission(port, role, now), &LIMITS, &crowd).unwrap();
                        let found = members.survey(ip, NonZeroU16::new(port).unwrap()).found;
                        prop_assert_eq!(found.map(|position| members.role(position)), Some(role));
                    }
                    Step::Leave(ip, port) => {
                        members.leave(Ipv4Addr::new(192, 0, 2, ip), NonZeroU16::new(port).unwrap(), &crowd);
                    }
                    Step::Expire(age) => members.expire(now.before(age), &crowd),
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

    fn admission(port: u16, role: Role, now: Uptime) -> Admission {
        Admission {
            port: NonZeroU16::new(port).unwrap(),
            id: [1; 20].into(),
            role,
            now,
            has_completed: false,
        }
    }

    #[test]
    fn a_full_swarm_drops_those_that_were_silent_for_longest() {
        let (mut members, crowd) = (Members::default(), Crowd::default());
        let limits = Limits {
            peers: 32,
            ..LIMITS
        };
        for ip in 0..32 {
            let admission = admission(1, Role::Seed, Uptime(u32::from(ip)));
            members
                .admit(Ipv4Addr::new(192, 0, 2, ip), &admission, &limits, &crowd)
                .unwrap();
        }
        // The very first speaks up again.
        let late = admission(1, Role::Seed, Uptime(40));
        members
            .admit(Ipv4Addr::new(192, 0, 2, 0), &late, &limits, &crowd)
            .unwrap();
        members
            .admit(Ipv4Addr::new(192, 0, 2, 99), &late, &limits, &crowd)
            .unwrap();
        members.check(&crowd);
        let left: Vec<u8> = members.listed().keys().map(|(ip, _)| *ip).collect();
        let expected: Vec<u8> = [0].into_iter().chain(3..32).chain([99]).collect();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_network_displaces_only_its_own_oldest() {
        let (mut members, crowd) = (Members::default(), Crowd::default());
        let [ours, other] = [7, 8].map(|last| Ipv4Addr::new(192, 0, 2, last));
        members
            .admit(other, &admission(1, Role::Seed, Uptime(0)), &LIMITS, &crowd)
            .unwrap();
        for port in 1..=100 {
            let admission = admission(port, Role::Downloader, Uptime(port.into()));
            members.admit(ours, &admission, &LIMITS, &crowd).unwrap();
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
            members
                .admit(
                    Ipv4Addr::from(ip),
                    &admission(1, Role::Seed, Uptime(0)),
                    &limits,
                    &crowd,
                )
                .unwrap();
        }
        members.expire(Uptime(1), &crowd);
        assert_eq!(
            (members.all.capacity(), members.networks.capacity()),
            (0, 0)
        );
    }
}

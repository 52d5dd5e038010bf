//! Whom a seed introduces to whom: the peers of one torrent that listen, told to those who want to know (BEP 11).
//!
//! A journal of who came and who went is kept once for all, and each peer's place in it, so that a crowd costs what it is and not its
//! square. A newcomer hears of some peers drawn by lot, and from then on what is new, at most once a minute. The journal is
//! bounded: whoever would read slower than it is written misses the oldest news.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::seq::IteratorRandom;

use super::choker::PeerKey;
use super::swarm::is_public;
use crate::proto::wire::peer_exchange::{Contact, MAX_CONTACTS, PeerExchange, PeerFlags};

/// BEP 11: no more than one message a minute.
const PAUSE: Duration = Duration::from_mins(1);

/// Comings and goings that are kept.
const MAX_NEWS: usize = 1_000;

/// Ports below this are of services that no peer would be.
pub const FIRST_PEER_PORT: u16 = 1_024;

/// The peers of one torrent, as far as they may be introduced or want to be told.
#[derive(Debug, Default)]
pub struct Introductions {
    members: BTreeMap<PeerKey, Member>,
    journal: VecDeque<News>,
    /// The number of the journal's first news; each one has the number after the one before.
    first: u64,
}

#[derive(Debug)]
struct Member {
    /// Where it is, as its connection shows.
    ip: IpAddr,
    listens: Option<Listening>,
    wants: Wants,
}

/// Where a peer takes connections, at its own address.
#[derive(Clone, Copy, Debug)]
struct Listening {
    port: u16,
    flags: PeerFlags,
    /// The number of the news that it came.
    came: u64,
}

impl Member {
    fn contact(&self) -> Option<Contact> {
        self.listens.map(|Listening { port, flags, .. }| Contact {
            address: SocketAddr::new(self.ip, port),
            flags,
        })
    }
}

#[derive(Clone, Copy, Debug)]
enum Wants {
    Nothing,
    /// To be introduced to those who are there.
    Introduction,
    /// To be told what happened from this number on, but not too soon after it was told something.
    News {
        from: u64,
        told_at: Option<Instant>,
    },
}

#[derive(Clone, Copy, Debug)]
enum News {
    Came(PeerKey),
    /// Somebody went who had come with the news of this number.
    Went {
        address: SocketAddr,
        came: u64,
    },
}

impl Introductions {
    /// A peer has connected from `ip`. It is told of nobody, and nobody of it, until it says more.
    pub fn add(&mut self, peer: PeerKey, ip: IpAddr) {
        let member = Member {
            ip: ip.to_canonical(),
            listens: None,
            wants: Wants::Nothing,
        };
        self.members.insert(peer, member);
    }

    /// A peer has gone.
    pub fn remove(&mut self, peer: PeerKey) {
        self.withdraw(peer);
        self.members.remove(&peer);
    }

    /// A peer says that it takes connections at `port`, with these flags.
    pub fn listens(&mut self, peer: PeerKey, port: u16, flags: PeerFlags) {
        let came = self.end();
        let Some(member) = self.members.get_mut(&peer) else {
            return;
        };
        let is_known = |known: Listening| (known.port, known.flags) == (port, flags);
        if port < FIRST_PEER_PORT || member.listens.is_some_and(is_known) {
            return;
        }
        if member.listens.is_none() {
            member.listens = Some(Listening { port, flags, came });
            self.note(News::Came(peer));
            return;
        }
        self.withdraw(peer);
        self.listens(peer, port, flags);
    }

    /// A peer wants to be told, or no longer.
    pub fn set_wanted(&mut self, peer: PeerKey, is_wanted: bool) {
        if let Some(member) = self.members.get_mut(&peer) {
            member.wants = match (member.wants, is_wanted) {
                (_, false) => Wants::Nothing,
                (Wants::Nothing, true) => Wants::Introduction,
                (wants, true) => wants,
            };
        }
    }

    /// The peers that may be told something now, and for whom there is news.
    pub fn due(&self, now: Instant) -> Vec<PeerKey> {
        let due = self
            .members
            .iter()
            .filter(|(_, member)| match member.wants {
                Wants::Nothing => false,
                Wants::Introduction => true,
                Wants::News { from, told_at } => from < self.end() && is_rested(told_at, now),
            });
        due.map(|(peer, _)| *peer).collect()
    }

    /// What a peer is told now; `None` where it is not its time, or there is nothing to tell.
    pub fn tell(
        &mut self,
        peer: PeerKey,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<PeerExchange> {
        let member = self.members.get(&peer)?;
        let (told, from) = match member.wants {
            Wants::Nothing => return None,
            Wants::Introduction => (self.introduction(peer, rng), self.end()),
            Wants::News { told_at, .. } if !is_rested(told_at, now) => return None,
            Wants::News { from, .. } => self.news(peer, from),
        };
        let is_something = !(told.added.is_empty() && told.dropped.is_empty());
        let member = self.members.get_mut(&peer)?;
        let told_at = match member.wants {
            _ if is_something => Some(now),
            Wants::News { told_at, .. } => told_at,
            Wants::Nothing | Wants::Introduction => None,
        };
        member.wants = Wants::News { from, told_at };
        is_something.then_some(told)
    }

    fn introduction(&self, to: PeerKey, rng: &mut impl Rng) -> PeerExchange {
        let contacts = self
            .members
            .keys()
            .filter_map(|of| self.contact_for(to, *of));
        PeerExchange {
            added: contacts.sample(rng, MAX_CONTACTS),
            dropped: Vec::new(),
        }
    }

    /// What has happened since, and the number to go on from.
    fn news(&self, to: PeerKey, from: u64) -> (PeerExchange, u64) {
        let from = from.max(self.first);
        let mut told = PeerExchange::default();
        let passed = usize::try_from(from - self.first).unwrap_or(usize::MAX);
        let mut next = from;
        for (number, news) in (from..).zip(self.journal.iter().skip(passed)) {
            if told.added.len() >= MAX_CONTACTS || told.dropped.len() >= MAX_CONTACTS {
                break;
            }
            next = number + 1;
            match *news {
                // Somebody who came and went meanwhile is not spoken of.
                News::Came(peer) => {
                    let member = self.members.get(&peer);
                    let is_latest = member
                        .and_then(|member| member.listens)
                        .is_some_and(|listens| listens.came == number);
                    told.added
                        .extend(self.contact_for(to, peer).filter(|_| is_latest));
                }
                News::Went { address, came } if came < from => {
                    told.dropped.push(address);
                }
                News::Went { .. } => {}
            }
        }
        (told, next)
    }

    /// Where a peer listens, if another can make use of it.
    fn contact_for(&self, to: PeerKey, of: PeerKey) -> Option<Contact> {
        let (to_member, of_member) = (self.members.get(&to)?, self.members.get(&of)?);
        let contact = of_member.contact()?;
        let own = to_member.contact().map(|own| own.address);
        let is_reachable = is_public(of_member.ip) || !is_public(to_member.ip);
        (to != of && own != Some(contact.address) && is_reachable).then_some(contact)
    }

    /// Takes back that a peer listens.
    fn withdraw(&mut self, peer: PeerKey) {
        let Some(member) = self.members.get_mut(&peer) else {
            return;
        };
        if let Some(Listening { port, came, .. }) = member.listens.take() {
            let address = SocketAddr::new(member.ip, port);
            self.note(News::Went { address, came });
        }
    }

    fn note(&mut self, news: News) {
        if self.journal.len() >= MAX_NEWS {
            self.journal.pop_front();
            self.first += 1;
        }
        self.journal.push_back(news);
    }

    /// The number that the next news will have.
    fn end(&self) -> u64 {
        self.first + self.journal.len() as u64
    }
}

fn is_rested(told_at: Option<Instant>, now: Instant) -> bool {
    told_at.is_none_or(|told_at| now.saturating_duration_since(told_at) >= PAUSE)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::ambient;

    const PORT: u16 = 6881;

    /// Peers of one torrent, told with a made-up clock.
    struct Crowd {
        introductions: Introductions,
        now: Instant,
        rng: StdRng,
    }

    impl Crowd {
        fn of(peers: u64) -> Self {
            let mut crowd = Self {
                introductions: Introductions::default(),
                now: ambient::now(),
                rng: StdRng::seed_from_u64(3),
            };
            for peer in 0..peers {
                crowd.come(peer);
            }
            crowd
        }

        fn come(&mut self, peer: u64) {
            let low = u8::try_from(peer % 250).unwrap();
            let high = u8::try_from(peer / 250).unwrap();
            self.come_from(peer, [198, 51, high, low].into());
            self.introductions.set_wanted(PeerKey(peer), true);
        }

        fn come_from(&mut self, peer: u64, ip: IpAddr) {
            self.introductions.add(PeerKey(peer), ip);
            self.introductions
                .listens(PeerKey(peer), PORT, PeerFlags::default());
        }

        fn told(&mut self, peer: u64) -> Option<(Vec<IpAddr>, Vec<IpAddr>)> {
            let told = self
                .introductions
                .tell(PeerKey(peer), self.now, &mut self.rng)?;
            Some((
                told.added.iter().map(|it| it.address.ip()).collect(),
                told.dropped.iter().map(SocketAddr::ip).collect(),
            ))
        }

        fn minute(&mut self) {
            self.now += PAUSE;
        }
    }

    fn ip(low: u8) -> IpAddr {
        IpAddr::from([198, 51, 0, low])
    }

    #[test]
    fn a_newcomer_hears_of_the_others_and_they_of_it() {
        let mut crowd = Crowd::of(1);
        assert_eq!(crowd.told(0), None, "nobody but itself");
        crowd.come(1);
        assert_eq!(crowd.told(1), Some((vec![ip(0)], vec![])));
        assert_eq!(crowd.introductions.due(crowd.now), [PeerKey(0)]);
        assert_eq!(crowd.told(0), Some((vec![ip(1)], vec![])));
    }

    #[test]
    fn news_come_once_a_minute_and_once() {
        let mut crowd = Crowd::of(2);
        assert!(crowd.told(0).is_some());
        crowd.come(2);
        assert_eq!(crowd.told(0), None);
        assert!(!crowd.introductions.due(crowd.now).contains(&PeerKey(0)));
        crowd.minute();
        assert_eq!(crowd.told(0), Some((vec![ip(2)], vec![])));
        crowd.minute();
        assert_eq!(crowd.told(0), None);
        crowd.introductions.remove(PeerKey(2));
        assert_eq!(crowd.told(0), Some((vec![], vec![ip(2)])));
    }

    #[test]
    fn who_came_and_went_meanwhile_is_not_spoken_of() {
        let mut crowd = Crowd::of(2);
        crowd.told(0);
        crowd.come(2);
        crowd.introductions.remove(PeerKey(2));
        crowd.minute();
        assert_eq!(crowd.told(0), None);
    }

    #[test]
    fn who_moves_to_another_port_is_dropped_there_and_added_here() {
        let mut crowd = Crowd::of(2);
        crowd.told(0);
        crowd
            .introductions
            .listens(PeerKey(1), 7000, PeerFlags::default());
        crowd.minute();
        let told = crowd
            .introductions
            .tell(PeerKey(0), crowd.now, &mut crowd.rng)
            .unwrap();
        assert_eq!(told.added[0].address.port(), 7000);
        assert_eq!(told.dropped[0].port(), PORT);
    }

    #[test]
    fn only_those_who_listen_are_told_of_and_only_those_who_want_are_told() {
        let mut crowd = Crowd::of(1);
        crowd.introductions.add(PeerKey(1), ip(1));
        crowd
            .introductions
            .listens(PeerKey(1), 22, PeerFlags::default());
        assert_eq!(crowd.told(0), None);
        assert_eq!(crowd.told(1), None);
        crowd.introductions.set_wanted(PeerKey(1), true);
        assert_eq!(crowd.told(1), Some((vec![ip(0)], vec![])));
    }

    #[test]
    fn peers_of_a_private_network_are_told_to_each_other_alone() {
        let mut crowd = Crowd::of(1);
        let inside: IpAddr = [192, 168, 1, 2].into();
        crowd.come_from(1, inside);
        crowd.come_from(2, [192, 168, 1, 3].into());
        crowd.introductions.set_wanted(PeerKey(2), true);
        assert_eq!(crowd.told(0), None);
        let (mut told, _) = crowd.told(2).unwrap();
        told.sort();
        assert_eq!(told, [inside, ip(0)]);
    }

    #[test]
    fn a_crowd_is_told_in_parts_of_fifty() {
        let mut crowd = Crowd::of(300);
        let (told, _) = crowd.told(7).unwrap();
        assert_eq!(told.len(), MAX_CONTACTS);
        let mut heard = 0;
        for peer in 300..420 {
            crowd.come(peer);
        }
        for _ in 0..10 {
            crowd.minute();
            heard += crowd.told(7).map_or(0, |(added, _)| {
                assert!(added.len() <= MAX_CONTACTS);
                added.len()
            });
        }
        assert_eq!(heard, 120);
    }

    #[test]
    fn the_journal_is_bounded() {
        let mut crowd = Crowd::of(2);
        crowd.told(0);
        for peer in 2..5_000 {
            crowd.come(peer);
            crowd.introductions.remove(PeerKey(peer));
        }
        assert_eq!(crowd.introductions.journal.len(), MAX_NEWS);
        crowd.come(5_001);
        crowd.minute();
        let mut heard = Vec::new();
        for _ in 0..100 {
            crowd.minute();
            heard.extend(crowd.told(0).unwrap_or_default().0);
        }
        assert_eq!(heard.len(), 1, "the one that is still there");
    }
}

//! The peers of one torrent that have no address: they meet by offers and answers that the tracker passes on (WebTorrent).
//!
//! A peer is known by its id, and `C` is how it is contacted. Who is introduced to whom: nobody to themselves, those
//! who want nothing (seeds and partial seeds) only to those who want something, and nobody to one whose offer they may
//! still be answering. Of two offers that cross, WebTorrent peers drop one each, and not always the same.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use rand::Rng;
use rand::seq::index;

use super::swarm::Progress;
use crate::proto::id::PeerId;
use crate::proto::tracker::announce::{AnnounceRequest, Event, ScrapeCounts};

/// How long a peer may take to answer an offer: WebTorrent withdraws its own after 50 seconds.
const ANSWER_TIME: Duration = Duration::from_secs(50);
/// Those who offered something to one peer lately, at most; the oldest are forgotten.
const OFFERERS: usize = 16;

/// The peers of one torrent.
#[derive(Debug)]
pub struct Room<C> {
    /// Those who want nothing stand behind those who want something.
    guests: Vec<Guest<C>>,
    places: HashMap<PeerId, usize>,
    downloaders: usize,
    seeds: usize,
}

#[derive(Debug)]
struct Guest<C> {
    id: PeerId,
    contact: C,
    role: Role,
    /// Bytes that it lacks, where it knows.
    left: Option<u64>,
    has_completed: bool,
    /// Whose offers it got, and when.
    offerers: VecDeque<(PeerId, Instant)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Seed,
    PartialSeed,
    Downloader,
}

impl Role {
    fn of(request: &AnnounceRequest) -> Self {
        if request.is_complete() {
            Self::Seed
        } else if request.event == Event::Paused {
            Self::PartialSeed
        } else {
            Self::Downloader
        }
    }
}

impl<C> Guest<C> {
    fn was_offered(&mut self, by: PeerId, now: Instant) {
        self.offerers.retain(|(offerer, _)| *offerer != by);
        if self.offerers.len() >= OFFERERS {
            self.offerers.pop_front();
        }
        self.offerers.push_back((by, now));
    }
}

impl<C> Default for Room<C> {
    fn default() -> Self {
        Self {
            guests: Vec::new(),
            places: HashMap::new(),
            downloaders: 0,
            seeds: 0,
        }
    }
}

impl<C: Clone> Room<C> {
    /// Takes in what a peer says of itself and of a torrent of `length` bytes.
    pub fn enter(&mut self, request: &AnnounceRequest, length: u64, contact: C) -> Progress {
        let role = Role::of(request);
        let previous = self.leave(request.peer_id);
        let is_completed = request.event == Event::Completed && role == Role::Seed;
        let was_counted = previous
            .as_ref()
            .is_some_and(|it| it.has_completed || it.role == Role::Seed);
        let left = request.left.map(|left| left.min(length));
        let (left_before, has_completed, offerers) = previous
            .map(|it| (it.left, it.has_completed, it.offerers))
            .unwrap_or_default();
        self.push(Guest {
            id: request.peer_id,
            contact,
            role,
            left,
            has_completed: is_completed || has_completed,
            offerers,
        });
        Progress {
            is_finished: is_completed && !was_counted,
            delivered: (left_before.zip(left))
                .map_or(0, |(before, now)| before.saturating_sub(now)),
        }
    }

    /// Forgets a peer, if it is here.
    pub fn dismiss(&mut self, id: PeerId) {
        let _ = self.leave(id);
    }

    /// How a peer is contacted.
    pub fn contact(&self, id: PeerId) -> Option<&C> {
        let place = self.places.get(&id)?;
        self.guests.get(*place).map(|guest| &guest.contact)
    }

    /// Introduces the peer that announces to up to `wanted` others, chosen at random; answers their contacts.
    pub fn introduce(
        &mut self,
        request: &AnnounceRequest,
        wanted: usize,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Vec<C> {
        let candidates = if request.wants_nothing() {
            self.downloaders
        } else {
            self.guests.len()
        };
        let excluded = self.not_to_meet(request.peer_id, now);
        let amount = wanted.saturating_add(excluded.len()).min(candidates);
        let chosen = index::sample(rng, candidates, amount).into_iter();
        let chosen = chosen.filter(|place| !excluded.contains(place));
        let mut contacts = Vec::new();
        for place in chosen.take(wanted) {
            if let Some(guest) = self.guests.get_mut(place) {
                guest.was_offered(request.peer_id, now);
                contacts.push(guest.contact.clone());
            }
        }
        contacts
    }

    /// The places of a peer itself, and of those whose offers it may still be answering.
    fn not_to_meet(&self, id: PeerId, now: Instant) -> Vec<usize> {
        let own = self.places.get(&id).copied();
        let guest = own.and_then(|place| self.guests.get(place));
        let offerers = guest.into_iter().flat_map(|guest| &guest.offerers);
        let waiting = offerers.filter(|(_, at)| now.saturating_duration_since(*at) < ANSWER_TIME);
        let waiting = waiting.filter_map(|(offerer, _)| self.places.get(offerer).copied());
        own.into_iter().chain(waiting).collect()
    }

    /// The peers in numbers; `downloaded` is not its business and zero.
    pub fn counts(&self) -> ScrapeCounts {
        let saturate = |count| u32::try_from(count).unwrap_or(u32::MAX);
        ScrapeCounts {
            complete: saturate(self.seeds),
            incomplete: saturate(self.guests.len() - self.seeds),
            downloaded: 0,
            downloaders: Some(saturate(self.downloaders)),
        }
    }

    /// Whether a peer that is here has said that its download finished.
    pub fn has_completed(&self, id: PeerId) -> bool {
        let guest = self
            .places
            .get(&id)
            .and_then(|place| self.guests.get(*place));
        guest.is_some_and(|guest| guest.has_completed)
    }

    /// How many peers are here.
    pub fn len(&self) -> usize {
        self.guests.len()
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.guests.is_empty()
    }

    fn push(&mut self, guest: Guest<C>) {
        let (id, role) = (guest.id, guest.role);
        let last = self.guests.len();
        self.guests.push(guest);
        self.places.insert(id, last);
        match role {
            Role::Seed => self.seeds += 1,
            Role::PartialSeed => {}
            Role::Downloader => {
                self.swap(last, self.downloaders);
                self.downloaders += 1;
            }
        }
    }

    fn leave(&mut self, id: PeerId) -> Option<Guest<C>> {
        let mut place = self.places.remove(&id)?;
        match self.guests.get(place)?.role {
            Role::Seed => self.seeds -= 1,
            Role::PartialSeed => {}
            Role::Downloader => {
                self.downloaders -= 1;
                self.swap(place, self.downloaders);
                place = self.downloaders;
            }
        }
        self.swap(place, self.guests.len() - 1);
        self.guests.pop()
    }

    /// Lets two guests change places.
    fn swap(&mut self, one: usize, other: usize) {
        self.guests.swap(one, other);
        for place in [one, other] {
            let here = self.guests.get(place);
            if let Some(kept) = here.and_then(|guest| self.places.get_mut(&guest.id)) {
                *kept = place;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};
    use std::num::NonZeroU16;

    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::ambient;

    const LENGTH: u64 = 1_000;

    fn request(n: u8, left: u64, event: Event) -> AnnounceRequest {
        AnnounceRequest {
            info_hash: [7; 20].into(),
            peer_id: [n; 20].into(),
            port: NonZeroU16::MIN,
            uploaded: 0,
            downloaded: 0,
            left: Some(left),
            event,
            numwant: None,
            key: None,
        }
    }

    fn room(guests: &[(u8, u64, Event)]) -> Room<u8> {
        let mut room = Room::default();
        for (n, left, event) in guests {
            room.enter(&request(*n, *left, *event), LENGTH, *n);
        }
        room
    }

    fn introduced(room: &mut Room<u8>, request: &AnnounceRequest, wanted: usize) -> Vec<u8> {
        introduced_at(room, request, wanted, ambient::now())
    }

    fn introduced_at(
        room: &mut Room<u8>,
        request: &AnnounceRequest,
        wanted: usize,
        now: Instant,
    ) -> Vec<u8> {
        let rng = &mut StdRng::seed_from_u64(1);
        let mut chosen = room.introduce(request, wanted, now, rng);
        chosen.sort_unstable();
        chosen
    }

    #[test]
    fn seeds_meet_those_alone_who_want_something() {
        let guests = [
            (1, 0, Event::None),
            (2, 0, Event::None),
            (3, 5, Event::None),
            (4, 5, Event::Paused),
        ];
        let meets = |n, left, event, wanted| {
            introduced(&mut room(&guests), &request(n, left, event), wanted)
        };
        assert_eq!(meets(1, 0, Event::None, 9), [3]);
        assert_eq!(meets(4, 5, Event::Paused, 9), [3]);
        assert_eq!(meets(3, 5, Event::None, 9), [1, 2, 4]);
        assert_eq!(meets(9, 5, Event::None, 9), [1, 2, 3, 4]);
        assert_eq!(meets(3, 5, Event::None, 2).len(), 2);
        let room = room(&guests);
        let counts = room.counts();
        let numbers = (counts.complete, counts.incomplete, counts.downloaders);
        assert_eq!(numbers, (2, 2, Some(1)));
    }

    /// A seed whose own offers take longer to make than a downloader needs to come: both would offer, and both give up.
    #[test]
    fn offers_do_not_cross() {
        let mut room = room(&[(1, 0, Event::Completed), (2, 5, Event::None)]);
        let (seed, downloader) = (request(1, 0, Event::None), request(2, 5, Event::None));
        let start = ambient::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(introduced_at(&mut room, &downloader, 5, after(0)), [1]);
        room.enter(&seed, LENGTH, 1);
        assert!(introduced_at(&mut room, &seed, 5, after(49)).is_empty());
        assert_eq!(introduced_at(&mut room, &downloader, 5, after(49)), [1]);
        assert!(introduced_at(&mut room, &seed, 5, after(98)).is_empty());
        assert_eq!(introduced_at(&mut room, &seed, 5, after(99)), [2]);
        assert!(introduced_at(&mut room, &downloader, 5, after(100)).is_empty());
        room.enter(&request(3, 5, Event::None), LENGTH, 3);
        assert_eq!(introduced_at(&mut room, &downloader, 1, after(100)), [3]);
    }

    #[test]
    fn a_peer_remembers_a_few_offers_only() {
        let guests: Vec<_> = (0..100).map(|n| (n, 5, Event::None)).collect();
        let mut room = room(&guests);
        for n in 1..100 {
            introduced(&mut room, &request(n, 5, Event::None), 99);
        }
        assert!(room.guests.iter().all(|it| it.offerers.len() <= OFFERERS));
    }

    fn finishes(room: &mut Room<u8>, request: &AnnounceRequest) -> bool {
        room.enter(request, LENGTH, 0).is_finished
    }

    #[test]
    fn what_came_to_a_peer_is_the_decrease_of_what_it_lacks() {
        let mut room = Room::default();
        let mut delivered = |n, left| {
            let said = AnnounceRequest {
                left,
                ..request(n, 0, Event::None)
            };
            room.enter(&said, LENGTH, n).delivered
        };
        assert_eq!(delivered(1, Some(u64::MAX)), 0, "made up");
        assert_eq!(delivered(1, Some(600)), 400);
        assert_eq!(delivered(2, Some(100)), 0, "another peer");
        assert_eq!(delivered(1, Some(700)), 0, "it lost some");
        assert_eq!(delivered(1, Some(0)), 700);
        assert_eq!((delivered(1, None), delivered(1, Some(0))), (0, 0));
    }

    #[test]
    fn a_download_is_counted_once() {
        let mut room = room(&[(1, 5, Event::Started), (2, 0, Event::Started)]);
        let completed = |n| request(n, 0, Event::Completed);
        assert!(finishes(&mut room, &completed(1)));
        assert!(!finishes(&mut room, &completed(1)), "sent again");
        room.enter(&request(1, 5, Event::None), LENGTH, 1);
        assert!(
            !finishes(&mut room, &completed(1)),
            "after a check of the files"
        );
        assert!(!finishes(&mut room, &completed(2)), "it was a seed");
        assert!(
            !finishes(&mut room, &request(3, 5, Event::Completed)),
            "it lacks something"
        );
        assert!(
            finishes(&mut room, &completed(4)),
            "it came too late to be known"
        );
        assert!(room.has_completed([4; 20].into()) && !room.has_completed([3; 20].into()));
    }

    /// Three of thirty, 10,000 times: everybody is drawn 1,000 times give or take chance.
    #[test]
    fn everybody_is_chosen_equally_often() {
        let guests: Vec<_> = (0..31)
            .map(|n| (n, u64::from(n % 2), Event::None))
            .collect();
        let mut room = room(&guests);
        let (now, mut drawn) = (ambient::now(), BTreeMap::new());
        for seed in 0..10_000 {
            let mut rng = StdRng::seed_from_u64(seed);
            let chosen = room.introduce(&request(17, 5, Event::None), 3, now, &mut rng);
            assert_eq!(chosen.iter().collect::<HashSet<_>>().len(), 3);
            for contact in chosen {
                *drawn.entry(contact).or_insert(0_u32) += 1;
            }
        }
        assert_eq!(drawn.len(), 30);
        assert!(!drawn.contains_key(&17));
        for (contact, times) in drawn {
            assert!((820..=1_180).contains(&times), "{contact}: {times}");
        }
    }

    proptest! {
        #[test]
        fn guests_are_where_the_book_says(steps in prop::collection::vec((0..12_u8, 0..4_u8), 0..200)) {
            let mut room = Room::default();
            let mut here: BTreeMap<u8, Role> = BTreeMap::new();
            for (n, what) in steps {
                let said = match what {
                    0 => request(n, 0, Event::None),
                    1 => request(n, 5, Event::None),
                    2 => request(n, 5, Event::Paused),
                    _ => {
                        room.dismiss([n; 20].into());
                        here.remove(&n);
                        continue;
                    }
                };
                here.insert(n, Role::of(&said));
                room.enter(&said, LENGTH, n);
            }
            prop_assert_eq!(room.len(), here.len());
            for n in here.keys() {
                prop_assert_eq!(room.contact([*n; 20].into()), Some(n));
            }
            let of = |role| here.values().filter(|it| **it == role).count();
            prop_assert_eq!((room.seeds, room.downloaders), (of(Role::Seed), of(Role::Downloader)));
            let (downloaders, rest) = room.guests.split_at(room.downloaders);
            prop_assert!(downloaders.iter().all(|it| it.role == Role::Downloader));
            prop_assert!(rest.iter().all(|it| it.role != Role::Downloader));
        }
    }
}

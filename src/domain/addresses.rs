//! Whom to connect to next: the addresses that trackers and people have named, and what came of them.
//!
//! The book is bounded. An address that came to nothing waits twice as long each time; one that sent false data is never called again.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::choker::PeerKey;

/// How long an address waits after it failed for the first time.
const FIRST_WAIT: Duration = Duration::from_secs(10);

/// How often the wait doubles, at most: 10 s · 2⁷ is 21 minutes.
const DOUBLINGS: u32 = 7;

/// The bounded book of addresses. Each keeps its [`PeerKey`] for as long as it stands in the book.
#[derive(Debug)]
pub struct Addresses {
    most: usize,
    next_key: u64,
    entries: BTreeMap<PeerKey, Entry>,
    keys: HashMap<SocketAddr, PeerKey>,
}

#[derive(Debug)]
struct Entry {
    address: SocketAddr,
    state: State,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Called,
    Waits(Instant),
    Banned,
}

/// What came of calling an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It gave something.
    Useful,
    /// It gave nothing, or was not there.
    Useless,
    /// It sent false data, or is this program itself.
    Banned,
}

impl Addresses {
    /// A book of at most `most` addresses.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            next_key: 0,
            entries: BTreeMap::new(),
            keys: HashMap::new(),
        }
    }

    /// Writes an address down, to be called at once. False where it is known, can be nobody's, or the book is full of better ones.
    pub fn add(&mut self, address: SocketAddr, now: Instant) -> bool {
        let ip = address.ip().to_canonical();
        let address = SocketAddr::new(ip, address.port());
        if address.port() == 0 || ip.is_unspecified() || ip.is_multicast() {
            return false;
        }
        if self.keys.contains_key(&address) || !self.make_room() {
            return false;
        }
        let key = PeerKey(self.next_key);
        self.next_key += 1;
        self.keys.insert(address, key);
        self.entries.insert(
            key,
            Entry {
                address,
                state: State::Waits(now),
                failures: 0,
            },
        );
        true
    }

    /// The address to call now, if one is due: of those that failed least, the one that has been due longest.
    pub fn call(&mut self, now: Instant) -> Option<(PeerKey, SocketAddr)> {
        let due = |entry: &Entry| match entry.state {
            State::Waits(until) if until <= now => Some((entry.failures, until)),
            _ => None,
        };
        let (_, key) = self
            .entries
            .iter()
            .filter_map(|(key, entry)| due(entry).map(|rank| (rank, *key)))
            .min()?;
        let entry = self.entries.get_mut(&key)?;
        entry.state = State::Called;
        Some((key, entry.address))
    }

    /// Notes what came of a call.
    pub fn hung_up(&mut self, key: PeerKey, outcome: Outcome, now: Instant) {
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        // A ban that came while the call went on stands.
        if entry.state == State::Banned || outcome == Outcome::Banned {
            entry.state = State::Banned;
            return;
        }
        entry.failures = match outcome {
            Outcome::Useful => 0,
            _ => entry.failures.saturating_add(1),
        };
        let doublings = entry.failures.saturating_sub(1).min(DOUBLINGS);
        entry.state = State::Waits(now + FIRST_WAIT * 2_u32.pow(doublings));
    }

    /// Never calls this address again.
    pub fn ban(&mut self, key: PeerKey) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.state = State::Banned;
        }
    }

    /// When the next address is due; `None` where all are called or banned.
    pub fn next_due(&self) -> Option<Instant> {
        self.entries
            .values()
            .filter_map(|entry| match entry.state {
                State::Waits(until) => Some(until),
                State::Called | State::Banned => None,
            })
            .min()
    }

    /// How many addresses are in the book, banned ones left out.
    pub fn len(&self) -> usize {
        self.entries
            .values()
            .filter(|entry| entry.state != State::Banned)
            .count()
    }

    /// Whether there is nobody to call, now or later.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In a full book the address that failed most often makes room, if any failed.
    fn make_room(&mut self) -> bool {
        if self.entries.len() < self.most {
            return true;
        }
        let worst = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.state, State::Waits(_)) && entry.failures > 0)
            .max_by_key(|(_, entry)| entry.failures)
            .map(|(key, entry)| (*key, entry.address));
        let Some((key, address)) = worst else {
            return false;
        };
        self.entries.remove(&key);
        self.keys.remove(&address);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn each_address_is_called_once_at_a_time() {
        let now = ambient::now();
        let mut book = Addresses::new(10);
        assert!(book.add(address(1), now));
        assert!(!book.add(address(1), now));
        assert!(book.call(now).is_some());
        assert_eq!(book.call(now), None);
        assert_eq!(book.next_due(), None);
    }

    #[test]
    fn a_mapped_address_is_the_same_as_its_plain_form() {
        let now = ambient::now();
        let mut book = Addresses::new(10);
        assert!(book.add("[::ffff:127.0.0.1]:7".parse().unwrap(), now));
        assert!(!book.add(address(7), now));
    }

    #[test]
    fn refuses_addresses_that_can_be_nobody() {
        let now = ambient::now();
        let mut book = Addresses::new(10);
        for nobody in [
            "127.0.0.1:0",
            "0.0.0.0:1",
            "[::]:1",
            "224.0.0.1:1",
            "[ff02::1]:1",
        ] {
            assert!(!book.add(nobody.parse().unwrap(), now), "{nobody}");
        }
    }

    #[test]
    fn waits_twice_as_long_after_each_failure_and_starts_over_after_success() {
        let mut now = ambient::now();
        let mut book = Addresses::new(10);
        book.add(address(1), now);
        for wait in [10, 20, 40, 80, 160, 320, 640, 1280, 1280] {
            let (key, _) = book.call(now).unwrap();
            book.hung_up(key, Outcome::Useless, now);
            assert_eq!(book.next_due(), Some(now + Duration::from_secs(wait)));
            assert_eq!(book.call(now), None);
            now += Duration::from_secs(wait);
        }
        let (key, _) = book.call(now).unwrap();
        book.hung_up(key, Outcome::Useful, now);
        assert_eq!(book.next_due(), Some(now + FIRST_WAIT));
    }

    #[test]
    fn a_ban_stands() {
        let now = ambient::now();
        let mut book = Addresses::new(10);
        book.add(address(1), now);
        let (key, _) = book.call(now).unwrap();
        book.ban(key);
        book.hung_up(key, Outcome::Useful, now);
        assert!(book.is_empty() && !book.add(address(1), now));
        assert_eq!(book.call(now + Duration::from_hours(24)), None);
    }

    #[test]
    fn a_full_book_lets_go_of_who_failed_and_of_nobody_else() {
        let now = ambient::now();
        let mut book = Addresses::new(2);
        book.add(address(1), now);
        book.add(address(2), now);
        assert!(!book.add(address(3), now));
        let (key, _) = book.call(now).unwrap();
        book.hung_up(key, Outcome::Useless, now);
        assert!(book.add(address(3), now));
        assert_eq!(book.len(), 2);
    }
}

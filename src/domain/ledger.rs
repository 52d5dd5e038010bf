//! The room on the disk that is kept for drafts: what each was promised, and when it expires.
//!
//! Expiry counts on the monotonic clock: a wall clock that jumps throws nobody out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::draft::Draft;
use super::networks::household;
use super::publication::PublicationId;

/// Why a draft is not begun. Each message says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// As many drafts as one account may have, or without an account one address.
    #[error("{limit} uploads of yours are unfinished; finish one, or delete it")]
    TooMany {
        /// `publish.max_drafts`.
        limit: usize,
    },
    /// As many drafts as may be there without an account.
    #[error("{limit} uploads without an account are unfinished; log in, or try again later")]
    TooManyStrangers {
        /// `publish.max_anonymous_drafts`.
        limit: usize,
    },
    /// What is free is promised to others, or too little.
    #[error("there is room for {room} bytes, and this needs {needed}; {}", .bound.advice())]
    NoRoom {
        /// Bytes that can still be promised.
        room: u64,
        /// Bytes of the draft.
        needed: u64,
        /// What leaves so little.
        bound: Bound,
    },
}

/// What bounds the room for a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The disk, less what is promised.
    Disk,
    /// The share of one account.
    Account,
    /// The share of all drafts without an account.
    Strangers,
    /// The share of one address among them.
    Address,
}

impl Bound {
    /// What somebody can do who finds too little room.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Disk => "publish less, or ask the administrator for space",
            Self::Account => {
                "your unfinished uploads are promised the rest of an account's share: finish or delete one of them, or publish less"
            }
            Self::Strangers => {
                "unfinished uploads without an account are promised the rest of their share: log in, publish less, or try again later"
            }
            Self::Address => {
                "without an account one address is promised no more: finish or delete what you began, log in, or publish less"
            }
        }
    }
}

/// Who makes a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maker {
    /// An account, by name.
    Account(String),
    /// Somebody without an account, on this network; after a restart nobody knows on which.
    Stranger(Option<IpAddr>),
}

impl Maker {
    /// The account or, without one, whoever asks from this address.
    pub fn new(account: Option<&Account>, from: Option<IpAddr>) -> Self {
        let stranger = || Self::Stranger(from.map(household));
        account.map_or_else(stranger, |account| Self::Account(account.name.clone()))
    }

    /// The maker of a draft that was kept.
    fn of_kept(publisher: &str) -> Self {
        match publisher {
            "" => Self::Stranger(None),
            name => Self::Account(name.to_owned()),
        }
    }

    const fn is_stranger(&self) -> bool {
        matches!(self, Self::Stranger(_))
    }
}

/// What drafts are held to. Shares are of what is free on the disk and not promised to others; in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Unfinished drafts of one account, or without an account of one address.
    pub drafts: usize,
    /// Unfinished drafts of all who have no account.
    pub strangers_drafts: usize,
    /// What one account's drafts may be promised.
    pub account_share: Percent,
    /// What the drafts without an account may be promised together.
    pub strangers_share: Percent,
    /// What those of one address may be promised.
    pub address_share: Percent,
    /// How long a draft that nobody touches is kept.
    pub lifetime: Duration,
}

/// A part of a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

/// A number is no percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a percentage from 0 to 100")]
pub struct NotAPercentage;

impl Percent {
    /// A half.
    pub const HALF: Self = Self(50);
    /// A quarter.
    pub const QUARTER: Self = Self(25);
    /// All of it.
    pub const ALL: Self = Self(100);

    /// This part of so much.
    pub fn of(self, whole: u64) -> u64 {
        let part = u128::from(whole).saturating_mul(self.0.into()) / 100;
        u64::try_from(part).unwrap_or(whole)
    }
}

impl TryFrom<u8> for Percent {
    type Error = NotAPercentage;

    fn try_from(number: u8) -> Result<Self, NotAPercentage> {
        (number <= 100)
            .then_some(Self(number))
            .ok_or(NotAPercentage)
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

/// All drafts, with the room that is kept for each. The store's truth is in files and rows; this is what decisions are made by.
#[derive(Clone, Debug)]
pub struct Ledger {
    bounds: Bounds,
    entries: HashMap<PublicationId, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    maker: Maker,
    /// Bytes that are promised and have not come; none where it has failed.
    missing: u64,
    has_failed: bool,
    expires: Instant,
    /// Whether it was touched since [`Ledger::take_touched`].
    is_fresh: bool,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            entries: HashMap::new(),
        }
    }

    /// Enters a new draft and keeps room for it, where `free` bytes are on the disk.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing is entered.
    pub fn admit(
        &mut self,
        draft: &Draft,
        maker: Maker,
        free: u64,
        now: Instant,
    ) -> Result<(), Refusal> {
        let Bounds {
            drafts,
            strangers_drafts,
            ..
        } = self.bounds;
        if self.count(|other| *other == maker) >= drafts {
            return Err(Refusal::TooMany { limit: drafts });
        }
        if maker.is_stranger() && self.count(Maker::is_stranger) >= strangers_drafts {
            let limit = strangers_drafts;
            return Err(Refusal::TooManyStrangers { limit });
        }
        let needed = draft.total_length();
        let (room, bound) = self.room_for(&maker, free);
        if needed > room {
            return Err(Refusal::NoRoom {
                room,
                needed,
                bound,
            });
        }
        self.enter(draft.id, maker, Some(needed), now);
        Ok(())
    }

    /// How many unfinished drafts such makers have.
    fn count(&self, is_theirs: impl Fn(&Maker) -> bool) -> usize {
        let entries = self.entries.values();
        entries
            .filter(|entry| !entry.has_failed && is_theirs(&entry.maker))
            .count()
    }

    /// Of `free` bytes on the disk, those that a new draft of this maker can be promised, and why no more.
    pub fn room_for(&self, maker: &Maker, free: u64) -> (u64, Bound) {
        let promised = |is_theirs: &dyn Fn(&Maker) -> bool| {
            let entries = self.entries.values();
            let theirs = entries.filter(|entry| is_theirs(&entry.maker));
            theirs.fold(0, |sum: u64, entry| sum.saturating_add(entry.missing))
        };
        let (all, own) = (promised(&|_| true), promised(&|other| other == maker));
        let left = |share: Percent, class: u64, own: u64| {
            let whole = free.saturating_sub(all.saturating_sub(class));
            share.of(whole).saturating_sub(own)
        };
        let mut bounds = vec![(free.saturating_sub(all), Bound::Disk)];
        match maker {
            Maker::Account(_) => {
                let share = self.bounds.account_share;
                bounds.push((left(share, own, own), Bound::Account));
            }
            Maker::Stranger(network) => {
                let strangers = promised(&Maker::is_stranger);
                let share = self.bounds.strangers_share;
                bounds.push((left(share, strangers, strangers), Bound::Strangers));
                if network.is_some() {
                    let share = self.bounds.address_share;
                    bounds.push((left(share, strangers, own), Bound::Address));
                }
            }
        }
        let tightest = bounds.into_iter().min_by_key(|(room, _)| *room);
        tightest.unwrap_or((0, Bound::Disk))
    }

    /// Enters a draft that was kept, of which so many bytes are missing; `None` where it has failed.
    pub fn take_up(
        &mut self,
        id: PublicationId,
        publisher: &str,
        missing: Option<u64>,
        now: Instant,
    ) {
        self.enter(id, Maker::of_kept(publisher), missing, now);
    }

    fn enter(&mut self, id: PublicationId, maker: Maker, missing: Option<u64>, now: Instant) {
        let entry = Entry {
            maker,
            missing: missing.unwrap_or(0),
            has_failed: missing.is_none(),
            expires: self.end_of_life(now),
            is_fresh: false,
        };
        self.entries.insert(id, entry);
    }

    /// Notes that a draft was idle before it was taken up.
    pub fn note_idle(&mut self, id: PublicationId, idle: Duration) {
        if let Some(entry) = self.entries.get_mut(&id) {
            // No further back than to the beginning of its life: the past may be longer than the clock reaches.
            let gone = idle.min(self.bounds.lifetime);
            entry.expires = entry.expires.checked_sub(gone).unwrap_or(entry.expires);
        }
    }

    fn end_of_life(&self, now: Instant) -> Instant {
        now.checked_add(self.bounds.lifetime).unwrap_or(now)
    }

    /// Of `free` bytes on the disk, those that nobody is promised.
    pub fn room(&self, free: u64) -> u64 {
        let promised = self.entries.values().map(|entry| entry.missing);
        free.saturating_sub(promised.fold(0, u64::saturating_add))
    }

    /// Whether there is such a draft that has not expired.
    pub fn has(&self, id: PublicationId, now: Instant) -> bool {
        self.left(id, now).is_some()
    }

    /// How long a draft is kept if nobody touches it; `None` where there is none any more. One whose bytes have all come is kept until it is
    /// published: what is missing then is not its maker's to send.
    pub fn left(&self, id: PublicationId, now: Instant) -> Option<Duration> {
        let entry = self.entries.get(&id)?;
        if entry.missing == 0 && !entry.has_failed {
            return Some(self.bounds.lifetime);
        }
        let left = entry.expires.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Notes that somebody works on a draft, and that so many bytes have come.
    pub fn note_received(&mut self, id: PublicationId, bytes: u64, now: Instant) {
        let expires = self.end_of_life(now);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.missing = entry.missing.saturating_sub(bytes);
            entry.expires = expires;
            entry.is_fresh = true;
        }
    }

    /// Notes that bytes which had come were taken back.
    pub fn note_taken_back(&mut self, id: PublicationId, bytes: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.missing = entry.missing.saturating_add(bytes);
        }
    }

    /// Notes that nothing can come of a draft: its room is free again, and it stays to say why.
    pub fn note_failed(&mut self, id: PublicationId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.missing = 0;
            entry.has_failed = true;
        }
    }

    /// Forgets a draft and frees its room.
    pub fn remove(&mut self, id: PublicationId) {
        self.entries.remove(&id);
    }

    /// The drafts whose time is over.
    pub fn expired(&self, now: Instant) -> Vec<PublicationId> {
        let ids = self.entries.keys();
        ids.filter(|id| !self.has(**id, now)).copied().collect()
    }

    /// The drafts that were touched since this was asked last.
    pub fn take_touched(&mut self) -> Vec<PublicationId> {
        let touched = self
            .entries
            .iter_mut()
            .filter_map(|(id, entry)| std::mem::take(&mut entry.is_fresh).then_some(*id));
        touched.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::draft::DraftFile;
    use crate::domain::publication::Words;
    use crate::proto::metainfo::info::Format;
    use crate::proto::metainfo::path::FilePath;

    const DAY: Duration = Duration::from_hours(24);

    fn draft(id: &str, publisher: &str, lengths: &[u64]) -> Draft {
        let files = lengths
            .iter()
            .enumerate()
            .map(|(number, length)| DraftFile {
                path: FilePath::parse(&format!("box/{number}")).unwrap(),
                length: *length,
            });
        Draft {
            id: id.parse().unwrap(),
            words: Words::default(),
            format: Format::V1,
            private: false,
            publisher: publisher.to_owned(),
            files: files.collect(),
            original: None,
            created_at: 0,
        }
    }

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn some_moment() -> Instant {
        Instant::now()
    }

    fn ledger(drafts: usize) -> Ledger {
        Ledger::new(Bounds {
            drafts,
            strangers_drafts: 3,
            account_share: Percent::ALL,
            strangers_share: Percent::HALF,
            address_share: Percent::QUARTER,
            lifetime: DAY,
        })
    }

    fn account(name: &str) -> Maker {
        Maker::Account(name.to_owned())
    }

    fn stranger(address: &str) -> Maker {
        Maker::new(None, Some(address.parse().unwrap()))
    }

    #[test]
    fn strangers_are_promised_a_part_and_each_address_a_part_of_that() {
        let (mut ledger, now) = (ledger(2), some_moment());
        let [one, other, third] = ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(stranger);
        assert_eq!(ledger.room_for(&one, 100), (25, Bound::Address));
        for (id, maker) in [("aaaaaaaaaa", &one), ("bbbbbbbbbb", &other)] {
            let draft = draft(id, "", &[20]);
            ledger.admit(&draft, maker.clone(), 100, now).unwrap();
            assert_eq!(ledger.room_for(maker, 100), (5, Bound::Address));
        }
        assert_eq!(ledger.room_for(&third, 100), (10, Bound::Strangers));
        assert_eq!(ledger.room_for(&account("ada"), 100), (60, Bound::Disk));
        let large = draft("cccccccccc", "", &[11]);
        let refusal = ledger.admit(&large, third.clone(), 100, now);
        assert_eq!(
            refusal,
            Err(Refusal::NoRoom {
                room: 10,
                needed: 11,
                bound: Bound::Strangers
            })
        );
        // What accounts are promised is nobody's share.
        let film = draft("dddddddddd", "ada", &[40]);
        ledger.admit(&film, account("ada"), 100, now).unwrap();
        assert_eq!(ledger.room_for(&third, 100), (0, Bound::Strangers));
        // Whose bytes come is promised less, and the disk has less.
        ledger.remove("dddddddddd".parse().unwrap());
        ledger.note_received("aaaaaaaaaa".parse().unwrap(), 20, now);
        assert_eq!(ledger.room_for(&one, 88), (22, Bound::Address));
    }

    #[test]
    fn strangers_have_so_many_drafts_by_address_and_in_all() {
        let (mut ledger, now) = (ledger(2), some_moment());
        let mut admit = |id: &str, address: &str| {
            ledger.admit(&draft(id, "", &[1]), stranger(address), 1_000, now)
        };
        admit("aaaaaaaaaa", "2001:db8::1").unwrap();
        admit("bbbbbbbbbb", "2001:db8::2").unwrap();
        let refusal = admit("cccccccccc", "2001:db8::3");
        assert_eq!(refusal, Err(Refusal::TooMany { limit: 2 }));
        admit("cccccccccc", "2001:db8:0:1::1").unwrap();
        let refusal = admit("dddddddddd", "192.0.2.1");
        assert_eq!(refusal, Err(Refusal::TooManyStrangers { limit: 3 }));
    }

    #[test]
    fn what_was_promised_before_a_restart_counts_among_strangers() {
        let (mut ledger, now) = (ledger(2), some_moment());
        ledger.take_up("aaaaaaaaaa".parse().unwrap(), "", Some(45), now);
        let one = stranger("192.0.2.1");
        assert_eq!(ledger.room_for(&one, 100), (5, Bound::Strangers));
    }

    #[test]
    fn an_account_may_have_a_share_too() {
        let mut ledger = ledger(2);
        ledger.bounds.account_share = Percent::HALF;
        ledger.take_up(
            "aaaaaaaaaa".parse().unwrap(),
            "ada",
            Some(30),
            some_moment(),
        );
        assert_eq!(ledger.room_for(&account("ada"), 100), (20, Bound::Account));
        assert_eq!(ledger.room_for(&account("bob"), 100), (35, Bound::Account));
    }

    #[test]
    fn a_percentage_has_no_more_than_a_hundred_parts() {
        assert_eq!(Percent::try_from(101), Err(NotAPercentage));
        assert_eq!(Percent::ALL.of(u64::MAX), u64::MAX);
        assert_eq!(Percent::QUARTER.of(7), 1);
    }

    #[test]
    fn a_draft_that_is_whole_stays_until_it_is_published_or_fails() {
        let (mut ledger, now) = (ledger(2), some_moment());
        let id = "aaaaaaaaaa".parse().unwrap();
        let draft = draft("aaaaaaaaaa", "ada", &[10]);
        ledger.admit(&draft, account("ada"), 100, now).unwrap();
        ledger.note_received(id, 10, now);
        assert_eq!(ledger.expired(now + DAY * 9), []);
        ledger.note_failed(id);
        assert_eq!(ledger.expired(now + DAY * 9), [id]);
    }

    #[test]
    fn room_is_promised_once() {
        let (mut ledger, now) = (ledger(5), some_moment());
        ledger
            .admit(&draft("aaaaaaaaaa", "ada", &[60]), account("ada"), 100, now)
            .unwrap();
        assert_eq!(
            ledger.admit(&draft("bbbbbbbbbb", "bob", &[41]), account("bob"), 100, now),
            Err(Refusal::NoRoom {
                room: 40,
                needed: 41,
                bound: Bound::Disk,
            })
        );
        ledger
            .admit(&draft("bbbbbbbbbb", "bob", &[40]), account("bob"), 100, now)
            .unwrap();
        assert_eq!(ledger.room(100), 0);
        // What has come is on the disk, and no longer only promised.
        ledger.note_received("aaaaaaaaaa".parse().unwrap(), 50, now);
        assert_eq!(ledger.room(50), 0);
        ledger.note_taken_back("aaaaaaaaaa".parse().unwrap(), 50);
        assert_eq!(ledger.room(110), 10);
        ledger.note_failed("aaaaaaaaaa".parse().unwrap());
        ledger.remove("bbbbbbbbbb".parse().unwrap());
        assert_eq!(ledger.room(100), 100);
    }

    #[test]
    fn an_account_has_so_many_unfinished_drafts_and_no_more() {
        let (mut ledger, now) = (ledger(2), some_moment());
        for id in ["aaaaaaaaaa", "bbbbbbbbbb"] {
            ledger
                .admit(&draft(id, "ada", &[1]), account("ada"), 100, now)
                .unwrap();
        }
        let third = draft("cccccccccc", "ada", &[1]);
        let refusal = ledger.admit(&third, account("ada"), 100, now);
        assert_eq!(refusal, Err(Refusal::TooMany { limit: 2 }));
        ledger
            .admit(&draft("dddddddddd", "bob", &[1]), account("bob"), 100, now)
            .unwrap();
        ledger.note_failed("aaaaaaaaaa".parse().unwrap());
        ledger.admit(&third, account("ada"), 100, now).unwrap();
    }

    #[test]
    fn a_draft_that_nobody_touches_expires() {
        let (mut ledger, made) = (ledger(2), some_moment());
        let id = "aaaaaaaaaa".parse().unwrap();
        ledger
            .admit(
                &draft("aaaaaaaaaa", "ada", &[10]),
                account("ada"),
                100,
                made,
            )
            .unwrap();
        assert_eq!(ledger.take_touched(), []);
        ledger.note_received(id, 1, made + DAY / 2);
        assert_eq!(ledger.take_touched(), [id]);
        assert_eq!(ledger.take_touched(), []);
        assert_eq!(ledger.left(id, made + DAY), Some(DAY / 2));
        assert_eq!(ledger.expired(made + DAY), []);
        assert_eq!(ledger.expired(made + DAY + DAY / 2), [id]);
        assert!(!ledger.has(id, made + DAY + DAY / 2));
    }

    #[test]
    fn the_time_before_a_restart_counts() {
        let (mut ledger, now) = (ledger(2), some_moment());
        let [idle, stale] = ["aaaaaaaaaa", "bbbbbbbbbb"].map(|id| id.parse().unwrap());
        for (id, before) in [(idle, DAY / 4), (stale, 400 * DAY)] {
            ledger.take_up(id, "ada", Some(1), now);
            ledger.note_idle(id, before);
        }
        assert_eq!(ledger.left(idle, now), Some(DAY / 4 * 3));
        assert_eq!(ledger.expired(now), [stale]);
    }
}

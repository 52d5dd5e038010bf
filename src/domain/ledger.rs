//! The room on the disk that is kept for drafts: what each was promised, and when it expires.
//!
//! Expiry counts on the monotonic clock: a wall clock that jumps throws nobody out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::draft::Draft;
use super::publication::PublicationId;

/// Why a draft is not begun. Each message says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// As many drafts as one account may have.
    #[error("{limit} uploads of yours are unfinished; finish one, or delete it")]
    TooMany {
        /// `publish.max_drafts`.
        limit: usize,
    },
    /// What is free is promised to others, or too little.
    #[error("there is room for {room} bytes, and this needs {needed}; publish less, or make room")]
    NoRoom {
        /// Bytes that can still be promised.
        room: u64,
        /// Bytes of the draft.
        needed: u64,
    },
}

/// All drafts, with the room that is kept for each. The store's truth is in files and rows; this is what decisions are made by.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Unfinished drafts of one account, at most.
    max_drafts: usize,
    /// How long a draft that nobody touches is kept.
    lifetime: Duration,
    entries: HashMap<PublicationId, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    publisher: String,
    /// Bytes that are promised and have not come; none where it has failed.
    missing: u64,
    has_failed: bool,
    expires: Instant,
    /// Whether it was touched since [`Ledger::take_touched`].
    is_fresh: bool,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(max_drafts: usize, lifetime: Duration) -> Self {
        Self {
            max_drafts,
            lifetime,
            entries: HashMap::new(),
        }
    }

    /// Enters a new draft and keeps room for it, where `free` bytes are on the disk.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing is entered.
    pub fn admit(&mut self, draft: &Draft, free: u64, now: Instant) -> Result<(), Refusal> {
        let theirs = self
            .entries
            .values()
            .filter(|entry| !entry.has_failed && entry.publisher == draft.publisher);
        if theirs.count() >= self.max_drafts {
            let limit = self.max_drafts;
            return Err(Refusal::TooMany { limit });
        }
        let (room, needed) = (self.room(free), draft.total_length());
        if needed > room {
            return Err(Refusal::NoRoom { room, needed });
        }
        self.take_up(draft.id, &draft.publisher, Some(needed), now);
        Ok(())
    }

    /// Enters a draft of which so many bytes are missing; `None` where it has failed.
    pub fn take_up(
        &mut self,
        id: PublicationId,
        publisher: &str,
        missing: Option<u64>,
        now: Instant,
    ) {
        let entry = Entry {
            publisher: publisher.to_owned(),
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
            let gone = idle.min(self.lifetime);
            entry.expires = entry.expires.checked_sub(gone).unwrap_or(entry.expires);
        }
    }

    fn end_of_life(&self, now: Instant) -> Instant {
        now.checked_add(self.lifetime).unwrap_or(now)
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

    /// How long a draft is kept if nobody touches it; `None` where there is none any more.
    pub fn left(&self, id: PublicationId, now: Instant) -> Option<Duration> {
        let left = self
            .entries
            .get(&id)?
            .expires
            .saturating_duration_since(now);
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

    #[test]
    fn room_is_promised_once() {
        let (mut ledger, now) = (Ledger::new(5, DAY), some_moment());
        ledger
            .admit(&draft("aaaaaaaaaa", "ada", &[60]), 100, now)
            .unwrap();
        assert_eq!(
            ledger.admit(&draft("bbbbbbbbbb", "bob", &[41]), 100, now),
            Err(Refusal::NoRoom {
                room: 40,
                needed: 41
            })
        );
        ledger
            .admit(&draft("bbbbbbbbbb", "bob", &[40]), 100, now)
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
        let (mut ledger, now) = (Ledger::new(2, DAY), some_moment());
        for id in ["aaaaaaaaaa", "bbbbbbbbbb"] {
            ledger.admit(&draft(id, "ada", &[1]), 100, now).unwrap();
        }
        let third = draft("cccccccccc", "ada", &[1]);
        let refusal = ledger.admit(&third, 100, now);
        assert_eq!(refusal, Err(Refusal::TooMany { limit: 2 }));
        ledger
            .admit(&draft("dddddddddd", "bob", &[1]), 100, now)
            .unwrap();
        ledger.note_failed("aaaaaaaaaa".parse().unwrap());
        ledger.admit(&third, 100, now).unwrap();
    }

    #[test]
    fn a_draft_that_nobody_touches_expires() {
        let (mut ledger, made) = (Ledger::new(2, DAY), some_moment());
        let id = "aaaaaaaaaa".parse().unwrap();
        ledger
            .admit(&draft("aaaaaaaaaa", "ada", &[10]), 100, made)
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
        let (mut ledger, now) = (Ledger::new(2, DAY), some_moment());
        let [idle, stale] = ["aaaaaaaaaa", "bbbbbbbbbb"].map(|id| id.parse().unwrap());
        for (id, before) in [(idle, DAY / 4), (stale, 400 * DAY)] {
            ledger.take_up(id, "ada", Some(1), now);
            ledger.note_idle(id, before);
        }
        assert_eq!(ledger.left(idle, now), Some(DAY / 4 * 3));
        assert_eq!(ledger.expired(now), [stale]);
    }
}

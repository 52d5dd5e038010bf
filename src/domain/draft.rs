//! Drafts: publications whose files are still coming, and the room that is kept for them.
//!
//! A draft knows the names and lengths of its files before their first byte, so the torrent's layout and the space that it takes are
//! settled when it is made. Expiry counts on the monotonic clock: a wall clock that jumps throws nobody out.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::account::{Account, Role};
use super::publication::{PublicationId, Words};
use crate::proto::metainfo::apart::Spread;
use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::original::Original;
use crate::proto::metainfo::path::FilePath;
use crate::proto::metainfo::piece_length::PieceLength;

/// A publication in the making. Its files are settled; what is missing is bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The id that the publication will have.
    pub id: PublicationId,
    /// What people will be told of it.
    pub words: Words,
    /// The torrent's format.
    pub format: Format,
    /// Whether peers may only come from our tracker (BEP 27).
    pub private: bool,
    /// The account that made it, by name; empty where nobody was logged in.
    pub publisher: String,
    /// The files as they were listed. A file's place is the number of its upload, and that under which its content is kept.
    pub files: Vec<DraftFile>,
    /// The torrent that it has to become again, if there is one already. The files are that torrent's, in its order.
    pub original: Option<Arc<Original>>,
    /// When it was made, in seconds since 1970.
    pub created_at: i64,
}

/// A file of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftFile {
    /// Its path, with the folder around all files if there is one.
    pub path: FilePath,
    /// Bytes that it will have.
    pub length: u64,
}

impl Draft {
    /// Bytes in all files together.
    pub fn total_length(&self) -> u64 {
        let lengths = self.files.iter().map(|file| file.length);
        lengths.fold(0, u64::saturating_add)
    }

    /// The places of the files in the torrent's order: that of their paths, so that the same files are the same torrent however they
    /// were listed.
    pub fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.files.len()).collect();
        if self.original.is_none() {
            order.sort_by_key(|place| self.files.get(*place).map(|file| &file.path));
        }
        order
    }

    /// How long the torrent's pieces are.
    pub fn piece_length(&self) -> PieceLength {
        if let Some(original) = &self.original {
            return original.piece_length();
        }
        let lengths: Vec<u64> = self.files.iter().map(|file| file.length).collect();
        PieceLength::for_files(self.format, &lengths)
    }

    /// How the files lie in the torrent, in its order.
    pub fn spread(&self) -> Spread {
        if let Some(original) = &self.original {
            return original.spread();
        }
        let order = self.order().into_iter();
        let lengths = order.filter_map(|place| Some(self.files.get(place)?.length));
        Spread::new(self.format, self.piece_length(), lengths)
    }

    /// Whether somebody may see and fill it: the account that made it, and administrators. One that was made without an account
    /// is open to whoever knows its id, which is told to nobody else.
    pub fn is_open_to(&self, account: Option<&Account>) -> bool {
        self.publisher.is_empty()
            || account.is_some_and(|account| {
                account.role == Role::Admin || account.name == self.publisher
            })
    }
}

/// Names the upload of one file of a draft: the draft's id, a dash, and the file's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UploadId {
    /// The draft.
    pub draft: PublicationId,
    /// The place of the file among the draft's.
    pub file: u32,
}

/// A text is not the id of any upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an upload's id is that of its draft, a dash and a number")]
pub struct NotAnUploadId;

impl FromStr for UploadId {
    type Err = NotAnUploadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (draft, file) = text.split_once('-').ok_or(NotAnUploadId)?;
        // One name each: `+1` and `01` are no numbers here.
        let is_plain = file == "0" || file.starts_with(|c: char| matches!(c, '1'..='9'));
        Ok(Self {
            draft: draft.parse().map_err(|_| NotAnUploadId)?,
            file: file
                .parse()
                .ok()
                .filter(|_| is_plain)
                .ok_or(NotAnUploadId)?,
        })
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.draft, self.file)
    }
}

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

    const DAY: Duration = Duration::from_hours(24);

    fn draft(id: &str, publisher: &str, lengths: &[u64]) -> Draft {
        let files = lengths
            .iter()
            .enumerate()
            .map(|(number, length)| DraftFile {
                path: FilePath::parse(&format!("box/{}", 9 - number)).unwrap(),
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

    #[test]
    fn files_lie_in_the_order_of_their_paths() {
        let draft = draft("aaaaaaaaaa", "ada", &[1, 2, 3]);
        assert_eq!(draft.order(), [2, 1, 0]);
        assert_eq!(draft.total_length(), 6);
        let bare = Spread::new(Format::V1, PieceLength::MIN, [3, 2, 1]);
        assert_eq!(draft.spread(), bare);
    }

    #[test]
    fn a_draft_is_open_to_its_maker_and_administrators() {
        let account = |name: &str, role| Account {
            id: 1,
            name: name.to_owned(),
            role,
            is_disabled: false,
            created_at: 0,
        };
        let (ada, bob) = (
            account("ada", Role::Publisher),
            account("bob", Role::Publisher),
        );
        let of_ada = draft("aaaaaaaaaa", "ada", &[1]);
        assert!(of_ada.is_open_to(Some(&ada)));
        assert!(of_ada.is_open_to(Some(&account("root", Role::Admin))));
        assert!(!of_ada.is_open_to(Some(&bob)));
        assert!(!of_ada.is_open_to(None));
        assert!(draft("aaaaaaaaaa", "", &[1]).is_open_to(None));
    }

    #[test]
    fn upload_ids_read_what_they_display() {
        let id: UploadId = "abcdefghij-17".parse().unwrap();
        assert_eq!((id.to_string().as_str(), id.file), ("abcdefghij-17", 17));
        for text in [
            "",
            "abcdefghij",
            "abcdefghij-",
            "abcdefghij-01",
            "abcdefghij-+1",
            "abcdefghij--1",
            "abcdefghij-4294967296",
            "ABCDEFGHIJ-1",
            "../../etc/-1",
        ] {
            assert_eq!(text.parse::<UploadId>(), Err(NotAnUploadId), "{text}");
        }
    }
}

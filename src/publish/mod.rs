//! Publishing: from the bytes of an upload to a publication that the world can download.
//!
//! An upload is staged and hashed while it comes in. Finished, it is sealed (synced and renamed into place), then its
//! publication is kept in one transaction, and from then on tracker, engine and web seed answer for it. A crash at any
//! point leaves the whole publication or nothing that anybody sees; what lies about is swept up at the next start. What is said
//! of a publication may be edited; its content never changes.
//!
//! A draft is an upload file by file over many requests, with all names and lengths told first. It outlasts requests and restarts, and
//! ends like every other upload.
//!
//! Content may come with the torrent that it has already: then it is held against that, and becomes it again.

mod desk;
mod drafts;
mod edit;
mod hashing;
mod idempotency;
mod import;
mod in_place;
mod ingest;
mod naming;
mod particulars;
mod press;
mod receiving;
mod sweep;
mod words;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::desk::Delay;
pub use self::drafts::{Asked, DraftError, DraftState, DraftStatus, Drafts};
pub use self::edit::{EditError, Editor};
pub use self::idempotency::{KeyError, Keys, Running, Turn};
pub use self::import::{Import, ImportError};
pub use self::in_place::Placed;
pub use self::ingest::{Details, Expected, Ingest, IngestError, Upload};
pub use self::particulars::ParticularsError;
pub use self::receiving::{Checksum, PartHead, PartUpload, Received};
pub use self::sweep::{Swept, sweep};
pub use self::words::WordsError;
use crate::domain::account::WhoMayPublish;
use crate::domain::ledger::{Bounds, Percent};

/// Who may publish, and how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Who may publish: `admins`, `publishers` or `anyone`.
    pub who: WhoMayPublish,
    /// Bytes in one publication, at most; 0 for as much as the disk holds.
    pub max_bytes: u64,
    /// Files in one publication, at most.
    pub max_files: usize,
    /// Files in one publication that comes as a form, in one request, at most.
    pub max_form_files: usize,
    /// Uploads at the same time, at most. More are asked to come back later.
    pub max_uploads: usize,
    /// Drafts (uploads file by file, which may pause and go on later) that one account may have unfinished, at most; without an account,
    /// one IPv4 address or one IPv6 /64.
    pub max_drafts: usize,
    /// Drafts that may be unfinished without an account, in all.
    pub max_anonymous_drafts: usize,
    /// Percent of the free room that the drafts of one account may be promised before their bytes come; of what is not promised to others.
    pub account_share: Percent,
    /// Percent of it that the drafts without an account may be promised together.
    pub anonymous_share: Percent,
    /// Percent of it that those of one IPv4 address or one IPv6 /64 may be promised.
    pub address_share: Percent,
    /// Seconds that a draft is kept when nobody sends anything for it. Until then its room on the disk is promised.
    pub draft_lifetime: u64,
    /// Seconds that an `Idempotency-Key` is remembered, with which a request that is sent again publishes nothing twice; that of a draft
    /// for as long as the draft.
    pub key_lifetime: u64,
    /// Such keys of one account that are remembered, at most: the newest.
    pub max_keys: u32,
    /// Characters in a title, at most.
    pub max_title_length: usize,
    /// Bytes in a description, at most.
    pub max_description_bytes: usize,
    /// Characters in the name of a creator, at most.
    pub max_creator_length: usize,
    /// Tags of one publication, at most.
    pub max_tags: usize,
    /// Characters in a tag, at most.
    pub max_tag_length: usize,
    /// Links to pages about one publication, at most.
    pub max_links: usize,
    /// Trackers beside this server's own that one publication may name, at most, and as many web seeds.
    pub max_sources: usize,
    /// Bytes in a torrent file that is published with its content, at most.
    pub max_torrent_bytes: usize,
    /// Characters in the reason of a takedown, at most.
    pub max_reason_length: usize,
    /// A folder in which every file and folder is published where it lies, once it has been still for a while; empty: none.
    pub watch: PathBuf,
    /// Seconds that a file or folder in it must have been still.
    pub watch_quiet: u64,
    /// Seconds between two looks into it. Where a look takes long, more: at most a tenth of the time is spent on looking.
    pub watch_interval: u64,
    /// Files and folders in it, at most; those inside its folders do not count.
    pub watch_entries: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            who: WhoMayPublish::default(),
            max_bytes: 0,
            max_files: 100_000,
            max_form_files: 1_000,
            max_uploads: 64,
            max_drafts: 16,
            max_anonymous_drafts: 128,
            account_share: Percent::ALL,
            anonymous_share: Percent::HALF,
            address_share: Percent::QUARTER,
            draft_lifetime: 3 * 24 * 60 * 60,
            key_lifetime: 24 * 60 * 60,
            max_keys: 1_000,
            max_title_length: 200,
            max_description_bytes: 64 * 1024,
            max_creator_length: 200,
            max_tags: 20,
            max_tag_length: 50,
            max_links: 20,
            max_sources: 20,
            max_torrent_bytes: 16 * 1024 * 1024,
            max_reason_length: 1000,
            watch: PathBuf::new(),
            watch_quiet: 60,
            watch_interval: 10,
            watch_entries: 10_000,
        }
    }
}

impl Options {
    /// What drafts are held to.
    const fn bounds_of_drafts(&self) -> Bounds {
        Bounds {
            drafts: self.max_drafts,
            strangers_drafts: self.max_anonymous_drafts,
            account_share: self.account_share,
            strangers_share: self.anonymous_share,
            address_share: self.address_share,
            lifetime: Duration::from_secs(self.draft_lifetime),
        }
    }
}

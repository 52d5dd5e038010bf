//! The port for publications.

use async_trait::async_trait;
use bytes::Bytes;

use super::StoreError;
use super::takedowns::TakedownStore;
use crate::domain::history::{Day, History, Hour, SwarmSize};
use crate::domain::publication::{Publication, PublicationId, Words};
use crate::domain::tally::Counts;
use crate::proto::id::InfoHashes;

/// The torrent of a publication as it is kept: what the info-hashes are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMetainfo {
    /// The raw `info` dictionary.
    pub info: Bytes,
    /// The bencoded `piece layers` dictionary (BEP 52); empty for v1.
    pub piece_layers: Bytes,
}

/// One line of the resident index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The publication.
    pub id: PublicationId,
    /// Its torrent's info-hashes.
    pub info_hashes: InfoHashes,
    /// Bytes of content.
    pub total_length: u64,
}

/// Publications on one page of the catalogue, at most.
pub const MAX_PAGE: u32 = 100;

/// Which publications a catalogue page shows, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// Words that begin words of the title, the description or the names of files, and phrases in quotes: all of them have to be
    /// there, whatever their case and diacritics. Empty for all.
    pub text: String,
    /// What they have to be filed under.
    pub filters: Filters,
    /// Which come first.
    pub order: Order,
    /// Where the previous page ended; `None` for the first page.
    pub after: Option<Cursor>,
    /// At most so many, 1 to [`MAX_PAGE`]; what lies outside is moved to the nearer end.
    pub limit: u32,
}

/// What publications are filed under; of what is named, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// One of their tags, in its form.
    pub tag: Option<String>,
    /// Their licence, by its SPDX identifier.
    pub licence: Option<String>,
    /// Their creator, as the publisher has written it.
    pub creator: Option<String>,
}

/// Which publications come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// Those that came out last.
    #[default]
    Newest,
    /// Those that came out first.
    Oldest,
    /// Those with the most bytes of content.
    Largest,
    /// Those that were downloaded most often.
    MostWanted,
}

/// The last publication of a page: the next page begins after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its bytes or its downloads, where those are the order.
    pub key: i64,
    /// Its number in the order in which publications came out.
    pub number: i64,
}

/// A kind of thing that publications are filed under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FacetKind {
    /// A tag.
    Tag,
    /// A licence.
    Licence,
}

/// Something that publications are filed under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facet {
    /// The tag, or the SPDX identifier of the licence.
    pub name: String,
    /// How many publications there are under it.
    pub publications: u64,
}

/// Matches of a search that are counted.
pub const MAX_COUNTED: u64 = 1_000;

/// How many publications match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// So many.
    Exactly(u64),
    /// More than [`MAX_COUNTED`], and nobody has counted them.
    Many,
}

impl Default for Total {
    fn default() -> Self {
        Self::Exactly(0)
    }
}

/// A page of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Publications, in the order that was asked for.
    pub publications: Vec<PublicationSummary>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<Cursor>,
    /// How many publications match in all.
    pub total: Total,
}

/// What a catalogue shows of a publication: all but its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicationSummary {
    /// The publication, with an empty list of files.
    pub publication: Publication,
    /// How many files it has.
    pub file_count: u64,
}

/// Keeps publications and their torrents.
#[async_trait]
pub trait PublicationStore:
    HistoryStore + TakedownStore + VerificationStore + VersionStore + WithdrawalStore
{
    /// Keeps a publication, its files and its torrent, and forgets the draft that it was, in one transaction.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the id or an info-hash is taken.
    async fn insert(
        &self,
        publication: &Publication,
        metainfo: &StoredMetainfo,
    ) -> Result<(), StoreError>;

    /// A publication with its files, if there is one.
    async fn publication(&self, id: PublicationId) -> Result<Option<Publication>, StoreError>;

    /// The torrent of a publication, if there is one.
    async fn metainfo(&self, id: PublicationId) -> Result<Option<StoredMetainfo>, StoreError>;

    /// Gives a publication the words `to`, if it has the words `from`; says whether it had.
    ///
    /// # Errors
    /// [`StoreError::Circular`] where it would be a newer version of itself.
    async fn reword(&self, id: PublicationId, from: &Words, to: &Words)
    -> Result<bool, StoreError>;

    /// Notes the CRC-32 of a file, by the number under which its content is kept. A file that is not there is passed over.
    async fn note_crc32(
        &self,
        id: PublicationId,
        stored_as: u32,
        crc32: u32,
    ) -> Result<(), StoreError>;

    /// A page of the catalogue.
    async fn page(&self, query: &PageQuery) -> Result<Page, StoreError>;

    /// The tags or licences that most publications are filed under, at most `limit` of them.
    async fn facets(&self, kind: FacetKind, limit: u32) -> Result<Vec<Facet>, StoreError>;

    /// Listed publications and when each was published, in seconds since 1970, in the order in which they came out: `limit` of them
    /// after the first `skip`.
    async fn oldest_first(
        &self,
        skip: u64,
        limit: u32,
    ) -> Result<Vec<(PublicationId, i64)>, StoreError>;

    /// What the resident index is made of: every publication that came out after the one of number `after`, whoever published it, and the
    /// number of the last one. Numbers grow and begin above 0.
    async fn index(&self, after: i64) -> Result<(Vec<IndexEntry>, i64), StoreError>;

    /// The totals of every publication that has any.
    async fn counts(&self) -> Result<Vec<(PublicationId, Counts)>, StoreError>;
}

/// A publication as a version of another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The publication.
    pub id: PublicationId,
    /// What people call it.
    pub title: String,
}

/// What came after a publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Newer {
    /// The version that takes its place, where there is one.
    pub next: Option<Version>,
    /// The newest one of all that do, one after the other.
    pub latest: Option<Version>,
}

/// Knows which publication is a newer version of which.
#[async_trait]
pub trait VersionStore: Send + Sync {
    /// What came after a publication, which may be withdrawn. Those that are withdrawn are passed over, and so are unlisted ones,
    /// unless it is unlisted itself: no link leads from what everybody finds to what only some should.
    async fn newer(&self, id: PublicationId) -> Result<Newer, StoreError>;
}

/// Keeps what was published once.
#[async_trait]
pub trait WithdrawalStore: Send + Sync {
    /// Forgets all of a publication but that it was withdrawn at `now`, in seconds since 1970, in one transaction; says whether it
    /// was there. The same content may be published again, under another id.
    async fn withdraw(&self, id: PublicationId, now: i64) -> Result<bool, StoreError>;

    /// When a publication was withdrawn, if it was.
    async fn withdrawn(&self, id: PublicationId) -> Result<Option<i64>, StoreError>;
}

/// What the last check of a publication's content has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// When it ended, in seconds since 1970; the first one was made while the content came in.
    pub at: i64,
    /// Files that fail.
    pub damaged_files: u64,
}

/// Which publications are to be verified, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Those that were verified until then.
    pub verified_until: i64,
    /// Those of which files failed, and that were verified until then.
    pub damaged_until: i64,
}

/// Keeps what checks of content have found.
#[async_trait]
pub trait VerificationStore: Send + Sync {
    /// Notes what a check has found. An id that is not there is passed over.
    async fn note_verified(&self, id: PublicationId, found: Verified) -> Result<(), StoreError>;

    /// What the last check of a publication has found.
    async fn verified(&self, id: PublicationId) -> Result<Option<Verified>, StoreError>;

    /// Of the publications that are due, the one that was verified longest ago.
    async fn due(&self, due: Due) -> Result<Option<PublicationId>, StoreError>;

    /// How many publications have files that fail, and `limit` of those that are listed.
    async fn damaged(&self, limit: u32) -> Result<(u64, Vec<PublicationId>), StoreError>;
}

/// Keeps what publications gave, and how their swarms were.
#[async_trait]
pub trait HistoryStore: Send + Sync {
    /// Adds to publications' totals and to those of `day`, in one transaction. Ids that are not there are passed over.
    async fn add_counts(
        &self,
        batch: &[(PublicationId, Counts)],
        day: Day,
    ) -> Result<(), StoreError>;

    /// Notes how swarms are in `hour`: of several notes within an hour or a day, the most counts. Ids that are not there are
    /// passed over.
    async fn note_swarms(
        &self,
        batch: &[(PublicationId, SwarmSize)],
        hour: Hour,
    ) -> Result<(), StoreError>;

    /// Drops what lies before: hours before `hour`, days before `day`.
    async fn forget_before(&self, hour: Hour, day: Day) -> Result<(), StoreError>;

    /// The past of a publication's swarm.
    async fn history(&self, id: PublicationId) -> Result<History, StoreError>;

    /// What all publications together gave since `day` began.
    async fn counts_since(&self, day: Day) -> Result<Counts, StoreError>;
}

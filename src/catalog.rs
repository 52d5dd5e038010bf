//! The one hall: which torrents this server publishes.
//!
//! Writers enter here; tracker, engine and web seed only look up. The index of info-hashes is resident, for it is asked on every announce.
//! A torrent itself is read from the store with its first peer and kept in a bounded cache, so that ten thousand
//! idle torrents cost nothing but their line in the index.

mod takedowns;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use moka::future::Cache;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::domain::history::{Day, Hour, SwarmSize};
use crate::domain::publication::{Publication, PublicationId, Words};
use crate::domain::tally::{Counts, Tally};
use crate::domain::torrent::{Conditions, Stamps, Torrent};
use crate::proto::id::InfoHash;
use crate::proto::metainfo::info::Info;
use crate::proto::metainfo::layers::PieceLayers;
use crate::proto::wire::encryption::TorrentMark;
use crate::store::StoreError;
use crate::store::publications::{IndexEntry, PublicationStore, StoredMetainfo};

/// How much of the catalogue is kept in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Bytes of torrents (raw `info` and piece layers) to keep ready, at most.
    pub cache_bytes: u64,
    /// Days for which the sizes of swarms are kept hour by hour.
    pub history_hourly_days: u32,
    /// Days for which they are kept day by day.
    pub history_daily_days: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 64 * 1024 * 1024,
            history_hourly_days: 7,
            history_daily_days: 730,
        }
    }
}

/// A line of the resident index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The publication.
    pub id: PublicationId,
    /// The name that stands for its torrent where one is enough.
    pub primary: InfoHash,
    /// Its name of v2 on the wire, if it has one (BEP 52).
    pub v2: Option<InfoHash>,
    /// Bytes of content.
    pub total_length: u64,
}

/// The published torrents, by info-hash and by id. Cheap to clone: all clones are one catalogue.
#[derive(Clone)]
pub struct Catalog {
    store: Arc<dyn PublicationStore>,
    /// Written by `publish`, read by every announce and handshake; never held over an await.
    index: Arc<RwLock<Index>>,
    /// The number of the last publication that was read from the store.
    followed: Arc<AtomicI64>,
    torrents: Cache<PublicationId, Arc<Torrent>>,
    /// Those that somebody has in use, whether the cache still holds them or not: what one door learns of a piece, all know.
    in_use: Arc<Mutex<InUse>>,
    /// One for each publication that gave anything; entered on first use, never held over an await.
    tallies: Arc<RwLock<HashMap<PublicationId, Arc<Tally>>>>,
    /// How often each publication was changed since the start; a line for those that were. Never held over an await.
    editions: Arc<RwLock<HashMap<PublicationId, u64>>>,
    /// How many were withdrawn or taken down since the start.
    withdrawals: Arc<watch::Sender<u64>>,
    options: Options,
}

impl Catalog {
    /// Loads the index of everything that was published.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub async fn load(
        store: Arc<dyn PublicationStore>,
        options: &Options,
    ) -> Result<Self, StoreError> {
        let mut index = Index::default();
        let (entries, followed) = store.index(0).await?;
        for entry in entries {
            index.add(entry);
        }
        for takedown in store.takedowns().await? {
            index.refuse(takedown.entry);
        }
        let torrents = Cache::builder()
            .max_capacity(options.cache_bytes)
            .weigher(|_, torrent: &Arc<Torrent>| {
                let bytes = torrent
                    .info
                    .raw
                    .len()
                    .saturating_mul(2)
                    .saturating_add(torrent.layers.raw().len());
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        let counts = store.counts().await?;
        let tallies = counts
            .into_iter()
            .map(|(id, counts)| (id, Arc::new(Tally::resume(counts))))
            .collect();
        Ok(Self {
            store,
            index: Arc::new(RwLock::new(index)),
            followed: Arc::new(AtomicI64::new(followed)),
            torrents,
            in_use: Arc::default(),
            tallies: Arc::new(RwLock::new(tallies)),
            editions: Arc::default(),
            withdrawals: Arc::default(),
            options: options.clone(),
        })
    }

    /// The publication that a torrent carries, by any of its names on the wire. Memory only: made for every announce.
    pub fn find(&self, info_hash: &InfoHash) -> Option<PublicationId> {
        self.listed(info_hash).map(|listed| listed.id)
    }

    /// What the tracker knows of a publication, by any of its torrent's names on the wire. Memory only.
    pub fn listed(&self, info_hash: &InfoHash) -> Option<Listed> {
        self.index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_name
            .get(info_hash)
            .copied()
    }

    /// The name of the torrent that an encrypted handshake means by a mark. Memory only.
    pub fn marked(&self, mark: &TorrentMark) -> Option<InfoHash> {
        self.index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_mark
            .get(mark)
            .copied()
    }

    /// The torrent of a publication, read from the store with its first use.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails or what it kept is damaged.
    pub async fn torrent(&self, id: PublicationId) -> Result<Option<Arc<Torrent>>, StoreError> {
        if let Some(torrent) = self.torrents.get(&id).await {
            return Ok(Some(torrent));
        }
        if let Some(torrent) = self.in_use(id) {
            self.torrents.insert(id, Arc::clone(&torrent)).await;
            return Ok(Some(torrent));
        }
        let (Some(publication), Some(metainfo)) = (
            self.store.publication(id).await?,
            self.store.metainfo(id).await?,
        ) else {
            return Ok(None);
        };
        let torrent = Arc::new(make_ready(&publication, metainfo)?);
        let torrent = self.lock_in_use().enter(torrent);
        self.torrents.insert(id, Arc::clone(&torrent)).await;
        Ok(Some(torrent))
    }

    /// The torrent of a publication, if it is in memory.
    pub fn in_use(&self, id: PublicationId) -> Option<Arc<Torrent>> {
        self.lock_in_use().torrents.get(&id)?.upgrade()
    }

    fn lock_in_use(&self) -> std::sync::MutexGuard<'_, InUse> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes: keeps the publication, and from then on tracker, engine and web seed answer for it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the id or the info-hash is taken; [`StoreError`] where the store fails.
    pub async fn publish(
        &self,
        publication: &Publication,
        metainfo: &StoredMetainfo,
    ) -> Result<(), StoreError> {
        self.store.insert(publication, metainfo).await?;
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.add(IndexEntry {
            id: publication.id,
            info_hashes: publication.info_hashes,
            total_length: publication.total_length,
        });
        Ok(())
    }

    /// Lists what other programs have published in the same store. What this one published itself stays as it is.
    ///
    /// # Errors
    /// [`StoreError`] where the store cannot be read.
    pub async fn follow(&self) -> Result<(), StoreError> {
        loop {
            let removals = self
                .index
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .removals;
            let (entries, last) = self.store.index(self.followed.load(Relaxed)).await?;
            if entries.is_empty() {
                return Ok(());
            }
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            // What was withdrawn since it was read must not come back.
            if index.removals == removals {
                for entry in entries {
                    index.add(entry);
                }
                self.followed.fetch_max(last, Relaxed);
                return Ok(());
            }
        }
    }

    /// Gives a publication the words `to`, if it has the words `from`; says whether it had. To be run to its end.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn reword(
        &self,
        id: PublicationId,
        from: &Words,
        to: &Words,
    ) -> Result<bool, StoreError> {
        let reworded = self.store.reword(id, from, to).await;
        // After a failure too: a commit may fail too late.
        self.count_edition(id);
        reworded
    }

    /// Notes the CRC-32 of a file that was published before that was taken down.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn note_crc32(
        &self,
        id: PublicationId,
        stored_as: u32,
        crc32: u32,
    ) -> Result<(), StoreError> {
        let noted = self.store.note_crc32(id, stored_as, crc32).await;
        self.count_edition(id);
        noted
    }

    /// Withdraws a publication at `now`, in seconds since 1970: it is forgotten, and from then on nobody answers for it. Says
    /// whether it was there. To be run to its end.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn withdraw(&self, publication: &Publication, now: i64) -> Result<bool, StoreError> {
        let id = publication.id;
        let withdrawn = self.store.withdraw(id, now).await;
        self.count_edition(id);
        if !withdrawn? {
            return Ok(false);
        }
        self.let_go(publication).await;
        self.tallies
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
        Ok(true)
    }

    /// Forgets the torrent of a publication that is no longer there for others, and has its peers let go.
    async fn let_go(&self, publication: &Publication) {
        self.index
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(publication);
        self.torrents.invalidate(&publication.id).await;
        self.lock_in_use().torrents.remove(&publication.id);
        self.withdrawals
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Tells of withdrawals and takedowns: whoever serves somebody looks then whether the torrent is still listed.
    pub fn withdrawals(&self) -> watch::Receiver<u64> {
        self.withdrawals.subscribe()
    }

    /// Whether a torrent is that of a publication which is listed now. Memory only.
    pub fn lists(&self, torrent: &Torrent) -> bool {
        self.find(&torrent.info.hashes.primary()) == Some(torrent.publication)
    }

    /// How often a publication was changed since the start. What was read of it under another number may be outdated.
    pub fn edition(&self, id: PublicationId) -> u64 {
        let editions = self.editions.read().unwrap_or_else(PoisonError::into_inner);
        editions.get(&id).copied().unwrap_or_default()
    }

    fn count_edition(&self, id: PublicationId) {
        let mut editions = self
            .editions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let edition = editions.entry(id).or_default();
        *edition = edition.wrapping_add(1);
    }

    /// The running totals of a publication.
    pub fn tally(&self, id: PublicationId) -> Arc<Tally> {
        if let Some(tally) = self
            .tallies
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
        {
            return Arc::clone(tally);
        }
        Arc::clone(
            self.tallies
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(id)
                .or_default(),
        )
    }

    /// Writes down what the totals have gained since the last time, as gains of `day`. Called once a minute and at the end.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails; then the gains are kept for the next time.
    pub async fn write_tallies(&self, day: Day) -> Result<(), StoreError> {
        let gains: Vec<(PublicationId, Counts, Arc<Tally>)> = {
            let tallies = self.tallies.read().unwrap_or_else(PoisonError::into_inner);
            let gains = tallies
                .iter()
                .map(|(id, tally)| (*id, tally.unwritten(), Arc::clone(tally)));
            gains
                .filter(|(_, counts, _)| *counts != Counts::default())
                .collect()
        };
        let batch: Vec<_> = gains.iter().map(|(id, counts, _)| (*id, *counts)).collect();
        if batch.is_empty() {
            return Ok(());
        }
        self.store.add_counts(&batch, day).await?;
        for (_, counts, tally) in &gains {
            tally.mark_written(*counts);
        }
        Ok(())
    }

    /// The names on the wire of everything that is published.
    pub fn names(&self) -> Vec<InfoHash> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.by_name.keys().copied().collect()
    }

    /// How many publications there are.
    pub fn len(&self) -> u64 {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        // A hybrid torrent has two lines.
        let primary = index
            .by_name
            .iter()
            .filter(|(hash, it)| **hash == it.primary);
        u64::try_from(primary.count()).unwrap_or(u64::MAX)
    }

    /// Whether nothing is published.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What all publications together gave.
    pub fn totals(&self) -> Counts {
        let tallies = self.tallies.read().unwrap_or_else(PoisonError::into_inner);
        let counts = tallies.values().map(|tally| tally.counts());
        counts.fold(Counts::default(), Counts::plus)
    }

    /// Notes how swarms are in `hour`, and drops what is too old for a chart. Called every few minutes.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn note_swarms(
        &self,
        sizes: &[(PublicationId, SwarmSize)],
        hour: Hour,
    ) -> Result<(), StoreError> {
        if !sizes.is_empty() {
            self.store.note_swarms(sizes, hour).await?;
        }
        let hours = i64::from(self.options.history_hourly_days) * 24;
        let first_hour = Hour(hour.0.saturating_sub(hours));
        let days = i64::from(self.options.history_daily_days);
        let first_day = Day(Day::of(hour.start()).0.saturating_sub(days));
        self.store.forget_before(first_hour, first_day).await
    }

    /// The store behind the catalogue, for what pages show.
    pub fn store(&self) -> &dyn PublicationStore {
        &*self.store
    }
}

/// Torrents that are in memory.
#[derive(Default)]
struct InUse {
    torrents: HashMap<PublicationId, Weak<Torrent>>,
    /// How many there may be before those that are gone are forgotten.
    most: usize,
}

impl InUse {
    /// Enters a torrent, unless somebody else was faster: then gives theirs.
    fn enter(&mut self, torrent: Arc<Torrent>) -> Arc<Torrent> {
        if self.torrents.len() >= self.most {
            self.torrents
                .retain(|_, torrent| torrent.strong_count() > 0);
            self.most = 2 * self.torrents.len() + 64;
        }
        let id = torrent.publication;
        if let Some(theirs) = self.torrents.get(&id).and_then(Weak::upgrade) {
            return theirs;
        }
        self.torrents.insert(id, Arc::downgrade(&torrent));
        torrent
    }
}

/// What is resident of every publication.
#[derive(Default)]
struct Index {
    by_name: HashMap<InfoHash, Listed>,
    /// The same torrents, as encrypted handshakes name them.
    by_mark: HashMap<TorrentMark, InfoHash>,
    /// The names of torrents that were taken down, and their publications.
    refused: HashMap<InfoHash, PublicationId>,
    /// How often a publication was removed.
    removals: u64,
}

impl Index {
    fn add(&mut self, entry: IndexEntry) {
        let listed = Listed {
            id: entry.id,
            primary: entry.info_hashes.primary(),
            v2: entry.info_hashes.v2().map(|v2| v2.truncated()),
            total_length: entry.total_length,
        };
        for name in entry.info_hashes.wire() {
            self.by_name.insert(name, listed);
            self.by_mark.insert(TorrentMark::of(&name), name);
        }
    }

    /// Enters what was taken down.
    fn refuse(&mut self, entry: IndexEntry) {
        let names = entry.info_hashes.wire();
        self.refused.extend(names.map(|name| (name, entry.id)));
    }

    /// Removes a publication, but nothing of another one that has its names already.
    fn remove(&mut self, publication: &Publication) {
        self.removals = self.removals.wrapping_add(1);
        for name in publication.info_hashes.wire() {
            let is_its = self
                .by_name
                .get(&name)
                .is_some_and(|listed| listed.id == publication.id);
            if is_its {
                self.by_name.remove(&name);
                self.by_mark.remove(&TorrentMark::of(&name));
            }
        }
    }
}

/// Puts a stored torrent together, and checks that torrent and publication speak of the same files.
fn make_ready(publication: &Publication, metainfo: StoredMetainfo) -> Result<Torrent, StoreError> {
    let id = publication.id;
    let damaged =
        |what: String| StoreError::Damaged(format!("the torrent of publication {id} {what}"));
    let info =
        Info::parse(metainfo.info).map_err(|error| damaged(format!("cannot be read ({error})")))?;
    if info.files.content().count() != publication.files.len() {
        return Err(damaged("has other files than the publication".to_owned()));
    }
    let mut stored_as = vec![None; info.files.len()];
    for ((index, file), published) in info.files.content().zip(&publication.files) {
        if file.length != published.length {
            return Err(damaged(format!(
                "disagrees about the length of {}",
                file.path
            )));
        }
        if let Some(slot) = stored_as.get_mut(index) {
            *slot = Some(published.stored_as);
        }
    }
    let conditions = Conditions::unknown(&info.geometry);
    Ok(Torrent {
        publication: id,
        info,
        layers: PieceLayers::new(metainfo.piece_layers),
        stored_as,
        conditions,
        stamps: Stamps::default(),
    })
}

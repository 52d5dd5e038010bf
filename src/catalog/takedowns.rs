//! What was taken down: nobody answers for it, and its names are known so that nobody takes it up again.

use std::sync::PoisonError;

use super::Catalog;
use crate::domain::publication::{Publication, PublicationId};
use crate::proto::id::InfoHash;
use crate::store::StoreError;
use crate::store::publications::IndexEntry;

impl Catalog {
    /// Takes a publication down at `now`, in seconds since 1970, on behalf of the administrator `account`: from then on nobody answers for
    /// it, and its torrent is refused. Says whether it was there. To be run to its end.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn take_down(
        &self,
        publication: &Publication,
        reason: &str,
        account: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        let id = publication.id;
        let taken_down = self.store.take_down(id, reason, account, now).await;
        self.count_edition(id);
        if !taken_down? {
            return Ok(false);
        }
        self.index
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .refuse(IndexEntry {
                id,
                info_hashes: publication.info_hashes,
                total_length: publication.total_length,
            });
        self.let_go(publication).await;
        Ok(true)
    }

    /// Puts back what was taken down, and says whether it was. To be run to its end.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn put_back(&self, id: PublicationId) -> Result<bool, StoreError> {
        let entry = self.store.put_back(id).await;
        self.count_edition(id);
        let Some(entry) = entry? else {
            return Ok(false);
        };
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for name in entry.info_hashes.wire() {
            index.refused.remove(&name);
        }
        index.add(entry);
        Ok(true)
    }

    /// The publication that was taken down and had a torrent of this name on the wire. Memory only.
    pub fn taken_down(&self, info_hash: &InfoHash) -> Option<PublicationId> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.refused.get(info_hash).copied()
    }
}

//! The last steps of every upload: an `info` dictionary is built of what was hashed, the content is sealed, and one transaction
//! makes it a publication.

use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::import::ImportError;
use super::ingest::{Details, IngestError};
use super::naming::Names;
use super::words::name_if_untitled;
use crate::catalog::Catalog;
use crate::domain::publication::{Publication, PublicationId, PublishedFile};
use crate::proto::id::InfoHashes;
use crate::proto::metainfo::build::{BuiltInfo, InfoOptions};
use crate::proto::metainfo::hash::HashedContent;
use crate::proto::metainfo::info::Info;
use crate::proto::metainfo::original::Original;
use crate::store::StoreError;
use crate::store::content::ContentStore;
use crate::store::publications::StoredMetainfo;

/// Makes publications of hashed content. Cheap to clone.
#[derive(Clone)]
pub(super) struct Press {
    pub(super) catalog: Catalog,
    pub(super) content: Arc<dyn ContentStore>,
    /// What must not stop half-way.
    pub(super) tasks: TaskTracker,
}

/// All of a publication that the bytes do not say.
pub(super) struct Manuscript {
    pub(super) id: PublicationId,
    /// The files in the order in which they were hashed.
    pub(super) names: Names,
    /// The numbers under which they are kept, in the same order.
    pub(super) stored_as: Vec<u32>,
    pub(super) details: Details,
    /// The torrent that they are to become again, if they have one.
    pub(super) original: Option<Arc<Original>>,
    pub(super) created_at: i64,
    pub(super) published_at: i64,
}

impl Press {
    /// Seals, then keeps the publication: a crash in between leaves content that the next start removes or goes on with, and never
    /// a publication without content. After an error the content may be sealed and nobody's: whoever calls undoes that.
    ///
    /// To be run to its end.
    pub(super) async fn publish(
        &self,
        manuscript: Manuscript,
        content: HashedContent,
        seal: impl FnOnce() -> Result<(), IngestError> + Send + 'static,
    ) -> Result<Publication, IngestError> {
        let id = manuscript.id;
        let building = self.tasks.spawn_blocking(|| manuscript.build(content));
        let (publication, metainfo) = building.await.map_err(|_| IngestError::Interrupted)??;
        self.check_hashes(&publication.info_hashes)?;
        let sha256: Vec<_> = publication.files.iter().map(|file| file.sha256).collect();
        let store = self.catalog.store();
        if let Some(taken_down) = store.taken_down_with(&sha256).await? {
            return Err(IngestError::TakenDown(taken_down));
        }
        self.tasks
            .spawn_blocking(seal)
            .await
            .map_err(|_| IngestError::Interrupted)??;
        if let Err(error) = self.catalog.publish(&publication, &metainfo).await {
            if !matches!(error, StoreError::Conflict(_)) {
                return Err(error.into());
            }
            // Another program may have been faster.
            self.catalog.follow().await?;
            let twin = self.published_as(&publication.info_hashes);
            return Err(twin.map_or_else(|| error.into(), IngestError::AlreadyPublished));
        }
        if let Err(error) = self.content.claim(id).await {
            tracing::warn!(publication = %id, %error, "published content could not be claimed; the next start does it");
        }
        Ok(publication)
    }

    /// Whether a publication was kept after all: a commit may fail too late.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails; then nobody knows.
    pub(super) async fn was_kept(&self, id: PublicationId) -> Result<bool, StoreError> {
        Ok(self.catalog.store().publication(id).await?.is_some())
    }

    /// Whether a torrent is neither published here nor taken down.
    pub(super) fn check_hashes(&self, info_hashes: &InfoHashes) -> Result<(), IngestError> {
        if let Some(twin) = self.published_as(info_hashes) {
            return Err(IngestError::AlreadyPublished(twin));
        }
        let mut names = info_hashes.wire();
        match names.find_map(|hash| self.catalog.taken_down(&hash)) {
            Some(taken_down) => Err(IngestError::TakenDown(taken_down)),
            None => Ok(()),
        }
    }

    fn published_as(&self, info_hashes: &InfoHashes) -> Option<PublicationId> {
        info_hashes.wire().find_map(|hash| self.catalog.find(&hash))
    }
}

impl Manuscript {
    pub(super) fn build(
        self,
        mut content: HashedContent,
    ) -> Result<(Publication, StoredMetainfo), IngestError> {
        content.rename(self.names.paths);
        let files = content.files().iter().zip(self.stored_as);
        let kept = files.map(|(file, stored_as)| Kept {
            sha256: file.sha256,
            crc32: file.crc32,
            stored_as,
        });
        let kept: Vec<_> = kept.collect();
        let BuiltInfo {
            info,
            piece_layers,
            order,
        } = match &self.original {
            Some(original) => become_again(original, &content)?,
            None => content.into_info(InfoOptions {
                name: self.names.name,
                layout: self.names.layout,
                private: self.details.private,
                source: None,
            })?,
        };
        let files = published_files(&info, &order, &kept);
        let words = name_if_untitled(self.details.words, &info.name);
        let publication = Publication {
            id: self.id,
            title: words.title,
            description: words.description,
            creator: words.creator,
            licence: words.licence.parse().ok(),
            tags: words.tags,
            particulars: words.particulars,
            format: self.details.format,
            private: self.details.private,
            name: info.name.clone(),
            info_hashes: info.hashes,
            piece_length: info.geometry.piece_length(),
            total_length: info.files.content_length(),
            files,
            publisher: self.details.publisher,
            created_at: self.created_at,
            published_at: self.published_at,
        };
        let metainfo = StoredMetainfo {
            info: info.raw,
            piece_layers,
        };
        Ok((publication, metainfo))
    }
}

/// The torrent that content is, if it has not changed. Its files were hashed in the torrent's order.
fn become_again(original: &Original, content: &HashedContent) -> Result<BuiltInfo, ImportError> {
    original.compare(content)?;
    Ok(BuiltInfo {
        info: original.info.clone(),
        // As the roots want them, even where the torrent file came without.
        piece_layers: content.piece_layers(),
        order: (0..content.files().len()).collect(),
    })
}

/// What was hashed of a file besides the torrent, and where it is.
struct Kept {
    sha256: Option<[u8; 32]>,
    crc32: Option<u32>,
    stored_as: u32,
}

/// The files in the torrent's order, each with its sums and the number under which it is kept, which are in the order in which
/// they were hashed.
fn published_files(info: &Info, order: &[usize], kept: &[Kept]) -> Vec<PublishedFile> {
    let files = order.iter().zip(info.files.content());
    files
        .filter_map(|(hashed_as, (_, file))| {
            let kept = kept.get(*hashed_as)?;
            Some(PublishedFile {
                path: file.path.clone(),
                length: file.length,
                sha256: kept.sha256?,
                crc32: kept.crc32,
                stored_as: kept.stored_as,
            })
        })
        .collect()
}

//! How the content of a publication is, for those who are told: pages and API.

use super::error::WebError;
use super::state::WebState;
use crate::domain::publication::Publication;

/// What is known of the content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Health {
    /// When all of it was last held against its hashes, in seconds since 1970.
    pub(super) verified_at: i64,
    /// Files that fail.
    pub(super) damaged_files: u64,
}

impl Health {
    /// What the last check has found, and what reads have met with since.
    pub(super) async fn of(state: &WebState, publication: &Publication) -> Result<Self, WebError> {
        let found = state.catalog.store().verified(publication.id).await?;
        let (verified_at, damaged_files) = found.map_or((publication.published_at, 0), |found| {
            (found.at, found.damaged_files)
        });
        let in_use = state.catalog.in_use(publication.id);
        let met = in_use.map_or(0, |torrent| torrent.damaged_files());
        Ok(Self {
            verified_at,
            damaged_files: damaged_files.max(u64::try_from(met).unwrap_or(u64::MAX)),
        })
    }
}

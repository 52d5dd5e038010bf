//! The sweep at start: what a crash left behind goes, what a database lost stays.

use std::collections::HashSet;

use crate::catalog::Catalog;
use crate::domain::publication::PublicationId;
use crate::store::StoreError;
use crate::store::content::ContentStore;

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Sealed content whose publication was never kept, or was withdrawn: removed.
    pub removed: Vec<PublicationId>,
    /// Content that a publication once owned, which the database no longer knows: left alone.
    pub unowned: Vec<PublicationId>,
    /// Publications whose content is gone.
    pub missing: Vec<PublicationId>,
}

/// Removes what a crash left behind, but for the `drafts` that go on. Call it before the first upload begins.
///
/// # Errors
/// [`StoreError::Damaged`] where the database is empty and content says that it was not always so; [`StoreError`] where
/// a store fails.
pub async fn sweep(
    catalog: &Catalog,
    content: &dyn ContentStore,
    drafts: &[PublicationId],
) -> Result<Swept, StoreError> {
    content.discard_stagings(drafts.to_vec()).await?;
    let mut without_content: HashSet<PublicationId> = HashSet::new();
    let (index, _) = catalog.store().index(0).await?;
    without_content.extend(index.iter().map(|entry| entry.id));
    // What was taken down is kept: it may be put back.
    let takedowns = catalog.store().takedowns().await?;
    without_content.extend(takedowns.iter().map(|takedown| takedown.entry.id));
    let is_empty = without_content.is_empty();

    let mut swept = Swept::default();
    for sealed in content.sealed().await? {
        match (without_content.remove(&sealed.id), sealed.is_claimed) {
            (true, true) => (),
            // The crash came between the transaction and the claim.
            (true, false) => content.claim(sealed.id).await?,
            // The crash came between sealing and the transaction: of a draft, which is taken up again, or of another upload.
            (false, false) if drafts.contains(&sealed.id) => (),
            (false, false) => {
                content.remove(sealed.id).await?;
                swept.removed.push(sealed.id);
            }
            // The crash came between a withdrawal and the end of its content.
            (false, true) if catalog.store().withdrawn(sealed.id).await?.is_some() => {
                content.remove(sealed.id).await?;
                swept.removed.push(sealed.id);
            }
            (false, true) => swept.unowned.push(sealed.id),
        }
    }
    if is_empty && !swept.unowned.is_empty() {
        return Err(StoreError::Damaged(format!(
            "the database has no publication, though the content of {} is there",
            swept.unowned.len()
        )));
    }
    swept.missing.extend(without_content);
    swept.log();
    Ok(swept)
}

impl Swept {
    fn log(&self) {
        for id in &self.removed {
            tracing::info!(publication = %id, "removed content of an upload or a withdrawal that was not finished before the last stop");
        }
        for id in &self.unowned {
            tracing::warn!(publication = %id, "there is content that the database does not know; it is left alone");
        }
        for id in &self.missing {
            tracing::error!(publication = %id, "the content of a publication is gone; restore it from a backup");
        }
    }
}

//! Publications kept at hand for HTTP: a bounded cache over the store, and the way from a path in an address to a file.
//!
//! A publication's content never changes. What is said of it may: each is kept with its edition, and read anew where the catalogue
//! counts another one.

use std::collections::HashMap;
use std::sync::Arc;

use moka::future::Cache;

use super::error::WebError;
use crate::catalog::Catalog;
use crate::domain::publication::{Publication, PublicationId, PublishedFile};
use crate::store::StoreError;

/// Bytes that a file of a publication takes in memory, beside its path: an estimate for the cache's bound.
const FILE_OVERHEAD: usize = 160;

/// A publication, with its files found by path.
#[derive(Debug)]
pub(super) struct Shelved {
    pub(super) publication: Publication,
    /// The place in `publication.files` of each path as addresses have it: with the torrent's name in front.
    places: HashMap<String, usize>,
}

impl Shelved {
    pub(super) fn new(publication: Publication) -> Self {
        let files = publication.files.iter().enumerate();
        let places = files.map(|(place, file)| (download_path(&publication, file), place));
        Self {
            places: places.collect(),
            publication,
        }
    }

    /// The file at a path as addresses have it, and its place among the publication's files.
    pub(super) fn find(&self, path: &str) -> Option<(usize, &PublishedFile)> {
        let place = *self.places.get(path)?;
        Some((place, self.publication.files.get(place)?))
    }

    /// The path of a file as addresses have it, and as it lies with whoever downloads all.
    pub(super) fn download_path(&self, file: &PublishedFile) -> String {
        download_path(&self.publication, file)
    }

    fn weight(&self) -> u32 {
        let files = self.publication.files.iter();
        let paths: usize = files
            .map(|file| FILE_OVERHEAD + 3 * file.path.to_string().len())
            .sum();
        u32::try_from(paths + self.publication.description.len() + 1024).unwrap_or(u32::MAX)
    }
}

fn download_path(publication: &Publication, file: &PublishedFile) -> String {
    if publication.is_single_file() {
        publication.name.clone()
    } else {
        format!("{}/{}", publication.name, file.path)
    }
}

/// The publications that were asked for lately. Cheap to clone.
#[derive(Clone)]
pub(super) struct Shelf {
    catalog: Catalog,
    /// Whom people write to where something was taken down.
    contact: Arc<str>,
    /// With the edition that the catalogue counted before it was read.
    shelved: Cache<PublicationId, (u64, Arc<Shelved>)>,
}

impl Shelf {
    /// A shelf that holds publications of `catalog`, `bytes` of them at most.
    pub(super) fn new(catalog: Catalog, bytes: u64, contact: &str) -> Self {
        let shelved = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_, (_, shelved): &(u64, Arc<Shelved>)| shelved.weight())
            .build();
        Self {
            catalog,
            contact: contact.into(),
            shelved,
        }
    }

    /// A publication, by its id as it stands in an address.
    ///
    /// # Errors
    /// [`WebError::NotFound`] where there is none, [`WebError::Withdrawn`] and [`WebError::TakenDown`] where there was; whatever the store
    /// fails with.
    pub(super) async fn find(&self, id: &str) -> Result<Arc<Shelved>, WebError> {
        let Ok(id) = id.parse() else {
            return Err(WebError::no_publication());
        };
        if let Some(shelved) = self.get(id).await? {
            return Ok(shelved);
        }
        if let Some(takedown) = self.catalog.store().takedown(id).await? {
            return Err(WebError::taken_down(&takedown, &self.contact));
        }
        let withdrawn = self.catalog.store().withdrawn(id).await?;
        Err(withdrawn.map_or_else(WebError::no_publication, WebError::withdrawn))
    }

    /// A publication, if it is there.
    pub(super) async fn get(&self, id: PublicationId) -> Result<Option<Arc<Shelved>>, StoreError> {
        let edition = self.catalog.edition(id);
        if let Some((of, shelved)) = self.shelved.get(&id).await
            && of == edition
        {
            return Ok(Some(shelved));
        }
        let Some(publication) = self.catalog.store().publication(id).await? else {
            return Ok(None);
        };
        let shelved = Arc::new(Shelved::new(publication));
        let entry = (edition, Arc::clone(&shelved));
        self.shelved.insert(id, entry).await;
        Ok(Some(shelved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::testing::{folder, single_file};

    #[test]
    fn paths_begin_with_the_torrents_name() {
        let shelved = Shelved::new(folder("box", &[("a.txt", 1), ("box/a.txt", 2)]));
        let length = |path| shelved.find(path).map(|(place, file)| (place, file.length));
        assert_eq!(length("box/a.txt"), Some((0, 1)));
        assert_eq!(length("box/box/a.txt"), Some((1, 2)));
        for path in ["a.txt", "box", "box/", "Box/a.txt", "../box/a.txt"] {
            assert_eq!(length(path), None, "{path}");
        }
    }

    #[test]
    fn a_single_file_is_the_name_itself() {
        let shelved = Shelved::new(single_file("a.iso", 7));
        assert!(shelved.find("a.iso").is_some());
        assert!(shelved.find("a.iso/a.iso").is_none());
    }
}

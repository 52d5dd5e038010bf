//! The data directory: its database and its content, for a server or for a command beside one.

use std::sync::Arc;

use super::{StartError, public_url};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::domain::publication::PublicationId;
use crate::publish::{Drafts, Ingest, sweep};
use crate::store::StoreError;
use crate::store::content::ContentStore;
use crate::store::files::FileStore;
use crate::store::lock::PublishingLock;
use crate::store::sqlite::SqliteStore;
use crate::tracker::Mode;
use crate::web::Links;

/// Opens the database of the data directory; makes both where there are none.
///
/// # Errors
/// [`StartError::DataDir`] or [`StartError::Store`].
pub async fn open_database(config: &Config) -> Result<SqliteStore, StartError> {
    let path = &config.data_dir.0;
    std::fs::create_dir_all(path).map_err(|source| StartError::DataDir {
        path: path.clone(),
        source,
    })?;
    Ok(SqliteStore::open(&path.join("sower.db"), &config.database).await?)
}

pub(super) fn open_content(config: &Config) -> Result<Arc<dyn ContentStore>, StoreError> {
    let path = config.data_dir.0.join("content");
    Ok(Arc::new(FileStore::open(&path, config.content.clone())?))
}

/// What makes publications of uploads: private ones where the tracker is.
pub(super) fn ingest(
    config: &Config,
    catalog: &Catalog,
    content: &Arc<dyn ContentStore>,
) -> Ingest {
    let ingest = Ingest::new(catalog.clone(), Arc::clone(content), config.publish.clone());
    if config.tracker.mode == Mode::Private {
        ingest.private_only()
    } else {
        ingest
    }
}

/// Sweeps up what a crash left behind, and goes on with the drafts.
pub(super) async fn take_up(
    config: &Config,
    ingest: &Ingest,
    database: &SqliteStore,
    catalog: &Catalog,
    content: &dyn ContentStore,
) -> Result<Drafts, StoreError> {
    let drafts = ingest.drafts(Arc::new(database.clone()));
    if let Some(_lock) = PublishingLock::keep_out(&config.data_dir.0)? {
        sweep(catalog, content, &drafts.kept().await?).await?;
    } else {
        tracing::info!(
            "a command is publishing in this data directory, so nothing is swept up until the next start"
        );
    }
    drafts.take_up().await?;
    Ok(drafts)
}

/// What publishes straight into a data directory, whether a server runs on it or not. A server that does notices by itself.
pub struct Workbench {
    ingest: Ingest,
    database: SqliteStore,
    links: Option<Links>,
    _lock: PublishingLock,
}

impl Workbench {
    /// Opens the data directory; makes it where there is none.
    ///
    /// # Errors
    /// [`StartError`], saying what to do.
    pub async fn open(config: &Config) -> Result<Self, StartError> {
        let database = open_database(config).await?;
        let lock = PublishingLock::share(&config.data_dir.0)?;
        let content = open_content(config)?;
        let catalog = Catalog::load(Arc::new(database.clone()), &config.catalog).await?;
        // Nobody knows the address of a server that has the system pick its port.
        let has_address = !config.public_url.is_empty() || config.listen.0.port() != 0;
        let links = has_address
            .then(|| public_url(config, config.listen.0))
            .transpose()?;
        let ingest = ingest(config, &catalog, &content);
        ingest.heed_drafts(&database).await?;
        Ok(Self {
            ingest,
            links: links.as_ref().map(Links::new).transpose()?,
            database,
            _lock: lock,
        })
    }

    /// What makes the publications.
    pub const fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// The address of a publication's page, where that is known.
    pub fn page(&self, id: PublicationId) -> Option<String> {
        Some(self.links.as_ref()?.page(id))
    }

    /// Waits until what is under way is published or gone, and lets go of the data directory.
    pub async fn close(self) {
        self.ingest.finished().await;
        self.database.close().await;
    }
}

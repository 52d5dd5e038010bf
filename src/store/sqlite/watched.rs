//! What was published from the watch folder, in SQLite.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use async_trait::async_trait;

use super::SqliteStore;
use super::publications::to_id;
use crate::store::StoreError;
use crate::store::watched::{WatchStore, Watched};

#[async_trait]
impl WatchStore for SqliteStore {
    async fn watched(&self) -> Result<Vec<Watched>, StoreError> {
        let rows: Vec<(Vec<u8>, Vec<u8>, String)> =
            sqlx::query_as("SELECT path, fingerprint, publication FROM watched ORDER BY path")
                .fetch_all(&self.readers)
                .await?;
        rows.into_iter()
            .map(|(path, fingerprint, publication)| {
                Ok(Watched {
                    path: OsString::from_vec(path).into(),
                    fingerprint: fingerprint.try_into().map_err(|_| {
                        StoreError::Damaged("a fingerprint is not 32 bytes long".to_owned())
                    })?,
                    publication: to_id(&publication)?,
                })
            })
            .collect()
    }

    async fn keep_watched(&self, watched: &Watched) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "INSERT OR REPLACE INTO watched (path, fingerprint, publication) VALUES ($1, $2, $3)",
        )
        .bind(watched.path.as_os_str().as_bytes())
        .bind(watched.fingerprint.as_slice())
        .bind(watched.publication.as_str())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn forget_watched(&self, path: &Path) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM watched WHERE path = $1")
            .bind(path.as_os_str().as_bytes())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

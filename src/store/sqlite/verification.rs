//! What checks of content have found, in SQLite.

use async_trait::async_trait;

use super::SqliteStore;
use super::publications::{from_integer, to_id, to_integer};
use crate::domain::publication::PublicationId;
use crate::store::StoreError;
use crate::store::publications::{Due, VerificationStore, Verified};

#[async_trait]
impl VerificationStore for SqliteStore {
    async fn note_verified(&self, id: PublicationId, found: Verified) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("UPDATE publication SET verified_at = $2, damaged_files = $3 WHERE id = $1")
            .bind(id.as_str())
            .bind(found.at)
            .bind(to_integer(found.damaged_files))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn verified(&self, id: PublicationId) -> Result<Option<Verified>, StoreError> {
        let row: Option<(i64, i64)> =
            sqlx::query_as("SELECT verified_at, damaged_files FROM publication WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(&self.readers)
                .await?;
        Ok(row.map(|(at, damaged_files)| Verified {
            at,
            damaged_files: from_integer(damaged_files),
        }))
    }

    async fn due(&self, due: Due) -> Result<Option<PublicationId>, StoreError> {
        let row: Option<(String,)> = sqlx::query_as(
            "SELECT id FROM publication
             WHERE (verified_at <= $1 OR (damaged_files > 0 AND verified_at <= $2))
                 AND id NOT IN (SELECT publication FROM takedown)
             ORDER BY verified_at LIMIT 1",
        )
        .bind(due.verified_until)
        .bind(due.damaged_until)
        .fetch_optional(&self.readers)
        .await?;
        row.map(|(id,)| to_id(&id)).transpose()
    }

    async fn damaged(&self, limit: u32) -> Result<(u64, Vec<PublicationId>), StoreError> {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM publication WHERE damaged_files > 0 AND id NOT IN (SELECT publication FROM takedown)")
                .fetch_one(&self.readers)
                .await?;
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT id FROM publication
             WHERE damaged_files > 0 AND NOT unlisted AND id NOT IN (SELECT publication FROM takedown)
             ORDER BY verified_at DESC, id LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        let ids: Result<_, _> = rows.iter().map(|(id,)| to_id(id)).collect();
        Ok((from_integer(count), ids?))
    }
}

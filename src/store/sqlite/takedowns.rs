//! Takedowns in SQLite: a line for each, at which every other query of publications stops.

use async_trait::async_trait;
use data_encoding::HEXLOWER;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::listing::file;
use super::publications::{to_id, to_index_entry, to_json};
use crate::domain::publication::PublicationId;
use crate::store::StoreError;
use crate::store::publications::IndexEntry;
use crate::store::takedowns::{Takedown, TakedownStore};

/// Whole lines of what was taken down.
macro_rules! takedowns {
    ($end:literal) => {
        concat!(
            "SELECT publication.id, info_hash_v1, info_hash_v2, total_length, title, reason, account, taken_down_at
             FROM takedown CROSS JOIN publication ON publication.id = takedown.publication ",
            $end
        )
    };
}

#[async_trait]
impl TakedownStore for SqliteStore {
    async fn take_down(
        &self,
        id: PublicationId,
        reason: &str,
        account: &str,
        now: i64,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let done = sqlx::query(
            "INSERT OR IGNORE INTO takedown (publication, reason, account, taken_down_at)
             SELECT id, $2, $3, $4 FROM publication WHERE id = $1",
        )
        .bind(id.as_str())
        .bind(reason)
        .bind(account)
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        file(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    async fn put_back(&self, id: PublicationId) -> Result<Option<IndexEntry>, StoreError> {
        let mut transaction = self.write().await?;
        let row = sqlx::query(takedowns!("WHERE takedown.publication = $1"))
            .bind(id.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        sqlx::query("DELETE FROM takedown WHERE publication = $1")
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await?;
        file(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(Some(to_index_entry(&row)?))
    }

    async fn takedown(&self, id: PublicationId) -> Result<Option<Takedown>, StoreError> {
        let row = sqlx::query(takedowns!("WHERE takedown.publication = $1"))
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(to_takedown).transpose()
    }

    async fn takedowns(&self) -> Result<Vec<Takedown>, StoreError> {
        let rows = sqlx::query(takedowns!("ORDER BY taken_down_at DESC, publication.id"))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(to_takedown).collect()
    }

    async fn taken_down_with(
        &self,
        sha256: &[[u8; 32]],
    ) -> Result<Option<PublicationId>, StoreError> {
        let sha256: Vec<String> = sha256.iter().map(|hash| HEXLOWER.encode(hash)).collect();
        let found: Option<String> = sqlx::query_scalar(
            "WITH given (sha256) AS MATERIALIZED (SELECT unhex(value) FROM json_each($1))
             SELECT publication FROM takedown
             WHERE NOT EXISTS (
                 SELECT 1 FROM published_file
                 WHERE published_file.publication = takedown.publication
                     AND length > 0 AND sha256 NOT IN (SELECT sha256 FROM given)
             )
             LIMIT 1",
        )
        .bind(to_json(&sha256)?)
        .fetch_optional(&self.readers)
        .await?;
        found.map(|id| to_id(&id)).transpose()
    }
}

fn to_takedown(row: &SqliteRow) -> Result<Takedown, StoreError> {
    Ok(Takedown {
        entry: to_index_entry(row)?,
        title: row.try_get("title")?,
        reason: row.try_get("reason")?,
        account: row.try_get("account")?,
        at: row.try_get("taken_down_at")?,
    })
}

//! Idempotency keys in SQLite.

use async_trait::async_trait;

use super::SqliteStore;
use super::publications::to_id;
use crate::domain::publication::PublicationId;
use crate::store::StoreError;
use crate::store::idempotency::{IdempotencyStore, KeyedRequest, Made};

#[async_trait]
impl IdempotencyStore for SqliteStore {
    async fn made(&self, account: i64, key: &str) -> Result<Option<Made>, StoreError> {
        let row: Option<(Vec<u8>, String)> = sqlx::query_as(
            "SELECT fingerprint, publication FROM idempotency_key AS noted
             WHERE account = $1 AND key = $2 AND (
                 EXISTS (SELECT 1 FROM draft WHERE id = noted.publication)
                 OR EXISTS (SELECT 1 FROM publication WHERE id = noted.publication)
                 OR EXISTS (SELECT 1 FROM withdrawal WHERE publication = noted.publication))",
        )
        .bind(account)
        .bind(key)
        .fetch_optional(&self.readers)
        .await?;
        row.map(|(fingerprint, publication)| {
            Ok(Made {
                fingerprint: fingerprint.try_into().map_err(|_| {
                    StoreError::Damaged("a request's fingerprint is not 32 bytes long".to_owned())
                })?,
                publication: to_id(&publication)?,
            })
        })
        .transpose()
    }

    async fn note_key(
        &self,
        request: &KeyedRequest,
        publication: PublicationId,
        now: i64,
        most: u32,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "INSERT OR REPLACE INTO idempotency_key (account, key, fingerprint, publication, noted_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(request.account)
        .bind(&request.key)
        .bind(request.fingerprint.as_slice())
        .bind(publication.as_str())
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "DELETE FROM idempotency_key WHERE account = $1 AND key NOT IN (
                 SELECT key FROM idempotency_key WHERE account = $1 ORDER BY key = $2 DESC, noted_at DESC LIMIT $3)
             AND publication NOT IN (SELECT id FROM draft)",
        )
        .bind(request.account)
        .bind(&request.key)
        .bind(most)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn forget_keys(&self, time: i64) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "DELETE FROM idempotency_key WHERE noted_at <= $1 AND publication NOT IN (SELECT id FROM draft)",
        )
        .bind(time)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}

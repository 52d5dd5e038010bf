//! Withdrawn publications in SQLite: a line is left of each, and what hangs on it goes along (`ON DELETE CASCADE`).

use async_trait::async_trait;

use super::SqliteStore;
use crate::domain::publication::PublicationId;
use crate::store::StoreError;
use crate::store::publications::WithdrawalStore;

#[async_trait]
impl WithdrawalStore for SqliteStore {
    async fn withdraw(&self, id: PublicationId, now: i64) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "INSERT INTO withdrawal (publication, withdrawn_at, replaces) SELECT id, $2, replaces FROM publication
             WHERE id = $1 AND id NOT IN (SELECT publication FROM takedown)",
        )
        .bind(id.as_str())
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        let removed = sqlx::query("DELETE FROM publication WHERE id = $1 AND id NOT IN (SELECT publication FROM takedown)")
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected() > 0)
    }

    async fn withdrawn(&self, id: PublicationId) -> Result<Option<i64>, StoreError> {
        let query =
            sqlx::query_scalar("SELECT withdrawn_at FROM withdrawal WHERE publication = $1");
        Ok(query
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await?)
    }
}

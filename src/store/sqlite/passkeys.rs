//! Passkeys in SQLite.

use async_trait::async_trait;

use super::SqliteStore;
use crate::domain::passkey::Passkey;
use crate::store::StoreError;
use crate::store::passkeys::PasskeyStore;

#[async_trait]
impl PasskeyStore for SqliteStore {
    async fn passkeys(&self) -> Result<Vec<Passkey>, StoreError> {
        let rows: Vec<Option<Vec<u8>>> =
            sqlx::query_scalar("SELECT passkey FROM account WHERE NOT is_disabled")
                .fetch_all(&self.readers)
                .await?;
        rows.into_iter().map(to_passkey).collect()
    }

    async fn passkey(&self, account: i64) -> Result<Option<Passkey>, StoreError> {
        let row: Option<Option<Vec<u8>>> =
            sqlx::query_scalar("SELECT passkey FROM account WHERE id = $1")
                .bind(account)
                .fetch_optional(&self.readers)
                .await?;
        row.map(to_passkey).transpose()
    }

    async fn replace_passkey(&self, account: i64, passkey: Passkey) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let replaced = sqlx::query("UPDATE account SET passkey = $1 WHERE id = $2")
            .bind(passkey.as_bytes().as_slice())
            .bind(account)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(replaced.rows_affected() > 0)
    }

    async fn version(&self) -> Result<i64, StoreError> {
        // It tells one connection of the writes of all others, so it is asked on a connection that writes nothing.
        Ok(sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(&self.watcher)
            .await?)
    }
}

fn to_passkey(bytes: Option<Vec<u8>>) -> Result<Passkey, StoreError> {
    bytes
        .and_then(|bytes| <[u8; Passkey::LENGTH]>::try_from(bytes).ok())
        .map(Passkey::from)
        .ok_or_else(|| StoreError::Damaged("an account has no passkey".to_owned()))
}

//! Accounts, API tokens and web sessions in SQLite.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use super::SqliteStore;
use crate::ambient;
use crate::domain::account::{Account, Role, fold_name};
use crate::domain::passkey::Passkey;
use crate::store::StoreError;
use crate::store::accounts::{AccountStore, NewToken, SecretHash};

#[async_trait]
impl AccountStore for SqliteStore {
    async fn add_account(
        &self,
        name: &str,
        role: Role,
        password: &str,
        now: i64,
    ) -> Result<Account, StoreError> {
        let mut transaction = self.write().await?;
        let row: AccountRow = sqlx::query_as(
            "INSERT INTO account (name, folded_name, role, password, created_at, passkey)
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING *",
        )
        .bind(name)
        .bind(fold_name(name))
        .bind(role.as_str())
        .bind(password)
        .bind(now)
        .bind(fresh_passkey().as_bytes().as_slice())
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        row.into_account()
    }

    async fn add_first_account(
        &self,
        name: &str,
        password: &str,
        now: i64,
    ) -> Result<Option<Account>, StoreError> {
        let mut transaction = self.write().await?;
        let row: Option<AccountRow> = sqlx::query_as(
            "INSERT INTO account (name, folded_name, role, password, created_at, passkey)
             SELECT $1, $2, $3, $4, $5, $6 WHERE NOT EXISTS (SELECT 1 FROM account) RETURNING *",
        )
        .bind(name)
        .bind(fold_name(name))
        .bind(Role::Admin.as_str())
        .bind(password)
        .bind(now)
        .bind(fresh_passkey().as_bytes().as_slice())
        .fetch_optional(&mut *transaction)
        .await?;
        transaction.commit().await?;
        row.map(AccountRow::into_account).transpose()
    }

    async fn account(&self, name: &str) -> Result<Option<(Account, String)>, StoreError> {
        let row: Option<AccountRow> =
            sqlx::query_as("SELECT * FROM account WHERE folded_name = $1")
                .bind(fold_name(name))
                .fetch_optional(&self.readers)
                .await?;
        row.map(|mut row| {
            let password = std::mem::take(&mut row.password);
            Ok((row.into_account()?, password))
        })
        .transpose()
    }

    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        let rows: Vec<AccountRow> = sqlx::query_as("SELECT * FROM account ORDER BY folded_name")
            .fetch_all(&self.readers)
            .await?;
        rows.into_iter().map(AccountRow::into_account).collect()
    }

    async fn disable_account(&self, name: &str) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let disabled = sqlx::query("UPDATE account SET is_disabled = TRUE WHERE folded_name = $1")
            .bind(fold_name(name))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(disabled.rows_affected() > 0)
    }

    async fn add_token(&self, token: &NewToken) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let added = sqlx::query(
            "INSERT INTO token (hash, account, name, prefix, expires_at, created_at)
             SELECT $1, id, $2, $3, $4, $5 FROM account WHERE folded_name = $6",
        )
        .bind(token.hash.as_slice())
        .bind(&token.name)
        .bind(&token.prefix)
        .bind(token.expires_at)
        .bind(token.created_at)
        .bind(fold_name(&token.account))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(added.rows_affected() > 0)
    }

    async fn account_by_token(
        &self,
        hash: &SecretHash,
        now: i64,
    ) -> Result<Option<Account>, StoreError> {
        let row: Option<AccountRow> = sqlx::query_as(
            "SELECT account.* FROM token JOIN account ON account.id = token.account
             WHERE token.hash = $1 AND (token.expires_at IS NULL OR token.expires_at > $2) AND NOT account.is_disabled",
        )
        .bind(hash.as_slice())
        .bind(now)
        .fetch_optional(&self.readers)
        .await?;
        row.map(AccountRow::into_account).transpose()
    }

    async fn add_session(
        &self,
        hash: &SecretHash,
        account: i64,
        expires_at: i64,
        now: i64,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM web_session WHERE expires_at <= $1")
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("INSERT INTO web_session (hash, account, expires_at) VALUES ($1, $2, $3)")
            .bind(hash.as_slice())
            .bind(account)
            .bind(expires_at)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn account_by_session(
        &self,
        hash: &SecretHash,
        now: i64,
    ) -> Result<Option<Account>, StoreError> {
        let row: Option<AccountRow> = sqlx::query_as(
            "SELECT account.* FROM web_session JOIN account ON account.id = web_session.account
             WHERE web_session.hash = $1 AND web_session.expires_at > $2 AND NOT account.is_disabled",
        )
        .bind(hash.as_slice())
        .bind(now)
        .fetch_optional(&self.readers)
        .await?;
        row.map(AccountRow::into_account).transpose()
    }

    async fn end_session(&self, hash: &SecretHash) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM web_session WHERE hash = $1")
            .bind(hash.as_slice())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }
}

fn fresh_passkey() -> Passkey {
    Passkey::generate(&mut ambient::rng())
}

struct AccountRow {
    id: i64,
    name: String,
    role: String,
    password: String,
    is_disabled: bool,
    created_at: i64,
}

impl FromRow<'_, SqliteRow> for AccountRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            role: row.try_get("role")?,
            password: row.try_get("password")?,
            is_disabled: row.try_get("is_disabled")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

impl AccountRow {
    fn into_account(self) -> Result<Account, StoreError> {
        let role = self.role.parse().map_err(|_| {
            StoreError::Damaged(format!(
                "the account {:?} has the role {:?}",
                self.name, self.role
            ))
        })?;
        Ok(Account {
            id: self.id,
            name: self.name,
            role,
            is_disabled: self.is_disabled,
            created_at: self.created_at,
        })
    }
}

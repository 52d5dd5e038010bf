//! The port for accounts, API tokens and web sessions. Secrets come in hashed: no adapter ever sees one.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::account::{Account, Role};

/// The SHA-256 of a token or session id: what is kept of them. They carry at least 128 bits of randomness, so a plain hash will do.
pub type SecretHash = [u8; 32];

/// A new API token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// The account that it acts for, by name.
    pub account: String,
    /// What its owner calls it; may be empty.
    pub name: String,
    /// Its first characters, by which lists and logs name it.
    pub prefix: String,
    /// The hash of the whole token.
    pub hash: SecretHash,
    /// When it stops working, in seconds since 1970; `None` for never.
    pub expires_at: Option<i64>,
    /// When it was made, in seconds since 1970.
    pub created_at: i64,
}

/// Keeps accounts, tokens and web sessions.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Makes an account with a password hash in PHC form, and with a passkey.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the name is taken, whatever its case.
    async fn add_account(
        &self,
        name: &str,
        role: Role,
        password: &str,
        now: i64,
    ) -> Result<Account, StoreError>;

    /// Makes the first account, an administrator; `None` where there is an account already.
    async fn add_first_account(
        &self,
        name: &str,
        password: &str,
        now: i64,
    ) -> Result<Option<Account>, StoreError>;

    /// An account and its password hash, by name (whatever its case), disabled ones too.
    async fn account(&self, name: &str) -> Result<Option<(Account, String)>, StoreError>;

    /// All accounts by name.
    async fn accounts(&self) -> Result<Vec<Account>, StoreError>;

    /// Disables an account, by name: it can no longer log in, and its tokens and its passkey do not work. `false` where there is none.
    async fn disable_account(&self, name: &str) -> Result<bool, StoreError>;

    /// Keeps a token; `false` where its account does not exist.
    async fn add_token(&self, token: &NewToken) -> Result<bool, StoreError>;

    /// The account that a token acts for, if the token is live and the account not disabled.
    async fn account_by_token(
        &self,
        hash: &SecretHash,
        now: i64,
    ) -> Result<Option<Account>, StoreError>;

    /// Begins a web session for an account and forgets sessions that have expired.
    async fn add_session(
        &self,
        hash: &SecretHash,
        account: i64,
        expires_at: i64,
        now: i64,
    ) -> Result<(), StoreError>;

    /// The account of a live web session, if it is not disabled.
    async fn account_by_session(
        &self,
        hash: &SecretHash,
        now: i64,
    ) -> Result<Option<Account>, StoreError>;

    /// Ends a web session.
    async fn end_session(&self, hash: &SecretHash) -> Result<(), StoreError>;
}

//! The port for passkeys: what a private tracker knows its peers' owners by (BEP 27). Each account has one from its beginning.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::passkey::Passkey;

/// Keeps the accounts' passkeys.
#[async_trait]
pub trait PasskeyStore: Send + Sync {
    /// All that work: those of accounts that are not disabled.
    async fn passkeys(&self) -> Result<Vec<Passkey>, StoreError>;

    /// The passkey of an account, by its number; `None` where there is no such account.
    async fn passkey(&self, account: i64) -> Result<Option<Passkey>, StoreError>;

    /// Gives an account another passkey: the one before works no more. `false` where there is no such account.
    async fn replace_passkey(&self, account: i64, passkey: Passkey) -> Result<bool, StoreError>;

    /// A number that is another one after anybody wrote anything, other programs too.
    async fn version(&self) -> Result<i64, StoreError>;
}

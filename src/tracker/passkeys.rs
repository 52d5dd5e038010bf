//! The passkeys that work, in memory: an announce never waits for a database.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use crate::domain::passkey::Passkey;

/// The passkeys of all accounts that are not disabled. The app brings it up to date whenever the accounts changed.
#[derive(Debug, Default)]
pub struct Passkeys {
    /// Looked up under a hash with a key of its own, so that the time it takes says nothing of what is nearly right. Never held
    /// over an await.
    valid: RwLock<HashSet<Passkey>>,
}

impl Passkeys {
    /// From now on these work, and no others.
    pub fn replace(&self, valid: impl IntoIterator<Item = Passkey>) {
        let valid = valid.into_iter().collect();
        *self.valid.write().unwrap_or_else(PoisonError::into_inner) = valid;
    }

    /// Whether it works.
    pub(super) fn include(&self, passkey: &Passkey) -> bool {
        self.valid
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(passkey)
    }
}

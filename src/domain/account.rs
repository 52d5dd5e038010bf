//! Accounts: who somebody is, and what they may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May publish.
    Publisher,
    /// May do everything.
    Admin,
}

impl Role {
    /// The word for it on the command line, in the API and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the role {0:?} is not known; use admin or publisher")]
pub struct UnknownRole(pub String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "admin" => Ok(Self::Admin),
            "publisher" => Ok(Self::Publisher),
            _ => Err(UnknownRole(text.to_owned())),
        }
    }
}

/// Who may publish on this server (`publish.who`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhoMayPublish {
    /// Administrators only.
    Admins,
    /// Every account.
    #[default]
    Publishers,
    /// Everyone, without an account.
    Anyone,
}

impl WhoMayPublish {
    /// Whether somebody with this role (`None`: without an account) may publish.
    pub const fn allows(self, role: Option<Role>) -> bool {
        match (self, role) {
            (Self::Anyone, _) | (Self::Publishers, Some(_)) | (Self::Admins, Some(Role::Admin)) => {
                true
            }
            (Self::Publishers | Self::Admins, _) => false,
        }
    }
}

/// Bytes in an account's name, at most.
pub const MAX_NAME_LENGTH: usize = 64;

/// Characters in a password, at least.
pub const MIN_PASSWORD_LENGTH: usize = 8;

/// Bytes in a password, at most: hashing must not be a way to keep the server busy.
pub const MAX_PASSWORD_LENGTH: usize = 1024;

/// Why a name or a password is refused. Each message says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A name is letters, digits, `.`, `_` and `-`.
    #[error("a name has 1 to 64 letters, digits, dots, dashes or underscores; choose another")]
    BadName,
    /// The password is too short.
    #[error("the password is too short; use at least {MIN_PASSWORD_LENGTH} characters")]
    ShortPassword,
    /// The password is too long.
    #[error("the password is too long; use at most {MAX_PASSWORD_LENGTH} bytes")]
    LongPassword,
}

/// Checks the name of a new account.
///
/// # Errors
/// [`CredentialError::BadName`].
pub fn check_name(name: &str) -> Result<(), CredentialError> {
    let is_good = !name.is_empty()
        && name.len() <= MAX_NAME_LENGTH
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if is_good {
        Ok(())
    } else {
        Err(CredentialError::BadName)
    }
}

/// A name without its case and Unicode form: two accounts whose names fold to the same would pass for each other.
pub fn fold_name(name: &str) -> String {
    name.nfkc().flat_map(char::to_lowercase).nfkc().collect()
}

/// Checks a new password.
///
/// # Errors
/// [`CredentialError::ShortPassword`] or [`CredentialError::LongPassword`].
pub fn check_password(password: &str) -> Result<(), CredentialError> {
    if password.len() > MAX_PASSWORD_LENGTH {
        return Err(CredentialError::LongPassword);
    }
    if password.chars().count() < MIN_PASSWORD_LENGTH {
        return Err(CredentialError::ShortPassword);
    }
    Ok(())
}

/// An account, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number in the database.
    pub id: i64,
    /// The name that the person logs in with, and that their publications carry.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it may no longer log in or use its tokens.
    pub is_disabled: bool,
    /// When it was made, in seconds since 1970.
    pub created_at: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing_follows_the_configuration() {
        assert!(WhoMayPublish::Anyone.allows(None));
        assert!(!WhoMayPublish::Publishers.allows(None));
        assert!(WhoMayPublish::Publishers.allows(Some(Role::Publisher)));
        assert!(!WhoMayPublish::Admins.allows(Some(Role::Publisher)));
        assert!(WhoMayPublish::Admins.allows(Some(Role::Admin)));
    }

    #[test]
    fn names_that_look_alike_fold_to_one() {
        assert_eq!(fold_name("Zo\u{eb}"), fold_name("ZOE\u{308}"));
        assert_ne!(fold_name("ada"), fold_name("adam"));
    }

    #[test]
    fn names_and_passwords_have_bounds() {
        assert!(check_name("ada.lovelace-1").is_ok());
        for name in ["", "a b", "<script>", &"x".repeat(65)] {
            assert_eq!(check_name(name), Err(CredentialError::BadName), "{name}");
        }
        assert_eq!(
            check_password("1234567"),
            Err(CredentialError::ShortPassword)
        );
        assert!(check_password("pässwört").is_ok());
        assert_eq!(
            check_password(&"x".repeat(1025)),
            Err(CredentialError::LongPassword)
        );
    }
}

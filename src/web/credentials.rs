//! Passwords and tokens: made, hashed and checked.
//!
//! Passwords are kept as argon2id in PHC form. Tokens and session ids carry 256 bits of randomness, so their SHA-256 is
//! enough. Hashing a password takes tens of milliseconds and 19 MiB: call these functions where blocking is allowed.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use data_encoding::BASE64URL_NOPAD;
use rand::Rng;
use sha2::{Digest, Sha256};

use crate::store::accounts::SecretHash;

/// How every API token begins, so that people and secret scanners know one when they see it.
const TOKEN_PREFIX: &str = "sower_";

/// Characters of a token by which lists and logs name it: the prefix and 6 of 43 random ones.
const SHOWN_LENGTH: usize = 12;

/// Random bytes in a token or session id.
const SECRET_LENGTH: usize = 32;

/// A password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct HashError(argon2::password_hash::Error);

/// Hashes a password with argon2id and a fresh salt, in PHC form.
///
/// # Errors
/// [`HashError`] where the system gives no randomness.
pub fn hash_password(password: &str) -> Result<String, HashError> {
    let salt: [u8; 16] = random();
    let hash = Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(HashError)?;
    Ok(hash.to_string())
}

/// Whether `password` is the one that `hash` (in PHC form) is of.
pub fn is_password(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok()
    })
}

/// A fresh API token. The secret is shown once and never kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// What goes into `Authorization: Bearer`.
    pub secret: String,
    /// Its first characters, by which lists and logs name it.
    pub prefix: String,
    /// What is kept.
    pub hash: SecretHash,
}

impl std::fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiToken({}…)", self.prefix)
    }
}

/// Makes an API token.
pub fn new_token() -> ApiToken {
    let secret = format!("{TOKEN_PREFIX}{}", new_secret());
    ApiToken {
        prefix: secret.chars().take(SHOWN_LENGTH).collect(),
        hash: hash_secret(&secret),
        secret,
    }
}

/// A random secret of 256 bits, in letters that may stand in addresses and cookies.
pub(super) fn new_secret() -> String {
    BASE64URL_NOPAD.encode(&random::<SECRET_LENGTH>())
}

/// What is kept of a token or session id.
pub fn hash_secret(secret: &str) -> SecretHash {
    Sha256::digest(secret).into()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    crate::ambient::rng().fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash_and_no_other_is() {
        let hash = hash_password("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(is_password("correct horse", &hash));
        assert!(!is_password("correct horsf", &hash));
        assert_ne!(hash, hash_password("correct horse").unwrap());
    }

    #[test]
    fn nothing_is_the_password_of_a_broken_hash() {
        assert!(!is_password("", ""));
        assert!(!is_password("x", "$argon2id$v=19$"));
    }

    #[test]
    fn tokens_name_themselves_and_hide_the_rest() {
        let token = new_token();
        assert!(token.secret.starts_with("sower_") && token.secret.len() == 49);
        assert!(token.secret.starts_with(&token.prefix) && token.prefix.len() == 12);
        assert_eq!(token.hash, hash_secret(&token.secret));
        assert!(!format!("{token:?}").contains(&token.secret));
    }
}

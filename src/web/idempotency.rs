//! The header `Idempotency-Key`: a request that makes something says by it that it is the same as one before
//! (draft-ietf-httpapi-idempotency-key-header). What the key looks like is its sender's affair, quotes and all.

use http::HeaderMap;
use sha2::{Digest, Sha256};

use super::error::{WebError, sentence};
use crate::domain::account::Account;
use crate::publish::{KeyError, Keys, Turn};

/// Its name.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Characters in a key, at most.
const MAX_KEY: usize = 255;

/// What a request has to do by its key; `None` where it has none. What it `said` tells it from other requests.
pub(super) async fn turn(
    keys: &Keys,
    caller: Option<&Account>,
    headers: &HeaderMap,
    said: &[&[u8]],
) -> Result<Option<Turn>, WebError> {
    let Some(key) = read(headers)? else {
        return Ok(None);
    };
    let account = caller.ok_or_else(|| {
        WebError::NotLoggedIn(
            "An Idempotency-Key is remembered for an account. Send \"Authorization: Bearer \" and an API token too, or leave the key out.".to_owned(),
        )
    })?;
    Ok(Some(keys.begin(account, key, fingerprint(said)).await?))
}

fn read(headers: &HeaderMap) -> Result<Option<&str>, WebError> {
    let mut sent = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = sent.next() else {
        return Ok(None);
    };
    let key = key.to_str().ok().filter(|key| {
        let is_sound = key.bytes().all(|byte| byte.is_ascii_graphic());
        is_sound && (1..=MAX_KEY).contains(&key.len())
    });
    match (key, sent.next()) {
        (Some(key), None) => Ok(Some(key)),
        _ => Err(WebError::Invalid(format!(
            "An Idempotency-Key is one word of 1 to {MAX_KEY} visible ASCII characters, such as a UUID, and is sent once."
        ))),
    }
}

fn fingerprint(said: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for said in said {
        // With their lengths, or what moves from one to the next would look the same.
        hasher.update((said.len() as u64).to_be_bytes());
        hasher.update(said);
    }
    hasher.finalize().into()
}

impl From<KeyError> for WebError {
    fn from(error: KeyError) -> Self {
        let words = sentence(&error.to_string());
        match error {
            KeyError::UnderWay => Self::Conflict(words),
            KeyError::Reused => Self::Unprocessable(words),
            KeyError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(keys: &[&'static [u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(IDEMPOTENCY_KEY, HeaderValue::from_bytes(key).unwrap());
        }
        headers
    }

    #[test]
    fn a_key_is_one_visible_word() {
        assert_eq!(read(&headers(&[])).unwrap(), None);
        assert_eq!(read(&headers(&[b"\"8e03\""])).unwrap(), Some("\"8e03\""));
        assert!(read(&headers(&[&[b'x'; MAX_KEY]])).is_ok());
        for bad in [&b""[..], b"two words", b"caf\xe9", &[b'x'; MAX_KEY + 1]] {
            assert!(read(&headers(&[bad])).is_err(), "{bad:?}");
        }
        assert!(read(&headers(&[b"one", b"one"])).is_err());
    }

    #[test]
    fn what_is_said_elsewhere_is_something_else() {
        assert_eq!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"ab", b"c"]));
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
    }
}

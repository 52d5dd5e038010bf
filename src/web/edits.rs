//! Changes to publications, as pages and API have them in common: who may, and which version of it they have seen.

use std::time::Duration;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::error::{WebError, sentence};
use crate::domain::account::Account;
use crate::domain::publication::Publication;
use crate::publish::{EditError, Options as Rules};

/// Bytes in a body with new words, at most: escapes of JSON and of forms take six bytes for one.
pub(super) const fn max_body(rules: &Rules) -> usize {
    let words = rules
        .max_title_length
        .saturating_mul(4)
        .saturating_add(rules.max_description_bytes);
    words.saturating_mul(6).saturating_add(4 * 1024)
}

/// Whether an account may change a publication.
///
/// # Errors
/// [`WebError::Forbidden`], with who may.
pub(super) fn check_permission(
    publication: &Publication,
    account: &Account,
) -> Result<(), WebError> {
    if publication.may_be_edited_by(account) {
        return Ok(());
    }
    let who = match publication.publisher.as_str() {
        "" => "only administrators change what was published without an account".to_owned(),
        publisher => format!("only {publisher}, who published this, and administrators change it"),
    };
    let name = &account.name;
    Err(WebError::Forbidden(format!(
        "You are {name}, and {who}. Ask one of them."
    )))
}

/// The entity tag of what may change of a publication. The live figures beside it are not in it, or nobody could ever say which
/// version they saw.
pub(super) fn entity_tag(publication: &Publication) -> String {
    // A title has no line end, so different words never look alike.
    let words = format!("{}\n{}", publication.title, publication.description);
    let digest = Sha256::digest(words);
    format!(
        "\"{}\"",
        HEXLOWER.encode(digest.get(..16).unwrap_or(&digest))
    )
}

impl From<EditError> for WebError {
    fn from(error: EditError) -> Self {
        let words = sentence(&error.to_string());
        match error {
            EditError::Words(_) => Self::TooLarge(words),
            EditError::Changed => Self::PreconditionFailed(words),
            EditError::Gone => Self::no_publication(),
            EditError::Interrupted => Self::Unavailable {
                detail: words,
                after: Duration::from_secs(30),
            },
            EditError::Store(error) => error.into(),
        }
    }
}

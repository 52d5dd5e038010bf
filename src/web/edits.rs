//! Changes to publications, as pages and API have them in common: who may, and which version of it they have seen.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Redirect, Response};
use data_encoding::HEXLOWER;
use http::request::Parts;
use sha2::{Digest, Sha256};

use super::auth::Viewer;
use super::error::{WebError, sentence};
use super::particulars::max_bytes_in_all;
use super::shelf::Shelved;
use super::state::WebState;
use crate::domain::account::{Account, Role};
use crate::domain::publication::Publication;
use crate::publish::{EditError, Options as Rules, WordsError};

/// Bytes in a body with new words, at most: escapes of JSON and of forms take six bytes for one.
pub(super) fn max_body(rules: &Rules) -> usize {
    let words = rules
        .max_title_length
        .saturating_mul(4)
        .saturating_add(max_creator_bytes(rules))
        .saturating_add(max_tags_bytes(rules))
        .saturating_add(max_bytes_in_all(rules))
        .saturating_add(rules.max_description_bytes);
    words.saturating_mul(6).saturating_add(4 * 1024)
}

/// Bytes in the name of a creator, at most: characters take up to four.
pub(super) const fn max_creator_bytes(rules: &Rules) -> usize {
    rules.max_creator_length.saturating_mul(4)
}

/// Bytes in all tags with what stands between them, at most.
pub(super) const fn max_tags_bytes(rules: &Rules) -> usize {
    let tag = rules.max_tag_length.saturating_mul(4).saturating_add(4);
    tag.saturating_mul(rules.max_tags)
}

/// The publication whose `id` is in the address of a page, and the viewer, who may change it. Who has not logged in is sent there
/// first, and from there back to the page.
pub(super) struct Changeable {
    pub(super) shelved: Arc<Shelved>,
    pub(super) viewer: Account,
}

impl FromRequestParts<WebState> for Changeable {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, Response> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        let Path(id) = id.map_err(IntoResponse::into_response)?;
        let shelved = state.shelf.find(&id).await;
        let shelved = shelved.map_err(IntoResponse::into_response)?;
        let Ok(Viewer(viewer)) = Viewer::from_request_parts(parts, state).await;
        let Some(viewer) = viewer else {
            let log_in = format!("/login?next={}", parts.uri.path());
            return Err(Redirect::to(&log_in).into_response());
        };
        check_permission(&shelved.publication, &viewer).map_err(IntoResponse::into_response)?;
        Ok(Self { shelved, viewer })
    }
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

/// Whether an account may take publications down and put them back.
///
/// # Errors
/// [`WebError::Forbidden`], with who may.
pub(super) fn check_administrator(account: &Account) -> Result<(), WebError> {
    if account.role == Role::Admin {
        return Ok(());
    }
    Err(WebError::Forbidden(format!(
        "Your account {} has the role {}, and only administrators take publications down and put them back. Ask one of them.",
        account.name, account.role
    )))
}

/// The entity tag of what may change of a publication. The live figures beside it are not in it, or nobody could ever say which
/// version they saw.
pub(super) fn entity_tag(publication: &Publication) -> String {
    // None of them has a line end but the last, so different words never look alike.
    let words = publication.words();
    let tags = words.tags.join(",");
    let particulars = serde_json::to_string(&words.particulars).unwrap_or_default();
    let lines = [
        &words.title,
        &words.creator,
        &words.licence,
        &tags,
        &particulars,
        &words.description,
    ];
    let words = lines.map(String::as_str).join("\n");
    let digest = Sha256::digest(words);
    format!(
        "\"{}\"",
        HEXLOWER.encode(digest.get(..16).unwrap_or(&digest))
    )
}

impl WebError {
    /// The refusal of what was said of a publication.
    pub(super) fn refused_words(error: &WordsError) -> Self {
        let words = sentence(&error.to_string());
        if error.is_about_size() {
            Self::TooLarge(words)
        } else {
            Self::Invalid(words)
        }
    }
}

impl From<EditError> for WebError {
    fn from(error: EditError) -> Self {
        let words = sentence(&error.to_string());
        match error {
            EditError::Words(error) => Self::refused_words(&error),
            EditError::Changed => Self::PreconditionFailed(words),
            EditError::NoReason => Self::Invalid(words),
            EditError::LongReason { .. } => Self::TooLarge(words),
            EditError::NotTakenDown => Self::NotFound(words),
            EditError::Gone => Self::no_publication(),
            EditError::Interrupted => Self::Unavailable {
                detail: words,
                after: Duration::from_secs(30),
            },
            EditError::Store(error) => error.into(),
        }
    }
}

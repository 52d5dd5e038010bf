//! Changes to publications over the JSON API.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, IF_MATCH};
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::drafts;
use super::openapi::{Change, PublicationOrDraft, Refused, curl};
use super::publications::Describer;
use crate::ambient;
use crate::domain::account::Account;
use crate::domain::publication::{Publication, Words};
use crate::publish::Editor;
use crate::web::auth::Caller;
use crate::web::conditions::matches;
use crate::web::edits::{check_permission, entity_tag};
use crate::web::error::WebError;
use crate::web::particulars::{check_replaced, read_replaced};
use crate::web::state::WebState;

/// The type of a patch (RFC 7396).
const MERGE_PATCH: &str = "application/merge-patch+json";

/// What a patch may change.
const CHANGEABLE: &str = "\"title\", \"description\", \"creator\", \"licence\", \"tags\", \"unlisted\", \"replaces\", \"doi\", \"links\", \"trackers\" and \"web_seeds\"";

/// Change what is said of a publication.
///
/// A merge patch (RFC 7396): what it does not name stays, `null` removes. `If-Match` names the version that is changed, or `*`.
#[utoipa::path(
    patch,
    path = "/api/v1/publications/{id}",
    tag = "Publications",
    params(("id" = String, Path, description = "The publication's id."), ("if-match" = String, Header, description = "The `ETag` of what you have seen, or `*`.")),
    request_body(content((Change = "application/merge-patch+json"), (Change = "application/json"))),
    responses(
        (status = 200, description = "The publication as it is now.", body = PublicationOrDraft),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("-X PATCH -H \"Authorization: Bearer $TOKEN\" -H 'If-Match: *' -H 'Content-Type: application/merge-patch+json' -d '{\"title\":\"A better title\"}' {url}/api/v1/publications/ID")))),
)]
pub(in crate::web) async fn patch(
    State(state): State<WebState>,
    State(editor): State<Editor>,
    State(describer): State<Describer>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, WebError> {
    let shelved = state.shelf.find(&id).await?;
    let publication = &shelved.publication;
    let caller = owner(publication, caller)?;
    if !is_patch(&headers) {
        // RFC 5789, section 2.2.
        let refusal = WebError::UnsupportedType(format!("Send the change as {MERGE_PATCH}."));
        return Ok(([("accept-patch", MERGE_PATCH)], refusal).into_response());
    }
    if !headers.contains_key(IF_MATCH) {
        return Err(WebError::PreconditionRequired(
            "Say which version you change: send If-Match with the ETag that GET gave, or \"If-Match: *\" to change it whatever it says now.".to_owned(),
        ));
    }
    check_version(publication, &headers)?;
    let words = apply(publication.words(), read(&body)?)?;
    let before = publication.particulars.replaces;
    check_replaced(&state.shelf, Some(&caller), before, &words.particulars).await?;
    editor.reword(publication, &words).await?;
    let reworded = state.shelf.find(&id).await?;
    describer
        .answer(&state, Some(&caller), &reworded.publication)
        .await
}

/// Withdraw a publication, or give up a draft.
#[utoipa::path(
    delete,
    path = "/api/v1/publications/{id}",
    tag = "Publications",
    params(("id" = String, Path, description = "The publication's id."), ("if-match" = Option<String>, Header, description = "The `ETag` of what you have seen.")),
    responses(
        (status = 204, description = "It is gone."),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("-X DELETE -H \"Authorization: Bearer $TOKEN\" {url}/api/v1/publications/ID")))),
)]
pub(in crate::web) async fn delete(
    State(state): State<WebState>,
    State(editor): State<Editor>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    if drafts::delete(&state.drafts, caller.as_ref(), &id).await? {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let shelved = state.shelf.find(&id).await?;
    let publication = &shelved.publication;
    let caller = owner(publication, caller)?;
    check_version(publication, &headers)?;
    editor.withdraw(publication, ambient::unix_now()).await?;
    tracing::info!(publication = %publication.id, account = %caller.name, "withdrawn");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The caller, who may change the publication.
fn owner(publication: &Publication, caller: Option<Account>) -> Result<Account, WebError> {
    let caller = caller.ok_or_else(|| {
        WebError::NotLoggedIn(
            "Changing a publication needs the account that published it. Send \"Authorization: Bearer \" and an API token.".to_owned(),
        )
    })?;
    check_permission(publication, &caller)?;
    Ok(caller)
}

fn is_patch(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    [MERGE_PATCH, "application/json"]
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known))
}

/// Whether the publication is what the caller has seen, where they say what that was (RFC 9110, section 13.1.1).
fn check_version(publication: &Publication, headers: &HeaderMap) -> Result<(), WebError> {
    let tag = entity_tag(publication);
    if !headers.contains_key(IF_MATCH) || matches(headers, &IF_MATCH, |seen| seen == tag) {
        return Ok(());
    }
    Err(WebError::PreconditionFailed(
        "The publication is not any more what you have seen. GET it again, then repeat your change with the new ETag.".to_owned(),
    ))
}

fn read(body: &[u8]) -> Result<Map<String, Value>, WebError> {
    serde_json::from_slice(body).map_err(|error| {
        WebError::Invalid(format!(
            "The change cannot be read: {error}. Send a JSON object with any of {CHANGEABLE}."
        ))
    })
}

/// Applies a merge patch (RFC 7396): what it does not name stays, and `null` removes.
fn apply(mut words: Words, patch: Map<String, Value>) -> Result<Words, WebError> {
    for (name, value) in patch {
        let word = match name.as_str() {
            "title" => &mut words.title,
            "description" => &mut words.description,
            "creator" => &mut words.creator,
            "licence" => &mut words.licence,
            "doi" => &mut words.particulars.doi,
            _ => {
                apply_other(&mut words, &name, value)?;
                continue;
            }
        };
        *word = read_as(&name, value, "a text")?;
    }
    Ok(words)
}

/// Applies what is no text.
fn apply_other(words: &mut Words, name: &str, value: Value) -> Result<(), WebError> {
    let particulars = &mut words.particulars;
    match name {
        "tags" => words.tags = read_as(name, value, "a list of texts")?,
        "unlisted" => particulars.unlisted = read_as(name, value, "true or false")?,
        "replaces" => {
            let text: String = read_as(name, value, "the id of an older version")?;
            particulars.replaces = read_replaced(&text)?;
        }
        "links" => {
            let form = "a list of {\"title\": \"…\", \"url\": \"https://…\"}";
            particulars.links = read_as(name, value, form)?;
        }
        "trackers" => particulars.trackers = read_as(name, value, "a list of addresses")?,
        "web_seeds" => particulars.web_seeds = read_as(name, value, "a list of addresses")?,
        _ => {
            let name: String = name.chars().take(64).collect();
            return Err(WebError::Invalid(format!(
                "{name:?} cannot be changed. What can is {CHANGEABLE}; other content is another publication."
            )));
        }
    }
    Ok(())
}

/// A member of a patch, of which `null` removes what there was.
fn read_as<T: Default + DeserializeOwned>(
    name: &str,
    value: Value,
    form: &str,
) -> Result<T, WebError> {
    let read: Option<T> = serde_json::from_value(value).map_err(|_| {
        WebError::Invalid(format!("{name:?} has to be {form}, or null to remove it."))
    })?;
    Ok(read.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;
    use utoipa::openapi::{RefOr, Schema};

    use super::*;

    fn patched(patch: &str) -> Result<Words, WebError> {
        let words = Words {
            title: "Title".to_owned(),
            description: "Description".to_owned(),
            tags: vec!["old".to_owned()],
            ..Words::default()
        };
        apply(words, read(patch.as_bytes())?)
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        for (patch, title, description) in [
            ("{}", "Title", "Description"),
            (r#"{"title":"T"}"#, "T", "Description"),
            (r#"{"title":null}"#, "", "Description"),
            (r#"{"description":"","title":"T"}"#, "T", ""),
        ] {
            let words = patched(patch).unwrap();
            assert_eq!(words.title, title, "{patch}");
            assert_eq!(words.description, description, "{patch}");
        }
    }

    #[test]
    fn a_patch_replaces_all_tags_or_none() {
        for (patch, tags) in [
            ("{}", vec!["old"]),
            (r#"{"tags":["a","b"]}"#, vec!["a", "b"]),
            (r#"{"tags":[]}"#, vec![]),
            (r#"{"tags":null,"licence":"MIT"}"#, vec![]),
        ] {
            assert_eq!(patched(patch).unwrap().tags, tags, "{patch}");
        }
    }

    #[test]
    fn a_patch_takes_what_the_description_of_the_api_says() {
        let RefOr::T(Schema::Object(described)) = Change::schema() else {
            panic!("a change is an object");
        };
        assert!(!described.properties.is_empty());
        for name in described.properties.keys() {
            let patch = format!(r#"{{"{name}":null}}"#);
            assert!(patched(&patch).is_ok(), "{patch}");
        }
    }

    #[test]
    fn refuses_what_is_no_patch_of_words() {
        for patch in [
            "",
            "null",
            "[]",
            r#"["Title","Description"]"#,
            r#"{"title":1}"#,
            r#"{"tags":"soil"}"#,
            r#"{"tags":[1]}"#,
            r#"{"licence":["MIT"]}"#,
            r#"{"unlisted":"yes"}"#,
            r#"{"replaces":"2.0"}"#,
            r#"{"links":["https://example.org"]}"#,
            r#"{"links":[{"url":"https://example.org","rel":"x"}]}"#,
            r#"{"trackers":"wss://a"}"#,
            r#"{"title":{"title":"T"}}"#,
            r#"{"info_hash_v1":"00"}"#,
            r#"{"title":"T""#,
            &"[".repeat(100_000),
        ] {
            let refusal = patched(patch);
            assert!(matches!(refusal, Err(WebError::Invalid(_))), "{patch:.40}");
        }
    }
}

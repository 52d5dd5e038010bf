//! Takedowns over the JSON API, for administrators.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::openapi::{Refused, curl};
use crate::ambient;
use crate::catalog::Catalog;
use crate::domain::account::Account;
use crate::publish::Editor;
use crate::store::takedowns::Takedown;
use crate::web::auth::Caller;
use crate::web::edits::check_administrator;
use crate::web::error::WebError;
use crate::web::state::WebState;
use crate::web::text::machine_time;

/// Why something is to be taken down.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// What people read who come by the address.
    reason: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Takedowns)]
struct TakedownsJson {
    takedowns: Vec<TakedownJson>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Takedown)]
struct TakedownJson {
    id: String,
    title: String,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    reason: String,
    /// The administrator.
    account: String,
    taken_down_at: String,
}

impl From<Takedown> for TakedownJson {
    fn from(it: Takedown) -> Self {
        let hashes = &it.entry.info_hashes;
        Self {
            id: it.entry.id.into(),
            info_hash_v1: hashes.v1().map(|hash| hash.to_string()),
            info_hash_v2: hashes.v2().map(|hash| hash.to_string()),
            title: it.title,
            reason: it.reason,
            account: it.account,
            taken_down_at: machine_time(it.at),
        }
    }
}

/// The caller, who is an administrator.
fn administrator(caller: Option<Account>) -> Result<Account, WebError> {
    let caller = caller.ok_or_else(|| {
        WebError::NotLoggedIn(
            "Takedowns are for administrators. Send \"Authorization: Bearer \" and an administrator's API token.".to_owned(),
        )
    })?;
    check_administrator(&caller)?;
    Ok(caller)
}

/// What was taken down, for administrators.
#[utoipa::path(
    get,
    path = "/api/v1/takedowns",
    tag = "Takedowns",
    responses(
        (status = 200, description = "All of it, the latest first.", body = TakedownsJson),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("-H \"Authorization: Bearer $TOKEN\" {url}/api/v1/takedowns")))),
)]
pub(in crate::web) async fn list(
    State(catalog): State<Catalog>,
    Caller(caller): Caller,
) -> Result<Response, WebError> {
    administrator(caller)?;
    let takedowns = catalog.store().takedowns().await?.into_iter();
    let takedowns = takedowns.map(TakedownJson::from).collect();
    Ok(Json(TakedownsJson { takedowns }).into_response())
}

/// Take a publication down.
///
/// Every address of it answers 451 with the reason from then on, the tracker and the engine refuse its info-hash, and its files cannot be published again.
#[utoipa::path(
    put,
    path = "/api/v1/publications/{id}/takedown",
    tag = "Takedowns",
    params(("id" = String, Path, description = "The publication's id.")),
    request_body = Reason,
    responses(
        (status = 204, description = "It is taken down."),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("-X PUT -H \"Authorization: Bearer $TOKEN\" -d '{\"reason\":\"A court of law wants it.\"}' {url}/api/v1/publications/ID/takedown")))),
)]
pub(in crate::web) async fn take_down(
    State(state): State<WebState>,
    State(editor): State<Editor>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, WebError> {
    let caller = administrator(caller)?;
    let Reason { reason } = serde_json::from_slice(&body).map_err(|error| {
        WebError::Invalid(format!(
            "The takedown cannot be read: {error}. Send {{\"reason\": \"…\"}}."
        ))
    })?;
    let shelved = state.shelf.find(&id).await?;
    let now = ambient::unix_now();
    let publication = &shelved.publication;
    editor.take_down(publication, &reason, &caller, now).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Put a publication back.
#[utoipa::path(
    delete,
    path = "/api/v1/publications/{id}/takedown",
    tag = "Takedowns",
    params(("id" = String, Path, description = "The publication's id.")),
    responses(
        (status = 204, description = "It is there again."),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("-X DELETE -H \"Authorization: Bearer $TOKEN\" {url}/api/v1/publications/ID/takedown")))),
)]
pub(in crate::web) async fn put_back(
    State(editor): State<Editor>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Response, WebError> {
    let caller = administrator(caller)?;
    let id = id.parse().map_err(|_| WebError::no_publication())?;
    editor.put_back(id, &caller).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

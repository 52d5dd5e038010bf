//! Takedowns: the page that asks whether and why, and the list of all of them. For administrators alone.

use askama::Template;
use axum::extract::{Form, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::Frame;
use crate::ambient;
use crate::catalog::Catalog;
use crate::domain::account::{Account, Role, WhoMayPublish};
use crate::publish::{EditError, Editor};
use crate::web::auth::Viewer;
use crate::web::edits::{Changeable, check_administrator};
use crate::web::error::{WebError, page as render, with_refusal};
use crate::web::state::WebState;
use crate::web::text::{counted, day, machine_time, shown, size};

#[derive(Template)]
#[template(path = "takedown.html")]
struct TakedownPage<'a> {
    frame: Frame,
    id: &'a str,
    title: String,
    size: String,
    file_count: String,
    reason: &'a str,
    max_reason: usize,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "takedowns.html")]
struct TakedownsPage {
    frame: Frame,
    takedowns: Vec<Row>,
}

struct Row {
    id: String,
    title: String,
    reason: String,
    account: String,
    day: String,
    machine_time: String,
}

/// The form, as it comes back.
#[derive(Deserialize)]
pub(in crate::web) struct Reason {
    reason: String,
}

/// `GET /p/{id}/takedown`
pub(in crate::web) async fn page(
    State(state): State<WebState>,
    changeable: Changeable,
) -> Result<Response, WebError> {
    check_administrator(&changeable.viewer)?;
    Ok(render(&form(&state, &changeable, "", None))?.into_response())
}

/// `POST /p/{id}/takedown`
pub(in crate::web) async fn take_down(
    State(state): State<WebState>,
    State(editor): State<Editor>,
    changeable: Changeable,
    Form(Reason { reason }): Form<Reason>,
) -> Result<Response, WebError> {
    let viewer = &changeable.viewer;
    check_administrator(viewer)?;
    let publication = &changeable.shelved.publication;
    let now = ambient::unix_now();
    let error = match editor.take_down(publication, &reason, viewer, now).await {
        Ok(()) => return Ok(Redirect::to("/takedowns").into_response()),
        Err(error @ (EditError::NoReason | EditError::LongReason { .. })) => error,
        Err(error) => return Err(error.into()),
    };
    let refusal = WebError::from(error);
    let form = form(&state, &changeable, &reason, Some(refusal.to_string()));
    with_refusal(refusal, &form)
}

fn form<'a>(
    state: &WebState,
    Changeable { shelved, viewer }: &'a Changeable,
    reason: &'a str,
    error: Option<String>,
) -> TakedownPage<'a> {
    let publication = &shelved.publication;
    TakedownPage {
        frame: Frame::new(Some(viewer), state.who_may_publish),
        id: publication.id.as_str(),
        title: shown(&publication.title),
        size: size(publication.total_length),
        file_count: counted(publication.files.len() as u64, "file", "files"),
        reason,
        max_reason: state.ingest.options().max_reason_length,
        error,
    }
}

/// `GET /takedowns`
pub(in crate::web) async fn list(
    State(catalog): State<Catalog>,
    State(who_may_publish): State<WhoMayPublish>,
    Viewer(viewer): Viewer,
) -> Result<Response, WebError> {
    let Some(viewer) = viewer else {
        return Ok(Redirect::to("/login?next=/takedowns").into_response());
    };
    check_administrator(&viewer)?;
    let takedowns = catalog.store().takedowns().await?.into_iter();
    let takedowns = takedowns.map(|it| Row {
        id: it.entry.id.to_string(),
        title: shown(&it.title),
        reason: it.reason,
        account: it.account,
        day: day(it.at),
        machine_time: machine_time(it.at),
    });
    let page = TakedownsPage {
        frame: Frame::new(Some(&viewer), who_may_publish),
        takedowns: takedowns.collect(),
    };
    Ok(render(&page)?.into_response())
}

/// `POST /p/{id}/put-back`
pub(in crate::web) async fn put_back(
    State(editor): State<Editor>,
    Viewer(viewer): Viewer,
    Path(id): Path<String>,
) -> Result<Response, WebError> {
    let Some(viewer) = viewer else {
        return Ok(Redirect::to("/login?next=/takedowns").into_response());
    };
    check_administrator(&viewer)?;
    let id = id.parse().map_err(|_| WebError::no_publication())?;
    editor.put_back(id, &viewer).await?;
    Ok(Redirect::to(&format!("/p/{id}")).into_response())
}

/// Whether somebody may take publications down.
pub(super) fn may_take_down(viewer: Option<&Account>) -> bool {
    viewer.is_some_and(|viewer| viewer.role == Role::Admin)
}

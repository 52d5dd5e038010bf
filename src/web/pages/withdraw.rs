//! The page that asks whether a publication is really to be withdrawn.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};

use super::Frame;
use crate::ambient;
use crate::publish::Editor;
use crate::web::edits::Changeable;
use crate::web::error::{WebError, page as render};
use crate::web::state::WebState;
use crate::web::text::{counted, shown, size};

#[derive(Template)]
#[template(path = "withdraw.html")]
struct WithdrawPage<'a> {
    frame: Frame,
    id: &'a str,
    title: String,
    size: String,
    file_count: String,
}

/// `GET /p/{id}/withdraw`
pub(in crate::web) async fn page(
    State(state): State<WebState>,
    Changeable { shelved, viewer }: Changeable,
) -> Result<Response, WebError> {
    let publication = &shelved.publication;
    let question = WithdrawPage {
        frame: Frame::new(Some(&viewer), state.who_may_publish),
        id: publication.id.as_str(),
        title: shown(&publication.title),
        size: size(publication.total_length),
        file_count: counted(publication.files.len() as u64, "file", "files"),
    };
    Ok(render(&question)?.into_response())
}

/// `POST /p/{id}/withdraw`
pub(in crate::web) async fn withdraw(
    State(editor): State<Editor>,
    Changeable { shelved, viewer }: Changeable,
) -> Result<Response, WebError> {
    let publication = &shelved.publication;
    editor.withdraw(publication, ambient::unix_now()).await?;
    tracing::info!(publication = %publication.id, account = %viewer.name, "withdrawn");
    // Its page now says that it was withdrawn.
    Ok(Redirect::to(&format!("/p/{}", publication.id)).into_response())
}

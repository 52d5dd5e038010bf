//! The form that changes what is said of a publication.

use askama::Template;
use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::Frame;
use super::details::DetailFields;
use crate::domain::account::Account;
use crate::domain::publication::{Publication, Words};
use crate::domain::tag;
use crate::publish::{EditError, Editor};
use crate::web::edits::{Changeable, entity_tag};
use crate::web::error::{WebError, page as render, sentence, with_refusal};
use crate::web::state::WebState;

#[derive(Template)]
#[template(path = "edit.html")]
struct EditPage<'a> {
    frame: Frame,
    id: &'a str,
    /// The name of the torrent, which stands for a missing title.
    name: &'a str,
    words: &'a Words,
    details: DetailFields,
    /// The entity tag of what the form was filled from.
    seen: String,
    max_title: usize,
    error: Option<String>,
}

/// The form, as it comes back. What it leaves out stays.
#[derive(Deserialize)]
pub(in crate::web) struct Edited {
    title: String,
    description: String,
    creator: Option<String>,
    licence: Option<String>,
    tags: Option<String>,
    seen: String,
}

/// `GET /p/{id}/edit`
pub(in crate::web) async fn page(
    State(state): State<WebState>,
    Changeable { shelved, viewer }: Changeable,
) -> Result<Response, WebError> {
    let publication = &shelved.publication;
    let words = publication.words();
    let form = form(&state, &viewer, publication, &words, None);
    Ok(render(&form)?.into_response())
}

/// `POST /p/{id}/edit`
pub(in crate::web) async fn save(
    State(state): State<WebState>,
    State(editor): State<Editor>,
    Changeable { shelved, viewer }: Changeable,
    Form(edited): Form<Edited>,
) -> Result<Response, WebError> {
    let publication = &shelved.publication;
    let now = publication.words();
    let words = Words {
        title: edited.title,
        description: edited.description,
        creator: edited.creator.unwrap_or(now.creator),
        licence: edited.licence.unwrap_or(now.licence),
        tags: edited.tags.map_or(now.tags, |tags| tag::split(&tags)),
    };
    let saved = if edited.seen == entity_tag(publication) {
        editor.reword(publication, &words).await
    } else {
        Err(EditError::Changed)
    };
    let error = match saved {
        Ok(()) => return Ok(Redirect::to(&format!("/p/{}", publication.id)).into_response()),
        Err(error @ (EditError::Words(_) | EditError::Changed)) => error,
        Err(error) => return Err(error.into()),
    };
    // What was typed is not lost, and the form is now about the publication as it is.
    let shelved = state.shelf.find(publication.id.as_str()).await?;
    let message = match &error {
        EditError::Changed => "Somebody else has changed this publication meanwhile. What you wrote is still here and not saved; save again to put it in place of theirs.".to_owned(),
        error => sentence(&error.to_string()),
    };
    let form = form(&state, &viewer, &shelved.publication, &words, Some(message));
    with_refusal(error.into(), &form)
}

fn form<'a>(
    state: &WebState,
    viewer: &Account,
    publication: &'a Publication,
    words: &'a Words,
    error: Option<String>,
) -> EditPage<'a> {
    let rules = state.ingest.options();
    EditPage {
        details: DetailFields::new(words, rules),
        frame: Frame::new(Some(viewer), state.who_may_publish),
        id: publication.id.as_str(),
        name: &publication.name,
        words,
        seen: entity_tag(publication),
        max_title: rules.max_title_length,
        error,
    }
}

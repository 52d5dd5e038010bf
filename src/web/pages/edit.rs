//! The form that changes what is said of a publication.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::Frame;
use super::details::DetailFields;
use crate::domain::account::Account;
use crate::domain::particulars::Particulars;
use crate::domain::publication::{Publication, Words};
use crate::domain::tag;
use crate::publish::{EditError, Editor};
use crate::web::edits::{Changeable, entity_tag};
use crate::web::error::{WebError, page as render, with_refusal};
use crate::web::particulars::{Typed, check_replaced};
use crate::web::state::WebState;

/// What is said where two people edit at once.
const CHANGED: &str = "Somebody else has changed this publication meanwhile. What you wrote is still here and not saved; save again to put it in place of theirs.";

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
    /// The fields of particulars.
    #[serde(flatten)]
    others: BTreeMap<String, String>,
}

/// `GET /p/{id}/edit`
pub(in crate::web) async fn page(
    State(state): State<WebState>,
    Changeable { shelved, viewer }: Changeable,
) -> Result<Response, WebError> {
    let publication = &shelved.publication;
    let words = publication.words();
    let typed = Typed::of(&words.particulars);
    let form = form(&state, &viewer, publication, &words, typed, None);
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
    let mut typed = Typed::of(&now.particulars);
    for (field, text) in edited.others {
        typed.take(&field, text);
    }
    let mut words = Words {
        title: edited.title,
        description: edited.description,
        creator: edited.creator.unwrap_or(now.creator),
        licence: edited.licence.unwrap_or(now.licence),
        tags: edited.tags.map_or(now.tags, |tags| tag::split(&tags)),
        particulars: Particulars::default(),
    };
    let saving = async {
        words.particulars = typed.read()?;
        let before = publication.particulars.replaces;
        check_replaced(&state.shelf, Some(&viewer), before, &words.particulars).await?;
        if edited.seen != entity_tag(publication) {
            return Err(WebError::PreconditionFailed(CHANGED.to_owned()));
        }
        editor
            .reword(publication, &words)
            .await
            .map_err(|error| match error {
                EditError::Changed => WebError::PreconditionFailed(CHANGED.to_owned()),
                error => error.into(),
            })
    };
    let refusal = match saving.await {
        Ok(()) => return Ok(Redirect::to(&format!("/p/{}", publication.id)).into_response()),
        Err(refusal) if refusal.is_about_words() => refusal,
        Err(error) => return Err(error),
    };
    // What was typed is not lost, and the form is now about the publication as it is.
    let shelved = state.shelf.find(publication.id.as_str()).await?;
    let message = Some(refusal.to_string());
    let form = form(
        &state,
        &viewer,
        &shelved.publication,
        &words,
        typed,
        message,
    );
    with_refusal(refusal, &form)
}

fn form<'a>(
    state: &WebState,
    viewer: &Account,
    publication: &'a Publication,
    words: &'a Words,
    typed: Typed,
    error: Option<String>,
) -> EditPage<'a> {
    let rules = state.ingest.options();
    EditPage {
        details: DetailFields::new(words, typed, rules),
        frame: Frame::new(Some(viewer), state.who_may_publish),
        id: publication.id.as_str(),
        name: &publication.name,
        words,
        seen: entity_tag(publication),
        max_title: rules.max_title_length,
        error,
    }
}

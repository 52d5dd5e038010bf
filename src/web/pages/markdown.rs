//! What a description will look like, before it is saved.

use askama::Template;
use axum::extract::{Form, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Frame;
use crate::publish::Ingest;
use crate::web::error::{WebError, page as render};
use crate::web::markdown::to_html;
use crate::web::text::{grouped, shown};

#[derive(Template)]
#[template(path = "markdown.html")]
struct MarkdownPage {
    frame: Frame,
    /// HTML.
    description: String,
}

/// What was typed; of a whole form, that field alone.
#[derive(Deserialize)]
pub(in crate::web) struct Typed {
    description: String,
}

/// `POST /markdown`
pub(in crate::web) async fn page(
    State(ingest): State<Ingest>,
    Form(typed): Form<Typed>,
) -> Result<Response, WebError> {
    let most = ingest.options().max_description_bytes;
    if typed.description.len() > most {
        return Err(WebError::TooLarge(format!(
            "The description has more than {} bytes. Shorten it.",
            grouped(most as u64)
        )));
    }
    let page = MarkdownPage {
        frame: Frame::anonymous(),
        description: to_html(&shown(&typed.description)),
    };
    Ok(render(&page)?.into_response())
}

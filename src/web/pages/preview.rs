//! A file of a publication as a browser can show it: nothing in it runs, and little of it is sent before somebody plays it.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;

use super::Frame;
use crate::domain::account::WhoMayPublish;
use crate::web::auth::Viewer;
use crate::web::content::Content;
use crate::web::crawlers::hide_unlisted;
use crate::web::error::{WebError, page as render};
use crate::web::links::file_path;
use crate::web::markdown::to_html;
use crate::web::media::Preview;
use crate::web::peek::{beginning, is_markdown};
use crate::web::text::{shown, size};

/// Bytes of a text that are shown.
const TEXT: u64 = 256 * 1024;

/// Bytes of a text that are shown as Markdown.
const MARKDOWN: u64 = 64 * 1024;

/// As everywhere, and players and viewers may load files from here.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; frame-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

#[derive(Template)]
#[template(path = "preview.html")]
struct PreviewPage {
    frame: Frame,
    title: String,
    publication_href: String,
    path: String,
    size: String,
    href: String,
    sha256: String,
    kind: Preview,
    /// The beginning of a text; `None` where it is none.
    text: Option<String>,
    /// The same as HTML, where it is Markdown.
    html: Option<String>,
    /// What is shown, where that is not all.
    cut: Option<String>,
}

/// `GET /p/{id}/preview/{path}`
pub(in crate::web) async fn page(
    State(content): State<Content>,
    State(who_may_publish): State<WhoMayPublish>,
    Viewer(viewer): Viewer,
    Path((id, path)): Path<(String, String)>,
) -> Result<Response, WebError> {
    let whole = content.whole(&id).await?;
    let publication = &whole.shelved.publication;
    let found = whole.shelved.find(&path);
    let shown_as = found.and_then(|(_, file)| Preview::of(file.path.file_name()));
    let (Some((place, file)), Some(kind)) = (found, shown_as) else {
        return Err(WebError::NotFound(
            "There is no preview at this address. Look for the file on the publication's page."
                .to_owned(),
        ));
    };
    let is_markdown = is_markdown(file.path.file_name());
    let most = if is_markdown { MARKDOWN } else { TEXT };
    let read = match kind {
        Preview::Text => Some(beginning(&whole, place, most).await?),
        _ => None,
    };
    let cut = read.as_ref().filter(|read| read.is_cut);
    let cut = cut.map(|_| {
        format!(
            "These are the first {} of {}.",
            size(most),
            size(file.length)
        )
    });
    let text = read.and_then(|read| read.text);
    let page = PreviewPage {
        frame: Frame::new(viewer.as_ref(), who_may_publish),
        title: shown(&publication.title),
        publication_href: format!("/p/{}", publication.id),
        path: shown(&file.path.to_string()),
        size: size(file.length),
        href: file_path(publication, &file.path),
        sha256: HEXLOWER.encode(&file.sha256),
        kind,
        html: text.as_deref().filter(|_| is_markdown).map(to_html),
        text,
        cut,
    };
    let mut response = render(&page)?.into_response();
    response
        .headers_mut()
        .insert(CONTENT_SECURITY_POLICY, POLICY);
    hide_unlisted(publication, &mut response);
    Ok(response)
}

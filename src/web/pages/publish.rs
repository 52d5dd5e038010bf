//! The upload form, and what it sends where no script runs.

use askama::Template;
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Redirect, Response};

use super::Frame;
use super::details::DetailFields;
use crate::domain::account::{Account, WhoMayPublish};
use crate::domain::ledger::Maker;
use crate::domain::publication::Words;
use crate::web::assets::{PUBLISH, TUS};
use crate::web::auth::{SourceAddress, Viewer};
use crate::web::error::{WebError, page as render};
use crate::web::particulars::Typed;
use crate::web::text::{grouped, size};
use crate::web::upload::Reception;

#[derive(Template)]
#[template(path = "publish.html")]
struct PublishPage {
    frame: Frame,
    tus: &'static str,
    script: &'static str,
    /// Bytes that fit, for the script; and in words.
    room: u64,
    room_in_words: String,
    /// Files at once, for the script, and in one request, in words.
    max_files: usize,
    max_form_files: String,
    /// Bytes in a .torrent, for the script.
    max_torrent: usize,
    max_title: usize,
    details: DetailFields,
}

/// `GET /publish`
pub(in crate::web) async fn page(
    State(who_may_publish): State<WhoMayPublish>,
    State(reception): State<Reception>,
    Extension(SourceAddress(source)): Extension<SourceAddress>,
    Viewer(viewer): Viewer,
) -> Result<Response, WebError> {
    if let Err(refusal) = check_permission(viewer.as_ref(), who_may_publish) {
        return refusal.map_or_else(|| Ok(log_in_first()), Err);
    }
    let maker = Maker::new(viewer.as_ref(), Some(source.ip()));
    let (room, rules) = (reception.room(Some(maker)).await?, reception.rules());
    let form = PublishPage {
        frame: Frame::new(viewer.as_ref(), who_may_publish),
        tus: &TUS.path,
        script: &PUBLISH.path,
        room,
        room_in_words: size(room),
        max_files: rules.max_files,
        max_form_files: grouped(rules.max_files.min(rules.max_form_files) as u64),
        max_torrent: rules.max_torrent_bytes,
        max_title: rules.max_title_length,
        details: DetailFields::new(&Words::default(), Typed::default(), rules),
    };
    Ok(render(&form)?.into_response())
}

/// `POST /publish`
pub(in crate::web) async fn publish(
    State(who_may_publish): State<WhoMayPublish>,
    State(reception): State<Reception>,
    Viewer(viewer): Viewer,
    request: Request,
) -> Result<Response, WebError> {
    if let Err(refusal) = check_permission(viewer.as_ref(), who_may_publish) {
        return match refusal {
            Some(refusal) => Err(reception.refuse(request, refusal).await),
            None => Ok(log_in_first()),
        };
    }
    let publication = reception.receive(viewer.as_ref(), None, request).await?;
    Ok(Redirect::to(&format!("/p/{}#published", publication.id)).into_response())
}

/// Whether the viewer may publish; if not, the refusal, or `None` where logging in may help.
fn check_permission(
    viewer: Option<&Account>,
    who_may_publish: WhoMayPublish,
) -> Result<(), Option<WebError>> {
    if who_may_publish.allows(viewer.map(|account| account.role)) {
        return Ok(());
    }
    Err(viewer.map(may_not_publish))
}

/// Why an account may not publish: its role, and which one may.
pub(in crate::web) fn may_not_publish(account: &Account) -> WebError {
    WebError::Forbidden(format!(
        "Your account {} has the role {}, and on this server only administrators publish. Ask one of them.",
        account.name, account.role
    ))
}

fn log_in_first() -> Response {
    Redirect::to("/login?next=/publish").into_response()
}

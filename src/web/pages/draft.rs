//! A publication in the making: how far it is, for whoever may fill it. It becomes the publication's page by itself, at the same address.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;

use super::Frame;
use crate::ambient;
use crate::domain::account::Account;
use crate::domain::publication::PublicationId;
use crate::publish::{DraftState, DraftStatus};
use crate::web::error::{WebError, page as render, sentence};
use crate::web::state::WebState;
use crate::web::text::{counted, day, grouped, shown, size};

#[derive(Template)]
#[template(path = "draft.html")]
struct DraftPage {
    frame: Frame,
    id: PublicationId,
    title: String,
    state: &'static str,
    percent: u64,
    size: String,
    finished: String,
    file_count: String,
    /// What keeps it from being published although all bytes are there.
    delay: Option<String>,
    failure: Option<String>,
    /// The page of the publication that has the same files.
    twin: Option<String>,
    /// Until when it is kept if nobody sends anything.
    kept_until: String,
}

/// `GET /p/{id}`, where it is a draft that `viewer` may see.
pub(super) async fn page(
    state: &WebState,
    viewer: Option<&Account>,
    id: &str,
) -> Result<Option<Response>, WebError> {
    let Ok(id) = id.parse() else {
        return Ok(None);
    };
    let Some(status) = state.drafts.status(id, viewer).await? else {
        return Ok(None);
    };
    let frame = Frame::new(viewer, state.who_may_publish);
    let page = render(&DraftPage::new(frame, &status))?;
    Ok(Some(([(CACHE_CONTROL, "no-store")], page).into_response()))
}

impl DraftPage {
    fn new(frame: Frame, status: &DraftStatus) -> Self {
        let draft = &status.draft;
        let total = draft.total_length();
        let received = status.received.iter().copied().fold(0, u64::saturating_add);
        let files = draft.files.iter().zip(&status.received);
        let finished = files.filter(|(file, received)| file.length == **received);
        let left = i64::try_from(status.left.as_secs()).unwrap_or(i64::MAX);
        let (state, delay, failure) = match &status.state {
            DraftState::Receiving => ("draft", None, None),
            DraftState::Hashing(delay) => ("hashing", delay.as_ref(), None),
            DraftState::Failed(failure) => ("failed", None, Some(failure)),
        };
        let twin = failure.and_then(|failure| failure.twin);
        Self {
            frame,
            id: draft.id,
            title: shown(match draft.words.title.as_str() {
                "" => &status.name,
                title => title,
            }),
            state,
            percent: received.saturating_mul(100) / total.max(1),
            size: size(total),
            finished: grouped(finished.count() as u64),
            file_count: counted(draft.files.len() as u64, "file", "files"),
            delay: delay.map(|delay| sentence(&delay.to_string())),
            failure: failure.map(|failure| sentence(&failure.reason)),
            twin: twin.map(|twin| format!("/p/{twin}")),
            kept_until: day(ambient::unix_now().saturating_add(left)),
        }
    }
}

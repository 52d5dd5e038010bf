//! What happens to a publication, told while it happens (server-sent events): how much of a draft has come, that it is published or
//! why not, and from then on its swarm.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderName;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::drafts;
use super::openapi::{Refused, curl};
use super::publications::Describer;
use crate::domain::account::Account;
use crate::domain::publication::PublicationId;
use crate::publish::{DraftState, DraftStatus};
use crate::web::auth::Viewer;
use crate::web::error::WebError;
use crate::web::state::WebState;

/// How often it is looked whether there is something to tell, of a draft and of a swarm.
const DRAFT_ROUND: Duration = Duration::from_millis(500);
const SWARM_ROUND: Duration = Duration::from_secs(5);

/// Looks in vain after which a sign of life is sent: proxies take a silent connection for a dead one.
const SILENT_DRAFT_ROUNDS: u32 = 30;
const SILENT_SWARM_ROUNDS: u32 = 3;

/// A comment, which readers pass over.
const SIGN_OF_LIFE: &[u8] = b":\n\n";

/// How much of a draft has come.
#[derive(Serialize)]
struct ProgressJson {
    state: &'static str,
    received_bytes: u64,
    total_length: u64,
    finished_files: u64,
    file_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    delayed_by: Option<String>,
}

/// What happens to it, as it happens.
///
/// Server-sent events. Of a draft: `progress` with the bytes that have come, then `published` or `failed`. Of a publication: `swarm`, whenever
/// peers or bytes have changed.
#[utoipa::path(
    get,
    path = "/api/v1/publications/{id}/events",
    tag = "Publications",
    params(("id" = String, Path, description = "The publication's id.")),
    responses(
        (status = 200, description = "Events, each with JSON as its data.", body = String, content_type = "text/event-stream"),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("-N {url}/api/v1/publications/ID/events")))),
)]
pub(in crate::web) async fn events(
    State(state): State<WebState>,
    State(describer): State<Describer>,
    Viewer(viewer): Viewer,
    Path(id): Path<String>,
) -> Result<Response, WebError> {
    let place = Arc::clone(&state.event_streams).try_acquire_owned();
    let Ok(place) = place else {
        return Err(WebError::Unavailable {
            detail: "Too many programs are being told of events. Ask for the publication itself, or try again in a minute.".to_owned(),
            after: Duration::from_mins(1),
        });
    };
    let mut teller = Teller {
        state,
        describer,
        viewer,
        id: id.parse().map_err(|_| WebError::no_publication())?,
        told: None,
        is_over: false,
        _place: place,
    };
    // Whether there is such a publication is answered as everywhere.
    let first = teller.look().await?;
    let first = teller.tell(first);
    let told = stream::unfold((first, teller), |(ready, mut teller)| async move {
        let bytes = match ready {
            Some(bytes) => bytes,
            None => teller.next().await?,
        };
        Some((Ok::<_, Infallible>(bytes), (None, teller)))
    });
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        // nginx would wait for a page full of events.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(told)).into_response())
}

/// What there is to tell at a moment.
#[derive(PartialEq)]
struct News {
    event: &'static str,
    data: Value,
}

/// Tells one listener.
struct Teller {
    state: WebState,
    describer: Describer,
    viewer: Option<Account>,
    id: PublicationId,
    told: Option<News>,
    /// Nothing more will happen.
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl Teller {
    /// Waits for the next thing to tell; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let mut silent_rounds = 0;
        let mut ends = self.state.drafts.ends();
        loop {
            if self.is_over {
                return None;
            }
            let is_draft = self
                .told
                .as_ref()
                .is_some_and(|news| news.event == "progress");
            let (round, most_rounds) = if is_draft {
                (DRAFT_ROUND, SILENT_DRAFT_ROUNDS)
            } else {
                (SWARM_ROUND, SILENT_SWARM_ROUNDS)
            };
            tokio::select! {
                () = self.state.shutdown.cancelled() => return None,
                _ = ends.changed(), if is_draft => {}
                () = sleep(round) => silent_rounds += 1,
            }
            // What is not there any more has been withdrawn or deleted.
            let news = self.look().await.ok()?;
            if let Some(bytes) = self.tell(news) {
                return Some(bytes);
            }
            if silent_rounds >= most_rounds {
                return Some(Bytes::from_static(SIGN_OF_LIFE));
            }
        }
    }

    async fn look(&self) -> Result<News, WebError> {
        let viewer = self.viewer.as_ref();
        if let Some(status) = self.state.drafts.status(self.id, viewer).await? {
            return Ok(match &status.state {
                DraftState::Failed(failure) => News {
                    event: "failed",
                    data: drafts::describe_failure(failure, &self.state.links),
                },
                DraftState::Receiving | DraftState::Hashing(_) => progress(&status),
            });
        }
        let shelved = self.state.shelf.find(self.id.as_str()).await?;
        let was_draft = self
            .told
            .as_ref()
            .is_none_or(|news| news.event == "progress");
        let (event, data) = if was_draft {
            (
                "published",
                self.describer.describe_end(&shelved.publication),
            )
        } else {
            ("swarm", self.describer.describe_swarm(&shelved.publication))
        };
        Ok(News { event, data })
    }

    /// The news as bytes; `None` where they are known.
    fn tell(&mut self, news: News) -> Option<Bytes> {
        if self.told.as_ref() == Some(&news) {
            return None;
        }
        self.is_over = news.event == "failed";
        let bytes = format!("event: {}\ndata: {}\n\n", news.event, news.data);
        self.told = Some(news);
        Some(bytes.into())
    }
}

fn progress(status: &DraftStatus) -> News {
    let files = status.draft.files.iter().zip(&status.received);
    let finished = files.filter(|(file, received)| file.length == **received);
    let progress = ProgressJson {
        state: drafts::state(status),
        received_bytes: status.received.iter().copied().fold(0, u64::saturating_add),
        total_length: status.draft.total_length(),
        finished_files: finished.count() as u64,
        file_count: status.draft.files.len() as u64,
        delayed_by: drafts::delay(status),
    };
    News {
        event: "progress",
        data: serde_json::to_value(progress).unwrap_or_default(),
    }
}

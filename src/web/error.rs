//! What can go wrong between a request and its answer, and which answer it becomes.
//!
//! The only place with status codes. A [`WebError`] becomes a page for people and `application/problem+json` (RFC 9457)
//! under `/api/`; [`render`] decides which, so handlers need not know who asks.

use std::error::Error;
use std::time::Duration;

use askama::Template;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::header::{CONTENT_TYPE, COOKIE, LINK, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use rand::Rng;
use serde::Serialize;

use super::links::Links;
use super::pages::Frame;
use super::state::WebState;
use super::text::day;
use super::twin::TwinJson;
use crate::ambient;
use crate::domain::publication::PublicationId;
use crate::store::StoreError;
use crate::store::takedowns::Takedown;

/// tus 1.0.0 makes this status up for wrong checksums.
const WRONG_CHECKSUM: StatusCode = match StatusCode::from_u16(460) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

/// Why a request gets no good answer. Each text is for the person who asked: what is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebError {
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Nobody is logged in, or the token is not known.
    #[error("{0}")]
    NotLoggedIn(String),
    /// Whoever asks may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// There is nothing at this address.
    #[error("{0}")]
    NotFound(String),
    /// There was something at this address, and it was taken back.
    #[error("{0}")]
    Withdrawn(String),
    /// What is asked for, or sent, was taken down (RFC 7725).
    #[error("{0}")]
    TakenDown(String),
    /// The body came too slowly.
    #[error("{0}")]
    TooSlow(String),
    /// Something like it is there already.
    #[error("{0}")]
    Conflict(String),
    /// The same files are published already.
    #[error("{detail}")]
    AlreadyPublished {
        /// That they are.
        detail: String,
        /// What they are published as.
        twin: PublicationId,
    },
    /// It is understood, and contradicts what was said before (RFC 9110, section 15.5.21).
    #[error("{0}")]
    Unprocessable(String),
    /// Somebody else is at it (RFC 4918, section 11.3).
    #[error("{0}")]
    Locked(String),
    /// The bytes are not those that their sender hashed (tus 1.0.0, "Checksum").
    #[error("{0}")]
    WrongChecksum(String),
    /// A precondition of the request does not hold (RFC 9110, section 13.1).
    #[error("{0}")]
    PreconditionFailed(String),
    /// The request must say which version it is about (RFC 6585, section 3).
    #[error("{0}")]
    PreconditionRequired(String),
    /// The body, or a part of it, is over a limit.
    #[error("{0}")]
    TooLarge(String),
    /// The body is of a type that is not read here.
    #[error("{0}")]
    UnsupportedType(String),
    /// The request is for another server.
    #[error("{0}")]
    Misdirected(String),
    /// Too many tries.
    #[error("{detail}")]
    TooMany {
        /// What there was too much of.
        detail: String,
        /// When to try again.
        after: Duration,
    },
    /// The server cannot do it now, but soon.
    #[error("{detail}")]
    Unavailable {
        /// What it is busy with.
        detail: String,
        /// When to try again.
        after: Duration,
    },
    /// Published content is not what it was.
    #[error("{0}")]
    Damaged(String),
    /// There is no room on the disk.
    #[error("{0}")]
    Full(String),
    /// The server failed. The cause goes to the log, not to the person.
    #[error("the server failed")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
}

impl WebError {
    /// There is no such publication, or not any more.
    pub(super) fn no_publication() -> Self {
        Self::NotFound(
            "There is no publication at this address. It may have been mistyped, or the publication is gone.".to_owned(),
        )
    }

    /// The publication was withdrawn, at this time in seconds since 1970.
    pub(super) fn withdrawn(at: i64) -> Self {
        Self::Withdrawn(format!(
            "This publication was withdrawn on {}. Its torrent and files are not given out here any more.",
            day(at)
        ))
    }

    /// Whether it refuses what was typed, so that a form comes again with its words.
    pub(super) const fn is_about_words(&self) -> bool {
        matches!(
            self,
            Self::Invalid(_)
                | Self::Forbidden(_)
                | Self::Conflict(_)
                | Self::TooLarge(_)
                | Self::PreconditionFailed(_)
        )
    }

    /// The publication was taken down. `contact` says whom to write to; empty for nobody.
    pub(super) fn taken_down(takedown: &Takedown, contact: &str) -> Self {
        let reason = sentence(&takedown.reason);
        let on = day(takedown.at);
        let contact = match contact {
            "" => String::new(),
            contact => format!(" Contact: {contact}"),
        };
        Self::TakenDown(format!(
            "This publication was removed on {on}. Reason: {reason}{contact}"
        ))
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::NotLoggedIn(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Withdrawn(_) => StatusCode::GONE,
            Self::TakenDown(_) => StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict(_) | Self::AlreadyPublished { .. } => StatusCode::CONFLICT,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Locked(_) => StatusCode::LOCKED,
            Self::WrongChecksum(_) => WRONG_CHECKSUM,
            Self::PreconditionFailed(_) => StatusCode::PRECONDITION_FAILED,
            Self::PreconditionRequired(_) => StatusCode::PRECONDITION_REQUIRED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Misdirected(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Damaged(_) | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<StoreError> for WebError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(_) | StoreError::Circular => {
                Self::Conflict(sentence(&error.to_string()))
            }
            StoreError::Full(_) => Self::Full(sentence(&error.to_string())),
            StoreError::Busy(_) => Self::Unavailable {
                detail: sentence(&error.to_string()),
                after: Duration::from_secs(5),
            },
            StoreError::Damaged(_)
            | StoreError::TooNew
            | StoreError::InUse(_)
            | StoreError::Io(_)
            | StoreError::Database(_) => Self::Internal(Box::new(error)),
        }
    }
}

impl From<askama::Error> for WebError {
    fn from(error: askama::Error) -> Self {
        Self::Internal(Box::new(error))
    }
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        let mut problem = Problem::new(self.status(), self.to_string());
        let mut headers = http::HeaderMap::new();
        match &self {
            Self::TooMany { after, .. } | Self::Unavailable { after, .. } => {
                // Rounded up: who comes back at the second that we named must not be too early.
                let seconds = after
                    .as_secs()
                    .saturating_add(u64::from(after.subsec_nanos() > 0));
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            Self::TakenDown(_) => {
                // RFC 7725, section 4: who blocks is this server.
                headers.insert(LINK, HeaderValue::from_static("</>; rel=\"blocked-by\""));
            }
            Self::AlreadyPublished { twin, .. } => problem.same_as = Some(*twin),
            Self::NotLoggedIn(_) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Internal(cause) => {
                let id = new_request_id();
                tracing::error!(request_id = %id, error = %chain(&**cause), "a request failed");
                problem.detail = format!(
                    "Something failed on the server. Try again; if it stays, tell the administrator this number: {id}"
                );
                problem.request_id = Some(id);
            }
            _ => {}
        }
        let mut response = (problem.status, problem.detail.clone()).into_response();
        response.headers_mut().extend(headers);
        response.extensions_mut().insert(problem);
        response
    }
}

/// The answer to a panic in a handler: one request fails, the server goes on.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the layer hands the payload over"
)]
pub(super) fn answer_panic(payload: Box<dyn std::any::Any + Send>) -> Response {
    let message = payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| {
            payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
        })
        .unwrap_or_else(|| "a handler panicked".to_owned());
    WebError::Internal(message.into()).into_response()
}

/// Turns every bare error on its way out into a page, or under `/api/` into problem details. What axum refuses by itself
/// (405, bad forms) gets words here too.
pub(super) async fn render(
    State(state): State<WebState>,
    request: Request,
    next: Next,
) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let cookies: Vec<HeaderValue> = request.headers().get_all(COOKIE).iter().cloned().collect();
    let response = next.run(request).await;
    let status = response.status();
    let is_bare = response.extensions().get::<Problem>().is_some() || !has_own_body(&response);
    if !(status.is_client_error() || status.is_server_error()) || !is_bare {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let problem = parts
        .extensions
        .remove::<Problem>()
        .unwrap_or_else(|| Problem::unexplained(status));
    let mut rendered = if is_api {
        problem.into_json(&state.links)
    } else {
        let cookies = cookies.into_iter().map(|cookie| (COOKIE, cookie));
        let viewer = state.auth.viewer(&cookies.collect()).await;
        problem.into_page(Frame::new(viewer.as_ref(), state.who_may_publish))
    };
    // What the refusal said of itself (Allow, Retry-After, …) stays, but for what describes the old body.
    for (name, value) in &parts.headers {
        if name != CONTENT_TYPE && name != http::header::CONTENT_LENGTH {
            rendered.headers_mut().append(name, value.clone());
        }
    }
    rendered
}

/// Whether a handler wrote a page of its own, such as a form with its errors.
fn has_own_body(response: &Response) -> bool {
    response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

/// A page that could be put together, or the reason why not.
pub(super) fn page(template: &impl Template) -> Result<Html<String>, WebError> {
    Ok(Html(template.render()?))
}

/// A form that comes again, under the status and headers of a refusal.
pub(super) fn with_refusal(refusal: WebError, form: &impl Template) -> Result<Response, WebError> {
    let (parts, _) = refusal.into_response().into_parts();
    let mut response = page(form)?.into_response();
    *response.status_mut() = parts.status;
    if let Some(after) = parts.headers.get(RETRY_AFTER) {
        response.headers_mut().insert(RETRY_AFTER, after.clone());
    }
    debug_assert_ne!(response.status(), StatusCode::OK);
    Ok(response)
}

/// A refusal in words, carried in the extensions of its answer until it is rendered.
#[derive(Clone, Debug)]
struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
    same_as: Option<PublicationId>,
    request_id: Option<String>,
}

/// RFC 9457, section 3.1.
#[derive(Serialize)]
struct ProblemDetails<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    same_as: Option<TwinJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: Frame,
    /// What the search field holds: nothing.
    query: &'static str,
    status: u16,
    title: &'a str,
    detail: &'a str,
    same_as: Option<PublicationId>,
    offers_search: bool,
    offers_login: bool,
}

impl Problem {
    fn new(status: StatusCode, detail: String) -> Self {
        Self {
            status,
            title: title(status),
            detail,
            same_as: None,
            request_id: None,
        }
    }

    fn unexplained(status: StatusCode) -> Self {
        let detail = match status {
            StatusCode::METHOD_NOT_ALLOWED => {
                "This address does not take that kind of request. The Allow header names those that it takes."
            }
            StatusCode::NOT_FOUND => "There is nothing at this address. It may have been mistyped.",
            StatusCode::PAYLOAD_TOO_LARGE => "The request is larger than this address takes.",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                "The request's body is of a type that is not read here."
            }
            _ => "The request could not be read. Go back, check what you entered and try again.",
        };
        Self::new(status, detail.to_owned())
    }

    fn into_json(self, links: &Links) -> Response {
        let details = ProblemDetails {
            kind: "about:blank",
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            same_as: self.same_as.map(|twin| TwinJson::new(twin, links)),
            request_id: self.request_id.as_deref(),
        };
        let body = serde_json::to_vec(&details).unwrap_or_default();
        (
            self.status,
            [(CONTENT_TYPE, "application/problem+json")],
            body,
        )
            .into_response()
    }

    fn into_page(self, frame: Frame) -> Response {
        let offers_login = frame.account.is_none()
            && matches!(
                self.status,
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
            );
        let page = ErrorPage {
            frame,
            query: "",
            status: self.status.as_u16(),
            title: self.title,
            detail: &self.detail,
            same_as: self.same_as,
            offers_search: matches!(self.status, StatusCode::NOT_FOUND | StatusCode::GONE),
            offers_login,
        };
        match page.render() {
            Ok(html) => (self.status, Html(html)).into_response(),
            Err(_) => (self.status, self.detail).into_response(),
        }
    }
}

/// What a status means, in plain words.
const fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "Log in first",
        StatusCode::FORBIDDEN => "Not allowed",
        StatusCode::NOT_FOUND => "Not found",
        StatusCode::GONE => "Withdrawn",
        StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => "Removed",
        StatusCode::METHOD_NOT_ALLOWED => "Not possible here",
        StatusCode::REQUEST_TIMEOUT => "Too slow",
        StatusCode::CONFLICT => "Not as it is here",
        StatusCode::UNPROCESSABLE_ENTITY => "Contradictory",
        StatusCode::LOCKED => "In use",
        WRONG_CHECKSUM => "Wrong checksum",
        StatusCode::PRECONDITION_FAILED => "Changed meanwhile",
        StatusCode::PRECONDITION_REQUIRED => "Version missing",
        StatusCode::PAYLOAD_TOO_LARGE => "Too large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "Unknown type",
        StatusCode::MISDIRECTED_REQUEST => "Another server",
        StatusCode::TOO_MANY_REQUESTS => "Too many tries",
        StatusCode::SERVICE_UNAVAILABLE => "Busy",
        StatusCode::INSUFFICIENT_STORAGE => "The disk is full",
        StatusCode::INTERNAL_SERVER_ERROR => "The server failed",
        _ => "Not understood",
    }
}

/// An error and everything that caused it, in one line for the log.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line = format!("{line}: {cause}");
        source = cause.source();
    }
    line
}

/// An error message as a sentence: with a capital at the start and a full stop at the end.
pub(super) fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let first: String = chars
        .next()
        .map(|c| c.to_uppercase().collect())
        .unwrap_or_default();
    let end = if message.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    format!("{first}{}{end}", chars.as_str())
}

fn new_request_id() -> String {
    let mut id = [0_u8; 6];
    ambient::rng().fill_bytes(&mut id);
    HEXLOWER.encode(&id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_rounded_up() {
        let error = WebError::TooMany {
            detail: "Wait.".to_owned(),
            after: Duration::from_millis(1500),
        };
        assert_eq!(error.into_response().headers()[RETRY_AFTER], "2");
    }

    #[test]
    fn the_cause_of_a_failure_stays_on_the_server() {
        let response = WebError::Internal("no such table: accounts".into()).into_response();
        let problem = response.extensions().get::<Problem>().unwrap();
        assert!(!problem.detail.contains("table"));
        assert!(
            problem
                .detail
                .contains(problem.request_id.as_deref().unwrap())
        );
    }

    #[test]
    fn messages_become_sentences() {
        assert_eq!(sentence("the disk is full"), "The disk is full.");
        assert_eq!(sentence("Wait."), "Wait.");
        assert_eq!(sentence(""), ".");
    }
}

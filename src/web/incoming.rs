//! The body of an upload, read by two: the multipart reader takes the fields out of it, and we know why it broke off
//! and what came after.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::multipart::MultipartError;
use futures_util::{Stream, StreamExt};

use super::error::WebError;
use super::patience::{BodyError, Limits, PatientBody};
use super::text::size;

/// Bytes before a field's content, at most: its headers, or what stands before the first boundary.
const MAX_FIELD_HEAD: usize = 64 * 1024;

/// Bytes after the last boundary, at most.
const MAX_EPILOGUE: usize = 64 * 1024;

/// What is still read of a body that is refused, so that the refusal reaches senders who only listen when they have sent.
const COURTESY: usize = 4 * 1024 * 1024;

/// How long that may take.
const COURTESY_TIME: Duration = Duration::from_secs(2);

/// A body that the multipart reader and we ourselves hold on to: it reads the fields, we know why they broke off and
/// what comes after them.
#[derive(Clone)]
pub(super) struct SharedBody(Arc<Mutex<Progress>>);

struct Progress {
    body: PatientBody,
    /// Bytes that came since the head of a field was awaited; `None` while content comes, which is not kept in memory.
    head: Option<usize>,
    /// Whether to let the reader look at what came before it gets more: it would take all there is into memory.
    pauses: bool,
    /// Whether the reader has given anything yet.
    has_given: bool,
    failure: Option<BodyError>,
}

impl SharedBody {
    pub(super) fn new(body: Body, limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Progress {
            body: PatientBody::new(body, limits),
            head: None,
            pauses: false,
            has_given: false,
            failure: None,
        })))
    }

    pub(super) fn expect_head(&self) {
        let mut progress = self.progress();
        progress.head = Some(0);
        progress.pauses = progress.has_given;
    }

    pub(super) fn expect_content(&self) {
        self.progress().head = None;
        self.expect_more();
    }

    /// Notes that the reader gave something of what it holds: it may have more of it, as of many small files.
    pub(super) fn expect_more(&self) {
        let mut progress = self.progress();
        progress.has_given = true;
        progress.pauses = true;
    }

    /// Why the multipart reader gave up.
    pub(super) fn explain(&self, error: &MultipartError) -> WebError {
        match self.progress().failure.take() {
            Some(failure) => failure.into(),
            None => WebError::Invalid(format!(
                "The upload ended too early or is not well-formed, so nothing was published. Try again. ({})",
                error.body_text()
            )),
        }
    }

    /// Reads to the end of the body: only then is it known that nothing broke.
    pub(super) async fn expect_end(&self) -> Result<(), WebError> {
        self.expect_content();
        let mut rest = self.clone();
        let mut length = 0_usize;
        while let Some(bytes) = rest.next().await {
            let Ok(bytes) = bytes else {
                let failure = self.progress().failure.take();
                return Err(failure.map_or_else(
                    || WebError::Invalid("The upload broke off.".to_owned()),
                    WebError::from,
                ));
            };
            length = length.saturating_add(bytes.len());
            if length > MAX_EPILOGUE {
                return Err(WebError::Invalid(
                    "There is more after the end of the form. Nothing was published.".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// Reads on for a moment after a refusal.
    pub(super) async fn hear_out(&self) {
        if self.progress().failure.is_some() {
            return;
        }
        self.expect_content();
        let mut rest = self.clone();
        let listening = async {
            let mut length = 0_usize;
            while let Some(Ok(bytes)) = rest.next().await {
                length = length.saturating_add(bytes.len());
                if length > COURTESY {
                    return;
                }
            }
        };
        // Whether it came to its end does not matter any more.
        let _ = tokio::time::timeout(COURTESY_TIME, listening).await;
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for SharedBody {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut progress = self.progress();
        if std::mem::take(&mut progress.pauses) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if progress.head.is_some_and(|length| length > MAX_FIELD_HEAD) {
            progress.failure = Some(BodyError::LongHead);
            return Poll::Ready(Some(Err(std::io::Error::other(
                "a field's head is too long",
            ))));
        }
        let polled = Pin::new(&mut progress.body).poll_next(context);
        polled.map(|item| {
            item.map(|received| match received {
                Ok(bytes) => {
                    progress.pauses = true;
                    if let Some(length) = &mut progress.head {
                        *length = length.saturating_add(bytes.len());
                    }
                    Ok(bytes)
                }
                Err(failure) => {
                    let error = std::io::Error::other(failure.to_string());
                    progress.failure = Some(failure);
                    Err(error)
                }
            })
        })
    }
}

impl From<BodyError> for WebError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooSlow => Self::TooSlow(
                "The upload stood still for too long, so nothing was published. Check the connection and try again.".to_owned(),
            ),
            BodyError::TooLarge(limit) => Self::TooLarge(format!(
                "The upload is larger than {}, which is what this server takes at once. Publish it in parts, or ask the administrator to raise publish.max_bytes.",
                size(limit)
            )),
            BodyError::LongHead => Self::Invalid(
                "The form is not well-formed: the head of a field is too long.".to_owned(),
            ),
            BodyError::Broken(_) => Self::Invalid(
                "The upload broke off before its end, so nothing was published. Try again.".to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
    use futures_util::stream;
    use http::header::CONTENT_TYPE;

    use super::*;

    /// A sender that is always faster than we are.
    #[tokio::test]
    async fn of_many_small_files_no_more_is_taken_in_than_is_given_out() {
        const CHUNK: usize = 64 * 1024;
        let file = format!(
            "--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"f\"\r\n\r\n{}\r\n",
            "x".repeat(1000)
        );
        let form = Bytes::from(file.repeat(2000) + "--b--\r\n");
        let came = Arc::new(AtomicUsize::new(0));
        let chunks = (0..form.len()).step_by(CHUNK).map({
            let (form, came) = (form.clone(), Arc::clone(&came));
            move |at| {
                let chunk = form.slice(at..form.len().min(at + CHUNK));
                came.fetch_add(chunk.len(), Ordering::Relaxed);
                Ok::<_, std::io::Error>(chunk)
            }
        });
        let limits = Limits {
            patience: Duration::from_mins(1),
            bytes_per_second: 0,
            bytes: u64::MAX,
        };
        let body = SharedBody::new(Body::from_stream(stream::iter(chunks)), limits);
        let mut request = Request::builder()
            .header(CONTENT_TYPE, "multipart/form-data; boundary=b")
            .body(Body::from_stream(body.clone()))
            .unwrap();
        DefaultBodyLimit::disable().apply(&mut request);
        let mut multipart = Multipart::from_request(request, &()).await.unwrap();
        let mut given = 0;
        loop {
            body.expect_head();
            let Some(mut field) = multipart.next_field().await.unwrap() else {
                break;
            };
            body.expect_content();
            while field.chunk().await.unwrap().is_some() {
                body.expect_more();
            }
            given += file.len();
            assert!(came.load(Ordering::Relaxed) < given + 3 * CHUNK);
        }
        assert_eq!(given, 2000 * file.len());
    }
}

//! An upload in one request: `multipart/form-data` (RFC 7578), streamed straight into the store.
//!
//! Permission and size are judged before the first byte of the body is read. Nothing is visible until the last boundary and the end of the body
//! have come; whatever breaks before that takes the staged bytes along.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use futures_util::{Stream, StreamExt};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};

use super::error::{WebError, sentence};
use super::patience::{BodyError, Limits, PatientBody};
use super::state::Options;
use super::text::size;
use crate::ambient;
use crate::domain::account::Account;
use crate::domain::publication::Publication;
use crate::proto::metainfo::info::Format;
use crate::publish::{Details, Expected, Ingest, IngestError, Options as Rules, Upload};

/// Bytes before a field's content, at most: its headers, or what stands before the first boundary.
const MAX_FIELD_HEAD: usize = 64 * 1024;

/// Bytes after the last boundary, at most.
const MAX_EPILOGUE: usize = 64 * 1024;

/// What is still read of a body that is refused, so that the refusal reaches senders who only listen when they have sent.
const COURTESY: usize = 4 * 1024 * 1024;

/// How long that may take.
const COURTESY_TIME: Duration = Duration::from_secs(2);

/// Bytes that a form adds to the files in it, at most.
const FORM_OVERHEAD: u64 = 1024 * 1024;

/// Receives an upload and publishes it.
pub(super) async fn receive(
    ingest: &Ingest,
    publisher: Option<&Account>,
    options: &Options,
    request: Request,
) -> Result<Publication, WebError> {
    let rules = ingest.options();
    let total_length = check_head(request.headers(), rules)?;
    let (parts, body) = request.into_parts();
    let body = SharedBody::new(body, limits(rules, options));
    let request = Request::from_parts(parts, Body::from_stream(body.clone()));
    let received = receive_fields(ingest, total_length, &body, request).await;
    let (mut form, upload) = match received {
        Ok(received) => received,
        Err(error) => {
            body.hear_out().await;
            return Err(error);
        }
    };
    let details = Details {
        title: form.title.take().unwrap_or_default(),
        description: form.description.take().unwrap_or_default(),
        format: form.format.unwrap_or_default(),
        private: form.private.unwrap_or_default(),
        publisher: publisher.map_or_else(String::new, |account| account.name.clone()),
    };
    Ok(upload.finish(details, ambient::unix_now()).await?)
}

/// Judges what the head of a request says of its body: the type, and the length if it is known.
fn check_head(headers: &HeaderMap, rules: &Rules) -> Result<Option<u64>, WebError> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("multipart/form-data") {
        return Err(WebError::UnsupportedType(
            "Send the files as multipart/form-data, in fields named \"files\".".to_owned(),
        ));
    }
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse().ok());
    if length.is_some_and(|length| length > max_body(rules)) {
        return Err(too_large(rules.max_bytes));
    }
    Ok(length)
}

/// Bytes in a whole body, at most.
const fn max_body(rules: &Rules) -> u64 {
    match rules.max_bytes {
        0 => u64::MAX,
        files => files.saturating_add(FORM_OVERHEAD),
    }
}

const fn limits(rules: &Rules, options: &Options) -> Limits {
    Limits {
        patience: Duration::from_secs(options.body_timeout),
        bytes_per_second: options.min_body_rate,
        bytes: max_body(rules),
    }
}

/// Reads every field, and the body to its end.
async fn receive_fields(
    ingest: &Ingest,
    total_length: Option<u64>,
    body: &SharedBody,
    mut request: Request,
) -> Result<(Form, Upload), WebError> {
    // The body holds itself to its limits.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut multipart = Multipart::from_request(request, &()).await.map_err(|_| {
        WebError::Invalid("The Content-Type of the form names no boundary.".to_owned())
    })?;
    let mut form = Form::default();
    let mut upload = None;
    loop {
        body.expect_head();
        let field = multipart.next_field().await;
        let Some(field) = field.map_err(|error| body.explain(&error))? else {
            break;
        };
        body.expect_content();
        if field.name() != Some("files") {
            form.read(field, ingest.options(), body).await?;
            continue;
        }
        let name = field.file_name().map(decode_file_name);
        let Some(name) = name else {
            return Err(WebError::Invalid(
                "A file came without a name, or its name is not UTF-8. Send each file with its file name.".to_owned(),
            ));
        };
        if name.is_empty() {
            expect_no_file(field, body).await?;
            continue;
        }
        let upload = match &mut upload {
            Some(upload) => upload,
            none => {
                let expected = Expected {
                    total_length,
                    format: form.format.unwrap_or_default(),
                };
                none.insert(ingest.begin(expected, ambient::unix_now())?)
            }
        };
        upload.begin_file(&name).await?;
        receive_file(upload, field, body).await?;
    }
    drop(multipart);
    body.expect_end().await?;
    let upload = upload.ok_or_else(|| {
        WebError::Invalid(
            "There is no file in this upload. Choose at least one file, and send it in a field named \"files\".".to_owned(),
        )
    })?;
    Ok((form, upload))
}

async fn receive_file(
    upload: &mut Upload,
    mut field: Field<'_>,
    body: &SharedBody,
) -> Result<(), WebError> {
    while let Some(bytes) = field.chunk().await.map_err(|error| body.explain(&error))? {
        upload.write(bytes).await?;
    }
    Ok(())
}

/// A form sends a field without a name where nobody chose a file.
async fn expect_no_file(mut field: Field<'_>, body: &SharedBody) -> Result<(), WebError> {
    while let Some(bytes) = field.chunk().await.map_err(|error| body.explain(&error))? {
        if !bytes.is_empty() {
            return Err(WebError::Invalid(
                "A file has an empty name. Give it one and try again.".to_owned(),
            ));
        }
    }
    Ok(())
}

/// What a publisher says of an upload. `None` for what was not said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Form {
    title: Option<String>,
    description: Option<String>,
    format: Option<Format>,
    private: Option<bool>,
}

impl Form {
    async fn read(
        &mut self,
        field: Field<'_>,
        rules: &Rules,
        body: &SharedBody,
    ) -> Result<(), WebError> {
        let name = field.name().unwrap_or_default().to_owned();
        let limit = match name.as_str() {
            // Characters take up to four bytes; the exact bound is the ingest's.
            "title" => rules.max_title_length.saturating_mul(4),
            "description" => rules.max_description_bytes,
            "format" | "private" => 16,
            _ => {
                return Err(WebError::Invalid(format!(
                    "The field {name:?} is not known here. The fields are: title, description, format, private, files."
                )));
            }
        };
        let text = read_text(field, &name, limit, body).await?;
        let is_new = match name.as_str() {
            "title" => self.title.replace(text).is_none(),
            "description" => self.description.replace(text).is_none(),
            "format" => self.format.replace(read_format(&text)?).is_none(),
            _ => self.private.replace(read_yes(&text)?).is_none(),
        };
        if is_new {
            Ok(())
        } else {
            Err(WebError::Invalid(format!(
                "The field \"{name}\" came twice. Send it once."
            )))
        }
    }
}

async fn read_text(
    mut field: Field<'_>,
    name: &str,
    limit: usize,
    body: &SharedBody,
) -> Result<String, WebError> {
    let mut text = Vec::new();
    while let Some(bytes) = field.chunk().await.map_err(|error| body.explain(&error))? {
        if text.len().saturating_add(bytes.len()) > limit {
            return Err(WebError::TooLarge(format!(
                "The field \"{name}\" is longer than {limit} bytes. Shorten it and try again."
            )));
        }
        text.extend_from_slice(&bytes);
    }
    String::from_utf8(text).map_err(|_| {
        WebError::Invalid(format!(
            "The field \"{name}\" is not UTF-8. Send it as UTF-8."
        ))
    })
}

fn read_format(text: &str) -> Result<Format, WebError> {
    match text.trim() {
        "" => Ok(Format::default()),
        text => text
            .parse()
            .map_err(|error: crate::proto::metainfo::info::UnknownFormat| {
                WebError::Invalid(sentence(&error.to_string()))
            }),
    }
}

/// A check box sends `on`; people and scripts write what they are used to.
fn read_yes(text: &str) -> Result<bool, WebError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "" | "off" | "false" | "no" | "0" => Ok(false),
        _ => Err(WebError::Invalid(
            "The field \"private\" is true or false.".to_owned(),
        )),
    }
}

/// Browsers write a quote and line breaks in a file's name in percent form, and nothing else (HTML, "multipart form data").
fn decode_file_name(name: &str) -> String {
    name.replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

fn too_large(limit: u64) -> WebError {
    WebError::TooLarge(format!(
        "The upload is larger than {}, which is what this server takes at once. Publish it in parts, or ask the administrator to raise publish.max_bytes.",
        size(limit)
    ))
}

/// A body that the multipart reader and we ourselves hold on to: it reads the fields, we know why they broke off and what comes after them.
#[derive(Clone)]
struct SharedBody(Arc<Mutex<Progress>>);

struct Progress {
    body: PatientBody,
    /// Bytes that came since the head of a field was awaited; `None` while content comes, which is not kept in memory.
    head: Option<usize>,
    /// Whether to let the reader look at what came before it gets more: it would take all there is into memory.
    pauses: bool,
    failure: Option<BodyError>,
}

impl SharedBody {
    fn new(body: Body, limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Progress {
            body: PatientBody::new(body, limits),
            head: None,
            pauses: false,
            failure: None,
        })))
    }

    fn expect_head(&self) {
        self.progress().head = Some(0);
    }

    fn expect_content(&self) {
        self.progress().head = None;
    }

    /// Why the multipart reader gave up.
    fn explain(&self, error: &MultipartError) -> WebError {
        match self.progress().failure.take() {
            Some(failure) => failure.into(),
            None => WebError::Invalid(format!(
                "The upload ended too early or is not well-formed, so nothing was published. Try again. ({})",
                error.body_text()
            )),
        }
    }

    /// Reads to the end of the body: only then is it known that nothing broke.
    async fn expect_end(&self) -> Result<(), WebError> {
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
    async fn hear_out(&self) {
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

    fn progress(&self) -> std::sync::MutexGuard<'_, Progress> {
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

impl From<IngestError> for WebError {
    fn from(error: IngestError) -> Self {
        let words = sentence(&error.to_string());
        match error {
            IngestError::TooLarge { limit } => too_large(limit),
            IngestError::TooManyFiles { .. }
            | IngestError::LongTitle { .. }
            | IngestError::LongDescription { .. } => Self::TooLarge(words),
            IngestError::Name(_)
            | IngestError::NoFiles
            | IngestError::NoBytes
            | IngestError::Build(_) => Self::Invalid(words),
            IngestError::AlreadyPublished(_) => Self::Conflict(words),
            IngestError::TooManyUploads | IngestError::Interrupted => Self::Unavailable {
                detail: words,
                after: Duration::from_secs(30),
            },
            IngestError::Store(error) => error.into(),
        }
    }
}

impl From<BodyError> for WebError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooSlow => Self::TooSlow(
                "The upload stood still for too long, so nothing was published. Check the connection and try again.".to_owned(),
            ),
            BodyError::TooLarge(limit) => too_large(limit),
            BodyError::LongHead => Self::Invalid(
                "The form is not well-formed: the head of a field is too long.".to_owned(),
            ),
            BodyError::Broken(_) => Self::Invalid(
                "The upload broke off before its end, so nothing was published. Try again.".to_owned(),
            ),
        }
    }
}

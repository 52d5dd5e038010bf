//! An upload in one request: `multipart/form-data` (RFC 7578), streamed straight into the store.
//!
//! Permission and size are judged before the first byte of the body is read. Nothing is visible until the last boundary
//! and the end of the body have come; whatever breaks before that takes the staged bytes along.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::multipart::Field;
use axum::extract::{DefaultBodyLimit, FromRef, FromRequest, Multipart, Request};
use futures_util::StreamExt;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use tokio::task::spawn_blocking;

use super::edits::{max_creator_bytes, max_tags_bytes};
use super::error::{WebError, sentence};
use super::incoming::SharedBody;
use super::particulars::{Typed, check_replaced, max_bytes};
use super::patience::{BodyError, Limits, PatientBody};
use super::shelf::Shelf;
use super::state::{Options, WebState};
use super::text::size;
use crate::ambient;
use crate::domain::account::Account;
use crate::domain::ledger::Maker;
use crate::domain::publication::{Publication, Words};
use crate::proto::metainfo::info::Format;
use crate::publish::{
    Details, Expected, Import, ImportError, Ingest, IngestError, Options as Rules, Running, Upload,
};

/// Bytes that a form adds to the files in it and their torrent, at most.
const FORM_OVERHEAD: u64 = 1024 * 1024;

/// Bytes in the name of a licence, at most.
const MAX_LICENCE: usize = 128;

/// Where uploads go.
#[derive(Clone)]
pub(super) struct Reception {
    ingest: Ingest,
    shelf: Shelf,
    options: Arc<Options>,
}

impl FromRef<WebState> for Reception {
    fn from_ref(state: &WebState) -> Self {
        Self {
            ingest: state.ingest.clone(),
            shelf: state.shelf.clone(),
            options: Arc::clone(&state.options),
        }
    }
}

impl Reception {
    /// What may be published, and by whom.
    pub(super) fn rules(&self) -> &Rules {
        self.ingest.options()
    }

    /// Bytes that fit: on the disk, and by the rules; in a draft of this maker, or in one request.
    pub(super) async fn room(&self, maker: Option<Maker>) -> Result<u64, WebError> {
        let ingest = self.ingest.clone();
        let room = move || match &maker {
            Some(maker) => ingest.room_for(maker),
            None => ingest.room(),
        };
        let free = spawn_blocking(room)
            .await
            .map_err(|error| WebError::Internal(Box::new(error)))??;
        Ok(match self.rules().max_bytes {
            0 => free,
            limit => free.min(limit),
        })
    }

    /// Receives an upload and publishes it. `keyed` is the request where it has a key.
    pub(super) async fn receive(
        &self,
        publisher: Option<&Account>,
        keyed: Option<Running>,
        request: Request,
    ) -> Result<Publication, WebError> {
        let total_length = match self.check_head(request.headers()).await {
            Ok(total_length) => total_length,
            Err(error) => return Err(self.refuse(request, error).await),
        };
        let (parts, body) = request.into_parts();
        let body = SharedBody::new(body, self.limits());
        let request = Request::from_parts(parts, Body::from_stream(body.clone()));
        let received = receive_fields(&self.ingest, total_length, &body, request).await;
        let (form, upload) = match received {
            Ok(received) => received,
            Err(error) => {
                body.hear_out().await;
                return Err(error);
            }
        };
        let details = form.details(publisher)?;
        check_replaced(&self.shelf, publisher, None, &details.words.particulars).await?;
        Ok(upload.finish(details, keyed, ambient::unix_now()).await?)
    }

    /// Passes a refusal on when the sender is ready to hear it: one that does not wait for our word has to be heard out
    /// for a moment.
    pub(super) async fn refuse(&self, request: Request, error: WebError) -> WebError {
        // RFC 9110, section 10.1.1: who expects a word before sending gets the refusal as that word.
        if !request.headers().contains_key(EXPECT) {
            SharedBody::new(request.into_body(), self.limits())
                .hear_out()
                .await;
        }
        error
    }

    /// Lets a body pass that nobody needs, so that its sender hears the answer. Who waits for our word is spared the sending.
    pub(super) async fn let_pass(&self, request: Request) {
        if !request.headers().contains_key(EXPECT) {
            let mut body = PatientBody::new(request.into_body(), self.limits());
            while let Some(Ok(_)) = body.next().await {}
        }
    }

    /// Judges what the head of a request says of its body: the type, and the length if it is known.
    async fn check_head(&self, headers: &HeaderMap) -> Result<Option<u64>, WebError> {
        let text = |name| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let essence = text(CONTENT_TYPE).split(';').next().unwrap_or_default();
        if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Err(WebError::UnsupportedType(
                "Send the files as multipart/form-data, in fields named \"files\".".to_owned(),
            ));
        }
        let Ok(length) = text(CONTENT_LENGTH).parse() else {
            return Ok(None);
        };
        let rules = self.rules();
        if length > max_body(rules) {
            return Err(too_large(rules.max_bytes));
        }
        let room = self.room(None).await?;
        if length > room.saturating_add(form_overhead(rules)) {
            return Err(WebError::Full(format!(
                "The disk has room for {}, and this upload needs {}. Publish less, or ask the administrator for space.",
                size(room),
                size(length)
            )));
        }
        Ok(Some(length))
    }

    /// How slow a body may be, and how large one of a form.
    pub(super) fn limits(&self) -> Limits {
        Limits {
            patience: Duration::from_secs(self.options.body_timeout),
            bytes_per_second: self.options.min_body_rate,
            bytes: max_body(self.rules()),
        }
    }
}

/// Bytes in a whole body, at most.
const fn max_body(rules: &Rules) -> u64 {
    match rules.max_bytes {
        0 => u64::MAX,
        files => files.saturating_add(form_overhead(rules)),
    }
}

/// Bytes of a form that are no files, at most.
const fn form_overhead(rules: &Rules) -> u64 {
    FORM_OVERHEAD.saturating_add(rules.max_torrent_bytes as u64)
}

/// Reads every field, and the body to its end.
async fn receive_fields(
    ingest: &Ingest,
    mut total_length: Option<u64>,
    body: &SharedBody,
    mut request: Request,
) -> Result<(Form, Upload), WebError> {
    // The body holds itself to its limits.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut multipart = Multipart::from_request(request, &()).await.map_err(|_| {
        WebError::Invalid("The Content-Type of the form names no boundary.".to_owned())
    })?;
    let mut form = Form::default();
    let mut import = None;
    let mut upload = None;
    loop {
        body.expect_head();
        let field = multipart.next_field().await;
        let Some(field) = field.map_err(|error| body.explain(&error))? else {
            break;
        };
        body.expect_content();
        if field.name() == Some("torrent") {
            if let Some(torrent) = receive_torrent(field, ingest.options(), body).await? {
                if upload.is_some() || import.is_some() {
                    return Err(misplaced_torrent());
                }
                let length = torrent.len() as u64;
                total_length = total_length.map(|total| total.saturating_sub(length));
                import = Some(read_torrent(ingest, torrent).await?);
            }
            continue;
        }
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
                    import: import.clone(),
                    ..Expected::default()
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
        body.expect_more();
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

/// `None` for what a form sends where nobody chose one.
async fn receive_torrent(
    field: Field<'_>,
    rules: &Rules,
    body: &SharedBody,
) -> Result<Option<Vec<u8>>, WebError> {
    let limit = rules.max_torrent_bytes;
    let torrent = read_bytes(field, limit, body).await?;
    let torrent = torrent.ok_or_else(|| IngestError::from(ImportError::TooLarge { limit }))?;
    Ok(Some(torrent).filter(|torrent| !torrent.is_empty()))
}

fn misplaced_torrent() -> WebError {
    WebError::Invalid(
        "The .torrent goes before the files that are held against it. Send one, in the field \"torrent\", before the first of the fields \"files\".".to_owned(),
    )
}

/// Reads a .torrent whose files are to be published under it.
pub(super) async fn read_torrent(ingest: &Ingest, torrent: Vec<u8>) -> Result<Import, WebError> {
    let ingest = ingest.clone();
    let reading = spawn_blocking(move || ingest.read_torrent(&torrent.into()));
    let read = reading
        .await
        .map_err(|error| WebError::Internal(Box::new(error)))?;
    Ok(read?)
}

/// What a publisher says of an upload. `None` for what was not said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Form {
    title: Option<String>,
    description: Option<String>,
    creator: Option<String>,
    licence: Option<String>,
    /// They may come in one field, or in a field each.
    tags: Vec<String>,
    particulars: Typed,
    format: Option<Format>,
    private: Option<bool>,
}

impl Form {
    fn details(self, publisher: Option<&Account>) -> Result<Details, WebError> {
        Ok(Details {
            words: Words {
                title: self.title.unwrap_or_default(),
                description: self.description.unwrap_or_default(),
                creator: self.creator.unwrap_or_default(),
                licence: self.licence.unwrap_or_default(),
                tags: self.tags,
                particulars: self.particulars.read()?,
            },
            format: self.format.unwrap_or_default(),
            private: self.private.unwrap_or_default(),
            publisher: publisher.map_or_else(String::new, |account| account.name.clone()),
            import: None,
        })
    }

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
            "creator" => max_creator_bytes(rules),
            "licence" => MAX_LICENCE,
            "tags" => max_tags_bytes(rules),
            "format" | "private" => 16,
            name => max_bytes(name, rules).ok_or_else(|| {
                WebError::Invalid(format!(
                    "The field {name:?} is not known here. The fields are: title, description, creator, licence, tags, unlisted, replaces, doi, links, trackers, web_seeds, format, private, torrent, files."
                ))
            })?,
        };
        let text = read_text(field, &name, limit, body).await?;
        let is_new = match name.as_str() {
            "title" => self.title.replace(text).is_none(),
            "description" => self.description.replace(text).is_none(),
            "creator" => self.creator.replace(text).is_none(),
            "licence" => self.licence.replace(text).is_none(),
            "tags" => {
                self.tags.push(text);
                self.tags.len() <= rules.max_tags
            }
            "format" => self.format.replace(read_format(&text)?).is_none(),
            "private" => self.private.replace(read_yes("private", &text)?).is_none(),
            name => self.particulars.take(name, text),
        };
        if is_new {
            Ok(())
        } else {
            Err(WebError::Invalid(format!(
                "The field \"{name}\" came too often. Send it once."
            )))
        }
    }
}

async fn read_text(
    field: Field<'_>,
    name: &str,
    limit: usize,
    body: &SharedBody,
) -> Result<String, WebError> {
    let text = read_bytes(field, limit, body).await?;
    let text = text.ok_or_else(|| {
        WebError::TooLarge(format!(
            "The field \"{name}\" is longer than {limit} bytes. Shorten it and try again."
        ))
    })?;
    String::from_utf8(text).map_err(|_| {
        WebError::Invalid(format!(
            "The field \"{name}\" is not UTF-8. Send it as UTF-8."
        ))
    })
}

/// The bytes of a field; `None` where there are more than so many.
async fn read_bytes(
    mut field: Field<'_>,
    limit: usize,
    body: &SharedBody,
) -> Result<Option<Vec<u8>>, WebError> {
    let mut read = Vec::new();
    while let Some(bytes) = field.chunk().await.map_err(|error| body.explain(&error))? {
        if read.len().saturating_add(bytes.len()) > limit {
            return Ok(None);
        }
        read.extend_from_slice(&bytes);
    }
    Ok(Some(read))
}

pub(super) fn read_format(text: &str) -> Result<Format, WebError> {
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
pub(super) fn read_yes(field: &str, text: &str) -> Result<bool, WebError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "" | "off" | "false" | "no" | "0" => Ok(false),
        _ => Err(WebError::Invalid(format!("\"{field}\" is true or false."))),
    }
}

/// Browsers write a quote and line breaks in a file's name in percent form, and nothing else (HTML, "multipart form data").
fn decode_file_name(name: &str) -> String {
    name.replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

fn too_large(limit: u64) -> WebError {
    BodyError::TooLarge(limit).into()
}

impl From<IngestError> for WebError {
    fn from(error: IngestError) -> Self {
        let words = sentence(&error.to_string());
        match error {
            IngestError::TooLarge { limit } => too_large(limit),
            IngestError::Words(error) => Self::refused_words(&error),
            IngestError::TooManyFiles { .. }
            | IngestError::Import(ImportError::TooLarge { .. }) => Self::TooLarge(words),
            IngestError::Import(ImportError::Difference(_)) => Self::Unprocessable(words),
            IngestError::Name(_)
            | IngestError::NoFiles
            | IngestError::NoBytes
            | IngestError::Import(_)
            | IngestError::Build(_) => Self::Invalid(words),
            IngestError::AlreadyPublished(twin) => Self::AlreadyPublished {
                detail: words,
                twin,
            },
            IngestError::TakenDown(_) => Self::TakenDown(words),
            IngestError::Unreadable { .. } | IngestError::Changed(_) => {
                Self::Internal(Box::new(error))
            }
            IngestError::TooManyUploads | IngestError::Interrupted => Self::Unavailable {
                detail: words,
                after: Duration::from_secs(30),
            },
            IngestError::Store(error) => error.into(),
        }
    }
}

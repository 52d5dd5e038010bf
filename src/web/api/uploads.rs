//! Resumable uploads: tus 1.0.0 for each file of a draft, with the extensions `creation`, `checksum`, `expiration` and `termination`.
//!
//! A file of a draft is an upload from the start. Creation by itself makes a draft of one file. Bytes of a file come in order; files
//! among themselves in any.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use futures_util::StreamExt;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::drafts::upload_path;
use super::openapi::{IdempotencyKey, Overriding, RawBytes, Refused, SpokenVersion, curl};
use crate::ambient;
use crate::domain::account::Account;
use crate::domain::draft::UploadId;
use crate::domain::ledger::Maker;
use crate::domain::publication::{PublicationId, Words};
use crate::domain::tag;
use crate::publish::{Asked, Checksum, Details, DraftError, PartHead, PartUpload, Received, Turn};
use crate::web::api::publications::check_permission;
use crate::web::auth::{Caller, SourceAddress};
use crate::web::error::WebError;
use crate::web::idempotency;
use crate::web::particulars::{Typed, check_replaced};
use crate::web::patience::{BodyError, Limits, PatientBody};
use crate::web::state::WebState;
use crate::web::text::http_time;
use crate::web::upload::{Reception, read_format, read_yes};

const VERSION: &str = "1.0.0";
const EXTENSIONS: &str = "creation,checksum,expiration,termination";
const CHECKSUMS: &str = "sha1,sha256";
const PART_TYPE: &str = "application/offset+octet-stream";

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderName = HeaderName::from_static("tus-version");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_EXPIRES: HeaderName = HeaderName::from_static("upload-expires");

/// Bytes of a part, as clients send them: more would not pass some proxies.
const USUAL_PART: usize = 50 * 1024 * 1024;

/// Holds requests to the version of the protocol, and says it in every answer.
pub(in crate::web) async fn speak_tus(request: Request, next: Next) -> Response {
    let is_known = text(request.headers(), TUS_RESUMABLE.as_str()) == Some(VERSION);
    let mut response = if is_known || request.method() == Method::OPTIONS {
        next.run(request).await
    } else {
        let refusal = WebError::PreconditionFailed(format!(
            "Uploads here speak tus {VERSION}. Send \"Tus-Resumable: {VERSION}\"."
        ));
        ([(TUS_VERSION, VERSION)], refusal).into_response()
    };
    let version = HeaderValue::from_static(VERSION);
    response.headers_mut().insert(TUS_RESUMABLE, version);
    response
}

/// What uploads here can do (tus 1.0.0). Every upload answers the same.
#[utoipa::path(
    options,
    path = "/api/v1/uploads",
    tag = "Uploads",
    responses(
        (status = 204, description = "In the headers `Tus-Version`, `Tus-Extension`, `Tus-Checksum-Algorithm` and `Tus-Max-Size`."),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("-i -X OPTIONS {url}/api/v1/uploads")))),
)]
pub(in crate::web) async fn options(State(state): State<WebState>) -> Response {
    let mut response = (
        StatusCode::NO_CONTENT,
        [
            (TUS_VERSION, VERSION),
            (HeaderName::from_static("tus-extension"), EXTENSIONS),
            (HeaderName::from_static("tus-checksum-algorithm"), CHECKSUMS),
        ],
    )
        .into_response();
    let largest = state.ingest.options().max_bytes;
    if largest > 0 {
        let name = HeaderName::from_static("tus-max-size");
        response.headers_mut().insert(name, largest.into());
    }
    response
}

/// Begin a draft of one file, for any client of tus.
///
/// What is said of it stands in `Upload-Metadata`, each value in Base64: `filename`, and perhaps `title`, `description`, `creator`, `licence`, `tags`,
/// `format`, `private` and the rest of what a form takes.
#[utoipa::path(
    post,
    path = "/api/v1/uploads",
    tag = "Uploads",
    params(SpokenVersion, ("upload-length" = u64, Header, description = "Bytes of the file."), ("upload-metadata" = Option<String>, Header, description = "Names, each with its value in Base64 behind a space, separated by commas."), ("idempotency-key" = inline(Option<IdempotencyKey>), Header, description = "As for a list of files: the same request again makes no second draft.")),
    responses(
        (status = 201, description = "The draft is made.", headers(("location" = String, description = "Where the bytes go."))),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("-i -X POST -H \"Authorization: Bearer $TOKEN\" -H 'Tus-Resumable: 1.0.0' -H 'Upload-Length: 1024' -H 'Upload-Metadata: filename YS5pc28=' {url}/api/v1/uploads")))),
)]
pub(in crate::web) async fn create(
    State(state): State<WebState>,
    Extension(SourceAddress(source)): Extension<SourceAddress>,
    Caller(caller): Caller,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    check_permission(state.who_may_publish, caller.as_ref())?;
    let said = ["upload-length", "upload-metadata"]
        .map(|name| text(&headers, name).unwrap_or_default().as_bytes());
    let said = [&b"upload"[..], said[0], said[1]];
    let turn = idempotency::turn(state.drafts.keys(), caller.as_ref(), &headers, &said).await?;
    let keyed = match turn {
        Some(Turn::Again(id)) => return Ok(created(&state, id)),
        Some(Turn::First(running)) => Some(running),
        None => None,
    };
    let length = number(&headers, UPLOAD_LENGTH.as_str())?.ok_or_else(|| {
        WebError::Invalid("Say how long the file is: send Upload-Length, in bytes.".to_owned())
    })?;
    let about = read_metadata(text(&headers, "upload-metadata").unwrap_or_default())?;
    let said = |key: &str| {
        let found = about.iter().find(|(name, _)| name == key);
        found.map_or("", |(_, value)| value.as_str())
    };
    let name = [said("filename"), said("name")]
        .into_iter()
        .find(|name| !name.is_empty());
    let name = name.ok_or_else(|| {
        WebError::Invalid(
            "Say what the file is called: send it as \"filename\" in Upload-Metadata, in Base64."
                .to_owned(),
        )
    })?;
    let mut particulars = Typed::default();
    for (name, value) in &about {
        particulars.take(name, value.clone());
    }
    let details = Details {
        words: Words {
            title: said("title").to_owned(),
            description: said("description").to_owned(),
            creator: said("creator").to_owned(),
            licence: said("licence").to_owned(),
            tags: tag::split(said("tags")),
            particulars: particulars.read()?,
        },
        format: read_format(said("format"))?,
        private: read_yes("private", said("private"))?,
        publisher: caller
            .as_ref()
            .map_or_else(String::new, |account| account.name.clone()),
        import: None,
    };
    check_replaced(
        &state.shelf,
        caller.as_ref(),
        None,
        &details.words.particulars,
    )
    .await?;
    let files = vec![(name.to_owned(), length)];
    let maker = Maker::new(caller.as_ref(), Some(source.ip()));
    let now = ambient::unix_now();
    let made = state
        .drafts
        .make(details, files, Asked { maker, keyed, now })
        .await?;
    Ok(created(&state, made.draft.id))
}

/// Tells where the bytes of a draft of one file go.
fn created(state: &WebState, draft: PublicationId) -> Response {
    let upload = UploadId { draft, file: 0 };
    let location = [(LOCATION, state.links.address(&upload_path(upload)))];
    let response = (StatusCode::CREATED, location).into_response();
    with_expiry(state, draft, response)
}

/// Says in an answer how long a draft is kept, where it is one still.
fn with_expiry(state: &WebState, draft: PublicationId, mut response: Response) -> Response {
    if let Some(left) = state.drafts.left(draft) {
        let expires = HeaderValue::from_str(&expiry(left)).ok();
        let header = expires.map(|value| (UPLOAD_EXPIRES, value));
        response.headers_mut().extend(header);
    }
    response
}

/// How much of a file is there.
#[utoipa::path(
    head,
    path = "/api/v1/uploads/{id}",
    tag = "Uploads",
    params(("id" = String, Path, description = "The upload, as its address has it."), SpokenVersion),
    responses(
        (status = 200, description = "In the headers `Upload-Offset` and `Upload-Length`."),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("-I -H \"Authorization: Bearer $TOKEN\" -H 'Tus-Resumable: 1.0.0' {url}/api/v1/uploads/UPLOAD")))),
)]
pub(in crate::web) async fn head(
    State(state): State<WebState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Response, WebError> {
    let upload = read_id(&id)?;
    let found = state.drafts.upload(upload, caller.as_ref()).await?;
    let (received, expires) = match found {
        Some((received, left)) => (received, Some((UPLOAD_EXPIRES, expiry(left)))),
        None => (published(&state, caller.as_ref(), upload).await?, None),
    };
    let mut response = [
        (CACHE_CONTROL, "no-store".to_owned()),
        (UPLOAD_OFFSET, received.offset.to_string()),
        (UPLOAD_LENGTH, received.length.to_string()),
    ]
    .into_response();
    response.headers_mut().extend(
        expires.and_then(|(name, value)| Some((name, HeaderValue::from_str(&value).ok()?))),
    );
    Ok(response)
}

/// A file that is published already: whoever missed the last answer learns that all of it is there.
async fn published(
    state: &WebState,
    caller: Option<&Account>,
    upload: UploadId,
) -> Result<Received, WebError> {
    let gone = || WebError::from(DraftError::NoUpload);
    let shelved = state.shelf.get(upload.draft).await?.ok_or_else(gone)?;
    let publication = &shelved.publication;
    let is_theirs = publication.publisher.is_empty()
        || caller.is_some_and(|caller| publication.may_be_edited_by(caller));
    let files = publication.files.iter().filter(|_| is_theirs);
    let file = files.into_iter().find(|file| file.stored_as == upload.file);
    let length = file.ok_or_else(gone)?.length;
    let offset = length;
    Ok(Received { offset, length })
}

/// Send a part of a file.
///
/// What came is kept, whatever becomes of the request. Send parts of at most 50 MiB where a proxy stands before the server.
#[utoipa::path(
    patch,
    path = "/api/v1/uploads/{id}",
    tag = "Uploads",
    params(("id" = String, Path, description = "The upload, as its address has it."), SpokenVersion, ("upload-offset" = u64, Header, description = "Where the bytes belong: what is there already."), ("upload-checksum" = Option<String>, Header, description = "`sha1` or `sha256`, a space, and the hash of this part in Base64.")),
    request_body(content = inline(RawBytes), content_type = "application/offset+octet-stream"),
    responses(
        (status = 204, description = "The bytes are there. `Upload-Offset` says how many in all."),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("-X PATCH -H \"Authorization: Bearer $TOKEN\" -H 'Tus-Resumable: 1.0.0' -H 'Upload-Offset: 0' -H 'Content-Type: application/offset+octet-stream' --data-binary @a.iso {url}/api/v1/uploads/UPLOAD")))),
)]
pub(in crate::web) async fn patch(
    State(state): State<WebState>,
    State(reception): State<Reception>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, WebError> {
    let begun = begin(&state, caller.as_ref(), &id, request.headers()).await;
    let (upload, part) = match begun {
        Ok(begun) => begun,
        Err(error) => return Err(reception.refuse(request, error).await),
    };
    let received = receive(part, request.into_body(), reception.limits()).await?;
    let headers = [(UPLOAD_OFFSET, received.offset.to_string())];
    let response = (StatusCode::NO_CONTENT, headers).into_response();
    Ok(with_expiry(&state, upload.draft, response))
}

async fn begin(
    state: &WebState,
    caller: Option<&Account>,
    id: &str,
    headers: &HeaderMap,
) -> Result<(UploadId, PartUpload), WebError> {
    let upload = read_id(id)?;
    if text(headers, CONTENT_TYPE.as_str()) != Some(PART_TYPE) {
        return Err(WebError::UnsupportedType(format!(
            "Send the bytes of the file as {PART_TYPE}."
        )));
    }
    let offset = number(headers, UPLOAD_OFFSET.as_str())?.ok_or_else(|| {
        WebError::Invalid(
            "Say where the bytes belong: send Upload-Offset, as HEAD gives it.".to_owned(),
        )
    })?;
    let head = PartHead {
        offset,
        length: number(headers, CONTENT_LENGTH.as_str())?,
        checksum: text(headers, "upload-checksum")
            .map(read_checksum)
            .transpose()?,
    };
    let part = state.drafts.begin_part(upload, caller, head).await?;
    Ok((upload, part))
}

/// Takes a body to its end, unless it is not wanted any more.
async fn receive(mut part: PartUpload, body: Body, limits: Limits) -> Result<Received, WebError> {
    let mut body = PatientBody::new(
        body,
        Limits {
            // The file's length is the bound.
            bytes: u64::MAX,
            ..limits
        },
    );
    loop {
        let bytes = tokio::select! {
            bytes = body.next() => bytes,
            why = part.unwanted() => return Err(why.into()),
        };
        match bytes {
            Some(Ok(bytes)) => {
                if let Err(error) = part.write(bytes).await {
                    drop(part);
                    hear_out(body).await;
                    return Err(error.into());
                }
            }
            Some(Err(BodyError::TooSlow)) => {
                return Err(WebError::TooSlow(
                    "The upload stood still for too long. What came is kept: ask by HEAD how much, and go on behind it.".to_owned(),
                ));
            }
            Some(Err(_)) => return Err(DraftError::Stopping.into()),
            None => return Ok(part.finish().await?),
        }
    }
}

/// Lets the rest of a part pass that has no room: its sender would not hear the answer in the middle of it.
async fn hear_out(mut body: PatientBody) {
    let mut length = 0_usize;
    while let Some(Ok(bytes)) = body.next().await {
        length = length.saturating_add(bytes.len());
        if length > USUAL_PART {
            return;
        }
    }
}

/// Give up the draft that a file belongs to: without one of its files it would be another publication.
#[utoipa::path(
    delete,
    path = "/api/v1/uploads/{id}",
    tag = "Uploads",
    params(("id" = String, Path, description = "The upload, as its address has it."), SpokenVersion),
    responses(
        (status = 204, description = "The draft and what came of it are gone."),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("-X DELETE -H \"Authorization: Bearer $TOKEN\" -H 'Tus-Resumable: 1.0.0' {url}/api/v1/uploads/UPLOAD")))),
)]
pub(in crate::web) async fn delete(
    State(state): State<WebState>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, WebError> {
    let upload = read_id(&id)?;
    let found = state.drafts.upload(upload, caller.as_ref()).await?;
    found.ok_or(DraftError::NoUpload)?;
    state.drafts.delete(upload.draft, caller.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Send a part, or give up, where something on the way passes only GET and POST.
#[utoipa::path(
    post,
    path = "/api/v1/uploads/{id}",
    tag = "Uploads",
    params(("id" = String, Path, description = "The upload, as its address has it."), SpokenVersion, ("x-http-method-override" = inline(Overriding), Header, description = "`PATCH` or `DELETE`. The rest is as there.")),
    request_body(content = inline(RawBytes), content_type = "application/offset+octet-stream"),
    responses(
        (status = 204, description = "As there."),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("-X POST -H \"Authorization: Bearer $TOKEN\" -H 'X-HTTP-Method-Override: PATCH' -H 'Tus-Resumable: 1.0.0' -H 'Upload-Offset: 0' -H 'Content-Type: application/offset+octet-stream' --data-binary @a.iso {url}/api/v1/uploads/UPLOAD")))),
)]
pub(in crate::web) async fn overridden(
    state: State<WebState>,
    reception: State<Reception>,
    caller: Caller,
    id: Path<String>,
    request: Request,
) -> Result<Response, WebError> {
    match text(request.headers(), "x-http-method-override") {
        Some("PATCH") => patch(state, reception, caller, id, request).await,
        Some("DELETE") => Ok(delete(state, caller, id).await?.into_response()),
        _ => {
            let allow = [(ALLOW, "HEAD,PATCH,DELETE,OPTIONS")];
            Ok((StatusCode::METHOD_NOT_ALLOWED, allow).into_response())
        }
    }
}

fn read_id(id: &str) -> Result<UploadId, WebError> {
    id.parse().map_err(|_| DraftError::NoUpload.into())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, WebError> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let digits = value.to_str().ok().filter(|it| !it.starts_with('+'));
    let number = digits.and_then(|digits| digits.parse().ok());
    number
        .map(Some)
        .ok_or_else(|| WebError::Invalid(format!("The header {name} has to be a whole number.")))
}

/// Reads `Upload-Checksum`: an algorithm, a space, and the hash in Base64.
fn read_checksum(text: &str) -> Result<Checksum, WebError> {
    let read = || {
        let (algorithm, hash) = text.split_once(' ')?;
        let hash = BASE64.decode(hash.trim().as_bytes()).ok()?;
        match algorithm {
            "sha1" => Some(Checksum::Sha1(hash.try_into().ok()?)),
            "sha256" => Some(Checksum::Sha256(hash.try_into().ok()?)),
            _ => None,
        }
    };
    read().ok_or_else(|| {
        WebError::Invalid(format!(
            "The checksum cannot be read. Send \"Upload-Checksum: \" with one of {CHECKSUMS}, a space, and the hash in Base64."
        ))
    })
}

/// Reads `Upload-Metadata`: names, each with a value in Base64 behind a space, separated by commas.
fn read_metadata(text: &str) -> Result<Vec<(String, String)>, WebError> {
    let pairs = text.split(',').map(str::trim).filter(|it| !it.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let value = BASE64.decode(value.trim().as_bytes()).ok()?;
            Some((name.to_owned(), String::from_utf8(value).ok()?))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| {
            WebError::Invalid(
                "Upload-Metadata cannot be read: it is names, each with its value in Base64 behind a space, separated by commas.".to_owned(),
            )
        })
}

fn expiry(left: std::time::Duration) -> String {
    let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
    http_time(ambient::unix_now().saturating_add(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_checksums_in_base64() {
        let sha1 = read_checksum("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=").unwrap();
        assert!(matches!(sha1, Checksum::Sha1([0x2a, 0xae, 0x6c, ..])));
        for text in [
            "",
            "sha1",
            "sha1 ",
            "sha1 Kq5s",
            "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
            "md5 XrY7u+Ae7tCTyyK7j1rNww==",
            "sha1 2aae6c35c94fcfb415dbe95f408b9ce91ee846ed",
        ] {
            assert!(read_checksum(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_metadata_pair_by_pair() {
        let pairs = read_metadata("filename YS5iaW4=,is_confidential, title QSB0aXRsZQ==").unwrap();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("filename", "a.bin"),
                ("is_confidential", ""),
                ("title", "A title")
            ]
        );
        assert!(read_metadata("").unwrap().is_empty());
        for text in ["filename a.bin", "filename /w==", "a b c"] {
            assert!(read_metadata(text).is_err(), "{text}");
        }
    }
}

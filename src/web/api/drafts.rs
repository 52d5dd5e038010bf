//! Drafts over the JSON API: a list of files comes first, then each file by itself as a resumable upload.

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use futures_util::StreamExt;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::publications::{created, made_before};
use crate::ambient;
use crate::domain::account::Account;
use crate::domain::draft::UploadId;
use crate::domain::ledger::{Maker, Refusal};
use crate::domain::particulars::{Link, Particulars};
use crate::domain::publication::{PublicationId, Words};
use crate::publish::{
    Asked, Details, DraftError, DraftState, DraftStatus, Drafts, Options as Rules, Turn,
};
use crate::store::drafts::DraftFailure;
use crate::web::auth::SourceAddress;
use crate::web::edits;
use crate::web::error::{WebError, sentence};
use crate::web::idempotency;
use crate::web::links::Links;
use crate::web::particulars::{check_replaced, read_replaced};
use crate::web::patience::{Limits, PatientBody};
use crate::web::state::WebState;
use crate::web::text::{machine_time, size};
use crate::web::twin::TwinJson;
use crate::web::upload::{read_format, read_torrent};

/// Bytes that a file takes in a list of files, on an average, at most.
const BYTES_PER_FILE: usize = 256;

/// What a publisher says of a publication before its first byte.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    #[serde(default)]
    title: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    creator: String,
    #[serde(default)]
    licence: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    unlisted: bool,
    #[serde(default)]
    replaces: Option<String>,
    #[serde(default)]
    doi: String,
    #[serde(default)]
    links: Vec<Link>,
    #[serde(default)]
    trackers: Vec<String>,
    #[serde(default)]
    web_seeds: Vec<String>,
    #[serde(default)]
    format: String,
    #[serde(default)]
    private: bool,
    /// A .torrent that there is already, in Base64, for files that are to keep its info-hash. It says what the files are, so `files` is left out, and it
    /// says the format and whether it is private. Each file in the answer is one of the torrent's; what does not match is not published, and the
    /// draft's `failure` names the pieces and the files.
    #[serde(default)]
    #[schema(content_encoding = "base64")]
    torrent: String,
    /// What will be sent. Beside a `torrent` there is none.
    #[serde(default)]
    files: Vec<ManifestFile>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ManifestFile {
    path: String,
    length: u64,
}

/// What a draft looks like to programs: as a publication, as far as that is known.
#[derive(Serialize, ToSchema)]
#[schema(as = Draft)]
pub(super) struct DraftJson<'a> {
    id: String,
    title: &'a str,
    description: &'a str,
    creator: &'a str,
    licence: &'a str,
    tags: &'a [String],
    #[serde(flatten)]
    particulars: &'a Particulars,
    state: &'static str,
    /// Why it is not published although all bytes are there. It is tried again by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    delayed_by: Option<String>,
    /// Why nothing came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    /// The publication that has the same files.
    #[serde(skip_serializing_if = "Option::is_none")]
    same_as: Option<TwinJson>,
    format: &'static str,
    private: bool,
    name: &'a str,
    total_length: u64,
    received_bytes: u64,
    piece_length: u32,
    file_count: u64,
    files: Vec<DraftFileJson<'a>>,
    publisher: &'a str,
    created_at: String,
    expires_at: String,
}

#[derive(Serialize)]
struct FailureJson {
    state: &'static str,
    failure: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    same_as: Option<TwinJson>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DraftFile)]
struct DraftFileJson<'a> {
    path: &'a str,
    length: u64,
    /// Bytes that are there.
    offset: u64,
    upload_url: String,
}

/// Whether a request brings a list of files, and not the files.
pub(super) fn is_manifest(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// `POST /api/v1/publications` with a list of files, by somebody who may publish.
pub(super) async fn make(
    state: &WebState,
    publisher: Option<&Account>,
    limits: Limits,
    request: Request,
) -> Result<Response, WebError> {
    let (head, body) = request.into_parts();
    let list = receive_list(body, limits, state.ingest.options()).await?;
    let said = [&b"draft"[..], &list];
    let turn = idempotency::turn(state.drafts.keys(), publisher, &head.headers, &said).await?;
    let keyed = match turn {
        Some(Turn::Again(id)) => return made_before(state, publisher, id).await,
        Some(Turn::First(running)) => Some(running),
        None => None,
    };
    let manifest = read_manifest(&list)?;
    let import = match manifest.torrent.as_str() {
        "" => None,
        torrent => Some(read_torrent(&state.ingest, decode(torrent)?).await?),
    };
    let details = Details {
        words: Words {
            title: manifest.title,
            description: manifest.description,
            creator: manifest.creator,
            licence: manifest.licence,
            tags: manifest.tags,
            particulars: Particulars {
                unlisted: manifest.unlisted,
                replaces: read_replaced(&manifest.replaces.unwrap_or_default())?,
                doi: manifest.doi,
                links: manifest.links,
                trackers: manifest.trackers,
                web_seeds: manifest.web_seeds,
            },
        },
        format: read_format(&manifest.format)?,
        private: manifest.private,
        publisher: publisher.map_or_else(String::new, |account| account.name.clone()),
        import,
    };
    check_replaced(&state.shelf, publisher, None, &details.words.particulars).await?;
    let files = manifest.files.into_iter();
    let files = files.map(|file| (file.path, file.length)).collect();
    let source = head.extensions.get::<SourceAddress>();
    let maker = Maker::new(publisher, source.map(|source| source.0.ip()));
    let now = ambient::unix_now();
    let made = state
        .drafts
        .make(details, files, Asked { maker, keyed, now })
        .await?;
    Ok(created(made.draft.id, describe(&made, &state.links)))
}

async fn receive_list(body: Body, limits: Limits, rules: &Rules) -> Result<Vec<u8>, WebError> {
    let most = rules
        .max_files
        .saturating_mul(BYTES_PER_FILE)
        .saturating_add(BASE64.encode_len(rules.max_torrent_bytes))
        .saturating_add(edits::max_body(rules));
    let mut body = PatientBody::new(
        body,
        Limits {
            bytes: u64::MAX,
            ..limits
        },
    );
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        let part = part?;
        if bytes.len().saturating_add(part.len()) > most {
            return Err(WebError::TooLarge(format!(
                "The list of files is longer than {}. Publish fewer files at once, or pack them into an archive.",
                size(most as u64)
            )));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

fn read_manifest(list: &[u8]) -> Result<Manifest, WebError> {
    serde_json::from_slice(list).map_err(|error| {
        WebError::Invalid(format!(
            "The list of files cannot be read: {error}. Send {{\"title\": \"…\", \"files\": [{{\"path\": \"…\", \"length\": 1}}]}}."
        ))
    })
}

fn decode(torrent: &str) -> Result<Vec<u8>, WebError> {
    BASE64.decode(torrent.as_bytes()).map_err(|error| {
        WebError::Invalid(format!(
            "The torrent is not Base64: {error}. Encode the .torrent file without line breaks, as `base64 -w 0` does."
        ))
    })
}

/// `GET /api/v1/publications/{id}`, where it is a draft that `viewer` may see.
pub(super) async fn find(
    state: &WebState,
    viewer: Option<&Account>,
    id: &str,
) -> Result<Option<Response>, WebError> {
    let Ok(id) = id.parse() else {
        return Ok(None);
    };
    let found = state.drafts.status(id, viewer).await?;
    Ok(found.map(|status| describe(&status, &state.links)))
}

/// `DELETE /api/v1/publications/{id}`, where it is a draft of the caller; says whether it was.
pub(super) async fn delete(
    drafts: &Drafts,
    caller: Option<&Account>,
    id: &str,
) -> Result<bool, WebError> {
    let Ok(id) = id.parse::<PublicationId>() else {
        return Ok(false);
    };
    match drafts.delete(id, caller).await {
        Ok(()) => Ok(true),
        Err(DraftError::NoUpload) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn describe(status: &DraftStatus, links: &Links) -> Response {
    let draft = &status.draft;
    let failure = match &status.state {
        DraftState::Receiving | DraftState::Hashing(_) => None,
        DraftState::Failed(failure) => Some(failure),
    };
    let left = i64::try_from(status.left.as_secs()).unwrap_or(i64::MAX);
    let files = (0..).zip(draft.files.iter().zip(&status.received));
    let files = files.map(|(file, (it, received))| DraftFileJson {
        path: it.path.as_str(),
        length: it.length,
        offset: *received,
        upload_url: links.address(&upload_path(UploadId {
            draft: draft.id,
            file,
        })),
    });
    let title = match draft.words.title.as_str() {
        "" => status.name.as_str(),
        title => title,
    };
    Json(DraftJson {
        id: draft.id.to_string(),
        title,
        description: &draft.words.description,
        creator: &draft.words.creator,
        licence: &draft.words.licence,
        tags: &draft.words.tags,
        particulars: &draft.words.particulars,
        state: state(status),
        delayed_by: delay(status),
        failure: failure.map(|failure| sentence(&failure.reason)),
        same_as: failure
            .and_then(|failure| failure.twin)
            .map(|twin| TwinJson::new(twin, links)),
        format: draft.format.as_str(),
        private: draft.private,
        name: &status.name,
        total_length: draft.total_length(),
        received_bytes: status.received.iter().copied().fold(0, u64::saturating_add),
        piece_length: draft.piece_length().get(),
        file_count: draft.files.len() as u64,
        files: files.collect(),
        publisher: &draft.publisher,
        created_at: machine_time(draft.created_at),
        expires_at: machine_time(ambient::unix_now().saturating_add(left)),
    })
    .into_response()
}

/// The word for how far a draft is.
pub(super) const fn state(status: &DraftStatus) -> &'static str {
    match status.state {
        DraftState::Receiving => "draft",
        DraftState::Hashing(_) => "hashing",
        DraftState::Failed(_) => "failed",
    }
}

/// Why a draft is not published although all bytes are there, where that was tried.
pub(super) fn delay(status: &DraftStatus) -> Option<String> {
    match status.state {
        DraftState::Hashing(delay) => delay.map(|delay| sentence(&delay.to_string())),
        _ => None,
    }
}

/// Why nothing came of a draft, as events tell it.
pub(super) fn describe_failure(failure: &DraftFailure, links: &Links) -> Value {
    let failed = FailureJson {
        state: "failed",
        failure: sentence(&failure.reason),
        same_as: failure.twin.map(|twin| TwinJson::new(twin, links)),
    };
    serde_json::to_value(failed).unwrap_or_default()
}

/// Where the bytes of a file are sent.
pub(super) fn upload_path(upload: UploadId) -> String {
    format!("/api/v1/uploads/{upload}")
}

impl From<DraftError> for WebError {
    fn from(error: DraftError) -> Self {
        let words = sentence(&error.to_string());
        match error {
            DraftError::Ingest(error) => error.into(),
            DraftError::Refused(Refusal::TooMany { .. } | Refusal::TooManyStrangers { .. }) => {
                Self::TooMany {
                    detail: words,
                    after: std::time::Duration::from_mins(1),
                }
            }
            DraftError::Refused(Refusal::NoRoom {
                room,
                needed,
                bound,
            }) => Self::Full(format!(
                "There is room for {}, and this upload needs {}. {}",
                size(room),
                size(needed),
                sentence(bound.advice())
            )),
            DraftError::NoUpload => Self::NotFound(words),
            DraftError::WrongOffset { .. } | DraftError::Publishing => Self::Conflict(words),
            DraftError::Locked | DraftError::Overtaken => Self::Locked(words),
            DraftError::WrongChecksum => Self::WrongChecksum(words),
            DraftError::TooLong { .. } => Self::TooLarge(words),
            DraftError::Stopping => Self::Unavailable {
                detail: words,
                after: std::time::Duration::from_secs(5),
            },
        }
    }
}

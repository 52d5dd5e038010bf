//! Publications over the JSON API: publish, list, look at one. `CONTRACT.md` of the API: names written here are kept.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRef, Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::header::{CONTENT_LENGTH, ETAG, LOCATION};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::drafts;
use super::drafts::Manifest;
use super::openapi::{Form, IdempotencyKey, PublicationOrDraft, Refused, curl};
use crate::catalog::Catalog;
use crate::domain::account::{Account, WhoMayPublish};
use crate::domain::particulars::Particulars;
use crate::domain::publication::{Publication, PublicationId, PublishedFile};
use crate::engine::Engine;
use crate::publish::Turn;
use crate::store::publications::{MAX_COUNTED, MAX_PAGE, Total};
use crate::tracker::service::Tracker;
use crate::web::auth::{Caller, Viewer};
use crate::web::edits::entity_tag;
use crate::web::error::WebError;
use crate::web::idempotency;
use crate::web::links::Links;
use crate::web::pages::publish::may_not_publish;
use crate::web::personal::Personal;
use crate::web::state::WebState;
use crate::web::text::machine_time;
use crate::web::torrent::Mint;
use crate::web::upload::Reception;
use crate::web::verification::Health;
use crate::web::wanted::{Wanted, cursor_text};

/// Publications in an answer where nobody says how many.
const PAGE: u32 = 20;

/// What a publication looks like to programs.
#[derive(Serialize, ToSchema)]
#[schema(as = Publication)]
pub(super) struct PublicationJson {
    id: String,
    title: String,
    description: String,
    /// Empty where nobody has said; so is `licence`.
    creator: String,
    licence: String,
    tags: Vec<String>,
    #[serde(flatten)]
    particulars: Particulars,
    /// The version that takes its place. Left out in lists, and where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_by: Option<String>,
    /// The newest version, which may be itself. Left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    latest: Option<String>,
    state: &'static str,
    format: &'static str,
    private: bool,
    info_hash_v1: Option<String>,
    info_hash_v2: Option<String>,
    name: String,
    total_length: u64,
    piece_length: u32,
    file_count: u64,
    /// Left out in lists: a publication may have a hundred thousand.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<FileJson>>,
    torrent_url: String,
    /// `null` where whoever asks must log in for it.
    magnet: Option<String>,
    page_url: String,
    publisher: String,
    created_at: String,
    published_at: String,
    swarm: SwarmJson,
    served: ServedJson,
    /// When the content on this server's disk was last found right. Left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_at: Option<String>,
    /// Files that fail the check now. Left out in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged_files: Option<u64>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = File)]
struct FileJson {
    path: String,
    length: u64,
    url: String,
    sha256: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Swarm)]
struct SwarmJson {
    seeders: u64,
    leechers: u64,
    completed: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Served)]
struct ServedJson {
    /// Connected to this server's own seed now.
    peers: u64,
    peer_bytes: u64,
    web_seed_bytes: u64,
    file_bytes: u64,
    /// An estimate: counts only peers that announce here.
    saved_bytes: u64,
}

#[derive(Serialize)]
struct PublishedJson {
    state: &'static str,
    id: String,
    page_url: String,
    torrent_url: String,
}

#[derive(Serialize)]
struct LiveJson {
    swarm: SwarmJson,
    served: ServedJson,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Page)]
struct PageJson {
    publications: Vec<PublicationJson>,
    total: u64,
    /// Whether `total` is all of them, or as far as matches are counted.
    total_is_exact: bool,
    next_cursor: Option<String>,
}

/// What publications are described from.
#[derive(Clone)]
pub(in crate::web) struct Describer {
    catalog: Catalog,
    engine: Engine,
    tracker: Arc<Tracker>,
    links: Arc<Links>,
    mint: Mint,
    personal: Personal,
}

impl FromRef<WebState> for Describer {
    fn from_ref(state: &WebState) -> Self {
        Self {
            catalog: state.catalog.clone(),
            engine: state.engine.clone(),
            tracker: Arc::clone(&state.tracker),
            links: Arc::clone(&state.links),
            mint: Mint::from_ref(state),
            personal: Personal::from_ref(state),
        }
    }
}

impl Describer {
    /// A publication with its files.
    fn whole(
        &self,
        publication: &Publication,
        trackers: Option<&[Vec<String>]>,
    ) -> PublicationJson {
        let files = publication.files.iter();
        let files = files.map(|file| self.file(publication, file)).collect();
        PublicationJson {
            files: Some(files),
            ..self.summary(publication, publication.files.len() as u64, trackers)
        }
    }

    /// All of a publication, as `viewer` gets it, with the entity tag that a change of it has to name.
    pub(super) async fn answer(
        &self,
        state: &WebState,
        viewer: Option<&Account>,
        publication: &Publication,
    ) -> Result<Response, WebError> {
        let trackers = self.personal.trackers(viewer).await?;
        let health = Health::of(state, publication).await?;
        let newer = state.catalog.store().newer(publication.id).await?;
        let latest = newer.latest.map_or(publication.id, |latest| latest.id);
        let whole = PublicationJson {
            replaced_by: newer.next.map(|next| next.id.into()),
            latest: Some(latest.into()),
            verified_at: Some(machine_time(health.verified_at)),
            damaged_files: Some(health.damaged_files),
            ..self.whole(publication, trackers.as_deref())
        };
        let answer = ([(ETAG, entity_tag(publication))], Json(whole));
        Ok(self.personal.keep(answer.into_response()))
    }

    /// The answer to whoever has published.
    async fn published(
        &self,
        publisher: Option<&Account>,
        publication: &Publication,
    ) -> Result<Response, WebError> {
        let trackers = self.personal.trackers(publisher).await?;
        let whole = Json(self.whole(publication, trackers.as_deref()));
        let answer = created(publication.id, whole.into_response());
        Ok(self.personal.keep(answer))
    }

    fn summary(
        &self,
        publication: &Publication,
        file_count: u64,
        trackers: Option<&[Vec<String>]>,
    ) -> PublicationJson {
        let id = publication.id;
        let words = publication.words();
        PublicationJson {
            id: id.to_string(),
            title: words.title,
            description: words.description,
            creator: words.creator,
            licence: words.licence,
            tags: words.tags,
            particulars: words.particulars,
            replaced_by: None,
            latest: None,
            state: "published",
            format: publication.format.as_str(),
            private: publication.private,
            info_hash_v1: publication.info_hashes.v1().map(|hash| hash.to_string()),
            info_hash_v2: publication.info_hashes.v2().map(|hash| hash.to_string()),
            name: publication.name.clone(),
            total_length: publication.total_length,
            piece_length: publication.piece_length,
            file_count,
            files: None,
            torrent_url: self.links.torrent(id),
            magnet: trackers.map(|trackers| self.mint.magnet(publication, trackers)),
            page_url: self.links.page(id),
            publisher: publication.publisher.clone(),
            created_at: machine_time(publication.created_at),
            published_at: machine_time(publication.published_at),
            swarm: self.swarm(publication),
            served: self.served(publication),
            verified_at: None,
            damaged_files: None,
        }
    }

    /// What became of a draft, in short.
    pub(super) fn describe_end(&self, publication: &Publication) -> Value {
        let published = PublishedJson {
            state: "published",
            id: publication.id.to_string(),
            page_url: self.links.page(publication.id),
            torrent_url: self.links.torrent(publication.id),
        };
        serde_json::to_value(published).unwrap_or_default()
    }

    /// The swarm and what was served, as they are at this moment.
    pub(super) fn describe_swarm(&self, publication: &Publication) -> Value {
        let live = LiveJson {
            swarm: self.swarm(publication),
            served: self.served(publication),
        };
        serde_json::to_value(live).unwrap_or_default()
    }

    fn swarm(&self, publication: &Publication) -> SwarmJson {
        let swarm = self.tracker.counts(&publication.info_hashes);
        SwarmJson {
            seeders: swarm.seeders.into(),
            leechers: swarm.leechers.into(),
            completed: self.catalog.tally(publication.id).counts().completed,
        }
    }

    fn served(&self, publication: &Publication) -> ServedJson {
        let id = publication.id;
        let counts = self.catalog.tally(id).counts();
        ServedJson {
            peers: self.engine.peer_count(id),
            peer_bytes: counts.peer_bytes,
            web_seed_bytes: counts.web_seed_bytes,
            file_bytes: counts.file_bytes,
            saved_bytes: counts.saved_bytes(),
        }
    }

    fn file(&self, publication: &Publication, file: &PublishedFile) -> FileJson {
        FileJson {
            path: file.path.to_string(),
            length: file.length,
            url: self.links.file(publication, &file.path),
            sha256: HEXLOWER.encode(&file.sha256),
        }
    }
}

/// Publish, or begin a draft.
///
/// Files in a form are published by this one request, and the answer is the publication. A list of files in JSON makes a draft: send each file
/// to its `upload_url` (tus 1.0.0), and with the last byte it is published, under the same id.
///
/// With a `torrent`, in either, files that are out in the world already are published under the info-hash that they have. What does not match it is not
/// published: of a form the answer is 422, of a draft that it has failed, and both name the pieces and the files. A torrent that is published here already
/// is refused with 409, and `same_as` names the publication; one that was taken down, with 451.
///
/// With an `Idempotency-Key` the same request again makes nothing more: it is answered with what the first one has made, as that is now. While the first
/// one runs, the answer is 409, and with another list of files, or a form of another length, 422.
#[utoipa::path(
    post,
    path = "/api/v1/publications",
    tag = "Publications",
    params(("idempotency-key" = inline(Option<IdempotencyKey>), Header, description = "A word of your choice that no other request of yours has, such as a UUID. It needs an account.")),
    request_body(content((Manifest = "application/json"), (Form = "multipart/form-data"))),
    responses(
        (status = 201, description = "The publication, or the draft.", body = PublicationOrDraft, headers(("location" = String, description = "Where it is."))),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("-H \"Authorization: Bearer $TOKEN\" -F title='A title' -F files=@a.iso {url}/api/v1/publications")))),
)]
pub(in crate::web) async fn publish(
    State(state): State<WebState>,
    State(reception): State<Reception>,
    State(describer): State<Describer>,
    Caller(caller): Caller,
    request: Request,
) -> Result<Response, WebError> {
    if let Err(refusal) = check_permission(reception.rules().who, caller.as_ref()) {
        return Err(reception.refuse(request, refusal).await);
    }
    let caller = caller.as_ref();
    if drafts::is_manifest(request.headers()) {
        return drafts::make(&state, caller, reception.limits(), request).await;
    }
    // A form is known by its length: to compare its bytes they would have to come again.
    let length = request.headers().get(CONTENT_LENGTH);
    let said = [&b"form"[..], length.map_or(b"", HeaderValue::as_bytes)];
    let turn = idempotency::turn(state.drafts.keys(), caller, request.headers(), &said).await;
    let keyed = match turn {
        Ok(Some(Turn::Again(id))) => {
            reception.let_pass(request).await;
            return made_before(&state, caller, id).await;
        }
        Ok(Some(Turn::First(running))) => Some(running),
        Ok(None) => None,
        Err(error) => return Err(reception.refuse(request, error).await),
    };
    let publication = reception.receive(caller, keyed, request).await?;
    describer.published(caller, &publication).await
}

/// The answer to a request that has made something already: what it has made, as that is now.
pub(super) async fn made_before(
    state: &WebState,
    caller: Option<&Account>,
    id: PublicationId,
) -> Result<Response, WebError> {
    if let Some(draft) = drafts::find(state, caller, id.as_str()).await? {
        return Ok(created(id, draft));
    }
    let shelved = state.shelf.find(id.as_str()).await?;
    let describer = Describer::from_ref(state);
    describer.published(caller, &shelved.publication).await
}

/// Makes the description of something an answer that says where it is.
pub(super) fn created(id: PublicationId, described: Response) -> Response {
    let location = [(LOCATION, format!("/api/v1/publications/{id}"))];
    (StatusCode::CREATED, location, described).into_response()
}

/// Whether a caller may publish.
///
/// # Errors
/// The refusal, with who may.
pub(super) fn check_permission(
    who_may_publish: WhoMayPublish,
    caller: Option<&Account>,
) -> Result<(), WebError> {
    if who_may_publish.allows(caller.map(|account| account.role)) {
        return Ok(());
    }
    Err(caller.map_or_else(
        || {
            WebError::NotLoggedIn(
                "Publishing here needs an account. Send \"Authorization: Bearer \" and an API token; `sower token create` makes one.".to_owned(),
            )
        },
        may_not_publish,
    ))
}

/// The catalogue, a page at a time.
#[utoipa::path(
    get,
    path = "/api/v1/publications",
    tag = "Publications",
    params(Wanted),
    responses(
        (status = 200, description = "Publications, without their files.", body = PageJson),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("'{url}/api/v1/publications?q=soil&limit=5'")))),
)]
pub(in crate::web) async fn list(
    State(catalog): State<Catalog>,
    State(describer): State<Describer>,
    Viewer(viewer): Viewer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, WebError> {
    let limit = wanted.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(WebError::Invalid(format!(
            "limit is a number from 1 to {MAX_PAGE}."
        )));
    }
    let found = catalog.store().page(&wanted.page(limit)?).await?;
    let trackers = describer.personal.trackers(viewer.as_ref()).await?;
    let publications = found
        .publications
        .iter()
        .map(|summary| {
            describer.summary(
                &summary.publication,
                summary.file_count,
                trackers.as_deref(),
            )
        })
        .collect();
    let (total, total_is_exact) = match found.total {
        Total::Exactly(total) => (total, true),
        Total::Many => (MAX_COUNTED, false),
    };
    let page = Json(PageJson {
        publications,
        total,
        total_is_exact,
        next_cursor: found.next.map(cursor_text),
    });
    Ok(describer.personal.keep(page.into_response()))
}

/// A publication or a draft.
///
/// A draft is shown to whoever made it.
#[utoipa::path(
    get,
    path = "/api/v1/publications/{id}",
    tag = "Publications",
    params(("id" = String, Path, description = "The publication's id.")),
    responses(
        (status = 200, description = "It, with its files.", body = PublicationOrDraft, headers(("etag" = String, description = "What a change has to name."))),
        Refused,
    ),
    extensions(("x-codeSamples" = json!(curl("{url}/api/v1/publications/ID")))),
)]
pub(in crate::web) async fn one(
    State(state): State<WebState>,
    State(describer): State<Describer>,
    Viewer(viewer): Viewer,
    Path(id): Path<String>,
) -> Result<Response, WebError> {
    // A draft that is published meanwhile is found on the shelf.
    if let Some(draft) = drafts::find(&state, viewer.as_ref(), &id).await? {
        return Ok(draft);
    }
    let shelved = state.shelf.find(&id).await?;
    describer
        .answer(&state, viewer.as_ref(), &shelved.publication)
        .await
}

//! The API's description of itself (OpenAPI 3.1), put together from the handlers when they are mounted.

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, Server};
use utoipa::{IntoParams, IntoResponses, Modify, OpenApi, ToSchema};

use super::drafts::DraftJson;
use super::publications::PublicationJson;
use crate::domain::particulars::Link;
use crate::web::links::Links;
use crate::web::twin::TwinJson;

/// What stands around the operations.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sower",
        description = "Everything that the pages can do. Errors are RFC 9457 problem details; times are RFC 3339, in UTC; lengths are bytes. What is public is read \
            without a token. `sower token create` makes a token, which is sent as `Authorization: Bearer …`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "Publications", description = "What is published, and what is about to be."),
        (name = "Takedowns", description = "What this server must not give, and who may say so: administrators."),
        (name = "Uploads", description = "The files of drafts, by tus 1.0.0 with the extensions creation, checksum, expiration and termination."),
    ),
    components(schemas(Problem)),
    security((), ("token" = [])),
    modifiers(&Token),
)]
struct Around;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
    }
}

/// The document before the operations are in it, for a server at these addresses.
pub(in crate::web) fn document(links: &Links) -> Document {
    let mut document = Around::openapi();
    document.servers = Some(vec![Server::new(links.origin())]);
    document
}

/// A line for a shell, in the form of the `x-codeSamples` that readers of OpenAPI know. `{url}` stands for the server.
pub(super) fn curl(arguments: &str) -> Value {
    json!([{"lang": "Shell", "source": format!("curl {arguments}")}])
}

/// Why there is no good answer.
#[derive(IntoResponses)]
#[response(
    status = "default",
    description = "A refusal, and what to do about it.",
    content_type = "application/problem+json"
)]
#[expect(
    dead_code,
    reason = "what is sent is put together in web::error; this is its shape"
)]
pub(super) struct Refused(Problem);

/// Problem details (RFC 9457).
#[derive(Serialize, ToSchema)]
struct Problem {
    /// Always `about:blank`: the status says it.
    r#type: String,
    /// What the status means, in plain words.
    title: String,
    status: u16,
    /// What is wrong, and what to do.
    detail: String,
    /// The publication that has the same files, where that is what is wrong.
    same_as: Option<TwinJson>,
    /// What to tell the administrator, where the server failed.
    request_id: Option<String>,
}

/// Either, told apart by `state`: `draft`, `hashing` and `failed` are drafts.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "handlers answer with the one or the other; this is the shape of both"
)]
pub(super) enum PublicationOrDraft {
    Publication(Box<PublicationJson>),
    Draft(Box<DraftJson<'static>>),
}

/// A form with files, as `curl -F` and browsers send it. The words come before the files.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "it is read part by part, while it streams; this is its shape"
)]
pub(super) struct Form {
    #[schema(nullable = false)]
    title: Option<String>,
    #[schema(nullable = false)]
    description: Option<String>,
    #[schema(nullable = false)]
    creator: Option<String>,
    #[schema(nullable = false)]
    licence: Option<String>,
    /// Separated by commas.
    #[schema(nullable = false)]
    tags: Option<String>,
    /// `true` or `on` for one that only those find who have its link.
    #[schema(nullable = false)]
    unlisted: Option<String>,
    /// The id or the address of the publication that it is a newer version of.
    #[schema(nullable = false)]
    replaces: Option<String>,
    #[schema(nullable = false)]
    doi: Option<String>,
    /// Pages about it, one a line: a title and an address.
    #[schema(nullable = false)]
    links: Option<String>,
    /// More trackers, one a line.
    #[schema(nullable = false)]
    trackers: Option<String>,
    /// More web seeds, one a line.
    #[schema(nullable = false)]
    web_seeds: Option<String>,
    /// `v1` or `hybrid`.
    #[schema(nullable = false)]
    format: Option<String>,
    /// `true` or `on` for a torrent that is found through this server's tracker alone (BEP 27).
    #[schema(nullable = false)]
    private: Option<String>,
    /// A .torrent that the files have already, and keep with its info-hash. It comes before them, and says the format, and whether it is private. Files that
    /// it does not have are passed over.
    #[schema(nullable = false)]
    torrent: Option<RawBytes>,
    /// The files, one or many. A folder's files say their paths as their names.
    #[schema(min_items = 1)]
    files: Vec<RawBytes>,
}

/// Bytes as they are.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "bytes are streamed; this is their shape")]
pub(super) struct RawBytes(Vec<u8>);

/// The version of tus that is spoken here.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "headers are read one by one; this is the shape of one"
)]
pub(super) enum TusVersion {
    #[serde(rename = "1.0.0")]
    V1,
}

/// What every request about uploads says.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "a layer reads it; this is its shape")]
pub(super) struct SpokenVersion {
    /// The version of the protocol.
    #[param(rename = "tus-resumable", inline)]
    version: TusVersion,
}

/// What names a request.
#[derive(ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
#[expect(
    dead_code,
    reason = "headers are read one by one; this is the shape of one"
)]
pub(super) struct IdempotencyKey(String);

/// The method that is meant.
#[derive(ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(
    dead_code,
    reason = "headers are read one by one; this is the shape of one"
)]
pub(super) enum Overriding {
    Patch,
    Delete,
}

/// What can be changed.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "a patch tells null from nothing, which no struct does plainly; this is its shape"
)]
pub(super) struct Change {
    title: Option<String>,
    description: Option<String>,
    creator: Option<String>,
    licence: Option<String>,
    tags: Option<Vec<String>>,
    unlisted: Option<bool>,
    /// The id or the address of the publication that it is a newer version of.
    replaces: Option<String>,
    doi: Option<String>,
    links: Option<Vec<Link>>,
    trackers: Option<Vec<String>>,
    web_seeds: Option<Vec<String>>,
}

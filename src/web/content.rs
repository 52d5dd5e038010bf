//! The published files over HTTP: one way to answer, behind two doors (RFC 9110, sections 13 and 14; BEP 19).
//!
//! `/web-seed/…` is for BitTorrent clients, in browsers too, hence its CORS headers. `/files/…` is for people: what a browser might run as a page of this
//! site is an attachment there. Both send strong entity tags, the SHA-256 of the file, and never compress. Many ranges
//! in one request are answered with the whole file, which RFC 9110 allows and every client copes with.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, CONTENT_DISPOSITION,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::body::{ContentBody, Door, Source, Stored, Stretch};
use super::checksums;
use super::conditions::{Begun, begin};
use super::error::WebError;
use super::media::{disposition, header_value, media_type};
use super::shelf::{Shelf, Shelved};
use crate::catalog::Catalog;
use crate::domain::publication::PublicationId;
use crate::domain::tally::Tally;
use crate::domain::torrent::Torrent;
use crate::proto::metainfo::files::FileKind;
use crate::reader::{ReadError, Reader};

/// What a page that plays a file in the browser may read of the answer.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Accept-Ranges, Content-Length, Content-Range, ETag");

/// The sandbox stays, nothing is loaded, and only our own pages frame it.
const VIEWED: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
);

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// What both doors read from.
#[derive(Clone)]
pub(super) struct Content {
    catalog: Catalog,
    shelf: Shelf,
    reader: Reader,
}

/// A file that an address names: what its answer says of it, and where its bytes are.
struct Found {
    publication: PublicationId,
    name: String,
    length: u64,
    etag: String,
    source: Source,
}

impl Content {
    pub(super) fn new(catalog: Catalog, shelf: Shelf, reader: Reader) -> Self {
        Self {
            catalog,
            shelf,
            reader,
        }
    }

    async fn find(&self, door: Door, id: &str, path: &str) -> Result<Found, WebError> {
        let shelved = self.shelf.find(id).await?;
        let publication = &shelved.publication;
        let torrent = self
            .catalog
            .torrent(publication.id)
            .await?
            .ok_or_else(WebError::no_publication)?;
        let Some((place, file)) = shelved.find(path) else {
            return match find_pad(&torrent, path) {
                Some(length) if door == Door::WebSeed => Ok(Found {
                    publication: publication.id,
                    name: "pad".to_owned(),
                    length,
                    etag: format!("\"zeros-{length}\""),
                    source: Source::Zeros,
                }),
                _ => Err(WebError::NotFound(
                    "The publication has no file of this name.".to_owned(),
                )),
            };
        };
        let in_torrent = torrent.info.files.content().nth(place);
        let Some((index, in_torrent)) = in_torrent else {
            return Err(WebError::no_publication());
        };
        let stored = open(&self.reader, &torrent, index, in_torrent.offset).await?;
        Ok(Found {
            publication: publication.id,
            name: file.path.file_name().to_owned(),
            length: file.length,
            etag: format!("\"{}\"", HEXLOWER.encode(&file.sha256)),
            source: Source::File(stored),
        })
    }

    /// A publication with all that its bytes are read from.
    pub(super) async fn whole(&self, id: &str) -> Result<Whole, WebError> {
        let shelved = self.shelf.find(id).await?;
        let torrent = self.catalog.torrent(shelved.publication.id).await?;
        let torrent = torrent.ok_or_else(WebError::no_publication)?;
        let places = torrent.info.files.content();
        Ok(Whole {
            places: places.map(|(index, file)| (index, file.offset)).collect(),
            tally: self.catalog.tally(shelved.publication.id),
            catalog: self.catalog.clone(),
            reader: self.reader.clone(),
            shelved,
            torrent,
        })
    }

    /// Makes sure of the first bytes before the head of an answer promises them.
    async fn vouch_for_start(&self, found: &Found, at: u64) -> Result<(), WebError> {
        if let Source::File(stored) = &found.source
            && at < found.length
        {
            let from = stored.offset.saturating_add(at);
            self.reader.check_stretch(&stored.torrent, from, 1).await?;
        }
        Ok(())
    }
}

/// A publication, to be read file by file.
pub(super) struct Whole {
    pub(super) shelved: Arc<Shelved>,
    pub(super) catalog: Catalog,
    reader: Reader,
    torrent: Arc<Torrent>,
    tally: Arc<Tally>,
    /// For each file of the publication: its place among the torrent's files, pads counted, and where it begins in the torrent.
    places: Vec<(usize, u64)>,
}

impl Whole {
    /// A span of the file at `place`, for people.
    pub(super) async fn stretch(
        &self,
        place: usize,
        span: Range<u64>,
    ) -> Result<Stretch, ReadError> {
        let missing = || ReadError::Missing(self.shelved.publication.id.to_string());
        let (index, offset) = *self.places.get(place).ok_or_else(missing)?;
        let stored = open(&self.reader, &self.torrent, index, offset).await?;
        let tally = Arc::clone(&self.tally);
        Ok(Stretch::new(Source::File(stored), span, tally, Door::Files))
    }
}

/// Opens the file at `index` of the torrent's files, which begins at `offset` of it.
async fn open(
    reader: &Reader,
    torrent: &Arc<Torrent>,
    index: usize,
    offset: u64,
) -> Result<Stored, ReadError> {
    let file = reader.open(torrent, index).await?;
    let missing = || ReadError::Missing(torrent.publication.to_string());
    Ok(Stored {
        file: file.ok_or_else(missing)?,
        reader: reader.clone(),
        torrent: Arc::clone(torrent),
        offset,
        index,
    })
}

/// Answers a BitTorrent client. This is the path that must stay lean: no other layer lies around it.
pub(super) async fn web_seed(
    State(content): State<Content>,
    method: Method,
    Path((id, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let mut response = match answer(&content, Door::WebSeed, &method, &id, &path, &headers).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    };
    allow_every_origin(response.headers_mut());
    response
}

/// Answers a browser that asks whether another site's page may read a web seed.
pub(super) async fn web_seed_preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    allow_every_origin(headers);
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, HEAD, OPTIONS"),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Range, If-Range, If-Match, If-None-Match"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(86_400));
    response
}

/// Answers a person who downloads.
pub(super) async fn file(
    State(content): State<Content>,
    method: Method,
    Path((id, path)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    // A file of that name goes before the list of all.
    let is_list = path == checksums::NAME && content.shelf.find(&id).await?.find(&path).is_none();
    if is_list {
        return checksums::list(content.shelf.find(&id).await?, &method, &headers);
    }
    let mut response = answer(&content, Door::Files, &method, &id, &path, &headers).await?;
    if query.as_deref() == Some("view") {
        show_document(response.headers_mut());
    }
    Ok(response)
}

/// Lets our preview page show a PDF in the browser's own viewer, which starts in the sandbox too. The policy leaves nothing to a browser
/// that takes the bytes for a page.
fn show_document(headers: &mut HeaderMap) {
    if headers.get(CONTENT_TYPE) == Some(&HeaderValue::from_static("application/pdf")) {
        headers.insert(CONTENT_SECURITY_POLICY, VIEWED);
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
    }
}

async fn answer(
    content: &Content,
    door: Door,
    method: &Method,
    id: &str,
    path: &str,
    asked: &HeaderMap,
) -> Result<Response, WebError> {
    let found = content.find(door, id, path).await?;
    let (mut response, span) = match begin(method, asked, &found.etag, found.length)? {
        Begun::Done(response) => return Ok(response),
        Begun::Bytes(response, span) => (response, span),
    };
    let headers = response.headers_mut();
    let kind = media_type(&found.name);
    headers.insert(CONTENT_TYPE, header_value(kind.as_ref()));
    if door == Door::Files {
        headers.insert(CONTENT_DISPOSITION, disposition(&found.name, &kind));
    }
    if method != Method::HEAD {
        content.vouch_for_start(&found, span.start).await?;
        let tally = content.catalog.tally(found.publication);
        let stretch = Stretch::new(found.source, span, tally, door);
        // Whoever holds the socket sends the stretch itself; hyper sends the body.
        response.extensions_mut().insert(stretch.clone());
        *response.body_mut() = Body::new(ContentBody::new(stretch));
    }
    Ok(response)
}

/// The length of the pad at a path as addresses have it, if there is one. Clients that do not know pads ask for them
/// like for any file.
fn find_pad(torrent: &Torrent, path: &str) -> Option<u64> {
    let pad = path
        .strip_prefix(torrent.info.name.as_str())?
        .strip_prefix('/')
        .filter(|path| path.starts_with(".pad/"))?;
    let mut pads = torrent
        .info
        .files
        .iter()
        .filter(|file| file.kind == FileKind::Pad);
    pads.find(|file| file.path.to_string() == pad)
        .map(|file| file.length)
}

fn allow_every_origin(headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.insert(
        CROSS_ORIGIN_RESOURCE_POLICY,
        HeaderValue::from_static("cross-origin"),
    );
    // Errors and preflights come here without them.
    headers
        .entry(X_CONTENT_TYPE_OPTIONS)
        .or_insert(HeaderValue::from_static("nosniff"));
    headers
        .entry(REFERRER_POLICY)
        .or_insert(HeaderValue::from_static("same-origin"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("sandbox; frame-ancestors 'none'"));
}

impl From<ReadError> for WebError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged { .. } => Self::Damaged(
                "A part of this file is damaged on the server's disk, so it is not sent. Tell the publisher; other peers may still have it.".to_owned(),
            ),
            ReadError::Changed(_) => Self::Damaged(
                "This file has changed on the server's disk, and is checked again. Try again in a moment.".to_owned(),
            ),
            ReadError::Missing(_) => Self::Damaged(
                "This file is missing on the server's disk. Tell the publisher; other peers may still have it.".to_owned(),
            ),
            ReadError::Store(error) => error.into(),
            ReadError::Io(error) => Self::Internal(Box::new(error)),
        }
    }
}

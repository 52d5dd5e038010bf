//! The published files over HTTP: one way to answer, behind two doors (RFC 9110, sections 13 and 14; BEP 19).
//!
//! `/web-seed/…` is for BitTorrent clients, in browsers too, hence its CORS headers. `/files/…` is for people: what a browser might run as a page of this
//! site is an attachment there. Both send strong entity tags, the SHA-256 of the file, and never compress. Many ranges
//! in one request are answered with the whole file, which RFC 9110 allows and every client copes with.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use mime_guess::{Mime, mime};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::body::{ContentBody, Door, Source, Stored, Stretch};
use super::error::WebError;
use super::shelf::Shelf;
use crate::catalog::Catalog;
use crate::domain::publication::PublicationId;
use crate::domain::torrent::Torrent;
use crate::proto::metainfo::files::FileKind;
use crate::proto::range::{self, RangeOutcome};
use crate::reader::{ReadError, Reader};

/// A file's content under its address never changes.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// What a page that plays a file in the browser may read of the answer.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Accept-Ranges, Content-Length, Content-Range, ETag");

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// What an extended parameter may hold as itself (RFC 8187, section 3.2.1: `attr-char`).
const EXTENDED_VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

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
        let in_torrent = torrent
            .info
            .files
            .content()
            .nth(place)
            .map(|(index, file)| (index, file.offset));
        let Some((index, offset)) = in_torrent else {
            return Err(WebError::no_publication());
        };
        let opened = self
            .reader
            .open(&torrent, index)
            .await?
            .ok_or_else(WebError::no_publication)?;
        Ok(Found {
            publication: publication.id,
            name: file.path.file_name().to_owned(),
            length: file.length,
            etag: format!("\"{}\"", HEXLOWER.encode(&file.sha256)),
            source: Source::File(Stored {
                file: opened,
                reader: self.reader.clone(),
                torrent: Arc::clone(&torrent),
                offset,
                index,
            }),
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
    headers: HeaderMap,
) -> Result<Response, WebError> {
    answer(&content, Door::Files, &method, &id, &path, &headers).await
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
    let outcome = evaluate(method, asked, &found.etag, found.length)?;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(ETAG, header_value(&found.etag));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; frame-ancestors 'none'"),
    );
    let span = match outcome {
        Outcome::NotModified => {
            headers.insert(CACHE_CONTROL, FOR_EVER);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        Outcome::Unsatisfiable => {
            headers.insert(
                CONTENT_RANGE,
                header_value(&format!("bytes */{}", found.length)),
            );
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return Ok(response);
        }
        Outcome::Part(span) => {
            let last = span.end.saturating_sub(1);
            headers.insert(
                CONTENT_RANGE,
                header_value(&format!("bytes {}-{last}/{}", span.start, found.length)),
            );
            span
        }
        Outcome::Whole => 0..found.length,
    };
    headers.insert(CACHE_CONTROL, FOR_EVER);
    let kind = media_type(&found.name);
    headers.insert(CONTENT_TYPE, header_value(kind.as_ref()));
    headers.insert(
        CONTENT_LENGTH,
        HeaderValue::from(span.end.saturating_sub(span.start)),
    );
    if door == Door::Files {
        headers.insert(CONTENT_DISPOSITION, disposition(&found.name, &kind));
    }
    if headers.contains_key(CONTENT_RANGE) {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
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

/// What a request asks of a file, its conditions weighed.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Whole,
    Part(std::ops::Range<u64>),
    Unsatisfiable,
    NotModified,
}

/// Weighs the conditions in the order of RFC 9110, section 13.2.2. There are no dates: entity tags are all that is
/// known of a file.
fn evaluate(
    method: &Method,
    asked: &HeaderMap,
    etag: &str,
    length: u64,
) -> Result<Outcome, WebError> {
    if asked.contains_key(IF_MATCH) && !matches(asked, &IF_MATCH, |tag| tag == etag) {
        return Err(WebError::PreconditionFailed(
            "The file is another one than you asked for. Ask again without a precondition."
                .to_owned(),
        ));
    }
    if is_at_hand(asked, etag) {
        return Ok(Outcome::NotModified);
    }
    // RFC 9110, section 14.2: a range is only defined for GET.
    let Some(wanted) = asked.get(RANGE).filter(|_| method == Method::GET) else {
        return Ok(Outcome::Whole);
    };
    let is_same = asked
        .get(IF_RANGE)
        .is_none_or(|tag| tag.as_bytes() == etag.as_bytes());
    if !is_same {
        return Ok(Outcome::Whole);
    }
    Ok(match range::parse(wanted.as_bytes(), length) {
        RangeOutcome::NotSatisfiable => Outcome::Unsatisfiable,
        RangeOutcome::Ranges(ranges) => match ranges.as_slice() {
            [only] => Outcome::Part(only.first..only.first.saturating_add(only.length())),
            _ => Outcome::Whole,
        },
        RangeOutcome::Whole => Outcome::Whole,
    })
}

/// Whether whoever asks has what an entity tag stands for already.
pub(super) fn is_at_hand(asked: &HeaderMap, etag: &str) -> bool {
    // If-None-Match compares weakly: W/"x" is as good as "x".
    matches(asked, &IF_NONE_MATCH, |tag| {
        tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

/// Whether a list of entity tags holds one that fits, or is `*`.
pub(super) fn matches(asked: &HeaderMap, name: &HeaderName, fits: impl Fn(&str) -> bool) -> bool {
    asked
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || fits(tag))
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

/// The media type that a name speaks of.
pub(super) fn media_type(name: &str) -> Mime {
    let guessed = mime_guess::from_path(name).first_or_octet_stream();
    if guessed == mime::TEXT_PLAIN {
        mime::TEXT_PLAIN_UTF_8
    } else {
        guessed
    }
}

/// Whether a browser shows a file of this type without running anything in it.
fn is_harmless(kind: &Mime) -> bool {
    match (kind.type_(), kind.subtype()) {
        (mime::AUDIO | mime::VIDEO, _) | (mime::TEXT, mime::PLAIN) => true,
        (mime::IMAGE, subtype) => {
            // Not SVG, which is a document with scripts.
            matches!(
                subtype.as_str(),
                "avif" | "bmp" | "gif" | "jpeg" | "png" | "webp" | "x-icon"
            )
        }
        _ => false,
    }
}

/// What makes browsers save an answer under `name`.
pub(super) fn attachment(name: &str) -> HeaderValue {
    disposition(name, &mime::APPLICATION_OCTET_STREAM)
}

/// RFC 6266: the name in plain ASCII for old readers, and in full (RFC 8187) for all others.
fn disposition(name: &str, kind: &Mime) -> HeaderValue {
    let how = if is_harmless(kind) {
        "inline"
    } else {
        "attachment"
    };
    // Backslash, quote and percent mislead readers of the plain form, so they do not stand in it.
    let plain: String = name
        .chars()
        .map(|c| match c {
            '"' | '\\' | '%' => '_',
            ' '..='~' => c,
            _ => '_',
        })
        .collect();
    let full = utf8_percent_encode(name, EXTENDED_VALUE);
    header_value(&format!(
        "{how}; filename=\"{plain}\"; filename*=UTF-8''{full}"
    ))
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

/// A header value of visible ASCII, which all that comes here is.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
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

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "\"abc\"";

    fn ask(method: &Method, headers: &[(HeaderName, &str)]) -> Result<Outcome, u16> {
        let mut asked = HeaderMap::new();
        for (name, value) in headers {
            asked.append(name.clone(), value.parse().unwrap());
        }
        evaluate(method, &asked, TAG, 10).map_err(|error| error.into_response().status().as_u16())
    }

    #[test]
    fn a_range_is_only_for_get() {
        let range = [(RANGE, "bytes=2-4")];
        assert_eq!(ask(&Method::GET, &range), Ok(Outcome::Part(2..5)));
        assert_eq!(ask(&Method::HEAD, &range), Ok(Outcome::Whole));
    }

    #[test]
    fn if_range_needs_the_very_same_strong_tag() {
        let with = |tag| [(RANGE, "bytes=2-4"), (IF_RANGE, tag)];
        assert_eq!(ask(&Method::GET, &with(TAG)), Ok(Outcome::Part(2..5)));
        for tag in ["\"abd\"", "W/\"abc\"", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(ask(&Method::GET, &with(tag)), Ok(Outcome::Whole), "{tag}");
        }
    }

    #[test]
    fn conditions_are_weighed_before_the_range() {
        for tag in [TAG, "W/\"abc\"", "\"x\", \"abc\"", "*"] {
            let headers = [(IF_NONE_MATCH, tag), (RANGE, "bytes=2-4")];
            assert_eq!(
                ask(&Method::GET, &headers),
                Ok(Outcome::NotModified),
                "{tag}"
            );
        }
        assert_eq!(ask(&Method::GET, &[(IF_MATCH, "\"x\"")]), Err(412));
        assert_eq!(ask(&Method::GET, &[(IF_MATCH, "W/\"abc\"")]), Err(412));
        assert_eq!(ask(&Method::GET, &[(IF_MATCH, TAG)]), Ok(Outcome::Whole));
    }

    #[test]
    fn what_could_run_as_a_page_is_an_attachment() {
        for name in [
            "a.html",
            "a.HTM",
            "a.xhtml",
            "a.svg",
            "a.xml",
            "a.pdf",
            "a.js",
            "a.mjs",
            "a.css",
            "a.swf",
            "a",
            "a.unknown",
            "a.iso",
            "a.shtml",
            "a.mht",
        ] {
            let kind = media_type(name);
            assert!(
                disposition(name, &kind)
                    .to_str()
                    .unwrap()
                    .starts_with("attachment"),
                "{name} is {kind}"
            );
        }
        for name in ["a.png", "a.jpg", "a.mp4", "a.flac", "a.txt"] {
            let kind = media_type(name);
            assert!(
                disposition(name, &kind)
                    .to_str()
                    .unwrap()
                    .starts_with("inline"),
                "{name} is {kind}"
            );
        }
    }

    #[test]
    fn names_survive_the_header_in_full() {
        assert_eq!(
            disposition("Größe \"1\"\\%.iso", &mime::APPLICATION_OCTET_STREAM),
            "attachment; filename=\"Gr__e _1___.iso\"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%221%22%5C%25.iso"
        );
    }
}

//! The feed: what was published last, for programs that follow it, as RSS 2.0 with torrents enclosed (BEP 36) and as JSON Feed 1.1.
//!
//! It is the same for everybody and knows nobody's passkey. On a private tracker each person's torrents are their own (BEP 27), so there
//! an entry has no torrent enclosed and leads to its page alone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use askama::Template;
use axum::extract::{FromRef, Query, State};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::conditions::is_at_hand;
use super::error::WebError;
use super::markdown::beginning;
use super::personal::Personal;
use super::state::WebState;
use super::text::{counted, cut, machine_time, shown, size};
use super::torrent::Mint;
use super::wanted::Wanted;
use crate::store::publications::PublicationSummary;

/// Characters of a description that the feed carries; the page has all of it.
const DESCRIPTION: usize = 2000;

/// Minutes that readers are asked to wait before they look again.
const MINUTES: u32 = 15;

const TORRENT_TYPE: &str = "application/x-bittorrent";

/// `GET /feed.xml`
pub(super) async fn rss(
    State(state): State<WebState>,
    Query(wanted): Query<Wanted>,
    asked: HeaderMap,
) -> Result<Response, WebError> {
    let wanted = followed(&wanted);
    let entries = newest(&state, &wanted).await?;
    let changed = last_change(&entries);
    let feed = Rss {
        title: title(&state, &wanted),
        home: state.links.address(&wanted.address("/")),
        address: state.links.address(&wanted.address("/feed.xml")),
        version: env!("CARGO_PKG_VERSION"),
        minutes: MINUTES,
        changed: changed.map(httpdate::fmt_http_date),
        torrent_type: TORRENT_TYPE,
        entries,
    };
    let mut xml = feed.render()?;
    xml.retain(is_xml);
    Ok(answer(
        &asked,
        "application/rss+xml; charset=utf-8",
        xml.into_bytes(),
        changed,
    ))
}

/// `GET /feed.json`
pub(super) async fn json(
    State(state): State<WebState>,
    Query(wanted): Query<Wanted>,
    asked: HeaderMap,
) -> Result<Response, WebError> {
    let wanted = followed(&wanted);
    let entries = newest(&state, &wanted).await?;
    let feed = JsonFeed {
        version: "https://jsonfeed.org/version/1.1",
        title: title(&state, &wanted),
        home_page_url: state.links.address(&wanted.address("/")),
        feed_url: state.links.address(&wanted.address("/feed.json")),
        items: entries.iter().map(JsonItem::from).collect(),
    };
    let body = serde_json::to_vec(&feed).map_err(|error| WebError::Internal(Box::new(error)))?;
    let kind = "application/feed+json; charset=utf-8";
    Ok(answer(&asked, kind, body, last_change(&entries)))
}

/// What a feed is of: it is newest first and has one page.
fn followed(wanted: &Wanted) -> Wanted {
    Wanted {
        sort: String::new(),
        ..wanted.first_page()
    }
}

fn title(state: &WebState, wanted: &Wanted) -> String {
    let host = state.links.host();
    match wanted.in_words().join(", ").as_str() {
        "" => format!("Published on {host}"),
        words => format!("Published on {host}, {words}"),
    }
}

/// One publication, as both formats tell of it.
struct Entry {
    page: String,
    title: String,
    description: String,
    /// How much it is, in words.
    extent: String,
    /// Its licence, by its SPDX identifier.
    licence: Option<String>,
    /// Who made it, or else who published it.
    author: String,
    tags: Vec<String>,
    /// The page of the version that it replaces.
    older: Option<String>,
    published_at: i64,
    content_length: u64,
    /// Of v1: the extension knows no other.
    info_hash: Option<String>,
    torrent: Option<Enclosure>,
}

struct Enclosure {
    address: String,
    /// Bytes in the torrent file, not in what it carries (BEP 36).
    length: u64,
}

/// The newest publications of what is wanted, as somebody sees them who is not logged in.
async fn newest(state: &WebState, wanted: &Wanted) -> Result<Vec<Entry>, WebError> {
    let trackers = Personal::from_ref(state).trackers(None).await?;
    let mint = Mint::from_ref(state);
    let query = wanted.newest(state.options.feed_entries);
    let found = state.catalog.store().page(&query).await?;
    let mut entries = Vec::with_capacity(found.publications.len());
    for summary in &found.publications {
        let id = summary.publication.id;
        let mut entry = Entry::new(state, summary);
        if let Some(trackers) = &trackers {
            let length = mint.torrent_length(id, trackers).await?;
            entry.torrent = length.map(|length| Enclosure {
                address: state.links.torrent(id),
                length,
            });
        }
        entries.push(entry);
    }
    Ok(entries)
}

impl Entry {
    fn new(state: &WebState, summary: &PublicationSummary) -> Self {
        let publication = &summary.publication;
        let files = counted(summary.file_count, "file", "files");
        Self {
            page: state.links.page(publication.id),
            title: shown(&publication.title),
            description: cut(
                &shown(beginning(&publication.description).trim_end()),
                DESCRIPTION,
            ),
            extent: format!("{} in {files}", size(publication.total_length)),
            licence: publication.licence.as_ref().map(ToString::to_string),
            author: match publication.creator.as_str() {
                "" => publication.publisher.clone(),
                creator => creator.to_owned(),
            },
            tags: publication.tags.clone(),
            older: (publication.particulars.replaces).map(|older| state.links.page(older)),
            published_at: publication.published_at,
            content_length: publication.total_length,
            info_hash: publication.info_hashes.v1().map(|hash| hash.to_string()),
            torrent: None,
        }
    }

    fn time(&self) -> SystemTime {
        let seconds = u64::try_from(self.published_at).unwrap_or_default();
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// When it was published, as RSS writes it (RFC 822).
    fn date(&self) -> String {
        httpdate::fmt_http_date(self.time())
    }

    /// The description as plain text; never empty.
    fn text(&self) -> String {
        let text = match self.description.as_str() {
            "" => &self.extent,
            description => description,
        };
        match &self.older {
            Some(older) => format!("{text}\n\nA newer version of {older}"),
            None => text.to_owned(),
        }
    }

    /// The description as RSS readers take it: HTML, in which what the publisher wrote is text.
    fn html(&self) -> askama::Result<String> {
        let words = Words {
            lines: self.description.lines().collect(),
            extent: &self.extent,
            older: self.older.as_deref(),
        };
        words.render()
    }
}

#[derive(Template)]
#[template(
    source = "{% if !lines.is_empty() %}<p>{% for line in lines %}{% if !loop.first %}<br>{% endif %}{{ line }}{% endfor %}</p>{% endif %}<p>{{ extent }}</p>{% if let Some(older) = older %}<p>A newer version of <a href=\"{{ older }}\">{{ older }}</a></p>{% endif %}",
    ext = "html"
)]
struct Words<'a> {
    lines: Vec<&'a str>,
    extent: &'a str,
    older: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "feed.xml")]
struct Rss {
    title: String,
    home: String,
    address: String,
    version: &'static str,
    minutes: u32,
    changed: Option<String>,
    torrent_type: &'static str,
    entries: Vec<Entry>,
}

/// Whether a character may stand in a document at all: no escape helps the others in (XML 1.0, section 2.2).
const fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// JSON Feed 1.1, "Top-level".
#[derive(Serialize)]
struct JsonFeed<'a> {
    version: &'static str,
    title: String,
    home_page_url: String,
    feed_url: String,
    items: Vec<JsonItem<'a>>,
}

#[derive(Serialize)]
struct JsonItem<'a> {
    id: &'a str,
    url: &'a str,
    title: &'a str,
    /// Never empty: an item without content is none.
    content_text: String,
    date_published: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authors: Vec<JsonAuthor<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<JsonAttachment<'a>>,
}

#[derive(Serialize)]
struct JsonAuthor<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct JsonAttachment<'a> {
    url: &'a str,
    mime_type: &'static str,
    size_in_bytes: u64,
}

impl<'a> From<&'a Entry> for JsonItem<'a> {
    fn from(entry: &'a Entry) -> Self {
        let author = Some(entry.author.as_str()).filter(|name| !name.is_empty());
        let attachment = entry.torrent.as_ref().map(|torrent| JsonAttachment {
            url: &torrent.address,
            mime_type: TORRENT_TYPE,
            size_in_bytes: torrent.length,
        });
        Self {
            id: &entry.page,
            url: &entry.page,
            title: &entry.title,
            content_text: entry.text(),
            date_published: machine_time(entry.published_at),
            authors: author.map(|name| JsonAuthor { name }).into_iter().collect(),
            tags: &entry.tags,
            attachments: attachment.into_iter().collect(),
        }
    }
}

fn last_change(entries: &[Entry]) -> Option<SystemTime> {
    entries.iter().map(Entry::time).max()
}

/// A feed, or the word that whoever asks has this one already (RFC 9110, section 13.2.2).
fn answer(
    asked: &HeaderMap,
    kind: &'static str,
    body: Vec<u8>,
    changed: Option<SystemTime>,
) -> Response {
    let etag = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(&body)));
    let is_known = if asked.contains_key(IF_NONE_MATCH) {
        is_at_hand(asked, &etag)
    } else {
        // Exactly then, not since then: the date goes back where the newest publication goes away.
        changed.is_some() && changed == date_asked(asked)
    };
    let headers = [(CACHE_CONTROL, "no-cache".to_owned()), (ETAG, etag)];
    let date = changed.map(|changed| [(LAST_MODIFIED, httpdate::fmt_http_date(changed))]);
    if is_known {
        (StatusCode::NOT_MODIFIED, headers, date, ()).into_response()
    } else {
        (headers, date, [(CONTENT_TYPE, kind)], body).into_response()
    }
}

fn date_asked(asked: &HeaderMap) -> Option<SystemTime> {
    let date = asked.get(IF_MODIFIED_SINCE)?.to_str().ok()?;
    httpdate::parse_http_date(date).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_xml_forbids_are_told_apart() {
        for c in [
            '\t',
            '\n',
            '\r',
            ' ',
            'é',
            '\u{d7ff}',
            '\u{e000}',
            '\u{fffd}',
            '\u{1f331}',
        ] {
            assert!(is_xml(c), "{c:?}");
        }
        for c in [
            '\0', '\u{1}', '\u{8}', '\u{b}', '\u{c}', '\u{1b}', '\u{fffe}', '\u{ffff}',
        ] {
            assert!(!is_xml(c), "{c:?}");
        }
    }

    #[test]
    fn a_date_alone_is_known_only_where_it_is_the_same() {
        let changed = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let status = |date: &'static str, changed| {
            let mut asked = HeaderMap::new();
            asked.insert(IF_MODIFIED_SINCE, date.parse().unwrap());
            answer(&asked, "text/plain", vec![1], changed).status()
        };
        let same = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(status(same, Some(changed)), StatusCode::NOT_MODIFIED);
        assert_eq!(status(same, None), StatusCode::OK);
        for other in ["Sun, 06 Nov 1994 08:49:38 GMT", "yesterday"] {
            assert_eq!(status(other, Some(changed)), StatusCode::OK, "{other}");
        }
    }
}

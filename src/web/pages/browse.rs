//! The catalogue: what is published, newest first.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Html;
use serde::Deserialize;

use super::Frame;
use super::details::name_in_words;
use crate::catalog::Catalog;
use crate::domain::account::WhoMayPublish;
use crate::store::publications::{MAX_COUNTED, Page, PageQuery, PublicationSummary, Total};
use crate::tracker::service::Tracker;
use crate::web::api::publications::{cursor_text, read_cursor};
use crate::web::auth::{Auth, Viewer};
use crate::web::error::{WebError, page as render};
use crate::web::links::encode_segment;
use crate::web::markdown::beginning;
use crate::web::text::{counted, day, excerpt, grouped, machine_time, shown, size};

/// Publications on a page.
const PAGE: u32 = 20;

/// Characters of a description that the list shows.
const EXCERPT: usize = 180;

#[derive(Template)]
#[template(path = "browse.html")]
struct BrowsePage {
    frame: Frame,
    query: String,
    /// How many match, in words.
    count: String,
    cards: Vec<Card>,
    is_first_page: bool,
    /// The address of the next page.
    older: Option<String>,
    /// Whether there is no account yet.
    awaits_setup: bool,
}

struct Card {
    href: String,
    title: String,
    publisher: String,
    creator: String,
    licence: Option<String>,
    excerpt: String,
    size: String,
    files: String,
    seeders: String,
    day: String,
    machine_time: String,
}

/// What part of the catalogue to show.
#[derive(Deserialize)]
pub(in crate::web) struct Asked {
    #[serde(default)]
    q: String,
    cursor: Option<String>,
}

/// `GET /`
pub(in crate::web) async fn page(
    State(catalog): State<Catalog>,
    State(tracker): State<Arc<Tracker>>,
    State(auth): State<Arc<Auth>>,
    State(who_may_publish): State<WhoMayPublish>,
    Viewer(viewer): Viewer,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, WebError> {
    let query = asked.q.trim().to_owned();
    let found = catalog
        .store()
        .page(&PageQuery {
            text: query.clone(),
            after: read_cursor(asked.cursor.as_deref())?,
            limit: PAGE,
        })
        .await?;
    let cards = found
        .publications
        .iter()
        .map(|summary| Card::new(summary, &tracker))
        .collect();
    render(&BrowsePage {
        frame: Frame::new(viewer.as_ref(), who_may_publish),
        count: count_in_words(found.total),
        cards,
        is_first_page: asked.cursor.is_none(),
        older: older(&query, &found),
        awaits_setup: auth.is_setup_open(),
        query,
    })
}

fn older(query: &str, found: &Page) -> Option<String> {
    let cursor = cursor_text(found.next?);
    Some(if query.is_empty() {
        format!("/?cursor={cursor}")
    } else {
        format!("/?q={}&cursor={cursor}", encode_segment(query))
    })
}

fn count_in_words(total: Total) -> String {
    match total {
        Total::Exactly(total) => counted(total, "publication", "publications"),
        Total::Many => format!("More than {} publications", grouped(MAX_COUNTED)),
    }
}

impl Card {
    fn new(summary: &PublicationSummary, tracker: &Tracker) -> Self {
        let publication = &summary.publication;
        let seeders = u64::from(tracker.counts(&publication.info_hashes).seeders);
        Self {
            href: format!("/p/{}", publication.id),
            title: shown(&publication.title),
            publisher: publication.publisher.clone(),
            creator: shown(&publication.creator),
            licence: publication.licence.as_ref().map(name_in_words),
            excerpt: excerpt(&beginning(&publication.description), EXCERPT),
            size: size(publication.total_length),
            files: counted(summary.file_count, "file", "files"),
            seeders: counted(seeders, "seeder", "seeders"),
            day: day(publication.published_at),
            machine_time: machine_time(publication.published_at),
        }
    }
}

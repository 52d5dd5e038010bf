//! `GET /stats`: the whole server in numbers, as a page and as JSON.

use std::borrow::Borrow;

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{ACCEPT, VARY};
use serde::Serialize;

use super::Frame;
use crate::ambient;
use crate::domain::history::Day;
use crate::domain::tally::Counts;
use crate::tracker::{Door, Outcome};
use crate::web::auth::Viewer;
use crate::web::error::{WebError, page as render};
use crate::web::state::WebState;
use crate::web::text::{grouped, size};

/// Days that the recent part speaks of.
const RECENT_DAYS: i64 = 30;

/// Damaged publications that are named.
const LISTED_DAMAGED: u32 = 20;

/// The server in numbers.
#[derive(Serialize)]
struct Stats {
    publications: u64,
    swarms: u64,
    seeders: u64,
    leechers: u64,
    peers_ipv4: u64,
    peers_ipv6: u64,
    peers_websocket: u64,
    completed: u64,
    total: Given,
    last_30_days: Given,
    tracker: Vec<DoorStats>,
    /// Publications of which files fail the check.
    damaged_publications: u64,
    /// The ids of those that failed last.
    damaged: Vec<String>,
    /// What is wrong with how peers reach the tracker, if anything.
    warning: Option<String>,
}

/// Bytes that were given, and what peers saved.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "the names are the API's")]
struct Given {
    peer_bytes: u64,
    web_seed_bytes: u64,
    file_bytes: u64,
    delivered_bytes: u64,
    saved_bytes: u64,
}

/// What was asked at one door of the tracker since the server started.
#[derive(Serialize)]
struct DoorStats {
    door: &'static str,
    #[serde(skip)]
    name: &'static str,
    connected: u64,
    announced: u64,
    scraped: u64,
    refused: u64,
    malformed: u64,
    ignored: u64,
}

#[derive(Template)]
#[template(path = "stats.html")]
struct StatsPage {
    frame: Frame,
    stats: Stats,
}

// Templates hand over references.
fn number(number: impl Borrow<u64>) -> String {
    grouped(*number.borrow())
}

fn bytes(bytes: impl Borrow<u64>) -> String {
    size(*bytes.borrow())
}

/// `GET /stats`
pub(in crate::web) async fn page(
    State(state): State<WebState>,
    Viewer(viewer): Viewer,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let numbers = Stats::collect(&state).await?;
    let accepted = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let wants_json = accepted.is_some_and(|accept| accept.contains("application/json"));
    let body = if wants_json {
        Json(numbers).into_response()
    } else {
        let frame = Frame::new(viewer.as_ref(), state.who_may_publish);
        render(&StatsPage {
            frame,
            stats: numbers,
        })?
        .into_response()
    };
    Ok(([(VARY, "Accept")], body).into_response())
}

impl Stats {
    async fn collect(state: &WebState) -> Result<Self, WebError> {
        let census = state.tracker.census();
        let totals = state.catalog.totals();
        let since = Day(Day::of(ambient::unix_now()).0 - RECENT_DAYS + 1);
        let recent = state.catalog.store().counts_since(since).await?;
        let (damaged_publications, damaged) = state.catalog.store().damaged(LISTED_DAMAGED).await?;
        let figures = state.tracker.figures();
        let doors = Door::ALL.map(|door| DoorStats {
            door: door.as_str(),
            name: door.name(),
            connected: figures.count(door, Outcome::Connected),
            announced: figures.count(door, Outcome::Announced),
            scraped: figures.count(door, Outcome::Scraped),
            refused: figures.count(door, Outcome::Refused),
            malformed: figures.count(door, Outcome::Malformed),
            ignored: figures.count(door, Outcome::Ignored),
        });
        Ok(Self {
            publications: state.catalog.len(),
            swarms: census.swarms,
            seeders: census.seeds(),
            leechers: census.leechers(),
            peers_ipv4: census.v4.peers(),
            peers_ipv6: census.v6.peers(),
            peers_websocket: census.websocket,
            completed: totals.completed,
            total: totals.into(),
            last_30_days: recent.into(),
            tracker: doors.into(),
            damaged_publications,
            damaged: damaged.iter().map(ToString::to_string).collect(),
            warning: state.tracker.admission().gateway_warning(ambient::now()),
        })
    }
}

impl From<Counts> for Given {
    fn from(counts: Counts) -> Self {
        Self {
            peer_bytes: counts.peer_bytes,
            web_seed_bytes: counts.web_seed_bytes,
            file_bytes: counts.file_bytes,
            delivered_bytes: counts.delivered_bytes,
            saved_bytes: counts.saved_bytes(),
        }
    }
}

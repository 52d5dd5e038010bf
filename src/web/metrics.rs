//! `GET /metrics`: the server in numbers, as Prometheus reads them. Sums only: no series for each publication.

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;

use crate::catalog::Catalog;
use crate::discovery::nat::Mappings;
use crate::domain::dht::figures::Figures as DhtFigures;
use crate::domain::swarm::Population;
use crate::engine::{Count, Engine, Manner};
use crate::reader::Reader;
use crate::tracker::{Census, Door, Outcome, Tracker};

use super::error::WebError;
use super::state::WebState;

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`
pub(super) async fn metrics(State(state): State<WebState>) -> Result<impl IntoResponse, WebError> {
    let mut text = Text::default();
    tracker(&mut text, &state.tracker);
    seed(&mut text, &state.engine);
    content(&mut text, &state.reader);
    publications(&mut text, &state.catalog);
    if let Some(dht) = &state.discovery.dht {
        node(&mut text, dht.figures());
    }
    if let Some(mappings) = &state.discovery.mappings {
        mapped(&mut text, mappings);
    }
    let (damaged, _) = state.catalog.store().damaged(0).await?;
    let name = "sower_damaged_publications";
    text.family(name, "gauge", "Publications of which files fail the check.");
    text.sample(name, "", damaged);
    text.family("sower_build_info", "gauge", "The version that runs.");
    text.sample(
        "sower_build_info",
        &format!("version=\"{}\"", env!("CARGO_PKG_VERSION")),
        1,
    );
    Ok(([(CONTENT_TYPE, TEXT)], text.0))
}

fn tracker(text: &mut Text, tracker: &Tracker) {
    let figures = tracker.figures();
    text.family(
        "sower_tracker_requests_total",
        "counter",
        "What the tracker was asked, by door and by what came of it.",
    );
    for door in Door::ALL {
        for outcome in Outcome::ALL {
            let labels = format!(
                "door=\"{}\",outcome=\"{}\"",
                door.as_str(),
                outcome.as_str()
            );
            text.sample(
                "sower_tracker_requests_total",
                &labels,
                figures.count(door, outcome),
            );
        }
    }
    let census = tracker.census();
    text.family("sower_tracker_peers", "gauge", "Peers in all swarms.");
    for (family, population) in [("ipv4", census.v4), ("ipv6", census.v6)] {
        for (role, peers) in roles(population) {
            let labels = format!("family=\"{family}\",role=\"{role}\"");
            text.sample("sower_tracker_peers", &labels, peers);
        }
    }
    text.family(
        "sower_tracker_websocket_peers",
        "gauge",
        "Peers that are connected by WebSocket.",
    );
    text.sample("sower_tracker_websocket_peers", "", census.websocket);
    text.family("sower_tracker_swarm_size", "histogram", "Peers in a swarm.");
    for (size, swarms) in Census::SIZES.into_iter().zip(census.swarms_up_to) {
        text.sample(
            "sower_tracker_swarm_size_bucket",
            &format!("le=\"{size}\""),
            swarms,
        );
    }
    text.sample(
        "sower_tracker_swarm_size_bucket",
        "le=\"+Inf\"",
        census.swarms,
    );
    text.sample(
        "sower_tracker_swarm_size_sum",
        "",
        census.v4.peers() + census.v6.peers(),
    );
    text.sample("sower_tracker_swarm_size_count", "", census.swarms);
}

/// The seed's peers.
fn seed(text: &mut Text, engine: &Engine) {
    let figures = engine.figures();
    let manner = |manner: Manner| {
        let (carrier, encryption) = (manner.carrier(), manner.encryption());
        format!("carrier=\"{carrier}\",encryption=\"{encryption}\"")
    };
    let name = "sower_peer_connections";
    text.family(name, "gauge", "Peers that are connected to the seed.");
    for how in Manner::ALL {
        text.sample(name, &manner(how), figures.connected(how));
    }
    let name = "sower_peer_sent_bytes_total";
    text.family(name, "counter", "Bytes of content sent to peers.");
    for how in Manner::ALL {
        text.sample(name, &manner(how), figures.sent(how));
    }
    let census = engine.census();
    let name = "sower_peer_slots";
    text.family(
        name,
        "gauge",
        "Peers that have an upload slot, wait for one, or want none.",
    );
    for (state, peers) in [
        ("unchoked", census.unchoked),
        ("waiting", census.waiting),
        ("idle", census.idle),
    ] {
        text.sample(name, &format!("state=\"{state}\""), peers);
    }
    text.family(
        "sower_peer_torrents",
        "gauge",
        "Torrents that have peers connected.",
    );
    text.sample("sower_peer_torrents", "", census.torrents);
    let name = "sower_peer_arrivals_total";
    text.family(
        name,
        "counter",
        "Connections of peers, by what came of them.",
    );
    for (outcome, count) in [
        ("admitted", Count::Admitted),
        ("no_handshake", Count::NoHandshake),
        ("no_place", Count::NoPlace),
    ] {
        text.sample(
            name,
            &format!("outcome=\"{outcome}\""),
            figures.count(count),
        );
    }
    for (name, help, count) in [
        (
            "sower_peer_requests_rejected_total",
            "Requests for blocks that were answered with a reject.",
            Count::Rejected,
        ),
        (
            "sower_choker_rounds_total",
            "Rounds of choke decisions.",
            Count::Rounds,
        ),
        (
            "sower_choker_turns_total",
            "Upload slots that went from one peer to another at the end of its turn.",
            Count::Turns,
        ),
    ] {
        text.family(name, "counter", help);
        text.sample(name, "", figures.count(count));
    }
}

/// The disk and what is read from it.
fn content(text: &mut Text, reader: &Reader) {
    let figures = reader.figures();
    let name = "sower_content_reads_total";
    text.family(name, "counter", "Reads for peers, by where the bytes were.");
    text.sample(name, "from=\"memory\"", figures.from_memory);
    text.sample(name, "from=\"disk\"", figures.from_disk);
    let name = "sower_content_checks_total";
    text.family(
        name,
        "counter",
        "Pieces that were held against their hashes.",
    );
    text.sample(name, "outcome=\"whole\"", figures.whole);
    text.sample(name, "outcome=\"damaged\"", figures.damaged);
    let name = "sower_content_open_files";
    text.family(name, "gauge", "Files that are kept open for reading.");
    text.sample(name, "", figures.open_files);
}

/// The node of the DHT.
fn node(text: &mut Text, figures: DhtFigures) {
    let sum = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let name = "sower_dht_nodes";
    text.family(name, "gauge", "Nodes of the DHT that are known.");
    text.sample(name, "family=\"ipv4\"", sum(figures.nodes_v4));
    text.sample(name, "family=\"ipv6\"", sum(figures.nodes_v6));
    let name = "sower_dht_stored_peers";
    text.family(name, "gauge", "Peers that others announced to the node.");
    text.sample(name, "", sum(figures.stored_peers));
    let name = "sower_dht_questions_total";
    text.family(
        name,
        "counter",
        "Questions that the node asked others, and that it answered.",
    );
    text.sample(name, "direction=\"out\"", figures.asked);
    text.sample(name, "direction=\"in\"", figures.answered);
    let name = "sower_dht_announces_total";
    text.family(
        name,
        "counter",
        "Announces that other nodes took of ours, and ours of others.",
    );
    text.sample(name, "direction=\"out\"", figures.announced);
    text.sample(name, "direction=\"in\"", figures.took);
    let name = "sower_dht_dropped_packets_total";
    text.family(name, "counter", "Packets that the node let fall.");
    text.sample(name, "", figures.dropped);
}

/// The ports at the router.
fn mapped(text: &mut Text, mappings: &Mappings) {
    let name = "sower_nat_mapped";
    text.family(
        name,
        "gauge",
        "Whether the router lets the world in by a port.",
    );
    for (port, mapping) in mappings.all() {
        let labels = format!("transport=\"{}\",port=\"{}\"", port.transport, port.number);
        text.sample(name, &labels, u64::from(mapping.is_some()));
    }
}

fn publications(text: &mut Text, catalog: &Catalog) {
    text.family("sower_publications", "gauge", "Publications.");
    text.sample("sower_publications", "", catalog.len());
    let totals = catalog.totals();
    text.family(
        "sower_sent_bytes_total",
        "counter",
        "Bytes of content sent, by way.",
    );
    for (way, bytes) in [
        ("peer", totals.peer_bytes),
        ("web_seed", totals.web_seed_bytes),
        ("file", totals.file_bytes),
    ] {
        text.sample("sower_sent_bytes_total", &format!("way=\"{way}\""), bytes);
    }
    for (name, help, value) in [
        (
            "sower_delivered_bytes_total",
            "Bytes of content that came to peers from anywhere, as their announces tell.",
            totals.delivered_bytes,
        ),
        (
            "sower_downloads_completed_total",
            "Downloads that finished, as peers told.",
            totals.completed,
        ),
    ] {
        text.family(name, "counter", help);
        text.sample(name, "", value);
    }
}

const fn roles(population: Population) -> [(&'static str, u64); 3] {
    [
        ("seed", population.seeds),
        ("partial_seed", population.partial_seeds),
        ("downloader", population.downloaders),
    ]
}

/// Samples in the text format, family by family.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }
}

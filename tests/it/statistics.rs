//! What the server says of itself and of its swarms: `/stats`, `/metrics`, what peers saved; and that a restart loses none of it.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;

use sower::proto::id::InfoHash;
use sower::proto::wire::encryption::Methods;

use crate::peer::ScriptedPeer;
use crate::support::{Server, curl, get, wait_for};

/// Bytes of the published file.
const LENGTH: u64 = 40_000;

struct Published {
    server: Server,
    /// As announces write it.
    info_hash: String,
    id: InfoHash,
    api_path: String,
}

fn published() -> Published {
    let server = Server::start();
    let token = server.token();
    let (status, publication) = server.publish(&token, &[], &[("a.bin", &[7; 40_000])]);
    assert_eq!(status, 201, "{publication}");
    let hash = publication["info_hash_v1"].as_str().unwrap();
    let id = InfoHash::from_hex(hash).unwrap();
    let hash = data_encoding::HEXLOWER.decode(hash.as_bytes()).unwrap();
    Published {
        info_hash: percent_encode(&hash, NON_ALPHANUMERIC).to_string(),
        id,
        api_path: format!(
            "/api/v1/publications/{}",
            publication["id"].as_str().unwrap()
        ),
        server,
    }
}

impl Published {
    fn announce(&self, peer: u8, left: u64, event: &str) -> String {
        let url = format!(
            "{}/announce?info_hash={}&peer_id={}&port={}&uploaded=0&downloaded=0&left={left}&event={event}&compact=1",
            self.server.url,
            self.info_hash,
            String::from(char::from(b'a' + peer)).repeat(20),
            6000 + u16::from(peer),
        );
        get(&url).escape_ascii().to_string()
    }

    fn json(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.server.url);
        let body = curl(&["-sS", "-f", "-H", "Accept: application/json", &url]);
        serde_json::from_slice(&body).unwrap()
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8(get(&format!("{}{path}", self.server.url))).unwrap()
    }
}

#[test]
fn what_peers_saved_and_said_is_shown_everywhere() {
    let swarm = published();
    swarm.announce(1, LENGTH, "started");
    swarm.announce(1, 0, "completed");
    swarm.announce(2, LENGTH, "started");
    get(&format!("{}/announce?info_hash=x", swarm.server.url));

    let publication = swarm.json(&swarm.api_path);
    assert_eq!(publication["served"]["saved_bytes"], LENGTH);
    let stats = swarm.json("/stats");
    assert_eq!(
        (&stats["seeders"], &stats["leechers"], &stats["completed"]),
        (&Value::from(1), &Value::from(1), &Value::from(1))
    );
    assert_eq!(stats["total"]["saved_bytes"], LENGTH);
    assert_eq!(stats["tracker"][0]["announced"], 3);
    assert_eq!(stats["tracker"][0]["malformed"], 1);

    let metrics = swarm.text("/metrics");
    for line in [
        "sower_tracker_requests_total{door=\"http\",outcome=\"announced\"} 3",
        "sower_tracker_requests_total{door=\"http\",outcome=\"malformed\"} 1",
        "sower_tracker_peers{family=\"ipv4\",role=\"seed\"} 1",
        "sower_tracker_swarm_size_bucket{le=\"10\"} 1",
        "sower_publications 1",
        "sower_downloads_completed_total 1",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains(&swarm.info_hash), "sums only");
    let page = swarm.text("/stats");
    assert!(
        page.contains("Saved by peers") && page.contains("40 kB"),
        "{page}"
    );
}

#[test]
fn a_restart_keeps_the_swarm_and_all_totals() {
    let mut swarm = published();
    swarm.announce(1, LENGTH, "started");
    swarm.announce(1, 0, "completed");
    swarm.announce(2, LENGTH / 2, "started");
    swarm.server = swarm.server.restart();

    let publication = swarm.json(&swarm.api_path);
    assert_eq!(publication["swarm"]["seeders"], 2, "a peer and the server");
    assert_eq!(publication["swarm"]["leechers"], 1);
    assert_eq!(publication["swarm"]["completed"], 1);
    assert_eq!(publication["served"]["saved_bytes"], LENGTH);
    assert_eq!(swarm.json("/stats")["last_30_days"]["saved_bytes"], LENGTH);
    // A peer that comes next is handed those who were there: two peers and the server, six bytes each.
    let answer = swarm.announce(3, LENGTH, "started");
    assert!(answer.contains("5:peers18:"), "{answer}");
    // One that goes on is known again: what it lacks still decreases, and its download counts once.
    swarm.announce(2, 0, "completed");
    swarm.announce(1, 0, "completed");
    let publication = swarm.json(&swarm.api_path);
    assert_eq!(publication["swarm"]["completed"], 2);
    assert_eq!(publication["served"]["saved_bytes"], LENGTH + LENGTH / 2);
}

#[test]
fn what_the_seed_does_is_shown_on_the_page_and_in_numbers() {
    let swarm = published();
    let mut one = ScriptedPeer::greet(&swarm.server.address(), swarm.id);
    // Whoever is choked is rejected.
    one.request(0, 0, 1_000);
    one.become_unchoked();
    one.fetch(1, 0, 1_000);
    let other =
        ScriptedPeer::greet_encrypted(&swarm.server.address(), swarm.id, Methods::OnlyRc4, 1_000);
    let has = |metrics: &str, line: &str| metrics.lines().any(|it| it == line);
    let metrics = wait_for("both to be counted", || {
        let metrics = swarm.text("/metrics");
        let idle = "sower_peer_slots{state=\"idle\"} 1";
        let sent = "sower_peer_sent_bytes_total{carrier=\"tcp\",encryption=\"plain\"} 1000";
        (has(&metrics, idle) && has(&metrics, sent)).then_some(metrics)
    });
    for line in [
        "sower_peer_connections{carrier=\"tcp\",encryption=\"plain\"} 1",
        "sower_peer_connections{carrier=\"tcp\",encryption=\"encrypted\"} 1",
        "sower_peer_connections{carrier=\"utp\",encryption=\"plain\"} 0",
        "sower_peer_slots{state=\"unchoked\"} 1",
        "sower_peer_torrents 1",
        "sower_peer_arrivals_total{outcome=\"admitted\"} 2",
        "sower_peer_requests_rejected_total 1",
        "sower_content_checks_total{outcome=\"whole\"} 1",
        "sower_content_open_files 1",
    ] {
        assert!(has(&metrics, line), "{line}\n{metrics}");
    }
    let served = &swarm.json(&swarm.api_path)["served"];
    assert_eq!(
        (&served["peers"], &served["peer_bytes"]),
        (&2.into(), &1_000.into())
    );
    let page = swarm.text(&swarm.api_path.replace("/api/v1/publications/", "/p/"));
    assert!(
        page.contains("<dt>Peers connected now</dt><dd>2</dd>"),
        "{page}"
    );

    drop((one, other));
    wait_for("both to be gone", || {
        let served = &swarm.json(&swarm.api_path)["served"];
        (served["peers"] == 0).then_some(())
    });
}

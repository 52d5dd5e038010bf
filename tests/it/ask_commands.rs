//! `sower announce` and `sower scrape`: asked of the real server by every door, and of trackers that refuse or are not there.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::Output;
use std::thread::{JoinHandle, spawn};

use serde_json::{Value, json};

use crate::support::{Server, get};

struct Swarm {
    server: Server,
    info_hash: String,
    id: String,
}

fn published() -> Swarm {
    let server = Server::start();
    let (status, publication) = server.publish(&server.token(), &[], &[("a", &[5; 40_000])]);
    assert_eq!(status, 201, "{publication}");
    Swarm {
        info_hash: publication["info_hash_v1"].as_str().unwrap().to_owned(),
        id: publication["id"].as_str().unwrap().to_owned(),
        server,
    }
}

impl Swarm {
    /// The tracker's address by each door.
    fn doors(&self) -> [String; 3] {
        let http = format!("{}/announce", self.server.url);
        let other = |scheme| http.replacen("http", scheme, 1);
        [other("udp"), other("ws"), http]
    }

    fn sower(&self, arguments: &[&str]) -> Output {
        self.server.sower(arguments, "")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.sower(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn numbers(&self) -> (u64, u64, u64) {
        let url = format!("{}/api/v1/publications/{}", self.server.url, self.id);
        let publication: Value = serde_json::from_slice(&get(&url)).unwrap();
        let number = |key: &str| publication["swarm"][key].as_u64().unwrap();
        (number("seeders"), number("leechers"), number("completed"))
    }

    fn torrent(&self) -> String {
        let path = self.server.folder().join("a.torrent");
        let url = format!("{}/p/{}.torrent", self.server.url, self.id);
        fs::write(&path, get(&url)).unwrap();
        path.display().to_string()
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn an_announce_by_every_door_is_told_in_full_and_leaves_no_trace() {
    let swarm = published();
    for url in swarm.doors() {
        let said = swarm.json(&["announce", &url, "--info-hash", &swarm.info_hash, "--json"]);
        assert_eq!(said["info_hashes"], json!([swarm.info_hash]));
        let tracker = &said["trackers"][0];
        assert_eq!(
            (&tracker["url"], &tracker["tier"]),
            (&json!(url), &json!(1))
        );
        assert_eq!(tracker["left"], true, "{tracker}");
        assert_eq!(tracker["address"], swarm.server.address(), "{tracker}");
        let answer = &tracker["answer"];
        assert_eq!(
            (&answer["complete"], &answer["incomplete"]),
            (&json!(1), &json!(1))
        );
        assert!(answer["interval"].as_u64().unwrap() >= 120, "{answer}");
        assert_eq!(answer["others"], json!({}));
        let peers = answer["peers"].as_array().unwrap().len();
        assert_eq!(
            peers,
            usize::from(!url.starts_with("ws")),
            "this server's seed: {answer}"
        );
        assert_eq!(swarm.numbers(), (1, 0, 0), "{url}");
    }
}

#[test]
fn a_scrape_by_every_door_says_the_same() {
    let swarm = published();
    let [udp, ..] = swarm.doors();
    let hash = ["--info-hash", &swarm.info_hash];
    let stay = swarm.sower(&[
        "announce", &udp, hash[0], hash[1], "--stay", "--port", "6001",
    ]);
    assert_eq!(stay.status.code(), Some(0), "{stay:?}");
    assert!(!text(&stay.stdout).contains("left"), "{stay:?}");
    let unknown = "9".repeat(40);
    for url in swarm.doors() {
        let said = swarm.json(&[
            "scrape", &url, hash[0], hash[1], hash[0], &unknown, "--json",
        ]);
        let file = &said["trackers"][0]["answer"]["files"][&swarm.info_hash];
        let number = |key: &str| file[key].as_u64().unwrap();
        let numbers = (
            number("complete"),
            number("incomplete"),
            number("downloaded"),
        );
        assert_eq!(numbers, (1, 1, 0), "{url}");
    }
}

#[test]
fn the_trackers_of_a_torrent_are_asked_by_tier() {
    let swarm = published();
    let torrent = swarm.torrent();
    let [udp, ws, http] = swarm.doors();
    let said = swarm.json(&[
        "announce", &torrent, "--json", "--event", "none", "--left", "0",
    ]);
    let trackers = said["trackers"].as_array().unwrap();
    let asked: Vec<_> = trackers
        .iter()
        .map(|it| (it["tier"].as_u64().unwrap(), it["url"].as_str().unwrap()))
        .collect();
    assert_eq!(asked, [(1, &*http), (1, &*udp), (2, &*ws)]);
    assert!(
        trackers
            .iter()
            .all(|it| it["answer"]["complete"].as_u64() >= Some(2)),
        "{said}"
    );
    assert_eq!(swarm.numbers(), (1, 0, 0));

    let shown = swarm.sower(&["scrape", &torrent]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
    let said = text(&shown.stdout);
    for line in [
        format!("tracker 1     {http}"),
        format!("tracker 1     {udp}"),
        format!("tracker 2     {ws}"),
        format!("torrent       {}", swarm.info_hash),
        "seeders       1".to_owned(),
        "leechers      0".to_owned(),
        "completed     0".to_owned(),
        "at least      5 min".to_owned(),
    ] {
        assert!(said.lines().any(|there| there == line), "{line}: {said}");
    }
    let link = format!("magnet:?xt=urn:btih:{}&tr={udp}", swarm.info_hash);
    let shown = swarm.sower(&["announce", &link, "--numwant", "0"]);
    let said = text(&shown.stdout);
    for line in [
        "peers         0",
        "left          the tracker was told, and forgets this announce",
    ] {
        assert!(said.lines().any(|there| there == line), "{line}: {said}");
    }
}

#[test]
fn a_completed_download_is_counted_as_the_help_says() {
    let swarm = published();
    let [udp, ..] = swarm.doors();
    let peer = [
        "--port",
        "6001",
        "--peer-id",
        "-TR3000-abcdefghijkl",
        "--info-hash",
        &swarm.info_hash,
    ];
    let announce = |rest: &[&str]| {
        let arguments = [&["announce", &udp][..], &peer, rest].concat();
        assert_eq!(swarm.sower(&arguments).status.code(), Some(0));
    };
    announce(&["--stay", "--left", "5"]);
    assert_eq!(swarm.numbers(), (1, 1, 0));
    announce(&["--event", "completed", "--left", "0", "--stay"]);
    assert_eq!(swarm.numbers(), (2, 0, 1));
    announce(&["--event", "stopped"]);
    assert_eq!(swarm.numbers(), (1, 0, 1));
}

#[test]
fn refusals_are_told_in_the_trackers_words() {
    let swarm = published();
    let unknown = "9".repeat(40);
    for url in swarm.doors() {
        let refused = swarm.sower(&["announce", &url, "--info-hash", &unknown]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let said = text(&refused.stdout);
        let line = said.lines().nth(1).unwrap();
        assert!(
            line.starts_with("refused       after ")
                && line.contains("This tracker does not know this torrent."),
            "{said}"
        );
        // BEP 15 has no field for it.
        assert_eq!(
            said.contains("ask again     in 60 minutes"),
            !url.starts_with("udp"),
            "{said}"
        );
        let said = swarm.sower(&["announce", &url, "--info-hash", &unknown, "--json"]);
        let said: Value = serde_json::from_slice(&said.stdout).unwrap();
        let failure = &said["trackers"][0]["failure"];
        assert_eq!(failure["refused"], true, "{said}");
        assert!(
            failure["reason"]
                .as_str()
                .unwrap()
                .starts_with("This tracker"),
            "{said}"
        );
    }
}

/// Answers one HTTP request with these bytes.
fn answering(answer: &'static [u8]) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/announce", listener.local_addr().unwrap());
    let task = spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = vec![0; 4_096];
        let length = stream.read(&mut asked).unwrap();
        asked.truncate(length);
        stream.write_all(answer).unwrap();
        String::from_utf8(asked).unwrap()
    });
    (url, task)
}

#[test]
fn everything_in_an_answer_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (url, asked) = answering(
        b"HTTP/1.0 200 OK\r\n\r\nd8:intervali1805e12:min intervali60e5:peersld2:ip9:192.0.2.77:peer id20:-TR3000-abcdefghijkl4:porti6881eee10:tracker id3:abc15:warning message7:be\x1bwaree",
    );
    let hash = "a".repeat(40);
    let said = crate::support::run(
        folder.path(),
        &[],
        &[
            "announce",
            &url,
            "--info-hash",
            &hash,
            "--peer-ids",
            "--event",
            "stopped",
            "--peer-id",
            "-XX0000-abcdefghijkl",
        ],
        "",
    );
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    let said = text(&said.stdout);
    for line in [
        "interval      30 min 5 s",
        "at least      1 min",
        "warning       be ware",
        "peers         1",
        "  peer        192.0.2.7:6881  -TR3000-abcdefghijkl",
        "tracker id    abc",
    ] {
        assert!(said.lines().any(|there| there == line), "{line}: {said}");
    }
    let asked = asked.join().unwrap();
    for part in [
        "compact=0",
        "event=stopped",
        "peer_id=-XX0000-abcdefghijkl",
        "left=1",
    ] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
}

#[test]
fn failures_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let hash = "a".repeat(40);
    let run = |arguments: &[&str]| crate::support::run(folder.path(), &[], arguments, "");
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = format!("udp://{}/announce", silent.local_addr().unwrap());
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let page: &[u8] = b"HTTP/1.0 404 Not Found\r\n\r\n<html>";
    for (url, words) in [
        (silent, "the tracker is silent"),
        (format!("http://{closed}/announce"), "cannot be reached: "),
        (format!("ws://{closed}/announce"), "cannot be reached: "),
        (answering(page).0, "HTTP status 404"),
        (
            answering(page).0.replace("http", "ws"),
            "does not open a WebSocket here",
        ),
        (
            answering(b"HTTP/1.0 200 OK\r\n\r\nhello").0,
            "not a tracker's",
        ),
    ] {
        let failed = run(&["announce", &url, "--info-hash", &hash, "--timeout", "1"]);
        assert_eq!(failed.status.code(), Some(1), "{failed:?}");
        let said = text(&failed.stdout);
        assert!(
            said.contains("failed        after ") && said.contains(words),
            "{url}: {said}"
        );
    }
    let failed = run(&["scrape", "http://127.0.0.1:9/x", "--info-hash", &hash]);
    assert!(text(&failed.stdout).contains("BEP 48"), "{failed:?}");
}

#[test]
fn wrong_usage_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| crate::support::run(folder.path(), &[], arguments, "");
    let url = "udp://127.0.0.1:9/announce";
    let hash = "a".repeat(40);
    for (arguments, code, words) in [
        (
            &["announce", url][..],
            1,
            "name the torrent with --info-hash",
        ),
        (&["scrape", url], 1, "name the torrent with --info-hash"),
        (
            &["announce", url, "--info-hash", "xyz"],
            2,
            "40 hexadecimal digits",
        ),
        (
            &["announce", url, "--info-hash", &hash, "--peer-id", "short"],
            2,
            "20 characters",
        ),
        (
            &["announce", url, "--info-hash", &hash, "--port", "0"],
            2,
            "--port",
        ),
        (
            &["announce", "nowhere.torrent"],
            1,
            "nowhere.torrent cannot be opened",
        ),
        (
            &[
                "scrape",
                "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a",
            ],
            1,
            "names no tracker",
        ),
    ] {
        let refused = run(arguments);
        assert_eq!(refused.status.code(), Some(code), "{refused:?}");
        assert!(
            text(&refused.stderr).contains(words),
            "{words}: {refused:?}"
        );
    }
}

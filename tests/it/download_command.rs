//! `sower download`, from our own server and on its own: results, refusals, exit codes.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::{Server, get, interrupt, run, wait_for};

/// Two files: more than one piece, and nothing.
fn files() -> [(&'static str, Vec<u8>); 2] {
    let bytes = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    [("Größe/big file.bin", bytes), ("Größe/empty", vec![])]
}

fn publish(server: &Server, format: &str) -> Value {
    let files = files();
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (*name, &**bytes))
        .collect();
    let (status, publication) = server.publish(&server.token(), &[("format", format)], &files);
    assert_eq!(status, 201, "{publication}");
    publication
}

fn download(folder: &Path, arguments: &[&str]) -> Output {
    run(folder, &[], &[&["download"], arguments].concat(), "")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn what_our_own_server_publishes_comes_by_the_address_of_its_torrent() {
    for format in ["v1", "hybrid"] {
        let server = Server::start();
        let publication = publish(&server, format);
        let torrent = publication["torrent_url"].as_str().unwrap();
        let done = download(server.folder(), &[torrent, "-o", "down"]);
        assert_eq!(done.status.code(), Some(0), "{done:?}");
        assert_eq!(text(&done.stdout), "down/Größe\n");
        for (name, bytes) in files() {
            let found = std::fs::read(server.folder().join("down").join(name)).unwrap();
            assert!(found == bytes, "{name} differs");
        }
        // The tracker heard of the end, and of the leave.
        let id = publication["id"].as_str().unwrap();
        let api = format!("{}/api/v1/publications/{id}", server.url);
        let swarm: Value = serde_json::from_slice(&get(&api)).unwrap();
        assert_eq!(swarm["swarm"]["completed"], 1, "{swarm}");
        assert_eq!(swarm["swarm"]["seeders"], 1, "{swarm}");

        let again = download(server.folder(), &[torrent, "-o", "down", "--json"]);
        assert_eq!(again.status.code(), Some(0), "{again:?}");
        let events: Vec<Value> = text(&again.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let last = events.last().unwrap();
        assert_eq!(last["event"], "complete");
        assert_eq!(last["path"], "down/Größe");
        assert_eq!(last["total"], 800_000);
        assert_eq!(last["info_hash_v1"], publication["info_hash_v1"]);
        assert!(
            events
                .iter()
                .all(|event| event["received"].as_u64().unwrap_or(0) == 0)
        );
    }
}

#[test]
fn an_interrupt_stops_it_and_says_that_it_can_go_on() {
    let mut server = Server::start();
    let publication = publish(&server, "v1");
    let torrent = get(publication["torrent_url"].as_str().unwrap());
    std::fs::write(server.folder().join("away.torrent"), torrent).unwrap();
    // Its tracker and its seed are gone, so it can only wait.
    server.stop();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sower"))
        .args(["download", "away.torrent", "-o", "down", "--json"])
        .args(["--peer", "127.0.0.1:1"])
        .current_dir(server.folder())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_waiting = |line: &String| line.contains(r#""known_peers":1"#);
    assert!(lines.any(|line| is_waiting(&line.unwrap())));
    interrupt(&child);
    let status = wait_for("the download to stop", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    let mut words = String::new();
    child.stderr.unwrap().read_to_string(&mut words).unwrap();
    assert!(words.contains("goes on where it was"), "{words}");
}

#[test]
fn refusals_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.html"), "<!doctype html>").unwrap();
    let magnet = "magnet:?xt=urn:btih:84ad7e44501702edf378d21aacd63be45316c755";
    for (arguments, code, words) in [
        (&[][..], 2, "SOURCE"),
        (&["x.torrent", "--peer", "example.org"], 2, "--peer"),
        (&["x.torrent", "--only", "*.iso"], 2, "--only"),
        (&["missing.torrent"], 1, "missing.torrent cannot be opened"),
        (&["page.html"], 1, "not a torrent file"),
        (&[magnet], 1, "give the .torrent file"),
    ] {
        let refused = download(folder.path(), arguments);
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}");
        assert!(text(&refused.stderr).contains(words), "{refused:?}");
        assert_eq!(text(&refused.stdout), "");
    }
}

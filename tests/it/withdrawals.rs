//! A withdrawn publication is gone from every door, and its addresses say so for ever after.

use std::path::{Path, PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;
use sower::proto::id::InfoHash;

use crate::edits::{Answer, ask, bearer, log_in, publisher};
use crate::peer::ScriptedPeer;
use crate::support::{Server, get, wait_for};

static CONTENT: [u8; 40_000] = [5; 40_000];

struct Published {
    server: Server,
    token: String,
    id: String,
    info_hash: InfoHash,
}

/// A server with one publication, of the publisher bob.
fn published() -> Published {
    let server = Server::start();
    let token = publisher(&server, "bob");
    let (id, info_hash) = publish(&server, &token);
    Published {
        server,
        token,
        id,
        info_hash,
    }
}

fn publish(server: &Server, token: &str) -> (String, InfoHash) {
    let words = [("title", "Soil")];
    let (status, publication) = server.publish(token, &words, &[("soil.bin", &CONTENT)]);
    assert_eq!(status, 201, "{publication}");
    let info_hash = InfoHash::from_hex(publication["info_hash_v1"].as_str().unwrap()).unwrap();
    (publication["id"].as_str().unwrap().to_owned(), info_hash)
}

impl Published {
    fn url(&self, path: &str) -> String {
        format!("{}{}", self.server.url, path.replace("{id}", &self.id))
    }

    fn ask(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        ask(method, &self.url(path), headers, None)
    }

    fn delete(&self, headers: &[&str]) -> Answer {
        self.ask("DELETE", "/api/v1/publications/{id}", headers)
    }

    fn announce(&self) -> String {
        let hash = percent_encode(self.info_hash.as_bytes(), NON_ALPHANUMERIC);
        let query = "peer_id=-XX0001-scriptedpeer&port=6881&uploaded=0&downloaded=0&left=1";
        let url = format!("{}/announce?info_hash={hash}&{query}", self.server.url);
        get(&url).escape_ascii().to_string()
    }

    /// Holds every address of the publication against what is owed to who comes there.
    fn expect_gone(&self) {
        for path in [
            "/p/{id}",
            "/p/{id}.torrent",
            "/p/{id}.magnet",
            "/p/{id}/edit",
            "/p/{id}/withdraw",
            "/files/{id}/soil.bin",
            "/web-seed/{id}/soil.bin",
        ] {
            let answer = self.ask("GET", path, &[]);
            assert_eq!(answer.status, 410, "{path}: {}", answer.body);
        }
        let page = self.ask("GET", "/p/{id}", &[]).body;
        assert!(page.contains("was withdrawn on "), "{page}");
        let api = self.ask("GET", "/api/v1/publications/{id}", &[]);
        api.expect_problem(410);
        assert_eq!(api.json()["title"], "Withdrawn");
    }
}

#[test]
fn a_withdrawn_publication_is_gone_from_every_door_and_stays_so() {
    let it = published();
    // Everything is at hand that could still be given out.
    for path in ["/p/{id}", "/p/{id}.torrent", "/web-seed/{id}/soil.bin"] {
        assert_eq!(it.ask("GET", path, &[]).status, 200, "{path}");
    }
    assert!(it.announce().contains("5:peers"));
    assert_eq!(it.server.stored(), 1);

    let withdrawn = it.delete(&[&bearer(&it.token)]);
    assert_eq!((withdrawn.status, withdrawn.body.as_str()), (204, ""));
    it.expect_gone();
    it.delete(&[&bearer(&it.token)]).expect_problem(410);
    let refusal = it.announce();
    assert!(refusal.contains("does not know this torrent"), "{refusal}");
    assert_eq!(it.server.stored(), 0);
    assert_eq!(it.server.publication_count(), 0);
    let stats = it.ask("GET", "/stats", &["Accept: application/json"]);
    assert_eq!(stats.json()["publications"], 0);
    assert_eq!(stats.json()["total"]["web_seed_bytes"], 0);
    let found = it.ask("GET", "/api/v1/publications?q=soil", &[]);
    assert_eq!(found.json()["total"], 0);

    let it = Published {
        server: it.server.restart(),
        ..it
    };
    it.expect_gone();
    assert_eq!(it.server.publication_count(), 0);
}

#[test]
fn peers_of_a_withdrawn_torrent_are_let_go_and_nobody_else_is() {
    let it = published();
    let (status, other) = it.server.publish(&it.token, &[], &[("other", b"other")]);
    assert_eq!(status, 201, "{other}");
    let other = InfoHash::from_hex(other["info_hash_v1"].as_str().unwrap()).unwrap();
    let address = it.server.address();
    let mut peer = ScriptedPeer::greet(&address, it.info_hash);
    let mut bystander = ScriptedPeer::greet(&address, other);
    for (peer, length) in [(&mut peer, 16_384), (&mut bystander, 5)] {
        peer.become_unchoked();
        assert_eq!(peer.fetch(0, 0, length).len(), length as usize);
    }
    assert_eq!(it.delete(&[&bearer(&it.token)]).status, 204);
    assert!(peer.is_closed());
    assert_eq!(bystander.fetch(0, 0, 5), b"other");
    // The files are gone, and so is the torrent of whoever knows the hash.
    let mut late = ScriptedPeer::connect(&address);
    let greeting = [
        b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0",
        it.info_hash.as_bytes().as_slice(),
        b"-XX0001-scriptedpeer",
    ];
    late.say(&greeting.concat());
    assert!(late.is_closed());
}

#[test]
fn the_same_files_can_be_published_again_at_a_new_address() {
    let it = published();
    let again = it.server.publish(&it.token, &[], &[("soil.bin", &CONTENT)]);
    assert_eq!(again.0, 409, "{}", again.1);
    assert_eq!(it.delete(&[&bearer(&it.token)]).status, 204);

    let (id, info_hash) = publish(&it.server, &it.token);
    assert_ne!(id, it.id);
    assert_eq!(info_hash, it.info_hash);
    it.expect_gone();
    let anew = Published { id, ..it };
    assert_eq!(anew.ask("GET", "/p/{id}", &[]).status, 200);
    assert_eq!(get(&anew.url("/web-seed/{id}/soil.bin")), CONTENT);
    assert!(anew.announce().contains("5:peers"));
    let mut peer = ScriptedPeer::greet(&anew.server.address(), info_hash);
    peer.become_unchoked();
    assert_eq!(peer.fetch(0, 0, 16_384), CONTENT[..16_384]);
}

#[test]
fn only_the_publisher_and_administrators_withdraw() {
    let it = published();
    let eve = publisher(&it.server, "eve");
    it.delete(&[&bearer(&eve)]).expect_problem(403);
    it.delete(&[]).expect_problem(401);
    let api = "/api/v1/publications/{id}";
    let tag = it.ask("GET", api, &[]);
    let tag = tag.header("etag").unwrap();
    let other = [&bearer(&it.token), "If-Match: \"of another version\""];
    it.delete(&other).expect_problem(412);
    assert_eq!(it.ask("GET", "/p/{id}", &[]).status, 200);
    let admin = it.server.token();
    let seen = [&bearer(&admin), format!("If-Match: {tag}").as_str()].map(str::to_owned);
    let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(it.delete(&seen).status, 204);
    it.expect_gone();
}

#[test]
fn the_page_asks_first_and_works_without_a_script() {
    let it = published();
    let bob = log_in(&it.server, "bob");
    let page = it.ask("GET", "/p/{id}", &[&bob]).body;
    assert!(page.contains(&format!("href=\"/p/{}/withdraw\"", it.id)));
    let stranger = it.ask("GET", "/p/{id}", &[]).body;
    assert!(!stranger.contains("/withdraw\""), "strangers may withdraw");
    let sent_away = it.ask("GET", "/p/{id}/withdraw", &[]);
    assert_eq!(sent_away.status, 303);
    let question = it.ask("GET", "/p/{id}/withdraw", &[&bob]);
    assert_eq!(question.status, 200);
    assert!(question.body.contains("Withdraw and delete"));

    let path = "/p/{id}/withdraw";
    let foreign = it.ask("POST", path, &[&bob, "Origin: http://evil.example"]);
    assert_eq!(foreign.status, 403);
    publisher(&it.server, "eve");
    let eve = log_in(&it.server, "eve");
    assert_eq!(it.ask("POST", path, &[&eve]).status, 403);
    assert_eq!(it.ask("GET", "/p/{id}", &[]).status, 200);

    let origin = format!("Origin: {}", it.server.url);
    let withdrawn = it.ask("POST", path, &[&bob, &origin]);
    assert_eq!(withdrawn.status, 303, "{}", withdrawn.body);
    it.expect_gone();
}

#[test]
fn content_that_a_crash_left_of_a_withdrawal_goes_with_the_next_start() {
    let mut it = published();
    let content = it.server.folder().join("data/content");
    let (sealed, aside) = (content.join(&it.id), it.server.folder().join("aside"));
    copy(&sealed, &aside);
    assert_eq!(it.delete(&[&bearer(&it.token)]).status, 204);
    it.server.kill();
    copy(&aside, &sealed);
    assert_eq!(it.server.stored(), 1);
    it.server = it.server.start_again();
    assert_eq!(it.server.stored(), 0);
    it.expect_gone();
}

/// Copies a folder of files.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn of_a_change_and_a_withdrawal_at_once_nothing_is_left_but_the_withdrawal() {
    let it = published();
    let api = it.url("/api/v1/publications/{id}");
    let bearer = bearer(&it.token);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..6)
            .map(|number| {
                let (api, bearer) = (&api, &bearer);
                scope.spawn(move || {
                    let headers = [bearer, "If-Match: *", "Content-Type: application/json"];
                    let body = format!("{{\"title\":\"Title {number}\"}}");
                    match number {
                        3 => ask("DELETE", api, &[bearer], None),
                        _ => ask("PATCH", api, &headers, Some(&body)),
                    }
                })
            })
            .collect();
        let asked = asked.into_iter();
        asked.map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(answers[3].status, 204, "{}", answers[3].body);
    for answer in &answers {
        let is_expected = [200, 204, 410, 412].contains(&answer.status);
        assert!(is_expected, "{}: {}", answer.status, answer.body);
    }
    wait_for("the content to go", || {
        (it.server.stored() == 0).then_some(())
    });
    it.expect_gone();
    let listed: Value = serde_json::from_slice(&get(&it.url("/api/v1/publications"))).unwrap();
    assert_eq!(listed["total"], 0);
}

//! What an administrator takes down is refused at every door, under whatever name it comes back, until it is put back.

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};
use sower::proto::id::InfoHash;

use crate::edits::{Answer, ask, bearer, log_in, publisher};
use crate::peer::ScriptedPeer;
use crate::support::{Server, get};

static CONTENT: [u8; 40_000] = [5; 40_000];

struct Published {
    server: Server,
    /// Of the publisher bob.
    bob: String,
    /// Of the administrator ada.
    ada: String,
    id: String,
    info_hash: InfoHash,
}

/// A server with one publication, of the publisher bob.
fn published(environment: &[(&str, &str)]) -> Published {
    let server = Server::start_with(environment);
    let (bob, ada) = (publisher(&server, "bob"), server.token());
    let words = [("title", "Soil")];
    let (status, publication) = server.publish(&bob, &words, &[("soil.bin", &CONTENT)]);
    assert_eq!(status, 201, "{publication}");
    Published {
        id: publication["id"].as_str().unwrap().to_owned(),
        info_hash: InfoHash::from_hex(publication["info_hash_v1"].as_str().unwrap()).unwrap(),
        server,
        bob,
        ada,
    }
}

impl Published {
    fn ask(&self, method: &str, path: &str, headers: &[&str], body: Option<&str>) -> Answer {
        let path = path.replace("{id}", &self.id);
        ask(method, &format!("{}{path}", self.server.url), headers, body)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], None)
    }

    fn take_down(&self, token: &str, reason: &str) -> Answer {
        let headers = [&bearer(token), "Content-Type: application/json"];
        let body = json!({ "reason": reason }).to_string();
        let api = "/api/v1/publications/{id}/takedown";
        self.ask("PUT", api, &headers, Some(&body))
    }

    fn put_back(&self, token: &str) -> Answer {
        let api = "/api/v1/publications/{id}/takedown";
        self.ask("DELETE", api, &[&bearer(token)], None)
    }

    fn announce(&self) -> String {
        let hash = percent_encode(self.info_hash.as_bytes(), NON_ALPHANUMERIC);
        let query = "peer_id=-XX0001-scriptedpeer&port=6881&uploaded=0&downloaded=0&left=1";
        let url = format!("{}/announce?info_hash={hash}&{query}", self.server.url);
        get(&url).escape_ascii().to_string()
    }

    /// Holds every door against what is owed to who comes there.
    fn expect_removed(&self) {
        for path in [
            "/p/{id}",
            "/p/{id}.torrent",
            "/p/{id}.magnet",
            "/p/{id}.bib",
            "/p/{id}/latest",
            "/p/{id}/preview/soil.bin",
            "/p/{id}/edit",
            "/files/{id}/soil.bin",
            "/files/{id}.zip",
            "/files/{id}/SHA256SUMS",
            "/web-seed/{id}/soil.bin",
            "/api/v1/publications/{id}",
        ] {
            let answer = self.get(path);
            assert_eq!(answer.status, 451, "{path}: {}", answer.body);
            let words = "Reason: A court has ordered it. Contact: abuse@example.org";
            assert!(answer.body.contains(words), "{path}: {}", answer.body);
            assert_eq!(answer.header("link"), Some("</>; rel=\"blocked-by\""));
        }
        let page = self.get("/p/{id}").body;
        assert!(page.contains("This publication was removed on "), "{page}");
        assert_eq!(
            self.get("/api/v1/publications/{id}").json()["title"],
            "Removed"
        );
        for list in [
            "/",
            "/?q=soil",
            "/feed.xml",
            "/sitemap.xml",
            "/api/v1/publications",
        ] {
            let answer = self.get(list);
            assert_eq!(answer.status, 200, "{list}");
            assert!(!answer.body.contains(&self.id), "{list}: {}", answer.body);
        }
        let refusal = self.announce();
        assert!(refusal.contains("does not serve this torrent"), "{refusal}");
        let hash = percent_encode(self.info_hash.as_bytes(), NON_ALPHANUMERIC);
        let scrape = get(&format!("{}/scrape?info_hash={hash}", self.server.url));
        assert!(
            scrape.starts_with(b"d5:filesde"),
            "{}",
            scrape.escape_ascii()
        );
        let mut peer = ScriptedPeer::connect(&self.server.address());
        let greeting = [
            b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0",
            self.info_hash.as_bytes().as_slice(),
            b"-XX0001-scriptedpeer",
        ];
        peer.say(&greeting.concat());
        assert!(peer.is_closed());
        // The same torrent, and the same bytes in others.
        let twin: [(&[(&str, &str)], &str); 3] = [
            (&[], "soil.bin"),
            (&[("format", "hybrid")], "other name.bin"),
            (&[("private", "true")], "soil.bin"),
        ];
        for (fields, name) in twin {
            let files: [(&str, &[u8]); 1] = [(name, &CONTENT)];
            let (status, refusal) = self.server.publish(&self.bob, fields, &files);
            assert_eq!(status, 451, "{refusal}");
            let detail = refusal["detail"].as_str().unwrap();
            assert!(detail.contains("were taken down here as"), "{detail}");
        }
        let more: [(&str, &[u8]); 2] = [("box/soil.bin", &CONTENT), ("box/more", b"more")];
        assert_eq!(self.server.publish(&self.bob, &[], &more).0, 451);
        assert_eq!(self.server.stored(), 1);
    }
}

const CONTACT: (&str, &str) = ("SOWER_WEB__CONTACT", "abuse@example.org");

#[test]
fn a_page_says_where_to_report_it_if_anywhere() {
    let report = ">Report</a>";
    let it = published(&[CONTACT]);
    let page = it.get("/p/{id}").body;
    let href = "href=\"mailto:abuse@example.org?subject=Report%3A%20http%3A%2F%2F";
    assert!(page.contains(href) && page.contains(report), "{page}");
    assert!(!published(&[]).get("/p/{id}").body.contains(report));
}

#[test]
fn what_is_taken_down_is_refused_at_every_door_until_it_is_put_back() {
    let it = published(&[CONTACT]);
    for path in ["/p/{id}", "/p/{id}.torrent", "/web-seed/{id}/soil.bin"] {
        assert_eq!(it.get(path).status, 200, "{path}");
    }
    let mut peer = ScriptedPeer::greet(&it.server.address(), it.info_hash);
    peer.become_unchoked();
    assert_eq!(peer.fetch(0, 0, 16_384), CONTENT[..16_384]);

    let taken_down = it.take_down(&it.ada, "a court\nhas ordered it");
    assert_eq!(taken_down.status, 204, "{}", taken_down.body);
    assert!(peer.is_closed());
    let reason = |it: &Published| {
        let listed = it.ask("GET", "/api/v1/takedowns", &[&bearer(&it.ada)], None);
        listed.json()["takedowns"][0].clone()
    };
    let listed = reason(&it);
    assert_eq!(listed["reason"], "a court has ordered it");
    assert_eq!(
        (&listed["id"], &listed["account"]),
        (&json!(it.id), &json!("ada"))
    );
    assert_eq!(listed["info_hash_v1"], it.info_hash.to_string());
    it.take_down(&it.ada, "again").expect_problem(451);

    it.expect_removed();
    let it = Published {
        server: it.server.restart(),
        ..it
    };
    it.expect_removed();

    let back = it.put_back(&it.ada);
    assert_eq!(back.status, 204, "{}", back.body);
    it.put_back(&it.ada).expect_problem(404);
    for path in [
        "/p/{id}",
        "/p/{id}.torrent",
        "/files/{id}/soil.bin",
        "/web-seed/{id}/soil.bin",
    ] {
        assert_eq!(it.get(path).status, 200, "{path}");
    }
    assert!(it.get("/").body.contains(&it.id));
    assert!(it.announce().contains("5:peers"));
    let mut peer = ScriptedPeer::greet(&it.server.address(), it.info_hash);
    peer.become_unchoked();
    assert_eq!(peer.fetch(0, 0, 16_384), CONTENT[..16_384]);
    assert_eq!(reason(&it), Value::Null);
}

#[test]
fn an_open_tracker_refuses_what_was_taken_down() {
    let it = published(&[CONTACT, ("SOWER_TRACKER__MODE", "open")]);
    assert!(it.announce().contains("5:peers"));
    assert_eq!(it.take_down(&it.ada, "A court has ordered it.").status, 204);
    it.expect_removed();
}

#[test]
fn only_administrators_take_down_and_only_with_a_reason() {
    let it = published(&[]);
    it.take_down(&it.bob, "mine").expect_problem(403);
    it.put_back(&it.bob).expect_problem(403);
    it.ask("GET", "/api/v1/takedowns", &[&bearer(&it.bob)], None)
        .expect_problem(403);
    it.ask("GET", "/api/v1/takedowns", &[], None)
        .expect_problem(401);
    it.take_down(&it.ada, " \n ").expect_problem(400);
    it.take_down(&it.ada, &"x".repeat(1001)).expect_problem(413);
    let nothing = it.ask(
        "PUT",
        "/api/v1/publications/{id}/takedown",
        &[&bearer(&it.ada)],
        Some("{}"),
    );
    nothing.expect_problem(400);
    assert_eq!(it.get("/p/{id}").status, 200);
    // Who published it does not get around it.
    assert_eq!(it.take_down(&it.ada, "No.").status, 204);
    let bob = bearer(&it.bob);
    for (method, body) in [("DELETE", None), ("PATCH", Some("{}"))] {
        let headers = [&bob, "If-Match: *", "Content-Type: application/json"];
        it.ask(method, "/api/v1/publications/{id}", &headers, body)
            .expect_problem(451);
    }
    let page = it.get("/p/{id}").body;
    assert!(!page.contains("Contact"), "{page}");
}

#[test]
fn the_pages_take_down_and_put_back_without_a_script() {
    let it = published(&[]);
    let (bob, ada) = (log_in(&it.server, "bob"), log_in(&it.server, "ada"));
    let button = format!("href=\"/p/{}/takedown\"", it.id);
    assert!(
        !it.ask("GET", "/p/{id}", &[&bob], None)
            .body
            .contains(&button)
    );
    assert!(
        it.ask("GET", "/p/{id}", &[&ada], None)
            .body
            .contains(&button)
    );
    let path = "/p/{id}/takedown";
    assert_eq!(it.ask("GET", path, &[&bob], None).status, 403);
    assert_eq!(it.get(path).status, 303);
    assert_eq!(it.ask("GET", path, &[&ada], None).status, 200);
    let origin = format!("Origin: {}", it.server.url);
    let foreign = [ada.as_str(), "Origin: http://evil.example"];
    assert_eq!(it.ask("POST", path, &foreign, Some("reason=x")).status, 403);
    assert_eq!(
        it.ask("POST", path, &[&bob, &origin], Some("reason=x"))
            .status,
        403
    );
    let empty = it.ask("POST", path, &[&ada, &origin], Some("reason="));
    assert_eq!(empty.status, 400);
    assert!(empty.body.contains("role=\"alert\""), "{}", empty.body);
    let done = it.ask("POST", path, &[&ada, &origin], Some("reason=%3Cb%3Elies"));
    assert_eq!(done.status, 303, "{}", done.body);
    assert_eq!(done.header("location"), Some("/takedowns"));
    assert!(it.get("/p/{id}").body.contains("Reason: &#60;b&#62;lies."));

    assert_eq!(it.get("/takedowns").status, 303);
    assert_eq!(it.ask("GET", "/takedowns", &[&bob], None).status, 403);
    let list = it.ask("GET", "/takedowns", &[&ada], None).body;
    for part in ["&#60;b&#62;lies", "<bdi>Soil</bdi>", "/put-back\""] {
        assert!(list.contains(part), "{part}: {list}");
    }
    assert!(
        it.ask("GET", "/account", &[&ada], None)
            .body
            .contains("href=\"/takedowns\"")
    );
    assert!(
        !it.ask("GET", "/account", &[&bob], None)
            .body
            .contains("href=\"/takedowns\"")
    );
    let path = "/p/{id}/put-back";
    assert_eq!(it.ask("POST", path, &[&bob, &origin], Some("")).status, 403);
    assert_eq!(it.get("/p/{id}").status, 451);
    let back = it.ask("POST", path, &[&ada, &origin], Some(""));
    assert_eq!(back.status, 303, "{}", back.body);
    assert_eq!(it.get("/p/{id}").status, 200);
}

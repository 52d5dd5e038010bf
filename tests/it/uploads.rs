//! Resumable uploads, driven from outside: nothing that was acknowledged is lost, whatever breaks off (HARDENING, rows 29 to 31).

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use sower::proto::metainfo::build::InfoOptions;
use sower::proto::metainfo::hash::TorrentHasher;
use sower::proto::metainfo::info::{Format, Layout};
use sower::proto::metainfo::path::FilePath;
use sower::proto::metainfo::piece_length::PieceLength;

use crate::edits::{Answer, ask, bearer, publisher};
use crate::support::{PATIENCE, Server, get, wait_for};

const TUS: &str = "Tus-Resumable: 1.0.0";
const PART: &str = "Content-Type: application/offset+octet-stream";

/// Somebody who uploads.
pub(crate) struct Uploader<'a> {
    pub(crate) server: &'a Server,
    pub(crate) token: String,
}

impl<'a> Uploader<'a> {
    pub(crate) fn new(server: &'a Server, name: &str) -> Self {
        let token = publisher(server, name);
        Self { server, token }
    }

    pub(crate) fn try_draft(&self, manifest: &Value) -> Answer {
        let headers = [&*bearer(&self.token), "Content-Type: application/json"];
        let url = format!("{}/api/v1/publications", self.server.url);
        ask("POST", &url, &headers, Some(&manifest.to_string()))
    }

    /// A draft of files with these lengths.
    pub(crate) fn draft(&self, files: &[(&str, usize)]) -> Value {
        let files = files.iter();
        let files = files.map(|(path, length)| json!({ "path": path, "length": length }));
        let manifest = json!({ "title": "A title", "files": files.collect::<Vec<_>>() });
        let made = self.try_draft(&manifest);
        assert_eq!(made.status, 201, "{}", made.body);
        let draft = made.json();
        let location = format!("/api/v1/publications/{}", draft["id"].as_str().unwrap());
        assert_eq!(made.header("location"), Some(&*location));
        draft
    }

    pub(crate) fn tus(
        &self,
        method: &str,
        url: &str,
        headers: &[&str],
        body: Option<&[u8]>,
    ) -> Answer {
        let mut all = vec![bearer(&self.token), TUS.to_owned()];
        all.extend(headers.iter().map(|header| (*header).to_owned()));
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let Some(body) = body else {
            return ask(method, url, &all, None);
        };
        let path = self.server.folder().join("part");
        std::fs::write(&path, body).unwrap();
        ask(method, url, &all, Some(&format!("@{}", path.display())))
    }

    pub(crate) fn patch(&self, url: &str, offset: usize, headers: &[&str], bytes: &[u8]) -> Answer {
        let offset = format!("Upload-Offset: {offset}");
        let mut all = vec![PART, &offset];
        all.extend(headers);
        self.tus("PATCH", url, &all, Some(bytes))
    }

    pub(crate) fn send(&self, url: &str, offset: usize, bytes: &[u8]) {
        let sent = self.patch(url, offset, &[], bytes);
        assert_eq!(sent.status, 204, "{}", sent.body);
        let end = (offset + bytes.len()).to_string();
        assert_eq!(sent.header("upload-offset"), Some(&*end));
        assert_eq!(sent.header("tus-resumable"), Some("1.0.0"));
    }

    pub(crate) fn offset(&self, url: &str) -> usize {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sS", "--max-time", "60", "-I", "-H", &bearer(&self.token)]);
        let output = curl.args(["-H", TUS, url]).output().unwrap();
        let head = String::from_utf8(output.stdout).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(
            head.to_lowercase().contains("cache-control: no-store"),
            "{head}"
        );
        let line = head
            .lines()
            .find_map(|line| line.strip_prefix("upload-offset: "));
        line.unwrap().trim().parse().unwrap()
    }

    pub(crate) fn described(&self, id: &str) -> Answer {
        let url = format!("{}/api/v1/publications/{id}", self.server.url);
        ask("GET", &url, &[&bearer(&self.token)], None)
    }

    /// Waits until the draft is no draft any more, and gives what it became.
    pub(crate) fn end_of(&self, draft: &Value) -> Value {
        wait_for("the draft to come to its end", || {
            let now = self.described(draft["id"].as_str().unwrap()).json();
            let is_under_way = matches!(now["state"].as_str(), Some("draft" | "hashing"));
            (!is_under_way).then_some(now)
        })
    }
}

/// The address of a file's upload on a server that may have another port than when it was made.
pub(crate) fn upload(server: &Server, draft: &Value, file: usize) -> String {
    let url = draft["files"][file]["upload_url"].as_str().unwrap();
    let (_, path) = url.split_once("/api/").unwrap();
    format!("{}/api/{path}", server.url)
}

pub(crate) fn some_bytes(length: usize, seed: u32) -> Vec<u8> {
    let words = (seed..).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
    words.take(length).collect()
}

/// What `sower create` says of a folder of these files.
fn info_hash(name: &str, files: &[(&str, &[u8])]) -> String {
    let lengths: Vec<u64> = files.iter().map(|(_, bytes)| bytes.len() as u64).collect();
    let piece_length = PieceLength::for_files(Format::V1, &lengths);
    let mut hasher = TorrentHasher::new(Format::V1, piece_length);
    for (path, bytes) in files {
        hasher.begin_file(FilePath::parse(path).unwrap());
        hasher.update(bytes);
    }
    let options = InfoOptions {
        name: name.to_owned(),
        layout: Layout::Folder,
        private: false,
        source: None,
    };
    let built = hasher.finish().into_info(options).unwrap();
    built.info.hashes.v1().unwrap().to_string()
}

#[test]
fn files_come_in_any_order_and_the_last_byte_publishes() {
    let server = Server::start();
    let ada = Uploader::new(&server, "ada");
    let (a, b) = (some_bytes(300_000, 1), some_bytes(70_000, 2));
    let draft = ada.draft(&[("box/b", b.len()), ("box/a", a.len()), ("box/empty", 0)]);
    assert_eq!(draft["state"], "draft");
    assert_eq!(draft["name"], "box");
    assert_eq!(draft["files"][1]["path"], "box/a");
    let (to_b, to_a) = (upload(&server, &draft, 0), upload(&server, &draft, 1));
    ada.send(&to_a, 0, &a[..100_000]);
    ada.send(&to_b, 0, &b);
    assert_eq!(ada.offset(&to_a), 100_000);
    let id = draft["id"].as_str().unwrap();
    let now = ada.described(id).json();
    assert_eq!(
        (&now["state"], &now["received_bytes"]),
        (&json!("draft"), &json!(170_000))
    );
    assert_eq!(now["files"][1]["offset"], 100_000);
    assert_eq!(server.publication_count(), 0);

    ada.send(&to_a, 100_000, &a[100_000..]);
    let publication = ada.end_of(&draft);
    assert_eq!(publication["state"], "published", "{publication}");
    assert_eq!(publication["id"], draft["id"]);
    let expected = info_hash("box", &[("a", &a), ("b", &b), ("empty", b"")]);
    assert_eq!(publication["info_hash_v1"], expected);
    assert_eq!(get(publication["files"][0]["url"].as_str().unwrap()), a);
    // Whoever missed the last answer learns that all is there.
    assert_eq!(ada.offset(&to_a), 300_000);
    let late = ada.patch(&to_a, 300_000, &[], b"x");
    assert_eq!(late.status, 404, "{}", late.body);
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let mut server = Server::start();
    let ada = Uploader::new(&server, "ada");
    let token = ada.token.clone();
    let bytes = some_bytes(1_000_000, 1);
    let draft = ada.draft(&[("f/x", bytes.len()), ("f/y", 5)]);
    let url = upload(&server, &draft, 0);
    ada.send(&url, 0, &bytes[..400_000]);
    // A request that is cut off in its middle.
    let mut cut_off = begin_patch(&server, &token, &url, 400_000, 600_000);
    wait_for("the next bytes to reach the disk", || {
        let sent = ada.offset(&url) - 400_000;
        let next = bytes.get(400_000 + sent..400_000 + sent + 50_000)?;
        if sent < 200_000 {
            cut_off.write_all(next).unwrap();
            wait_for("them", || {
                (ada.offset(&url) == 400_000 + sent + next.len()).then_some(())
            });
        }
        (sent >= 200_000).then_some(())
    });
    server.kill();
    let server = server.start_again();
    let ada = Uploader {
        server: &server,
        token,
    };
    let url = upload(&server, &draft, 0);
    let offset = ada.offset(&url);
    assert!((600_000..700_000).contains(&offset), "{offset}");
    ada.send(&url, offset, &bytes[offset..]);
    ada.send(&upload(&server, &draft, 1), 0, b"yyyyy");
    let publication = ada.end_of(&draft);
    let expected = info_hash("f", &[("x", &bytes), ("y", b"yyyyy")]);
    assert_eq!(publication["info_hash_v1"], expected, "{publication}");
    assert_eq!(server.stored(), 2);
}

/// Sends the head of a PATCH by hand.
fn begin_patch(server: &Server, token: &str, url: &str, offset: usize, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let (_, path) = url.split_once("/api/").unwrap();
    let head = format!(
        "PATCH /api/{path} HTTP/1.1\r\nHost: {}\r\n{}\r\n{TUS}\r\n{PART}\r\nUpload-Offset: {offset}\r\nContent-Length: {length}\r\n\r\n",
        server.address(),
        bearer(token)
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn status_line(stream: &mut TcpStream) -> String {
    let mut said = vec![0; 4096];
    let count = stream.read(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said[..count]).into_owned();
    said.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_silent_request_yields_to_its_own_resume_and_a_lively_one_does_not() {
    let server = Server::start();
    let ada = Uploader::new(&server, "ada");
    let bytes = some_bytes(200_000, 1);
    let draft = ada.draft(&[("x", bytes.len())]);
    let url = upload(&server, &draft, 0);
    let mut first = begin_patch(&server, &ada.token, &url, 0, bytes.len());
    let locked = std::thread::scope(|scope| {
        let second = scope.spawn(|| ada.patch(&url, 0, &[], &bytes));
        let mut sent = 0;
        while !second.is_finished() && sent < bytes.len() - 1_000 {
            first.write_all(&bytes[sent..sent + 1_000]).unwrap();
            sent += 1_000;
            let so_far = sent;
            wait_for("the bytes to arrive", || {
                (ada.offset(&url) == so_far).then_some(())
            });
        }
        second.join().unwrap()
    });
    locked.expect_problem(423);

    let offset = ada.offset(&url);
    let resumed = ada.patch(&url, offset, &["Expect:"], &bytes[offset..]);
    assert_eq!(resumed.status, 204, "{}", resumed.body);
    assert_eq!(status_line(&mut first), "HTTP/1.1 423 Locked");
    assert_eq!(ada.end_of(&draft)["state"], "published");
}

#[test]
fn bad_requests_change_nothing_and_say_why() {
    let server = Server::start();
    let ada = Uploader::new(&server, "ada");
    let bytes = some_bytes(10_000, 1);
    let draft = ada.draft(&[("x", bytes.len())]);
    let url = upload(&server, &draft, 0);
    ada.send(&url, 0, &bytes[..4_000]);
    let rest = &bytes[4_000..];
    ada.patch(&url, 0, &[], rest).expect_problem(409);
    ada.patch(&url, 5_000, &[], rest).expect_problem(409);
    ada.patch(&url, 4_000, &[], &bytes).expect_problem(413);
    let chunked = "Transfer-Encoding: chunked";
    ada.patch(&url, 4_000, &[chunked], &bytes)
        .expect_problem(413);
    let wrong = "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=";
    ada.patch(&url, 4_000, &[wrong], rest).expect_problem(460);
    ada.patch(&url, 4_000, &["Upload-Checksum: crc32 AAAA"], rest)
        .expect_problem(400);
    ada.tus("PATCH", &url, &[PART], Some(rest))
        .expect_problem(400);
    ada.tus("PATCH", &url, &[PART, "Upload-Offset: -1"], Some(rest))
        .expect_problem(400);
    let untyped = ["Upload-Offset: 4000", "Content-Type: text/plain"];
    ada.tus("PATCH", &url, &untyped, Some(rest))
        .expect_problem(415);
    let old = ask(
        "PATCH",
        &url,
        &[&bearer(&ada.token), PART, "Tus-Resumable: 0.2.2"],
        Some("x"),
    );
    old.expect_problem(412);
    assert_eq!(old.header("tus-version"), Some("1.0.0"));
    let nowhere = url.replace("-0", "-1");
    ada.patch(&nowhere, 0, &[], rest).expect_problem(404);
    assert_eq!(ada.offset(&url), 4_000);

    let sum = sha256(rest);
    let sent = ada.patch(
        &url,
        4_000,
        &[&format!("Upload-Checksum: sha256 {sum}")],
        rest,
    );
    assert_eq!(sent.status, 204, "{}", sent.body);
    let publication = ada.end_of(&draft);
    assert_eq!(get(publication["files"][0]["url"].as_str().unwrap()), bytes);
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    data_encoding::BASE64.encode(&sha2::Sha256::digest(bytes))
}

#[test]
fn what_has_a_checksum_and_breaks_off_counts_for_nothing_even_after_a_kill() {
    let mut server = Server::start();
    let ada = Uploader::new(&server, "ada");
    let token = ada.token.clone();
    let draft = ada.draft(&[("x", 1_000_000)]);
    let url = upload(&server, &draft, 0);
    ada.send(&url, 0, &[1; 1_000]);
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let (_, path) = url.split_once("/api/").unwrap();
    let head = format!(
        "PATCH /api/{path} HTTP/1.1\r\nHost: {}\r\n{}\r\n{TUS}\r\n{PART}\r\nUpload-Offset: 1000\r\nUpload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=\r\nContent-Length: 999000\r\n\r\n",
        server.address(),
        bearer(&token)
    );
    stream.write_all(head.as_bytes()).unwrap();
    let id = draft["id"].as_str().unwrap();
    let staged = server.folder().join(format!("data/content/staging/{id}/0"));
    wait_for("unverified bytes on the disk", || {
        stream.write_all(&[2; 10_000]).unwrap();
        (staged.metadata().unwrap().len() > 50_000).then_some(())
    });
    assert_eq!(ada.offset(&url), 1_000);
    server.kill();
    let server = server.start_again();
    let ada = Uploader {
        server: &server,
        token,
    };
    assert_eq!(ada.offset(&upload(&server, &draft, 0)), 1_000);
    assert_eq!(
        server
            .folder()
            .join(format!("data/content/staging/{id}/0"))
            .metadata()
            .unwrap()
            .len(),
        1_000
    );
}

#[test]
fn a_draft_is_its_makers_alone() {
    let server = Server::start();
    let (ada, eve) = (Uploader::new(&server, "ada"), Uploader::new(&server, "eve"));
    let admin = Uploader {
        server: &server,
        token: server.token_for("root"),
    };
    let draft = ada.draft(&[("x", 10)]);
    let (url, id) = (upload(&server, &draft, 0), draft["id"].as_str().unwrap());
    eve.patch(&url, 0, &[], b"0123456789").expect_problem(404);
    eve.tus("DELETE", &url, &[], None).expect_problem(404);
    eve.described(id).expect_problem(404);
    let api = format!("{}/api/v1/publications/{id}", server.url);
    ask("DELETE", &api, &[&bearer(&eve.token)], None).expect_problem(404);
    ask("GET", &api, &[], None).expect_problem(404);
    let listing = format!("{}/api/v1/publications", server.url);
    let kind = "Content-Type: application/json";
    let manifest = r#"{"files":[{"path":"x","length":1}]}"#;
    ask("POST", &listing, &[kind], Some(manifest)).expect_problem(401);
    assert_eq!(ada.offset(&url), 0);

    assert_eq!(admin.described(id).status, 200);
    assert_eq!(admin.tus("DELETE", &url, &[], None).status, 204);
    ada.described(id).expect_problem(404);
    ada.patch(&url, 0, &[], b"0123456789").expect_problem(404);
    let other = ada.draft(&[("x", 10)]);
    let api = api.replace(id, other["id"].as_str().unwrap());
    assert_eq!(
        ask("DELETE", &api, &[&bearer(&ada.token)], None).status,
        204
    );
    assert_eq!(server.stored(), 0);
}

#[test]
fn the_same_files_again_lead_to_the_publication_that_is_there() {
    let server = Server::start();
    let ada = Uploader::new(&server, "ada");
    let drafts = [0, 1].map(|_| ada.draft(&[("x", 5)]));
    ada.send(&upload(&server, &drafts[0], 0), 0, b"bytes");
    let publication = ada.end_of(&drafts[0]);
    assert_eq!(publication["state"], "published");
    let again = upload(&server, &drafts[1], 0);
    ada.send(&again, 0, b"bytes");
    let failed = ada.end_of(&drafts[1]);
    assert_eq!(failed["state"], "failed", "{failed}");
    assert_eq!(failed["same_as"]["id"], publication["id"]);
    assert_eq!(failed["same_as"]["page_url"], publication["page_url"]);
    assert!(
        failed["failure"]
            .as_str()
            .unwrap()
            .contains("published already")
    );
    assert_eq!(ada.offset(&again), 5);
    wait_for("its bytes to go", || (server.stored() == 1).then_some(()));
}

#[test]
fn drafts_are_bounded_and_the_room_that_they_need_is_there() {
    let server = Server::start_with(&[
        ("SOWER_PUBLISH__MAX_DRAFTS", "2"),
        ("SOWER_PUBLISH__MAX_FILES", "3"),
    ]);
    let ada = Uploader::new(&server, "ada");
    let file = |path: &str, length: u64| json!({ "path": path, "length": length });
    for (manifest, status, words) in [
        (json!({ "files": [file("x", 1 << 60)] }), 507, "room for"),
        (json!({ "files": [] }), 400, "at least one"),
        (json!({ "files": [file("x", 0)] }), 400, "empty"),
        (json!({ "files": [file("../x", 1)] }), 400, "rename"),
        (
            json!({ "files": [file("x", 1), file("X", 1)] }),
            400,
            "rename",
        ),
        (
            json!({ "files": [file("a", 1), file("b", 1), file("c", 1), file("d", 1)] }),
            413,
            "3 files",
        ),
        (
            json!({ "files": [{ "path": "x", "length": -1 }] }),
            400,
            "list of files",
        ),
        (
            json!({ "files": [file("x", 1)], "format": "v3" }),
            400,
            "v3",
        ),
        (
            json!({ "files": [file("x", 1)], "colour": "red" }),
            400,
            "colour",
        ),
        (
            json!({ "files": [file("x", 1)], "title": "x".repeat(1_000) }),
            413,
            "title",
        ),
    ] {
        let refusal = ada.try_draft(&manifest);
        refusal.expect_problem(status);
        assert!(refusal.body.contains(words), "{}", refusal.body);
    }
    for _ in 0..2 {
        ada.draft(&[("x", 1)]);
    }
    let third = ada.try_draft(&json!({ "files": [file("x", 1)] }));
    third.expect_problem(429);
    let eve = Uploader::new(&server, "eve");
    eve.draft(&[("x", 1)]);
}

#[test]
fn a_draft_that_nobody_touches_expires() {
    let server = Server::start_with(&[("SOWER_PUBLISH__DRAFT_LIFETIME", "1")]);
    let ada = Uploader::new(&server, "ada");
    let draft = ada.draft(&[("x", 10)]);
    let url = upload(&server, &draft, 0);
    let begun = ada.patch(&url, 0, &[], b"01234");
    // A slow machine may come too late for it.
    assert!(matches!(begun.status, 204 | 404), "{}", begun.body);
    if begun.status == 204 {
        let expires = begun.header("upload-expires").unwrap();
        assert!(expires.ends_with("GMT"), "{expires}");
    }
    wait_for("the bytes to go", || (server.stored() == 0).then_some(()));
    ada.described(draft["id"].as_str().unwrap())
        .expect_problem(404);
}

#[test]
fn creation_by_tus_makes_a_draft_of_one_file() {
    let server = Server::start();
    let ada = Uploader::new(&server, "ada");
    let uploads = format!("{}/api/v1/uploads", server.url);
    let options = ask("OPTIONS", &uploads, &[], None);
    assert_eq!(options.status, 204);
    assert_eq!(options.header("tus-version"), Some("1.0.0"));
    assert_eq!(
        options.header("tus-extension"),
        Some("creation,checksum,expiration,termination")
    );
    assert_eq!(
        options.header("tus-checksum-algorithm"),
        Some("sha1,sha256")
    );

    // "a.bin" and "A title".
    let about = "Upload-Metadata: filename YS5iaW4=,title QSB0aXRsZQ==,filetype";
    let made = ada.tus("POST", &uploads, &["Upload-Length: 5", about], None);
    assert_eq!(made.status, 201, "{}", made.body);
    let url = made.header("location").unwrap().to_owned();
    assert!(made.header("upload-expires").is_some());
    // A proxy in between that knows no PATCH.
    let headers = ["X-HTTP-Method-Override: PATCH", PART, "Upload-Offset: 0"];
    let sent = ada.tus("POST", &url, &headers, Some(b"bytes"));
    assert_eq!(sent.status, 204, "{}", sent.body);
    let id = url.rsplit('/').next().unwrap().split('-').next().unwrap();
    let publication = ada.end_of(&json!({ "id": id }));
    assert_eq!(publication["title"], "A title", "{publication}");
    assert_eq!(publication["files"][0]["path"], "a.bin");

    ada.tus("POST", &uploads, &[about], None)
        .expect_problem(400);
    ada.tus("POST", &uploads, &["Upload-Length: 5"], None)
        .expect_problem(400);
    let nobody = ask("POST", &uploads, &[TUS, "Upload-Length: 5", about], None);
    nobody.expect_problem(401);
}

#[test]
fn the_server_ends_in_time_with_uploads_under_way() {
    let mut server = Server::start();
    let ada = Uploader::new(&server, "ada");
    let token = ada.token.clone();
    let lengths: Vec<(String, usize)> = (0..50).map(|n| (format!("f/{n}"), 100_000)).collect();
    let files: Vec<_> = lengths
        .iter()
        .map(|(path, length)| (path.as_str(), *length))
        .collect();
    let draft = ada.draft(&files);
    let mut streams: Vec<_> = (0..50)
        .map(|file| begin_patch(&server, &token, &upload(&server, &draft, file), 0, 100_000))
        .collect();
    for stream in &mut streams {
        stream.write_all(&[7; 30_000]).unwrap();
    }
    for file in 0..50 {
        let url = upload(&server, &draft, file);
        wait_for("the bytes to arrive", || {
            (ada.offset(&url) == 30_000).then_some(())
        });
    }
    assert!(server.stop().success());
    let server = server.start_again();
    let ada = Uploader {
        server: &server,
        token,
    };
    for file in 0..50 {
        let url = upload(&server, &draft, file);
        let offset = ada.offset(&url);
        assert_eq!(offset, 30_000, "file {file}");
        ada.send(&url, offset, &[7; 70_000]);
    }
    assert_eq!(ada.end_of(&draft)["state"], "published");
}

#[test]
fn a_draft_has_a_page_for_its_maker_that_becomes_the_publications() {
    let server = Server::start_with(&[("SOWER_PUBLISH__WHO", "anyone")]);
    let url = format!("{}/api/v1/publications", server.url);
    let files = json!([{ "path": "x", "length": 1000 }, { "path": "y", "length": 1000 }]);
    let manifest = json!({ "title": "Of <marshes>", "files": files }).to_string();
    let typed = ["Content-Type: application/json"];
    let draft = ask("POST", &url, &typed, Some(&manifest)).json();
    let page = format!("{}/p/{}", server.url, draft["id"].as_str().unwrap());
    let look = || ask("GET", &page, &[], None);
    let made = look();
    assert_eq!(made.status, 200, "{}", made.body);
    assert_eq!(made.header("cache-control"), Some("no-store"));
    for words in [
        "Of &#60;marshes&#62;",
        "Being sent: 0% of 2 kB",
        ">0 of 2 files",
        "http-equiv=\"refresh\"",
        "noindex",
    ] {
        assert!(made.body.contains(words), "{words}: {}", made.body);
    }
    let torrent = ask("GET", &format!("{page}.torrent"), &[], None);
    assert_eq!(torrent.status, 404);

    let ada = Uploader::new(&server, "ada");
    ada.send(&upload(&server, &draft, 0), 0, &some_bytes(1000, 1));
    let half = look().body;
    assert!(
        half.contains("Being sent: 50% of 2 kB") && half.contains(">1 of 2 files"),
        "{half}"
    );
    ada.send(&upload(&server, &draft, 1), 0, &some_bytes(1000, 2));
    assert_eq!(ada.end_of(&draft)["state"], "published");
    assert!(look().body.contains("Download torrent"));

    // The same once more comes to nothing, and the page says what is there already.
    let again = ask("POST", &url, &typed, Some(&manifest)).json();
    ada.send(&upload(&server, &again, 0), 0, &some_bytes(1000, 1));
    ada.send(&upload(&server, &again, 1), 0, &some_bytes(1000, 2));
    assert_eq!(ada.end_of(&again)["state"], "failed");
    let failed = ask(
        "GET",
        &format!("{}/p/{}", server.url, again["id"].as_str().unwrap()),
        &[],
        None,
    )
    .body;
    assert!(
        failed.contains("Not published.") && failed.contains("To that publication"),
        "{failed}"
    );
    assert!(!failed.contains("http-equiv"), "{failed}");

    // Whose it is not does not see it.
    let hers = ada.draft(&[("z", 5)]);
    let hers = format!("{}/p/{}", server.url, hers["id"].as_str().unwrap());
    assert_eq!(ask("GET", &hers, &[], None).status, 404);
}

//! A disk that is full: what was acknowledged stays, what was not leaves nothing, everybody hears what to do, and with room again all goes on
//! (HARDENING, the fault matrix).

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::edits::{Answer, ask, bearer, publisher};
use crate::support::{Server, get, wait_for};
use crate::uploads::{Uploader, some_bytes, upload};

const MIB: u64 = 1024 * 1024;

fn server(reserve: u64) -> Option<Server> {
    let reserve = reserve.to_string();
    let environment = [("SOWER_CONTENT__RESERVE_BYTES", &*reserve)];
    Server::start_on_small_disk(64 * MIB, &environment)
}

/// The sentence for whoever needs room.
fn expect_full(answer: &Answer) {
    answer.expect_problem(507);
    let detail = answer.json()["detail"].to_string();
    assert!(
        detail.contains("is full; free some space") || detail.contains("There is room for"),
        "{detail}"
    );
}

#[test]
fn a_command_leaves_the_room_that_drafts_were_promised() {
    let Some(server) = server(4 * MIB) else {
        return;
    };
    let ada = Uploader::new(&server, "ada");
    let draft = ada.draft(&[("film.mkv", 40 << 20)]);
    let film = fs::File::create(server.folder().join("large")).unwrap();
    film.set_len(25 * MIB).unwrap();
    let refused = server.sower(&["publish", "large"], "");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(
        words.contains("the disk is full; free some space"),
        "{words}"
    );
    assert_eq!(server.stored(), 0);

    // Bytes that have come are promised no more, and there is room for less than what is left.
    ada.send(&upload(&server, &draft, 0), 0, &some_bytes(20 << 20, 1));
    film.set_len(15 * MIB).unwrap();
    let done = server.sower(&["publish", "large"], "");
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn a_part_that_finds_no_room_is_refused_and_what_came_before_stays() {
    let Some(server) = server(MIB) else {
        return;
    };
    let ada = Uploader::new(&server, "ada");
    let bytes = some_bytes(40 << 20, 1);
    let draft = ada.draft(&[("x", bytes.len())]);
    let url = upload(&server, &draft, 0);
    ada.send(&url, 0, &bytes[..1_000_000]);
    server.disk().fill(12 * MIB);
    let refused = ada.patch(&url, 1_000_000, &[], &bytes[1_000_000..]);
    expect_full(&refused);
    let offset = ada.offset(&url);
    assert!((1_000_000..bytes.len()).contains(&offset), "{offset}");
    // On trial nothing is kept of what did not come to its end.
    let wrong = ["Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="];
    expect_full(&ada.patch(&url, offset, &wrong, &bytes[offset..]));
    assert_eq!(ada.offset(&url), offset);
    let token = ada.token;
    let server = server.restart();
    let ada = Uploader {
        server: &server,
        token,
    };
    let url = upload(&server, &draft, 0);
    // Bytes that were written with the last room, and not counted any more, count now.
    let offset = wait_for("the offset", || {
        Some(ada.offset(&url)).filter(|it| *it >= offset)
    });

    server.disk().clear();
    ada.send(&url, offset, &bytes[offset..]);
    let publication = ada.end_of(&draft);
    assert_eq!(publication["state"], "published", "{publication}");
    assert!(get(publication["files"][0]["url"].as_str().unwrap()) == bytes);
}

#[test]
fn a_form_that_finds_no_room_leaves_nothing() {
    let Some(server) = server(MIB) else {
        return;
    };
    let token = publisher(&server, "ada");
    let bytes = some_bytes(30 << 20, 1);
    let (status, kept) = server.publish(&token, &[], &[("kept", b"kept")]);
    assert_eq!(status, 201, "{kept}");
    let stored = server.stored();
    server.disk().fill(12 * MIB);
    // Known before the first byte, and found out on the way where nobody says how long it is.
    let path = server.folder().join("form.bin");
    fs::write(&path, &bytes).unwrap();
    let form = format!("files=@{}", path.display());
    let url = format!("{}/api/v1/publications", server.url);
    for more in [&[][..], &["-H", "Transfer-Encoding: chunked"]] {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "-i",
            "--max-time",
            "60",
            "-H",
            &bearer(&token),
            "-F",
            &form,
        ]);
        let output = curl.args(more).arg(&url).output().unwrap();
        let answer = String::from_utf8_lossy(&output.stdout);
        assert!(
            answer.contains("507 Insufficient Storage"),
            "{more:?}: {answer}"
        );
        assert!(
            answer.contains("free some space") || answer.contains("has room for"),
            "{answer}"
        );
        wait_for("nothing to be left", || {
            (server.stored() == stored).then_some(())
        });
    }
    assert_eq!(server.publication_count(), 1);
    assert_eq!(get(kept["files"][0]["url"].as_str().unwrap()), b"kept");
    server.disk().clear();
    let (status, published) = server.publish(&token, &[], &[("film", &bytes)]);
    assert_eq!(status, 201, "{published}");
}

#[test]
fn a_database_without_room_reads_on_and_writes_when_there_is_room_again() {
    // No reserve, so that not even the database has room.
    let Some(server) = server(0) else {
        return;
    };
    let ada = Uploader::new(&server, "ada");
    let (status, kept) = server.publish(&ada.token, &[], &[("kept", b"kept")]);
    assert_eq!(status, 201, "{kept}");
    let draft = ada.draft(&[("x", 5)]);
    server.disk().fill(0);
    let url = format!("{}/api/v1/publications", server.url);
    let one = format!("{url}/{}", kept["id"].as_str().unwrap());
    let typed = ["Content-Type: application/json", "If-Match: *"];
    let headers = [&*bearer(&ada.token), typed[0], typed[1]];
    let edit = json!({ "description": "Longer words. ".repeat(4_000) }).to_string();
    let edited = wait_for("the log of the database to be full", || {
        let edited = ask("PATCH", &one, &headers, Some(&edit));
        (edited.status != 200).then_some(edited)
    });
    expect_full(&edited);
    expect_full(&ask("DELETE", &one, &headers, None));
    let manifest = json!({ "files": [{ "path": "y", "length": 5 }] }).to_string();
    expect_full(&ask("POST", &url, &headers, Some(&manifest)));
    expect_full(&ada.patch(&upload(&server, &draft, 0), 0, &[], b"hello"));
    assert_eq!(get(kept["files"][0]["url"].as_str().unwrap()), b"kept");
    assert_eq!(server.publication_count(), 1);

    server.disk().clear();
    ada.send(&upload(&server, &draft, 0), 0, b"hello");
    assert_eq!(ada.end_of(&draft)["state"], "published");
    assert_eq!(ask("DELETE", &one, &headers, None).status, 204);
}

#[test]
fn a_draft_whose_last_byte_fills_the_disk_is_published_when_there_is_room() {
    let lifetime = [
        ("SOWER_CONTENT__RESERVE_BYTES", "0"),
        ("SOWER_PUBLISH__DRAFT_LIFETIME", "40"),
    ];
    let Some(server) = Server::start_on_small_disk(64 * MIB, &lifetime) else {
        return;
    };
    let ada = Uploader::new(&server, "ada");
    let names: Vec<_> = (0..2_000)
        .map(|n| (format!("a folder/with a long name {n}"), 0))
        .collect();
    let mut files: Vec<_> = names
        .iter()
        .map(|(name, length)| (&**name, *length))
        .collect();
    files.push(("a folder/film", 5));
    let draft = ada.draft(&files);
    server.disk().fill(16 * 1024);
    ada.send(&upload(&server, &draft, files.len() - 1), 0, b"hello");
    wait_for("it to be tried in vain", || {
        let log = fs::read_to_string(server.folder().join("log")).unwrap();
        log.contains("could not be published; it is tried again")
            .then_some(())
    });
    assert_eq!(server.publication_count(), 0);
    let id = draft["id"].as_str().unwrap();
    let now = ada.described(id).json();
    assert_eq!(now["state"], "hashing", "{now}");
    let words = now["delayed_by"].as_str().unwrap();
    assert!(words.contains("the disk is full; free some"), "{words}");
    let told = first_event(&ada, id);
    assert!(
        told.starts_with("event: progress\n") && told.contains(words),
        "{told}"
    );
    server.disk().clear();
    let publication = ada.end_of(&draft);
    assert_eq!(publication["state"], "published", "{publication}");
}

/// What whoever listens is told at once.
fn first_event(ada: &Uploader, id: &str) -> String {
    let url = format!("{}/api/v1/publications/{id}/events", ada.server.url);
    let mut curl = Command::new("curl");
    curl.args(["-sSN", "--max-time", "60", "-H", &bearer(&ada.token), &url]);
    let mut curl = curl.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(curl.stdout.take().unwrap()).lines();
    let lines = lines
        .map(Result::unwrap)
        .take_while(|line| !line.is_empty());
    let event: Vec<_> = lines.collect();
    curl.kill().unwrap();
    curl.wait().unwrap();
    event.join("\n")
}

#[test]
fn nobody_without_an_account_reserves_the_disk_and_sends_nothing() {
    let environment = [
        ("SOWER_CONTENT__RESERVE_BYTES", "4194304"),
        ("SOWER_PUBLISH__WHO", "anyone"),
        ("SOWER_WEB__TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let Some(server) = Server::start_on_small_disk(64 * MIB, &environment) else {
        return;
    };
    let url = format!("{}/api/v1/publications", server.url);
    let draft = |from: &str, mebibytes: u64| {
        let from = format!("X-Forwarded-For: {from}");
        let headers = ["Content-Type: application/json", &from];
        let files = json!([{ "path": "x", "length": mebibytes * MIB }]);
        let manifest = json!({ "files": files }).to_string();
        ask("POST", &url, &headers, Some(&manifest))
    };
    let refuse = |from: &str, mebibytes, words: &str| {
        let refused = draft(from, mebibytes);
        expect_full(&refused);
        assert!(refused.body.contains(words), "{}", refused.body);
    };
    // A little less than 60 MiB are free: an address may be promised a quarter, and all of them a half.
    refuse("192.0.2.1", 50, "one address is promised no more");
    let kept = draft("192.0.2.1", 12);
    assert_eq!(kept.status, 201, "{}", kept.body);
    refuse("192.0.2.1", 6, "finish or delete what you began, log in");
    assert_eq!(draft("2001:db8::1", 12).status, 201);
    refuse("192.0.2.3", 10, "log in, publish less, or try again later");

    let ada = Uploader::new(&server, "ada");
    let film = ada.draft(&[("film", 30 << 20)]);
    ada.send(&upload(&server, &film, 0), 0, &some_bytes(30 << 20, 1));
    assert_eq!(ada.end_of(&film)["state"], "published");

    let gone = format!("{url}/{}", kept.json()["id"].as_str().unwrap());
    assert_eq!(ask("DELETE", &gone, &[], None).status, 204);
    assert_eq!(draft("192.0.2.3", 2).status, 201);
}

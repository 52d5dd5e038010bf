//! A request with an `Idempotency-Key` that is sent again makes nothing twice, whatever happened to the first.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};

use crate::edits::{Answer, ask, bearer, publisher};
use crate::support::{PATIENCE, Server, wait_for};
use crate::uploads::{Uploader, upload};

/// Begins a draft under a key.
fn draft(server: &Server, token: &str, key: &str, manifest: &Value) -> Answer {
    let key = format!("Idempotency-Key: {key}");
    let headers = [&*bearer(token), "Content-Type: application/json", &key];
    let url = format!("{}/api/v1/publications", server.url);
    ask("POST", &url, &headers, Some(&manifest.to_string()))
}

fn manifest(path: &str) -> Value {
    json!({ "title": "A title", "files": [{ "path": path, "length": 5 }] })
}

/// Publishes a file of so many zeros as a form under a key, and gives the answer with the bytes that it took.
fn form(server: &Server, token: &str, key: &str, length: u64, more: &[&str]) -> (u16, Value, u64) {
    let path = server.folder().join("form.bin");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(length).unwrap();
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--max-time",
        "60",
        "-w",
        "\n%{http_code} %{size_upload}",
    ]);
    curl.args([
        "-H",
        &bearer(token),
        "-H",
        &format!("Idempotency-Key: {key}"),
    ]);
    curl.args(["-F", &format!("files=@{}", path.display())]);
    curl.args(more);
    let output = curl.arg(format!("{}/api/v1/publications", server.url));
    let output = output.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, figures) = text.rsplit_once('\n').unwrap();
    let (status, sent) = figures.split_once(' ').unwrap();
    let body = serde_json::from_str(body).unwrap();
    (status.parse().unwrap(), body, sent.parse().unwrap())
}

#[test]
fn the_same_request_again_answers_with_what_the_first_one_made() {
    let server = Server::start_with(&[("SOWER_PUBLISH__MAX_DRAFTS", "1")]);
    let ada = Uploader::new(&server, "ada");
    let token = ada.token.clone();
    let first = draft(&server, &token, "k-1", &manifest("x"));
    assert_eq!(first.status, 201, "{}", first.body);
    let again = draft(&server, &token, "k-1", &manifest("x"));
    assert_eq!(again.status, 201, "{}", again.body);
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.json()["files"], first.json()["files"]);

    // It is told as it is now, and outlasts a restart.
    let made = first.json();
    ada.send(&upload(&server, &made, 0), 0, b"hel");
    let server = server.restart();
    let again = draft(&server, &token, "k-1", &manifest("x"));
    assert_eq!(again.status, 201, "{}", again.body);
    assert_eq!(again.json()["received_bytes"], 3);
    let ada = Uploader {
        server: &server,
        token: token.clone(),
    };
    ada.send(&upload(&server, &made, 0), 3, b"lo");
    assert_eq!(ada.end_of(&made)["state"], "published");
    let again = draft(&server, &token, "k-1", &manifest("x"));
    assert_eq!(
        (again.status, &again.json()["state"]),
        (201, &json!("published"))
    );
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(server.publication_count(), 1);

    // What was withdrawn is not published by a request from before.
    let url = format!(
        "{}/api/v1/publications/{}",
        server.url,
        made["id"].as_str().unwrap()
    );
    assert_eq!(ask("DELETE", &url, &[&bearer(&token)], None).status, 204);
    draft(&server, &token, "k-1", &manifest("x")).expect_problem(410);
}

#[test]
fn a_key_belongs_to_one_account_and_one_request() {
    let server = Server::start();
    let ada = Uploader::new(&server, "ada");
    let bob = publisher(&server, "bob");
    let hers = draft(&server, &ada.token, "k", &manifest("x")).json();
    let his = draft(&server, &bob, "k", &manifest("x"));
    assert_eq!(his.status, 201, "{}", his.body);
    assert_ne!(his.json()["id"], hers["id"]);

    draft(&server, &ada.token, "k", &manifest("y")).expect_problem(422);
    assert_eq!(form(&server, &ada.token, "k", 5, &[]).0, 422);
    let url = format!("{}/api/v1/uploads", server.url);
    let creation = [
        "Upload-Length: 5",
        "Upload-Metadata: filename eA==",
        "Idempotency-Key: k",
    ];
    ada.tus("POST", &url, &creation, None).expect_problem(422);
    let creation = [
        "Upload-Length: 5",
        "Upload-Metadata: filename eA==",
        "Idempotency-Key: t",
    ];
    let [first, again] = [(); 2].map(|()| ada.tus("POST", &url, &creation, None));
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.header("location"), again.header("location"));
    assert!(again.header("upload-expires").is_some());

    // A draft that was given up has made nothing, and its key is free.
    let id = hers["id"].as_str().unwrap();
    let gone = format!("{}/api/v1/publications/{id}", server.url);
    assert_eq!(
        ask("DELETE", &gone, &[&bearer(&ada.token)], None).status,
        204
    );
    assert_eq!(draft(&server, &ada.token, "k", &manifest("y")).status, 201);

    draft(&server, &ada.token, "two words", &manifest("x")).expect_problem(400);
    draft(&server, &ada.token, &"x".repeat(256), &manifest("x")).expect_problem(400);
}

#[test]
fn a_key_without_an_account_is_refused() {
    let server = Server::start_with(&[("SOWER_PUBLISH__WHO", "anyone")]);
    let url = format!("{}/api/v1/publications", server.url);
    let headers = ["Content-Type: application/json", "Idempotency-Key: k"];
    let body = manifest("x").to_string();
    ask("POST", &url, &headers, Some(&body)).expect_problem(401);
    assert_eq!(ask("POST", &url, &headers[..1], Some(&body)).status, 201);
}

#[test]
fn of_requests_at_the_same_time_one_runs() {
    let server = Server::start_with(&[("SOWER_PUBLISH__MAX_DRAFTS", "1")]);
    let token = publisher(&server, "ada");
    let answers = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..12)
            .map(|_| scope.spawn(|| draft(&server, &token, "k", &manifest("x"))))
            .collect();
        asked
            .into_iter()
            .map(|asked| asked.join().unwrap())
            .collect::<Vec<_>>()
    });
    let made: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        refused.expect_problem(409);
    }
    assert!(!made.is_empty());
    assert!(
        made.iter()
            .all(|it| it.json()["id"] == made[0].json()["id"])
    );
}

#[test]
fn a_form_that_comes_while_the_first_is_received_is_told_so() {
    let server = Server::start();
    let token = publisher(&server, "ada");
    let body = "--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"x\"\r\n\r\nhello\r\n--b--\r\n";
    let head = format!(
        "POST /api/v1/publications HTTP/1.1\r\nHost: {}\r\n{}\r\nIdempotency-Key: k\r\nConnection: close\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n",
        server.address(),
        bearer(&token),
        body.len()
    );
    let begin = || {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    let end = |mut stream: TcpStream, rest: &str| {
        stream.write_all(rest.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let mut first = begin();
    first.write_all(&body.as_bytes()[..70]).unwrap();
    wait_for("the file to come in", || {
        (server.stored() > 0).then_some(())
    });
    let second = end(begin(), body);
    assert!(second.starts_with("HTTP/1.1 409"), "{second}");
    let made = end(first, &body[70..]);
    assert!(made.starts_with("HTTP/1.1 201"), "{made}");
    let again = end(begin(), body);
    let location = |answer: &str| {
        let mut lines = answer.lines();
        lines
            .find(|line| line.starts_with("location:"))
            .map(str::to_owned)
    };
    assert!(again.starts_with("HTTP/1.1 201"), "{again}");
    assert_eq!(location(&again), location(&made));

    // One that broke off has made nothing.
    drop(begin());
    assert_eq!(server.publication_count(), 1);
}

#[test]
fn a_form_that_was_published_is_not_received_again() {
    let server = Server::start();
    let token = publisher(&server, "ada");
    let length = 100_000_000;
    let (status, first, sent) = form(&server, &token, "k", length, &[]);
    assert!((status, sent > length) == (201, true), "{status} {first}");
    let (status, again, sent) = form(&server, &token, "k", length, &[]);
    assert_eq!((status, sent), (201, 0), "{again}");
    assert_eq!(again["id"], first["id"]);
    assert_eq!(again["files"], first["files"]);
    // Who does not wait for a word before sending still hears the answer.
    let (status, again, _) = form(&server, &token, "k", length, &["-H", "Expect:"]);
    assert_eq!((status, &again["id"]), (201, &first["id"]));
    assert_eq!(form(&server, &token, "k", length + 1, &[]).0, 422);
    assert_eq!(server.publication_count(), 1);
    assert_eq!(server.stored(), 1);
}

#[test]
fn a_kill_at_any_moment_leaves_one_draft_a_key() {
    const ROUNDS: u32 = 8;

    let mut server = Server::start_with(&[("SOWER_PUBLISH__MAX_DRAFTS", &ROUNDS.to_string())]);
    let token = publisher(&server, "ada");
    for round in 0..ROUNDS {
        let (key, manifest) = (format!("k-{round}"), manifest(&format!("x-{round}")));
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let body = manifest.to_string();
        let head = format!(
            "POST /api/v1/publications HTTP/1.1\r\nHost: {}\r\n{}\r\nIdempotency-Key: {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            server.address(),
            bearer(&token),
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(u64::from(round) * 3));
        server.kill();
        server = server.start_again();
        let again = draft(&server, &token, &key, &manifest);
        assert_eq!(again.status, 201, "{}", again.body);
        let third = draft(&server, &token, &key, &manifest);
        assert_eq!(third.json()["id"], again.json()["id"]);
    }
    // There are as many drafts as keys: there is no room for another.
    draft(&server, &token, "k", &manifest("y")).expect_problem(429);
}

#[test]
fn keys_are_forgotten_in_time_and_those_of_drafts_are_kept() {
    let server = Server::start_with(&[
        ("SOWER_PUBLISH__KEY_LIFETIME", "1"),
        ("SOWER_PUBLISH__DRAFT_LIFETIME", "60"),
    ]);
    let token = publisher(&server, "ada");
    let kept = draft(&server, &token, "draft", &manifest("x")).json();
    assert_eq!(form(&server, &token, "form", 5, &[]).0, 201);
    wait_for("the key to be free", || {
        (form(&server, &token, "form", 6, &[]).0 != 422).then_some(())
    });
    let again = draft(&server, &token, "draft", &manifest("x")).json();
    assert_eq!(again["id"], kept["id"]);
}

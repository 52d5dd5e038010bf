//! A server that is killed at any moment of an upload: what was acknowledged is there, the upload goes on, and nothing is left that nobody owns.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::edits::{bearer, publisher};
use crate::support::{Server, get, wait_for};
use crate::uploads::{Uploader, some_bytes, upload};

const PART: usize = 150_000;

/// Sends parts of a file, on trial or not, until the server is gone or the file whole; gives the bytes that were acknowledged.
fn send_until_killed(request: &Request<'_>, bytes: &[u8], from: usize) -> usize {
    let mut acknowledged = from;
    while acknowledged < bytes.len() {
        let end = bytes.len().min(acknowledged + PART);
        match request.send(acknowledged, &bytes[acknowledged..end]) {
            Some(offset) => acknowledged = offset,
            None => break,
        }
    }
    acknowledged
}

/// Where parts of a file go. By hand, for a broken connection is no failure here.
pub(crate) struct Request<'a> {
    pub(crate) address: &'a str,
    pub(crate) token: &'a str,
    pub(crate) path: &'a str,
    /// Whether each part has a checksum.
    pub(crate) is_on_trial: bool,
}

impl Request<'_> {
    /// Sends a part, and gives what the server says that it has; `None` where it says nothing any more.
    pub(crate) fn send(&self, offset: usize, part: &[u8]) -> Option<usize> {
        let checksum = if self.is_on_trial {
            let sum = sha1::Digest::finalize(sha1::Digest::chain_update(
                <sha1::Sha1 as sha1::Digest>::new(),
                part,
            ));
            let sum = data_encoding::BASE64.encode(&sum);
            format!("Upload-Checksum: sha1 {sum}\r\n")
        } else {
            String::new()
        };
        let mut stream = TcpStream::connect(self.address).ok()?;
        let head = format!(
            "PATCH {} HTTP/1.1\r\nHost: {}\r\n{}\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\n\
             Content-Type: application/offset+octet-stream\r\n{checksum}Upload-Offset: {offset}\r\nContent-Length: {}\r\n\r\n",
            self.path,
            self.address,
            bearer(self.token),
            part.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(part).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        if answer.is_empty() {
            return None;
        }
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        let mut lines = answer.lines();
        let offset = lines.find_map(|line| line.strip_prefix("upload-offset: "));
        Some(offset.unwrap().parse().unwrap())
    }
}

pub(crate) fn path_of(url: &str) -> String {
    let (_, path) = url.split_once("/api/").unwrap();
    format!("/api/{path}")
}

#[test]
fn an_upload_outlasts_kills_at_any_moment() {
    const SEED: u64 = 6;

    let mut rng = StdRng::seed_from_u64(SEED);
    let mut server = Server::start();
    let token = publisher(&server, "ada");
    let files = [
        some_bytes(4_000_000, 1),
        some_bytes(2_500_000, 2),
        some_bytes(300, 3),
    ];
    let draft = {
        let ada = Uploader {
            server: &server,
            token: token.clone(),
        };
        ada.draft(&[
            ("f/a", files[0].len()),
            ("f/b", files[1].len()),
            ("f/c", files[2].len()),
        ])
    };
    let mut acknowledged = [0; 3];
    let mut kills = 0;
    while (0..3).any(|file| acknowledged[file] < files[file].len()) {
        let (address, after) = (
            server.address(),
            Duration::from_millis(rng.random_range(1..60)),
        );
        std::thread::scope(|scope| {
            let sending: Vec<_> = (0..3)
                .map(|file| {
                    let path = path_of(&upload(&server, &draft, file));
                    let (address, token, bytes) = (&address, &token, &files[file]);
                    let from = acknowledged[file];
                    scope.spawn(move || {
                        let request = Request {
                            address,
                            token,
                            path: &path,
                            is_on_trial: file == 1,
                        };
                        send_until_killed(&request, bytes, from)
                    })
                })
                .collect();
            // A moment as good as any other.
            std::thread::sleep(after);
            server.kill();
            for (file, sending) in sending.into_iter().enumerate() {
                acknowledged[file] = sending.join().unwrap();
            }
        });
        kills += 1;
        assert!(kills < 200, "nothing comes of it");
        server = server.start_again();
        let ada = Uploader {
            server: &server,
            token: token.clone(),
        };
        if ada.described(draft["id"].as_str().unwrap()).json()["state"] == "published" {
            break;
        }
        for (file, acknowledged) in acknowledged.iter_mut().enumerate() {
            let there = ada.offset(&upload(&server, &draft, file));
            assert!(
                there >= *acknowledged,
                "file {file}: {there} of {acknowledged} bytes, seed {SEED}"
            );
            *acknowledged = there;
        }
    }
    let ada = Uploader {
        server: &server,
        token,
    };
    let publication = ada.end_of(&draft);
    assert_eq!(publication["state"], "published", "{publication}");
    for (file, bytes) in publication["files"].as_array().unwrap().iter().zip(&files) {
        assert!(
            get(file["url"].as_str().unwrap()) == *bytes,
            "{file}, seed {SEED}"
        );
    }
    expect_nothing_unowned(&server, 3);
}

#[test]
fn forms_are_published_whole_or_not_at_all_whenever_the_server_is_killed() {
    let mut rng = StdRng::seed_from_u64(7);
    let mut server = Server::start();
    let token = publisher(&server, "ada");
    let mut published = 0;
    for round in 0..12_u32 {
        let bytes = some_bytes(3_000_000, round);
        let body = [
            b"--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"x\"\r\n\r\n",
            &bytes[..],
            b"\r\n--b--\r\n",
        ]
        .concat();
        let head = format!(
            "POST /api/v1/publications HTTP/1.1\r\nHost: {}\r\n{}\r\nConnection: close\r\n\
             Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n",
            server.address(),
            bearer(&token),
            body.len()
        );
        let address = server.address();
        let after = Duration::from_millis(rng.random_range(5..150));
        let answer = std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let mut stream = TcpStream::connect(&address).ok()?;
                stream.write_all(head.as_bytes()).ok()?;
                stream.write_all(&body).ok()?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer).ok()?;
                Some(answer)
            });
            // A moment as good as any other.
            std::thread::sleep(after);
            server.kill();
            sending.join().unwrap()
        });
        server = server.start_again();
        let is_acknowledged = answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 201"));
        let now = server.publication_count();
        assert!(now == published + 1 || (now == published && !is_acknowledged));
        published = now;
        expect_nothing_unowned(&server, published);
    }
    let url = format!("{}/api/v1/publications?sort=oldest", server.url);
    let page: Value = serde_json::from_slice(&get(&url)).unwrap();
    for publication in page["publications"].as_array().unwrap() {
        let id = publication["id"].as_str().unwrap();
        let bytes = get(&format!("{}/files/{id}/x", server.url));
        assert_eq!(bytes.len(), 3_000_000, "{publication}");
    }
}

/// Holds what lies in the data directory against what is published: so many files, and nothing staged.
pub(crate) fn expect_nothing_unowned(server: &Server, files: usize) {
    let staging = server.folder().join("data/content/staging");
    wait_for("nothing to be staged", || {
        (std::fs::read_dir(&staging).unwrap().count() == 0).then_some(())
    });
    assert_eq!(server.stored(), files);
}

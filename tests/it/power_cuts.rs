//! A power cut at any moment of an upload: what was acknowledged is on the disk, and not only in the system's memory.
//!
//! The disk is a file. At the moment of the cut it is copied, and another server is started on the copy.

use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::edits::publisher;
use crate::kills::{Request, path_of};
use crate::support::{Server, get};
use crate::uploads::{Uploader, some_bytes, upload};

const DISK: u64 = 96 * 1024 * 1024;
const PART: usize = 40_000;
const FILES: [usize; 3] = [150_000, 300, 90_000];

/// What the server has said, newest last.
#[derive(Clone)]
enum Said {
    /// This draft is made.
    Draft(Value),
    /// So many bytes of a file of the last draft are there.
    Received(usize, usize),
    /// The last draft is published.
    Published,
    /// These bytes, sent in one form, are published under this id.
    Form(String, Vec<u8>),
}

/// The bytes of a file of the draft that was made in a round.
fn content(round: u32, file: usize) -> Vec<u8> {
    some_bytes(FILES[file], round * 10 + u32::try_from(file).unwrap())
}

/// Publishes one thing after another, and notes what is said to it.
fn publish(server: &Server, token: &str, rounds: u32, mut note: impl FnMut(Said)) {
    let ada = Uploader {
        server,
        token: token.to_owned(),
    };
    for round in 0..rounds {
        let draft = ada.draft(&[("f/a", FILES[0]), ("f/b", FILES[1]), ("f/c", FILES[2])]);
        note(Said::Draft(draft.clone()));
        for file in 0..FILES.len() {
            let (address, path) = (server.address(), path_of(&upload(server, &draft, file)));
            let request = Request {
                address: &address,
                token,
                path: &path,
                is_on_trial: file != 2,
            };
            let (bytes, mut sent) = (content(round, file), 0);
            while sent < bytes.len() {
                let end = bytes.len().min(sent + PART);
                sent = request.send(sent, &bytes[sent..end]).unwrap();
                note(Said::Received(file, sent));
            }
        }
        assert_eq!(ada.end_of(&draft)["state"], "published");
        note(Said::Published);
        let form = some_bytes(50_000, round * 10 + 9);
        let (status, publication) = server.publish(token, &[], &[("x", &form)]);
        assert_eq!(status, 201, "{publication}");
        note(Said::Form(
            publication["id"].as_str().unwrap().to_owned(),
            form,
        ));
    }
}

/// Holds a server against what another one said before the power was cut.
fn expect_all(server: &Server, token: &str, said: &[Said]) {
    let ada = Uploader {
        server,
        token: token.to_owned(),
    };
    let mut drafts = Vec::new();
    for what in said {
        match what {
            Said::Draft(draft) => drafts.push((draft, [0; FILES.len()], false)),
            Said::Received(file, bytes) => drafts.last_mut().unwrap().1[*file] = *bytes,
            Said::Published => drafts.last_mut().unwrap().2 = true,
            Said::Form(id, bytes) => {
                assert!(get(&format!("{}/files/{id}/x", server.url)) == *bytes);
            }
        }
    }
    for (round, (draft, received, is_published)) in (0..).zip(drafts) {
        let id = draft["id"].as_str().unwrap();
        let whole = received == FILES;
        let now = if whole {
            ada.end_of(draft)
        } else {
            ada.described(id).json()
        };
        if now["state"] == "published" {
            for (file, name) in ["a", "b", "c"].iter().enumerate() {
                let bytes = get(&format!("{}/files/{id}/f/{name}", server.url));
                assert!(bytes == content(round, file), "{name} of {id}");
            }
            continue;
        }
        assert!(!is_published && !whole, "{now}");
        for (file, received) in received.into_iter().enumerate() {
            let there = ada.offset(&upload(server, draft, file));
            assert!(
                there >= received,
                "{there} of {received} bytes of file {file} of {id}"
            );
        }
    }
}

#[test]
fn every_answer_outlasts_a_power_cut_behind_it() {
    let Some(server) = Server::start_on_disk_image(DISK) else {
        return;
    };
    let token = publisher(&server, "ada");
    let mut said = Vec::new();
    publish(&server, &token, 1, |what| {
        said.push(what);
        let disk = server.while_stopped(|| server.disk().copy());
        expect_all(&Server::start_on_copy(disk), &token, &said);
    });
}

#[test]
fn what_was_acknowledged_outlasts_a_power_cut_at_any_moment() {
    const SEED: u64 = 8;
    const CUTS: usize = 6;

    let Some(server) = Server::start_on_disk_image(DISK) else {
        return;
    };
    let token = publisher(&server, "ada");
    let said = Mutex::new(Vec::new());
    let mut rng = StdRng::seed_from_u64(SEED);
    let cuts: Vec<_> = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            publish(&server, &token, 6, |what| said.lock().unwrap().push(what));
        });
        let cuts = std::iter::from_fn(|| {
            // A moment as good as any other.
            std::thread::sleep(Duration::from_millis(rng.random_range(1..200)));
            // First what was said, then the disk: what is said meanwhile need not be there.
            let cut = || (said.lock().unwrap().clone(), server.disk().copy());
            (!publishing.is_finished()).then(|| server.while_stopped(cut))
        });
        cuts.take(CUTS).collect()
    });
    assert!(cuts.len() > CUTS / 2, "only {} cuts", cuts.len());
    for (number, (said, disk)) in cuts.into_iter().enumerate() {
        eprintln!("cut {number} after {} answers, seed {SEED}", said.len());
        expect_all(&Server::start_on_copy(disk), &token, &said);
    }
}

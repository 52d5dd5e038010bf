//! Scrubbing: what the disk loses without a word is found, told of, and served by no door.

use std::fs::{File, FileTimes};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use serde_json::Value;
use sower::proto::id::InfoHash;
use sower::proto::wire::message::Message;

use crate::peer::ScriptedPeer;
use crate::support::{Server, curl, get, wait_for};

const PIECE: usize = 16 * 1024;

struct Seed {
    server: Server,
    publication: Value,
    content: Vec<u8>,
}

/// A publication of ten pieces on a server that verifies everything every second.
fn seed(format: &str) -> Seed {
    let server = Server::start_with(&[
        ("SOWER_SCRUB__INTERVAL", "1"),
        ("SOWER_SCRUB__RATE", "1000000000"),
    ]);
    let token = server.token();
    let content: Vec<u8> = (0..40_960_u32).flat_map(u32::to_le_bytes).collect();
    let fields = [("format", format)];
    let (status, publication) = server.publish(&token, &fields, &[("a.bin", &content)]);
    assert_eq!(status, 201, "{publication}");
    Seed {
        server,
        publication,
        content,
    }
}

impl Seed {
    fn id(&self) -> &str {
        self.publication["id"].as_str().unwrap()
    }

    fn stored(&self) -> PathBuf {
        let content = self.server.folder().join("data/content");
        content.join(self.id()).join("0")
    }

    /// Turns a bit, and leaves no sign of it.
    fn rot(&self, offset: u64) {
        let file = File::options().write(true).open(self.stored()).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        let byte = self.content[usize::try_from(offset).unwrap()] ^ 1;
        file.write_all_at(&[byte], offset).unwrap();
        let times = FileTimes::new().set_modified(modified);
        file.set_times(times).unwrap();
    }

    fn newcomer(&self) -> ScriptedPeer {
        let info_hash = self.publication["info_hash_v1"].as_str().unwrap();
        let info_hash = InfoHash::from_hex(info_hash).unwrap();
        ScriptedPeer::greet(&self.server.address(), info_hash)
    }

    /// The first bytes of a piece, or `None` where they are refused.
    fn asked(&self, piece: u32) -> Option<Vec<u8>> {
        let mut peer = self.newcomer();
        peer.become_unchoked();
        peer.request(piece, 0, 100);
        peer.next_that(|message| match message {
            Message::Piece { data, .. } => Some(Some(data.to_vec())),
            Message::Reject(_) => Some(None),
            _ => None,
        })
    }

    fn json(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.server.url);
        serde_json::from_slice(&curl(&["-H", "Accept: application/json", &url])).unwrap()
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8(get(&format!("{}{path}", self.server.url))).unwrap()
    }

    fn damaged_files(&self) -> Value {
        self.json(&format!("/api/v1/publications/{}", self.id()))["damaged_files"].clone()
    }

    fn page(&self) -> String {
        self.text(&format!("/p/{}", self.id()))
    }
}

#[test]
fn what_the_disk_loses_is_found_told_of_and_not_served() {
    let mut seed = seed("v1");
    assert_eq!(seed.asked(0).as_deref(), Some(&seed.content[..100]));
    assert!(seed.page().contains("<dt>Last verified</dt>"));
    assert!(!seed.page().contains("Missing data"));
    seed.rot(7);
    wait_for("the damage to be found", || {
        (seed.damaged_files() == 1).then_some(())
    });

    assert_eq!(seed.asked(0), None);
    let second = &seed.content[PIECE..PIECE + 100];
    assert_eq!(seed.asked(1).as_deref(), Some(second));
    assert!(seed.page().contains("1 file fails the check"));
    assert!(!seed.page().contains("<strong>Available</strong>"));
    assert_eq!(seed.json("/stats")["damaged"][0], seed.id());
    assert!(seed.text("/stats").contains("Missing data"));
    let metrics = seed.text("/metrics");
    assert!(
        metrics.contains("\nsower_damaged_publications 1\n"),
        "{metrics}"
    );
    let log = std::fs::read_to_string(seed.server.folder().join("log")).unwrap();
    assert!(
        log.contains("ERROR") && log.contains("fail the check"),
        "{log}"
    );

    seed.server = seed.server.restart();
    assert_eq!(seed.damaged_files(), 1, "a restart forgets nothing");
    std::fs::write(seed.stored(), &seed.content).unwrap();
    wait_for("the file that was brought back to be found whole", || {
        (seed.damaged_files() == 0).then_some(())
    });
    assert_eq!(seed.asked(0).as_deref(), Some(&seed.content[..100]));
}

#[test]
fn hybrid_content_and_lost_files_are_checked_too() {
    let seed = seed("hybrid");
    seed.rot(3 * PIECE as u64);
    wait_for("the damage to be found", || {
        (seed.damaged_files() == 1).then_some(())
    });
    assert_eq!(seed.asked(3), None);
    std::fs::remove_file(seed.stored()).unwrap();
    // Whoever meets the loss first is hung up on, if the scrubber was not there before.
    assert_eq!(seed.newcomer().try_fetch(), None);
    assert_eq!(seed.asked(9), None);
    assert_eq!(seed.damaged_files(), 1);
}

#[test]
fn damage_that_a_peer_meets_with_is_kept_at_once() {
    let server = Server::start();
    let token = server.token();
    let content = vec![9; 3 * PIECE];
    let (status, publication) = server.publish(&token, &[], &[("a.bin", &content)]);
    assert_eq!(status, 201, "{publication}");
    let seed = Seed {
        server,
        publication,
        content,
    };
    seed.rot(0);
    assert_eq!(seed.asked(0), None);
    wait_for("the whole publication to be verified", || {
        (seed.json("/stats")["damaged_publications"] == 1).then_some(())
    });
}

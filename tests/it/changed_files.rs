//! Files that change on disk while they are served: what is left of them is served, and the rest by no door.

use std::path::PathBuf;

use serde_json::Value;
use sower::proto::id::InfoHash;
use sower::proto::wire::message::Message;

use crate::peer::ScriptedPeer;
use crate::support::{Server, curl, get};

const PIECE: usize = 16 * 1024;

struct Seed {
    server: Server,
    publication: Value,
    content: Vec<u8>,
}

/// A publication of ten pieces, of which a peer has fetched from the first two.
fn seed() -> Seed {
    let server = Server::start();
    let token = server.token();
    let content: Vec<u8> = (0..40_960_u32).flat_map(u32::to_le_bytes).collect();
    let (status, publication) = server.publish(&token, &[], &[("a.bin", &content)]);
    assert_eq!(status, 201, "{publication}");
    assert_eq!(publication["piece_length"], PIECE);
    let seed = Seed {
        server,
        publication,
        content,
    };
    let mut peer = seed.peer();
    assert_eq!(peer.fetch(0, 0, 100), &seed.content[..100]);
    assert_eq!(peer.fetch(1, 0, 100), &seed.content[PIECE..PIECE + 100]);
    seed
}

impl Seed {
    fn newcomer(&self) -> ScriptedPeer {
        let info_hash = self.publication["info_hash_v1"].as_str().unwrap();
        let info_hash = InfoHash::from_hex(info_hash).unwrap();
        ScriptedPeer::greet(&self.server.address(), info_hash)
    }

    fn peer(&self) -> ScriptedPeer {
        let mut peer = self.newcomer();
        peer.become_unchoked();
        peer
    }

    fn stored(&self) -> PathBuf {
        let id = self.publication["id"].as_str().unwrap();
        self.server.folder().join("data/content").join(id).join("0")
    }

    /// The first bytes of a piece, once nothing is served any more that was checked before the change.
    fn asked_anew(&self, piece: u32) -> Option<Vec<u8>> {
        // Whoever meets the change first is hung up on, for what was read may be false.
        self.newcomer().try_fetch();
        let mut peer = self.peer();
        peer.request(piece, 0, 100);
        peer.next_that(|message| match message {
            Message::Piece { data, .. } => Some(Some(data.to_vec())),
            Message::Reject(_) => Some(None),
            _ => None,
        })
    }

    /// What the web seed answers when asked for the first bytes.
    fn web_seed_status(&self) -> String {
        let id = self.publication["id"].as_str().unwrap();
        let url = format!("{}/web-seed/{id}/a.bin", self.server.url);
        let answer = curl(&["-o", "/dev/null", "-w", "%{http_code}", "-r", "0-99", &url]);
        String::from_utf8(answer).unwrap()
    }

    fn page(&self) -> String {
        let id = self.publication["id"].as_str().unwrap();
        let page = get(&format!("{}/p/{id}", self.server.url));
        String::from_utf8(page).unwrap()
    }
}

#[test]
fn what_changed_is_served_by_no_door_and_the_page_says_so() {
    let seed = seed();
    assert_eq!(seed.web_seed_status(), "206");
    assert!(!seed.page().contains("Missing data"));
    let mut bytes = seed.content.clone();
    bytes[5] ^= 1;
    std::fs::write(seed.stored(), bytes).unwrap();

    assert_eq!(seed.asked_anew(0), None);
    let second = &seed.content[PIECE..PIECE + 100];
    assert_eq!(seed.asked_anew(1).as_deref(), Some(second));
    assert!(seed.web_seed_status().starts_with('5'));
    assert!(seed.page().contains("1 file fails the check"));
}

#[test]
fn a_file_that_was_cut_short_is_served_as_far_as_it_goes() {
    let seed = seed();
    let file = std::fs::File::options().write(true).open(seed.stored());
    file.unwrap().set_len(PIECE as u64 + 10).unwrap();
    assert_eq!(seed.asked_anew(1), None);
    assert_eq!(seed.asked_anew(0).as_deref(), Some(&seed.content[..100]));
    assert_eq!(seed.web_seed_status(), "206");
}

#[test]
fn a_file_that_was_only_touched_is_served_after_another_check() {
    let seed = seed();
    std::fs::write(seed.stored(), &seed.content).unwrap();
    assert_eq!(seed.asked_anew(0).as_deref(), Some(&seed.content[..100]));
    assert_eq!(seed.web_seed_status(), "206");
    assert!(!seed.page().contains("Missing data"));
}

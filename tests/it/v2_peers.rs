//! What the seed says to peers that speak v2: the names it answers to, and the hashes it gives (BEP 52).

use sower::proto::id::InfoHash;
use sower::proto::metainfo::info::InfoLimits;
use sower::proto::metainfo::merkle::Hash;
use sower::proto::metainfo::proof::{HashRequest, Proof};
use sower::proto::metainfo::torrent_file::TorrentFile;
use sower::proto::wire::handshake::Reserved;
use sower::proto::wire::message::{Message, RawHashes};

use crate::peer::ScriptedPeer;
use crate::support::{Server, get};

/// A folder of two files: one of 176 pieces of 64 KiB, and one of three blocks.
struct Seed {
    server: Server,
    torrent: TorrentFile,
    large: Vec<u8>,
}

fn seed(format: &str) -> Seed {
    let server = Server::start();
    let token = server.token();
    let large: Vec<u8> = (0..2_880_000_u32).flat_map(u32::to_le_bytes).collect();
    let (status, publication) = server.publish(
        &token,
        &[("format", format), ("title", "both")],
        &[("both/large", &large), ("both/small", &large[..40_000])],
    );
    assert_eq!(status, 201, "{publication}");
    let bytes = get(publication["torrent_url"].as_str().unwrap());
    let torrent = TorrentFile::parse(&bytes, &InfoLimits::default()).unwrap();
    assert_eq!(torrent.info.geometry.piece_length(), 64 * 1024);
    Seed {
        server,
        torrent,
        large,
    }
}

impl Seed {
    fn v2(&self) -> InfoHash {
        self.torrent.info.hashes.v2().unwrap().truncated()
    }

    fn peer(&self) -> ScriptedPeer {
        ScriptedPeer::greet_speaking(&self.server.address(), self.v2(), Reserved::OURS.with_v2())
    }

    fn root(&self, name: &str) -> Hash {
        let mut files = self.torrent.info.files.iter();
        let file = files.find(|file| file.path.file_name() == name).unwrap();
        file.pieces_root.unwrap()
    }

    fn asks(&self, name: &str, [row, index, length, proof_rows]: [u32; 4]) -> RawHashes {
        RawHashes {
            pieces_root: self.root(name),
            request: HashRequest {
                row,
                index,
                length,
                proof_rows,
            },
        }
    }
}

/// What the peer is told: hashes with what proves them, or nothing.
fn answer(peer: &mut ScriptedPeer, asked: RawHashes) -> Option<Proof> {
    peer.send(&Message::HashRequest(asked));
    next_answer(peer, asked)
}

fn next_answer(peer: &mut ScriptedPeer, asked: RawHashes) -> Option<Proof> {
    let hashes = peer.next_that(|message| match message {
        Message::Hashes { asked: of, hashes } if of == asked => Some(Some(hashes)),
        Message::HashReject(of) if of == asked => Some(None),
        _ => None,
    })?;
    let (hashes, rest) = hashes.as_chunks();
    assert!(rest.is_empty());
    let (hashes, uncles) = hashes.split_at(asked.request.length as usize);
    Some(Proof {
        hashes: hashes.to_vec(),
        uncles: uncles.to_vec(),
    })
}

#[test]
fn a_hybrid_is_served_under_both_names() {
    let seed = seed("hybrid");
    let v1 = seed.torrent.info.hashes.v1().unwrap();
    for info_hash in [v1, seed.v2()] {
        let mut peer = ScriptedPeer::greet(&seed.server.address(), info_hash);
        peer.become_unchoked();
        assert_eq!(peer.fetch(1, 0, 1000), &seed.large[65_536..66_536]);
    }
}

#[test]
fn whoever_speaks_v2_is_answered_with_the_v2_name_of_a_hybrid() {
    let seed = seed("hybrid");
    let v1 = seed.torrent.info.hashes.v1().unwrap();
    let address = seed.server.address();
    let (mut peer, theirs) = ScriptedPeer::connect(&address).greeted(v1, Reserved::OURS.with_v2());
    assert_eq!(theirs.info_hash, seed.v2());
    assert!(theirs.reserved.has_v2());
    peer.become_unchoked();
    assert_eq!(peer.fetch(0, 0, 100), &seed.large[..100]);

    let (_, theirs) = ScriptedPeer::connect(&address).greeted(v1, Reserved::OURS);
    assert_eq!(theirs.info_hash, v1);
}

#[test]
fn a_v2_torrent_is_served_and_its_damaged_piece_is_not() {
    let mut seed = seed("v2");
    seed.server.kill();
    let content = seed.server.folder().join("data/content");
    let mut folders = std::fs::read_dir(&content).unwrap();
    let file = folders
        .find_map(|entry| Some(entry.unwrap().path().join("0")).filter(|path| path.is_file()))
        .expect("the stored file");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[5] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    seed.server = seed.server.start_again();

    let mut peer = seed.peer();
    peer.become_unchoked();
    peer.request(0, 0, 100);
    let rejected = peer.next_that(|message| match message {
        Message::Reject(block) => Some(block.index),
        _ => None,
    });
    assert_eq!(rejected, 0);
    assert_eq!(peer.fetch(1, 5, 100), &seed.large[65_541..65_641]);
    let small = 176;
    assert_eq!(
        peer.fetch(small, 39_000, 1_000),
        &seed.large[39_000..40_000]
    );
    let leaves = seed.asks("large", [0, 0, 4, 8]);
    assert_eq!(answer(&mut peer, leaves), None, "of the damaged piece");
}

#[test]
fn hashes_of_every_row_are_proven() {
    for format in ["hybrid", "v2"] {
        let seed = seed(format);
        let mut peer = seed.peer();
        // 176 pieces make a tree of ten rows: two below the pieces, and eight from there to the root.
        for asked in [
            [2, 0, 128, 7],
            [2, 128, 128, 7],
            [2, 0, 256, 0],
            [2, 174, 2, 7],
            [5, 0, 4, 4],
            [0, 0, 4, 9],
            [0, 700, 4, 9],
            [0, 698, 2, 9],
            [1, 350, 2, 8],
        ] {
            let asked = seed.asks("large", asked);
            let proof = answer(&mut peer, asked).expect("there are such hashes");
            assert_eq!(
                proof.root(&asked.request),
                Some(asked.pieces_root),
                "{asked:?}"
            );
        }
        let of_one_piece = seed.asks("small", [0, 0, 4, 1]);
        let proof = answer(&mut peer, of_one_piece).expect("there are such hashes");
        assert_eq!(
            proof.root(&of_one_piece.request),
            Some(of_one_piece.pieces_root)
        );
        assert_eq!(proof.hashes[3], [0; 32], "past the file's end");
    }
}

#[test]
fn hashes_that_are_not_there_are_rejected() {
    let seed = seed("v2");
    let mut peer = seed.peer();
    for refused in [
        [2, 256, 128, 7],
        [2, 0, 3, 7],
        [2, 1, 2, 7],
        [2, 0, 512, 7],
        [2, 0, 128, 8],
        [10, 0, 2, 0],
        [0, 704, 4, 9],
        [0, 0, 8, 9],
        [1, u32::MAX - 1, 2, 8],
        [u32::MAX, 0, 2, 0],
        [0, 0, 0, 0],
        [2, 0, 1 << 31, 7],
        [0, 0, 4, u32::MAX],
    ] {
        assert_eq!(
            answer(&mut peer, seed.asks("large", refused)),
            None,
            "{refused:?}"
        );
    }
    for refused in [[0, 4, 4, 1], [0, 0, 4, 2], [2, 0, 2, 0]] {
        assert_eq!(
            answer(&mut peer, seed.asks("small", refused)),
            None,
            "{refused:?}"
        );
    }
    let mut unknown = seed.asks("large", [2, 0, 128, 7]);
    unknown.pieces_root[3] ^= 1;
    assert_eq!(answer(&mut peer, unknown), None);
    assert!(answer(&mut peer, seed.asks("large", [2, 0, 128, 7])).is_some());
}

#[test]
fn hashes_are_not_given_without_end() {
    let seed = seed("v2");
    let mut peer = seed.peer();
    let asked = seed.asks("large", [2, 0, 256, 0]);
    let given = (0..10).filter(|_| answer(&mut peer, asked).is_some());
    assert!((1..5).contains(&given.count()));
    assert!(answer(&mut seed.peer(), asked).is_some(), "to another peer");
}

#[test]
fn each_of_many_requests_for_hashes_is_answered_once() {
    let seed = seed("v2");
    let mut peer = seed.peer();
    let asked: Vec<_> = (0..88)
        .map(|at| seed.asks("large", [2, 2 * at, 2, 7]))
        .collect();
    for asked in &asked {
        peer.send(&Message::HashRequest(*asked));
    }
    let mut answered = Vec::new();
    while answered.len() < asked.len() {
        answered.push(peer.next_that(|message| match message {
            Message::Hashes { asked, .. } | Message::HashReject(asked) => Some(asked),
            _ => None,
        }));
    }
    answered.sort_by_key(|asked| asked.request.index);
    assert_eq!(answered, asked);
}

#[test]
fn a_v1_torrent_has_no_hashes_to_give() {
    let server = Server::start();
    let token = server.token();
    let (_, publication) = server.publish(&token, &[], &[("a", b"content")]);
    let info_hash = InfoHash::from_hex(publication["info_hash_v1"].as_str().unwrap()).unwrap();
    let mut peer = ScriptedPeer::greet(&server.address(), info_hash);
    let asked = RawHashes {
        pieces_root: [7; 32],
        request: HashRequest {
            row: 0,
            index: 0,
            length: 2,
            proof_rows: 0,
        },
    };
    assert_eq!(answer(&mut peer, asked), None);
}

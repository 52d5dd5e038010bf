//! What the seed says to peers, and what it does with those who break the rules (HARDENING, peer wire).

use bytes::Bytes;
use sower::proto::id::InfoHash;
use sower::proto::wire::extension::{EXTENSION_HANDSHAKE, ExtensionHandshake, MetadataMessage};
use sower::proto::wire::handshake::Reserved;
use sower::proto::wire::message::{Message, RawBlock};

use crate::peer::ScriptedPeer;
use crate::support::Server;

/// A server with one publication of many pieces.
pub(crate) struct Seed {
    pub(crate) server: Server,
    pub(crate) info_hash: InfoHash,
    pub(crate) content: Vec<u8>,
    pub(crate) piece_length: u32,
}

fn seed() -> Seed {
    seed_with(&[])
}

pub(crate) fn seed_with(environment: &[(&str, &str)]) -> Seed {
    let server = Server::start_with(environment);
    let token = server.token();
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let (status, publication) = server.publish(&token, &[], &[("content.bin", &content)]);
    assert_eq!(status, 201, "{publication}");
    let info_hash = InfoHash::from_hex(publication["info_hash_v1"].as_str().unwrap()).unwrap();
    let piece_length = u32::try_from(publication["piece_length"].as_u64().unwrap()).unwrap();
    Seed {
        server,
        info_hash,
        content,
        piece_length,
    }
}

impl Seed {
    pub(crate) fn peer(&self) -> ScriptedPeer {
        ScriptedPeer::greet(&self.server.address(), self.info_hash)
    }

    /// After whatever else happened, an honest peer still gets its blocks.
    pub(crate) fn serves_an_honest_peer(&self) {
        let mut peer = self.peer();
        peer.become_unchoked();
        let begin = 16_384.min(self.piece_length - 1_000);
        let at = (self.piece_length + begin) as usize;
        assert_eq!(peer.fetch(1, begin, 1_000), &self.content[at..at + 1_000]);
    }
}

#[test]
fn a_peer_with_fast_hears_have_all_and_one_without_a_bitfield() {
    let seed = seed();
    assert_eq!(seed.peer().next(), Some(Message::HaveAll));
    let mut plain =
        ScriptedPeer::greet_speaking(&seed.server.address(), seed.info_hash, Reserved::default());
    let Some(Message::Bitfield(bits)) = plain.next() else {
        panic!("no bitfield")
    };
    let pieces = seed.content.len().div_ceil(seed.piece_length as usize);
    assert_eq!(bits.len(), pieces.div_ceil(8));
    assert_eq!(
        bits.iter()
            .map(|byte| byte.count_ones() as usize)
            .sum::<usize>(),
        pieces
    );
}

#[test]
fn every_byte_can_be_fetched() {
    let seed = seed();
    let mut peer = seed.peer();
    peer.become_unchoked();
    let mut fetched = Vec::new();
    while fetched.len() < seed.content.len() {
        let index = u32::try_from(fetched.len()).unwrap() / seed.piece_length;
        let begin = u32::try_from(fetched.len()).unwrap() % seed.piece_length;
        let left = u32::try_from(seed.content.len() - fetched.len()).unwrap();
        fetched.extend(peer.fetch(
            index,
            begin,
            left.min(16_384).min(seed.piece_length - begin),
        ));
    }
    assert!(fetched == seed.content, "the bytes differ");
}

#[test]
fn requests_while_choked_are_rejected_and_answered_after_unchoke() {
    let seed = seed();
    let mut peer = seed.peer();
    peer.request(0, 0, 100);
    let reject = peer.next_that(|message| match message {
        Message::Reject(block) => Some(block),
        _ => None,
    });
    assert_eq!(
        reject,
        RawBlock {
            index: 0,
            begin: 0,
            length: 100
        }
    );
    peer.become_unchoked();
    assert_eq!(peer.fetch(0, 0, 100), &seed.content[..100]);
}

#[test]
fn requests_out_of_range_close_the_connection_and_nobody_else() {
    let seed = seed();
    for (index, begin, length) in [
        (u32::MAX, 0, 16_384),
        (0, u32::MAX, 16_384),
        (0, u32::MAX - 100, 16_384),
        (0, 0, u32::MAX),
        (0, 0, 0),
        (0, 0, 200_000),
        (0, seed.piece_length, 1),
    ] {
        let mut peer = seed.peer();
        peer.become_unchoked();
        peer.request(index, begin, length);
        assert!(peer.is_closed(), "{index} {begin} {length}");
    }
    seed.serves_an_honest_peer();
}

#[test]
fn broken_frames_close_the_connection_and_nobody_else() {
    let seed = seed();
    for bytes in [
        &b"\xff\xff\xff\xff\x07"[..],
        b"\0\0\0\x02\x05\xff",
        b"\0\0\0\x05\x04\xff\xff\xff\xff",
        b"\0\0\0\x01\x06",
        b"\0\x10\0\0\x14",
    ] {
        let mut peer = seed.peer();
        peer.say(bytes);
        assert!(peer.is_closed(), "{bytes:?}");
    }
    seed.serves_an_honest_peer();
}

#[test]
fn unsolicited_blocks_and_unknown_messages_are_passed_over() {
    let seed = seed();
    let mut peer = seed.peer();
    peer.send(&Message::Piece {
        index: 0,
        begin: 0,
        data: Bytes::from_static(&[7; 1000]),
    });
    peer.send(&Message::Unknown(99));
    peer.send(&Message::Port(6881));
    peer.send(&Message::Extended {
        id: 77,
        payload: Bytes::from_static(b"whatever"),
    });
    peer.send(&Message::Extended {
        id: 1,
        payload: Bytes::from_static(b"d8:msg_typei1e5:piecei0ee"),
    });
    peer.become_unchoked();
    assert_eq!(peer.fetch(0, 0, 5), &seed.content[..5]);
}

#[test]
fn unknown_torrents_and_other_protocols_are_closed() {
    // What could be the beginning of an encrypted handshake is waited for that long.
    let seed = seed_with(&[("SOWER_PEER__HANDSHAKE_TIMEOUT", "1")]);
    let mut stranger = ScriptedPeer::connect(&seed.server.address());
    stranger
        .say(b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0aaaaaaaaaaaaaaaaaaaa-XX0001-scriptedpeer");
    assert!(stranger.is_closed());
    for noise in [
        &b"\x16\x03\x01\x02\0\x01"[..],
        b"\0\0\0\0\0\0",
        b"\x13NotBitTorrent at all, no",
    ] {
        let mut peer = ScriptedPeer::connect(&seed.server.address());
        peer.say(noise);
        assert!(peer.is_closed(), "{noise:?}");
    }
    seed.serves_an_honest_peer();
}

#[test]
fn requests_beyond_the_queue_are_rejected_not_kept() {
    let seed = seed_with(&[("SOWER_PEER__MAX_REQUESTS", "4")]);
    let mut peer = seed.peer();
    peer.become_unchoked();
    let mut requests = bytes::BytesMut::new();
    for _ in 0..200 {
        Message::Request(RawBlock {
            index: 0,
            begin: 0,
            length: 16,
        })
        .encode(&mut requests);
    }
    peer.say(&requests);
    let (mut blocks, mut rejects) = (0, 0);
    while blocks + rejects < 200 {
        match peer.next().unwrap() {
            Message::Piece { .. } => blocks += 1,
            Message::Reject(_) => rejects += 1,
            _ => {}
        }
    }
    assert!(
        blocks >= 4 && rejects > 0,
        "{blocks} blocks, {rejects} rejects"
    );
}

#[test]
fn a_peer_that_cannot_be_told_no_is_served_in_full() {
    let seed = seed_with(&[("SOWER_PEER__MAX_REQUESTS", "4")]);
    let mut plain =
        ScriptedPeer::greet_speaking(&seed.server.address(), seed.info_hash, Reserved::default());
    plain.become_unchoked();
    let mut requests = bytes::BytesMut::new();
    for begin in 0..200 {
        let block = RawBlock {
            index: 0,
            begin,
            length: 16,
        };
        Message::Request(block).encode(&mut requests);
    }
    plain.say(&requests);
    for expected in 0..200 {
        let begin = plain.next_that(|message| match message {
            Message::Piece { begin, .. } => Some(begin),
            _ => None,
        });
        assert_eq!(begin, expected);
    }
}

#[test]
fn metadata_comes_whole_and_not_without_end() {
    let seed = seed();
    let mut peer = seed.peer();
    let ours = ExtensionHandshake {
        metadata_id: Some(9),
        ..ExtensionHandshake::default()
    };
    let theirs = peer.next_that(|message| match message {
        Message::Extended {
            id: EXTENSION_HANDSHAKE,
            payload,
        } => ExtensionHandshake::decode(&payload),
        _ => None,
    });
    let ask = |piece: u32| Message::Extended {
        id: theirs.metadata_id.unwrap(),
        payload: MetadataMessage::Request { piece }.encode(),
    };
    let answer = |peer: &mut ScriptedPeer| {
        peer.next_that(|message| match message {
            Message::Extended { id: 9, payload } => MetadataMessage::decode(&payload),
            _ => None,
        })
    };
    peer.send(&Message::Extended {
        id: EXTENSION_HANDSHAKE,
        payload: ours.encode(),
    });
    peer.send(&ask(0));
    let MetadataMessage::Data {
        data, total_size, ..
    } = answer(&mut peer)
    else {
        panic!("no data")
    };
    assert!(theirs.is_upload_only && theirs.max_requests == Some(500));
    assert_eq!(theirs.your_ip, Some([127, 0, 0, 1].into()));
    assert_eq!(data.len() as u64, total_size);
    assert_eq!(Some(total_size), theirs.metadata_size);
    assert_eq!(InfoHash::of_v1(&data), seed.info_hash);

    peer.send(&ask(1));
    assert_eq!(answer(&mut peer), MetadataMessage::Reject { piece: 1 });
    let fetched_again = (0..10).filter(|_| {
        peer.send(&ask(0));
        matches!(answer(&mut peer), MetadataMessage::Data { .. })
    });
    assert!(
        fetched_again.count() < 10,
        "the dictionary is given without end"
    );
}

#[test]
fn a_damaged_piece_is_sent_to_nobody_and_the_rest_is() {
    let mut seed = seed();
    seed.server.kill();
    let content = seed.server.folder().join("data/content");
    let file = std::fs::read_dir(&content)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("0"))
        .find(|path| path.is_file())
        .expect("the stored file");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[5] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    seed.server = seed.server.start_again();

    let mut peer = seed.peer();
    peer.become_unchoked();
    peer.request(0, 0, 100);
    peer.request(1, 0, 100);
    let (mut rejected, mut served) = (None, None);
    while rejected.is_none() || served.is_none() {
        match peer.next().unwrap() {
            Message::Reject(block) => rejected = Some(block.index),
            Message::Piece { index, .. } => served = Some(index),
            _ => {}
        }
    }
    assert_eq!((rejected, served), (Some(0), Some(1)));
}

#[test]
fn silent_sockets_do_not_keep_a_good_peer_out() {
    let seed = seed();
    let _silent: Vec<_> = (0..20)
        .map(|_| ScriptedPeer::connect(&seed.server.address()))
        .collect();
    #[expect(clippy::disallowed_methods, reason = "the test measures a real wait")]
    let before = std::time::Instant::now();
    seed.serves_an_honest_peer();
    assert!(
        before.elapsed().as_secs_f64() < 1.0,
        "a good peer waited {:?}",
        before.elapsed()
    );
}

#[test]
fn a_crowd_from_one_address_displaces_nobody_else() {
    let seed = seed_with(&[("SOWER_PEER__CONNECTIONS_PER_ADDRESS", "4")]);
    let _crowd: Vec<_> = (0..4).map(|_| seed.peer()).collect();
    let mut refused = ScriptedPeer::connect(&seed.server.address());
    refused.say(b"\x13BitTorrent protocol");
    assert!(refused.is_closed());
    let mut elsewhere =
        ScriptedPeer::greet_from("127.0.0.2", &seed.server.address(), seed.info_hash);
    elsewhere.become_unchoked();
    assert_eq!(elsewhere.fetch(0, 0, 10), &seed.content[..10]);
}

//! How fast content leaves, and who gets a place (`peer.upload_rate`, `peer.connections`).

use std::time::Duration;

use sower::proto::id::InfoHash;
use sower::proto::wire::message::{Message, RawBlock};

use crate::peer::ScriptedPeer;
use crate::support::Server;

const BLOCK: u32 = 16 * 1024;

/// A publication of 128 blocks.
fn publish(environment: &[(&str, &str)]) -> (Server, InfoHash) {
    let server = Server::start_with(environment);
    let token = server.token();
    let content = vec![7; 128 * BLOCK as usize];
    let (status, publication) = server.publish(&token, &[], &[("a.bin", &content)]);
    assert_eq!(status, 201, "{publication}");
    let info_hash = InfoHash::from_hex(publication["info_hash_v1"].as_str().unwrap()).unwrap();
    (server, info_hash)
}

fn peer(server: &Server, info_hash: InfoHash, ip: &str) -> ScriptedPeer {
    let mut peer = ScriptedPeer::greet_from(ip, &server.address(), info_hash);
    peer.become_unchoked();
    peer
}

fn ask_for(peer: &mut ScriptedPeer, blocks: u32) {
    for index in 0..blocks {
        peer.request(index, 0, BLOCK);
    }
}

fn take(peer: &mut ScriptedPeer, blocks: u32) {
    for _ in 0..blocks {
        peer.next_that(|message| matches!(message, Message::Piece { .. }).then_some(()));
    }
}

/// How long that takes.
fn timed(work: impl FnOnce()) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the test measures a real rate")]
    let before = std::time::Instant::now();
    work();
    before.elapsed()
}

#[test]
fn all_peers_together_get_the_rate_and_share_it() {
    let (server, info_hash) = publish(&[("SOWER_PEER__UPLOAD_RATE", "1000000")]);
    let mut peers = [
        peer(&server, info_hash, "127.0.0.2"),
        peer(&server, info_hash, "127.0.0.3"),
    ];
    // 64 blocks are a second of the rate; a tenth of a second may be in advance, and the last blocks owe.
    let took = timed(|| {
        for peer in &mut peers {
            ask_for(peer, 32);
        }
        for peer in &mut peers {
            take(peer, 32);
        }
    });
    assert!(
        (0.7..5.0).contains(&took.as_secs_f64()),
        "64 blocks took {took:?}"
    );
}

#[test]
fn a_torrent_has_a_rate_of_its_own() {
    let (server, info_hash) = publish(&[("SOWER_PEER__UPLOAD_RATE_PER_TORRENT", "1000000")]);
    let mut peer = peer(&server, info_hash, "127.0.0.2");
    let took = timed(|| {
        ask_for(&mut peer, 64);
        take(&mut peer, 64);
    });
    assert!(took.as_secs_f64() > 0.7, "64 blocks took {took:?}");
}

#[test]
fn a_network_at_its_rate_slows_down_nobody_else() {
    let (server, info_hash) = publish(&[("SOWER_PEER__UPLOAD_RATE_PER_NETWORK", "100000")]);
    let mut greedy = peer(&server, info_hash, "127.0.0.2");
    ask_for(&mut greedy, 128);
    take(&mut greedy, 2);
    let took = timed(|| {
        let mut other = peer(&server, info_hash, "127.0.0.3");
        ask_for(&mut other, 1);
        take(&mut other, 1);
    });
    assert!(took.as_secs_f64() < 1.0, "a block took {took:?}");
}

#[test]
fn what_waits_for_the_rate_can_be_taken_back() {
    let (server, info_hash) = publish(&[("SOWER_PEER__UPLOAD_RATE", "50000")]);
    let mut peer = peer(&server, info_hash, "127.0.0.2");
    ask_for(&mut peer, 128);
    take(&mut peer, 1);
    for index in 1..128 {
        peer.send(&Message::Cancel(RawBlock {
            index,
            begin: 0,
            length: BLOCK,
        }));
    }
    let mut answered = 1;
    let took = timed(|| {
        while answered < 128 {
            peer.next_that(|message| {
                matches!(message, Message::Piece { .. } | Message::Reject(_)).then_some(())
            });
            answered += 1;
        }
    });
    assert!(
        took.as_secs_f64() < 10.0,
        "128 blocks at this rate take 40 s"
    );
}

#[test]
fn who_wants_nothing_makes_room_and_who_wants_something_does_not_for_the_same() {
    let (server, info_hash) = publish(&[
        ("SOWER_PEER__CONNECTIONS", "2"),
        ("SOWER_PEER__IDLE_PATIENCE", "0"),
    ]);
    let mut busy = peer(&server, info_hash, "127.0.0.2");
    let mut idle = ScriptedPeer::greet_from("127.0.0.3", &server.address(), info_hash);
    // It has heard from us, so it has its place.
    assert!(idle.next().is_some());
    let mut newcomer = peer(&server, info_hash, "127.0.0.4");
    assert!(idle.is_closed());
    for peer in [&mut busy, &mut newcomer] {
        ask_for(peer, 1);
        take(peer, 1);
    }
}

#[test]
fn a_full_torrent_leaves_the_places_of_others_alone() {
    let (server, info_hash) = publish(&[
        ("SOWER_PEER__CONNECTIONS_PER_TORRENT", "3"),
        ("SOWER_PEER__UPLOAD_SLOTS", "100"),
    ]);
    let token = server.token_for("grace");
    let (status, publication) = server.publish(&token, &[], &[("b.bin", &[8; 70_000])]);
    assert_eq!(status, 201, "{publication}");
    let other = InfoHash::from_hex(publication["info_hash_v1"].as_str().unwrap()).unwrap();
    let mut elsewhere = peer(&server, other, "127.0.0.2");
    let mut crowd: Vec<_> = (3..13)
        .map(|n| {
            let mut peer =
                ScriptedPeer::greet_from(&format!("127.0.0.{n}"), &server.address(), info_hash);
            // The first word, or none: either way it is decided who has a place.
            peer.next();
            peer
        })
        .collect();
    ask_for(&mut elsewhere, 1);
    take(&mut elsewhere, 1);
    let fetched = crowd.iter_mut().filter_map(ScriptedPeer::try_fetch);
    assert_eq!(fetched.count(), 3);
}

#[test]
fn rates_and_slots_follow_the_configuration_while_the_server_runs() {
    let (server, info_hash) = publish(&[]);
    let slow = "[peer]\nupload_rate = 1000\nupload_slots = 1\n";
    server.configure(slow, "from now on peer.", 2);
    let mut one = peer(&server, info_hash, "127.0.0.2");
    let mut other = ScriptedPeer::greet_from("127.0.0.3", &server.address(), info_hash);
    other.send(&Message::Interested);
    ask_for(&mut one, 20);
    take(&mut one, 1);

    server.configure("[peer]\nupload_slots = \"many\"\n", "stays as it was", 1);
    server.configure("listen = \"127.0.0.1:1\"\n", "from now on peer.", 4);
    let took = timed(|| {
        take(&mut one, 19);
        other.next_that(|message| (message == Message::Unchoke).then_some(()));
    });
    assert!(took.as_secs() < 10, "it took {took:?}");
    // The port is another one only after a restart.
    peer(&server, info_hash, "127.0.0.4");
}

#[test]
fn where_slots_are_found_by_trying_there_are_some_from_the_start() {
    let (server, info_hash) = publish(&[("SOWER_PEER__UPLOAD_SLOTS", "0")]);
    let mut peers: Vec<_> = (2..10)
        .map(|host| peer(&server, info_hash, &format!("127.0.0.{host}")))
        .collect();
    for peer in &mut peers {
        ask_for(peer, 1);
        take(peer, 1);
    }
}

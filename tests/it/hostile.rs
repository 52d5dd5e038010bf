//! Peers that mean harm, against the real server: whatever they do, an honest peer still gets its pieces (HARDENING, peer wire).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sower::proto::wire::extension::{EXTENSION_HANDSHAKE, ExtensionHandshake};
use sower::proto::wire::handshake::Reserved;
use sower::proto::wire::message::{Message, RawBlock};
use sower::proto::wire::peer_exchange::{Contact, PeerExchange, PeerFlags};

use crate::peer::ScriptedPeer;
use crate::support::wait_for;
use crate::wire::{Seed, seed_with};

const BLOCK: u32 = 16 * 1024;

impl Seed {
    /// The beginning of a handshake that asks for the torrent.
    fn greeting(&self) -> Vec<u8> {
        let mut greeting = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04".to_vec();
        greeting.extend(self.info_hash.as_bytes());
        greeting.extend(b"-XX0000-abcdefghijkl");
        greeting
    }
}

#[test]
fn handshakes_that_stop_anywhere_have_an_end() {
    let seed = seed_with(&[
        ("SOWER_PEER__HANDSHAKE_TIMEOUT", "1"),
        ("SOWER_DOOR__FIRST_BYTE_TIMEOUT", "1"),
    ]);
    let greeting = seed.greeting();
    let mut halves: Vec<_> = [0, 1, 19, 20, 27, 28, 47, 48, 60, 67]
        .map(|length| {
            let mut peer = ScriptedPeer::connect(&seed.server.address());
            peer.say(&greeting[..length]);
            peer
        })
        .into();
    seed.serves_an_honest_peer();
    for half in &mut halves {
        assert!(half.is_closed());
    }
}

#[test]
fn a_handshake_in_dribs_has_the_same_time_as_one_in_silence() {
    let seed = seed_with(&[
        ("SOWER_PEER__HANDSHAKE_TIMEOUT", "1"),
        ("SOWER_DOOR__FIRST_BYTE_TIMEOUT", "1"),
    ]);
    let mut dribbling = TcpStream::connect(seed.server.address()).unwrap();
    // Two deadlines of a second; all of it would take seven.
    let between = Duration::from_millis(100);
    dribbling.set_read_timeout(Some(between)).unwrap();
    let closed = seed.greeting().into_iter().position(|byte| {
        let is_written = dribbling.write_all(&[byte]).is_ok();
        // What it hears, besides the end, is our handshake.
        let heard = dribbling.read(&mut [0; 1_000]);
        !is_written
            || match heard {
                Ok(count) => count == 0,
                Err(error) => error.kind() == ErrorKind::ConnectionReset,
            }
    });
    assert!(closed.is_some_and(|bytes| bytes < 40), "{closed:?}");
    seed.serves_an_honest_peer();
}

#[test]
fn a_thousand_connections_from_one_address_displace_nobody() {
    let seed = seed_with(&[]);
    let mut guest = ScriptedPeer::greet_from("127.0.0.2", &seed.server.address(), seed.info_hash);
    guest.become_unchoked();
    let greeting = seed.greeting();
    let crowd: Vec<_> = (0..1_000)
        .map(|_| {
            let mut stream = TcpStream::connect(seed.server.address()).unwrap();
            // Some are refused before they have said it.
            let _ = stream.write_all(&greeting);
            stream
        })
        .collect();
    assert_eq!(guest.fetch(0, 0, 10), &seed.content[..10]);
    let mut newcomer =
        ScriptedPeer::greet_from("127.0.0.3", &seed.server.address(), seed.info_hash);
    newcomer.become_unchoked();
    assert_eq!(newcomer.fetch(1, 0, 10).len(), 10);
    // 32 from one address, as the configuration has it, and the two.
    assert!(seed.server.metric("sower_peer_connections") <= 34);
    drop(crowd);
}

#[test]
fn frames_beyond_their_bound_close_the_connection_and_take_no_memory() {
    let seed = seed_with(&[]);
    seed.serves_an_honest_peer();
    let before = seed.server.peak_memory();
    for kind in 0..=30 {
        for length in [2_u32.pow(18), 2_u32.pow(30), u32::MAX] {
            let mut peer = seed.peer();
            peer.say(&length.to_be_bytes());
            peer.say(&[kind]);
            assert!(peer.is_closed(), "kind {kind}, {length} bytes");
        }
    }
    let grown = seed.server.peak_memory().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
    seed.serves_an_honest_peer();
}

#[test]
fn bitfields_that_do_not_fit_close_the_connection() {
    let seed = seed_with(&[]);
    let pieces = seed.content.len().div_ceil(seed.piece_length as usize);
    assert_ne!(pieces % 8, 0, "there are spare bits");
    let length = pieces.div_ceil(8);
    let mut with_a_spare_bit = vec![0; length];
    with_a_spare_bit[length - 1] = 1;
    for bits in [
        vec![],
        vec![0; length - 1],
        vec![0; length + 1],
        with_a_spare_bit,
    ] {
        let mut peer = seed.peer();
        peer.send(&Message::Bitfield(Bytes::from(bits.clone())));
        assert!(peer.is_closed(), "{bits:?}");
    }
    let pieces = u32::try_from(pieces).unwrap();
    for message in [
        Message::Have(pieces),
        Message::SuggestPiece(pieces),
        Message::AllowedFast(u32::MAX),
    ] {
        let mut peer = seed.peer();
        peer.send(&message);
        assert!(peer.is_closed(), "{message:?}");
    }
    let mut plain =
        ScriptedPeer::greet_speaking(&seed.server.address(), seed.info_hash, Reserved::default());
    plain.send(&Message::HaveNone);
    assert!(plain.is_closed(), "Fast was not agreed");
    seed.serves_an_honest_peer();
}

#[test]
fn whoever_goes_on_asking_for_what_is_refused_is_left() {
    let seed = seed_with(&[("SOWER_PEER__MAX_REFUSALS", "100")]);
    let mut insistent = seed.peer();
    let mut requests = BytesMut::new();
    let block = RawBlock {
        index: 0,
        begin: 0,
        length: BLOCK,
    };
    (0..200).for_each(|_| Message::Request(block).encode(&mut requests));
    insistent.say(&requests);
    assert!(insistent.is_closed());
    assert!(seed.server.metric("sower_peer_requests_rejected_total") <= 101);
    seed.serves_an_honest_peer();
}

#[test]
fn whoever_reads_nothing_is_cut_and_its_memory_given_back() {
    let seed = seed_with(&[("SOWER_PEER__WRITE_TIMEOUT", "1")]);
    seed.serves_an_honest_peer();
    let before = seed.server.memory();
    let deaf: Vec<_> = (0..20)
        .map(|_| {
            let mut peer = seed.peer();
            peer.become_unchoked();
            // Several times what the system takes for a socket.
            let mut requests = BytesMut::new();
            for number in 0..500 {
                let index = number % 64;
                Message::Request(RawBlock {
                    index,
                    begin: 0,
                    length: BLOCK.min(seed.piece_length),
                })
                .encode(&mut requests);
            }
            peer.say(&requests);
            peer
        })
        .collect();
    seed.serves_an_honest_peer();
    wait_for("the deaf to be cut", || {
        (seed.server.metric("sower_peer_connections") == 0).then_some(())
    });
    let grown = seed.server.peak_memory().saturating_sub(before);
    assert!(grown < 20 << 20, "{grown} bytes more for 20 peers");
    drop(deaf);
    seed.serves_an_honest_peer();
}

#[test]
fn a_slot_goes_round() {
    let seed = seed_with(&[
        ("SOWER_PEER__UPLOAD_SLOTS", "1"),
        ("SOWER_PEER__SLOT_TURN", "1"),
    ]);
    let mut greedy = ScriptedPeer::greet_from("127.0.0.2", &seed.server.address(), seed.info_hash);
    greedy.become_unchoked();
    greedy.request(0, 0, 100);
    let mut waiting = ScriptedPeer::greet_from("127.0.0.3", &seed.server.address(), seed.info_hash);
    // The greedy one never lets go of it.
    waiting.become_unchoked();
    assert_eq!(waiting.fetch(0, 0, 100), &seed.content[..100]);
    greedy.next_that(|message| (message == Message::Choke).then_some(()));
}

#[test]
fn extension_messages_out_of_their_bounds_are_passed_over() {
    let seed = seed_with(&[]);
    let mut peer = seed.peer();
    let greeting = ExtensionHandshake {
        metadata_id: Some(9),
        ..ExtensionHandshake::default()
    };
    let deep = [vec![b'l'; 60_000], vec![b'e'; 60_000]].concat();
    for (id, payload) in [
        (EXTENSION_HANDSHAKE, Bytes::from(deep.clone())),
        (EXTENSION_HANDSHAKE, Bytes::new()),
        (EXTENSION_HANDSHAKE, greeting.encode()),
        (1, Bytes::from(deep)),
        (1, Bytes::from_static(b"d8:msg_typei0e5:piecei-1ee")),
        (
            1,
            Bytes::from_static(b"d8:msg_typei0e5:piecei99999999999999999999ee"),
        ),
        (1, Bytes::from_static(b"d8:msg_typei2e5:piecei0ee")),
        (1, Bytes::from_static(b"d8:msg_typei0e5:piecei4294967295ee")),
    ] {
        peer.send(&Message::Extended { id, payload });
    }
    // The last was a question in good order, for what is not there.
    let answer = peer.next_that(|message| match message {
        Message::Extended { id: 9, payload } => Some(payload),
        _ => None,
    });
    assert_eq!(answer, &b"d8:msg_typei2e5:piecei4294967295ee"[..]);
    peer.become_unchoked();
    assert_eq!(peer.fetch(0, 0, 10), &seed.content[..10]);
}

#[test]
fn the_seed_calls_nobody_whom_peers_name() {
    let seed = seed_with(&[]);
    let victim = TcpListener::bind("127.0.0.1:0").unwrap();
    victim.set_nonblocking(true).unwrap();
    let mut peer = seed.peer();
    let contact = |port| Contact {
        address: SocketAddr::new([127, 0, 0, 1].into(), port),
        flags: PeerFlags::default(),
    };
    let named = PeerExchange {
        added: vec![contact(victim.local_addr().unwrap().port()); 200],
        dropped: vec![],
    };
    for _ in 0..20 {
        peer.send(&Message::Extended {
            id: 2,
            payload: named.encode(),
        });
    }
    peer.become_unchoked();
    assert_eq!(peer.fetch(0, 0, 10), &seed.content[..10]);
    seed.serves_an_honest_peer();
    let called = victim.accept().map_err(|error| error.kind());
    assert_eq!(called.map(|_| ()), Err(ErrorKind::WouldBlock));
}

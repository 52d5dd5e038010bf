//! The seed introduces the peers of a torrent to each other (BEP 11).

use std::net::SocketAddr;
use std::num::NonZeroU16;

use sower::proto::id::InfoHash;
use sower::proto::wire::extension::{EXTENSION_HANDSHAKE, ExtensionHandshake, MetadataMessage};
use sower::proto::wire::message::Message;
use sower::proto::wire::peer_exchange::{PeerExchange, PeerFlags};

use crate::peer::ScriptedPeer;
use crate::support::Server;

/// The numbers that the scripted peers give `ut_pex` and `ut_metadata`.
const PEX: u8 = 3;
const METADATA: u8 = 4;

fn publish(environment: &[(&str, &str)], fields: &[(&str, &str)]) -> (Server, InfoHash) {
    let server = Server::start_with(environment);
    let token = server.token();
    let (status, publication) = server.publish(&token, fields, &[("a.bin", &[7; 50_000])]);
    assert_eq!(status, 201, "{publication}");
    let info_hash = InfoHash::from_hex(publication["info_hash_v1"].as_str().unwrap()).unwrap();
    (server, info_hash)
}

/// A peer at that address of the loopback which says that it listens at `port`, and wants to be told of others.
fn peer(server: &Server, info_hash: InfoHash, ip: &str, port: u16) -> ScriptedPeer {
    let mut peer = ScriptedPeer::greet_from(ip, &server.address(), info_hash);
    let ours = ExtensionHandshake {
        metadata_id: Some(METADATA),
        peer_exchange_id: Some(PEX),
        port: NonZeroU16::new(port),
        prefers_encryption: true,
        ..ExtensionHandshake::default()
    };
    peer.send(&Message::Extended {
        id: EXTENSION_HANDSHAKE,
        payload: ours.encode(),
    });
    peer
}

fn next_told(peer: &mut ScriptedPeer) -> PeerExchange {
    peer.next_that(|message| match message {
        Message::Extended { id: PEX, payload } => PeerExchange::decode(&payload),
        _ => None,
    })
}

/// Whether the peer has been told of nobody: an answer to something else comes, and nothing before it.
fn is_told_nothing(peer: &mut ScriptedPeer) -> bool {
    peer.send(&Message::Extended {
        id: 1,
        payload: MetadataMessage::Request { piece: 0 }.encode(),
    });
    peer.next_that(|message| match message {
        Message::Extended { id: PEX, .. } => Some(false),
        Message::Extended { id: METADATA, .. } => Some(true),
        _ => None,
    })
}

fn addresses(told: &PeerExchange) -> Vec<SocketAddr> {
    told.added.iter().map(|contact| contact.address).collect()
}

#[test]
fn two_peers_that_know_the_seed_alone_hear_of_each_other() {
    let (server, info_hash) = publish(&[], &[]);
    let mut first = peer(&server, info_hash, "127.0.0.2", 7001);
    assert!(is_told_nothing(&mut first));
    let mut second = peer(&server, info_hash, "127.0.0.3", 7002);
    let told = next_told(&mut second);
    assert_eq!(addresses(&told), ["127.0.0.2:7001".parse().unwrap()]);
    assert_eq!(told.added[0].flags.0, PeerFlags::PREFERS_ENCRYPTION);
    let told = next_told(&mut first);
    assert_eq!(addresses(&told), ["127.0.0.3:7002".parse().unwrap()]);
}

#[test]
fn who_does_not_say_where_it_listens_is_told_to_nobody() {
    let (server, info_hash) = publish(&[], &[]);
    let mut silent = peer(&server, info_hash, "127.0.0.2", 0);
    assert!(is_told_nothing(&mut silent));
    let mut privileged = peer(&server, info_hash, "127.0.0.3", 80);
    assert!(is_told_nothing(&mut privileged));
    let mut listening = peer(&server, info_hash, "127.0.0.4", 7003);
    assert!(is_told_nothing(&mut listening));
}

#[test]
fn peers_of_a_private_torrent_are_never_introduced() {
    let (server, info_hash) = publish(&[], &[("private", "true")]);
    let mut first = peer(&server, info_hash, "127.0.0.2", 7001);
    assert!(is_told_nothing(&mut first));
    let mut second = peer(&server, info_hash, "127.0.0.3", 7002);
    assert!(is_told_nothing(&mut second));
}

#[test]
fn introductions_can_be_turned_off() {
    let (server, info_hash) = publish(&[("SOWER_PEER__EXCHANGE_PEERS", "false")], &[]);
    let mut first = peer(&server, info_hash, "127.0.0.2", 7001);
    assert!(is_told_nothing(&mut first));
    let mut second = peer(&server, info_hash, "127.0.0.3", 7002);
    assert!(is_told_nothing(&mut second));
}

//! Super-seeding (BEP 16): each piece is told to one peer, until it is seen at another.

use sower::proto::id::InfoHash;
use sower::proto::wire::message::{Message, RawBlock};

use crate::peer::ScriptedPeer;
use crate::support::Server;

const PIECE: usize = 16 * 1024;

struct Seed {
    server: Server,
    info_hash: InfoHash,
    content: Vec<u8>,
}

fn super_seed() -> Seed {
    let server = Server::start_with(&[("SOWER_PEER__SUPER_SEEDING", "true")]);
    let token = server.token();
    let content: Vec<u8> = (0..40_960_u32).flat_map(u32::to_le_bytes).collect();
    let (status, publication) = server.publish(&token, &[], &[("a.bin", &content)]);
    assert_eq!(status, 201, "{publication}");
    let info_hash = publication["info_hash_v1"].as_str().unwrap();
    Seed {
        info_hash: InfoHash::from_hex(info_hash).unwrap(),
        server,
        content,
    }
}

impl Seed {
    /// A peer that has nothing, as the seed pretends too.
    fn newcomer(&self) -> ScriptedPeer {
        let mut peer = ScriptedPeer::greet(&self.server.address(), self.info_hash);
        assert_eq!(peer.next(), Some(Message::HaveNone));
        peer.send(&Message::HaveNone);
        peer
    }

    fn told(peer: &mut ScriptedPeer) -> u32 {
        peer.next_that(|message| match message {
            Message::Have(piece) => Some(piece),
            _ => None,
        })
    }
}

#[test]
fn each_piece_is_told_to_one_peer_until_it_is_passed_on() {
    let seed = super_seed();
    let (mut one, mut other) = (seed.newcomer(), seed.newcomer());
    let mut told = [
        Seed::told(&mut one),
        Seed::told(&mut one),
        Seed::told(&mut other),
        Seed::told(&mut other),
    ];
    let (first, untold) = (
        told[0],
        (0..10).find(|piece| !told.contains(piece)).unwrap(),
    );
    told.sort_unstable();
    assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");

    one.become_unchoked();
    let bytes = &seed.content[first as usize * PIECE..][..PIECE];
    assert_eq!(one.fetch(first, 0, 16_384), bytes);
    one.request(untold, 0, 16_384);
    let refused = RawBlock {
        index: untold,
        begin: 0,
        length: 16_384,
    };
    one.next_that(|message| (message == Message::Reject(refused)).then_some(()));

    one.send(&Message::Have(first));
    other.send(&Message::Have(first));
    assert!(!told.contains(&Seed::told(&mut one)));
}

#[test]
fn once_another_seed_has_come_newcomers_are_told_of_everything() {
    let seed = super_seed();
    let mut stays = seed.newcomer();
    Seed::told(&mut stays);
    let mut complete = seed.newcomer();
    complete.send(&Message::HaveAll);
    assert!(complete.is_closed(), "two seeds part");
    let mut newcomer = ScriptedPeer::greet(&seed.server.address(), seed.info_hash);
    assert_eq!(newcomer.next(), Some(Message::HaveAll));
}

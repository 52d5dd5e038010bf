//! Encrypted peers on the one port, beside plain ones and HTTP (message stream encryption).

use std::process::Output;

use bytes::BytesMut;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use sower::proto::id::InfoHash;
use sower::proto::wire::encryption::{Calling, Methods};
use sower::proto::wire::message::Message;

use crate::peer::ScriptedPeer;
use crate::support::{Server, get, run};

struct Seed {
    server: Server,
    publication: Value,
    content: Vec<u8>,
}

impl Seed {
    fn start(encryption: &str, limits: &[(&str, &str)]) -> Self {
        let environment = [&[("SOWER_PEER__ENCRYPTION", encryption)][..], limits].concat();
        let server = Server::start_with(&environment);
        let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let fields = [("format", "hybrid")];
        let files = [("content.bin", &content[..])];
        let (status, publication) = server.publish(&server.token(), &fields, &files);
        assert_eq!(status, 201, "{publication}");
        Self {
            server,
            publication,
            content,
        }
    }

    fn info_hash(&self) -> InfoHash {
        InfoHash::from_hex(self.publication["info_hash_v1"].as_str().unwrap()).unwrap()
    }

    fn truncated_v2(&self) -> InfoHash {
        let v2 = self.publication["info_hash_v2"].as_str().unwrap();
        InfoHash::from_hex(&v2[..40]).unwrap()
    }

    fn encrypted(&self, methods: Methods) -> ScriptedPeer {
        ScriptedPeer::greet_encrypted(&self.server.address(), self.info_hash(), methods, 4_096)
    }

    fn serves(&self, mut peer: ScriptedPeer) {
        assert_eq!(peer.next(), Some(Message::HaveAll));
        peer.become_unchoked();
        assert_eq!(peer.fetch(0, 0, 16_384), &self.content[..16_384]);
        assert_eq!(peer.fetch(1, 100, 1_000).len(), 1_000);
    }

    fn download(&self, arguments: &[&str]) -> Output {
        let torrent = self.publication["torrent_url"].as_str().unwrap();
        let call = [&["download", torrent, "-o", "down"], arguments].concat();
        run(self.server.folder(), &[], &call, "")
    }
}

#[test]
fn encrypted_peers_are_served_under_both_names_of_a_hybrid() {
    let seed = Seed::start("prefer-plain", &[]);
    let address = seed.server.address();
    for name in [seed.info_hash(), seed.truncated_v2()] {
        for count in [1, 77, 4_096] {
            let peer = ScriptedPeer::greet_encrypted(&address, name, Methods::OnlyRc4, count);
            assert!(peer.is_encrypted());
            seed.serves(peer);
        }
    }
}

#[test]
fn the_configuration_decides_what_follows_the_handshake() {
    for (configured, is_encrypted) in [("prefer-plain", false), ("prefer", true)] {
        let seed = Seed::start(configured, &[]);
        for methods in [Methods::PreferPlain, Methods::PreferRc4] {
            let peer = seed.encrypted(methods);
            assert_eq!(peer.is_encrypted(), is_encrypted, "{configured}");
            seed.serves(peer);
        }
        let plain = ScriptedPeer::greet(&seed.server.address(), seed.info_hash());
        seed.serves(plain);
    }
}

#[test]
fn plain_peers_are_refused_where_encryption_is_required() {
    let seed = Seed::start("require", &[]);
    let mut plain = ScriptedPeer::connect(&seed.server.address());
    plain.say(b"\x13BitTorrent protocol");
    assert!(plain.is_closed());
    seed.serves(seed.encrypted(Methods::PreferPlain));
    // HTTP has the port still.
    assert!(!get(&format!("{}/healthz", seed.server.url)).is_empty());
}

#[test]
fn every_peer_has_its_bytes_while_many_are_encrypted() {
    let seed = Seed::start("prefer", &[]);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                let mut peer = seed.encrypted(Methods::OnlyRc4);
                peer.become_unchoked();
                let piece_length = seed.publication["piece_length"].as_u64().unwrap();
                let piece_length = u32::try_from(piece_length).unwrap();
                // All requests at once: the answers are more than a socket takes.
                let blocks: Vec<u32> = (0..1_200_000 / 16_384).map(|n| n * 16_384).collect();
                for at in &blocks {
                    peer.request(at / piece_length, at % piece_length, 16_384);
                }
                for at in blocks {
                    let data = peer.next_that(|message| match message {
                        Message::Piece { data, .. } => Some(data),
                        _ => None,
                    });
                    let at = at as usize;
                    assert!(data == seed.content[at..at + 16_384], "block at {at}");
                }
            });
        }
    });
}

#[test]
fn noise_and_strangers_are_closed_and_harm_nobody() {
    let seed = Seed::start("prefer-plain", &[]);
    let address = seed.server.address();
    let mut noise = ScriptedPeer::connect(&address);
    noise.say(&[0xd7; 2_000]);
    assert!(noise.is_closed());
    let mut weak = ScriptedPeer::connect(&address);
    weak.say(&[0; 96]);
    assert!(weak.is_closed());
    // One that encrypts, but about a torrent that is not here.
    let mut stranger = ScriptedPeer::connect(&address);
    let mut out = Vec::new();
    let other = InfoHash::from([9; 20]);
    let mut calling = Calling::new(
        other,
        Methods::OnlyRc4,
        vec![],
        &mut out,
        &mut StdRng::seed_from_u64(1),
    );
    stranger.say(&out);
    out.clear();
    let mut answer = BytesMut::from(&stranger.exactly(96)[..]);
    calling.advance(&mut answer, &mut out).unwrap();
    stranger.say(&out);
    assert!(stranger.is_closed());
    seed.serves(seed.encrypted(Methods::OnlyRc4));
}

#[test]
fn silence_in_the_middle_of_an_encrypted_handshake_has_an_end() {
    let seed = Seed::start("prefer-plain", &[("SOWER_PEER__HANDSHAKE_TIMEOUT", "1")]);
    let mut silent = ScriptedPeer::connect(&seed.server.address());
    silent.say(&[0xd7; 96]);
    assert_eq!(silent.exactly(96).len(), 96);
    assert!(silent.is_closed());
    seed.serves(seed.encrypted(Methods::OnlyRc4));
}

#[test]
fn a_network_begins_so_many_encrypted_handshakes_and_goes_on_plainly() {
    let seed = Seed::start("prefer-plain", &[("SOWER_PEER__KEYS_PER_MINUTE", "1")]);
    let address = seed.server.address();
    let mut refused = 0;
    for _ in 0..110 {
        let mut peer = ScriptedPeer::connect(&address);
        // A key that makes no secret: each connection ends at once, whether the arithmetic was begun or not.
        peer.say(&[0; 96]);
        refused += u32::from(peer.is_closed());
    }
    assert_eq!(refused, 110);
    let mut late = ScriptedPeer::connect(&address);
    late.say(&[0xd7; 96]);
    assert!(late.is_closed());
    seed.serves(ScriptedPeer::greet(&address, seed.info_hash()));
}

#[test]
fn downloads_find_the_way_that_the_seed_takes() {
    let seed = Seed::start("require", &[]);
    for how in ["prefer-plain", "prefer", "require"] {
        let done = seed.download(&["--encryption", how]);
        assert_eq!(done.status.code(), Some(0), "{how}: {done:?}");
        let path = seed.server.folder().join("down/content.bin");
        assert!(std::fs::read(&path).unwrap() == seed.content, "{how}");
        std::fs::remove_file(&path).unwrap();
    }
    let wrong = seed.download(&["--encryption", "always"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}

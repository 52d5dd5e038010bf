//! The UDP tracker on the one port, as its clients see it (BEP 15; HARDENING, UDP tracker).

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use sower::proto::id::InfoHash;
use sower::proto::tracker::announce::{AnnounceAnswer, AnnounceRequest, Event};
use sower::proto::tracker::udp::{
    Answer, ConnectionId, Family, TransactionId, UdpAnnounce, decode_answer, encode_announce,
    encode_connect,
};

use crate::support::{Server, curl, get, wait_for};

/// How long an answer may take before the question is sent again.
const RESEND: Duration = Duration::from_millis(500);

/// Somebody who asks the tracker.
struct Asker {
    socket: UdpSocket,
    connection: ConnectionId,
    transactions: Cell<u32>,
}

impl Asker {
    fn new(server: &Server) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(server.address()).unwrap();
        socket.set_read_timeout(Some(RESEND)).unwrap();
        let mut asker = Self {
            socket,
            connection: ConnectionId(0),
            transactions: Cell::new(0),
        };
        match asker.ask(encode_connect) {
            Answer::Connected(connection) => asker.connection = connection,
            other => panic!("{other:?}"),
        }
        asker
    }

    /// Asks until there is an answer: a flood of packets may have pushed the question out.
    fn ask(&self, write: impl Fn(TransactionId, &mut Vec<u8>)) -> Answer {
        self.transactions.set(self.transactions.get() + 1);
        let wanted = TransactionId(self.transactions.get());
        let mut packet = Vec::new();
        write(wanted, &mut packet);
        wait_for("an answer", || {
            self.socket.send(&packet).unwrap();
            let mut received = [0; 2_048];
            while let Ok(length) = self.socket.recv(&mut received) {
                let (id, answer) = decode_answer(&received[..length], Family::V4).unwrap();
                if id == wanted {
                    return Some(answer);
                }
            }
            None
        })
    }

    fn announce(&self, info_hash: InfoHash, port: u16) -> Answer {
        let announce = UdpAnnounce {
            request: AnnounceRequest {
                info_hash,
                peer_id: [8; 20].into(),
                port: NonZeroU16::new(port).unwrap(),
                uploaded: 0,
                downloaded: 0,
                left: Some(9),
                event: Event::Started,
                numwant: None,
                key: Some(1),
            },
            url_data: b"/announce".to_vec(),
        };
        self.ask(|id, out| encode_announce(&announce, self.connection, id, out))
    }

    fn peers(&self, info_hash: InfoHash, port: u16) -> Vec<SocketAddr> {
        match self.announce(info_hash, port) {
            Answer::Announced(AnnounceAnswer { peers, .. }) => {
                peers.iter().map(|peer| peer.address).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn published() -> (Server, InfoHash, String) {
    let server = Server::start();
    let (status, publication) = server.publish(&server.token(), &[], &[("a", &[5; 40_000])]);
    assert_eq!(status, 201, "{publication}");
    let info_hash = publication["info_hash_v1"].as_str().unwrap();
    (
        server,
        InfoHash::from_hex(info_hash).unwrap(),
        publication["torrent_url"].as_str().unwrap().to_owned(),
    )
}

#[test]
fn the_one_port_answers_both_ways_with_one_swarm() {
    let (server, info_hash, _) = published();
    let asker = Asker::new(&server);
    let seed = server.address().parse().unwrap();
    assert_eq!(asker.peers(info_hash, 5_000), [seed]);

    // Over HTTP the peer that came over UDP is there, and the other way round.
    let hash = percent_encode(info_hash.as_bytes(), NON_ALPHANUMERIC);
    let answer = get(&format!(
        "{}/announce?info_hash={hash}&peer_id=-TR3000-jsdm7kizb46x&port=6000&left=9&compact=1",
        server.url
    ));
    let compact = [127, 0, 0, 1, 0x13, 0x88];
    assert!(
        answer.windows(6).any(|six| six == compact),
        "{}",
        answer.escape_ascii()
    );
    let mut peers = asker.peers(info_hash, 5_000);
    peers.sort_unstable();
    let mut expected = [seed, "127.0.0.1:6000".parse().unwrap()];
    expected.sort_unstable();
    assert_eq!(peers, expected);
}

#[test]
fn torrents_name_the_udp_tracker_beside_the_other() {
    let (server, _, torrent_url) = published();
    let torrent = server.folder().join("a.torrent");
    curl(&["-o", torrent.to_str().unwrap(), &torrent_url]);
    let shown = server.sower(&["show", "--json", torrent.to_str().unwrap()], "");
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let udp = format!("{}/announce", server.url.replace("http:", "udp:"));
    let http = format!("{}/announce", server.url);
    assert_eq!(shown["trackers"][0], serde_json::json!([http, udp]));
}

#[test]
fn packets_that_mean_nothing_harm_nobody() {
    let (server, info_hash, _) = published();
    let asker = Asker::new(&server);
    let before = server.memory();
    let mut state = 1_u64;
    for round in 0..8_000_usize {
        let packet: Vec<u8> = (0..round % 200)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                state.to_be_bytes()[0]
            })
            .collect();
        let _ = asker.socket.send(&packet);
    }
    for number in 0..3_000_u32 {
        let mut unknown = [9; 20];
        unknown[..4].copy_from_slice(&number.to_be_bytes());
        assert!(matches!(
            asker.announce(unknown.into(), 5_000),
            Answer::Refused(_)
        ));
    }
    assert_eq!(asker.peers(info_hash, 5_000).len(), 1);
    let growth = server.memory().saturating_sub(before);
    assert!(growth < 100_000_000, "it grew by {growth} bytes");
}

#[test]
fn a_port_of_its_own_is_named_in_torrents() {
    let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let server = Server::start_with(&[
        ("SOWER_TRACKER__UDP_LISTEN", &free.to_string()),
        ("SOWER_PUBLIC_URL", "https://files.example.org"),
    ]);
    let (status, publication) = server.publish(&server.token(), &[], &[("a", &[5; 40_000])]);
    assert_eq!(status, 201, "{publication}");
    let magnet = publication["magnet"].as_str().unwrap();
    let udp = format!("udp%3A%2F%2Ffiles.example.org%3A{}%2Fannounce", free.port());
    assert!(magnet.contains(&udp), "{magnet}");
}

#[test]
fn behind_a_proxy_that_passes_no_packets_only_http_is_named() {
    let server = Server::start_with(&[("SOWER_PUBLIC_URL", "https://files.example.org")]);
    let (status, publication) = server.publish(&server.token(), &[], &[("a", &[5; 40_000])]);
    assert_eq!(status, 201, "{publication}");
    assert!(
        !publication["magnet"].as_str().unwrap().contains("udp"),
        "{publication}"
    );
}

//! Peers over uTP by the port of the UDP tracker (BEP 29).

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::thread;

use librqbit_utp::UtpSocketUdp;
use sower::proto::id::InfoHash;
use sower::proto::wire::encryption::Methods;
use sower::proto::wire::message::Message;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::peer::ScriptedPeer;
use crate::support::{PATIENCE, Server, wait_for};

/// Kinds of packets, and the version of uTP.
const DATA: u8 = 0x01;
const STATE: u8 = 0x21;
const RESET: u8 = 0x31;
const SYN: u8 = 0x41;

struct Seed {
    server: Server,
    info_hash: InfoHash,
    content: Vec<u8>,
}

impl Seed {
    fn start(environment: &[(&str, &str)]) -> Self {
        let server = Server::start_with(environment);
        let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let (status, publication) =
            server.publish(&server.token(), &[], &[("content.bin", &content)]);
        assert_eq!(status, 201, "{publication}");
        let info_hash = publication["info_hash_v1"].as_str().unwrap();
        Self {
            info_hash: InfoHash::from_hex(info_hash).unwrap(),
            server,
            content,
        }
    }

    fn serves(&self, mut peer: ScriptedPeer) {
        peer.become_unchoked();
        // All requests at once: the answers are more than the window.
        let blocks = self.content.len() / 16_384;
        let piece_length = 16_384;
        for index in 0..u32::try_from(blocks).unwrap() {
            peer.request(index, 0, piece_length);
        }
        for index in 0..blocks {
            let data = peer.next_that(|message| match message {
                Message::Piece { data, .. } => Some(data),
                _ => None,
            });
            let at = index * 16_384;
            assert!(data == self.content[at..at + 16_384], "block {index}");
        }
    }

    /// Whether the UDP tracker gives connection ids.
    fn tracks(&self) -> bool {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let question = b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\x01\x02\x03\x04";
        socket.send_to(question, self.server.address()).unwrap();
        let mut answer = [0; 100];
        let length = socket.recv(&mut answer).unwrap();
        length == 16 && answer[..8] == [0, 0, 0, 0, 1, 2, 3, 4]
    }
}

/// A peer that makes its packets by hand, from number 2 on after it has connected.
struct RawPeer {
    socket: UdpSocket,
    /// The first number of the server's packets.
    first: u16,
}

impl RawPeer {
    /// What comes from a peer that connects with 700 is said with 701.
    const ID: u16 = 701;

    fn connect(seed: &Seed) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(seed.server.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut peer = Self { socket, first: 0 };
        peer.say(SYN, 700, 1, 0, b"");
        peer.first = peer.hear(STATE).0;
        peer
    }

    /// Connects and sends its handshake; gives the number of the packet that answers it, and what that holds.
    fn greet(seed: &Seed) -> (Self, u16, Vec<u8>) {
        let peer = Self::connect(seed);
        let mut greeting = b"\x13BitTorrent protocol\0\0\0\0\0\x10\0\x04".to_vec();
        greeting.extend(seed.info_hash.as_bytes());
        greeting.extend(b"-XX0000-abcdefghijkl");
        peer.say(DATA, Self::ID, 2, peer.first.wrapping_sub(1), &greeting);
        let (sequence, handshake) = peer.hear(DATA);
        peer.say(STATE, Self::ID, 3, sequence, b"");
        (peer, sequence, handshake)
    }

    fn say(&self, kind: u8, id: u16, sequence: u16, acknowledged: u16, payload: &[u8]) {
        let packet = packet(kind, id, sequence, acknowledged, payload);
        self.socket.send(&packet).unwrap();
    }

    /// The next packet of that kind: its number, and what it holds.
    fn hear(&self, kind: u8) -> (u16, Vec<u8>) {
        loop {
            let mut packet = [0; 2_000];
            let length = self.socket.recv(&mut packet).unwrap();
            if packet[0] == kind {
                let sequence = u16::from_be_bytes([packet[16], packet[17]]);
                return (sequence, packet[20..length].to_vec());
            }
        }
    }
}

fn packet(kind: u8, id: u16, sequence: u16, acknowledged: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![kind, 0];
    packet.extend(id.to_be_bytes());
    packet.extend([0; 8]);
    packet.extend(0x0001_0000_u32.to_be_bytes());
    packet.extend(sequence.to_be_bytes());
    packet.extend(acknowledged.to_be_bytes());
    packet.extend(payload);
    packet
}

/// A TCP address whose one connection goes on to `server` over uTP.
fn bridge(server: &str) -> String {
    let server: SocketAddr = server.parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        tcp.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let socket = UtpSocketUdp::new_udp("127.0.0.1:0".parse().unwrap())
                .await
                .unwrap();
            let mut utp = socket.connect(server).await.unwrap();
            let mut tcp = TcpStream::from_std(tcp).unwrap();
            let _ = copy_bidirectional(&mut tcp, &mut utp).await;
        });
    });
    address
}

#[test]
fn peers_over_utp_are_served_plain_and_encrypted_beside_the_tracker() {
    let seed = Seed::start(&[]);
    let server = seed.server.address();
    seed.serves(ScriptedPeer::greet(&bridge(&server), seed.info_hash));
    assert!(seed.tracks());
    for (methods, is_encrypted) in [(Methods::OnlyRc4, true), (Methods::PreferPlain, false)] {
        let address = bridge(&server);
        let peer = ScriptedPeer::greet_encrypted(&address, seed.info_hash, methods, 4_096);
        assert_eq!(peer.is_encrypted(), is_encrypted);
        seed.serves(peer);
    }
    assert!(seed.tracks());
}

/// Transmission 3 does not look at what comes in one packet with the handshake until more comes.
#[test]
fn the_handshake_has_a_packet_to_itself() {
    let seed = Seed::start(&[]);
    let (peer, _, handshake) = RawPeer::greet(&seed);
    assert_eq!((handshake.len(), &handshake[1..4]), (68, &b"Bit"[..]));
    let (_, messages) = peer.hear(DATA);
    assert_eq!(messages[..5], *b"\0\0\0\x01\x0e");
}

#[test]
fn a_reset_ends_only_the_connection_that_it_names() {
    let seed = Seed::start(&[]);
    let (peer, _, _) = RawPeer::greet(&seed);
    let (mut heard, _) = peer.hear(DATA);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for id in 0..2_000 {
        let reset = packet(RESET, id, 3, heard, b"");
        stranger.send_to(&reset, seed.server.address()).unwrap();
        if !(700..=RawPeer::ID).contains(&id) {
            peer.say(RESET, id, 3, heard, b"");
        }
    }
    // It is still there: who is interested is unchoked.
    peer.say(DATA, RawPeer::ID, 3, heard, b"\0\0\0\x01\x02");
    loop {
        let (sequence, messages) = peer.hear(DATA);
        heard = sequence;
        peer.say(STATE, RawPeer::ID, 4, heard, b"");
        if messages.ends_with(b"\0\0\0\x01\x01") {
            break;
        }
    }
    peer.say(RESET, RawPeer::ID, 4, heard, b"");
    wait_for("the connection to end", || {
        (seed.server.metric("sower_peer_connections") == 0).then_some(())
    });
}

#[test]
fn packets_far_ahead_are_not_kept_without_end() {
    let seed = Seed::start(&[]);
    let (peer, heard, _) = RawPeer::greet(&seed);
    let before = seed.server.memory();
    // The third never comes, so that all others would have to wait for it.
    for sequence in 4..24_000 {
        peer.say(DATA, RawPeer::ID, sequence, heard, &[7; 1_300]);
    }
    let address = bridge(&seed.server.address());
    seed.serves(ScriptedPeer::greet(&address, seed.info_hash));
    let grown = seed.server.memory().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more for 31 MB ahead");
}

#[test]
fn many_peers_share_the_port() {
    let seed = Seed::start(&[]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let address = bridge(&seed.server.address());
                seed.serves(ScriptedPeer::greet(&address, seed.info_hash));
            });
        }
    });
}

#[test]
fn packets_that_belong_to_no_connection_change_nothing() {
    let seed = Seed::start(&[]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for first in [0x01, 0x11, 0x21, 0x31, 0x41] {
        for number in 0..400_u32 {
            let mut packet = vec![first; 20 + number as usize % 60];
            packet[2..6].copy_from_slice(&number.to_be_bytes());
            socket.send_to(&packet, seed.server.address()).unwrap();
        }
    }
    assert!(seed.tracks());
    let address = bridge(&seed.server.address());
    seed.serves(ScriptedPeer::greet(&address, seed.info_hash));
}

#[test]
fn connections_under_false_addresses_take_no_peers_place() {
    let seed = Seed::start(&[("SOWER_PEER__CONNECTIONS", "4")]);
    let mut answered = 0;
    for last in 1..=60 {
        let source = UdpSocket::bind(SocketAddr::from(([127, 0, 2, last], 0))).unwrap();
        let mut syn = [0; 20];
        syn[0] = 0x41;
        syn[3] = last;
        source.send_to(&syn, seed.server.address()).unwrap();
        source.set_read_timeout(Some(PATIENCE)).unwrap();
        // The answer shows that the connection is there; it is never acknowledged.
        answered += usize::from(source.recv(&mut [0; 100]).is_ok());
    }
    assert_eq!(answered, 60);
    seed.serves(ScriptedPeer::greet(&seed.server.address(), seed.info_hash));
    let address = bridge(&seed.server.address());
    seed.serves(ScriptedPeer::greet(&address, seed.info_hash));
}

#[test]
fn without_utp_its_packets_go_unanswered() {
    let seed = Seed::start(&[("SOWER_PEER__UTP", "false")]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = seed.server.address();
    let mut syn = [0; 20];
    syn[0] = 0x41;
    socket.send_to(&syn, &server).unwrap();
    // The tracker answers what comes behind it, and nothing came before that.
    let question = b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\x01\x02\x03\x04";
    socket.send_to(question, &server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 100];
    assert_eq!(socket.recv(&mut answer).unwrap(), 16);
    assert_eq!(answer[4..8], [1, 2, 3, 4]);
}

//! The WebSocket tracker as WebTorrent clients see it (HARDENING, WebSocket).

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};
use socket2::{Domain, Type};
use sower::proto::id::InfoHash;
use sower::proto::tracker::announce::ScrapeRequest;
use sower::proto::tracker::udp::{
    Answer, ConnectionId, Family, TransactionId, decode_answer, encode_connect, encode_scrape,
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client};

use crate::support::{PATIENCE, Server, curl, get, wait_for};

/// Raw bytes as WebTorrent writes them into JSON.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn id(n: u8) -> String {
    latin1(&[n; 20])
}

fn offer(n: u8, length: usize) -> Value {
    json!({"offer": {"type": "offer", "sdp": "x".repeat(length)}, "offer_id": id(n)})
}

struct Swarm {
    server: Server,
    info_hash: InfoHash,
    id: String,
}

fn published() -> Swarm {
    published_with(&[])
}

fn published_with(environment: &[(&str, &str)]) -> Swarm {
    let server = Server::start_with(environment);
    let (status, publication) = server.publish(&server.token(), &[], &[("a", &[5; 40_000])]);
    assert_eq!(status, 201, "{publication}");
    Swarm {
        info_hash: InfoHash::from_hex(publication["info_hash_v1"].as_str().unwrap()).unwrap(),
        id: publication["id"].as_str().unwrap().to_owned(),
        server,
    }
}

impl Swarm {
    fn connect(&self) -> Peer {
        self.connect_from(Ipv4Addr::LOCALHOST)
    }

    fn connect_from(&self, source: Ipv4Addr) -> Peer {
        self.try_connect(source).unwrap()
    }

    fn try_connect(&self, source: Ipv4Addr) -> Result<Peer, String> {
        let address: SocketAddr = self.server.address().parse().unwrap();
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket
            .bind(&SocketAddr::new(IpAddr::V4(source), 0).into())
            .unwrap();
        socket.connect(&address.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let url = format!("ws://{address}/announce");
        let (socket, _) = client(url, stream).map_err(|error| error.to_string())?;
        Ok(Peer {
            socket,
            info_hash: latin1(self.info_hash.as_bytes()),
        })
    }

    /// A peer that is in the swarm, lacking `left` bytes.
    fn join(&self, n: u8, left: u64) -> Peer {
        let mut peer = self.connect();
        peer.announce(n, left, "started", &[]);
        peer
    }

    fn http_scrape(&self) -> (u32, u32, u32) {
        let hash = percent_encode(self.info_hash.as_bytes(), NON_ALPHANUMERIC);
        let bytes = get(&format!("{}/scrape?info_hash={hash}", self.server.url));
        let text = bytes.escape_ascii().to_string();
        let number = |key: &str| -> u32 {
            let (_, rest) = text.split_once(&format!("{}:{key}i", key.len())).unwrap();
            rest.split_once('e').unwrap().0.parse().unwrap()
        };
        (
            number("complete"),
            number("incomplete"),
            number("downloaded"),
        )
    }

    fn udp_scrape(&self) -> (u32, u32, u32) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect(self.server.address()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let ask = |packet: &[u8]| {
            socket.send(packet).unwrap();
            let mut received = [0; 2_048];
            let length = socket.recv(&mut received).unwrap();
            decode_answer(&received[..length], Family::V4).unwrap().1
        };
        let mut packet = Vec::new();
        encode_connect(TransactionId(1), &mut packet);
        let Answer::Connected(connection) = ask(&packet) else {
            panic!("it is no connection id");
        };
        self.scraped(ask, connection)
    }

    fn scraped(&self, ask: impl Fn(&[u8]) -> Answer, connection: ConnectionId) -> (u32, u32, u32) {
        let request = ScrapeRequest {
            info_hashes: vec![self.info_hash],
        };
        let mut packet = Vec::new();
        encode_scrape(&request, connection, TransactionId(2), &mut packet);
        let Answer::Scraped(counts) = ask(&packet) else {
            panic!("it is no scrape");
        };
        let downloaded = u32::try_from(counts[0].downloaded).unwrap();
        (counts[0].complete, counts[0].incomplete, downloaded)
    }

    fn publication(&self) -> Value {
        let url = format!("{}/api/v1/publications/{}", self.server.url, self.id);
        serde_json::from_slice(&get(&url)).unwrap()
    }

    fn saved_bytes(&self) -> u64 {
        self.publication()["served"]["saved_bytes"]
            .as_u64()
            .unwrap()
    }

    fn api(&self) -> (u32, u32, u32) {
        let swarm = &self.publication()["swarm"];
        let number = |key: &str| u32::try_from(swarm[key].as_u64().unwrap()).unwrap();
        (number("seeders"), number("leechers"), number("completed"))
    }

    fn http_announce(&self, n: u8, left: u32, event: &str) -> Vec<u8> {
        let hash = percent_encode(self.info_hash.as_bytes(), NON_ALPHANUMERIC);
        let peer_id = percent_encode(&[n; 20], NON_ALPHANUMERIC).to_string();
        get(&format!(
            "{}/announce?info_hash={hash}&peer_id={peer_id}&port={}&left={left}&event={event}",
            self.server.url,
            6_000 + u32::from(n)
        ))
    }
}

/// A peer on its socket.
struct Peer {
    socket: WebSocket<TcpStream>,
    info_hash: String,
}

impl Peer {
    fn send(&mut self, message: &Value) {
        self.socket
            .send(Message::text(message.to_string()))
            .unwrap();
    }

    /// The next message; pings pass.
    fn next(&mut self) -> Value {
        loop {
            match self.socket.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn refusal(&mut self) -> String {
        let message = self.next();
        let reason = message["failure reason"].as_str();
        reason.unwrap_or_else(|| panic!("{message}")).to_owned()
    }

    /// Why the server ends the connection.
    fn farewell(&mut self) -> CloseCode {
        loop {
            match self.socket.read() {
                Ok(Message::Close(Some(frame))) => return frame.code,
                Ok(Message::Ping(_) | Message::Text(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn say_announce(&mut self, n: u8, left: u64, event: &str, offers: &[Value]) {
        let info_hash = self.info_hash.clone();
        self.send(&json!({
            "action": "announce", "info_hash": info_hash, "peer_id": id(n), "numwant": offers.len(),
            "uploaded": 0, "downloaded": 0, "left": left, "event": event, "offers": offers,
        }));
    }

    fn announce(&mut self, n: u8, left: u64, event: &str, offers: &[Value]) -> Value {
        self.say_announce(n, left, event, offers);
        let answer = self.next();
        assert!(answer["interval"].is_u64(), "{answer}");
        answer
    }

    fn scrape(&mut self) -> (u32, u32, u32) {
        let info_hash = self.info_hash.clone();
        self.send(&json!({"action": "scrape", "info_hash": [info_hash]}));
        let answer = self.next();
        assert_eq!(answer["action"], "scrape");
        let file = &answer["files"][&self.info_hash];
        let number = |key: &str| u32::try_from(file[key].as_u64().unwrap()).unwrap();
        (
            number("complete"),
            number("incomplete"),
            number("downloaded"),
        )
    }
}

#[test]
fn two_peers_exchange_an_offer_and_an_answer() {
    let swarm = published();
    let mut seed = swarm.join(1, 0);
    let mut leecher = swarm.connect();
    let answer = leecher.announce(2, 40_000, "started", &[offer(7, 2_000), offer(8, 5)]);
    assert_eq!(answer["action"], "announce");
    assert_eq!(answer["info_hash"], leecher.info_hash);
    let interval = answer["interval"].as_u64().unwrap();
    assert!((120..=132).contains(&interval), "{interval}");
    // This server's own seed is counted.
    assert_eq!(
        (&answer["complete"], &answer["incomplete"]),
        (&json!(2), &json!(1))
    );

    let offered = seed.next();
    assert_eq!(
        offered,
        json!({
            "action": "announce", "info_hash": seed.info_hash, "peer_id": id(2), "offer_id": id(7),
            "offer": {"type": "offer", "sdp": "x".repeat(2_000)},
        })
    );
    let info_hash = seed.info_hash.clone();
    seed.send(&json!({
        "action": "announce", "info_hash": info_hash, "peer_id": id(1), "to_peer_id": offered["peer_id"],
        "offer_id": offered["offer_id"], "answer": {"type": "answer", "sdp": "y\r\n"},
    }));
    assert_eq!(
        leecher.next(),
        json!({
            "action": "announce", "info_hash": leecher.info_hash, "peer_id": id(1), "offer_id": id(7),
            "answer": {"type": "answer", "sdp": "y\r\n"},
        })
    );
    // An answer is no announce: the seed is still one, and nothing else was said to it.
    assert_eq!(seed.scrape(), (2, 1, 0));
    assert_eq!(leecher.scrape(), (2, 1, 0));
}

#[test]
fn the_numbers_agree_over_all_doors() {
    let swarm = published();
    let _seed = swarm.join(1, 0);
    let mut leecher = swarm.join(2, 5);
    swarm.http_announce(3, 5, "started");
    for _ in 0..2 {
        let numbers = leecher.scrape();
        assert_eq!(numbers, (2, 2, 0), "this server's seed is one");
        assert_eq!(swarm.http_scrape(), numbers);
        assert_eq!(swarm.udp_scrape(), numbers);
        assert_eq!(swarm.api(), numbers);
    }
    let completed = leecher.announce(2, 0, "completed", &[]);
    assert_eq!(
        (
            &completed["complete"],
            &completed["incomplete"],
            &completed["downloaded"]
        ),
        (&json!(3), &json!(1), &json!(1))
    );
    leecher.announce(2, 0, "completed", &[]);
    let answer = swarm.http_announce(3, 5, "").escape_ascii().to_string();
    assert!(
        answer.starts_with("d8:completei3e10:downloadedi1e") && answer.contains("10:incompletei1e"),
        "{answer}"
    );
    for numbers in [
        leecher.scrape(),
        swarm.http_scrape(),
        swarm.udp_scrape(),
        swarm.api(),
    ] {
        assert_eq!(numbers, (3, 1, 1));
    }
}

#[test]
fn a_download_is_counted_once_whatever_doors_it_is_told_at() {
    let swarm = published();
    let mut peer = swarm.join(1, 5);
    swarm.http_announce(1, 5, "started");
    peer.announce(1, 0, "completed", &[]);
    swarm.http_announce(1, 0, "completed");
    assert_eq!(swarm.http_scrape().2, 1, "first here");
    let mut peer = swarm.join(2, 5);
    swarm.http_announce(2, 5, "started");
    swarm.http_announce(2, 0, "completed");
    peer.announce(2, 0, "completed", &[]);
    assert_eq!(swarm.http_scrape().2, 2, "first there");
}

#[test]
fn bytes_that_came_to_a_peer_are_counted_once_whatever_doors_it_is_told_at() {
    let swarm = published();
    let mut peer = swarm.join(1, 40_000);
    peer.announce(1, 10_000, "", &[]);
    assert_eq!(swarm.saved_bytes(), 30_000, "over a socket alone");
    let mut peer = swarm.join(2, 40_000);
    swarm.http_announce(2, 40_000, "started");
    peer.announce(2, 0, "completed", &[]);
    swarm.http_announce(2, 0, "completed");
    assert_eq!(swarm.saved_bytes(), 70_000);
}

#[test]
fn peers_without_an_address_are_not_handed_out() {
    let swarm = published();
    let _peer = swarm.join(1, 5);
    let answer = swarm
        .http_announce(3, 5, "started")
        .escape_ascii()
        .to_string();
    assert!(
        answer.contains("5:peers6:"),
        "the server's own seed alone: {answer}"
    );
}

#[test]
fn a_peer_leaves_with_its_socket_or_its_word() {
    let swarm = published();
    let mut stays = swarm.join(1, 5);
    let mut stops = swarm.join(2, 5);
    let closes = swarm.join(3, 5);
    assert_eq!(stays.scrape(), (1, 3, 0));
    stops.announce(2, 5, "stopped", &[]);
    assert_eq!(stays.scrape(), (1, 2, 0));
    drop(closes);
    wait_for("the peer to be gone", || {
        (stays.scrape() == (1, 1, 0)).then_some(())
    });
    assert_eq!(swarm.http_scrape(), (1, 1, 0));
}

#[test]
fn seeds_are_not_introduced_to_seeds_nor_anybody_to_themselves() {
    let swarm = published();
    let mut seed = swarm.join(1, 0);
    let mut other_seed = swarm.join(2, 0);
    let mut leecher = swarm.join(3, 5);
    seed.announce(1, 0, "", &[offer(7, 5), offer(8, 5), offer(9, 5)]);
    assert_eq!(leecher.next()["peer_id"], id(1));
    // A scrape's answer would stand behind an offer.
    assert_eq!(other_seed.scrape(), (3, 1, 0));
    assert_eq!(seed.scrape(), (3, 1, 0));
}

#[test]
fn ten_offers_of_eleven_are_passed_on() {
    let swarm = published();
    let mut others: Vec<Peer> = (1..=12).map(|n| swarm.join(n, 5)).collect();
    let offers: Vec<_> = (100..111).map(|n| offer(n, 5)).collect();
    let mut peer = swarm.connect();
    peer.announce(50, 5, "started", &offers);
    let offered = others.iter_mut().filter_map(|other| {
        let info_hash = other.info_hash.clone();
        other.send(&json!({"action": "scrape", "info_hash": info_hash}));
        let first = other.next();
        first["offer_id"].as_str().map(str::to_owned)
    });
    let offered: std::collections::BTreeSet<String> = offered.collect();
    assert_eq!(
        offered,
        (100..110).map(id).collect(),
        "each to another peer"
    );
}

#[test]
fn what_makes_no_sense_is_refused_in_words_and_harms_nothing() {
    let swarm = published();
    let mut peer = swarm.connect();
    let hash = peer.info_hash.clone();
    let unknown = id(9);
    for (message, words) in [
        (String::new(), "not the JSON"),
        ("{".to_owned(), "not the JSON"),
        ("[".repeat(60_000), "not the JSON"),
        (r#"{"action":"destroy"}"#.to_owned(), "not the JSON"),
        ("{}".to_owned(), "lacks info_hash"),
        (
            json!({"info_hash": "short", "peer_id": id(1)}).to_string(),
            "exactly 20",
        ),
        (json!({"info_hash": hash}).to_string(), "lacks peer_id"),
        (
            json!({"info_hash": hash, "peer_id": "Ā".repeat(20)}).to_string(),
            "exactly 20",
        ),
        (
            json!({"info_hash": unknown, "peer_id": id(1)}).to_string(),
            "does not know this torrent",
        ),
        (json!({"action": "scrape"}).to_string(), "does not list all"),
        (
            json!({"action": "scrape", "info_hash": vec![id(1); 75]}).to_string(),
            "at most 74",
        ),
        (
            json!({"info_hash": hash, "peer_id": id(1), "to_peer_id": id(2), "offer_id": id(3),
                "answer": {"type": "answer", "sdp": ""}})
            .to_string(),
            "before answering",
        ),
    ] {
        peer.socket.send(Message::text(message.clone())).unwrap();
        let reason = peer.refusal();
        assert!(reason.contains(words), "{message:.80}: {reason}");
        peer.socket.send(Message::binary(message.clone())).unwrap();
        assert_eq!(peer.refusal(), reason, "the same in a binary frame");
    }
    peer.socket.send(Message::binary(vec![0xFF; 50])).unwrap();
    assert!(peer.refusal().contains("not the JSON"));
    assert_eq!(peer.scrape(), (1, 0, 0));
    let refused = json!({"info_hash": unknown, "peer_id": id(1)});
    peer.send(&refused);
    let refusal = peer.next();
    assert_eq!(
        (&refusal["action"], &refusal["info_hash"]),
        (&json!("announce"), &json!(unknown))
    );
    assert_eq!(refusal["retry in"], 60);
}

#[test]
fn frames_are_bounded() {
    let swarm = published();
    let mut peer = swarm.join(1, 5);
    peer.socket.send(Message::text(" ".repeat(65_536))).unwrap();
    assert!(peer.refusal().contains("not the JSON"));
    peer.socket.send(Message::text(" ".repeat(65_537))).unwrap();
    assert_eq!(peer.farewell(), CloseCode::Size);
    // In pieces it is no shorter.
    let mut peer = swarm.join(2, 5);
    for first in [0x01_u8, 0x00, 0x00] {
        let mut frame = vec![first, 0x80 | 0x7E];
        frame.extend_from_slice(&30_000_u16.to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.resize(frame.len() + 30_000, b' ');
        peer.socket.get_mut().write_all(&frame).unwrap();
    }
    assert_eq!(peer.farewell(), CloseCode::Size);
    let mut other = swarm.connect();
    wait_for("both to be gone", || {
        (other.scrape() == (1, 0, 0)).then_some(())
    });
}

#[test]
fn what_is_no_websocket_is_cut_off() {
    let swarm = published();
    for (bytes, code) in [
        // Unmasked, reserved bits, an unknown kind of frame, text that is not UTF-8.
        (&[0x81, 0x01, b'x'][..], CloseCode::Protocol),
        (&[0xF1, 0x81, 0, 0, 0, 0, b'x'], CloseCode::Protocol),
        (&[0x83, 0x81, 0, 0, 0, 0, b'x'], CloseCode::Protocol),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xFF], CloseCode::Invalid),
    ] {
        let mut peer = swarm.connect();
        peer.socket.get_mut().write_all(bytes).unwrap();
        assert_eq!(peer.farewell(), code, "{bytes:?}");
    }
    // No WebSocket at all, or not by the rules.
    let announce = format!("{}/announce", swarm.server.url);
    let plain = get(&announce).escape_ascii().to_string();
    assert!(plain.contains("failure reason"), "{plain}");
    let status = [
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        "Upgrade: websocket",
        &announce,
    ];
    assert_eq!(curl(&status), b"400");
}

#[test]
fn a_reader_that_stands_still_costs_little() {
    let swarm = published();
    let _stands_still = swarm.join(1, 5);
    let mut peer = swarm.join(2, 0);
    let before = swarm.server.memory();
    for _ in 0..500 {
        peer.announce(2, 0, "", &[offer(7, 60_000)]);
    }
    let growth = swarm.server.memory().saturating_sub(before);
    assert!(
        growth < 10_000_000,
        "it grew by {growth} bytes of 30 million"
    );
    assert_eq!(peer.scrape(), (2, 1, 0));
}

#[test]
fn many_sockets_are_bounded_in_all_and_from_one_address() {
    let swarm = published_with(&[
        ("SOWER_TRACKER__WEBSOCKET__SOCKETS", "30"),
        ("SOWER_TRACKER__WEBSOCKET__SOCKETS_PER_ADDRESS", "20"),
    ]);
    let there = Ipv4Addr::new(127, 0, 0, 2);
    let mut here: Vec<Peer> = (0..20).map(|_| swarm.connect()).collect();
    let refused = swarm.try_connect(Ipv4Addr::LOCALHOST).err().unwrap();
    assert!(refused.contains("503"), "{refused}");
    let _others: Vec<Peer> = (0..10).map(|_| swarm.connect_from(there)).collect();
    let refused = swarm
        .try_connect(Ipv4Addr::new(127, 0, 0, 3))
        .err()
        .unwrap();
    assert!(refused.contains("503"), "{refused}");
    here.pop();
    let mut again = wait_for("a place", || swarm.try_connect(there).ok());
    again.announce(1, 5, "started", &[]);
    // Announces of another kind are not held up.
    swarm.http_announce(3, 5, "started");
}

#[test]
fn a_socket_is_in_so_many_torrents_and_all_of_them_hold_so_many_peers() {
    let swarm = published_with(&[
        ("SOWER_TRACKER__WEBSOCKET__TORRENTS_PER_SOCKET", "0"),
        ("SOWER_TRACKER__WEBSOCKET__IN_TORRENTS", "false"),
    ]);
    let mut peer = swarm.connect();
    peer.say_announce(1, 5, "started", &[]);
    assert!(peer.refusal().contains("stop some of them"));
    let torrent = get(&format!("{}/p/{}.torrent", swarm.server.url, swarm.id));
    assert!(
        !torrent.escape_ascii().to_string().contains("ws://"),
        "the key turns it off"
    );

    let swarm = published_with(&[("SOWER_TRACKER__WEBSOCKET__PEERS", "2")]);
    let mut first = swarm.join(1, 5);
    let second = swarm.join(2, 5);
    let mut third = swarm.connect();
    third.say_announce(3, 5, "started", &[]);
    assert!(third.refusal().contains("try again later"));
    first.announce(1, 5, "", &[]);
    drop(second);
    wait_for("room", || {
        third.say_announce(3, 5, "started", &[]);
        third.next()["interval"].as_u64()
    });
}

#[test]
fn an_id_is_taken_over_from_the_same_address_alone() {
    let swarm = published();
    let mut peer = swarm.join(1, 5);
    let mut thief = swarm.connect_from(Ipv4Addr::new(127, 0, 0, 2));
    thief.say_announce(1, 5, "started", &[]);
    assert!(thief.refusal().contains("another peer has this peer_id"));
    thief.say_announce(1, 5, "stopped", &[]);
    thief.next();
    assert_eq!(peer.scrape(), (1, 1, 0), "nobody is thrown out");

    // Its connection broke, and it is back before we know.
    let mut again = swarm.join(1, 5);
    let mut other = swarm.connect();
    other.announce(2, 5, "started", &[offer(7, 5)]);
    assert_eq!(again.next()["peer_id"], id(2));
    drop(peer);
    wait_for("the old socket to end", || {
        (other.scrape() == (1, 2, 0)).then_some(())
    });
    other.announce(2, 5, "", &[offer(8, 5)]);
    assert_eq!(
        again.next()["offer_id"],
        id(8),
        "the old one took nobody along"
    );
}

#[test]
fn one_socket_serves_many_torrents_and_ids_and_all_leave_with_it() {
    let swarm = published();
    let (status, other) =
        swarm
            .server
            .publish(&swarm.server.token_for("bob"), &[], &[("b", &[6; 40_000])]);
    assert_eq!(status, 201, "{other}");
    let other = InfoHash::from_hex(other["info_hash_v1"].as_str().unwrap()).unwrap();
    let mut watcher = swarm.connect();
    let mut peer = swarm.join(1, 5);
    // A new id for the same torrent takes the place of the old one.
    peer.announce(2, 5, "started", &[]);
    assert_eq!(watcher.scrape(), (1, 1, 0));
    let first = std::mem::replace(&mut peer.info_hash, latin1(other.as_bytes()));
    peer.announce(3, 5, "started", &[]);
    let both = [first, peer.info_hash.clone()];
    let mut numbers = |sum: u64| {
        watcher.send(&json!({"action": "scrape", "info_hash": both}));
        let answer = watcher.next();
        let incomplete = both
            .iter()
            .map(|hash| answer["files"][hash]["incomplete"].as_u64().unwrap());
        (incomplete.sum::<u64>() == sum).then_some(())
    };
    assert!(numbers(2).is_some());
    drop(peer);
    wait_for("both to be empty", || numbers(0));
}

#[test]
fn silence_ends_a_connection_and_so_does_the_end_of_the_server() {
    let mut swarm = published_with(&[("SOWER_TRACKER__WEBSOCKET__IDLE_TIMEOUT", "1")]);
    let mut peer = swarm.join(1, 5);
    assert_eq!(peer.farewell(), CloseCode::Policy);
    wait_for("the peer to be gone", || {
        (swarm.http_scrape().1 == 0).then_some(())
    });

    swarm = published();
    let mut peer = swarm.join(1, 5);
    assert!(swarm.server.stop().success());
    assert_eq!(peer.farewell(), CloseCode::Away);
}

#[test]
fn pings_keep_a_connection_alive() {
    let swarm = published_with(&[("SOWER_TRACKER__WEBSOCKET__PING_INTERVAL", "1")]);
    let mut peer = swarm.join(1, 5);
    peer.socket
        .get_ref()
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    assert!(matches!(peer.socket.read(), Ok(Message::Ping(_))));
    match peer.socket.send(Message::Ping(vec![7].into())) {
        Ok(()) => {}
        Err(error) => panic!("{error}"),
    }
    let answered = wait_for("a pong", || match peer.socket.read() {
        Ok(Message::Pong(bytes)) => Some(bytes),
        Ok(_) | Err(Error::Io(_)) => None,
        Err(error) => panic!("{error}"),
    });
    assert_eq!(&answered[..], [7]);
}

#[test]
fn pages_of_other_sites_are_kept_out_where_the_configuration_says_so() {
    let swarm = published_with(&[(
        "SOWER_TRACKER__WEBSOCKET__ORIGINS",
        "[\"https://player.example\"]",
    )]);
    let handshake = |origin: &str| {
        let output = curl(&[
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "--max-time",
            "1",
            "-H",
            "Connection: Upgrade",
            "-H",
            "Upgrade: websocket",
            "-H",
            "Sec-WebSocket-Version: 13",
            "-H",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "-H",
            &format!("Origin: {origin}"),
            &format!("{}/announce", swarm.server.url),
        ]);
        String::from_utf8(output).unwrap()
    };
    assert_eq!(handshake("https://elsewhere.example"), "403");
    // Programs name no origin.
    swarm.join(1, 5);
}

#[test]
fn torrents_and_magnets_name_it_in_a_tier_of_its_own() {
    let swarm = published();
    let torrent = swarm.server.folder().join("a.torrent");
    std::fs::write(
        &torrent,
        get(&format!("{}/p/{}.torrent", swarm.server.url, swarm.id)),
    )
    .unwrap();
    let shown = swarm
        .server
        .sower(&["show", "--json", torrent.to_str().unwrap()], "");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let http = format!("{}/announce", swarm.server.url);
    let (udp, ws) = (http.replace("http:", "udp:"), http.replace("http:", "ws:"));
    assert_eq!(shown["trackers"], json!([[http, udp], [ws]]));
}

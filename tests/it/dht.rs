//! The DHT, between real programs on this machine: who finds whom without a tracker (BEP 5).

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::time::Duration;

use serde_json::Value;
use sower::proto::dht::{Body, Message, Query, Question};
use sower::proto::id::InfoHash;
use sower::proto::wire::handshake::Reserved;
use sower::proto::wire::message as wire;

use crate::peer::ScriptedPeer;
use crate::support::{PATIENCE, Server, get, run, wait_for};

const CONTENT: &[u8] = b"found without a tracker";

/// A free port for packets. Somebody else may take it before it is used, which is why there are so many.
fn free_port() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// A server whose node of the DHT begins with others.
struct Node {
    server: Server,
    token: String,
    address: String,
}

impl Node {
    fn start(entries: &[&Self], more: &[(&str, &str)]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let entries: Vec<&str> = entries.iter().map(|node| node.address.as_str()).collect();
        let entries = entries.join(",");
        let mut environment = vec![
            ("SOWER_DHT__LISTEN", address.as_str()),
            ("SOWER_DHT__BOOTSTRAP", &entries),
            ("SOWER_PEER__ADVERTISE", "none"),
            // The tests ask without a pause.
            ("SOWER_DHT__QUERIES_PER_MINUTE", "0"),
        ];
        environment.extend(more);
        let server = Server::start_with(&environment);
        let token = server.token();
        Self {
            server,
            token,
            address,
        }
    }

    fn publish(&self, fields: &[(&str, &str)], name: &str) -> Value {
        let (status, publication) = self.server.publish(&self.token, fields, &[(name, CONTENT)]);
        assert_eq!(status, 201, "{publication}");
        publication
    }

    fn ask(&self, question: Question) -> Body {
        self.ask_from("127.0.0.1", question).body
    }

    /// Asks from an address of the loopback.
    fn ask_from(&self, ip: &str, question: Question) -> Heard {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let question = packet_of(question);
        let mut packet = [0; 2_000];
        // Packets may be lost on this machine too, where too many come at once.
        let length = wait_for("the node to answer", || {
            socket.send_to(&question, &self.address).unwrap();
            socket.recv(&mut packet).ok()
        });
        Heard {
            body: Message::decode(&packet[..length]).unwrap().body,
            lengths: [question.len(), length],
        }
    }

    /// The port of the node.
    fn port(&self) -> u16 {
        self.address.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// A peer that takes part in the DHT.
    fn peer(&self, publication: &Value) -> ScriptedPeer {
        let address = self.server.address();
        ScriptedPeer::greet_speaking(&address, named(publication), Reserved::OURS.with_dht())
    }

    /// The peers of a torrent that the node tells a stranger.
    fn peers(&self, info_hash: &Value) -> Vec<SocketAddr> {
        let info_hash = InfoHash::from_hex(info_hash.as_str().unwrap()).unwrap();
        match self.ask(Question::GetPeers(info_hash)) {
            Body::Answer(answer) => answer.peers,
            other => panic!("{other:?}"),
        }
    }
}

/// An answer, and how long the question and it were as packets.
struct Heard {
    body: Body,
    lengths: [usize; 2],
}

fn packet_of(question: Question) -> Vec<u8> {
    let query = Query {
        id: [7; 20].into(),
        is_read_only: true,
        want: None,
        question,
    };
    let message = Message {
        transaction: b"tt".to_vec().into(),
        body: Body::Query(query),
    };
    message.encode()
}

fn named(publication: &Value) -> InfoHash {
    InfoHash::from_hex(publication["info_hash_v1"].as_str().unwrap()).unwrap()
}

/// The ports of nodes that a peer is told of, until it is unchoked.
fn ports_told(mut peer: ScriptedPeer) -> Vec<u16> {
    peer.send(&wire::Message::Interested);
    let mut ports = Vec::new();
    peer.next_that(|message| {
        if let wire::Message::Port(port) = message {
            ports.push(port);
        }
        (message == wire::Message::Unchoke).then_some(())
    });
    ports
}

/// The torrent without trackers, web seeds and nodes, but for those given.
fn bare(node: &Node, publication: &Value, nodes: &[&str]) -> String {
    let url = publication["torrent_url"].as_str().unwrap();
    let folder = node.server.folder();
    std::fs::write(folder.join("full.torrent"), get(url)).unwrap();
    let mut arguments = vec![
        "edit",
        "full.torrent",
        "--no-announce",
        "--no-web-seed",
        "-o",
        "bare.torrent",
    ];
    match nodes {
        [] => arguments.push("--no-node"),
        nodes => arguments.extend(nodes.iter().flat_map(|node| ["--node", node])),
    }
    let edited = run(folder, &[], &arguments, "");
    assert!(edited.status.success(), "{edited:?}");
    "bare.torrent".to_owned()
}

#[test]
fn two_servers_tell_of_each_others_torrents() {
    let first = Node::start(&[], &[]);
    let second = Node::start(&[&first], &[]);
    for (publisher, other, name) in [(&first, &second, "a.bin"), (&second, &first, "b.bin")] {
        let publication = publisher.publish(&[], name);
        let seed = publisher.server.address().parse().unwrap();
        wait_for("the other server to know the seed", || {
            (other.peers(&publication["info_hash_v1"]) == [seed]).then_some(())
        });
    }
}

#[test]
fn a_download_finds_the_seed_by_the_dht_alone() {
    let first = Node::start(&[], &[]);
    let seed = Node::start(&[&first], &[]);
    let publication = seed.publish(&[("format", "hybrid")], "content.bin");
    for name in ["info_hash_v1", "info_hash_v2"] {
        let name = Value::from(&publication[name].as_str().unwrap()[..40]);
        wait_for("the announce", || {
            (!first.peers(&name).is_empty()).then_some(())
        });
    }
    let torrent = bare(&seed, &publication, &[]);
    let folder = seed.server.folder();
    let download = |environment: &[(String, String)], more: &[&str], to| {
        let arguments = [&["download", &torrent, "-o", to], more].concat();
        run(folder, environment, &arguments, "")
    };
    let entry = [("SOWER_DHT__BOOTSTRAP".to_owned(), first.address.clone())];
    let done = download(&entry, &[], "down");
    assert!(done.status.success(), "{done:?}");
    assert_eq!(
        std::fs::read(folder.join("down/content.bin")).unwrap(),
        CONTENT
    );

    let refused = download(&entry, &["--no-dht"], "none");
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let nobody = download(&[], &[], "none");
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
}

#[test]
fn torrents_name_the_node_to_begin_with_and_a_download_uses_it() {
    let seed = Node::start(&[], &[]);
    let publication = seed.publish(&[], "content.bin");
    let url = publication["torrent_url"].as_str().unwrap();
    let (_, port) = seed.address.rsplit_once(':').unwrap();
    let shown = run(seed.server.folder(), &[], &["show", "--json", url], "");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(
        shown["nodes"][0].as_str(),
        Some(format!("localhost:{port}").as_str()),
        "{shown}"
    );

    // The node knows nobody at first, so it remembers its own seed only when somebody has told it where it is.
    let other = Node::start(&[&seed], &[]);
    wait_for("the announce", || {
        let peers = other.peers(&publication["info_hash_v1"]);
        (!peers.is_empty()).then_some(())
    });
    let torrent = bare(&seed, &publication, &[&seed.address]);
    let done = run(
        seed.server.folder(),
        &[],
        &["download", &torrent, "-o", "down"],
        "",
    );
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn private_torrents_stay_out_of_the_dht() {
    let first = Node::start(&[], &[]);
    let seed = Node::start(&[&first], &[]);
    let private = seed.publish(&[("private", "true")], "private.bin");
    let public = seed.publish(&[], "public.bin");
    wait_for("the public torrent", || {
        (!first.peers(&public["info_hash_v1"]).is_empty()).then_some(())
    });
    // What was published before it had its turn no later.
    let later = seed.publish(&[], "later.bin");
    wait_for("a later one", || {
        (!first.peers(&later["info_hash_v1"]).is_empty()).then_some(())
    });
    for node in [&first, &seed] {
        assert_eq!(node.peers(&private["info_hash_v1"]), []);
    }
    let shown = run(
        seed.server.folder(),
        &[],
        &["show", "--json", private["torrent_url"].as_str().unwrap()],
        "",
    );
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["nodes"], Value::Array(vec![]), "{shown}");
}

#[test]
fn noise_does_not_stop_the_node() {
    let node = Node::start(&[], &[]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..5_000_usize {
        let packet: Vec<u8> = (0..number % 300)
            .map(|at| (at * number).to_le_bytes()[0])
            .collect();
        socket.send_to(&packet, &node.address).unwrap();
    }
    socket.send_to(&[b'l'; 60_000], &node.address).unwrap();
    assert!(matches!(node.ask(Question::Ping), Body::Answer(_)));
    assert!(matches!(node.ask(Question::Other), Body::Error(204, _)));
}

#[test]
fn peers_are_told_of_the_node_and_theirs_is_asked() {
    let node = Node::start(&[], &[]);
    let public = node.publish(&[], "public.bin");
    let private = node.publish(&[("private", "true")], "private.bin");
    let plain = ScriptedPeer::greet(&node.server.address(), named(&public));
    assert_eq!(ports_told(node.peer(&public)), [node.port()]);
    assert!(ports_told(plain).is_empty());
    assert!(ports_told(node.peer(&private)).is_empty());

    let [own, other] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let port = |socket: &UdpSocket| wire::Message::Port(socket.local_addr().unwrap().port());
    let mut secretive = node.peer(&private);
    secretive.send(&port(&other));
    secretive.become_unchoked();
    let mut peer = node.peer(&public);
    peer.send(&wire::Message::Port(0));
    peer.send(&wire::Message::Port(80));
    peer.send(&port(&own));
    peer.send(&port(&other));
    own.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut packet = [0; 2_000];
    let length = own.recv(&mut packet).unwrap();
    let asked = Message::decode(&packet[..length]).unwrap().body;
    assert!(matches!(asked, Body::Query(it) if it.question == Question::Ping));
    // One node is enough of a peer, and none of a private torrent's.
    peer.become_unchoked();
    node.ask(Question::Ping);
    other.set_nonblocking(true).unwrap();
    let heard = other.recv(&mut packet).map_err(|error| error.kind());
    assert_eq!(heard, Err(ErrorKind::WouldBlock));
}

#[test]
fn who_takes_no_part_says_so() {
    let server = Server::start();
    let (status, publication) = server.publish(&server.token(), &[], &[("a.bin", CONTENT)]);
    assert_eq!(status, 201, "{publication}");
    let (_, theirs) = ScriptedPeer::connect(&server.address())
        .greeted(named(&publication), Reserved::OURS.with_dht());
    assert!(!theirs.reserved.has_dht());
}

#[test]
fn announces_need_a_token_of_their_own_address_and_are_bounded() {
    let node = Node::start(&[], &[("SOWER_DHT__STORED_PEERS", "50")]);
    let torrent = InfoHash::from([5; 20]);
    let Body::Answer(answer) = node.ask(Question::GetPeers(torrent)) else {
        panic!("no answer")
    };
    let token = answer.token.unwrap();
    let announce = |port| Question::AnnouncePeer {
        info_hash: torrent,
        port: NonZeroU16::new(port),
        token: token.clone(),
    };
    let elsewhere = node.ask_from("127.0.0.2", announce(7_000)).body;
    assert!(matches!(elsewhere, Body::Error(203, _)), "{elsewhere:?}");
    assert_eq!(node.server.metric("sower_dht_stored_peers"), 0);
    for port in 7_000..7_200 {
        assert!(matches!(node.ask(announce(port)), Body::Answer(_)));
    }
    wait_for("the count", || {
        (node.server.metric("sower_dht_stored_peers") == 50).then_some(())
    });
    // Nobody is told three times what it said, however much is known.
    for question in [
        Question::Ping,
        Question::FindNode([5; 20].into()),
        Question::GetPeers(torrent),
    ] {
        let [asked, told] = node.ask_from("127.0.0.3", question).lengths;
        assert!(told <= 3 * asked, "{told} bytes for {asked}");
    }
}

#[test]
fn who_asks_without_end_goes_unanswered_and_others_do_not() {
    let node = Node::start(&[], &[("SOWER_DHT__QUERIES_PER_MINUTE", "60")]);
    let greedy = UdpSocket::bind("127.0.0.1:0").unwrap();
    greedy
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut answered = 0;
    // In small lots, so that nothing is lost on the way.
    for _ in 0..100 {
        for _ in 0..10 {
            greedy
                .send_to(&packet_of(Question::Ping), &node.address)
                .unwrap();
        }
        let lot = (0..10).take_while(|_| greedy.recv(&mut [0; 2_000]).is_ok());
        let lot = lot.count();
        answered += lot;
        if lot < 10 {
            break;
        }
    }
    assert!((200..230).contains(&answered), "{answered} answers");
    let other = node.ask_from("127.0.0.2", Question::Ping).body;
    assert!(matches!(other, Body::Answer(_)));
}

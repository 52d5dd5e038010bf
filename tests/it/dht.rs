//! The DHT, between real programs on this machine: who finds whom without a tracker (BEP 5).

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use serde_json::Value;
use sower::proto::dht::{Body, Message, Query, Question};
use sower::proto::id::InfoHash;

use crate::support::{Server, get, run, wait_for};

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
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
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
        let mut packet = [0; 2_000];
        // Packets may be lost on this machine too, where too many come at once.
        let length = wait_for("the node to answer", || {
            socket.send_to(&message.encode(), &self.address).unwrap();
            socket.recv(&mut packet).ok()
        });
        Message::decode(&packet[..length]).unwrap().body
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

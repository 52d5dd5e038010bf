//! Behind a proxy: who is believed about where a request or a connection came from, and who is not.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};

use serde::Deserialize;
use serde_bytes::ByteBuf;
use serde_json::Value;
use sower::proto::id::{InfoHash, PeerId};
use sower::proto::wire::handshake::{Handshake, Reserved};

use crate::support::{PATIENCE, Server, curl, get, wait_for};

const CLIENT: [u8; 4] = [198, 51, 100, 7];
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

/// What makes a request one that is answered by hyper.
const NOT_PLAIN: &str = "Content-Length: 0";

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(rename = "external ip")]
    external_ip: ByteBuf,
}

fn behind_a_proxy() -> (Server, InfoHash) {
    published_on(Server::start_with(&[(
        "SOWER_WEB__TRUSTED_PROXIES",
        "127.0.0.1, 10.0.0.0/8",
    )]))
}

fn published_on(server: Server) -> (Server, InfoHash) {
    let (status, publication) = server.publish(&server.token(), &[], &[("a", &[5; 40_000])]);
    assert_eq!(status, 201, "{publication}");
    let info_hash = InfoHash::from_hex(publication["info_hash_v1"].as_str().unwrap()).unwrap();
    (server, info_hash)
}

fn target(info_hash: InfoHash) -> String {
    let escaped =
        percent_encoding::percent_encode(info_hash.as_bytes(), percent_encoding::NON_ALPHANUMERIC);
    format!("/announce?info_hash={escaped}&peer_id=-XX0001-abcdefghijkl&port=6001&left=1")
}

/// The address that an announce with these headers is taken to come from.
fn source(server: &Server, info_hash: InfoHash, headers: &[&str]) -> Vec<u8> {
    let url = format!("http://{}{}", server.address(), target(info_hash));
    let mut arguments = vec![url.as_str()];
    for header in headers {
        arguments.extend(["-H", header]);
    }
    let answer: Answer = serde_bencode::from_bytes(&curl(&arguments)).unwrap();
    answer.external_ip.into_vec()
}

/// Everything that is answered to these bytes.
fn exchange(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A connection that is refused may be reset.
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn request(info_hash: InfoHash, more: &str) -> Vec<u8> {
    let target = target(info_hash);
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n")
        .into_bytes()
}

/// A header of version 2 for a client over IPv4.
fn binary_header(client: [u8; 4]) -> Vec<u8> {
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f";
    [
        &start[..],
        &client,
        &LOOPBACK,
        b"\x1a\xe1\0\x50",
        b"\x04\0\0",
    ]
    .concat()
}

fn says_external_ip(answer: &[u8], ip: [u8; 4]) -> bool {
    let expected = [b"11:external ip4:", &ip[..]].concat();
    answer.windows(expected.len()).any(|part| part == expected)
}

#[test]
fn a_trusted_proxys_word_counts_whichever_way_the_announce_is_answered() {
    let (server, info_hash) = behind_a_proxy();
    for header in [
        "X-Forwarded-For: 203.0.113.66, 198.51.100.7, 10.0.0.9",
        "Forwarded: for=203.0.113.66, for=\"198.51.100.7:1234\";proto=https",
    ] {
        assert_eq!(source(&server, info_hash, &[header]), CLIENT, "{header}");
        let by_hyper = source(&server, info_hash, &[header, NOT_PLAIN]);
        assert_eq!(by_hyper, CLIENT, "{header}");
    }
    let v6 = ["X-Forwarded-For: 2001:db8::7"];
    let octets = "2001:db8::7"
        .parse::<std::net::Ipv6Addr>()
        .unwrap()
        .octets();
    assert_eq!(source(&server, info_hash, &v6), octets);
    assert_eq!(source(&server, info_hash, &[]), LOOPBACK);
}

#[test]
fn a_strangers_word_changes_nothing() {
    let (server, info_hash) = published_on(Server::start());
    for header in [
        "X-Forwarded-For: 198.51.100.7",
        "Forwarded: for=198.51.100.7",
    ] {
        assert_eq!(source(&server, info_hash, &[header]), LOOPBACK, "{header}");
        let by_hyper = source(&server, info_hash, &[header, NOT_PLAIN]);
        assert_eq!(by_hyper, LOOPBACK, "{header}");
    }
    let line = b"PROXY TCP4 198.51.100.7 127.0.0.1 6881 80\r\n".to_vec();
    for header in [line, binary_header(CLIENT)] {
        let answer = exchange(&server, &[header, request(info_hash, "")].concat());
        assert!(
            !says_external_ip(&answer, CLIENT),
            "{}",
            answer.escape_ascii()
        );
        assert!(
            !answer.starts_with(b"HTTP/1.1 200"),
            "{}",
            answer.escape_ascii()
        );
    }
}

#[test]
fn the_proxy_protocol_says_where_http_connections_come_from() {
    let (server, info_hash) = behind_a_proxy();
    let line = b"PROXY TCP4 198.51.100.7 127.0.0.1 6881 80\r\n".to_vec();
    for header in [line, binary_header(CLIENT)] {
        for more in [
            "",
            "Content-Length: 0\r\n",
            "X-Forwarded-For: 192.0.2.66\r\n",
        ] {
            let answer = exchange(
                &server,
                &[header.clone(), request(info_hash, more)].concat(),
            );
            assert!(
                says_external_ip(&answer, CLIENT),
                "{}",
                answer.escape_ascii()
            );
        }
    }
    // Without a header, and with one that names nobody, it is the proxy that asks.
    for header in [&b""[..], b"PROXY UNKNOWN\r\n"] {
        let answer = exchange(&server, &[header, &request(info_hash, "")].concat());
        assert!(
            says_external_ip(&answer, LOOPBACK),
            "{}",
            answer.escape_ascii()
        );
    }
    // A method that begins as the header does is none.
    let post = exchange(
        &server,
        b"POST /announce HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert!(post.starts_with(b"HTTP/1.1 405"), "{}", post.escape_ascii());
}

#[test]
fn the_proxy_protocol_passes_peers_on_however_it_is_cut() {
    let (server, info_hash) = behind_a_proxy();
    let token = server.token_for("root");
    let greeting = Handshake {
        reserved: Reserved::OURS,
        info_hash,
        peer_id: PeerId::from(*b"-XX0001-scriptedpeer"),
    };
    let bytes = [&binary_header(CLIENT)[..], &greeting.encode()].concat();
    let reachable = || {
        let listed = get(&format!("{}/api/v1/publications", server.url));
        let listed: Value = serde_json::from_slice(&listed).unwrap();
        let page = listed["publications"][0]["page_url"].as_str().unwrap();
        let token = format!("Authorization: Bearer {token}");
        let page = String::from_utf8(curl(&["-H", &token, page])).unwrap();
        let (_, said) = page.split_once("Reachable from outside: ").unwrap();
        said.split([',', '<']).next().unwrap().to_owned()
    };
    assert_eq!(reachable(), "not tested");
    for cut in [0, 1, 12, 20, 31, 40] {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port(&server))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let (first, second) = bytes.split_at(cut);
        stream.write_all(first).unwrap();
        stream.write_all(second).unwrap();
        let mut answer = [0; 68];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer[28..48], info_hash.as_bytes());
    }
    wait_for("the peer to have its place", || {
        (reachable() == "yes").then_some(())
    });
}

#[test]
fn a_broken_header_ends_the_connection_and_nothing_else() {
    let (server, info_hash) = behind_a_proxy();
    for broken in [
        &b"PROXY TCP4 nowhere 127.0.0.1 6881 80\r\n"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"\r\n\r\n\0\r\nQUIT\n\x99",
        &[b"PROXY TCP4 ", &[b' '; 5_000][..]].concat(),
    ] {
        let answer = exchange(&server, broken);
        assert!(
            !answer.starts_with(b"HTTP/1.1 200"),
            "{}",
            answer.escape_ascii()
        );
    }
    assert_eq!(source(&server, info_hash, &[]), LOOPBACK);
}

#[test]
fn wrong_passwords_are_counted_for_whoever_sent_them() {
    let (server, _) = behind_a_proxy();
    let log_in = |client: &str, name: &str| {
        let status = curl(&[
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-H",
            &format!("X-Forwarded-For: {client}"),
            "-d",
            &format!("name={name}&password=wrong"),
            &format!("{}/login", server.url),
        ]);
        String::from_utf8(status).unwrap()
    };
    let answers: Vec<_> = (0..7)
        .map(|n| log_in("198.51.100.7", &format!("nobody{n}")))
        .collect();
    assert!(answers.contains(&"429".to_owned()), "{answers:?}");
    assert_eq!(log_in("198.51.100.8", "nobody"), "403");
}

fn port(server: &Server) -> u16 {
    server
        .address()
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

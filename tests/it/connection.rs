//! One HTTP connection, byte by byte: requests of all kinds that follow each other on it (RFC 9112).

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::Server;

/// A server with one published file, and a connection to it.
struct Connection {
    server: Server,
    stream: TcpStream,
    content: Vec<u8>,
    /// The path of the file as a web seed.
    web_seed: String,
    /// What came behind the last answer.
    rest: Vec<u8>,
}

struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Connection {
    fn open() -> Self {
        Self::open_to(Server::start())
    }

    fn open_to(server: Server) -> Self {
        let content: Vec<u8> = (0..750_000_u32).flat_map(u32::to_le_bytes).collect();
        let (status, publication) = server.publish(&server.token(), &[], &[("a.bin", &content)]);
        assert_eq!(status, 201, "{publication}");
        let url = publication["files"][0]["url"].as_str().unwrap();
        let (_, path) = url.split_once("/files/").unwrap();
        let stream = TcpStream::connect(server.address()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        Self {
            web_seed: format!("/web-seed/{path}"),
            server,
            stream,
            content,
            rest: Vec::new(),
        }
    }

    fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// The next answer, by its length; that of a HEAD has none.
    fn answer(&mut self, has_body: bool) -> Answer {
        let head = loop {
            if let Some(end) = self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.rest.drain(..end + 4).collect();
                break String::from_utf8(head).unwrap();
            }
            assert!(self.read(), "the connection ended in {:?}", self.rest);
        };
        let mut answer = Answer {
            head,
            body: Vec::new(),
        };
        let length = answer.header("content-length").unwrap().parse().unwrap();
        if has_body {
            while self.rest.len() < length {
                assert!(self.read(), "the connection ended in a body");
            }
            answer.body = self.rest.drain(..length).collect();
        }
        answer
    }

    fn read(&mut self) -> bool {
        let mut bytes = [0; 65_536];
        let length = self.stream.read(&mut bytes).unwrap();
        self.rest.extend_from_slice(&bytes[..length]);
        length > 0
    }
}

#[test]
fn announces_files_and_pages_share_a_connection() {
    let mut connection = Connection::open();
    let web_seed = connection.web_seed.clone();
    for _ in 0..2 {
        connection.say("GET /announce HTTP/1.1\r\nHost: x\r\n\r\n");
        let refusal = connection.answer(true);
        assert_eq!(refusal.status(), "200");
        assert!(refusal.body.starts_with(b"d14:failure reason"));

        connection.say(&format!(
            "GET {web_seed} HTTP/1.1\r\nHost: x\r\nRange: bytes=1000000-2999999\r\n\r\n"
        ));
        let part = connection.answer(true);
        assert_eq!(part.status(), "206");
        assert!(part.body == connection.content[1_000_000..]);

        connection.say(&format!("HEAD {web_seed} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let head = connection.answer(false);
        assert_eq!(head.header("content-length"), Some("3000000"));
        assert!(head.header("date").is_some(), "{}", head.head);

        // From the first page on, hyper answers.
        connection.say("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(connection.answer(true).status(), "200");
    }
}

#[test]
fn requests_that_were_sent_ahead_are_answered_in_order() {
    let mut connection = Connection::open();
    let web_seed = connection.web_seed.clone();
    let part = |from, to| {
        format!("GET {web_seed} HTTP/1.1\r\nHost: x\r\nRange: bytes={from}-{to}\r\n\r\n")
    };
    let mut requests: Vec<_> = (0..50).map(|at| part(at, at + 99)).collect();
    requests.push("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".to_owned());
    requests.push(part(7, 7));
    connection.say(&requests.concat());
    for at in 0..50 {
        assert!(connection.answer(true).body == connection.content[at..at + 100]);
    }
    assert_eq!(connection.answer(true).status(), "200");
    assert!(connection.answer(true).body == connection.content[7..8]);
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let mut connection = Connection::open();
    connection.stream.set_nodelay(true).unwrap();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: x\r\nRange: bytes=5-9\r\n\r\n",
        connection.web_seed
    );
    for byte in request.bytes() {
        connection.stream.write_all(&[byte]).unwrap();
    }
    assert!(connection.answer(true).body == connection.content[5..10]);
}

#[test]
fn the_connection_ends_with_the_answer_where_the_client_wants_it() {
    for request in [
        "GET /scrape HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /scrape HTTP/1.0\r\n\r\n",
    ] {
        let mut connection = Connection::open();
        connection.say(request);
        let answer = connection.answer(true);
        assert_eq!(answer.header("connection"), Some("close"), "{request}");
        assert!(!connection.read(), "{request}");
    }
}

#[test]
fn a_head_that_does_not_end_ends_the_connection() {
    let mut connection =
        Connection::open_to(Server::start_with(&[("SOWER_DOOR__HEAD_TIMEOUT", "1")]));
    connection.say("GET /announce HTTP/1.1\r\nHost: x\r\n");
    assert!(!connection.read());
    assert!(connection.rest.is_empty());
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let mut connection = Connection::open();
    let long = "x".repeat(100_000);
    connection.say(&format!("GET /announce HTTP/1.1\r\nHost: {long}\r\n\r\n"));
    assert_eq!(connection.answer(true).status(), "431");
}

#[test]
fn a_reader_that_goes_away_in_a_file_harms_nobody() {
    let mut connection = Connection::open();
    let web_seed = connection.web_seed.clone();
    for _ in 0..20 {
        let mut leaver = TcpStream::connect(connection.server.address()).unwrap();
        let request = format!("GET {web_seed} HTTP/1.1\r\nHost: x\r\n\r\n");
        leaver.write_all(request.as_bytes()).unwrap();
        let mut first = [0; 10];
        match leaver.read_exact(&mut first) {
            Ok(()) => assert_eq!(&first, b"HTTP/1.1 2"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    connection.say(&format!("GET {web_seed} HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert!(connection.answer(true).body == connection.content);
}

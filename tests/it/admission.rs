//! Who the tracker serves: its modes, passkeys, the deny list, the rate of a network, and claimed addresses.

use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::num::NonZeroU16;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde::Deserialize;
use serde_bytes::ByteBuf;
use serde_json::{Value, json};
use sower::proto::id::InfoHash;
use sower::proto::tracker::announce::{AnnounceRequest, Event, ScrapeRequest};
use sower::proto::tracker::udp::{
    Answer as UdpAnswer, ConnectionId, Family, TransactionId, UdpAnnounce, decode_answer,
    encode_announce, encode_connect, encode_scrape,
};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::support::{PATIENCE, Server, curl, get, wait_for};

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(rename = "failure reason")]
    failure_reason: Option<String>,
    #[serde(rename = "retry in")]
    retry_in: Option<serde_bencode::value::Value>,
    #[serde(rename = "external ip")]
    external_ip: Option<ByteBuf>,
}

impl Answer {
    fn is_served(&self) -> bool {
        self.failure_reason.is_none()
    }

    fn refuses(&self, words: &str) -> bool {
        let reason = self.failure_reason.as_deref().unwrap_or_default();
        reason.contains(words)
    }

    fn is_final(&self) -> bool {
        self.retry_in == Some(serde_bencode::value::Value::Bytes(b"never".to_vec()))
    }
}

const UNKNOWN: [u8; 20] = [9; 20];

fn percent(bytes: &[u8]) -> String {
    percent_encode(bytes, NON_ALPHANUMERIC).to_string()
}

fn query(info_hash: InfoHash, peer: u8, rest: &str) -> String {
    let (info_hash, peer) = (percent(info_hash.as_bytes()), percent(&[peer; 20]));
    format!("info_hash={info_hash}&peer_id={peer}&port=6001&left=1{rest}")
}

/// Announces under a path, with more headers.
fn announce(server: &Server, path: &str, query: &str, headers: &[&str]) -> Answer {
    let url = format!("http://{}{path}?{query}", server.address());
    let mut arguments = vec![url.as_str()];
    for header in headers {
        arguments.extend(["-H", header]);
    }
    let bytes = curl(&arguments);
    serde_bencode::from_bytes(&bytes).unwrap_or_else(|_| panic!("{}", bytes.escape_ascii()))
}

fn announce_plainly(server: &Server, info_hash: InfoHash) -> Answer {
    announce(server, "/announce", &query(info_hash, 1, ""), &[])
}

fn published_on(server: &Server, token: &str) -> (Value, InfoHash) {
    let (status, publication) = server.publish(token, &[], &[("a", &[5; 40_000])]);
    assert_eq!(status, 201, "{publication}");
    let info_hash = InfoHash::from_hex(publication["info_hash_v1"].as_str().unwrap()).unwrap();
    (publication, info_hash)
}

/// What a command prints.
fn output(server: &Server, arguments: &[&str]) -> String {
    let output = server.sower(arguments, "");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn an_open_tracker_serves_what_nobody_published() {
    let server = Server::start_with(&[("SOWER_TRACKER__MODE", "open")]);
    assert!(announce_plainly(&server, UNKNOWN.into()).is_served());
    let scraped = get(&format!(
        "{}/scrape?info_hash={}",
        server.url,
        percent(&UNKNOWN)
    ));
    let text = scraped.escape_ascii().to_string();
    assert!(text.contains("10:incompletei1e"), "{text}");
    // A passkey of a time when it was private does not matter any more.
    let path = format!("/{}/announce", "0f".repeat(16));
    assert!(announce(&server, &path, &query(UNKNOWN.into(), 2, ""), &[]).is_served());
}

/// A private tracker whose log has everything.
struct Private {
    server: Server,
    ada: Account,
    bob: Account,
    publication: Value,
    info_hash: InfoHash,
}

struct Account {
    token: String,
    passkey: String,
}

impl Private {
    fn start() -> Self {
        let server =
            Server::start_with(&[("SOWER_TRACKER__MODE", "private"), ("RUST_LOG", "trace")]);
        let account = |name: &str| Account {
            token: server.token_for(name),
            passkey: output(&server, &["user", "passkey", name]),
        };
        let (ada, bob) = (account("ada"), account("bob"));
        let (publication, info_hash) = published_on(&server, &ada.token);
        let private = Self {
            server,
            ada,
            bob,
            publication,
            info_hash,
        };
        wait_for("the passkeys to work", || {
            let both = [&private.ada, &private.bob].map(|it| private.announce(&it.passkey));
            both.iter().all(Answer::is_served).then_some(())
        });
        private
    }

    fn announce(&self, passkey: &str) -> Answer {
        let path = format!("/{passkey}/announce");
        announce(&self.server, &path, &query(self.info_hash, 1, ""), &[])
    }

    /// Asks for a path with an account's token: status and headers, and the body.
    fn ask(&self, path: &str, account: Option<&Account>) -> (String, Vec<u8>) {
        let authorization = account.map(|it| format!("Authorization: Bearer {}", it.token));
        let url = format!("{}{path}", self.server.url);
        let mut arguments = vec!["-i", &url];
        if let Some(authorization) = &authorization {
            arguments.extend(["-H", authorization]);
        }
        let answer = curl(&arguments);
        let end = answer
            .windows(4)
            .position(|part| part == b"\r\n\r\n")
            .unwrap();
        let head = String::from_utf8(answer[..end].to_vec())
            .unwrap()
            .to_lowercase();
        (head, answer[end + 4..].to_vec())
    }

    fn path(&self, suffix: &str) -> String {
        format!("/p/{}{suffix}", self.publication["id"].as_str().unwrap())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.server.folder().join("log")).unwrap()
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn a_private_tracker_serves_passkeys_that_work_and_nobody_else() {
    let private = Private::start();
    assert_ne!(private.ada.passkey, private.bob.passkey);
    assert!(private.ada.passkey.len() == 32);
    let without = announce_plainly(&private.server, private.info_hash);
    assert!(
        without.refuses("is private") && without.is_final(),
        "{without:?}"
    );
    for wrong in ["0f".repeat(16), "nonsense".to_owned()] {
        let refused = private.announce(&wrong);
        assert!(!refused.is_served() && refused.is_final(), "{refused:?}");
    }
    let scrape = |path: &str| {
        let info_hash = percent(private.info_hash.as_bytes());
        let url = format!("{}{path}?info_hash={info_hash}", private.server.url);
        get(&url)
    };
    assert!(contains(&scrape("/scrape"), "failure reason"));
    let path = format!("/{}/scrape", private.ada.passkey);
    assert!(contains(&scrape(&path), "incomplete"));
}

#[test]
fn over_udp_the_passkey_stands_in_the_url_data() {
    let private = Private::start();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(private.server.address()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let ask = |packet: &[u8]| {
        socket.send(packet).unwrap();
        let mut received = [0; 2_048];
        let length = socket.recv(&mut received).unwrap();
        decode_answer(&received[..length], Family::V4).unwrap().1
    };
    let mut packet = Vec::new();
    encode_connect(TransactionId(1), &mut packet);
    let UdpAnswer::Connected(connection) = ask(&packet) else {
        panic!("no connection id");
    };
    let announce = |url_data: &str| {
        let mut packet = Vec::new();
        let announce = udp_announce(private.info_hash, url_data);
        encode_announce(&announce, connection, TransactionId(2), &mut packet);
        ask(&packet)
    };
    let personal = format!("/{}/announce", private.bob.passkey);
    assert!(matches!(announce(&personal), UdpAnswer::Announced(_)));
    for url_data in ["", "/announce", "/0f0f/announce"] {
        let UdpAnswer::Refused(failure) = announce(url_data) else {
            panic!("{url_data} was served");
        };
        assert!(failure.reason.contains("private"), "{failure}");
    }
    // A scrape over UDP cannot show one.
    let mut packet = Vec::new();
    let scrape = ScrapeRequest {
        info_hashes: vec![private.info_hash],
    };
    let id: ConnectionId = connection;
    encode_scrape(&scrape, id, TransactionId(3), &mut packet);
    assert!(matches!(ask(&packet), UdpAnswer::Refused(_)));
}

fn udp_announce(info_hash: InfoHash, url_data: &str) -> UdpAnnounce {
    UdpAnnounce {
        request: AnnounceRequest {
            info_hash,
            peer_id: [8; 20].into(),
            port: NonZeroU16::new(6001).unwrap(),
            uploaded: 0,
            downloaded: 0,
            left: Some(9),
            event: Event::Started,
            numwant: None,
            key: Some(1),
        },
        url_data: url_data.as_bytes().to_vec(),
    }
}

#[test]
fn over_a_websocket_the_passkey_stands_in_the_path() {
    let private = Private::start();
    let connect = |path: &str| {
        let stream = TcpStream::connect(private.server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let url = format!("ws://{}{path}", private.server.address());
        client(url, stream).unwrap().0
    };
    let info_hash = private.info_hash.as_bytes().iter();
    let info_hash: String = info_hash.copied().map(char::from).collect();
    let announce = |socket: &mut WebSocket<TcpStream>| {
        let request = json!({
            "action": "announce", "info_hash": info_hash, "peer_id": "-WW0001-abcdefghijkl",
            "event": "started", "left": 1, "uploaded": 0, "downloaded": 0, "numwant": 0, "offers": [],
        });
        socket.send(Message::text(request.to_string())).unwrap();
        // Pings may come between.
        let answer = loop {
            if let Message::Text(answer) = socket.read().unwrap() {
                break answer;
            }
        };
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["failure reason"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let mut hers = connect(&format!("/{}/announce", private.ada.passkey));
    assert_eq!(announce(&mut hers), "");
    assert!(announce(&mut connect("/announce")).contains("is private"));

    output(&private.server, &["user", "passkey", "ada", "--rotate"]);
    wait_for("the old passkey to stop working", || {
        (!private.announce(&private.ada.passkey).is_served()).then_some(())
    });
    let refusal = announce(&mut hers);
    assert!(refusal.contains("any more"), "{refusal}");
}

#[test]
fn on_a_private_tracker_torrents_are_personal() {
    let private = Private::start();
    let Private { ada, bob, .. } = &private;
    assert_eq!(private.publication["private"], true);
    let api = format!(
        "/api/v1/publications/{}",
        private.publication["id"].as_str().unwrap()
    );
    let personal = [
        private.path(".torrent"),
        private.path(".magnet"),
        private.path(""),
        api,
    ];
    for path in &personal {
        for (asker, other) in [(ada, bob), (bob, ada)] {
            let (head, body) = private.ask(path, Some(asker));
            let whole = [head.as_bytes(), &body].concat();
            assert!(contains(&whole, &asker.passkey), "{path}: {head}");
            assert!(!contains(&whole, &other.passkey), "{path}");
            assert!(
                head.contains("cache-control: private, no-store"),
                "{path}: {head}"
            );
        }
        let (head, body) = private.ask(path, None);
        let whole = [head.as_bytes(), &body].concat();
        for account in [ada, bob] {
            assert!(!contains(&whole, &account.passkey), "{path}");
        }
    }
    let (_, torrent) = private.ask(&personal[0], Some(ada));
    assert!(contains(&torrent, "7:privatei1e"));
    for path in &personal[..2] {
        let (head, body) = private.ask(path, None);
        assert!(head.starts_with("http/1.1 401"), "{head}");
        assert!(contains(&body, "Log in"), "{}", body.escape_ascii());
    }
    // The password of a proxy in front is nobody's token, and hides nothing that everybody may read.
    let with_password = |path: &str| {
        let url = format!("{}{path}", private.server.url);
        String::from_utf8(curl(&[
            "-u",
            "ada:secret",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &url,
        ]))
        .unwrap()
    };
    let statuses: Vec<_> = personal.iter().map(|path| with_password(path)).collect();
    assert_eq!(statuses, ["401", "401", "200", "200"]);
    let (_, page) = private.ask(&personal[2], None);
    assert!(contains(&page, "Log in for the torrent") && !contains(&page, "magnet:"));
    let (_, json) = private.ask(&personal[3], None);
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert!(json["magnet"].is_null());
}

#[test]
fn a_replaced_passkey_and_one_of_a_disabled_account_stop_working() {
    let mut private = Private::start();
    let old = private.ada.passkey.clone();
    let fresh = output(&private.server, &["user", "passkey", "ada", "--rotate"]);
    assert_ne!(fresh, old);
    assert_eq!(output(&private.server, &["user", "passkey", "ada"]), fresh);
    wait_for("the old passkey to stop working", || {
        (!private.announce(&old).is_served()).then_some(())
    });
    assert!(private.announce(&fresh).is_served());

    output(&private.server, &["user", "disable", "bob"]);
    wait_for("bob's passkey to stop working", || {
        (!private.announce(&private.bob.passkey).is_served()).then_some(())
    });
    let nobody = private.server.sower(&["user", "passkey", "nobody"], "");
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no account"));

    // They work, or do not, from the first announce after a restart.
    private.server = private.server.restart();
    assert!(private.announce(&fresh).is_served());
    assert!(!private.announce(&old).is_served());
}

#[test]
fn on_the_account_page_everybody_sees_and_replaces_their_own_passkey() {
    let private = Private::start();
    let jar = private.server.folder().join("cookies");
    let jar = jar.to_str().unwrap();
    let browse = |path: &str, form: Option<&str>| {
        let url = format!("{}{path}", private.server.url);
        let mut arguments = vec!["-b", jar, "-c", jar, "-i", &url];
        if let Some(form) = form {
            arguments.extend(["-d", form]);
        }
        String::from_utf8(curl(&arguments)).unwrap()
    };
    assert!(browse("/account", None).contains("location: /login?next=/account"));
    browse("/login", Some("name=ada&password=correct+horse"));
    let page = browse("/account", None);
    assert!(
        page.contains(&private.ada.passkey) && !page.contains(&private.bob.passkey),
        "{page}"
    );
    assert!(page.contains("cache-control: private, no-store"), "{page}");

    let other_site = curl(&[
        "-b",
        jar,
        "-o",
        "/dev/null",
        "-w",
        "%{http_code}",
        "-H",
        "Origin: http://evil.example",
        "-d",
        "",
        &format!("{}/account/passkey", private.server.url),
    ]);
    assert_eq!(other_site, b"403");
    assert!(private.announce(&private.ada.passkey).is_served());

    assert!(browse("/account/passkey", Some("")).starts_with("HTTP/1.1 303"));
    assert!(
        !private.announce(&private.ada.passkey).is_served(),
        "it stops at once"
    );
    let page = browse("/account", None);
    assert!(!page.contains(&private.ada.passkey));
    assert!(
        private
            .announce(&output(&private.server, &["user", "passkey", "ada"]))
            .is_served()
    );
}

#[test]
fn no_passkey_is_in_the_log_whatever_is_logged() {
    let mut private = Private::start();
    let passkeys = [private.ada.passkey.clone(), private.bob.passkey.clone()];
    for passkey in &passkeys {
        // Answered here, answered by hyper, refused, malformed, and not there at all.
        for (path, headers) in [
            ("announce", &[][..]),
            ("announce", &["Content-Length: 0"]),
            ("scrape", &[]),
            ("nothing", &[]),
            ("announce/more", &["Content-Length: 0"]),
            ("announce", &["Upgrade: websocket", "Connection: Upgrade"]),
        ] {
            let url = format!("{}/{passkey}/{path}?left=x", private.server.url);
            let mut arguments = vec![url.as_str(), "--http1.1"];
            for header in headers {
                arguments.extend(["-H", header]);
            }
            curl(&arguments);
        }
    }
    let fresh = output(&private.server, &["user", "passkey", "ada", "--rotate"]);
    private.ask(&private.path(".torrent"), Some(&private.ada));
    private.server.stop();
    let log = private.log().to_lowercase();
    assert!(log.contains("trace") || log.contains("debug"), "{log}");
    for passkey in passkeys.iter().chain([&fresh]) {
        assert!(!log.contains(passkey), "a passkey is in the log");
    }
}

#[test]
fn the_deny_list_is_followed_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("deny");
    std::fs::write(&file, "203.0.113.0/24\n").unwrap();
    let server = Server::start_with(&[
        ("SOWER_TRACKER__DENY_FILE", file.to_str().unwrap()),
        (
            "SOWER_TRACKER__DENY",
            "198.51.100.66, 0909090909090909090909090909090909090909",
        ),
        ("SOWER_TRACKER__MODE", "open"),
        ("SOWER_WEB__TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let info_hash = InfoHash::from([3; 20]);
    let from = |ip: &str, info_hash| {
        let header = format!("X-Forwarded-For: {ip}");
        announce(&server, "/announce", &query(info_hash, 1, ""), &[&header])
    };
    assert!(from("192.0.2.1", info_hash).is_served());
    for denied in ["203.0.113.9", "198.51.100.66"] {
        let refused = from(denied, info_hash);
        assert!(
            refused.refuses("your network") && refused.is_final(),
            "{refused:?}"
        );
    }
    let refused = from("192.0.2.1", UNKNOWN.into());
    assert!(
        refused.refuses("this torrent") && refused.is_final(),
        "{refused:?}"
    );

    std::fs::write(&file, format!("{info_hash}  # from today on\n")).unwrap();
    wait_for("the torrent to be denied", || {
        from("192.0.2.1", info_hash)
            .refuses("this torrent")
            .then_some(())
    });
    assert!(!from("203.0.113.9", [4; 20].into()).refuses("your network"));
    assert!(
        from("198.51.100.66", info_hash).refuses("your network"),
        "configured ones stay"
    );

    std::fs::write(&file, "nonsense\n").unwrap();
    let log = server.folder().join("log");
    wait_for("the bad line to be named", || {
        let log = std::fs::read_to_string(&log).unwrap();
        (log.contains("line 1") && log.contains("nonsense")).then_some(())
    });
    assert!(from("192.0.2.1", info_hash).refuses("this torrent"));
}

#[test]
fn a_server_does_not_start_with_a_bad_deny_list() {
    let server = Server::start();
    let file = server.folder().join("deny");
    std::fs::write(&file, "192.0.2.0/24\n192.0.2.0/99\n").unwrap();
    let start = |name: &str, value: &str| {
        let data = server.folder().join("other").display().to_string();
        let environment = [
            ("SOWER_DATA_DIR", data.as_str()),
            ("SOWER_LISTEN", "127.0.0.1:0"),
            (name, value),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let output = crate::support::run(server.folder(), &environment, &["serve"], "");
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let words = start("SOWER_TRACKER__DENY_FILE", file.to_str().unwrap());
    assert!(
        words.contains("line 2") && words.contains("192.0.2.0/99"),
        "{words}"
    );
    let words = start("SOWER_TRACKER__DENY_FILE", "/nowhere/deny");
    assert!(words.contains("/nowhere/deny"), "{words}");
    let words = start("SOWER_TRACKER__DENY", "nonsense");
    assert!(
        words.contains("SOWER_TRACKER__DENY") && words.contains("nonsense"),
        "{words}"
    );
    let words = start("SOWER_TRACKER__MODE", "closed");
    assert!(words.contains("SOWER_TRACKER__MODE"), "{words}");
}

#[test]
fn a_network_that_asks_too_often_is_told_to_wait() {
    let server = Server::start_with(&[
        ("SOWER_TRACKER__MODE", "open"),
        ("SOWER_TRACKER__ANNOUNCES_PER_MINUTE", "1"),
        ("SOWER_TRACKER__ANNOUNCE_BURST", "5"),
        ("SOWER_WEB__TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let from = |ip: &str| {
        let header = format!("X-Forwarded-For: {ip}");
        announce(
            &server,
            "/announce",
            &query(UNKNOWN.into(), 1, ""),
            &[&header],
        )
    };
    for _ in 0..5 {
        assert!(from("2001:db8::1").is_served());
    }
    let refused = from("2001:db8::2");
    assert!(
        refused.refuses("too often") && !refused.is_final(),
        "{refused:?}"
    );
    assert!(refused.retry_in.is_some());
    assert!(from("2001:db8:0:1::1").is_served());
    for _ in 0..10 {
        assert!(
            from("127.0.0.2").is_served(),
            "this machine is never held back"
        );
    }
}

#[test]
fn a_claimed_address_counts_only_where_the_configuration_lets_it() {
    let claim = query(UNKNOWN.into(), 1, "&ip=203.0.113.9");
    let external_ip = |server: &Server| {
        let answer = announce(server, "/announce", &claim, &[]);
        answer.external_ip.unwrap().into_vec()
    };
    let server = Server::start_with(&[("SOWER_TRACKER__MODE", "open")]);
    assert_eq!(external_ip(&server), [127, 0, 0, 1]);
    let server = Server::start_with(&[
        ("SOWER_TRACKER__MODE", "open"),
        ("SOWER_TRACKER__IP_FROM_PRIVATE_NETWORKS", "true"),
        ("SOWER_WEB__TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    assert_eq!(external_ip(&server), [203, 0, 113, 9]);
    let stranger = announce(
        &server,
        "/announce",
        &claim,
        &["X-Forwarded-For: 198.51.100.7"],
    );
    assert_eq!(stranger.external_ip.unwrap().into_vec(), [198, 51, 100, 7]);
}

#[test]
fn peers_that_share_a_gateways_address_are_warned_of_once() {
    let server = Server::start_with(&[("SOWER_TRACKER__MODE", "open")]);
    let log = || std::fs::read_to_string(server.folder().join("log")).unwrap();
    let enter = |peers: std::ops::Range<u8>| {
        for peer in peers {
            announce(&server, "/announce", &query(UNKNOWN.into(), peer, ""), &[]);
        }
    };
    enter(0..19);
    assert!(!log().contains("gateway"), "{}", log());
    enter(19..40);
    assert_eq!(log().matches("gateway").count(), 1, "{}", log());
    assert!(log().contains("trusted_proxies"));
}

//! Torrents that are out in the world already, published with their content: the info-hash stays, and nothing is published that does not
//! match.

use std::fs;
use std::path::Path;

use data_encoding::BASE64;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use sower::proto::bencode::Encoder;
use sower::proto::id::InfoHash;
use sower::proto::metainfo::info::InfoLimits;
use sower::proto::metainfo::torrent_file::TorrentFile;

use crate::edits::{Answer, ask, bearer};
use crate::local_publish::describe;
use crate::support::{Server, curl, get};
use crate::uploads::{Uploader, upload};

const B: &str = "b.bin";
const U: &str = "a/\u{fc}.txt";

fn bytes(length: u32) -> Vec<u8> {
    (0..length).map(|i| (i / 7 % 251) as u8).collect()
}

/// A torrent as no program of ours makes it, and the folder `old` that it is of.
struct Old {
    info: Vec<u8>,
    torrent: Vec<u8>,
}

impl Old {
    /// Pieces of an odd length, a pad, files against the order of their names, and keys that nobody knows.
    fn new() -> Self {
        let files: [(&[&str], Vec<u8>); 3] = [
            (&["b.bin"], bytes(70_000)),
            (&["a", "\u{fc}.txt"], bytes(300)),
            (&["a", "empty"], Vec::new()),
        ];
        let mut run = Vec::new();
        let mut info = Vec::new();
        let mut encoder = Encoder::new(&mut info);
        encoder.begin_dict().key("files").begin_list();
        for (path, content) in &files {
            run.extend_from_slice(content);
            encoder.begin_dict();
            encoder.key("length").unsigned(content.len() as u64);
            encoder
                .key("md5sum")
                .text("d41d8cd98f00b204e9800998ecf8427e");
            encoder.key("path").begin_list();
            for component in *path {
                encoder.text(component);
            }
            encoder.end().end();
            if path == &["b.bin"] {
                run.resize(run.len() + 49, 0);
                encoder.begin_dict().key("attr").text("p");
                encoder.key("length").unsigned(49);
                encoder
                    .key("path")
                    .begin_list()
                    .text(".pad")
                    .text("49")
                    .end();
                encoder.end();
            }
        }
        encoder.end();
        encoder.key("name").text("old");
        encoder.key("piece length").unsigned(10_007);
        let pieces: Vec<u8> = run.chunks(10_007).flat_map(Sha1::digest).collect();
        encoder.key("pieces").bytes(&pieces);
        encoder.key("x_cross_seed").text("abc").end();
        let mut torrent = Vec::new();
        let mut encoder = Encoder::new(&mut torrent);
        encoder.begin_dict();
        encoder.key("announce").text("http://127.0.0.1:1/announce");
        encoder.key("announce-list").begin_list();
        for tracker in [
            "http://127.0.0.1:1/announce",
            "https://127.0.0.1:1/announce",
            "file:///etc",
        ] {
            encoder.begin_list().text(tracker).end();
        }
        encoder.end();
        encoder.key("comment").text("From the *old* days");
        encoder.key("info").raw(&info);
        encoder
            .key("url-list")
            .text("http://127.0.0.1:1/files/")
            .end();
        Self { info, torrent }
    }

    /// The folder in another one, and the torrent beside it.
    fn lay_out(&self, around: &Path) {
        let a = around.join("downloads/old/a");
        fs::create_dir_all(&a).unwrap();
        fs::write(a.join("../b.bin"), bytes(70_000)).unwrap();
        fs::write(a.join("\u{fc}.txt"), bytes(300)).unwrap();
        fs::write(a.join("empty"), "").unwrap();
        fs::write(a.join("Thumbs.db"), "none of the torrent's").unwrap();
        fs::write(around.join("old.torrent"), &self.torrent).unwrap();
    }

    fn info_hash(&self) -> String {
        InfoHash::of_v1(&self.info).to_string()
    }

    /// Holds a publication against the torrent.
    fn expect_in(&self, publication: &Value) {
        assert_eq!(publication["info_hash_v1"], self.info_hash());
        assert_eq!(publication["title"], "old");
        assert_eq!(publication["description"], "From the *old* days");
        assert_eq!(publication["piece_length"], 10_007);
        assert_eq!(publication["total_length"], 70_300);
        let trackers = json!([
            "http://127.0.0.1:1/announce",
            "https://127.0.0.1:1/announce"
        ]);
        assert_eq!(publication["trackers"], trackers);
        assert_eq!(
            publication["web_seeds"],
            json!(["http://127.0.0.1:1/files/"])
        );
        let files = publication["files"].as_array().unwrap();
        let paths: Vec<_> = files
            .iter()
            .map(|file| file["path"].as_str().unwrap())
            .collect();
        assert_eq!(paths, [B, U, "a/empty"]);
        let given = get(publication["torrent_url"].as_str().unwrap());
        let given = TorrentFile::parse(&given, &InfoLimits::default()).unwrap();
        assert_eq!(given.info.raw[..], self.info);
        assert!(
            given
                .trackers
                .concat()
                .contains(&"https://127.0.0.1:1/announce".to_owned())
        );
    }
}

/// Fetches all files by BitTorrent, and compares them with those that were published.
fn download(server: &Server, publication: &Value, from: &Path) {
    let torrent = publication["torrent_url"].as_str().unwrap();
    let done = server.sower(&["download", torrent, "-o", "down"], "");
    assert!(done.status.success(), "{done:?}");
    for file in publication["files"].as_array().unwrap() {
        let path = file["path"].as_str().unwrap();
        let [got, sent] = [&server.folder().join("down/old"), from]
            .map(|folder| fs::read(folder.join(path)).unwrap());
        assert!(got == sent, "{path} differs");
    }
}

fn publish(server: &Server, arguments: &[&str]) -> Value {
    let done = server.sower(&[&["publish", "--json"], arguments].concat(), "");
    assert!(done.status.success(), "{done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

fn refusal(server: &Server, arguments: &[&str]) -> String {
    let before = server.stored();
    let done = server.sower(&[&["publish"], arguments].concat(), "");
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(done.stdout.is_empty(), "{done:?}");
    assert_eq!(server.stored(), before);
    String::from_utf8(done.stderr).unwrap()
}

#[test]
fn a_torrent_and_its_content_are_published_under_the_same_info_hash() {
    for in_place in [false, true] {
        let (server, old) = (Server::start(), Old::new());
        old.lay_out(server.folder());
        let mut arguments = vec!["--torrent", "old.torrent", "downloads"];
        arguments.extend(in_place.then_some("--in-place"));
        let printed = publish(&server, &arguments);
        let publication = describe(&server, &printed["id"]);
        old.expect_in(&publication);
        download(
            &server,
            &publication,
            &server.folder().join("downloads/old"),
        );

        let again = publish(&server, &["--torrent", "old.torrent", "downloads/old"]);
        assert_eq!(again["was_published_already"], true);
        assert_eq!(again["id"], printed["id"]);
        take_down(&server, &server.token(), &printed["id"]);
        let words = refusal(&server, &["--torrent", "old.torrent", "downloads"]);
        assert!(words.contains("taken down"), "{words}");
    }
}

#[test]
fn what_does_not_match_is_named_by_file_and_piece_and_not_published() {
    let (server, old) = (Server::start(), Old::new());
    old.lay_out(server.folder());
    let file = |name: &str| server.folder().join("downloads/old").join(name);
    let refusal = || refusal(&server, &["--torrent", "old.torrent", "downloads"]);
    let mut wrong = bytes(70_000);
    wrong[20_014] ^= 1;
    fs::write(file(B), &wrong).unwrap();
    let words = refusal();
    assert!(words.contains("nothing was published"), "{words}");
    assert!(words.contains("bad         b.bin; bad pieces 2"), "{words}");
    fs::remove_file(file(B)).unwrap();
    let words = refusal();
    assert!(words.contains("missing     b.bin"), "{words}");
    fs::write(file(B), bytes(70_000)).unwrap();
    fs::write(file(U), bytes(301)).unwrap();
    let words = refusal();
    assert!(words.contains("long        a/\u{fc}.txt"), "{words}");
    fs::write(file(U), bytes(300)).unwrap();
    fs::remove_file(file("a/empty")).unwrap();
    let words = refusal();
    assert!(words.contains("missing     a/empty"), "{words}");
    assert_eq!(server.publication_count(), 0);
}

/// Bytes that `tests/data/libtorrent/make.py` makes likewise.
fn pseudo(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
        state.to_be_bytes()[1]
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[test]
fn torrents_of_libtorrent_stay_what_they_are_in_every_format() {
    let server = Server::start();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/libtorrent");
    for (path, length, seed) in [
        ("folder/b.bin", 40_000, 1),
        ("folder/a.txt", 1, 2),
        ("folder/empty", 0, 3),
        ("folder/sub/c.bin", 65_536, 4),
        ("folder/sub/d \u{e9}.bin", 65_537, 5),
        ("folder/z.bin", 131_072, 5),
        ("single.bin", 100_000, 6),
        ("one/one.bin", 50_000, 7),
    ] {
        let path = server.folder().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, pseudo(length, seed)).unwrap();
    }
    for format in ["v1", "v2", "hybrid"] {
        for (root, path) in [
            ("folder", "folder"),
            ("single", "single.bin"),
            ("one", "one"),
        ] {
            let file = golden.join(format!("{root}-{format}.torrent"));
            let before = fs::read(&file).unwrap();
            let before = TorrentFile::parse(&before, &InfoLimits::default()).unwrap();
            let file = file.to_str().unwrap();
            let printed = publish(&server, &["--torrent", file, path]);
            let publication = describe(&server, &printed["id"]);
            assert_eq!(publication["format"], format);
            let after = get(publication["torrent_url"].as_str().unwrap());
            let after = TorrentFile::parse(&after, &InfoLimits::default()).unwrap();
            assert_eq!(after.info, before.info);
            assert_eq!(after.piece_layers, before.piece_layers);
            assert_eq!(publication["private"], root == "folder");
            if root == "folder" {
                // BEP 27: it has the tracker of this server alone; and what its publisher said of it.
                assert_eq!(publication["trackers"], json!([]));
                assert_eq!(
                    publication["web_seeds"],
                    json!(["http://seed.example/files/"])
                );
                assert_eq!(publication["description"], "a comment");
            }
            for file in publication["files"].as_array().unwrap() {
                // The reader holds each piece against its hash before it gives a byte of it.
                let given = get(file["url"].as_str().unwrap());
                let name = file["path"].as_str().unwrap();
                let kept = server.folder().join(path);
                let kept = if kept.is_dir() { kept.join(name) } else { kept };
                assert!(given == fs::read(kept).unwrap(), "{format}: {name}");
            }
        }
    }
    assert_eq!(server.publication_count(), 9);
}

#[test]
fn a_private_server_takes_private_torrents_alone() {
    let server = Server::start_with(&[("SOWER_TRACKER__MODE", "private")]);
    let old = Old::new();
    old.lay_out(server.folder());
    let words = refusal(&server, &["--torrent", "old.torrent", "downloads"]);
    assert!(
        words.contains("private torrents alone, and this one is public"),
        "{words}"
    );
    let options = [
        "create",
        "downloads/old",
        "--private",
        "--name",
        "old",
        "-o",
        "private.torrent",
    ];
    assert!(server.sower(&options, "").status.success());
    let printed = publish(&server, &["--torrent", "private.torrent", "downloads"]);
    let token = bearer(&server.token());
    let url = format!(
        "{}/api/v1/publications/{}",
        server.url,
        printed["id"].as_str().unwrap()
    );
    let publication: Value = serde_json::from_slice(&curl(&["-f", "-H", &token, &url])).unwrap();
    assert_eq!(publication["private"], true);
}

#[test]
fn what_is_no_torrent_for_this_server_is_refused_in_plain_words() {
    let server = Server::start_with(&[("SOWER_PUBLISH__MAX_FILES", "2")]);
    let folder = server.folder();
    Old::new().lay_out(folder);
    fs::write(folder.join("note"), "hello").unwrap();
    let words = refusal(&server, &["--torrent", "note", "downloads"]);
    assert!(words.contains("no usable torrent file"), "{words}");
    let words = refusal(&server, &["--torrent", "nowhere", "downloads"]);
    assert!(words.contains("nowhere cannot be opened"), "{words}");
    let words = refusal(&server, &["--torrent", "old.torrent", "downloads"]);
    assert!(words.contains("more than 2 files"), "{words}");
    let words = refusal(&server, &["--torrent", "old.torrent", "downloads", "note"]);
    assert!(words.contains("one path"), "{words}");
    let escaping = b"d4:infod5:filesld6:lengthi5e4:pathl2:..4:noteeee4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee";
    fs::write(folder.join("escaping.torrent"), escaping).unwrap();
    let words = refusal(&server, &["--torrent", "escaping.torrent", "."]);
    assert!(words.contains("file name that cannot be used"), "{words}");
    let odd = [
        "publish",
        "--torrent",
        "old.torrent",
        "downloads",
        "--format",
        "v2",
    ];
    assert_eq!(server.sower(&odd, "").status.code(), Some(2));
    assert_eq!(server.publication_count(), 0);
}

/// What somebody sends in a form, part by part.
struct Form<'a> {
    server: &'a Server,
    token: String,
    parts: Vec<String>,
}

impl<'a> Form<'a> {
    fn new(server: &'a Server, token: &str) -> Self {
        Self {
            server,
            token: token.to_owned(),
            parts: Vec::new(),
        }
    }

    fn field(self, field: &str, bytes: &[u8]) -> Self {
        self.part(field, "it", bytes)
    }

    fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.part("files", name, bytes)
    }

    fn part(mut self, field: &str, name: &str, bytes: &[u8]) -> Self {
        let path = format!("part-{}", self.parts.len());
        let path = self.server.folder().join(path);
        fs::write(&path, bytes).unwrap();
        let path = path.display();
        let part = format!("{field}=@{path};filename=\"{name}\"");
        self.parts.push(part);
        self
    }

    fn send(self) -> Answer {
        let (authorization, url) = (
            bearer(&self.token),
            format!("{}/api/v1/publications", self.server.url),
        );
        let mut arguments = vec!["-w", "\n%{http_code} %{content_type}", "-H", &authorization];
        for part in &self.parts {
            arguments.extend(["-F", part]);
        }
        arguments.push(&url);
        let said = String::from_utf8(curl(&arguments)).unwrap();
        let (body, head) = said.rsplit_once('\n').unwrap();
        let (status, content_type) = head.split_once(' ').unwrap();
        Answer {
            status: status.parse().unwrap(),
            head: format!("content-type: {content_type}"),
            body: body.to_owned(),
        }
    }

    /// Sends what must not be published, and gives the reason.
    fn refused(self, status: u16) -> String {
        let server = self.server;
        let (count, stored) = (server.publication_count(), server.stored());
        let answer = self.send();
        answer.expect_problem(status);
        assert_eq!(
            (server.publication_count(), server.stored()),
            (count, stored)
        );
        answer.json()["detail"].as_str().unwrap().to_owned()
    }
}

/// Takes a publication down.
fn take_down(server: &Server, token: &str, id: &Value) {
    let id = id.as_str().unwrap();
    let url = format!("{}/api/v1/publications/{id}/takedown", server.url);
    let headers = [&*bearer(token), "Content-Type: application/json"];
    let reason = Some(r#"{"reason": "a court says so"}"#);
    let removed = ask("PUT", &url, &headers, reason);
    assert!(removed.status < 300, "{}", removed.body);
}

#[test]
fn a_form_with_a_torrent_keeps_its_info_hash() {
    let (server, old) = (Server::start(), Old::new());
    let token = server.token();
    old.lay_out(server.folder());
    // In another order than the torrent's, under another folder's name, and with a file beside.
    let form = || {
        Form::new(&server, &token)
            .field("format", b"hybrid")
            .field("torrent", &old.torrent)
            .file("new/a/empty", b"")
            .file("new/Thumbs.db", b"none of the torrent's")
            .file("new/a/\u{fc}.txt", &bytes(300))
            .file("new/b.bin", &bytes(70_000))
    };
    let answer = form().send();
    assert_eq!(answer.status, 201, "{}", answer.body);
    let published = answer.json();
    let publication = describe(&server, &published["id"]);
    old.expect_in(&publication);
    let from = server.folder().join("downloads/old");
    download(&server, &publication, &from);

    let again = form().send();
    again.expect_problem(409);
    let twin = json!({ "id": published["id"], "page_url": published["page_url"] });
    assert_eq!(again.json()["same_as"], twin);
    take_down(&server, &token, &published["id"]);
    let words = form().refused(451);
    assert!(words.contains("taken down"), "{words}");
}

#[test]
fn a_form_with_a_hybrid_torrent_keeps_both_info_hashes() {
    let server = Server::start();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/libtorrent");
    let torrent = fs::read(golden.join("single-hybrid.torrent")).unwrap();
    let form = Form::new(&server, &server.token()).field("torrent", &torrent);
    // Bare, and in the folder that somebody keeps it in.
    let answer = form.file("kept/single.bin", &pseudo(100_000, 6)).send();
    assert_eq!(answer.status, 201, "{}", answer.body);
    let hashes = TorrentFile::parse(&torrent, &InfoLimits::default()).unwrap();
    let hashes = hashes.info.hashes;
    let published = answer.json();
    assert_eq!(published["format"], "hybrid");
    assert_eq!(published["info_hash_v1"], hashes.v1().unwrap().to_string());
    assert_eq!(published["info_hash_v2"], hashes.v2().unwrap().to_string());
}

#[test]
fn a_form_that_does_not_fit_its_torrent_is_refused_and_leaves_nothing() {
    let (server, old) = (
        Server::start_with(&[("SOWER_PUBLISH__MAX_TORRENT_BYTES", "2000")]),
        Old::new(),
    );
    let token = server.token();
    let (b, u) = (bytes(70_000), bytes(300));
    let new = || Form::new(&server, &token);
    let with_torrent = || new().field("torrent", &old.torrent);

    let mut wrong = b.clone();
    wrong[20_014] ^= 1;
    let form = with_torrent()
        .file(B, &wrong)
        .file(U, &u)
        .file("a/empty", b"");
    let words = form.refused(422);
    assert!(words.contains("Piece 2 of 8 in b.bin"), "{words}");
    let form = with_torrent()
        .file(B, &b[1..])
        .file(U, &u)
        .file("a/empty", b"");
    let words = form.refused(422);
    assert!(words.contains("b.bin has 69999 bytes"), "{words}");
    let form = with_torrent()
        .file(B, &b)
        .file("a/other.txt", &u)
        .file("a/empty", b"");
    let words = form.refused(422);
    assert!(words.contains("missing: a/\u{fc}.txt"), "{words}");
    let words = with_torrent().file(B, &b).file("x/b.bin", &b).refused(400);
    assert!(words.contains("x/b.bin came twice"), "{words}");

    let form = new().file(B, &b).field("torrent", &old.torrent);
    let words = form.file(U, &u).refused(400);
    assert!(words.contains("goes before the files"), "{words}");
    let words = with_torrent().field("torrent", &old.torrent).refused(400);
    assert!(words.contains("Send one"), "{words}");
    let words = new().field("torrent", &b[..1999]).file(B, &b).refused(400);
    assert!(words.contains("The .torrent cannot be used"), "{words}");
    let words = new().field("torrent", &b[..2001]).file(B, &b).refused(413);
    assert!(words.contains("longer than 2000 bytes"), "{words}");
    let form = with_torrent()
        .field("private", b"on")
        .file(B, &b)
        .file(U, &u);
    let words = form.refused(400);
    assert!(words.contains("would change its info-hash"), "{words}");
    let words = with_torrent().refused(400);
    assert!(words.contains("no file"), "{words}");
    // A form sends an empty one where nobody has chosen any.
    let form = new().file("note", b"hello").part("torrent", "", b"");
    assert_eq!(form.send().status, 201);
}

impl Uploader<'_> {
    /// A draft of what is in a torrent.
    fn draft_of(&self, torrent: &[u8]) -> Answer {
        self.try_draft(&json!({ "torrent": BASE64.encode(torrent) }))
    }

    /// Sends all files of a draft, or what is missing of them.
    fn send_all(&self, draft: &Value, files: &[&[u8]]) {
        for (place, file) in files.iter().enumerate() {
            let offset = draft["files"][place]["offset"].as_u64().unwrap();
            let offset = usize::try_from(offset).unwrap();
            if offset < file.len() {
                self.send(&upload(self.server, draft, place), offset, &file[offset..]);
            }
        }
    }
}

#[test]
fn a_draft_of_a_torrent_is_filled_over_a_restart_and_keeps_its_info_hash() {
    let (server, old) = (Server::start(), Old::new());
    old.lay_out(server.folder());
    let ada = Uploader::new(&server, "ada");
    let token = ada.token.clone();
    let made = ada.draft_of(&old.torrent);
    assert_eq!(made.status, 201, "{}", made.body);
    let draft = made.json();
    assert_eq!(draft["name"], "old");
    assert_eq!(draft["piece_length"], 10_007);
    let listed: Vec<_> = draft["files"].as_array().unwrap().iter().collect();
    let listed: Vec<_> = listed
        .iter()
        .map(|it| (&it["path"], &it["length"]))
        .collect();
    let expected = [
        (&json!("old/b.bin"), &json!(70_000)),
        (&json!("old/a/\u{fc}.txt"), &json!(300)),
        (&json!("old/a/empty"), &json!(0)),
    ];
    assert_eq!(listed, expected);
    let twin = ada.draft_of(&old.torrent).json();
    ada.send(&upload(&server, &draft, 0), 0, &bytes(70_000)[..12_345]);

    let server = server.restart();
    let ada = Uploader {
        server: &server,
        token,
    };
    let draft = ada.described(draft["id"].as_str().unwrap()).json();
    assert_eq!(draft["received_bytes"], 12_345);
    ada.send_all(&draft, &[&bytes(70_000), &bytes(300)]);
    let publication = ada.end_of(&draft);
    assert_eq!(publication["state"], "published", "{publication}");
    old.expect_in(&publication);
    let from = server.folder().join("downloads/old");
    download(&server, &publication, &from);

    // One that was under way meanwhile, and one that is begun now.
    let same_as = json!({ "id": publication["id"], "page_url": publication["page_url"] });
    ada.send_all(&twin, &[&bytes(70_000), &bytes(300)]);
    let twin = ada.end_of(&twin);
    assert_eq!(
        (&twin["state"], &twin["same_as"]),
        (&json!("failed"), &same_as)
    );
    let again = ada.draft_of(&old.torrent);
    again.expect_problem(409);
    assert_eq!(again.json()["same_as"], same_as);
    let root = server.token_for("root");
    take_down(&server, &root, &publication["id"]);
    ada.draft_of(&old.torrent).expect_problem(451);
}

#[test]
fn a_draft_that_does_not_fit_its_torrent_says_so() {
    let (server, old) = (
        Server::start_with(&[("SOWER_PUBLISH__MAX_TORRENT_BYTES", "2000")]),
        Old::new(),
    );
    let ada = Uploader::new(&server, "ada");
    let draft = ada.draft_of(&old.torrent).json();
    let mut wrong = bytes(70_000);
    wrong[20_014] ^= 1;
    ada.send_all(&draft, &[&wrong, &bytes(300)]);
    let failed = ada.end_of(&draft);
    assert_eq!(failed["state"], "failed");
    let words = failed["failure"].as_str().unwrap();
    assert!(words.contains("Piece 2 of 8 in b.bin"), "{words}");
    assert_eq!((server.publication_count(), server.stored()), (0, 0));

    let refused = |status, manifest| {
        let answer = ada.try_draft(&manifest);
        answer.expect_problem(status);
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    let torrent = BASE64.encode(&old.torrent);
    let listed = json!([{ "path": "old/b.bin", "length": 70_001 }]);
    let words = refused(400, json!({ "torrent": torrent, "files": listed }));
    assert!(words.contains("leave out the list of files"), "{words}");
    let words = refused(400, json!({ "torrent": "no Base64" }));
    assert!(words.contains("base64 -w 0"), "{words}");
    let words = refused(400, json!({ "torrent": BASE64.encode(&[b'x'; 2000]) }));
    assert!(words.contains("The .torrent cannot be used"), "{words}");
    let words = refused(413, json!({ "torrent": BASE64.encode(&[b'x'; 2001]) }));
    assert!(words.contains("longer than 2000 bytes"), "{words}");
    let words = refused(400, json!({ "torrent": torrent, "private": true }));
    assert!(words.contains("would change its info-hash"), "{words}");
    let words = refused(400, json!({}));
    assert!(words.contains("no file"), "{words}");
}

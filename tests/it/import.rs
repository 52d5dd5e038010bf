//! Torrents that are out in the world already, published with their content: the info-hash stays, and nothing is published that does not
//! match.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use sower::proto::bencode::Encoder;
use sower::proto::id::InfoHash;
use sower::proto::metainfo::info::InfoLimits;
use sower::proto::metainfo::torrent_file::TorrentFile;

use crate::edits::{ask, bearer};
use crate::local_publish::describe;
use crate::support::{Server, curl, get};

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
        let id = printed["id"].as_str().unwrap();
        let url = format!("{}/api/v1/publications/{id}/takedown", server.url);
        let headers = [&*bearer(&server.token()), "Content-Type: application/json"];
        let removed = ask(
            "PUT",
            &url,
            &headers,
            Some(r#"{"reason": "a court says so"}"#),
        );
        assert!(removed.status < 300, "{}", removed.body);
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

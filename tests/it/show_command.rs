//! `sower show`: what it prints of torrent files, magnet links, addresses and standard input, and what it refuses.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{run, run_with_bytes};

const HYBRID: &[u8] = include_bytes!("../data/libtorrent/folder-hybrid.torrent");
const SINGLE: &[u8] = include_bytes!("../data/libtorrent/single-v1.torrent");

/// The fields of the JSON object, as scripts rely on them.
const FIELDS: [&str; 17] = [
    "comment",
    "created_by",
    "creation_date",
    "files",
    "format",
    "info_hash_v1",
    "info_hash_v2",
    "name",
    "nodes",
    "piece_length",
    "pieces",
    "private",
    "source",
    "total_length",
    "trackers",
    "warnings",
    "web_seeds",
];

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hybrid.torrent"), HYBRID).unwrap();
    fs::write(folder.path().join("single.torrent"), SINGLE).unwrap();
    folder
}

fn sower(folder: &Path, arguments: &[&str]) -> Output {
    run(folder, &[], arguments, "")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn json_of(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_json_object_has_the_fields_of_the_contract() {
    let folder = folder();
    let shown = json_of(&sower(folder.path(), &["show", "--json", "hybrid.torrent"]));
    let fields: Vec<&str> = shown
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(fields, FIELDS);
    assert_eq!(shown["name"], "folder");
    assert_eq!(shown["format"], "hybrid");
    assert_eq!(shown["private"], true);
    assert_eq!(shown["piece_length"], 32_768);
    assert_eq!(shown["total_length"], 302_146);
    assert_eq!(
        shown["trackers"],
        json!([
            ["http://tracker.example/announce"],
            ["udp://tracker.example:6969"]
        ])
    );
    assert_eq!(shown["nodes"], json!(["node.example:6881"]));
    assert_eq!(shown["web_seeds"], json!(["http://seed.example/files/"]));
    assert_eq!(
        shown["files"][0],
        json!({"path": "a.txt", "length": 1, "pad": false})
    );
    assert_eq!(
        shown["files"][1],
        json!({"path": ".pad/32767", "length": 32_767, "pad": true})
    );
    let link = "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a";
    let shown = json_of(&sower(folder.path(), &["show", "--json", link]));
    let fields: Vec<&str> = shown
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(fields, FIELDS, "a magnet link has the same fields");
    assert_eq!(
        (&shown["files"], &shown["private"]),
        (&json!([]), &Value::Null)
    );
}

#[test]
fn people_see_a_tree_sizes_tiers_and_warnings() {
    let folder = folder();
    let shown = sower(folder.path(), &["show", "hybrid.torrent"]);
    let said = text(&shown.stdout);
    for line in [
        "name          folder",
        "format        hybrid",
        "size          295.06 KiB (302146 bytes)",
        "files         6",
        "tracker 1     http://tracker.example/announce",
        "tracker 2     udp://tracker.example:6969",
        "web seed      http://seed.example/files/",
        "node          node.example:6881",
        "created       2023-11-14T22:13:20Z",
        "  sub/",
        "    c.bin  64 KiB",
        "  z.bin  128 KiB",
    ] {
        assert!(said.lines().any(|there| there == line), "{line}: {said}");
    }
    for warning in ["private and names DHT nodes", "plain http", "pads"] {
        let is_warned = said
            .lines()
            .any(|line| line.starts_with("warning ") && line.contains(warning));
        assert!(is_warned, "{warning}: {said}");
    }
    assert!(!said.contains(".pad"), "{said}");
}

#[test]
fn a_magnet_link_is_shown_as_far_as_it_goes() {
    let folder = folder();
    let hash = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let link = format!(
        "Magnet:?xt=urn:btih:{hash}&dn=x&tr=https%3A%2F%2Ft.example%2Fa&x.pe=192.0.2.1:5&so=0,3-4"
    );
    let shown = sower(folder.path(), &["show", &link]);
    let said = text(&shown.stdout);
    for line in [
        format!("info-hash v1  {hash}"),
        "tracker 1     https://t.example/a".to_owned(),
        "peer          192.0.2.1:5".to_owned(),
        "only files    number 0".to_owned(),
        "only files    numbers 3 to 4".to_owned(),
    ] {
        assert!(said.lines().any(|there| there == line), "{line}: {said}");
    }
}

#[test]
fn standard_input_and_addresses_are_read_like_files() {
    let folder = folder();
    let from_file = json_of(&sower(folder.path(), &["show", "--json", "single.torrent"]));
    let from_stdin = run_with_bytes(folder.path(), &["show", "--json", "-"], SINGLE);
    assert_eq!(json_of(&from_stdin), from_file);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/single.torrent", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).unwrap() > 0);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            SINGLE.len()
        );
        stream
            .write_all(&[head.as_bytes(), SINGLE].concat())
            .unwrap();
    });
    let from_url = sower(folder.path(), &["show", "--json", &url]);
    server.join().unwrap();
    assert_eq!(json_of(&from_url), from_file);
}

#[test]
fn too_many_files_are_refused_with_the_key_that_allows_them() {
    let folder = folder();
    let file = |name| format!("d6:lengthi0e4:pathl1:{name}ee");
    let files = ["a", "b", "c"].map(file).concat();
    let torrent = format!("d4:infod5:filesl{files}e4:name1:n12:piece lengthi1e6:pieces0:ee");
    fs::write(folder.path().join("three"), torrent).unwrap();
    fs::write(folder.path().join("two.toml"), "[torrent]\nmax_files = 2\n").unwrap();
    let refused = sower(folder.path(), &["show", "three", "--config", "two.toml"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = text(&refused.stderr);
    assert!(
        said.contains("torrent.max_files") && said.contains("more than 2 files"),
        "{said}"
    );
    let shown = sower(folder.path(), &["show", "three"]);
    assert_eq!(shown.status.code(), Some(0), "{shown:?}");
}

#[test]
fn errors_name_the_file_the_field_and_the_rule() {
    let folder = folder();
    for (name, bytes, words) in [
        (
            "html",
            &b"<!DOCTYPE html>"[..],
            "this is not a torrent file",
        ),
        ("empty", b"", "ends too early"),
        ("list", b"le", "no `info` dictionary"),
        ("string", b"d4:info1:ae", "`info` must be a dictionary"),
        (
            "pieces",
            b"d4:infod6:lengthi1e4:name1:a12:piece lengthi16384e6:pieces3:abcee",
            "`pieces` has 3 bytes, which is no multiple of 20",
        ),
        (
            "path",
            b"d4:infod5:filesld6:lengthi0e4:pathl2:..eee4:name1:a12:piece lengthi1e6:pieces0:ee",
            "`path` in the info dictionary holds a file name that cannot be used: the name \"..\"",
        ),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
        let refused = sower(folder.path(), &["show", name]);
        assert_eq!(refused.status.code(), Some(1), "{name}");
        let said = text(&refused.stderr);
        assert!(
            said.contains(name) && said.contains(words),
            "{name}: {said}"
        );
        assert!(refused.stdout.is_empty(), "{name}");
    }
    let missing = sower(folder.path(), &["show", "nowhere"]);
    assert!(
        text(&missing.stderr).contains("nowhere cannot be opened"),
        "{missing:?}"
    );
    let link = sower(folder.path(), &["show", "magnet:?dn=x"]);
    assert!(text(&link.stderr).contains("names no torrent"), "{link:?}");
}

#[test]
fn what_is_too_large_is_refused_unless_the_configuration_allows_it() {
    let folder = folder();
    let path = folder.path().join("large.torrent");
    // Sparse: nobody reads it, since its length says enough.
    fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let refused = sower(folder.path(), &["show", "large.torrent"]);
    assert!(
        text(&refused.stderr).contains("`torrent.max_bytes`"),
        "{refused:?}"
    );

    let allowing = |key: &str, value: &str| {
        let environment = [(format!("SOWER_TORRENT__{key}"), value.to_owned())];
        run(folder.path(), &environment, &["show", "hybrid.torrent"], "")
    };
    for (key, too_little, enough, words) in [
        ("MAX_BYTES", "1000", "5000", "`torrent.max_bytes`"),
        ("MAX_FILES", "5", "6", "more than 5 files"),
    ] {
        let refused = allowing(key, too_little);
        assert_eq!(refused.status.code(), Some(1), "{key}");
        assert!(text(&refused.stderr).contains(words), "{refused:?}");
        assert!(allowing(key, enough).status.success(), "{key}");
    }
}

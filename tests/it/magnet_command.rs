//! `sower magnet`: the links it prints, and that they say what the torrent says.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::run;

const FORMATS: [(&str, &[u8]); 3] = [
    ("v1", include_bytes!("../data/libtorrent/folder-v1.torrent")),
    ("v2", include_bytes!("../data/libtorrent/folder-v2.torrent")),
    (
        "hybrid",
        include_bytes!("../data/libtorrent/folder-hybrid.torrent"),
    ),
];

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (format, bytes) in FORMATS {
        fs::write(folder.path().join(format), bytes).unwrap();
    }
    folder
}

fn magnet(folder: &Path, arguments: &[&str]) -> Output {
    run(folder, &[], &[&["magnet"], arguments].concat(), "")
}

fn link(folder: &Path, arguments: &[&str]) -> String {
    let output = magnet(folder, arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

fn shown(folder: &Path, source: &str) -> Value {
    let output = run(folder, &[], &["show", "--json", source], "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_link_says_what_the_torrent_says() {
    let folder = folder();
    for (format, _) in FORMATS {
        let (torrent, link) = (shown(folder.path(), format), link(folder.path(), &[format]));
        let read = shown(folder.path(), &link);
        for field in [
            "name",
            "format",
            "info_hash_v1",
            "info_hash_v2",
            "trackers",
            "web_seeds",
        ] {
            assert_eq!(read[field], torrent[field], "{format} {field}");
        }
        assert_eq!(link.contains("urn:btih:"), format != "v2", "{link}");
        assert_eq!(link.contains("urn:btmh:1220"), format != "v1", "{link}");
        assert_eq!(
            magnet(folder.path(), &[&link]).stdout,
            format!("{link}\n").into_bytes()
        );
    }
}

#[test]
fn one_half_of_a_hybrid_can_be_named_alone() {
    let folder = folder();
    let v1 = link(folder.path(), &["hybrid", "--format", "v1"]);
    assert!(v1.contains("btih") && !v1.contains("btmh"), "{v1}");
    let v2 = link(folder.path(), &["hybrid", "--format", "v2"]);
    assert!(v2.contains("btmh") && !v2.contains("btih"), "{v2}");
    let refused = magnet(folder.path(), &["v1", "--format", "hybrid"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}

#[test]
fn files_are_selected_by_pattern_and_counted_with_their_pads() {
    let folder = folder();
    let files = &shown(folder.path(), "hybrid")["files"];
    let place = |path: &str| {
        let mut files = files.as_array().unwrap().iter();
        files.position(|file| file["path"] == path).unwrap()
    };
    let selected = link(
        folder.path(),
        &["hybrid", "--only", "sub/c.bin", "--only", "a.*"],
    );
    let expected = format!("&so={},{}", place("a.txt"), place("sub/c.bin"));
    assert!(selected.ends_with(&expected), "{selected} {expected}");
    let all = link(folder.path(), &["v1", "--only", "*"]);
    assert!(all.ends_with("&so=0-5"), "{all}");
    let none = magnet(folder.path(), &["v1", "--only", "*.iso"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("no file in it matches *.iso"));
}

#[test]
fn symbolic_links_count_among_the_places() {
    let folder = tempfile::tempdir().unwrap();
    let torrent = b"d4:infod5:filesld4:attr1:l6:lengthi0e4:pathl4:linke12:symlink pathl1:aee\
        d6:lengthi1e4:pathl1:aeee4:name1:n12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee";
    fs::write(folder.path().join("linked"), torrent).unwrap();
    let selected = link(folder.path(), &["linked", "--only", "a"]);
    assert!(selected.ends_with("&so=1"), "{selected}");
}

#[test]
fn flags_add_and_leave_out() {
    let folder = folder();
    let bare = link(
        folder.path(),
        &["v1", "--no-announce", "--no-web-seed", "--no-name"],
    );
    assert_eq!(bare.len(), "magnet:?xt=urn:btih:".len() + 40, "{bare}");
    let more = link(
        folder.path(),
        &[
            "v1",
            "--no-announce",
            "--announce",
            "wss://t.example",
            "--web-seed",
            "https://w.example/x y/".replace(' ', "%20").as_str(),
            "--peer",
            "192.0.2.1:6881",
            "--peer",
            "[2001:db8::1]:6881",
        ],
    );
    let read = shown(folder.path(), &more);
    assert_eq!(read["trackers"], json!([["wss://t.example"]]));
    assert_eq!(
        read["web_seeds"],
        json!(["http://seed.example/files/", "https://w.example/x%20y/"])
    );
    assert!(
        more.ends_with("&x.pe=192.0.2.1:6881&x.pe=[2001:db8::1]:6881"),
        "{more}"
    );
    for (flag, value) in [
        ("--announce", "x"),
        ("--web-seed", "udp://a"),
        ("--peer", "a"),
    ] {
        let refused = magnet(folder.path(), &["v1", flag, value]);
        assert_eq!(refused.status.code(), Some(1), "{flag}");
    }
}

#[test]
fn several_torrents_give_several_links() {
    let folder = folder();
    let links = link(folder.path(), &["v1", "v2", "hybrid"]);
    assert_eq!(links.lines().count(), 3);
    let objects = link(folder.path(), &["v1", "v2", "--json"]);
    let objects: Vec<Value> = objects
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects[0]["magnet"], links.lines().next().unwrap());
    assert_eq!(
        (&objects[0]["info_hash_v2"], &objects[1]["info_hash_v1"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(objects[0]["name"], "folder");
}

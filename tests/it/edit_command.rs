//! `sower edit`: what it changes, and all that it leaves alone.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{run, run_with_bytes};

const TORRENT: &[u8] = include_bytes!("../data/libtorrent/folder-hybrid.torrent");

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.torrent"), TORRENT).unwrap();
    folder
}

fn edit(folder: &Path, arguments: &[&str]) -> Output {
    run(folder, &[], &[&["edit"], arguments].concat(), "")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn done(folder: &Path, arguments: &[&str]) -> Output {
    let output = edit(folder, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    output
}

fn shown(folder: &Path, file: &str) -> Value {
    let output = run(folder, &[], &["show", "--json", file], "");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn bytes(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("a.torrent")).unwrap()
}

#[test]
fn each_field_is_set_and_removed_and_the_rest_stays() {
    let folder = folder();
    let before = shown(folder.path(), "a.torrent");
    for (set, field, value, remove, nothing) in [
        (
            &[
                "--announce",
                "https://a.example/x,udp://b.example:1",
                "--announce",
                "ws://c.example",
            ][..],
            "trackers",
            json!([
                ["https://a.example/x", "udp://b.example:1"],
                ["ws://c.example"]
            ]),
            "--no-announce",
            json!([]),
        ),
        (
            &["--web-seed", "https://w.example/"],
            "web_seeds",
            json!(["https://w.example/"]),
            "--no-web-seed",
            json!([]),
        ),
        (
            &["--node", "[2001:db8::1]:7"],
            "nodes",
            json!(["[2001:db8::1]:7"]),
            "--no-node",
            json!([]),
        ),
        (
            &["--comment", "größer"],
            "comment",
            json!("größer"),
            "--no-comment",
            Value::Null,
        ),
        (
            &["--created-by", "me"],
            "created_by",
            json!("me"),
            "--no-created-by",
            Value::Null,
        ),
        (
            &["--date", "1970-01-01T00:01:00Z"],
            "creation_date",
            json!(60),
            "--no-date",
            Value::Null,
        ),
    ] {
        for (arguments, value) in [(set, value), (&[remove][..], nothing)] {
            done(folder.path(), &[&["a.torrent"], arguments].concat());
            let mut after = shown(folder.path(), "a.torrent");
            assert_eq!(after[field], value, "{arguments:?}");
            after[field] = before[field].clone();
            // Warnings speak of trackers and nodes.
            after["warnings"] = before["warnings"].clone();
            assert_eq!(after, before, "{arguments:?}");
        }
        fs::write(folder.path().join("a.torrent"), TORRENT).unwrap();
    }
}

#[test]
fn trackers_and_web_seeds_come_and_go_one_by_one() {
    let folder = folder();
    done(
        folder.path(),
        &[
            "a.torrent",
            "--remove-announce",
            "http://tracker.example/announce",
            "--add-announce",
            "https://new.example/announce,udp://tracker.example:6969",
            "--add-web-seed",
            "http://seed.example/files/",
            "--add-web-seed",
            "https://more.example/",
            "--remove-node",
            "node.example:6881",
        ],
    );
    let after = shown(folder.path(), "a.torrent");
    assert_eq!(
        after["trackers"],
        json!([
            ["udp://tracker.example:6969"],
            ["https://new.example/announce"]
        ])
    );
    assert_eq!(
        after["web_seeds"],
        json!(["http://seed.example/files/", "https://more.example/"])
    );
    assert_eq!(after["nodes"], json!([]));
}

#[test]
fn unknown_keys_and_a_strange_info_dictionary_stay_byte_for_byte() {
    let folder = folder();
    let info = "d4:name1:a6:lengthi0e12:piece lengthi16384e6:pieces0:3:odd4:\u{1}\u{2}\u{3}\u{4}e";
    let torrent = format!("d7:comment3:old4:info{info}3:zzzli7e4:teste");
    let torrent = format!("{torrent}e");
    fs::write(folder.path().join("a.torrent"), &torrent).unwrap();
    done(folder.path(), &["a.torrent", "--comment", "newer"]);
    let expected = torrent.replace("7:comment3:old", "7:comment5:newer");
    assert_eq!(bytes(folder.path()), expected.into_bytes());
}

#[test]
fn what_changes_nothing_writes_nothing() {
    let folder = folder();
    let said = done(
        folder.path(),
        &["a.torrent", "--add-announce", "udp://tracker.example:6969"],
    );
    assert!(text(&said.stderr).contains("nothing to change"), "{said:?}");
    assert_eq!(bytes(folder.path()), TORRENT);
    let said = done(folder.path(), &["a.torrent", "--comment", "x", "--dry-run"]);
    assert!(
        text(&said.stderr).contains("comment: \"a comment\" -> \"x\""),
        "{said:?}"
    );
    assert_eq!(bytes(folder.path()), TORRENT);
}

#[test]
fn another_file_is_written_where_one_is_named() {
    let folder = folder();
    done(
        folder.path(),
        &["a.torrent", "--no-comment", "-o", "b.torrent"],
    );
    assert_eq!(bytes(folder.path()), TORRENT);
    assert_eq!(shown(folder.path(), "b.torrent")["comment"], Value::Null);
    let refused = edit(
        folder.path(),
        &["a.torrent", "--no-comment", "-o", "b.torrent"],
    );
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("use -f to overwrite"),
        "{refused:?}"
    );
    done(folder.path(), &["a.torrent", "-o", "b.torrent", "-f"]);
    assert_eq!(fs::read(folder.path().join("b.torrent")).unwrap(), TORRENT);
    let piped = run_with_bytes(
        folder.path(),
        &["edit", "-", "--no-comment", "-o", "-"],
        TORRENT,
    );
    assert_eq!(piped.status.code(), Some(0), "{piped:?}");
    assert!(piped.stdout.starts_with(b"d8:announce"));
    let refused = run_with_bytes(folder.path(), &["edit", "-", "--no-comment"], TORRENT);
    assert!(text(&refused.stderr).contains("-o"), "{refused:?}");
}

#[test]
fn several_files_are_edited_in_one_run() {
    let folder = folder();
    fs::write(folder.path().join("b.torrent"), TORRENT).unwrap();
    let said = done(
        folder.path(),
        &["a.torrent", "b.torrent", "--comment", "x", "--json"],
    );
    let objects: Vec<Value> = text(&said.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (object, file) in objects.iter().zip(["a.torrent", "b.torrent"]) {
        assert_eq!(object["file"], file);
        assert_eq!(object["written"], file);
        assert_eq!(
            (&object["changed"], &object["comment"]),
            (&json!(true), &json!("x"))
        );
        assert_eq!(shown(folder.path(), file)["comment"], "x");
    }
    assert_eq!(objects.len(), 2);
    let refused = edit(
        folder.path(),
        &["a.torrent", "b.torrent", "-o", "c.torrent"],
    );
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
}

#[test]
fn a_link_stays_a_link_and_permissions_stay() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = folder();
    let target = folder.path().join("a.torrent");
    fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
    symlink("a.torrent", folder.path().join("link")).unwrap();
    done(folder.path(), &["link", "--comment", "x"]);
    assert!(folder.path().join("link").is_symlink());
    assert_eq!(shown(folder.path(), "a.torrent")["comment"], "x");
    assert_eq!(
        fs::metadata(&target).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "nothing else is left: {left:?}");
}

#[test]
fn refuses_what_no_client_would_ask() {
    let folder = folder();
    for (arguments, words, code) in [
        (&["--announce", "ftp://a"][..], "is no tracker", 1),
        (&["--add-web-seed", "udp://a"], "is no web seed", 1),
        (&["--node", "a"], "is no DHT node", 1),
        (&["--date", "yesterday"], "seconds since 1970", 2),
        (
            &["--no-comment", "--comment", "x"],
            "cannot be used with",
            2,
        ),
        (&["--source", "X"], "unexpected argument", 2),
    ] {
        let refused = edit(folder.path(), &[&["a.torrent"], arguments].concat());
        assert_eq!(refused.status.code(), Some(code), "{refused:?}");
        assert!(text(&refused.stderr).contains(words), "{refused:?}");
    }
    fs::write(folder.path().join("b.torrent"), b"de").unwrap();
    let refused = edit(folder.path(), &["b.torrent", "--comment", "x"]);
    assert!(
        text(&refused.stderr).contains("b.torrent was not changed"),
        "{refused:?}"
    );
    assert_eq!(bytes(folder.path()), TORRENT);
}

//! `sower verify`: every fault of a download by its name.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::run;

const FORMATS: [&str; 3] = ["v1", "v2", "hybrid"];
const PIECE: usize = 16 << 10;

fn sower(folder: &Path, arguments: &[&str]) -> Output {
    run(folder, &[], arguments, "")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A folder with `shelf/<format>` of five files, each of whole pieces, and `<format>.torrent` beside.
fn shelf() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for format in FORMATS {
        let root = folder.path().join("shelf").join(format);
        fs::create_dir_all(root.join("sub")).unwrap();
        for (seed, name) in ["bad", "long", "missing", "short", "sub/right"]
            .iter()
            .enumerate()
        {
            let bytes: Vec<u8> = (0_u8..=250).cycle().skip(seed).take(3 * PIECE).collect();
            fs::write(root.join(name), bytes).unwrap();
        }
        let path = format!("shelf/{format}");
        let made = sower(
            folder.path(),
            &["create", &path, "--format", format, "-l", "16KiB"],
        );
        assert!(made.status.success(), "{made:?}");
    }
    folder
}

/// Does to each file what it is called.
fn spoil(root: &Path) {
    let mut bytes = fs::read(root.join("bad")).unwrap();
    bytes[PIECE] ^= 1;
    fs::write(root.join("bad"), bytes).unwrap();
    fs::remove_file(root.join("missing")).unwrap();
    for (name, length) in [("long", 3 * PIECE + 1), ("short", 2 * PIECE - 1)] {
        let file = fs::File::options()
            .write(true)
            .open(root.join(name))
            .unwrap();
        file.set_len(length as u64).unwrap();
    }
}

#[test]
fn what_is_whole_is_right_by_each_of_its_paths() {
    let folder = shelf();
    for format in FORMATS {
        let torrent = format!("{format}.torrent");
        for path in [
            "shelf",
            &format!("shelf/{format}"),
            &format!("shelf/{format}/."),
        ] {
            let verified = sower(folder.path(), &["verify", &torrent, path]);
            assert_eq!(verified.status.code(), Some(0), "{verified:?}");
            let expected = format!("{torrent}: 100 % of 240 KiB is right, 5 files\n");
            assert_eq!(text(&verified.stdout), expected);
        }
    }
}

#[test]
fn a_folder_of_torrents_stands_for_all_in_it() {
    let folder = shelf();
    let torrents = folder.path().join("torrents");
    fs::create_dir(&torrents).unwrap();
    for format in FORMATS {
        let name = format!("{format}.torrent");
        fs::rename(folder.path().join(&name), torrents.join(&name)).unwrap();
    }
    fs::write(torrents.join("notes.txt"), "no torrent").unwrap();
    spoil(&folder.path().join("shelf/v2"));
    let verified = sower(folder.path(), &["verify", "torrents", "shelf", "--json"]);
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    let lines = text(&verified.stdout).lines();
    let seen: Vec<(String, bool)> = lines
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|report| {
            let torrent = report["torrent"].as_str().unwrap().to_owned();
            (torrent, report["right"].as_bool().unwrap())
        })
        .collect();
    let expected = [("hybrid", true), ("v1", true), ("v2", false)];
    let expected = expected.map(|(format, right)| (format!("torrents/{format}.torrent"), right));
    assert_eq!(seen, expected);

    let none = sower(folder.path(), &["verify", "shelf", "shelf"]);
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    assert!(text(&none.stderr).contains("shelf is a folder without .torrent files"));
}

#[test]
fn without_a_place_each_content_lies_beside_its_torrent() {
    let folder = shelf();
    for format in FORMATS {
        let (from, to) = (
            format!("{format}.torrent"),
            format!("{format}/{format}.torrent"),
        );
        fs::create_dir(folder.path().join(format)).unwrap();
        fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
        let content = folder.path().join("shelf").join(format);
        fs::rename(content, folder.path().join(format).join(format)).unwrap();
    }
    let whole = [
        "verify",
        "v1/v1.torrent",
        "v2/v2.torrent",
        "hybrid/hybrid.torrent",
    ];
    for words in [&whole[..], &["verify", "v1"]] {
        let verified = sower(folder.path(), words);
        assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    }
    let inside = sower(&folder.path().join("v1"), &["verify", "v1.torrent"]);
    assert_eq!(inside.status.code(), Some(0), "{inside:?}");
    spoil(&folder.path().join("v2/v2"));
    assert_eq!(sower(folder.path(), &whole).status.code(), Some(1));
    let from_nowhere = sower(folder.path(), &["verify", "-"]);
    assert_eq!(from_nowhere.status.code(), Some(1));
    assert!(text(&from_nowhere.stderr).contains("name the place of its content behind it"));
}

#[test]
fn each_fault_is_named_with_its_pieces() {
    let folder = shelf();
    for format in FORMATS {
        let root = format!("shelf/{format}");
        spoil(&folder.path().join(&root));
        let torrent = format!("{format}.torrent");
        let verified = sower(folder.path(), &["verify", &torrent, "shelf"]);
        assert_eq!(verified.status.code(), Some(1), "{verified:?}");
        let expected = format!(
            "{torrent}: 60.0 % of 240 KiB is right, 4 of 5 files in {root} not:\n\
            \x20 bad         bad; bad pieces 1\n\
            \x20 long        long; 49153 bytes instead of 49152\n\
            \x20 missing     missing; bad pieces 6-8\n\
            \x20 short       short; 32767 bytes instead of 49152; bad pieces 10-11\n"
        );
        assert_eq!(text(&verified.stdout), expected);

        let verified = sower(folder.path(), &["verify", &torrent, "shelf", "--json"]);
        assert_eq!(verified.status.code(), Some(1));
        let json: Value = serde_json::from_slice(&verified.stdout).unwrap();
        assert_eq!(json["path"], root);
        assert_eq!(
            (&json["right"], &json["percent"]),
            (&json!(false), &json!(60.0))
        );
        assert_eq!(
            (&json["pieces"], &json["wrong_pieces"]),
            (&json!(15), &json!(6))
        );
        assert_eq!(json["right_length"], 9 * PIECE);
        let files = json["files"].as_array().unwrap();
        let states: Vec<(&str, &str)> = files
            .iter()
            .map(|file| {
                (
                    file["path"].as_str().unwrap(),
                    file["state"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            states,
            [
                ("bad", "bad"),
                ("long", "long"),
                ("missing", "missing"),
                ("short", "short"),
                ("sub/right", "right")
            ]
        );
        assert_eq!(files[2]["bad_pieces"], json!([[6, 8]]));
        assert_eq!(files[3]["found_length"], 2 * PIECE - 1);
    }
}

#[test]
fn many_torrents_are_checked_in_one_call() {
    let folder = shelf();
    spoil(&folder.path().join("shelf/v2"));
    fs::write(folder.path().join("no.torrent"), "no torrent").unwrap();
    let arguments = [
        "verify",
        "v1.torrent",
        "no.torrent",
        "v2.torrent",
        "hybrid.torrent",
        "shelf",
    ];
    let verified = sower(folder.path(), &arguments);
    assert_eq!(verified.status.code(), Some(1));
    let said = text(&verified.stdout);
    assert!(said.starts_with("v1.torrent: 100 %"), "{said}");
    assert!(said.contains("v2.torrent: 60.0 %"), "{said}");
    assert!(
        said.ends_with("hybrid.torrent: 100 % of 240 KiB is right, 5 files\n"),
        "{said}"
    );
    assert!(
        text(&verified.stderr).contains("sower: no.torrent: "),
        "{verified:?}"
    );
    let verified = sower(folder.path(), &[&arguments[..], &["--json"]].concat());
    let lines: Vec<Value> = text(&verified.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let right: Vec<&Value> = lines.iter().map(|line| &line["right"]).collect();
    assert_eq!(right, [true, false, false, true]);
    assert!(lines[1]["error"].is_string());
}

#[test]
fn a_single_file_may_have_another_name() {
    let folder = tempfile::tempdir().unwrap();
    for format in FORMATS {
        fs::write(folder.path().join("film"), vec![7; 5 * PIECE]).unwrap();
        let made = sower(folder.path(), &["create", "film", "-f", "--format", format]);
        assert!(made.status.success(), "{made:?}");
        fs::rename(folder.path().join("film"), folder.path().join("film.mkv")).unwrap();
        let whole = sower(folder.path(), &["verify", "film.torrent", "film.mkv"]);
        assert_eq!(whole.status.code(), Some(0), "{whole:?}");
        let missing = sower(folder.path(), &["verify", "film.torrent", "."]);
        assert_eq!(missing.status.code(), Some(1));
        assert!(
            text(&missing.stdout).contains("0 % of 80 KiB"),
            "{missing:?}"
        );
    }
}

#[test]
fn nearly_all_is_not_all_and_nearly_nothing_not_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let content = folder.path().join("large");
    let bytes: Vec<u8> = (0_u8..=250).cycle().take(2000 * PIECE).collect();
    fs::write(&content, &bytes).unwrap();
    assert!(
        sower(folder.path(), &["create", "large", "-l", "16KiB"])
            .status
            .success()
    );
    let share = || {
        let verified = sower(folder.path(), &["verify", "large.torrent", "large"]);
        assert_eq!(verified.status.code(), Some(1), "{verified:?}");
        let said = text(&verified.stdout)
            .strip_prefix("large.torrent: ")
            .unwrap()
            .to_owned();
        said.split(" of ").next().unwrap().to_owned()
    };
    let mut spoilt = bytes.clone();
    spoilt[5] ^= 1;
    fs::write(&content, &spoilt).unwrap();
    assert_eq!(share(), "99.9 %");
    fs::write(&content, &bytes[..PIECE]).unwrap();
    assert_eq!(share(), "0.1 %");
    fs::write(&content, &bytes[..PIECE - 1]).unwrap();
    assert_eq!(share(), "0 %");
}

#[test]
fn what_is_not_there_to_be_looked_at_is_an_error() {
    let folder = shelf();
    for arguments in [
        &["verify", "v1.torrent", "absent"][..],
        &["verify", "absent.torrent", "shelf"],
        &["verify", "v1.torrent", "shelf/v1/bad"],
        &[
            "verify",
            "magnet:?xt=urn:btih:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "shelf",
        ],
    ] {
        let refused = sower(folder.path(), arguments);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(
            refused.stdout.is_empty() && !refused.stderr.is_empty(),
            "{refused:?}"
        );
    }
}

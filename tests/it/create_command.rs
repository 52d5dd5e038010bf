//! `sower create`: what it writes, what it refuses, and that it does so alike everywhere.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::run;

fn sower(folder: &Path, arguments: &[&str]) -> Output {
    run(folder, &[], arguments, "")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The one JSON object that a command prints.
fn json_of(folder: &Path, arguments: &[&str]) -> Value {
    let output = sower(folder, arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A folder `Album` of five files, one of them hidden and one empty.
fn album() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("b.flac", 100_000),
        ("a.flac", 40_000),
        ("Größe/c.txt", 16_384),
        ("empty", 0),
        (".hidden", 5),
    ];
    for (name, length) in files {
        let path = folder.path().join("Album").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes: Vec<u8> = (0_u8..=250).cycle().take(length).collect();
        fs::write(path, bytes).unwrap();
    }
    folder
}

fn content_paths(shown: &Value) -> Vec<&str> {
    let files = shown["files"].as_array().unwrap().iter();
    files
        .filter(|file| file["pad"] != true)
        .map(|file| file["path"].as_str().unwrap())
        .collect()
}

#[test]
fn every_flag_is_in_the_torrent() {
    let folder = album();
    for format in ["v1", "v2", "hybrid"] {
        let output = format!("{format}.torrent");
        let made = json_of(
            folder.path(),
            &[
                "create",
                "Album",
                "-o",
                &output,
                "--format",
                format,
                "--announce",
                "https://a.example/announce,udp://b.example:6969",
                "--announce",
                "wss://c.example",
                "--web-seed",
                "https://w.example/files/",
                "--node",
                "router.example.org:6881",
                "--node",
                "[2001:db8::1]:1",
                "--piece-length",
                "32KiB",
                "--private",
                "--source",
                "OURS",
                "--comment",
                "a remark",
                "--name",
                "Another name",
                "--json",
            ],
        );
        let shown = json_of(folder.path(), &["show", &output, "--json"]);
        for (key, value) in shown.as_object().unwrap() {
            assert_eq!(&made[key], value, "{key}");
        }
        assert_eq!(made["torrent"], output);
        assert_eq!(made["left_out"]["hidden"], 1);
        assert_eq!(shown["name"], "Another name");
        assert_eq!(shown["format"], format);
        assert_eq!(shown["info_hash_v1"].is_string(), format != "v2");
        assert_eq!(shown["info_hash_v2"].is_string(), format != "v1");
        assert_eq!(shown["piece_length"], 32 << 10);
        assert_eq!(shown["total_length"], 156_384);
        assert_eq!(
            shown["trackers"],
            json!([
                ["https://a.example/announce", "udp://b.example:6969"],
                ["wss://c.example"]
            ])
        );
        assert_eq!(shown["web_seeds"], json!(["https://w.example/files/"]));
        assert_eq!(shown["nodes"].as_array().unwrap().len(), 2);
        assert_eq!(
            (&shown["private"], &shown["source"], &shown["comment"]),
            (&json!(true), &json!("OURS"), &json!("a remark"))
        );
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(shown["created_by"], format!("Sower/{version}"));
        assert!(shown["creation_date"].as_i64().unwrap() > 1_700_000_000);
        assert_eq!(
            content_paths(&shown),
            ["Größe/c.txt", "a.flac", "b.flac", "empty"]
        );
    }
}

/// The info-hashes are those that libtorrent 2.1.1 gives the same files in the same order.
#[test]
fn the_same_files_make_the_same_bytes() {
    let (one, other) = (album(), album());
    // Written in another order, at another time.
    let late = other.path().join("Album/a.flac");
    let bytes = fs::read(&late).unwrap();
    fs::remove_file(&late).unwrap();
    fs::write(&late, bytes).unwrap();
    for (format, v1, v2) in [
        (
            "v1",
            json!("3e6b38ab964ceaa434a07a4fc0fe998c75d127f0"),
            Value::Null,
        ),
        (
            "v2",
            Value::Null,
            json!("31633c3d6d8d513cd77880a7bb77b449f11e32a7a2f17ba62fff8b19fd8b5713"),
        ),
        (
            "hybrid",
            json!("1d257378aa912410d34136c5e39f839f2e228349"),
            json!("8bf84b65ac8ed8491148c587989a9c4584af9f229ae573a43e8426400b3aabd8"),
        ),
    ] {
        let arguments = ["create", "Album", "--format", format];
        let reproducible = ["--no-date", "--no-created-by", "-o", "-"];
        let reproducible = [&arguments[..], &reproducible].concat();
        let (first, second) = (
            sower(one.path(), &reproducible),
            sower(other.path(), &reproducible),
        );
        assert!(
            first.status.success() && !first.stdout.is_empty(),
            "{first:?}"
        );
        assert_eq!(first.stdout, second.stdout, "{format}");
        let made = json_of(
            one.path(),
            &[&arguments[..], &["-o", format, "--json"]].concat(),
        );
        assert_eq!((&made["info_hash_v1"], &made["info_hash_v2"]), (&v1, &v2));
        assert!(
            made["creation_date"].is_i64(),
            "the date is no part of the info-hash"
        );
    }
}

#[test]
fn on_standard_output_there_is_the_torrent_and_nothing_else() {
    let folder = album();
    let made = sower(folder.path(), &["create", "Album", "-o", "-"]);
    assert!(text(&made.stderr).contains("info-hash v1"), "{made:?}");
    fs::write(folder.path().join("x.torrent"), &made.stdout).unwrap();
    let shown = json_of(folder.path(), &["show", "x.torrent", "--json"]);
    assert_eq!(shown["warnings"], json!([]));
    assert!(!folder.path().join("Album.torrent").exists());
}

#[test]
fn a_full_disk_is_not_taken_for_a_written_torrent() {
    let folder = album();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_sower"))
        .current_dir(folder.path())
        .args(["create", "Album", "-o", "-"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(made.status.code(), Some(1), "{made:?}");
    assert!(text(&made.stderr).contains("standard output"), "{made:?}");
}

#[test]
fn a_torrent_file_is_not_overwritten_unasked() {
    let folder = album();
    let torrent = folder.path().join("Album.torrent");
    fs::write(&torrent, "precious").unwrap();
    let refused = sower(folder.path(), &["create", "Album"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("-f"), "{refused:?}");
    assert_eq!(fs::read(&torrent).unwrap(), b"precious");
    let made = sower(folder.path(), &["create", "Album", "-f"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    assert_eq!(text(&made.stderr), "", "progress is for terminals");
    assert!(
        text(&made.stdout).starts_with("torrent       Album.torrent\n"),
        "{made:?}"
    );
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 2, "nothing else is left: {names:?}");
}

#[test]
fn the_torrent_may_lie_in_the_folder_that_it_describes() {
    let folder = album();
    let inside = folder.path().join("Album");
    for _ in 0..2 {
        let made = json_of(&inside, &["create", ".", "-f", "--json"]);
        assert_eq!(
            (&made["name"], &made["torrent"]),
            (&json!("Album"), &json!("Album.torrent"))
        );
        assert_eq!(content_paths(&made).len(), 4);
    }
}

#[test]
fn a_dry_run_writes_nothing_and_shows_what_would_be_taken() {
    let folder = album();
    let planned = json_of(
        folder.path(),
        &[
            "create",
            "Album",
            "--dry-run",
            "--json",
            "--explain",
            "-x",
            "/b*",
            "--hidden",
        ],
    );
    assert_eq!(
        content_paths(&planned),
        [".hidden", "Größe/c.txt", "a.flac", "empty"]
    );
    assert_eq!(
        (&planned["total_length"], &planned["pieces"]),
        (&json!(56_389), &json!(4))
    );
    assert_eq!(planned["left_out"]["excluded"], 1);
    let explanation = planned["explanation"].as_str().unwrap();
    assert!(
        explanation.starts_with("pieces of 16 KiB: the usual for"),
        "{explanation}"
    );
    let words = sower(folder.path(), &["create", "Album", "--dry-run"]);
    assert!(
        text(&words.stdout).contains("a.flac  39.06 KiB\n"),
        "{words:?}"
    );
    assert!(
        text(&words.stdout).contains("left out      1 hidden"),
        "{words:?}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn files_are_chosen_by_patterns_and_by_files_of_patterns() {
    let folder = album();
    fs::write(folder.path().join("rules"), "*.txt\n!c.txt\n/empty\n").unwrap();
    let taken = |flags: &[&str]| {
        let arguments = [&["create", "Album", "--dry-run", "--json"], flags].concat();
        let planned = json_of(folder.path(), &arguments);
        content_paths(&planned)
            .iter()
            .map(|path| (*path).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(taken(&["--include", "*.flac"]), ["a.flac", "b.flac"]);
    assert_eq!(taken(&["-i", "*.flac", "-x", "b*"]), ["a.flac"]);
    assert_eq!(taken(&["-i", "Größe"]), ["Größe/c.txt"]);
    assert_eq!(
        taken(&["--ignore-file", "rules"]),
        ["Größe/c.txt", "a.flac", "b.flac"]
    );
}

#[test]
fn a_preset_says_what_no_flag_says() {
    let folder = album();
    fs::write(
        folder.path().join("config.toml"),
        "[create.presets.ours]\nannounce = [\"https://t.example/a\"]\nprivate = true\nsource = \"OURS\"\n\
         format = \"hybrid\"\ntarget_pieces = 3\nexclude = [\"b*\"]\n",
    )
    .unwrap();
    let made = json_of(
        folder.path(),
        &[
            "create", "Album", "--preset", "ours", "--source", "MINE", "--json",
        ],
    );
    assert_eq!(made["trackers"], json!([["https://t.example/a"]]));
    assert_eq!(
        (&made["private"], &made["source"]),
        (&json!(true), &json!("MINE"))
    );
    assert_eq!(
        (&made["format"], &made["pieces"]),
        (&json!("hybrid"), &json!(3))
    );
    assert_eq!(made["piece_length"], 32 << 10);
    let unknown = sower(folder.path(), &["create", "Album", "--preset", "theirs"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        text(&unknown.stderr).contains("it has: ours"),
        "{unknown:?}"
    );
    fs::write(
        folder.path().join("config.toml"),
        "[create.presets.ours]\npiece_length = \"1MB\"\n",
    )
    .unwrap();
    let refused = sower(folder.path(), &["create", "Album"]);
    for part in ["config.toml", "line 2", "1MB"] {
        assert!(text(&refused.stderr).contains(part), "{refused:?}");
    }
}

#[test]
fn several_paths_become_a_torrent_each() {
    let folder = album();
    fs::create_dir(folder.path().join("out")).unwrap();
    fs::write(folder.path().join("single"), "content").unwrap();
    let made = sower(
        folder.path(),
        &["create", "Album", "single", "-o", "out", "--json"],
    );
    let names: Vec<Value> = text(&made.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["torrent"].clone())
        .collect();
    assert_eq!(names, ["out/Album.torrent", "out/single.torrent"]);
    // One that cannot be made keeps no other from being made.
    let made = sower(folder.path(), &["create", "absent", "Album", "Album"]);
    assert_eq!(made.status.code(), Some(1));
    let said = text(&made.stderr);
    assert!(
        said.contains("absent") && said.contains("written twice"),
        "{said}"
    );
    assert!(said.contains("2 of 3 torrents were not made"), "{said}");
    assert!(folder.path().join("Album.torrent").exists());
}

#[test]
fn what_no_torrent_holds_is_refused_by_name() {
    let folder = album();
    let inside = folder.path().join("Album");
    let strange = inside.join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    fs::write(&strange, "x").unwrap();
    let refused = sower(folder.path(), &["create", "Album"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stderr).contains("caf\\xE9") && text(&refused.stderr).contains("UTF-8"),
        "{refused:?}"
    );
    fs::remove_file(&strange).unwrap();
    std::os::unix::fs::symlink("..", inside.join("loop")).unwrap();
    let made = json_of(folder.path(), &["create", "Album", "--json"]);
    assert_eq!(made["left_out"]["symlinks"], 1);
    let refused = sower(
        folder.path(),
        &["create", "Album", "-f", "--follow-symlinks"],
    );
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("loop"), "{refused:?}");
}

#[test]
fn the_limits_are_those_of_the_configuration() {
    let folder = album();
    let limited = |variable: &str, value: &str, arguments: &[&str]| {
        let environment = [(variable.to_owned(), value.to_owned())];
        let output = run(folder.path(), &environment, arguments, "");
        (output.status.code(), text(&output.stderr).to_owned())
    };
    let (code, said) = limited("SOWER_TORRENT__MAX_FILES", "3", &["create", "Album"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("torrent.max_files") && said.contains("more than 3"),
        "{said}"
    );
    let (code, said) = limited("SOWER_TORRENT__MAX_BYTES", "100", &["create", "Album"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("longer than 100 bytes"), "{said}");
    assert!(!folder.path().join("Album.torrent").exists());
    assert!(sower(folder.path(), &["create", "Album"]).status.success());
    for command in [
        &["show", "Album.torrent"][..],
        &["verify", "Album.torrent", "."],
    ] {
        let (code, said) = limited("SOWER_TORRENT__MAX_BYTES", "100", command);
        assert_eq!(code, Some(1));
        assert!(said.contains("torrent.max_bytes"), "{said}");
        let (code, _) = limited("SOWER_TORRENT__MAX_FILES", "3", command);
        assert_eq!(code, Some(1));
    }
}

#[test]
fn hashing_on_one_thread_in_no_memory_gives_the_same() {
    let folder = album();
    for format in ["v1", "v2", "hybrid"] {
        let arguments = [
            "create",
            "Album",
            "--format",
            format,
            "--no-date",
            "-o",
            "-",
        ];
        let usual = sower(folder.path(), &arguments);
        let environment = [
            ("SOWER_HASHING__THREADS".to_owned(), "1".to_owned()),
            ("SOWER_HASHING__MEMORY_BYTES".to_owned(), "0".to_owned()),
        ];
        let sparing = run(folder.path(), &environment, &arguments, "");
        assert!(
            usual.status.success() && usual.stdout == sparing.stdout,
            "{sparing:?}"
        );
    }
}

#[test]
fn wrong_usage_ends_with_two() {
    let folder = album();
    for arguments in [
        &["create"][..],
        &["create", "Album", "--format", "v3"],
        &["create", "Album", "--piece-length", "20"],
        &[
            "create",
            "Album",
            "--piece-length",
            "1MiB",
            "--target-pieces",
            "5",
        ],
        &["create", "Album", "-o", "-", "--json"],
        &["create", "Album", "Album", "-o", "-"],
        &["create", "Album", "Album", "-o", "x.torrent"],
        &["create", "Album", "Album", "--name", "x"],
        &["verify"],
    ] {
        let output = sower(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
    }
    for arguments in [
        &["create", "Album", "--announce", "t.example"][..],
        &["create", "Album", "--web-seed", "udp://t.example:1"],
        &["create", "Album", "--node", "t.example"],
        &["create", "Album", "--exclude", "[a"],
        &["create", "Album", "--exclude", "*"],
        &["create", "Album", "--name", "a/b"],
        &["create", "Album", "-o", "absent/x.torrent"],
        &["create", "Album", "-o", "/dev/null", "-f"],
        &["create", "/dev/null"],
    ] {
        let output = sower(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        assert!(text(&output.stderr).starts_with("sower: "), "{output:?}");
    }
}

#[test]
fn what_was_perhaps_not_meant_is_said_on_standard_error() {
    let folder = album();
    let made = sower(folder.path(), &["create", "Album", "--private"]);
    assert!(made.status.success());
    assert!(
        text(&made.stderr).contains("warning: the torrent is private"),
        "{made:?}"
    );
}

//! `sower publish` without a server's address: straight into the data directory, whether a server runs on it or not.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde_json::Value;
use sower::proto::id::InfoHash;

use crate::edits::publisher;
use crate::support::{Server, curl, expect_torrent_of, get, interrupt, wait_for};

fn bytes(length: u32) -> Vec<u8> {
    (0..length).map(|i| (i / 7 % 251) as u8).collect()
}

/// A folder with an empty file, small ones, and one of several pieces.
fn album(around: &Path) {
    let notes = around.join("album/notes");
    fs::create_dir_all(&notes).unwrap();
    fs::write(notes.join("empty"), "").unwrap();
    fs::write(notes.join("read me.txt"), "hello").unwrap();
    fs::write(notes.join("../a.bin"), bytes(700_000)).unwrap();
    fs::write(notes.join("../.hidden"), "not this").unwrap();
}

/// Publishes on the command line, which says what it has done as JSON.
fn publish(server: &Server, arguments: &[&str]) -> Value {
    let done = server.sower(&[&["publish", "--json"], arguments].concat(), "");
    assert!(done.status.success(), "{done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

fn refusal(server: &Server, arguments: &[&str]) -> String {
    let done = server.sower(&[&["publish"], arguments].concat(), "");
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(done.stdout.is_empty(), "{done:?}");
    String::from_utf8(done.stderr).unwrap()
}

pub(crate) fn describe(server: &Server, id: &Value) -> Value {
    let id = id.as_str().unwrap();
    let url = format!("{}/api/v1/publications/{id}", server.url);
    serde_json::from_slice(&get(&url)).unwrap()
}

/// Waits until the server's tracker knows the torrent.
fn wait_until_tracked(server: &Server, publication: &Value) {
    let hash = InfoHash::from_hex(publication["info_hash_v1"].as_str().unwrap()).unwrap();
    let hash = percent_encode(hash.as_bytes(), NON_ALPHANUMERIC);
    let url = format!(
        "{}/announce?info_hash={hash}&peer_id=-XX0000-000000000000&port=1&left=0&event=stopped",
        server.url
    );
    wait_for("the tracker to know the torrent", || {
        (!get(&url).windows(14).any(|part| part == b"failure reason")).then_some(())
    });
}

fn download(server: &Server, publication: &Value, name: &str) {
    let torrent = publication["torrent_url"].as_str().unwrap();
    let done = server.sower(&["download", torrent, "-o", "down"], "");
    assert!(done.status.success(), "{done:?}");
    for file in publication["files"].as_array().unwrap() {
        let path = format!("{name}/{}", file["path"].as_str().unwrap());
        let [got, sent] = [
            server.folder().join("down").join(&path),
            server.folder().join(&path),
        ]
        .map(|path| fs::read(path).unwrap());
        assert!(got == sent, "{path} differs");
    }
}

#[test]
fn a_running_server_serves_what_a_command_publishes_beside_it() {
    let server = Server::start();
    album(server.folder());
    let arguments = ["album", "--title", "An album", "--licence", "CC0-1.0"];
    let arguments = [&arguments[..], &["--tag", "music", "--format", "hybrid"]].concat();
    let printed = publish(&server, &arguments);
    assert_eq!(printed["was_published_already"], false);
    let publication = describe(&server, &printed["id"]);
    assert_eq!(publication["title"], "An album");
    assert_eq!(publication["licence"], "CC0-1.0");
    assert_eq!(publication["tags"], serde_json::json!(["music"]));
    assert_eq!(publication["total_length"], 700_005);
    wait_until_tracked(&server, &publication);
    download(&server, &publication, "album");

    expect_torrent_of(&server, "album", &publication);

    let again = publish(&server, &["album", "--format", "hybrid"]);
    assert_eq!(again["was_published_already"], true);
    assert_eq!(again["id"], printed["id"]);
    assert_eq!(server.publication_count(), 1);
}

/// What can be said of a publication beside its words, on the command line.
const PARTICULARS: [&str; 11] = [
    "--unlisted",
    "--doi",
    "https://doi.org/10.5281/zenodo.1234",
    "--link",
    "The paper https://example.org/paper",
    "--link",
    "https://example.org/",
    "--announce",
    "udp://tracker.example.org:6969",
    "--web-seed",
    "https://example.org/data/",
];

#[test]
fn the_command_says_all_that_the_form_says_wherever_it_publishes() {
    let server = Server::start();
    let token = publisher(&server, "ada");
    let folder = server.folder();
    fs::write(folder.join("0"), "first").unwrap();
    let mut older = publish(&server, &["0", "--title", "Version 0"])["id"].take();
    let to = ["--to", &server.url, "--token", &token];
    for (number, mode) in [&[][..], &["--in-place"], &to].into_iter().enumerate() {
        let name = format!("{}", number + 1);
        fs::write(folder.join(&name), &name).unwrap();
        let page = format!("{}/p/{}", server.url, older.as_str().unwrap());
        // What everybody may find is replaced by its administrators and its publisher alone.
        let replaces = if mode.contains(&"--to") {
            &[][..]
        } else {
            &["--replaces", &page]
        };
        let arguments = [&[&*name], mode, &PARTICULARS, replaces].concat();
        let printed = publish(&server, &arguments);
        let publication = describe(&server, &printed["id"]);
        assert_eq!(publication["unlisted"], true, "{mode:?}");
        assert_eq!(publication["doi"], "10.5281/zenodo.1234");
        assert_eq!(publication["links"][0]["title"], "The paper");
        assert_eq!(publication["links"][1]["url"], "https://example.org/");
        assert_eq!(publication["trackers"][0], "udp://tracker.example.org:6969");
        assert_eq!(publication["web_seeds"][0], "https://example.org/data/");
        if !replaces.is_empty() {
            assert_eq!(publication["replaces"], older, "{mode:?}");
        }
        older = printed["id"].clone();
    }
    fs::write(folder.join("4"), "fourth").unwrap();
    let older = older.as_str().unwrap();
    let printed = publish(&server, &[&["4", "--replaces", older], &to[..]].concat());
    assert_eq!(describe(&server, &printed["id"])["replaces"], older);
}

#[test]
fn what_is_said_wrongly_is_refused_before_a_file_is_read() {
    let server = Server::start();
    let film = fs::File::create(server.folder().join("film.mkv")).unwrap();
    film.set_len(1 << 40).unwrap();
    let nowhere = refusal(&server, &["film.mkv", "--replaces", "abcdefghij"]);
    assert!(
        nowhere.contains("there is no publication abcdefghij here"),
        "{nowhere}"
    );
    assert!(refusal(&server, &["film.mkv", "--doi", "12"]).contains("is no DOI"));
    let private = [
        "film.mkv",
        "--in-place",
        "--private",
        "--announce",
        "wss://a.example",
    ];
    assert!(refusal(&server, &private).contains("BEP 27"));
    let none = server.sower(&["publish", "film.mkv", "--replaces", "2.0"], "");
    assert_eq!(none.status.code(), Some(2), "{none:?}");
}

#[test]
fn what_was_published_without_a_server_is_there_when_one_starts() {
    let mut server = Server::start_with(&[("SOWER_PUBLIC_URL", "https://files.example.org")]);
    server.stop();
    album(server.folder());
    let done = server.sower(&["publish", "album"], "");
    assert!(done.status.success(), "{done:?}");
    let page = String::from_utf8(done.stdout).unwrap();
    let id = page.trim().strip_prefix("https://files.example.org/p/");
    let server = server.start_again();
    let publication = describe(&server, &Value::from(id.unwrap()));
    assert_eq!(publication["title"], "album");
    wait_until_tracked(&server, &publication);
}

#[test]
fn a_server_and_a_command_publish_the_same_files_once() {
    let server = Server::start();
    let content = bytes(100_000);
    fs::write(server.folder().join("a.bin"), &content).unwrap();
    let printed = publish(&server, &["a.bin"]);
    let (status, answer) = server.publish(&server.token(), &[], &[("a.bin", &content)]);
    assert_eq!(status, 409, "{answer}");
    assert!(answer.to_string().contains(printed["id"].as_str().unwrap()));
    assert_eq!(server.publication_count(), 1);
}

#[test]
fn a_server_that_starts_sweeps_nothing_away_while_a_command_publishes() {
    let mut server = Server::start();
    server.stop();
    let staged = server.folder().join("data/content/staging/abcdefghij");
    fs::create_dir(&staged).unwrap();
    let mut at_work = Command::new("flock")
        .args([
            "--shared",
            "data/publishing.lock",
            "sh",
            "-c",
            "echo; exec cat",
        ])
        .current_dir(server.folder())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0];
    std::io::Read::read_exact(at_work.stdout.as_mut().unwrap(), &mut line).unwrap();
    let server = server.start_again();
    assert!(staged.exists());
    drop(at_work.stdin.take());
    at_work.wait().unwrap();
    let _server = server.restart();
    assert!(!staged.exists());
}

#[test]
fn a_command_that_is_stopped_leaves_nothing() {
    let server = Server::start();
    let film = fs::File::create(server.folder().join("film.mkv")).unwrap();
    film.set_len(4_000_000_000).unwrap();
    let running = Command::new(env!("CARGO_BIN_EXE_sower"))
        .args(["publish", "film.mkv"])
        .current_dir(server.folder())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for("something to be staged", || {
        let staged = fs::read_dir(server.folder().join("data/content/staging"));
        staged.unwrap().next().is_some().then_some(())
    });
    interrupt(&running);
    let ended = running.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stderr).contains("nothing was published"));
    assert_eq!(server.stored(), 0);
    assert_eq!(server.publication_count(), 0);
}

#[test]
fn what_cannot_be_published_is_named_and_leaves_nothing() {
    let server = Server::start();
    let folder = server.folder();
    fs::write(folder.join("empty"), "").unwrap();
    fs::write(folder.join("note"), "hello").unwrap();
    fs::create_dir(folder.join("nothing in it")).unwrap();
    assert!(refusal(&server, &["nowhere"]).contains("nowhere cannot be read"));
    assert!(refusal(&server, &["nothing in it"]).contains("no files"));
    assert!(refusal(&server, &["empty"]).contains("every file is empty"));
    assert!(refusal(&server, &["note", "--licence", "do what you want"]).contains("SPDX"));
    let none = server.sower(&["publish"], "");
    assert_eq!(none.status.code(), Some(2), "{none:?}");
    assert_eq!(server.publication_count(), 0);
    assert_eq!(server.stored(), 0);
}

/// A server beside an album that a command has published in place, and the publication.
fn album_in_place() -> (Server, Value) {
    let server = Server::start();
    album(server.folder());
    // In a hybrid no piece has bytes of two files: what is wrong with one leaves the others alone.
    let printed = publish(&server, &["album", "--in-place", "--format", "hybrid"]);
    let publication = describe(&server, &printed["id"]);
    wait_until_tracked(&server, &publication);
    (server, publication)
}

pub(crate) fn page(server: &Server, publication: &Value) -> String {
    let id = publication["id"].as_str().unwrap();
    String::from_utf8(get(&format!("{}/p/{id}", server.url))).unwrap()
}

/// What the server answers when asked for a file of the album.
fn status_of(server: &Server, publication: &Value, name: &str) -> String {
    let id = publication["id"].as_str().unwrap();
    let url = format!("{}/files/{id}/album/{name}", server.url);
    let answer = curl(&["-o", "/dev/null", "-w", "%{http_code}", &url]);
    String::from_utf8(answer).unwrap()
}

pub(crate) fn withdraw(server: &Server, publication: &Value) {
    let id = publication["id"].as_str().unwrap();
    let url = format!("{}/api/v1/publications/{id}", server.url);
    let token = format!("Authorization: Bearer {}", server.token());
    curl(&["-f", "-X", "DELETE", "-H", &token, &url]);
}

#[test]
fn what_is_published_in_place_is_served_without_a_copy_and_outlasts_its_publication() {
    let (server, publication) = album_in_place();
    let id = publication["id"].as_str().unwrap();
    let own = server.folder().join("data/content").join(id);
    let bytes: u64 = fs::read_dir(&own)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes < 10_000, "{bytes} bytes were copied");
    download(&server, &publication, "album");
    let server = server.restart();
    fs::remove_dir_all(server.folder().join("down")).unwrap();
    let publication = describe(&server, &publication["id"]);
    download(&server, &publication, "album");

    withdraw(&server, &publication);
    assert!(!own.exists());
    let kept = fs::read(server.folder().join("album/a.bin")).unwrap();
    assert!(kept == bytes_of_album());
    let again = publish(&server, &["album", "--in-place", "--format", "hybrid"]);
    assert_eq!(again["was_published_already"], false);
}

fn bytes_of_album() -> Vec<u8> {
    bytes(700_000)
}

#[test]
fn a_file_in_place_that_changed_or_went_is_not_served_and_the_page_says_so() {
    let (server, publication) = album_in_place();
    let file = server.folder().join("album/a.bin");
    assert_eq!(status_of(&server, &publication, "a.bin"), "200");
    fs::rename(&file, server.folder().join("elsewhere")).unwrap();
    assert!(status_of(&server, &publication, "a.bin").starts_with(['4', '5']));
    wait_for("the page to tell of it", || {
        page(&server, &publication)
            .contains("fails the check")
            .then_some(())
    });
    assert_eq!(
        status_of(&server, &publication, "notes/read%20me.txt"),
        "200"
    );

    // Brought back, it is served again; with other bytes, it is not.
    fs::rename(server.folder().join("elsewhere"), &file).unwrap();
    assert_eq!(status_of(&server, &publication, "a.bin"), "200");
    let mut changed = bytes_of_album();
    changed[5] ^= 1;
    fs::write(&file, changed).unwrap();
    assert!(status_of(&server, &publication, "a.bin").starts_with(['4', '5']));
}

#[test]
fn what_cannot_stay_in_place_is_named() {
    let server = Server::start();
    let folder = server.folder();
    album(folder);
    let (first, last) = ("album", "data/sower.db");
    assert!(refusal(&server, &[last, "--in-place"]).contains("the data directory"));
    let both = server.sower(&["publish", first, "--in-place", "--to", &server.url], "");
    assert_eq!(both.status.code(), Some(2), "{both:?}");
    assert!(refusal(&server, &["/dev/null", "--in-place"]).contains("neither a file nor a folder"));

    std::os::unix::fs::symlink("a.bin", folder.join("album/link")).unwrap();
    let fifo = Command::new("mkfifo")
        .arg(folder.join("album/pipe"))
        .status();
    assert!(fifo.unwrap().success());
    let done = server.sower(&["publish", "album", "--in-place"], "");
    assert!(done.status.success(), "{done:?}");
    let told = String::from_utf8(done.stderr).unwrap();
    assert!(
        told.contains("1 hidden, 1 symbolic link, 1 socket, pipe or device"),
        "{told}"
    );
}

//! `sower publish`, from outside: a real server, the built program, and what goes wrong between them.

use std::fs;
use std::io::Read;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::support::{Server, expect_torrent_of, get, wait_for};

fn command(folder: &Path, server: &str, token: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sower"));
    command
        .arg("publish")
        .current_dir(folder)
        .env("SOWER_TO", server)
        .env("SOWER_TOKEN", token)
        .env("XDG_STATE_HOME", folder.join("state"))
        .stdin(Stdio::null());
    command
}

fn publish(server: &Server, token: &str, arguments: &[&str]) -> Output {
    let mut command = command(server.folder(), &server.url, token);
    command.args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with an empty file, small ones, and one of several parts.
fn album(server: &Server) {
    let album = server.folder().join("album/notes");
    fs::create_dir_all(&album).unwrap();
    fs::write(album.join("empty"), "").unwrap();
    fs::write(album.join("read me.txt"), "hello").unwrap();
    fs::write(album.join("../a.bin"), bytes(20_000_000)).unwrap();
    fs::write(album.join("../.hidden"), "not this").unwrap();
}

fn bytes(length: u32) -> Vec<u8> {
    (0..length).map(|i| (i / 7 % 251) as u8).collect()
}

fn notes(server: &Server) -> PathBuf {
    server.folder().join("state/sower/uploads")
}

fn notes_count(server: &Server) -> usize {
    fs::read_dir(notes(server)).map_or(0, Iterator::count)
}

#[test]
fn a_folder_becomes_a_publication_with_the_torrent_that_create_makes() {
    let server = Server::start();
    let token = server.token();
    album(&server);
    let arguments = [
        "album",
        "--title",
        "An album",
        "--licence",
        "CC0-1.0",
        "--tag",
        "music",
        "--format",
        "hybrid",
        "--json",
    ];
    let printed: Value =
        serde_json::from_str(&stdout(&publish(&server, &token, &arguments))).unwrap();
    let id = printed["id"].as_str().unwrap();
    let url = format!("{}/api/v1/publications/{id}", server.url);
    let publication: Value = serde_json::from_slice(&get(&url)).unwrap();
    assert_eq!(publication["title"], "An album");
    assert_eq!(publication["licence"], "CC0-1.0");
    assert_eq!(publication["tags"], serde_json::json!(["music"]));
    assert_eq!(publication["name"], "album");
    assert_eq!(publication["total_length"], 20_000_005);
    assert_eq!(printed["page_url"], publication["page_url"]);
    expect_torrent_of(&server, "album", &publication);
    assert_eq!(notes_count(&server), 0);

    let again = publish(&server, &token, &["album", "--format", "hybrid"]);
    assert_eq!(stdout(&again).trim(), printed["page_url"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("published already"));
}

/// A server that has the same address again after a restart, and a film that takes a while.
fn server_with_film() -> (Server, String) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = free.local_addr().unwrap().to_string();
    drop(free);
    let server = Server::start_with(&[("SOWER_LISTEN", &listen)]);
    let token = server.token();
    let film = fs::File::create(server.folder().join("film.mkv")).unwrap();
    film.set_len(FILM).unwrap();
    (server, token)
}

const FILM: u64 = 400_000_000;

const PUBLISH_FILM: [&str; 3] = ["film.mkv", "--title", "Film"];

/// Begins to publish the film, and gives the id of its draft once a good deal of it is there.
fn begin(server: &Server, token: &str, arguments: &[&str]) -> (Child, String) {
    let begun = command(server.folder(), &server.url, token)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = wait_for("the upload to be written down", || {
        let note = fs::read_dir(notes(server)).ok()?.next()?.ok()?;
        let note: Value = serde_json::from_slice(&fs::read(note.path()).ok()?).ok()?;
        note["id"].as_str().map(str::to_owned)
    });
    let film = server.folder().join(format!("data/content/staging/{id}/0"));
    wait_for("some of the film to be there", || {
        let length = fs::metadata(&film).ok()?.len();
        (length > 20_000_000).then_some(())
    });
    (begun, id)
}

fn title_of(server: &Server, id: &str) -> Value {
    let url = format!("{}/api/v1/publications/{id}", server.url);
    let mut publication: Value = serde_json::from_slice(&get(&url)).unwrap();
    assert_eq!(publication["state"], "published");
    assert_eq!(publication["total_length"], FILM);
    publication["title"].take()
}

#[test]
fn an_upload_goes_on_where_it_was_after_command_and_server_were_killed() {
    let (mut server, token) = server_with_film();
    let (mut first, id) = begin(&server, &token, &PUBLISH_FILM);
    server.kill();
    first.kill().unwrap();
    first.wait().unwrap();
    let server = server.start_again();
    let film = fs::metadata(server.folder().join(format!("data/content/staging/{id}/0")));
    assert!(film.unwrap().len() < FILM);
    let page = stdout(&publish(&server, &token, &PUBLISH_FILM));
    assert!(
        page.trim().ends_with(&id),
        "{page} is another publication than {id}"
    );
    assert_eq!(title_of(&server, &id), "Film");
    assert_eq!(notes_count(&server), 0);
}

#[test]
fn what_has_a_torrent_keeps_its_info_hash_over_an_interruption() {
    let (mut server, token) = server_with_film();
    let options = [
        "--name",
        "Film",
        "--piece-length",
        "2MiB",
        "-o",
        "film.torrent",
    ];
    let created = server.sower(&[&["create", "film.mkv"], &options[..]].concat(), "");
    assert!(created.status.success(), "{created:?}");
    let arguments = ["--torrent", "film.torrent", "film.mkv", "--json"];
    let (mut first, id) = begin(&server, &token, &arguments);
    server.kill();
    first.kill().unwrap();
    first.wait().unwrap();
    let server = server.start_again();
    let printed = stdout(&publish(&server, &token, &arguments));
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["id"], id);
    assert_eq!(title_of(&server, &id), "Film");
    let url = format!("{}/api/v1/publications/{id}", server.url);
    let publication: Value = serde_json::from_slice(&get(&url)).unwrap();
    let shown = server.sower(&["show", "film.torrent", "--json"], "");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(publication["info_hash_v1"], shown["info_hash_v1"]);
    assert_eq!(notes_count(&server), 0);

    let again = publish(&server, &token, &arguments);
    let said: Value = serde_json::from_str(&stdout(&again)).unwrap();
    assert_eq!(said["was_published_already"], true);
    assert_eq!(said["page_url"], printed["page_url"]);
    assert_eq!(notes_count(&server), 0);

    // What differs is found before anything is sent.
    let film = fs::OpenOptions::new()
        .write(true)
        .open(server.folder().join("film.mkv"));
    film.unwrap().write_all_at(b"x", 5_000_000).unwrap();
    let words = stderr(&publish(&server, &token, &arguments));
    assert!(words.contains("bad pieces 2"), "{words}");
    assert_eq!(notes_count(&server), 0);
}

#[test]
fn a_server_that_goes_away_is_waited_for() {
    let (mut server, token) = server_with_film();
    let (begun, id) = begin(&server, &token, &PUBLISH_FILM);
    server.kill();
    let server = server.start_again();
    let ended = begun.wait_with_output().unwrap();
    assert!(stdout(&ended).trim().ends_with(&id));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("trying again"));
    assert_eq!(title_of(&server, &id), "Film");
}

/// Stands before a server: it passes the first request on and keeps the answer to itself; later ones it leaves alone.
fn lose_first_answer(server: &Server) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let address = server.address();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (client, behind) = (stream.unwrap(), TcpStream::connect(&address).unwrap());
            let (mut from, mut to) = (client.try_clone().unwrap(), behind.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            if number == 0 {
                let heard = (&behind).read(&mut [0]).unwrap();
                assert_eq!(heard, 1);
                client.shutdown(Shutdown::Both).unwrap();
            } else {
                let (mut from, mut to) = (behind, client);
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        }
    });
    url
}

#[test]
fn a_lost_answer_begins_no_second_draft() {
    let server = Server::start_with(&[("SOWER_PUBLISH__MAX_DRAFTS", "1")]);
    let token = server.token();
    fs::write(server.folder().join("note"), "hello").unwrap();
    let before = lose_first_answer(&server);
    let mut command = command(server.folder(), &before, &token);
    let done = command.arg("note").output().unwrap();
    assert!(stdout(&done).contains("/p/"));
    assert!(String::from_utf8_lossy(&done.stderr).contains("trying again"));
    assert_eq!(server.publication_count(), 1);
    assert_eq!(notes_count(&server), 0);
}

#[test]
fn what_is_wrong_is_said_and_what_to_do() {
    let server = Server::start();
    let token = server.token();
    fs::write(server.folder().join("note"), "hello").unwrap();
    let refused = |server_url: &str, token: &str, path: &str| {
        let mut command = command(server.folder(), server_url, token);
        stderr(&command.arg(path).output().unwrap())
    };
    assert!(refused(&server.url, "sower_nonsense", "note").contains("the server says"));
    assert!(refused(&server.url, &token, "nothing").contains("nothing cannot be read"));
    assert!(refused("files.example.org", &token, "note").contains("https://files.example.org"));
    assert!(refused("http://127.0.0.1:1", &token, "note").contains("cannot be reached"));
    assert_eq!(server.publication_count(), 0);
    assert_eq!(notes_count(&server), 0);
}

//! The watch folder, from outside: what is put into it while a server runs, and what becomes of it.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use crate::local_publish::{describe, page, withdraw};
use crate::support::{Server, curl, get, wait_for};

const WATCHING: [(&str, &str); 3] = [
    ("SOWER_PUBLISH__WATCH", "watch"),
    ("SOWER_PUBLISH__WATCH_QUIET", "1"),
    ("SOWER_PUBLISH__WATCH_INTERVAL", "1"),
];

/// A server that watches a folder with these files, each of which holds its own name.
fn watching(files: &[&str]) -> Server {
    let server = Server::start_with(&WATCHING);
    // Put together elsewhere, so that no look meets half of it.
    let aside = server.folder().join("aside");
    fs::create_dir(&aside).unwrap();
    for file in files {
        let path = aside.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    fs::rename(aside, server.folder().join("watch")).unwrap();
    server
}

fn in_folder(server: &Server, name: &str) -> PathBuf {
    server.folder().join("watch").join(name)
}

/// The publications with this title, the newest first.
fn titled(server: &Server, title: &str) -> Vec<Value> {
    let url = format!("{}/api/v1/publications", server.url);
    let page: Value = serde_json::from_slice(&get(&url)).unwrap();
    let mut publications = page["publications"].as_array().unwrap().clone();
    publications.retain(|publication| publication["title"] == title);
    publications
}

fn wait_until_published(server: &Server, title: &str) -> Value {
    let publication = wait_for(title, || titled(server, title).pop());
    describe(server, &publication["id"])
}

/// Waits until the watcher has gone round: a file that is put in now is published after everything that was due before it.
fn wait_for_a_round(server: &Server, name: &str) {
    fs::write(in_folder(server, name), name).unwrap();
    wait_until_published(server, name);
}

fn log(server: &Server) -> String {
    fs::read_to_string(server.folder().join("log")).unwrap()
}

fn wait_for_log(server: &Server, words: &str) {
    wait_for(words, || log(server).contains(words).then_some(()));
}

fn status_of(url: &Value) -> String {
    let url = url.as_str().unwrap();
    let answer = curl(&["-o", "/dev/null", "-w", "%{http_code}", url]);
    String::from_utf8(answer).unwrap()
}

fn wait_until_page_tells_of_damage(server: &Server, publication: &Value, does: bool) {
    wait_for("the page to tell of it", || {
        let tells = page(server, publication).contains("fails the check");
        (tells == does).then_some(())
    });
}

#[test]
fn files_and_folders_that_are_still_are_published_where_they_lie() {
    let files = [
        "film.bin",
        "album/a",
        "album/notes/b",
        "album/.hidden",
        ".hidden",
        "other.bin.part",
        "third.bin",
        "third.bin.aria2",
    ];
    let server = watching(&files);
    std::os::unix::fs::symlink("/etc/passwd", in_folder(&server, "link")).unwrap();
    let album = wait_until_published(&server, "album");
    let film = wait_until_published(&server, "film.bin");
    for (publication, expected) in [(&album, &["a", "notes/b"][..]), (&film, &["film.bin"])] {
        let files = publication["files"].as_array().unwrap();
        let paths: Vec<&str> = files.iter().map(|f| f["path"].as_str().unwrap()).collect();
        assert_eq!(paths, expected);
        for file in files {
            let bytes = get(file["url"].as_str().unwrap());
            let path = String::from_utf8(bytes).unwrap();
            assert!(path.ends_with(file["path"].as_str().unwrap()), "{path}");
        }
        let id = publication["id"].as_str().unwrap();
        let kept = fs::read_dir(server.folder().join("data/content").join(id)).unwrap();
        for entry in kept {
            let entry = entry.unwrap();
            let is_copy = entry.metadata().unwrap().is_file() && entry.file_name() == "0";
            assert!(!is_copy, "{:?} is a copy", entry.path());
        }
    }
    assert_eq!(server.publication_count(), 2);

    let whole = in_folder(&server, "other.bin");
    fs::rename(in_folder(&server, "other.bin.part"), whole).unwrap();
    fs::remove_file(in_folder(&server, "third.bin.aria2")).unwrap();
    wait_until_published(&server, "other.bin");
    wait_until_published(&server, "third.bin");
    wait_for_a_round(&server, "last");
    assert_eq!(server.publication_count(), 5);
}

#[test]
fn a_file_that_is_still_written_to_waits() {
    let [folder, _, interval] = WATCHING;
    // Long enough for a busy machine to write in between.
    let server = Server::start_with(&[folder, ("SOWER_PUBLISH__WATCH_QUIET", "3"), interval]);
    fs::create_dir(server.folder().join("watch")).unwrap();
    let mut growing = File::create(in_folder(&server, "growing")).unwrap();
    fs::write(in_folder(&server, "still"), "still").unwrap();
    let mut length = 0;
    wait_for("the file that is still", || {
        growing.write_all(b".").unwrap();
        length += 1;
        titled(&server, "still").pop()
    });
    assert_eq!(server.publication_count(), 1);
    let grown = wait_until_published(&server, "growing");
    assert_eq!(grown["total_length"], length);
}

#[test]
fn a_restart_publishes_nothing_twice() {
    let mut server = watching(&["a", "b"]);
    wait_until_published(&server, "a");
    let unwanted = wait_until_published(&server, "b");
    withdraw(&server, &unwanted);

    // What a crash leaves between publishing and noting it.
    server.stop();
    fs::write(in_folder(&server, "c"), "c").unwrap();
    let done = server.sower(&["publish", "watch/c", "--in-place"], "");
    assert!(done.status.success(), "{done:?}");
    let server = server.start_again();
    wait_for_log(&server, "c is published already");
    let server = server.restart();
    wait_for_a_round(&server, "d");
    wait_for_a_round(&server, "e");
    assert_eq!(server.publication_count(), 4);
    assert_eq!(log(&server).matches("is published already").count(), 1);
    assert_eq!(log(&server).matches("is published in place").count(), 4);
}

#[test]
fn what_changes_or_goes_is_reported_and_is_served_again_when_it_is_back() {
    let server = watching(&["changed", "gone"]);
    let [changed, gone] = ["changed", "gone"].map(|title| wait_until_published(&server, title));
    let [new, aside] = [
        in_folder(&server, "changed"),
        server.folder().join("taken out"),
    ];
    fs::write(new, "something else").unwrap();
    fs::rename(in_folder(&server, "gone"), &aside).unwrap();
    let told = "is not what it was when it was published";
    wait_for("both to be reported", || {
        (log(&server).matches(told).count() == 2).then_some(())
    });
    for publication in [&changed, &gone] {
        wait_until_page_tells_of_damage(&server, publication, true);
        let status = status_of(&publication["files"][0]["url"]);
        assert!(status.starts_with(['4', '5']), "{status}");
    }

    fs::rename(&aside, in_folder(&server, "gone")).unwrap();
    wait_until_page_tells_of_damage(&server, &gone, false);
    assert_eq!(status_of(&gone["files"][0]["url"]), "200");

    withdraw(&server, &changed);
    let anew = wait_until_published(&server, "changed");
    assert_ne!(anew["id"], changed["id"]);
    assert_eq!(
        get(anew["files"][0]["url"].as_str().unwrap()),
        b"something else"
    );
    assert_eq!(log(&server).matches(told).count(), 2);
}

#[test]
fn what_cannot_be_published_is_said_once_and_tried_again_when_it_changes() {
    let server = watching(&["album/back\\slash"]);
    fs::write(in_folder(&server, "empty"), "").unwrap();
    let told = "is not published until it changes";
    wait_for("both to be refused", || {
        (log(&server).matches(told).count() == 2).then_some(())
    });
    assert!(log(&server).contains("rename it"));
    assert!(log(&server).contains("every file is empty"));
    wait_for_a_round(&server, "first");
    wait_for_a_round(&server, "second");
    assert_eq!(log(&server).matches(told).count(), 2);
    let [from, to] = ["album/back\\slash", "album/slash"].map(|name| in_folder(&server, name));
    fs::rename(from, to).unwrap();
    fs::write(in_folder(&server, "empty"), "no more").unwrap();
    wait_until_published(&server, "album");
    wait_until_published(&server, "empty");
}

#[test]
fn a_watch_folder_whose_disk_is_not_mounted_is_said_once_and_accuses_no_file() {
    let mut server = watching(&["a", "b"]);
    let a = wait_until_published(&server, "a");
    wait_until_published(&server, "b");
    let [watch, aside] = ["watch", "aside"].map(|name| server.folder().join(name));
    let unmount = || {
        fs::rename(&watch, &aside).unwrap();
        fs::create_dir(&watch).unwrap();
    };
    let mount = || {
        fs::remove_dir(&watch).unwrap();
        fs::rename(&aside, &watch).unwrap();
    };
    let bare = "is empty, though 2 files and folders were published from it";
    let again = "the watch folder can be looked into again";
    unmount();
    wait_for_log(&server, bare);
    mount();
    wait_for_log(&server, again);
    server.stop();
    unmount();
    let server = server.start_again();
    wait_for("it to be said again after a restart", || {
        (log(&server).matches(bare).count() == 2).then_some(())
    });
    mount();
    wait_for_a_round(&server, "c");
    assert!(!log(&server).contains("is not what it was"));
    assert_eq!(log(&server).matches(bare).count(), 2);
    assert_eq!(log(&server).matches(again).count(), 2);
    assert_eq!(
        status_of(&describe(&server, &a["id"])["files"][0]["url"]),
        "200"
    );
}

#[test]
fn what_is_added_to_a_folder_that_is_published_is_no_error() {
    let server = watching(&["album/a"]);
    wait_until_published(&server, "album");
    fs::write(in_folder(&server, "album/b"), "more").unwrap();
    let told = "is not what it was when it was published";
    wait_for_log(&server, told);
    let log = log(&server);
    let line = log.lines().find(|line| line.contains(told)).unwrap();
    assert!(line.contains("WARN"), "{line}");
}

#[test]
fn a_watch_folder_that_is_not_there_is_waited_for() {
    let server = Server::start_with(&WATCHING);
    wait_for_log(&server, "the watch folder watch cannot be read");
    fs::create_dir(server.folder().join("watch")).unwrap();
    wait_for_log(&server, "the watch folder can be looked into again");
    wait_for_a_round(&server, "a");
    assert_eq!(log(&server).matches("cannot be read").count(), 1);
}

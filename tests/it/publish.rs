//! An upload becomes a publication: whole, or not at all (HARDENING, upload and names).

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;
use sower::proto::id::InfoHash;
use sower::proto::metainfo::info::InfoLimits;
use sower::proto::metainfo::torrent_file::TorrentFile;

use crate::support::{PATIENCE, Server, curl, get};

fn torrent_of(publication: &Value) -> TorrentFile {
    TorrentFile::parse(
        &get(publication["torrent_url"].as_str().unwrap()),
        &InfoLimits::default(),
    )
    .unwrap()
}

#[test]
fn one_curl_publishes_a_file_and_the_torrent_names_tracker_and_web_seed() {
    let server = Server::start();
    let (status, publication) =
        server.publish(&server.token(), &[], &[("debian.iso", &[7; 100_000])]);
    assert_eq!(status, 201, "{publication}");
    assert_eq!(publication["state"], "published");
    assert_eq!(publication["title"], "debian.iso");
    assert_eq!(publication["files"][0]["path"], "debian.iso");
    assert_eq!(publication["total_length"], 100_000);
    assert_eq!(publication["swarm"]["seeders"], 1);

    let torrent = torrent_of(&publication);
    let id = publication["id"].as_str().unwrap();
    assert_eq!(
        torrent.info.hashes.v1().unwrap().to_string(),
        publication["info_hash_v1"].as_str().unwrap()
    );
    let tracker = format!("{}/announce", server.url);
    let over = |scheme| tracker.replace("http:", scheme);
    let (udp, websocket) = (over("udp:"), over("ws:"));
    assert_eq!(
        torrent.trackers,
        [vec![tracker.clone(), udp], vec![websocket]]
    );
    assert_eq!(
        torrent.web_seeds,
        [format!("{}/web-seed/{id}/debian.iso", server.url)]
    );
    assert_eq!(torrent.comment.as_deref(), publication["page_url"].as_str());
    assert!(torrent.created_by.unwrap().starts_with("Sower/"));
    assert_eq!(
        get(publication["files"][0]["url"].as_str().unwrap()),
        [7; 100_000]
    );

    let magnet = publication["magnet"].as_str().unwrap();
    for part in ["xt=urn:btih:", "&dn=debian.iso", "&tr=", "&ws=", "&x.pe="] {
        assert!(magnet.contains(part), "{magnet}");
    }
}

#[test]
fn a_folder_with_spaces_unicode_and_an_empty_file_keeps_its_names() {
    let server = Server::start();
    let files: [(&str, &[u8]); 3] = [
        ("Größe & Maß/leer.txt", b""),
        ("Größe & Maß/unter ordner/日本語.bin", b"1"),
        ("Größe & Maß/100%.txt", &[9; 70_000]),
    ];
    for format in ["v1", "hybrid"] {
        let (status, publication) =
            server.publish(&server.token_for(format), &[("format", format)], &files);
        assert_eq!(status, 201, "{publication}");
        assert_eq!(publication["name"], "Größe & Maß");
        let torrent = torrent_of(&publication);
        let mut paths: Vec<_> = torrent
            .info
            .files
            .content()
            .map(|(_, file)| file.path.to_string())
            .collect();
        paths.sort();
        assert_eq!(paths, ["100%.txt", "leer.txt", "unter ordner/日本語.bin"]);
        assert_eq!(torrent.info.hashes.v2().is_some(), format == "hybrid");
        for file in publication["files"].as_array().unwrap() {
            let original = files
                .iter()
                .find(|(name, _)| name.ends_with(file["path"].as_str().unwrap()))
                .unwrap();
            assert_eq!(get(file["url"].as_str().unwrap()), original.1);
        }
    }
}

#[test]
fn unsafe_names_are_refused_and_nothing_is_published() {
    let server = Server::start();
    let token = server.token();
    for name in [
        "../evil",
        "a/../../evil",
        "/etc/passwd",
        "..",
        ".",
        "a//b",
        "CON",
        "nul.txt",
        "C:/x",
        "a\u{7f}b",
        &"x".repeat(300),
    ] {
        let (status, problem) = server.publish(&token, &[], &[(name, b"content")]);
        assert_eq!(status, 400, "{name}: {problem}");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| !detail.is_empty()),
            "{name}: {problem}"
        );
    }
    for pair in [
        ["a.txt", "A.TXT"],
        ["x", "x/y"],
        ["caf\u{e9}", "cafe\u{301}"],
        ["same", "same"],
    ] {
        let (status, problem) = server.publish(&token, &[], &[(pair[0], b"1"), (pair[1], b"2")]);
        assert_eq!(status, 400, "{pair:?}: {problem}");
    }
    assert_eq!(server.publication_count(), 0);
    assert_eq!(server.stored(), 0);
}

#[test]
fn nobody_publishes_without_a_token_that_is_good() {
    let server = Server::start();
    for token in [
        "",
        "nonsense",
        "sower_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        let (status, problem) = server.publish(token, &[], &[("a", b"1")]);
        assert_eq!(status, 401, "{problem}");
    }
    assert_eq!(server.publication_count(), 0);
}

#[test]
fn an_upload_without_a_length_makes_the_same_torrent() {
    let server = Server::start();
    let token = server.token();
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let path = server.folder().join("content.bin");
    std::fs::write(&path, &content).unwrap();
    let form = format!("files=@{};filename=content.bin", path.display());
    let bearer = format!("Authorization: Bearer {token}");
    let url = format!("{}/api/v1/publications", server.url);
    let chunked = curl(&[
        "-H",
        &bearer,
        "-H",
        "Transfer-Encoding: chunked",
        "-F",
        &form,
        &url,
    ]);
    let first: Value = serde_json::from_slice(&chunked).unwrap();
    let again: Value = serde_json::from_slice(&curl(&["-H", &bearer, "-F", &form, &url])).unwrap();
    assert_eq!(first["state"], "published", "{first}");
    // The same content is one torrent, and the answer says where it is.
    assert_eq!(again["status"], 409, "{again}");
    assert!(
        again["detail"]
            .as_str()
            .unwrap()
            .contains(first["id"].as_str().unwrap()),
        "{again}"
    );
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    let server = Server::start();
    let token = server.token();
    let head = |length: &str| upload_head(&server, &token, length);
    // The client goes away.
    let mut gone = TcpStream::connect(server.address()).unwrap();
    gone.write_all(head("Content-Length: 100000").as_bytes())
        .unwrap();
    gone.write_all(&[1; 5_000]).unwrap();
    drop(gone);
    // The final boundary is missing.
    let body =
        "--XX\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.bin\"\r\n\r\nhalf";
    let mut unfinished = TcpStream::connect(server.address()).unwrap();
    unfinished
        .write_all(head(&format!("Content-Length: {}", body.len())).as_bytes())
        .unwrap();
    unfinished.write_all(b"half").unwrap();
    assert!(answer(&mut unfinished).starts_with("HTTP/1.1 400"));
    // A chunk is broken.
    let mut broken = TcpStream::connect(server.address()).unwrap();
    let chunked = head("Transfer-Encoding: chunked");
    let (head_only, part) = chunked.split_at(chunked.find("--XX").unwrap());
    broken.write_all(head_only.as_bytes()).unwrap();
    broken
        .write_all(format!("{:x}\r\n{part}\r\nZZZ\r\n", part.len()).as_bytes())
        .unwrap();
    let said = answer(&mut broken);
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");

    assert_eq!(server.publication_count(), 0);
    crate::support::wait_for("the staged bytes to go", || {
        (server.stored() == 0).then_some(())
    });
}

/// The beginning of an upload by hand, up to the first byte of its file.
fn upload_head(server: &Server, token: &str, length: &str) -> String {
    format!(
        "POST /api/v1/publications HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: multipart/form-data; boundary=XX\r\n{length}\r\n\r\n--XX\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.bin\"\r\n\r\n",
        server.address()
    )
}

fn answer(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = vec![0; 4096];
    let count = stream.read(&mut said).unwrap_or(0);
    String::from_utf8_lossy(&said[..count]).into_owned()
}

#[test]
fn a_server_killed_in_the_middle_of_an_upload_starts_clean() {
    let mut server = Server::start();
    let token = server.token();
    let (status, kept) = server.publish(&token, &[], &[("kept", b"kept")]);
    assert_eq!(status, 201, "{kept}");
    let mut upload = TcpStream::connect(server.address()).unwrap();
    upload
        .write_all(upload_head(&server, &token, "Content-Length: 1000000000").as_bytes())
        .unwrap();
    crate::support::wait_for("the upload to reach the disk", || {
        upload.write_all(&[3; 64 * 1024]).unwrap();
        (server.stored() > 1).then_some(())
    });
    server.kill();
    drop(upload);
    let server = server.start_again();
    assert_eq!(server.publication_count(), 1);
    assert_eq!(server.stored(), 1);
    assert_eq!(
        get(&format!(
            "{}/files/{}/kept",
            server.url,
            kept["id"].as_str().unwrap()
        )),
        b"kept"
    );
}

#[test]
fn publications_survive_a_restart() {
    let server = Server::start_with(&[("SOWER_LISTEN", "127.0.0.1:0")]);
    let (_, publication) = server.publish(
        &server.token(),
        &[("title", "A title")],
        &[("a", &[1; 50_000])],
    );
    let server = server.restart();
    let path = format!(
        "{}/api/v1/publications/{}",
        server.url,
        publication["id"].as_str().unwrap()
    );
    let again: Value = serde_json::from_slice(&get(&path)).unwrap();
    assert_eq!(again["title"], "A title");
    assert_eq!(again["info_hash_v1"], publication["info_hash_v1"]);
    let torrent = torrent_of(&again);
    assert_eq!(
        torrent.info.hashes.v1(),
        InfoHash::from_hex(publication["info_hash_v1"].as_str().unwrap())
    );
}

#[test]
fn a_large_upload_takes_constant_memory() {
    const MIB: usize = 1024 * 1024;
    let server = Server::start();
    let token = server.token();
    let (status, _) = server.publish(&token, &[], &[("warm-up", &[1; 1000])]);
    assert_eq!(status, 201);
    let before = server.memory();
    let path = server.folder().join("large");
    let mut file = std::fs::File::create(&path).unwrap();
    for number in 0..512_u32 {
        file.write_all(&number.to_le_bytes().repeat(MIB / 4))
            .unwrap();
    }
    let form = format!("files=@{}", path.display());
    let bearer = format!("Authorization: Bearer {token}");
    let url = format!("{}/api/v1/publications", server.url);
    let publication: Value =
        serde_json::from_slice(&curl(&["-H", &bearer, "-F", &form, &url])).unwrap();
    assert_eq!(publication["total_length"], 512 * MIB, "{publication}");
    let grown = server.peak_memory().saturating_sub(before);
    assert!(
        grown < 64 * MIB as u64,
        "memory grew by {} MiB",
        grown / MIB as u64
    );
}

//! A publication as one archive, and the list of its checksums.

use super::*;

async fn field_notes(site: &Site) -> String {
    let form = Multipart::default()
        .file("notes/day 1/übersicht.txt", b"Nebel am Morgen.\n")
        .file("notes/empty", b"")
        .file("notes/photo.png", &pattern(150_000));
    site.publish(&form).await["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_archive_is_the_same_in_whole_and_in_part() {
    let site = Site::open_to_anyone().await;
    let id = field_notes(&site).await;
    let path = format!("/files/{id}.zip");
    let whole = site.get(&path).await;
    assert_eq!(whole.status, 200);
    assert_eq!(whole.header(&CONTENT_TYPE), "application/zip");
    assert_eq!(whole.header(&ACCEPT_RANGES), "bytes");
    assert!(whole.header(&CONTENT_DISPOSITION).contains("notes.zip"));
    let length = whole.body.len();
    assert_eq!(whole.header(&CONTENT_LENGTH), length.to_string());
    let head = site.ask(Method::HEAD, &path, &[]).await;
    assert_eq!(head.headers, whole.headers);

    let tag = whole.header(&ETAG);
    // Around every border there is, and in strides.
    let borders = [
        0,
        1,
        29,
        30,
        70,
        150_300,
        length - 200,
        length - 23,
        length - 1,
    ];
    for from in borders.into_iter().chain((0..length).step_by(9_973)) {
        for wanted in [1, 60, 70_000, length] {
            let to = (from + wanted).min(length);
            let range = format!("bytes={from}-{}", to - 1);
            let headers = [(RANGE, range.as_str()), (IF_RANGE, tag)];
            let part = site.ask(Method::GET, &path, &headers).await;
            assert_eq!(part.status, 206, "{range}");
            assert!(part.body == whole.body[from..to], "{range}");
        }
    }
    let other = [(RANGE, "bytes=5-9"), (IF_RANGE, "\"other\"")];
    assert_eq!(site.ask(Method::GET, &path, &other).await.status, 200);
}

#[tokio::test]
async fn what_was_published_before_sums_were_kept_is_summed_once() {
    let site = Site::open_to_anyone().await;
    let id = field_notes(&site).await;
    let path = format!("/files/{id}.zip");
    let whole = site.get(&path).await;
    let publication = async || {
        let id = id.parse().unwrap();
        let publication = site.catalog.store().publication(id).await;
        publication.unwrap().unwrap()
    };
    let known: Vec<_> = publication().await.files.iter().map(|f| f.crc32).collect();
    assert!(known.iter().all(Option::is_some));

    let path_of_database = site.folder.path().join("sower.db");
    let forget = std::process::Command::new("python3")
        .args(["-c", "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], timeout=20); d.execute('UPDATE published_file SET crc32 = NULL'); d.commit()"])
        .arg(path_of_database)
        .status();
    assert!(forget.unwrap().success());
    site.catalog
        .note_crc32(id.parse().unwrap(), 999, 0)
        .await
        .unwrap();
    assert!(publication().await.files.iter().all(|f| f.crc32.is_none()));
    // The directory alone needs the sums of all.
    let end = [(RANGE, "bytes=-300")];
    let part = site.ask(Method::GET, &path, &end).await;
    assert!(part.body == whole.body[whole.body.len() - 300..]);
    let again: Vec<_> = publication().await.files.iter().map(|f| f.crc32).collect();
    assert_eq!(again, known);
}

#[tokio::test]
async fn a_damaged_file_cuts_the_archive_off() {
    let site = Site::open_to_anyone().await;
    let id = field_notes(&site).await;
    let bytes = pattern(150_000);
    let mut damaged = bytes.clone();
    damaged[140_000] ^= 1;
    std::fs::write(site.stored_at(&bytes), &damaged).unwrap();
    let request = Request::get(format!("/files/{id}.zip"))
        .header(HOST, "localhost")
        .body(Body::empty());
    let response = site.router.clone().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test]
async fn checksums_have_a_line_for_each_file() {
    let site = Site::open_to_anyone().await;
    let id = field_notes(&site).await;
    let path = format!("/files/{id}/SHA256SUMS");
    let list = site.get(&path).await;
    assert_eq!((list.status, list.text().lines().count()), (200, 3));
    assert_eq!(list.header(&CONTENT_LENGTH), list.body.len().to_string());
    assert!(list.text().contains(
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  notes/empty\n"
    ));
    let seen = [(http::header::IF_NONE_MATCH, list.header(&ETAG))];
    assert_eq!(site.ask(Method::GET, &path, &seen).await.status, 304);
    assert_eq!(
        site.ask(Method::HEAD, &path, &[]).await.headers,
        list.headers
    );

    // A file of that name is itself.
    let form = Multipart::default().file("SHA256SUMS", b"mine");
    let mine = site.publish(&form).await;
    let answer = site.get(&Site::path(&mine["files"][0]["url"])).await;
    assert_eq!(answer.text(), "mine");
}

#[tokio::test]
async fn there_is_no_archive_of_nothing() {
    let site = Site::open_to_anyone().await;
    let id = field_notes(&site).await;
    for path in [
        format!("/files/{id}"),
        format!("/files/{id}.tar"),
        "/files/aaaaaaaaaa.zip".to_owned(),
    ] {
        assert_eq!(site.get(&path).await.status, 404, "{path}");
    }
}

//! What comes in, and what is left of what breaks off.

use super::*;

#[tokio::test]
async fn the_plain_form_leads_to_the_publication() {
    let site = Site::open_to_anyone().await;
    // Both file fields are sent, and one of them is empty, as browsers do without a script.
    let form = Multipart::default()
        .file("", b"")
        .file("folder/a.txt", b"a")
        .file("folder/sub/b.txt", b"b")
        .field("title", "")
        .field("format", "v1")
        .field("private", "true");
    let answer = site.send(form.request("/publish", &[])).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    let page = site.get(answer.header(&LOCATION)).await;
    assert!(page.text().contains("sub/b.txt") && page.text().contains("private"));
    assert!(page.text().contains("<h1><bdi>folder</bdi></h1>"));
}

#[tokio::test]
async fn bad_uploads_are_refused_in_words_and_leave_nothing() {
    let site = Site::open_to_anyone().await;
    let file = || Multipart::default().file("a.bin", &pattern(100_000));
    let long_title = "x".repeat(1000);
    for (form, status, words) in [
        (Multipart::default(), 400, "at least one file"),
        (
            Multipart::default().field("title", "x"),
            400,
            "at least one file",
        ),
        (Multipart::default().file("", b""), 400, "at least one file"),
        (Multipart::default().file("", b"x"), 400, "empty name"),
        (Multipart::default().file("a", b""), 400, "empty"),
        (
            Multipart::default().field("files", "x"),
            400,
            "without a name",
        ),
        (file().field("colour", "red"), 400, "colour"),
        (
            file().field("title", "a").field("title", "b"),
            400,
            "Send it once",
        ),
        (file().field("title", &long_title), 413, "title"),
        (file().field("format", "v3"), 400, "v3"),
        (file().field("private", "perhaps"), 400, "private"),
        (file().file("a.bin", b"x"), 400, "a.bin"),
        (file().file("A.BIN", b"x"), 400, "A.BIN"),
        (Multipart::default().file("../evil", b"x"), 400, "rename"),
        (
            Multipart::default().file("/etc/passwd", b"x"),
            400,
            "rename",
        ),
        (Multipart::default().file("a/../../b", b"x"), 400, "rename"),
        (Multipart::default().file("NUL", b"x"), 400, "rename"),
    ] {
        let answer = site.upload(&form, &[]).await;
        assert_eq!(answer.status, status, "{words}: {}", answer.text());
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(words), "{detail:?} lacks {words:?}");
    }
    assert!(site.is_empty().await);
    wait_until_nothing_is_stored(&site).await;
}

/// Staged bytes go on another thread, a moment after the answer.
async fn wait_until_nothing_is_stored(site: &Site) {
    let deadline = std::time::Duration::from_secs(10);
    let gone = async {
        while site.stored_files() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(deadline, gone).await.unwrap();
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let site = Site::open_to_anyone().await;
    let whole = Multipart::default().file("a.bin", &pattern(100_000)).body();
    let path = "/api/v1/publications";
    for cut in [0, 10, 60, 150, 50_000, whole.len() - 5, whole.len() - 10] {
        let request = multipart(path, Body::from(whole[..cut].to_vec()));
        let answer = site.send(request).await;
        assert_eq!(answer.status, 400, "cut at {cut}: {}", answer.text());
    }
    // The connection breaks: in the middle, and after the last boundary but before the end of the body.
    for cut in [50_000, whole.len()] {
        let parts = [
            Ok(Bytes::copy_from_slice(&whole[..cut])),
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
        ];
        let request = multipart(path, Body::from_stream(stream::iter(parts)));
        let answer = site.send(request).await;
        assert_eq!(answer.status, 400, "cut at {cut}: {}", answer.text());
    }
    assert!(site.is_empty().await);
    wait_until_nothing_is_stored(&site).await;
}

#[tokio::test]
async fn an_upload_may_come_in_the_smallest_parts() {
    let site = Site::open_to_anyone().await;
    let bytes = pattern(3000);
    let body = Multipart::default()
        .field("title", "drops")
        .file("a.bin", &bytes)
        .body();
    let drops = body
        .chunks(1)
        .map(|byte| Ok::<_, std::io::Error>(Bytes::copy_from_slice(byte)));
    let drops: Vec<_> = drops.collect();
    let answer = site
        .send(multipart(
            "/api/v1/publications",
            Body::from_stream(stream::iter(drops)),
        ))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let path = Site::path(&answer.json()["files"][0]["url"]);
    assert_eq!(site.get(&path).await.body, bytes);
}

#[tokio::test]
async fn the_head_of_a_field_is_bounded() {
    let site = Site::open_to_anyone().await;
    let endless = std::iter::repeat_n(Bytes::from(vec![b'x'; 16 * 1024]), 64);
    let parts = std::iter::once(Bytes::from_static(b"--X\r\nX-Y: "))
        .chain(endless)
        .map(Ok::<_, std::io::Error>);
    let body = Body::from_stream(stream::iter(parts.collect::<Vec<_>>()));
    let answer = site.send(multipart("/api/v1/publications", body)).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("too long"), "{}", answer.text());
}

#[tokio::test]
async fn limits_are_judged_before_the_body() {
    let rules = publish::Options {
        who: WhoMayPublish::Anyone,
        max_bytes: 1000,
        ..publish::Options::default()
    };
    let site = Site::with("http://example.org:8080", rules).await;
    // A body that nobody may ask for, as with `Expect: 100-continue`.
    let huge = |length: u64| {
        let never = stream::poll_fn(
            |_| -> std::task::Poll<Option<Result<Bytes, std::io::Error>>> {
                panic!("the body was asked for")
            },
        );
        let mut request = multipart("/api/v1/publications", Body::from_stream(never));
        let headers = request.headers_mut();
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert(EXPECT, "100-continue".parse().unwrap());
        request
    };
    let answer = site.send(huge(100_000_000)).await;
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("1 kB"), "{}", answer.text());
    let unlimited = Site::open_to_anyone().await;
    let answer = unlimited.send(huge(1 << 60)).await;
    assert_eq!(answer.status, 507);
    assert!(
        answer.text().contains("The disk has room for"),
        "{}",
        answer.text()
    );

    let answer = site
        .upload(&Multipart::default().file("a", &pattern(1001)), &[])
        .await;
    assert_eq!(answer.status, 413);
    assert!(site.is_empty().await);
}

#[tokio::test]
async fn other_bodies_are_refused_by_type() {
    let site = Site::open_to_anyone().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let request = Request::post("/api/v1/publications")
            .header(CONTENT_TYPE, kind)
            .body(Body::from("{}"))
            .unwrap();
        assert_eq!(site.send(request).await.status, 415, "{kind}");
    }
    let request = Request::post("/api/v1/publications")
        .header(CONTENT_TYPE, "multipart/form-data")
        .body(Body::from("x"))
        .unwrap();
    assert_eq!(site.send(request).await.status, 400);
}

#[tokio::test]
async fn the_same_files_are_published_once() {
    let site = Site::open_to_anyone().await;
    let form = Multipart::default().file("a.bin", b"abc");
    let first = site.publish(&form).await;
    let again = site.upload(&form, &[]).await;
    assert_eq!(again.status, 409);
    let detail = again.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(first["id"].as_str().unwrap()), "{detail}");
}

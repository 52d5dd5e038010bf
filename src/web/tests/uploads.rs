//! What comes in, and what is left of what breaks off.

use futures_util::StreamExt;
use futures_util::future::BoxFuture;

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

/// Sends the list of files of a draft.
async fn make_draft(site: &Site, files: &str) -> Value {
    let request = Request::post("/api/v1/publications")
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(format!("{{\"files\":{files}}}")))
        .unwrap();
    let answer = site.send(request).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

async fn send_part(site: &Site, draft: &Value, file: usize, offset: usize, bytes: &[u8]) {
    let path = Site::path(&draft["files"][file]["upload_url"]);
    let request = Request::patch(path)
        .header("tus-resumable", "1.0.0")
        .header(CONTENT_TYPE, "application/offset+octet-stream")
        .header("upload-offset", offset)
        .header(CONTENT_LENGTH, bytes.len())
        .body(Body::from(bytes.to_vec()))
        .unwrap();
    let answer = site.send(request).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
}

/// Listens to a publication's events.
async fn listen(site: &Site, id: &Value) -> impl FnMut() -> BoxFuture<'static, Option<String>> {
    let path = format!("/api/v1/publications/{}/events", id.as_str().unwrap());
    let request = Request::get(path).header(HOST, "example.org:8080");
    let request = request.body(Body::empty()).unwrap();
    let response = site.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream");
    let body = Arc::new(tokio::sync::Mutex::new(
        response.into_body().into_data_stream(),
    ));
    move || {
        let body = Arc::clone(&body);
        Box::pin(async move {
            let patience = std::time::Duration::from_secs(20);
            let mut body = body.lock().await;
            let told = tokio::time::timeout(patience, body.next()).await;
            let told = told.expect("something is told in time")?.unwrap();
            Some(String::from_utf8(told.to_vec()).unwrap())
        })
    }
}

#[tokio::test]
async fn events_tell_of_a_draft_until_it_is_published_and_then_of_its_swarm() {
    let site = Site::open_to_anyone().await;
    let draft = make_draft(&site, r#"[{"path":"a.bin","length":10}]"#).await;
    let mut next = listen(&site, &draft["id"]).await;
    let first = next().await.unwrap();
    assert_eq!(
        first,
        "event: progress\ndata: {\"file_count\":1,\"finished_files\":0,\"received_bytes\":0,\"state\":\"draft\",\"total_length\":10}\n\n"
    );
    send_part(&site, &draft, 0, 0, b"01234").await;
    let second = next().await.unwrap();
    assert!(second.contains("\"received_bytes\":5"), "{second}");
    send_part(&site, &draft, 0, 5, b"56789").await;
    let mut told = next().await.unwrap();
    while told.starts_with("event: progress") {
        told = next().await.unwrap();
    }
    assert!(told.starts_with("event: published\ndata: {"), "{told}");
    assert!(
        told.contains("\"page_url\":\"http://example.org:8080/p/"),
        "{told}"
    );
    let swarm = next().await.unwrap();
    assert!(swarm.starts_with("event: swarm\n"), "{swarm}");
    assert!(swarm.contains("\"leechers\":0"), "{swarm}");
    // They end with the server, and do not hold it up.
    site.shutdown.cancel();
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn events_end_with_the_reason_why_nothing_came_of_a_draft() {
    let site = Site::open_to_anyone().await;
    let there = site.publish(&Multipart::default().file("x", b"same")).await;
    let draft = make_draft(&site, r#"[{"path":"x","length":4}]"#).await;
    let mut next = listen(&site, &draft["id"]).await;
    send_part(&site, &draft, 0, 0, b"same").await;
    let mut told = next().await.unwrap();
    while told.starts_with("event: progress") {
        told = next().await.unwrap();
    }
    assert!(told.starts_with("event: failed\n"), "{told}");
    assert!(told.contains(there["id"].as_str().unwrap()), "{told}");
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn events_have_so_many_listeners_and_no_more() {
    let site = Site::open_to_anyone().await;
    let there = site.publish(&Multipart::default().file("x", b"x")).await;
    let path = format!(
        "/api/v1/publications/{}/events",
        there["id"].as_str().unwrap()
    );
    let mut listeners = Vec::new();
    for _ in 0..Options::default().event_streams {
        listeners.push(listen(&site, &there["id"]).await);
    }
    let refusal = site.get(&path).await;
    assert_eq!(refusal.status, 503);
    assert_eq!(refusal.header(&RETRY_AFTER), "60");
    drop(listeners);
    drop(listen(&site, &there["id"]).await);
    let nothing = site.get("/api/v1/publications/aaaaaaaaaa/events").await;
    assert_eq!(nothing.status, 404);
}

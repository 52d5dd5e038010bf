//! What browsers are told, and what pages of other sites may not do.

use super::*;

#[tokio::test]
async fn user_files_never_run_on_this_origin() {
    let site = Site::open_to_anyone().await;
    let script = b"<script>alert(1)</script>";
    let published = site
        .publish(
            &Multipart::default()
                .file("x/a.html", script)
                .file("x/b.svg", script)
                .file("x/c.txt", script),
        )
        .await;
    let header = HeaderName::from_static;
    for (file, how) in [(0, "attachment"), (1, "attachment"), (2, "inline")] {
        let path = Site::path(&published["files"][file]["url"]);
        let answer = site.get(&path).await;
        assert!(
            answer.header(&CONTENT_DISPOSITION).starts_with(how),
            "{path}"
        );
        assert!(
            answer
                .header(&header("content-security-policy"))
                .starts_with("sandbox")
        );
        assert_eq!(answer.header(&header("x-content-type-options")), "nosniff");
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_what_they_may_not() {
    let site = Site::open_to_anyone().await;
    let published = site
        .publish(&Multipart::default().file("a.bin", b"abc"))
        .await;
    let id = published["id"].as_str().unwrap();
    let mut answers = Vec::new();
    for path in [
        "/".to_owned(),
        format!("/p/{id}"),
        format!("/p/{id}.torrent"),
        format!("/p/{id}.magnet"),
        format!("/files/{id}/a.bin"),
        format!("/web-seed/{id}/a.bin"),
        format!("/web-seed/{id}/none"),
        "/none".to_owned(),
        "/setup".to_owned(),
        "/publish".to_owned(),
        "/login".to_owned(),
        "/healthz".to_owned(),
        "/favicon.ico".to_owned(),
        "/api/v1/publications".to_owned(),
        "/api/v1/publications/none".to_owned(),
        "/api/v1/publications?limit=0".to_owned(),
    ] {
        answers.push(site.get(&path).await);
    }
    answers.push(site.ask(Method::DELETE, "/", &[]).await);
    answers.push(site.ask(Method::GET, "/", &[(HOST, "evil.example")]).await);
    answers.push(
        site.ask(Method::POST, "/logout", &[(ORIGIN, "https://evil.example")])
            .await,
    );
    let header = HeaderName::from_static;
    for answer in answers {
        let policy = answer.header(&header("content-security-policy"));
        assert!(policy.contains("frame-ancestors 'none'"), "{answer:?}");
        assert!(!policy.contains("unsafe"), "{answer:?}");
        assert_ne!(answer.header(&header("referrer-policy")), "", "{answer:?}");
        assert_eq!(
            answer.header(&header("x-content-type-options")),
            "nosniff",
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn answers_only_to_its_own_names() {
    let site = Site::new().await;
    for (host, status) in [
        ("example.org:8080", 200),
        ("example.org", 200),
        ("localhost:8080", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("evil.example", 421),
        ("example.org.evil.example", 421),
    ] {
        let answer = site.ask(Method::GET, "/", &[(HOST, host)]).await;
        assert_eq!(answer.status, status, "{host}");
    }
    // The host of a whole address in the request line overrules the header.
    let answer = site.get("http://evil.example/").await;
    assert_eq!(answer.status, 421);
}

#[tokio::test]
async fn other_sites_cannot_post() {
    let site = Site::open_to_anyone().await;
    let form = Multipart::default().file("a.bin", b"abc");
    let fetch_site = HeaderName::from_static("sec-fetch-site");
    for header in [
        (ORIGIN, "https://evil.example"),
        (ORIGIN, "null"),
        (fetch_site.clone(), "cross-site"),
        (fetch_site.clone(), "same-site"),
    ] {
        let answer = site.upload(&form, std::slice::from_ref(&header)).await;
        assert_eq!(answer.status, 403, "{header:?}");
        assert_eq!(answer.header(&CONTENT_TYPE), "application/problem+json");
    }
    assert!(site.is_empty().await);
    let ours = [
        (ORIGIN, "http://example.org:8080"),
        (fetch_site, "same-origin"),
    ];
    assert_eq!(site.upload(&form, &ours).await.status, 201);
}

#[tokio::test]
async fn pages_need_no_inline_script_or_style() {
    let site = Site::open_to_anyone().await;
    let token = site.auth.open_setup();
    let published = site.publish(&Multipart::default().file("a", b"x")).await;
    let id = published["id"].as_str().unwrap();
    for path in [
        "/",
        "/login",
        "/publish",
        "/none",
        &format!("/p/{id}"),
        &format!("/setup?token={token}"),
    ] {
        let page = site.get(path).await;
        let html = page.text();
        assert!(
            !html.contains(" style=") && !html.contains("<style"),
            "{path}"
        );
        for word in html.split(" on").skip(1) {
            let rest = word.trim_start_matches(|c: char| c.is_ascii_lowercase());
            assert!(!rest.starts_with('='), "{path}: on{word}");
        }
        for script in html.split("<script").skip(1) {
            // A data block holds no script, so no policy has a say in it.
            let is_data = script.starts_with(" type=\"application/ld+json\">");
            assert!(is_data || script.starts_with(" src=\"/static/"), "{path}");
        }
    }
}

//! Files shown on pages: nothing of them runs, whatever they hold.

use http::header::CONTENT_SECURITY_POLICY;

use super::*;

async fn published(site: &Site, files: &[(&str, &[u8])]) -> String {
    let form = files
        .iter()
        .fold(Multipart::default(), |form, (name, bytes)| {
            form.file(&format!("box/{name}"), bytes)
        });
    site.publish(&form).await["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_a_browser_can_show_has_a_preview() {
    let site = Site::open_to_anyone().await;
    let names = [
        "a.png", "b.flac", "c.webm", "d.txt", "e.pdf", "f.html", "g.svg", "h.iso",
    ];
    let files: Vec<_> = names.iter().map(|name| (*name, name.as_bytes())).collect();
    let id = published(&site, &files).await;
    let page = site.get(&format!("/p/{id}")).await;
    for (name, element) in [
        ("a.png", "<img src=\"/files/"),
        ("b.flac", "<audio src=\"/files/"),
        ("c.webm", "<video src=\"/files/"),
        ("d.txt", "<pre class=\"text\""),
        ("e.pdf", "<iframe class=\"pdf\""),
        ("f.html", "<pre class=\"text\""),
        ("g.svg", "<pre class=\"text\""),
    ] {
        let path = format!("/p/{id}/preview/box/{name}");
        assert!(page.text().contains(&format!("href=\"{path}\"")), "{name}");
        let preview = site.get(&path).await;
        assert_eq!(preview.status, 200, "{name}");
        assert!(
            preview.text().contains(element),
            "{name}: {}",
            preview.text()
        );
        let policy = preview.header(&CONTENT_SECURITY_POLICY);
        assert!(policy.contains("script-src 'self';") && policy.contains("default-src 'none'"));
    }
    assert!(!page.text().contains("preview/box/h.iso"));
    for path in ["box/h.iso", "box/z.txt", "box/../../etc/passwd.txt"] {
        let answer = site.get(&format!("/p/{id}/preview/{path}")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_text_is_shown_as_it_is_written_up_to_a_bound() {
    let site = Site::open_to_anyone().await;
    let page = b"<script>alert(1)</script>\n";
    let long = "größe\n".repeat(60_000);
    let files: [(&str, &[u8]); 4] = [
        ("a.html", page),
        ("long.log", long.as_bytes()),
        ("no.txt", b"a\0b"),
        ("b.md", b"# Hm\n\n<img src=x onerror=alert(1)>"),
    ];
    let id = published(&site, &files).await;
    let preview = async |name: &str| site.get(&format!("/p/{id}/preview/box/{name}")).await;
    let shown = preview("a.html").await;
    assert!(shown.text().contains("&#60;script&#62;alert(1)"));
    assert!(!shown.text().contains("<script>alert"));
    let long = preview("long.log").await;
    assert!(
        (262_144..280_000).contains(&long.body.len()),
        "{}",
        long.body.len()
    );
    assert!(
        long.text()
            .contains("These are the first 262.1 kB of 480 kB.")
    );
    assert!(
        preview("no.txt")
            .await
            .text()
            .contains("This file is no text")
    );
    let markdown = preview("b.md").await;
    assert!(markdown.text().contains("<h2>Hm</h2>"));
    assert!(!markdown.text().contains("<img src=x"));
}

#[tokio::test]
async fn only_a_document_is_framed_and_nothing_leaves_the_sandbox() {
    let site = Site::open_to_anyone().await;
    let files: [(&str, &[u8]); 3] = [
        ("a.pdf", b"%PDF-1.4"),
        ("a.html", b"<script>"),
        ("a.svg", b"<svg onload='alert(1)'/>"),
    ];
    let id = published(&site, &files).await;
    for (name, is_document) in [("a.pdf", true), ("a.html", false), ("a.svg", false)] {
        let plain = site.get(&format!("/files/{id}/box/{name}")).await;
        assert!(plain.header(&CONTENT_DISPOSITION).starts_with("attachment"));
        let viewed = site.get(&format!("/files/{id}/box/{name}?view")).await;
        let policy = viewed.header(&CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("sandbox; "), "{name}");
        let is_framed = policy.contains("frame-ancestors 'self'");
        assert_eq!(is_framed, is_document, "{name}");
        assert!(!policy.contains("script-src"), "{name}");
        assert_eq!(viewed.header(&CONTENT_DISPOSITION) == "inline", is_document);
        let nosniff = HeaderName::from_static("x-content-type-options");
        assert_eq!(viewed.header(&nosniff), "nosniff");
    }
}

#[tokio::test]
async fn the_readme_stands_on_the_page() {
    let site = Site::open_to_anyone().await;
    let files: [(&str, &[u8]); 3] = [
        ("README.md", b"# Marsh\n\n*soil* <script>alert(1)</script>"),
        ("README", b"plain"),
        ("sub/README.md", b"inner"),
    ];
    let id = published(&site, &files).await;
    let page = site.get(&format!("/p/{id}")).await;
    assert!(
        page.text()
            .contains("<h2>Marsh</h2>\n<p><em>soil</em> &#60;script&#62;")
    );
    let before = site.catalog.tally(id.parse().unwrap()).counts().file_bytes;
    assert_eq!(before, 0, "a page view is counted as a download");

    let id = published(&site, &[("readme.txt", b"a <b> c"), ("x", b"1")]).await;
    let page = site.get(&format!("/p/{id}")).await;
    assert!(page.text().contains("a &#60;b&#62; c</pre>"));

    // A README that cannot be read does not take the page with it.
    std::fs::remove_file(site.stored_at(b"a <b> c")).unwrap();
    let page = site.get(&format!("/p/{id}")).await;
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn a_description_is_shown_before_it_is_saved() {
    let site = Site::open_to_anyone().await;
    let typed = "description=%23+Soil%0A%0A%3Cscript%3E&title=x&seen=y";
    let shown = site.post_form("/markdown", typed, &[]).await;
    assert_eq!(shown.status, 200);
    assert!(shown.text().contains("<h2>Soil</h2>"));
    assert!(!shown.text().contains("<script>"));
    let long = format!("description={}", "x".repeat(70_000));
    assert_eq!(site.post_form("/markdown", &long, &[]).await.status, 413);
}

#[tokio::test]
async fn the_magnet_is_a_code_for_a_camera() {
    let site = Site::open_to_anyone().await;
    let id = published(&site, &[("a", b"1")]).await;
    let page = site.get(&format!("/p/{id}")).await;
    let (_, code) = page
        .text()
        .split_once("aria-label=\"QR code of the magnet link\">")
        .unwrap();
    assert!(code.starts_with("<path d=\"M4 4.5h7M"), "{}", &code[..40]);
}

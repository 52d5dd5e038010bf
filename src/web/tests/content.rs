//! What readers get of a publication: its page, torrent, files, web seed, in whole and in part.

use super::*;

#[tokio::test]
async fn an_upload_becomes_a_page_a_torrent_a_magnet_and_a_download() {
    let site = Site::open_to_anyone().await;
    let bytes = pattern(300_000);
    let form = Multipart::default()
        .field("title", "A <b>bold</b> title")
        .field("description", "First line\nsecond line")
        .file("größe 1.iso", &bytes);
    let published = site.publish(&form).await;
    let id = published["id"].as_str().unwrap();

    assert_eq!(published["state"], "published");
    assert_eq!(published["name"], "größe 1.iso");
    assert_eq!(published["total_length"], 300_000);
    assert_eq!(published["served"]["saved_bytes"], 0);
    assert_eq!(
        published["page_url"],
        format!("http://example.org:8080/p/{id}")
    );
    assert_eq!(
        published["files"][0]["url"],
        format!("http://example.org:8080/files/{id}/gr%C3%B6%C3%9Fe%201.iso")
    );

    let page = site.get(&format!("/p/{id}")).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("A &#60;b&#62;bold&#60;/b&#62; title"));
    assert!(page.text().contains("Download torrent"));

    let torrent = site.get(&format!("/p/{id}.torrent")).await;
    assert_eq!(torrent.header(&CONTENT_TYPE), "application/x-bittorrent");
    let read = TorrentFile::parse(&torrent.body, &InfoLimits::default()).unwrap();
    assert_eq!(read.warnings, []);
    assert_eq!(read.trackers, [["http://example.org:8080/announce"]]);
    assert_eq!(
        read.web_seeds,
        [format!(
            "http://example.org:8080/web-seed/{id}/gr%C3%B6%C3%9Fe%201.iso"
        )]
    );
    assert_eq!(
        read.comment,
        Some(format!("http://example.org:8080/p/{id}"))
    );
    assert!(read.creation_date.is_some());
    let info_hash = read.info.hashes.v1().unwrap().to_string();
    assert_eq!(published["info_hash_v1"], info_hash);

    let magnet = site.get(&format!("/p/{id}.magnet")).await;
    assert_eq!(magnet.status, 307);
    assert_eq!(magnet.header(&LOCATION), published["magnet"]);
    assert!(
        magnet
            .header(&LOCATION)
            .starts_with(&format!("magnet:?xt=urn:btih:{info_hash}&dn="))
    );
    assert!(magnet.header(&LOCATION).ends_with("&x.pe=192.0.2.9:8080"));

    let file = site.get(&Site::path(&published["files"][0]["url"])).await;
    assert_eq!((file.status, &*file.body), (200, &*bytes));
}

#[tokio::test]
async fn ranges_are_exact() {
    let site = Site::open_to_anyone().await;
    let bytes = pattern(200_000);
    let published = site
        .publish(&Multipart::default().file("a.bin", &bytes))
        .await;
    let id = published["id"].as_str().unwrap();
    let sha256 = published["files"][0]["sha256"].as_str().unwrap();
    for door in ["web-seed", "files"] {
        let path = format!("/{door}/{id}/a.bin");
        for (range, first, last) in [
            ("bytes=0-0", 0, 0),
            ("bytes=65535-65536", 65_535, 65_536),
            ("bytes=199999-", 199_999, 199_999),
            ("bytes=100000-999999999", 100_000, 199_999),
            ("bytes=-5", 199_995, 199_999),
            ("bytes=-999999999", 0, 199_999),
            ("BYTES=1-2", 1, 2),
        ] {
            let answer = site.ask(Method::GET, &path, &[(RANGE, range)]).await;
            assert_eq!(answer.status, 206, "{range}");
            assert_eq!(
                answer.header(&CONTENT_RANGE),
                format!("bytes {first}-{last}/200000")
            );
            assert_eq!(
                answer.header(&CONTENT_LENGTH),
                (last - first + 1).to_string()
            );
            assert_eq!(answer.body, bytes[first..=last], "{range}");
        }
        for range in [
            "lines=1-2",
            "bytes=2-1",
            "bytes=x",
            "bytes=",
            "bytes=0-1,5-6",
        ] {
            let answer = site.ask(Method::GET, &path, &[(RANGE, range)]).await;
            assert_eq!(
                (answer.status, answer.body.len()),
                (200, 200_000),
                "{range}"
            );
            assert_eq!(answer.header(&CONTENT_RANGE), "");
        }
        for range in ["bytes=200000-", "bytes=-0"] {
            let answer = site.ask(Method::GET, &path, &[(RANGE, range)]).await;
            assert_eq!(answer.status, 416, "{range}");
            assert_eq!(answer.header(&CONTENT_RANGE), "bytes */200000");
            assert_eq!(answer.header(&CACHE_CONTROL), "");
        }
        let strong = format!("\"{sha256}\"");
        for (tag, status) in [(strong.as_str(), 206), ("\"other\"", 200), ("W/\"x\"", 200)] {
            let headers = [(RANGE, "bytes=1-2"), (IF_RANGE, tag)];
            let answer = site.ask(Method::GET, &path, &headers).await;
            assert_eq!(
                (answer.status, answer.header(&ETAG)),
                (status, strong.as_str())
            );
        }
    }
}

#[tokio::test]
async fn head_says_what_get_says() {
    let site = Site::open_to_anyone().await;
    let published = site
        .publish(&Multipart::default().file("a.bin", &pattern(70_000)))
        .await;
    let id = published["id"].as_str().unwrap();
    for path in [
        format!("/web-seed/{id}/a.bin"),
        format!("/files/{id}/a.bin"),
        format!("/p/{id}"),
        format!("/p/{id}.torrent"),
        "/".to_owned(),
    ] {
        let get = site.get(&path).await;
        let head = site.ask(Method::HEAD, &path, &[]).await;
        assert_eq!(head.status, get.status);
        assert_eq!(head.headers, get.headers, "{path}");
        assert!(head.body.is_empty());
    }
}

#[tokio::test]
async fn bytes_are_counted_by_the_door_they_leave_by() {
    let site = Site::open_to_anyone().await;
    let published = site
        .publish(&Multipart::default().file("a.bin", &pattern(70_000)))
        .await;
    let id = published["id"].as_str().unwrap();
    site.get(&format!("/files/{id}/a.bin")).await;
    let range = [(RANGE, "bytes=0-9")];
    site.ask(Method::GET, &format!("/web-seed/{id}/a.bin"), &range)
        .await;
    site.ask(Method::HEAD, &format!("/web-seed/{id}/a.bin"), &[])
        .await;
    let counts = site.catalog.tally(id.parse().unwrap()).counts();
    assert_eq!((counts.file_bytes, counts.web_seed_bytes), (70_000, 10));
}

#[tokio::test]
async fn other_sites_pages_may_read_web_seeds_and_nothing_else() {
    let site = Site::open_to_anyone().await;
    let published = site
        .publish(&Multipart::default().file("a.bin", b"abc"))
        .await;
    let id = published["id"].as_str().unwrap();
    let origin = [(ORIGIN, "https://player.example")];

    let seed = site
        .ask(Method::GET, &format!("/web-seed/{id}/a.bin"), &origin)
        .await;
    assert_eq!(seed.header(&ACCESS_CONTROL_ALLOW_ORIGIN), "*");
    assert!(
        seed.header(&ACCESS_CONTROL_EXPOSE_HEADERS)
            .contains("Content-Range")
    );
    assert_eq!(seed.header(&ACCEPT_RANGES), "bytes");

    let preflight = site
        .ask(Method::OPTIONS, &format!("/web-seed/{id}/a.bin"), &origin)
        .await;
    assert_eq!(preflight.status, 204);
    let allowed = HeaderName::from_static("access-control-allow-headers");
    assert!(preflight.header(&allowed).contains("Range"));

    let file = site
        .ask(Method::GET, &format!("/files/{id}/a.bin"), &origin)
        .await;
    assert_eq!(file.header(&ACCESS_CONTROL_ALLOW_ORIGIN), "");
}

#[tokio::test]
async fn web_seeds_answer_under_any_name_and_pads_are_zeros() {
    let site = Site::open_to_anyone().await;
    let form = Multipart::default()
        .field("format", "hybrid")
        .file("box/a.bin", &pattern(20_000))
        .file("box/b.bin", &pattern(20_000));
    let id = site.publish(&form).await["id"].as_str().unwrap().to_owned();
    let torrent = site.get(&format!("/p/{id}.torrent")).await;
    let read = TorrentFile::parse(&torrent.body, &InfoLimits::default()).unwrap();
    let pad = read
        .info
        .files
        .iter()
        .find(|file| file.path.to_string().starts_with(".pad/"))
        .unwrap();
    let path = format!("/web-seed/{id}/box/{}", pad.path);
    let other = [(HOST, "old-name.example")];
    let answer = site.ask(Method::GET, &path, &other).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, vec![0; usize::try_from(pad.length).unwrap()]);
    assert_eq!(
        site.get(&format!("/files/{id}/box/{}", pad.path))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn damaged_bytes_are_sent_by_no_door() {
    let site = Site::open_to_anyone().await;
    let bytes = pattern(100_000);
    let published = site
        .publish(&Multipart::default().file("a.bin", &bytes))
        .await;
    let id = published["id"].as_str().unwrap();
    let path = site.stored_at(&bytes);
    let mut damaged = bytes.clone();
    damaged[5] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    for door in ["web-seed", "files"] {
        let answer = site.get(&format!("/{door}/{id}/a.bin")).await;
        assert_eq!(answer.status, 500, "{door}");
        assert!(answer.text().contains("damaged"), "{}", answer.text());
        // The other pieces are whole.
        let whole = [(RANGE, "bytes=70000-70009")];
        let answer = site
            .ask(Method::GET, &format!("/{door}/{id}/a.bin"), &whole)
            .await;
        assert_eq!(
            (answer.status, &*answer.body),
            (206, &bytes[70_000..70_010])
        );
    }
}

#[tokio::test]
async fn a_file_cut_short_ends_the_answer_with_an_error() {
    let site = Site::open_to_anyone().await;
    let bytes = pattern(300_000);
    let published = site
        .publish(&Multipart::default().file("a.bin", &bytes))
        .await;
    let path = Site::path(&published["files"][0]["url"]);
    assert_eq!(site.get(&path).await.body, bytes);
    let stored = site.stored_at(&bytes);
    std::fs::File::options()
        .write(true)
        .open(stored)
        .unwrap()
        .set_len(150_000)
        .unwrap();
    let request = Request::get(&path)
        .header(HOST, "localhost")
        .body(Body::empty())
        .unwrap();
    let response = site.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err());
}

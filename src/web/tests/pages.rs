//! The catalogue, what is not there, and what pages stand on.

use super::*;

#[tokio::test]
async fn what_is_not_there_is_404_in_words() {
    let site = Site::open_to_anyone().await;
    let published = site
        .publish(
            &Multipart::default()
                .file("box/a.bin", b"abc")
                .file("box/b", b"d"),
        )
        .await;
    let id = published["id"].as_str().unwrap();
    for path in [
        "/p/aaaaaaaaaa".to_owned(),
        "/p/..%2f..%2fetc".to_owned(),
        "/p/aaaaaaaaaa.torrent".to_owned(),
        "/p/aaaaaaaaaa.magnet".to_owned(),
        format!("/files/{id}/box/../box/c"),
        format!("/files/{id}/a.bin"),
        format!("/files/{id}/box"),
        "/nothing".to_owned(),
        "/static/style.css".to_owned(),
    ] {
        let answer = site.get(&path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().contains("role=\"search\""), "{path}");
    }
    let seed = site.get(&format!("/web-seed/{id}/box/none")).await;
    assert_eq!(seed.status, 404);
    let api = site.get("/api/v1/publications/aaaaaaaaaa").await;
    assert_eq!(api.status, 404);
    assert_eq!(api.header(&CONTENT_TYPE), "application/problem+json");
    assert_eq!(api.json()["status"], 404);
    assert_eq!(api.json()["type"], "about:blank");
    assert!(api.json()["title"].is_string() && api.json()["detail"].is_string());
}

#[tokio::test]
async fn the_catalogue_is_searched_and_paged() {
    let site = Site::open_to_anyone().await;
    for n in 0..25_u32 {
        let form = Multipart::default()
            .field("title", &format!("Title {n:02}"))
            .file(&format!("{n}.bin"), &n.to_be_bytes());
        site.publish(&form).await;
    }
    let mut titles = Vec::new();
    let mut address = "/api/v1/publications?limit=10".to_owned();
    loop {
        let page = site.get(&address).await.json();
        assert_eq!(page["total"], 25);
        for publication in page["publications"].as_array().unwrap() {
            assert!(publication.get("files").is_none());
            titles.push(publication["title"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        address = format!("/api/v1/publications?limit=10&cursor={cursor}");
    }
    titles.sort();
    titles.dedup();
    assert_eq!(titles.len(), 25);

    let found = site.get("/?q=title+07").await;
    assert!(found.text().contains("Title 07") && !found.text().contains("Title 08"));
    assert!(
        found
            .text()
            .contains("<title>1 publication matching “title 07”")
    );
    let none = site.get("/?q=%3Cscript%3E").await;
    assert!(none.text().contains("&#60;script&#62;") && none.text().contains("Clear the search"));
    assert!(site.get("/").await.text().contains(">Older<"));
    assert_eq!(site.get("/?cursor=bad").await.status, 400);
    assert_eq!(site.get("/api/v1/publications?limit=101").await.status, 400);
}

#[tokio::test]
async fn assets_are_kept_for_ever_under_the_name_that_pages_use() {
    let site = Site::new().await;
    let page = site.get("/").await;
    let (_, rest) = page
        .text()
        .split_once("rel=\"stylesheet\" href=\"")
        .unwrap();
    let (path, _) = rest.split_once('"').unwrap();
    let style = site.get(path).await;
    assert_eq!(style.status, 200);
    assert!(style.header(&CONTENT_TYPE).starts_with("text/css"));
    assert!(style.header(&CACHE_CONTROL).contains("immutable"));
}

#[tokio::test]
async fn readiness_ends_when_the_server_begins_to_stop() {
    let site = Site::new().await;
    assert_eq!(site.get("/healthz").await.status, 200);
    assert_eq!(site.get("/readyz").await.status, 200);
    site.shutdown.cancel();
    let answer = site.get("/readyz").await;
    assert_eq!((answer.status, answer.text()), (503, "stopping\n"));
    assert_eq!(site.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn the_reference_tells_of_all_that_the_document_has() {
    let site = Site::open_to_anyone().await;
    let document = site.get("/api/openapi.json").await.json();
    let reference = site.get("/api").await;
    assert_eq!(reference.status, 200);
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.contains_key("/api/v1/publications"));
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let heading = format!("{} {path}", method.to_uppercase());
            assert!(reference.text().contains(&heading), "{heading}");
            let sample = operation["x-codeSamples"][0]["source"].as_str().unwrap();
            assert!(sample.starts_with("curl "), "{heading}: {sample}");
            assert!(!operation["summary"].as_str().unwrap().is_empty());
        }
    }
    for shape in document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
    {
        assert!(
            reference.text().contains(&format!("id=\"{shape}\"")),
            "{shape}"
        );
    }
    // The lines of the source code are not those of the page.
    assert!(!reference.text().contains("<br>"));
    let origin = document["servers"][0]["url"].as_str().unwrap();
    assert!(
        reference
            .text()
            .contains(&format!("{origin}/api/v1/publications?"))
    );
}

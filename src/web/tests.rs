//! The whole router over real stores in a temporary directory, request by request.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::{Extension, Router};
use bytes::Bytes;
use futures_util::stream;
use http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, AUTHORIZATION,
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, COOKIE, ETAG,
    EXPECT, HOST, IF_RANGE, LOCATION, ORIGIN, RANGE, RETRY_AFTER, SET_COOKIE,
};
use http::{HeaderMap, HeaderName, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    Auth, Links, Options, Parts, SourceAddress, WebState, hash_password, new_token, router,
};
use crate::ambient;
use crate::catalog::{self, Catalog};
use crate::domain::account::{Role, WhoMayPublish};
use crate::engine::{self, Engine};
use crate::proto::id::PeerId;
use crate::proto::metainfo::info::InfoLimits;
use crate::proto::metainfo::torrent_file::TorrentFile;
use crate::publish::{self, Ingest};
use crate::reader::Reader;
use crate::store::accounts::{AccountStore, NewToken};
use crate::store::content::ContentStore;
use crate::store::files::{self, FileStore};
use crate::store::sqlite::{self, SqliteStore};
use crate::tracker::options::Options as TrackerOptions;
use crate::tracker::service::{EmbeddedSeed, Tracker};

const HERE: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
    5000,
);

/// A server without sockets.
struct Site {
    router: Router,
    auth: Arc<Auth>,
    accounts: Arc<dyn AccountStore>,
    catalog: Catalog,
    shutdown: CancellationToken,
    folder: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &HeaderName) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The session in `Set-Cookie`, as the next request sends it.
    fn cookie(&self) -> String {
        let (pair, _) = self.header(&SET_COOKIE).split_once(';').unwrap();
        pair.to_owned()
    }
}

impl Site {
    async fn new() -> Self {
        Self::with("http://example.org:8080", publish::Options::default()).await
    }

    async fn open_to_anyone() -> Self {
        let options = publish::Options {
            who: WhoMayPublish::Anyone,
            ..publish::Options::default()
        };
        Self::with("http://example.org:8080", options).await
    }

    async fn with(public_url: &str, rules: publish::Options) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("sower.db");
        let store = SqliteStore::open(&path, &sqlite::Options::default())
            .await
            .unwrap();
        let content: Arc<dyn ContentStore> = Arc::new(
            FileStore::open(&folder.path().join("content"), files::Options::default()).unwrap(),
        );
        let catalog = Catalog::load(Arc::new(store.clone()), &catalog::Options::default())
            .await
            .unwrap();
        let links = Arc::new(Links::new(&public_url.parse().unwrap()).unwrap());
        let options = Arc::new(Options::default());
        let passkeys = Arc::new(store.clone());
        let accounts: Arc<dyn AccountStore> = Arc::new(store);
        let auth = Arc::new(Auth::new(Arc::clone(&accounts), &links, &options));
        let shutdown = CancellationToken::new();
        let peer_id = PeerId::generate(&mut ambient::rng());
        let reader = Reader::new(Arc::clone(&content));
        let peers = engine::Options::default();
        let engine = Engine::new(catalog.clone(), reader.clone(), peers, peer_id);
        let tracker = Tracker::new(
            catalog.clone(),
            TrackerOptions::default(),
            EmbeddedSeed {
                peer_id,
                addresses: Vec::new(),
            },
            ambient::now(),
            &mut ambient::rng(),
        );
        let state = WebState::new(Parts {
            catalog: catalog.clone(),
            reader,
            engine,
            ingest: Ingest::new(catalog.clone(), Arc::clone(&content), rules),
            content,
            tracker: Arc::new(tracker),
            auth: Arc::clone(&auth),
            passkeys,
            links,
            peers: ["192.0.2.9:8080".parse().unwrap()].into(),
            shutdown: shutdown.clone(),
            options,
        });
        Self {
            router: router(state).layer(Extension(SourceAddress(HERE))),
            auth,
            accounts,
            catalog,
            shutdown,
            folder,
        }
    }

    async fn send(&self, mut request: Request<Body>) -> Answer {
        if !request.headers().contains_key(HOST) {
            request
                .headers_mut()
                .insert(HOST, "example.org:8080".parse().unwrap());
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[]).await
    }

    async fn post_form(&self, path: &str, form: &str, headers: &[(HeaderName, &str)]) -> Answer {
        let mut request =
            Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        self.send(request.body(Body::from(form.to_owned())).unwrap())
            .await
    }

    async fn upload(&self, form: &Multipart, headers: &[(HeaderName, &str)]) -> Answer {
        self.send(form.request("/api/v1/publications", headers))
            .await
    }

    /// Publishes files without an account and gives the publication as the API describes it.
    async fn publish(&self, form: &Multipart) -> Value {
        let answer = self.upload(form, &[]).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// The path part of a URL that the API gave.
    fn path(url: &Value) -> String {
        url.as_str()
            .unwrap()
            .strip_prefix("http://example.org:8080")
            .unwrap()
            .to_owned()
    }

    async fn add_account(&self, name: &str, role: Role) {
        let hash = hash_password("correct horse").unwrap();
        self.accounts
            .add_account(name, role, &hash, ambient::unix_now())
            .await
            .unwrap();
    }

    async fn add_token(&self, account: &str) -> String {
        let token = new_token();
        let kept = NewToken {
            account: account.to_owned(),
            name: String::new(),
            prefix: token.prefix,
            hash: token.hash,
            expires_at: None,
            created_at: ambient::unix_now(),
        };
        assert!(self.accounts.add_token(&kept).await.unwrap());
        format!("Bearer {}", token.secret)
    }

    async fn is_empty(&self) -> bool {
        let listed = self.get("/api/v1/publications").await.json();
        listed["total"] == 0
    }

    /// Files anywhere under the content folder, however they are called.
    fn stored_files(&self) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| {
                    let entry = entry.unwrap();
                    if entry.file_type().unwrap().is_dir() {
                        count(&entry.path())
                    } else {
                        1
                    }
                })
                .sum()
        }
        count(&self.folder.path().join("content"))
    }

    /// The stored file that holds exactly these bytes.
    fn stored_at(&self, bytes: &[u8]) -> std::path::PathBuf {
        let mut folders = vec![self.folder.path().join("content")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if std::fs::read(&path).unwrap() == bytes {
                    return path;
                }
            }
        }
        panic!("no stored file has these bytes")
    }
}

/// A form in the making.
#[derive(Clone, Default)]
struct Multipart(Vec<u8>);

impl Multipart {
    fn field(mut self, name: &str, value: &str) -> Self {
        let head = format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n");
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self.0.extend_from_slice(b"\r\n");
        self
    }

    fn file(mut self, name: &str, bytes: &[u8]) -> Self {
        let head = format!(
            "--X\r\nContent-Disposition: form-data; name=\"files\"; filename=\"{name}\"\r\nContent-Type: text/html\r\n\r\n"
        );
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(bytes);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    fn body(&self) -> Vec<u8> {
        [self.0.as_slice(), b"--X--\r\n"].concat()
    }

    fn request(&self, path: &str, headers: &[(HeaderName, &str)]) -> Request<Body> {
        let body = self.body();
        let mut request = Request::post(path)
            .header(CONTENT_TYPE, "multipart/form-data; boundary=X")
            .header(CONTENT_LENGTH, body.len());
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        request.body(Body::from(body)).unwrap()
    }
}

fn multipart(path: &str, body: Body) -> Request<Body> {
    Request::post(path)
        .header(CONTENT_TYPE, "multipart/form-data; boundary=X")
        .body(body)
        .unwrap()
}

/// Bytes that differ from place to place.
fn pattern(length: u32) -> Vec<u8> {
    (0..length)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect()
}

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
async fn the_first_administrator_comes_by_a_link_that_works_once() {
    let site = Site::new().await;
    let token = site.auth.open_setup();
    assert_eq!(site.get("/setup").await.status, 403);
    assert_eq!(site.get("/setup?token=wrong").await.status, 403);
    let page = site.get(&format!("/setup?token={token}")).await;
    assert_eq!(page.status, 200);

    let short = format!("token={token}&name=ada&password=short");
    let answer = site.post_form("/setup", &short, &[]).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("at least 8 characters") && answer.text().contains("value=\"ada\"")
    );

    let good = format!("token={token}&name=ada&password=correct+horse");
    let answer = site.post_form("/setup", &good, &[]).await;
    assert_eq!((answer.status, answer.header(&LOCATION)), (303, "/publish"));
    let cookie = answer.cookie();
    let page = site
        .ask(Method::GET, "/publish", &[(COOKIE, &cookie)])
        .await;
    assert_eq!(page.status, 200);

    assert_eq!(site.get(&format!("/setup?token={token}")).await.status, 403);
    assert_eq!(site.post_form("/setup", &good, &[]).await.status, 403);
    assert_eq!(site.accounts.accounts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_session_begins_anew_at_log_in_and_ends_at_log_out() {
    let site = Site::with("https://example.org", publish::Options::default()).await;
    site.add_account("ada", Role::Publisher).await;
    let login = "name=ada&password=correct+horse&next=/publish";
    let first = site.post_form("/login", login, &[]).await;
    assert_eq!((first.status, first.header(&LOCATION)), (303, "/publish"));
    for attribute in [
        "__Host-",
        "HttpOnly",
        "SameSite=Lax",
        "Secure",
        "Path=/",
        "Max-Age=",
    ] {
        assert!(first.header(&SET_COOKIE).contains(attribute), "{attribute}");
    }

    let before = first.cookie();
    let second = site.post_form("/login", login, &[(COOKIE, &before)]).await;
    let after = second.cookie();
    assert_ne!(before, after);
    let status = async |cookie: &str| {
        let answer = site.ask(Method::GET, "/publish", &[(COOKIE, cookie)]).await;
        answer.status
    };
    assert_eq!(status(&before).await, 303);
    assert_eq!(status(&after).await, 200);

    let answer = site.post_form("/logout", "", &[(COOKIE, &after)]).await;
    assert!(answer.header(&SET_COOKIE).contains("Max-Age=0"));
    assert_eq!(status(&after).await, 303);
}

#[tokio::test]
async fn a_log_in_leads_only_to_this_server() {
    let site = Site::new().await;
    site.add_account("ada", Role::Publisher).await;
    for next in [
        "//evil.example",
        "/%5Cevil.example",
        "https%3A%2F%2Fevil.example",
    ] {
        let form = format!("name=ada&password=correct+horse&next={next}");
        let answer = site.post_form("/login", &form, &[]).await;
        assert_eq!(
            (answer.status, answer.header(&LOCATION)),
            (303, "/"),
            "{next}"
        );
    }
}

#[tokio::test]
async fn wrong_passwords_say_nothing_of_names_and_have_to_wait() {
    let site = Site::new().await;
    site.add_account("ada", Role::Publisher).await;
    let wrong = site
        .post_form("/login", "name=ada&password=wrong-one", &[])
        .await;
    let unknown = site
        .post_form("/login", "name=bob&password=wrong-one", &[])
        .await;
    assert_eq!((wrong.status, unknown.status), (403, 403));
    assert_eq!(wrong.text().replace("ada", "bob"), unknown.text());
    for _ in 0..3 {
        site.post_form("/login", "name=ada&password=wrong-one", &[])
            .await;
    }
    let refused = site
        .post_form("/login", "name=ada&password=correct+horse", &[])
        .await;
    assert_eq!(refused.status, 429);
    assert_ne!(refused.header(&RETRY_AFTER), "");
    assert!(refused.text().contains("Wait "));
}

#[tokio::test]
async fn publishing_needs_the_role_that_the_server_asks_for() {
    let rules = publish::Options {
        who: WhoMayPublish::Admins,
        ..publish::Options::default()
    };
    let site = Site::with("http://example.org:8080", rules).await;
    site.add_account("ada", Role::Admin).await;
    site.add_account("pub", Role::Publisher).await;
    let form = Multipart::default().file("a.bin", b"abc");

    let nobody = site.upload(&form, &[]).await;
    assert_eq!(nobody.status, 401);
    assert!(nobody.json()["detail"].as_str().unwrap().contains("token"));
    assert_eq!(
        site.get("/publish").await.header(&LOCATION),
        "/login?next=/publish"
    );
    let posted = site.send(form.request("/publish", &[])).await;
    assert_eq!(posted.status, 303);

    let publisher = site.add_token("pub").await;
    let refused = site.upload(&form, &[(AUTHORIZATION, &publisher)]).await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("publisher")
    );

    for bad in ["Bearer sower_unknown", "Basic YWRhOng=", "Bearer"] {
        let refused = site.upload(&form, &[(AUTHORIZATION, bad)]).await;
        assert_eq!(refused.status, 401, "{bad}");
    }
    assert!(site.is_empty().await);

    let admin = site.add_token("ada").await;
    let made = site.upload(&form, &[(AUTHORIZATION, &admin)]).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.json()["publisher"], "ada");
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
        (file().field("title", "a").field("title", "b"), 400, "twice"),
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
    for kind in ["application/json", "application/x-www-form-urlencoded", ""] {
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

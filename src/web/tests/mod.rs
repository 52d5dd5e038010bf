//! The whole router over real stores in a temporary directory, request by request.

mod accounts;
mod archives;
mod content;
mod guard;
mod pages;
mod previews;
mod uploads;

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
use crate::discovery::Figures;
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
        let drafts = Arc::new(store.clone());
        let ingest = Ingest::new(catalog.clone(), Arc::clone(&content), rules);
        let accounts: Arc<dyn AccountStore> = Arc::new(store);
        let auth = Arc::new(Auth::new(Arc::clone(&accounts), &links, &options));
        let shutdown = CancellationToken::new();
        let peer_id = PeerId::generate(&mut ambient::rng());
        let reader = Reader::new(Arc::clone(&content));
        let peers = engine::Options::default();
        let identity = engine::Identity { peer_id, dht: None };
        let engine = Engine::new(catalog.clone(), reader.clone(), peers, identity);
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
            discovery: Figures::default(),
            catalog: catalog.clone(),
            reader,
            engine,
            drafts: ingest.drafts(drafts),
            ingest,
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

//! A client of a Sower server: publishes files there, over as many requests and interruptions as it takes.
//!
//! The list of files goes first ([`Client::begin`]); then each file in parts, which the server keeps as they come ([`Client::upload`], tus 1.0.0);
//! then the publication makes itself ([`Client::ended`]). What was begun can be gone on with later, by its id ([`Client::standing`]).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{Method, StatusCode};
use reqwest::{RequestBuilder, Response};
use serde::{Deserialize, Serialize, Serializer};
use sha1::{Digest, Sha1};
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use url::Url;

use crate::ambient;
use crate::domain::particulars::Particulars;

/// The part of an answer that may be there before it is told what it is.
const MAX_EVENT: usize = 256 * 1024;

/// The longest answer that is read: a publication of a hundred thousand files fits.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// The first pause before something is tried again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// How a client behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a file in one request, at most. Proxies often refuse more than 50 MiB.
    pub part_bytes: usize,
    /// How long the same thing is tried without a byte of progress, and how long one request may take.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            part_bytes: 8 * 1024 * 1024,
            patience: Duration::from_mins(5),
        }
    }
}

/// A server, and who we are there.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
    token: String,
    options: Options,
}

/// What is said of a publication before its first byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// The title; empty for the torrent's name.
    pub title: String,
    /// The description, in Markdown.
    pub description: String,
    /// Who made it; empty for nobody.
    pub creator: String,
    /// An SPDX identifier; empty for none.
    pub licence: String,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// `v1`, `v2` or `hybrid`.
    pub format: String,
    /// Whether peers may only come from the server's own tracker (BEP 27).
    pub private: bool,
    /// What is said beside.
    #[serde(flatten)]
    pub particulars: Particulars,
    /// A torrent file whose info-hash the files are to keep; empty for a new torrent. It says the format, whether it is private, and the files.
    #[serde(serialize_with = "in_base64", skip_serializing_if = "Bytes::is_empty")]
    pub torrent: Bytes,
    /// The files; none beside a torrent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ManifestFile>,
}

fn in_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64.encode(bytes))
}

/// A file that will be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ManifestFile {
    /// Its path in the torrent, with `/` between components.
    pub path: String,
    /// Bytes in it.
    pub length: u64,
}

/// How far a publication is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Standing {
    /// Its id, from the first request on.
    pub id: String,
    /// `draft`, `hashing`, `published` or `failed`.
    pub state: String,
    /// Why nothing came of it.
    #[serde(default)]
    pub failure: Option<String>,
    /// What has the same files and was published before.
    #[serde(default)]
    pub same_as: Option<Twin>,
    /// The files of a draft, in the order of the manifest, or of its torrent.
    pub files: Vec<StandingFile>,
    /// The page of what is published.
    #[serde(default)]
    pub page_url: Option<String>,
}

/// A publication that has the same files as a draft.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Twin {
    /// Its id.
    pub id: String,
    /// Its page.
    pub page_url: String,
}

/// A file of a draft, and how much of it the server has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StandingFile {
    /// Bytes in it.
    pub length: u64,
    /// Bytes that the server has; of what is published, none are counted.
    #[serde(default)]
    pub offset: u64,
    /// Where the others go.
    #[serde(default)]
    pub upload_url: String,
}

/// Why a server does not do what it is asked. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is none of a server.
    #[error("{0:?} is not the address of a server; give one such as https://files.example.org")]
    Address(String),
    /// The token is none.
    #[error(
        "the token has characters that no token has; make one with `sower token create` on the server"
    )]
    Token,
    /// The server cannot be reached, or the connection broke.
    #[error("the server cannot be reached")]
    Unreachable(#[from] reqwest::Error),
    /// The server refuses.
    #[error("the server says: {detail}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What the server says.
        detail: String,
        /// How long to wait before another try, if it says that too.
        after: Option<Duration>,
    },
    /// The server has it.
    #[error("the same files are published already at {page}", page = .0.page_url)]
    AlreadyPublished(Twin),
    /// The answer is none that a Sower gives.
    #[error("the server's answer cannot be understood; is a Sower at this address?")]
    NotUnderstood,
    /// A file of ours cannot be read.
    #[error("{path} cannot be read", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file of ours is not what it was.
    #[error("{path} has changed while it was sent; publish it again", path = .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

impl ClientError {
    /// Whether another try may help.
    fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(error) => !error.is_builder(),
            Self::Refused { status, .. } => {
                // 409: more or less has come than was thought. 423: another request holds the file. 460: bytes fell over on the way.
                status.is_server_error() && *status != StatusCode::INSUFFICIENT_STORAGE
                    || matches!(status.as_u16(), 408 | 409 | 423 | 429 | 460)
            }
            _ => false,
        }
    }

    /// Whether the server may have done what it was asked all the same.
    pub fn leaves_doubt(&self) -> bool {
        match self {
            Self::Unreachable(error) => !error.is_connect() && !error.is_builder(),
            // 409: the same request is under way.
            Self::Refused { status, .. } => {
                status.is_server_error() && *status != StatusCode::INSUFFICIENT_STORAGE
                    || *status == StatusCode::CONFLICT
            }
            Self::NotUnderstood => true,
            _ => false,
        }
    }
}

impl Client {
    /// A client of the server at an http(s) address, with an API token.
    ///
    /// # Errors
    /// [`ClientError::Address`], [`ClientError::Token`].
    pub fn new(server: &str, token: &str, options: Options) -> Result<Self, ClientError> {
        let address = || ClientError::Address(server.to_owned());
        let mut url = Url::parse(server).map_err(|_| address())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(address());
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        url.set_query(None);
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientError::Token);
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("Sower/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.patience.min(Duration::from_secs(15)))
            .build()?;
        Ok(Self {
            http,
            server: url,
            token: token.to_owned(),
            options,
        })
    }

    /// Begins a publication: the server keeps room for the files. Begun again with the same key and manifest, it is the one that was begun before, however
    /// far it is.
    ///
    /// What [leaves doubt](ClientError::leaves_doubt) is tried again for [`Options::patience`], unless there is no token: without an account the server
    /// remembers no keys.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn begin(&self, manifest: &Manifest, key: &str) -> Result<Standing, ClientError> {
        let body = serde_json::to_vec(manifest).map_err(|_| ClientError::NotUnderstood)?;
        let body = Bytes::from(body);
        let url = self.address("api/v1/publications")?;
        let mut patience = Patience::new(self.options.patience);
        loop {
            let asked = self
                .request(Method::POST, url.clone())
                .header(CONTENT_TYPE, "application/json")
                .timeout(self.options.patience)
                .body(body.clone());
            if self.token.is_empty() {
                return told(asked.send().await).await;
            }
            let asked = asked.header("Idempotency-Key", key).send();
            match told(asked.await).await {
                Ok(standing) => return Ok(standing),
                Err(error) if error.leaves_doubt() => patience.wait(error).await?,
                Err(error) => return Err(error),
            }
        }
    }

    /// How far a publication is that was begun; `None` where the server knows none of this id any more.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn standing(&self, id: &str) -> Result<Option<Standing>, ClientError> {
        let asked = self.request(Method::GET, self.publication(id, "")?);
        match answered(asked.timeout(self.options.patience).send().await?).await {
            Ok(answer) => Ok(Some(read(answer).await?)),
            Err(ClientError::Refused {
                status: StatusCode::NOT_FOUND | StatusCode::GONE,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends what the server does not have of a file. `moved` is told how much it had, and how much it has now, after each part.
    ///
    /// What breaks off is tried again from where the server says that it is, until nothing has come for [`Options::patience`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn upload(
        &self,
        file: &StandingFile,
        source: &Path,
        moved: impl Fn(u64, u64) + Sync,
    ) -> Result<(), ClientError> {
        let url = self.upload_address(&file.upload_url)?;
        let parts = Parts::open(source, file.length)?;
        let mut patience = Patience::new(self.options.patience);
        let mut offset = file.offset;
        while offset < file.length {
            let part = parts.read(offset, self.options.part_bytes).await?;
            let sent = match self.send_part(&url, offset, part).await {
                Ok(now) => Ok(now),
                Err(error) => {
                    patience.wait(error).await?;
                    self.offset(&url).await
                }
            };
            match sent {
                Ok(now) => {
                    moved(offset, now);
                    if now > offset {
                        patience = Patience::new(self.options.patience);
                    }
                    offset = now;
                }
                Err(error) => patience.wait(error).await?,
            }
        }
        parts.check()
    }

    /// Waits until a publication of which every byte has been sent is published, or nothing comes of it; `None` where it is gone.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ended(&self, id: &str) -> Result<Option<Standing>, ClientError> {
        let mut patience = Patience::new(self.options.patience);
        loop {
            match self.hear_of_end(id).await {
                Ok(true) => {}
                // The server ends, or tells too many others.
                Ok(false) | Err(ClientError::Refused { .. }) => sleep(PAUSES.0).await,
                Err(error) => patience.wait(error).await?,
            }
            match self.standing(id).await {
                Ok(Some(standing)) if matches!(standing.state.as_str(), "draft" | "hashing") => {}
                Ok(standing) => return Ok(standing),
                Err(error) => patience.wait(error).await?,
            }
        }
    }

    /// Listens to a publication's events until one of them is its end, or the server says nothing more; says which it was.
    async fn hear_of_end(&self, id: &str) -> Result<bool, ClientError> {
        let asked = self.request(Method::GET, self.publication(id, "/events")?);
        let mut answer = answered(asked.send().await?).await?;
        let mut heard = Vec::new();
        while let Some(bytes) = answer.chunk().await? {
            heard.extend_from_slice(&bytes);
            while let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = heard.drain(..=end).collect();
                if matches!(
                    line.trim_ascii(),
                    b"event: published" | b"event: failed" | b"event: swarm"
                ) {
                    return Ok(true);
                }
            }
            if heard.len() > MAX_EVENT {
                return Err(ClientError::NotUnderstood);
            }
        }
        Ok(false)
    }

    /// Sends bytes of a file and gives how many the server has then.
    async fn send_part(&self, url: &Url, offset: u64, part: Bytes) -> Result<u64, ClientError> {
        let part_hash = part.clone();
        let hash = spawn_blocking(move || Sha1::digest(&part_hash)).await;
        let hash = hash.map_err(|_| ClientError::NotUnderstood)?;
        let asked = self
            .request(Method::PATCH, url.clone())
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Offset", offset)
            .header("Upload-Checksum", format!("sha1 {}", BASE64.encode(&hash)))
            .header(CONTENT_TYPE, "application/offset+octet-stream")
            .timeout(self.options.patience)
            .body(part);
        offset_in(&answered(asked.send().await?).await?)
    }

    /// How many bytes of a file the server has.
    async fn offset(&self, url: &Url) -> Result<u64, ClientError> {
        let asked = self
            .request(Method::HEAD, url.clone())
            .header("Tus-Resumable", "1.0.0")
            .timeout(self.options.patience);
        offset_in(&answered(asked.send().await?).await?)
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        if self.token.is_empty() {
            return request;
        }
        request.header(AUTHORIZATION, format!("Bearer {}", self.token))
    }

    fn address(&self, path: &str) -> Result<Url, ClientError> {
        let address = || ClientError::Address(self.server.to_string());
        self.server.join(path).map_err(|_| address())
    }

    fn publication(&self, id: &str, what: &str) -> Result<Url, ClientError> {
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(ClientError::NotUnderstood);
        }
        self.address(&format!("api/v1/publications/{id}{what}"))
    }

    /// Where a file is sent. The server names its public address there, which is not always one that it can be reached by from here; and the
    /// token goes nowhere but to the server that it is for.
    fn upload_address(&self, named: &str) -> Result<Url, ClientError> {
        let upload = named.rsplit('/').next().unwrap_or_default();
        let is_sound = upload
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if upload.is_empty() || !is_sound {
            return Err(ClientError::NotUnderstood);
        }
        self.address(&format!("api/v1/uploads/{upload}"))
    }
}

/// A file that is being sent.
struct Parts {
    path: PathBuf,
    file: Arc<File>,
    length: u64,
    modified: Option<std::time::SystemTime>,
}

impl Parts {
    fn open(path: &Path, length: u64) -> Result<Self, ClientError> {
        let unreadable = |source| ClientError::File {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let parts = Self {
            path: path.to_owned(),
            file: Arc::new(file),
            length,
            modified: metadata.modified().ok(),
        };
        parts.check()?;
        Ok(parts)
    }

    /// Whether the file is still what it was when it was opened.
    fn check(&self) -> Result<(), ClientError> {
        let metadata = self.file.metadata().map_err(|source| ClientError::File {
            path: self.path.clone(),
            source,
        })?;
        if metadata.len() == self.length && metadata.modified().ok() == self.modified {
            return Ok(());
        }
        Err(ClientError::Changed {
            path: self.path.clone(),
        })
    }

    async fn read(&self, offset: u64, most: usize) -> Result<Bytes, ClientError> {
        self.check()?;
        let left = self.length.saturating_sub(offset);
        let length = usize::try_from(left).map_or(most, |left| left.min(most));
        let file = Arc::clone(&self.file);
        let reading = spawn_blocking(move || {
            let mut part = vec![0; length];
            file.read_exact_at(&mut part, offset)?;
            Ok(Bytes::from(part))
        });
        let read = reading
            .await
            .unwrap_or_else(|lost| Err(io::Error::other(lost)));
        read.map_err(|source| ClientError::File {
            path: self.path.clone(),
            source,
        })
    }
}

/// How long something that fails is tried again.
struct Patience {
    ends: Option<Instant>,
    pause: Duration,
}

impl Patience {
    fn new(patience: Duration) -> Self {
        Self {
            ends: ambient::now().checked_add(patience),
            pause: PAUSES.0,
        }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// The error, where none would help, or patience is at its end.
    async fn wait(&mut self, error: ClientError) -> Result<(), ClientError> {
        let asked_for = match &error {
            ClientError::Refused { after, .. } => after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let pause = self.pause.max(asked_for);
        let next = ambient::now().checked_add(pause);
        if !error.is_passing() || next.is_none_or(|next| self.ends.is_some_and(|ends| next > ends))
        {
            return Err(error);
        }
        tracing::warn!(%error, "trying again in {} s; nothing is lost", pause.as_secs_f32());
        self.pause = self.pause.saturating_mul(2).min(PAUSES.1);
        sleep(pause).await;
        Ok(())
    }
}

/// The answer, if it is one of success.
async fn answered(answer: Response) -> Result<Response, ClientError> {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
        same_as: Option<Twin>,
    }

    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let after = answer.headers().get(RETRY_AFTER);
    let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
    let (detail, twin) = match read(answer).await {
        Ok(Problem { detail, same_as }) => (detail, same_as),
        Err(_) => (status.to_string(), None),
    };
    if let Some(twin) = twin {
        return Err(ClientError::AlreadyPublished(twin));
    }
    Err(ClientError::Refused {
        status,
        detail,
        after: after.map(Duration::from_secs),
    })
}

async fn told<T: for<'a> Deserialize<'a>>(
    answer: reqwest::Result<Response>,
) -> Result<T, ClientError> {
    read(answered(answer?).await?).await
}

async fn read<T: for<'a> Deserialize<'a>>(mut answer: Response) -> Result<T, ClientError> {
    let mut body = Vec::new();
    while let Some(bytes) = answer.chunk().await? {
        body.extend_from_slice(&bytes);
        if body.len() > MAX_ANSWER {
            return Err(ClientError::NotUnderstood);
        }
    }
    serde_json::from_slice(&body).map_err(|_| ClientError::NotUnderstood)
}

fn offset_in(answer: &Response) -> Result<u64, ClientError> {
    let offset = answer.headers().get("Upload-Offset");
    let offset = offset.and_then(|offset| offset.to_str().ok()?.parse().ok());
    offset.ok_or(ClientError::NotUnderstood)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(server: &str) -> Result<Client, ClientError> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::new(server, "token", Options::default())
    }

    #[test]
    fn only_addresses_of_servers_are_taken() {
        for bad in [
            "",
            "files.example.org",
            "ftp://files.example.org",
            "file:///etc",
            "/p",
        ] {
            assert!(matches!(client(bad), Err(ClientError::Address(_))), "{bad}");
        }
        assert!(client("https://files.example.org").is_ok());
        let token = Client::new("http://a.example", "a\nb", Options::default());
        assert!(matches!(token, Err(ClientError::Token)));
    }

    #[test]
    fn bytes_go_to_the_server_that_was_named_whatever_it_answers() {
        let client = client("https://files.example.org/sower?x").unwrap();
        for named in [
            "https://files.example.org/api/v1/uploads/4k2jabcdef-17",
            "https://elsewhere.example/api/v1/uploads/4k2jabcdef-17",
            "4k2jabcdef-17",
        ] {
            let url = client.upload_address(named).unwrap();
            let expected = "https://files.example.org/sower/api/v1/uploads/4k2jabcdef-17";
            assert_eq!(url.as_str(), expected, "{named}");
        }
        for bad in ["", "https://a.example/", "a/..", "a/b?c", "a/%2e"] {
            assert!(client.upload_address(bad).is_err(), "{bad}");
        }
        assert!(client.publication("../../x", "").is_err());
    }

    #[test]
    fn only_what_passes_is_tried_again() {
        let refused = |status| ClientError::Refused {
            status: StatusCode::from_u16(status).unwrap(),
            detail: String::new(),
            after: None,
        };
        for passing in [408, 409, 423, 429, 460, 500, 502, 503, 504] {
            assert!(refused(passing).is_passing(), "{passing}");
        }
        for lasting in [400, 401, 403, 404, 410, 412, 413, 415, 507] {
            assert!(!refused(lasting).is_passing(), "{lasting}");
        }
        assert!(!ClientError::NotUnderstood.is_passing());
    }
}

//! What a swarm asks for by the thousand and by the gigabyte, answered without hyper: announces, scrapes, and published
//! files.
//!
//! An announce costs the parsing of its head and one write. Of a file, the head passes through the site's router as
//! anywhere else, and its bytes go from the page cache to the socket inside the kernel. The first request of another
//! kind takes the whole connection to hyper, with every byte that was read of it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;

use axum::body::{Body, Bytes};
use bytes::{Buf, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::BodyExt;
use rustix::net::SendFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_util::sync::WaitForCancellationFuture;
use tower::ServiceExt;

use super::SourceAddress;
use super::body::Stretch;
use super::head::{self, PlainHead, Reading};
use super::serve::Site;
use crate::ambient;
use crate::reader::ReadError;
use crate::tracker;

/// Bytes of a head that may come in parts here; longer ones are hyper's.
const MAX_HEAD: usize = 8 * 1024;

/// Room for the bytes of one read: a request of a client, as a rule.
const ROOM: usize = 2 * 1024;

/// Bytes of a file that are handed to the kernel at once: enough that calls do not matter.
const STRETCH: usize = 512 * 1024;

/// An HTTP connection before its first request that is hyper's.
pub(super) struct Direct<'s> {
    site: &'s Site,
    stream: &'s mut TcpStream,
    source: SocketAddr,
    received: BytesMut,
    out: Vec<u8>,
    gives_files: bool,
}

/// A request that is answered here, and the answer as far as it is known.
enum Asked {
    Tracker(Response<Bytes>),
    File(Box<Request<Body>>),
}

enum Next {
    /// More bytes must come.
    Read,
    /// The rest of the connection is hyper's.
    Leave,
    /// A request, its method, and whether it is the last.
    Answer(Asked, Method, bool),
}

impl<'s> Direct<'s> {
    /// A connection from `source`, of which `received` was read already.
    pub(super) fn new(
        site: &'s Site,
        stream: &'s mut TcpStream,
        received: BytesMut,
        source: SocketAddr,
    ) -> Self {
        Self {
            site,
            stream,
            source,
            received,
            out: Vec::new(),
            gives_files: true,
        }
    }

    /// The same, that leaves the files to somebody else.
    pub(super) fn of_the_tracker_only(self) -> Self {
        Self {
            gives_files: false,
            ..self
        }
    }

    /// Answers until the connection ends or `shutdown` finds it idle (`None`), or until hyper must go on with the bytes
    /// that this gives.
    pub(super) async fn answer(
        mut self,
        mut shutdown: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> Result<Option<Bytes>, ReadError> {
        let mut deadline = ambient::now() + self.site.head_timeout;
        loop {
            match self.next() {
                Next::Leave => return Ok(Some(self.received.freeze())),
                Next::Read => {
                    self.received.reserve(ROOM);
                    let read = self.stream.read_buf(&mut self.received);
                    let read = tokio::select! {
                        biased;
                        read = timeout_at(deadline.into(), read) => read,
                        () = shutdown.as_mut() => return Ok(None),
                    };
                    match read {
                        Ok(Ok(0)) | Err(_) => return Ok(None),
                        Ok(Ok(_)) => {}
                        Ok(Err(error)) => return Err(error.into()),
                    }
                }
                Next::Answer(asked, method, closes) => {
                    let is_last = match asked {
                        Asked::Tracker(answer) => {
                            self.send_small(&answer, &method, closes).await?;
                            closes
                        }
                        Asked::File(request) => {
                            Box::pin(self.serve_file(*request, &method, closes)).await?
                        }
                    };
                    if is_last {
                        return Ok(None);
                    }
                    deadline = ambient::now() + self.site.head_timeout;
                }
            }
        }
    }

    /// Takes the next request from what was received.
    fn next(&mut self) -> Next {
        let head = match head::read(&self.received) {
            Reading::Part if self.received.len() < MAX_HEAD => return Next::Read,
            Reading::Part | Reading::NotPlain => return Next::Leave,
            Reading::Plain(head) => head,
        };
        let (length, method, closes) = (head.length, head.method.clone(), head.closes);
        match self.ask(&head) {
            Some(asked) => {
                self.received.advance(length);
                Next::Answer(asked, method, closes)
            }
            None => Next::Leave,
        }
    }

    fn ask(&self, head: &PlainHead<'_>) -> Option<Asked> {
        let (path, query) = head.path_and_query();
        let source = self
            .site
            .proxies
            .source(self.source, |name| head.lines(name));
        let answer = tracker::http::answer(
            &self.site.tracker,
            &head.method,
            path,
            query,
            source.ip(),
            ambient::now(),
        );
        if let Some(answer) = answer {
            return Some(Asked::Tracker(answer));
        }
        let is_file = path.starts_with("/web-seed/") || path.starts_with("/files/");
        if !is_file || !self.gives_files {
            return None;
        }
        let mut request = Request::new(Body::empty());
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = head.target.parse::<Uri>().ok()?;
        *request.headers_mut() = head.headers()?;
        request.extensions_mut().insert(SourceAddress(source));
        Some(Asked::File(Box::new(request)))
    }

    async fn send_small(
        &mut self,
        answer: &Response<Bytes>,
        method: &Method,
        closes: bool,
    ) -> io::Result<()> {
        let length = answer.body().len() as u64;
        self.write_head(answer.status(), answer.headers(), Some(length), closes);
        if *method != Method::HEAD {
            self.out.extend_from_slice(answer.body());
        }
        self.stream.write_all(&self.out).await
    }

    /// Sends what the router answers. Gives whether the connection must end with it.
    async fn serve_file(
        &mut self,
        request: Request<Body>,
        method: &Method,
        closes: bool,
    ) -> Result<bool, ReadError> {
        let Ok(answer) = self.site.router.clone().oneshot(request).await;
        let (mut parts, mut body) = answer.into_parts();
        let has_body = *method != Method::HEAD && parts.status != StatusCode::NOT_MODIFIED;
        let said = parts
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let length = said.or_else(|| body.size_hint().exact().filter(|_| has_body));
        // Without a length, the end of the connection is the end of the body.
        let closes = closes || (has_body && length.is_none());
        self.write_head(parts.status, &parts.headers, length, closes);
        if let Some(stretch) = parts.extensions.remove::<Stretch>() {
            self.send_file(stretch).await?;
            return Ok(closes);
        }
        self.stream.write_all(&self.out).await?;
        while let Some(frame) = body.frame().await.filter(|_| has_body) {
            if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                self.stream.write_all(&data).await?;
            }
        }
        Ok(closes)
    }

    fn write_head(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        length: Option<u64>,
        closes: bool,
    ) {
        self.out.clear();
        head::write(
            &mut self.out,
            status,
            headers,
            length,
            closes,
            ambient::unix_now(),
        );
    }

    /// Sends the head that is ready, and a stretch of a file behind it.
    async fn send_file(&mut self, mut stretch: Stretch) -> Result<(), ReadError> {
        self.send_with_more_to_come().await?;
        while let Some(length) = stretch.next(STRETCH) {
            stretch.vouch(length).await?;
            let sent = self
                .stream
                .async_io(Interest::WRITABLE, || {
                    stretch.try_send(length, self.stream.as_fd())
                })
                .await?;
            if sent > 0 {
                stretch.advance(sent);
            } else {
                let bytes = stretch.read(length).await?;
                self.stream.write_all(&bytes).await?;
                stretch.advance(length);
            }
        }
        Ok(())
    }

    /// Sends the head so that it shares its packet with what follows.
    async fn send_with_more_to_come(&mut self) -> io::Result<()> {
        let mut rest = self.out.as_slice();
        while !rest.is_empty() {
            let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
            let try_send = || Ok(rustix::net::send(&*self.stream, rest, flags)?);
            let sent = self.stream.async_io(Interest::WRITABLE, try_send).await?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }
}

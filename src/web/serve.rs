//! One HTTP connection: at first answered directly, then, once a page is asked for, by hyper and the site's router; and,
//! where it becomes the WebSocket of a peer, by the tracker to its end.
//!
//! An announce must cost microseconds, so it passes no middleware and waits for nothing, here as there. Every wait of the
//! connection has a bound: a timer for the head of a request, the handlers' for its body, the kernel's for the reader.

use std::convert::Infallible;
use std::io::Cursor;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tower::ServiceExt;

use super::SourceAddress;
use super::direct::Direct;
use super::links::Links;
use super::proxies::TrustedProxies;
use super::upgrade::{self, Upgrade, Upgrades};
use crate::ambient;
use crate::reader::ReadError;
use crate::tracker::asker::{Asker, Door};
use crate::tracker::path::Endpoint;
use crate::tracker::{self, Route, Tracker, WsTracker};

/// What an HTTP connection is served by. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    /// The site's URL map.
    pub router: Router,
    /// Answers `/announce` and `/scrape`.
    pub tracker: Arc<Tracker>,
    /// Who is believed about where a request came from.
    pub proxies: TrustedProxies,
    /// Answers `/announce` where a WebSocket is wanted.
    pub sockets: Sockets,
    /// How long a connection may take over the head of a request, and stay open between two.
    pub head_timeout: Duration,
    /// How long a reader may leave all that we sent unread.
    pub write_timeout: Duration,
}

/// The tracker's WebSockets, and who may open one. Cheap to clone.
#[derive(Clone)]
pub struct Sockets {
    tracker: WsTracker,
    upgrades: Upgrades,
}

impl Sockets {
    /// Lets the pages of this server in, whose address `links` know, and those that the tracker's options name.
    pub fn new(tracker: WsTracker, links: &Links) -> Self {
        let upgrades = Upgrades::new(tracker.options(), links.origin());
        Self { tracker, upgrades }
    }
}

/// Bytes in the head of a request, at most; answered with 431 above.
const MAX_HEAD: usize = 32 * 1024;

/// Header fields in a request, at most; answered with 431 above.
const MAX_HEADERS: usize = 64;

impl Site {
    /// Answers announces and scrapes, and waits for nothing but the connection, of which `received` was read already. Gives
    /// what was read of a request for something else, to be served by [`Site::serve`]; `None` where the connection ended.
    pub async fn answer_announces(
        &self,
        stream: &mut TcpStream,
        received: BytesMut,
        source: SocketAddr,
        shutdown: &CancellationToken,
    ) -> Option<Bytes> {
        let _ = stream.set_nodelay(true);
        bound_unread(stream, self.write_timeout);
        let stopped = pin!(shutdown.cancelled());
        let direct = Direct::new(self, stream, received, source).of_the_tracker_only();
        direct.answer(stopped).await.unwrap_or_else(|error| {
            tracing::debug!(%source, %error, "the HTTP connection broke off");
            None
        })
    }

    /// Serves a connection, of which `received` was read already, until either side ends it, or, at shutdown, until the request
    /// under way is answered.
    pub async fn serve(
        &self,
        mut stream: TcpStream,
        received: BytesMut,
        source: SocketAddr,
        shutdown: &CancellationToken,
    ) {
        let mut stopped = pin!(shutdown.cancelled());
        match Direct::new(self, &mut stream, received, source)
            .answer(stopped.as_mut())
            .await
        {
            // Boxed: what hyper needs is large, and most connections never come to it.
            Ok(Some(received)) => Box::pin(self.go_on(received, stream, source, stopped)).await,
            Ok(None) => {}
            Err(error @ ReadError::Io(_)) => {
                tracing::debug!(%source, %error, "the HTTP connection broke off");
            }
            Err(error) => tracing::warn!(%source, %error, "an answer was cut off"),
        }
    }

    /// Lets hyper serve the rest of a connection, of which `received` was read already.
    async fn go_on(
        &self,
        received: Bytes,
        stream: TcpStream,
        source: SocketAddr,
        mut shutdown: Pin<&mut WaitForCancellationFuture<'_>>,
    ) {
        let upgrade = Mutex::new(None);
        let (reader, writer) = stream.into_split();
        let stream = tokio::io::join(Cursor::new(received).chain(reader), writer);
        let service = service_fn(|request| self.answer(request, source, &upgrade));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.as_mut() => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%source, %error, "the HTTP connection broke off");
        }
        let upgrade = upgrade
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(upgrade) = upgrade {
            self.converse(upgrade, shutdown).await;
        }
    }

    /// Lets the tracker talk over a connection that has become a WebSocket.
    async fn converse(
        &self,
        (upgrade, asker): (Upgrade, Asker),
        shutdown: Pin<&mut WaitForCancellationFuture<'_>>,
    ) {
        match upgrade.stream.await {
            Ok(stream) => {
                self.sockets
                    .tracker
                    .serve(TokioIo::new(stream), asker, shutdown)
                    .await;
            }
            Err(error) => {
                tracing::debug!(source = %asker.ip, %error, "no WebSocket came of the connection");
            }
        }
        drop(upgrade.place);
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        connection: SocketAddr,
        upgraded: &Mutex<Option<(Upgrade, Asker)>>,
    ) -> Result<Response<Body>, Infallible> {
        let headers = request.headers();
        let lines = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes);
        let source = self.proxies.source(connection, lines);
        let uri = request.uri();
        let route = Route::of(uri.path()).filter(|it| it.endpoint == Endpoint::Announce);
        if let Some(route) = route.filter(|_| upgrade::is_wanted(&request)) {
            let (answer, upgrade) = self.sockets.upgrades.answer(request, source.ip());
            let asker = Asker::new(source.ip(), Door::WebSocket).with_passkey(route.passkey);
            *upgraded.lock().unwrap_or_else(PoisonError::into_inner) =
                upgrade.map(|it| (it, asker));
            return Ok(answer);
        }
        let announced = tracker::http::answer(
            &self.tracker,
            request.method(),
            uri.path(),
            uri.query(),
            source.ip(),
            ambient::now(),
        );
        if let Some(answer) = announced {
            return Ok(answer.map(|bytes: Bytes| Body::from(bytes)));
        }
        if Route::shows_passkey(request.uri().path()) {
            // Nothing is there, and what says so may write it into a log.
            *request.uri_mut() = Uri::from_static("/-");
        }
        request.extensions_mut().insert(SourceAddress(source));
        self.router.clone().oneshot(request.map(Body::new)).await
    }
}

/// Ends the connection when its reader takes nothing for so long. The kernel counts, closed windows included, so a
/// reader that stands still costs no timer here.
#[cfg(target_os = "linux")]
fn bound_unread(stream: &TcpStream, timeout: Duration) {
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(timeout));
}

/// Elsewhere only the bound on connections holds.
#[cfg(not(target_os = "linux"))]
fn bound_unread(_: &TcpStream, _: Duration) {}

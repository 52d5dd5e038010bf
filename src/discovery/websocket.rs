//! Asks an outside tracker over a WebSocket (RFC 6455; WebTorrent).
//!
//! One connection for one question. Most trackers forget a peer when its connection ends, so an announce leaves nothing
//! behind. What other peers send meanwhile is passed over: whoever asks here has nothing to offer them.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::header::{
    CONNECTION, HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{StatusCode, Upgraded};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use super::trackers::{Bounds, Told};
use crate::proto::tracker::announce::{
    AnnounceAnswer, AnnounceRequest, Failure, ScrapeAnswer, ScrapeRequest,
};
use crate::proto::tracker::ws::Action;
use crate::proto::tracker::ws::reply::{self, Reply, ReplyError};
use crate::proto::tracker::ws::request::{self, Request, WsAnnounce};

/// How long the end of a connection may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a tracker was of no use.
#[derive(Debug, thiserror::Error)]
pub enum WebSocketError {
    /// The network, TLS or HTTP failed.
    #[error("the tracker cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It does not speak WebSocket at this address.
    #[error("the tracker does not open a WebSocket here; it answered with HTTP status {0}")]
    NoWebSocket(StatusCode),
    /// Something on the way answered from its memory.
    #[error("the answer is to another handshake; is there a proxy that keeps answers?")]
    OtherHandshake,
    /// The connection broke.
    #[error("the connection broke off")]
    Broken(#[from] Box<Error>),
    /// It ended without an answer.
    #[error("the tracker ended the connection without an answer")]
    Ended,
    /// The tracker refused, in its own words.
    #[error("the tracker says: {0}")]
    Refused(Failure),
    /// The answer makes no sense.
    #[error(transparent)]
    Answer(#[from] ReplyError),
    /// No answer came in time.
    #[error("the tracker is silent")]
    Silent,
}

impl From<reqwest::Error> for WebSocketError {
    fn from(error: reqwest::Error) -> Self {
        Self::Unreachable(error.without_url())
    }
}

/// Announces to the tracker at `url`.
pub(super) async fn announce(
    http: &reqwest::Client,
    url: &str,
    request: &AnnounceRequest,
    bounds: Bounds,
) -> Result<Told<AnnounceAnswer>, WebSocketError> {
    let announce = Request::Announce(WsAnnounce {
        request: request.clone(),
        offers: Vec::new(),
    });
    let wanted = request.info_hash;
    ask(http, url, &announce, bounds, |reply| match reply {
        Reply::Announced(info_hash, answer) if info_hash == wanted => Some(Ok(answer)),
        Reply::Refused {
            info_hash, failure, ..
        } if info_hash.is_none_or(|info_hash| info_hash == wanted) => Some(Err(failure)),
        _ => None,
    })
    .await
}

/// Scrapes the tracker at `url`.
pub(super) async fn scrape(
    http: &reqwest::Client,
    url: &str,
    request: &ScrapeRequest,
    bounds: Bounds,
) -> Result<Told<ScrapeAnswer>, WebSocketError> {
    let scrape = Request::Scrape(request.clone());
    ask(http, url, &scrape, bounds, |reply| match reply {
        Reply::Scraped(answer) => Some(Ok(answer)),
        Reply::Refused {
            action: Action::Scrape,
            failure,
            ..
        }
        | Reply::Refused {
            info_hash: None,
            failure,
            ..
        } => Some(Err(failure)),
        _ => None,
    })
    .await
}

/// Asks, and waits for what `find` takes for the answer.
async fn ask<T>(
    http: &reqwest::Client,
    url: &str,
    request: &Request,
    bounds: Bounds,
    find: impl Fn(Reply) -> Option<Result<T, Failure>>,
) -> Result<Told<T>, WebSocketError> {
    let asked = async {
        let (stream, address) = open(http, url).await?;
        let limits = WebSocketConfig::default()
            .read_buffer_size(4 * 1024)
            .write_buffer_size(0)
            .max_message_size(Some(bounds.answer_bytes))
            .max_frame_size(Some(bounds.answer_bytes));
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, Some(limits)).await;
        let message = Message::text(request::encode(request));
        socket.send(message).await.map_err(Box::new)?;
        while let Some(message) = socket.next().await {
            let body = match message.map_err(Box::new)? {
                Message::Text(text) => text.as_bytes().to_vec(),
                Message::Binary(bytes) => bytes.to_vec(),
                Message::Close(_) => break,
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
            };
            if let Some(answer) = find(reply::decode(&body)?) {
                // The answer is here; how the connection ends is no matter.
                let _ = timeout(GOODBYE, socket.close(None)).await;
                let answer = answer.map_err(WebSocketError::Refused)?;
                return Ok(Told {
                    answer,
                    body,
                    address,
                });
            }
        }
        Err(WebSocketError::Ended)
    };
    timeout(bounds.patience, asked)
        .await
        .unwrap_or(Err(WebSocketError::Silent))
}

/// Opens a WebSocket by HTTP (RFC 6455, section 4.1).
async fn open(
    http: &reqwest::Client,
    url: &str,
) -> Result<(Upgraded, Option<std::net::SocketAddr>), WebSocketError> {
    let key = generate_key();
    // ws becomes http, and wss https.
    let url = format!("http{}", url.get(2..).unwrap_or_default());
    let asked = http
        .get(url)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &key);
    let response = asked.send().await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(WebSocketError::NoWebSocket(response.status()));
    }
    if !is_accepted(response.headers(), &key) {
        return Err(WebSocketError::OtherHandshake);
    }
    let address = response.remote_addr();
    Ok((response.upgrade().await?, address))
}

fn is_accepted(headers: &HeaderMap, key: &str) -> bool {
    let accept = derive_accept_key(key.as_bytes());
    headers
        .get(SEC_WEBSOCKET_ACCEPT)
        .is_some_and(|there| there.as_bytes() == accept.as_bytes())
}

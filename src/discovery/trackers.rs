//! Asks an outside tracker, whatever it speaks: HTTP, UDP or WebSocket (BEP 3, 15, 23, 48; WebTorrent).
//!
//! What comes back is bounded in size and time. A tracker's address may hold somebody's passkey, so it is in no error.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::proto::tracker::announce::{
    AnnounceAnswer, AnnounceRequest, Failure, Retry, ScrapeAnswer, ScrapeRequest,
};
use crate::proto::tracker::http::PeerFormat;
use crate::proto::tracker::http::answer::{self, AnswerError};
use crate::proto::tracker::http::query;
use crate::proto::tracker::udp::Family;

use super::udp::{self, UdpError};
use super::websocket::{self, WebSocketError};

/// How trackers are asked.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long a tracker may take to answer.
    pub patience: Duration,
    /// Bytes of an answer that are read, at most.
    pub answer_bytes: usize,
    /// The family of addresses to go by; `None` for either.
    pub family: Option<Family>,
}

/// Asks trackers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trackers {
    http: reqwest::Client,
    bounds: Bounds,
}

/// What a tracker said.
#[derive(Clone, Debug)]
pub struct Told<T> {
    /// The answer.
    pub answer: T,
    /// The answer as it came, if it is of a format that may say more: bencode or JSON.
    pub body: Vec<u8>,
    /// Where it came from, if that is known: a name may stand for many addresses.
    pub address: Option<SocketAddr>,
}

/// How a tracker is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// HTTP or HTTPS.
    Http,
    /// UDP.
    Udp,
    /// WebSocket, over TLS or not.
    WebSocket,
}

impl Speech {
    /// How the tracker at an address is spoken to; `None` where that is no tracker's address.
    pub fn of(tracker: &str) -> Option<Self> {
        let (scheme, _) = tracker.split_once("://")?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => Some(Self::Http),
            "udp" => Some(Self::Udp),
            "ws" | "wss" => Some(Self::WebSocket),
            _ => None,
        }
    }
}

/// Why a tracker was of no use.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The address begins with something else than http, https, udp, ws or wss.
    #[error(
        "this is no tracker's address: it begins with http://, https://, udp://, ws:// or wss://"
    )]
    NoTracker,
    /// The network, TLS or HTTP failed.
    #[error("the tracker cannot be reached")]
    Http(#[source] reqwest::Error),
    /// The answer is an HTTP error without a word.
    #[error("the tracker answered with HTTP status {0}")]
    Status(reqwest::StatusCode),
    /// The answer is longer than we read.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// Bytes that are read, at most.
        limit: usize,
    },
    /// The tracker has no address to be scraped at.
    #[error(
        "this tracker cannot be scraped: the last part of its address does not begin with `announce` (BEP 48)"
    )]
    NoScrape,
    /// The answer is none, or a refusal.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// It was asked over UDP.
    #[error(transparent)]
    Udp(#[from] UdpError),
    /// It was asked over WebSocket.
    #[error(transparent)]
    WebSocket(#[from] WebSocketError),
}

impl AskError {
    /// The tracker's own words, where it refused.
    pub const fn refusal(&self) -> Option<&Failure> {
        match self {
            Self::Answer(AnswerError::Refused(failure))
            | Self::Udp(UdpError::Refused(failure))
            | Self::WebSocket(WebSocketError::Refused(failure)) => Some(failure),
            _ => None,
        }
    }

    /// The error and what caused it, in one line.
    pub fn in_words(&self) -> String {
        let mut line = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let words = cause.to_string();
            if !line.contains(&words) {
                line.push_str(": ");
                line.push_str(&words);
            }
            source = cause.source();
        }
        line
    }

    /// When a tracker that refused wants to be asked again.
    pub const fn retry(&self) -> Option<Retry> {
        match self.refusal() {
            Some(failure) => failure.retry,
            None => None,
        }
    }
}

impl From<reqwest::Error> for AskError {
    fn from(error: reqwest::Error) -> Self {
        Self::Http(error.without_url())
    }
}

impl Trackers {
    /// Asks over `http` where HTTP or WebSocket is spoken. That client has to keep to the bounds' family itself, as
    /// [`any_address`] makes it.
    pub const fn new(http: reqwest::Client, bounds: Bounds) -> Self {
        Self { http, bounds }
    }

    /// Announces to a tracker. `format` is that of the peers over HTTP.
    ///
    /// # Errors
    /// [`AskError`], in words for a person.
    pub async fn announce(
        &self,
        tracker: &str,
        request: &AnnounceRequest,
        format: PeerFormat,
    ) -> Result<Told<AnnounceAnswer>, AskError> {
        match Speech::of(tracker).ok_or(AskError::NoTracker)? {
            Speech::Http => {
                let url = query::announce_url(tracker, request, format);
                self.get(url, answer::decode_announce).await
            }
            Speech::Udp => Ok(udp::announce(tracker, request, self.bounds).await?),
            Speech::WebSocket => {
                Ok(websocket::announce(&self.http, tracker, request, self.bounds).await?)
            }
        }
    }

    /// Scrapes a tracker.
    ///
    /// # Errors
    /// [`AskError`], in words for a person.
    pub async fn scrape(
        &self,
        tracker: &str,
        request: &ScrapeRequest,
    ) -> Result<Told<ScrapeAnswer>, AskError> {
        match Speech::of(tracker).ok_or(AskError::NoTracker)? {
            Speech::Http => {
                let url = query::scrape_url(tracker, request).ok_or(AskError::NoScrape)?;
                self.get(url, answer::decode_scrape).await
            }
            Speech::Udp => Ok(udp::scrape(tracker, request, self.bounds).await?),
            Speech::WebSocket => {
                Ok(websocket::scrape(&self.http, tracker, request, self.bounds).await?)
            }
        }
    }

    async fn get<T>(
        &self,
        url: String,
        decode: impl FnOnce(&[u8]) -> Result<T, AnswerError>,
    ) -> Result<Told<T>, AskError> {
        let asked = self.http.get(url).timeout(self.bounds.patience);
        let mut response = asked.send().await?;
        let address = response.remote_addr();
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await? {
            let limit = self.bounds.answer_bytes;
            if body.len() + part.len() > limit {
                return Err(AskError::TooLong { limit });
            }
            body.extend_from_slice(&part);
        }
        match decode(&body) {
            // Some trackers refuse in words with an HTTP error, others only with its number.
            Err(AnswerError::NotBencode(_)) if !response.status().is_success() => {
                Err(AskError::Status(response.status()))
            }
            answer => Ok(Told {
                answer: answer?,
                body,
                address,
            }),
        }
    }
}

/// The address to connect from that keeps to a family.
pub const fn any_address(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

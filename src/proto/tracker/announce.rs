//! Announces and scrapes, apart from how they travel (BEP 3, 7, 21, 24, 31, 48).
//!
//! What a peer says of itself is a claim: `uploaded`, `downloaded` and `left` give no rights. An address that a peer
//! claims (`ip`, `ipv4`, `ipv6`) is not even read: a peer is listed at the address that it announces from.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use crate::proto::id::{InfoHash, PeerId};

/// What a peer tells a tracker of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnounceRequest {
    /// The torrent.
    pub info_hash: InfoHash,
    /// The name that the peer gave itself.
    pub peer_id: PeerId,
    /// Where the peer listens for other peers.
    pub port: NonZeroU16,
    /// Bytes sent to peers since the peer's `started`.
    pub uploaded: u64,
    /// Bytes received from peers since the peer's `started`.
    pub downloaded: u64,
    /// Bytes that the peer still lacks; `None` where it does not know, as with a magnet link.
    pub left: Option<u64>,
    /// What happened since the last announce.
    pub event: Event,
    /// How many peers it wants; `None` leaves that to the tracker.
    pub numwant: Option<u32>,
    /// A secret by which the tracker knows the peer again when its address changes (BEP 7).
    pub key: Option<u32>,
}

impl AnnounceRequest {
    /// Whether the peer has everything, by its own word. What it says it lacks counts more than the event.
    pub fn is_complete(&self) -> bool {
        matches!(
            (self.left, self.event),
            (Some(0), _) | (None, Event::Completed)
        )
    }

    /// Whether the peer looks for nothing to download: it is a seed, or a partial seed (BEP 21).
    pub fn wants_nothing(&self) -> bool {
        // aria2 begins with `left=0` where it has a magnet link only, and needs a peer to tell it what there is.
        let knows_what_it_lacks = self.event != Event::Started;
        (self.is_complete() && knows_what_it_lacks) || self.event == Event::Paused
    }
}

/// What happened to a peer since its last announce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Event {
    /// Nothing: a regular announce.
    #[default]
    None,
    /// It began.
    Started,
    /// Its download finished just now.
    Completed,
    /// It is about to leave.
    Stopped,
    /// It has all that it wants, though not everything: a partial seed (BEP 21).
    Paused,
}

/// A tracker's answer to an announce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnounceAnswer {
    /// Seconds until the next regular announce.
    pub interval: u32,
    /// Seconds that must pass before any next announce but for an event.
    pub min_interval: Option<u32>,
    /// Peers that have everything.
    pub complete: Option<u32>,
    /// Peers that lack something.
    pub incomplete: Option<u32>,
    /// Downloads that finished since the torrent was published.
    pub downloaded: Option<u64>,
    /// Peers to connect to.
    pub peers: Vec<Peer>,
    /// Where the announce came from, as the tracker saw it (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// Words for the person in front of the client.
    pub warning: Option<String>,
}

/// A peer, as a tracker hands it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it calls itself; compact answers do not tell.
    pub id: Option<PeerId>,
}

/// A tracker's refusal, in words that say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// What is wrong and what to do.
    pub reason: Cow<'static, str>,
    /// When to come back; `None` leaves that to the peer.
    pub retry: Option<Retry>,
}

/// What a tracker says in words: any bytes, control characters taken out since they go to a terminal.
pub(in crate::proto::tracker) fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, " ")
}

impl Failure {
    /// A refusal that says nothing of when to come back.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: reason.into(),
            retry: None,
        }
    }

    /// The same refusal, with a time to come back.
    #[must_use]
    pub fn retry(self, retry: Retry) -> Self {
        Self {
            retry: Some(retry),
            ..self
        }
    }
}

/// When a refused peer may ask again (BEP 31).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// After so many minutes.
    InMinutes(u32),
    /// Not at all.
    Never,
}

/// Which torrents somebody asks about, without joining their swarms (BEP 48).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeRequest {
    /// One to [`MAX_SCRAPED`](Self::MAX_SCRAPED) torrents.
    pub info_hashes: Vec<InfoHash>,
}

impl ScrapeRequest {
    /// Torrents in one scrape, at most: what fits into one packet of the UDP tracker (BEP 15).
    pub const MAX_SCRAPED: usize = 74;
}

/// A tracker's answer to a scrape. Torrents that it does not know are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrapeAnswer {
    /// The torrents that were asked for and are known.
    pub files: Vec<(InfoHash, ScrapeCounts)>,
    /// Seconds that must pass before the next scrape.
    pub min_request_interval: Option<u32>,
}

/// A swarm in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeCounts {
    /// Peers that have everything.
    pub complete: u32,
    /// Peers that lack something, partial seeds among them.
    pub incomplete: u32,
    /// Downloads that finished since the torrent was published.
    pub downloaded: u64,
    /// Peers that lack something and are after it, so no partial seeds (BEP 21); `None` where the tracker does not tell.
    pub downloaders: Option<u32>,
}

impl ScrapeCounts {
    /// The numbers of two parts of one swarm together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            complete: self.complete.saturating_add(other.complete),
            incomplete: self.incomplete.saturating_add(other.incomplete),
            downloaded: self.downloaded.saturating_add(other.downloaded),
            downloaders: match (self.downloaders, other.downloaders) {
                (Some(here), Some(there)) => Some(here.saturating_add(there)),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wanted_by_seeds_once_they_know_that_they_are() {
        let wants_nothing = |left, event| {
            let request = AnnounceRequest {
                info_hash: [7; 20].into(),
                peer_id: [8; 20].into(),
                port: NonZeroU16::MIN,
                uploaded: 0,
                downloaded: 0,
                left,
                event,
                numwant: None,
                key: None,
            };
            request.wants_nothing()
        };
        assert!(wants_nothing(Some(0), Event::None));
        assert!(wants_nothing(Some(0), Event::Completed));
        assert!(wants_nothing(None, Event::Completed));
        assert!(wants_nothing(Some(5), Event::Paused));
        assert!(!wants_nothing(Some(5), Event::None));
        assert!(!wants_nothing(None, Event::None));
        assert!(!wants_nothing(Some(0), Event::Started));
    }
}

//! What the web face stands on, handed in by the app, and what bounds it.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::FromRef;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::auth::Auth;
use super::content::Content;
use super::links::Links;
use super::shelf::Shelf;
use super::torrent::TorrentLengths;
use crate::catalog::Catalog;
use crate::discovery::Figures;
use crate::domain::account::WhoMayPublish;
use crate::domain::networks::Network;
use crate::engine::Engine;
use crate::publish::{Drafts, Editor, Ingest};
use crate::reader::Reader;
use crate::store::passkeys::PasskeyStore;
use crate::tracker::service::Tracker;

/// Addresses that crawlers read in one sitemap (sitemaps.org, protocol 0.9).
pub const MAX_SITEMAP_ADDRESSES: NonZeroU32 = NonZeroU32::new(50_000).expect("it is not zero");

/// The bounds of the web face.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Whom people write to about this site: shown where a publication was taken down, and if it is a mail address or that of a page, behind
    /// "Report" on every publication's page. Empty: nobody.
    pub contact: String,
    /// Names by which the server may be asked for, besides the host of `public_url`, IP addresses and `localhost`.
    pub hosts: Vec<String>,
    /// Networks of the proxies that are believed about where a connection or a request came from.
    pub trusted_proxies: Vec<Network>,
    /// Seconds that a sender may pause in the middle of a request.
    pub body_timeout: u64,
    /// Bytes a second that a sender has to keep up over longer times.
    pub min_body_rate: u64,
    /// Seconds that a reader may leave all that we sent unread.
    pub write_timeout: u64,
    /// Seconds that somebody stays logged in.
    pub session_lifetime: u64,
    /// Seconds to wait after many wrong passwords, at most.
    pub longest_login_wait: u64,
    /// Bytes of publications to keep at hand for pages and downloads.
    pub cache_bytes: u64,
    /// Publications in the feed, at most; 100 are the most that can be asked for.
    pub feed_entries: u32,
    /// Connections that are told of events, at most: of a draft that is being sent, or of a publication's swarm.
    pub event_streams: usize,
    /// Addresses in one sitemap, at most; where there are more, an index names several. 50,000 are the most that crawlers read.
    pub sitemap_addresses: NonZeroU32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            contact: String::new(),
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            body_timeout: 60,
            min_body_rate: 1024,
            write_timeout: 60,
            session_lifetime: 30 * 24 * 60 * 60,
            longest_login_wait: 300,
            cache_bytes: 32 * 1024 * 1024,
            feed_entries: 50,
            event_streams: 256,
            sitemap_addresses: MAX_SITEMAP_ADDRESSES,
        }
    }
}

/// What the app builds the web face from.
pub struct Parts {
    /// The published torrents.
    pub catalog: Catalog,
    /// Reads published bytes.
    pub reader: Reader,
    /// Takes uploads.
    pub ingest: Ingest,
    /// Takes uploads file by file.
    pub drafts: Drafts,
    /// Gives to peers, and knows how many are connected.
    pub engine: Engine,
    /// Knows the swarms.
    pub tracker: Arc<Tracker>,
    /// Knows who asks.
    pub auth: Arc<Auth>,
    /// Knows the passkeys of a private tracker.
    pub passkeys: Arc<dyn PasskeyStore>,
    /// Makes addresses.
    pub links: Arc<Links>,
    /// Where the embedded seed listens, for magnet links (`x.pe`).
    pub peers: Arc<[SocketAddr]>,
    /// Knows who finds us.
    pub discovery: Figures,
    /// Cancelled when the server begins to stop: then it is no longer ready.
    pub shutdown: CancellationToken,
    /// The bounds.
    pub options: Arc<Options>,
}

/// What handlers take their pieces from. Cheap to clone.
#[derive(Clone, FromRef)]
pub struct WebState {
    pub(super) catalog: Catalog,
    pub(super) ingest: Ingest,
    pub(super) editor: Editor,
    pub(super) drafts: Drafts,
    pub(super) engine: Engine,
    pub(super) reader: Reader,
    pub(super) tracker: Arc<Tracker>,
    pub(super) auth: Arc<Auth>,
    pub(super) passkeys: Arc<dyn PasskeyStore>,
    pub(super) links: Arc<Links>,
    pub(super) who_may_publish: WhoMayPublish,
    pub(super) peers: Arc<[SocketAddr]>,
    pub(super) discovery: Figures,
    pub(super) shutdown: CancellationToken,
    /// Places for those who are told of events.
    pub(super) event_streams: Arc<Semaphore>,
    pub(super) options: Arc<Options>,
    pub(super) shelf: Shelf,
    pub(super) content: Content,
    pub(super) torrent_lengths: TorrentLengths,
}

impl WebState {
    /// Lays the parts side by side.
    pub fn new(parts: Parts) -> Self {
        let shelf = Shelf::new(
            parts.catalog.clone(),
            parts.options.cache_bytes,
            &parts.options.contact,
        );
        let content = Content::new(parts.catalog.clone(), shelf.clone(), parts.reader.clone());
        Self {
            catalog: parts.catalog,
            engine: parts.engine,
            reader: parts.reader,
            tracker: parts.tracker,
            auth: parts.auth,
            passkeys: parts.passkeys,
            links: parts.links,
            who_may_publish: parts.ingest.options().who,
            peers: parts.peers,
            editor: parts.ingest.editor(),
            drafts: parts.drafts,
            ingest: parts.ingest,
            discovery: parts.discovery,
            shutdown: parts.shutdown,
            event_streams: Arc::new(Semaphore::new(
                parts.options.event_streams.min(Semaphore::MAX_PERMITS),
            )),
            options: parts.options,
            shelf,
            content,
            torrent_lengths: TorrentLengths::default(),
        }
    }
}

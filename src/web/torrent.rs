//! Torrent files and magnet links, put together when they are asked for (BEP 3, 9, 12, 19, 52).
//!
//! The `info` dictionary is what was published, byte by byte, so info-hashes never change. What stands around it is
//! today's: a new
//! `public_url` reaches every torrent that is downloaded from then on.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::FromRef;
use moka::future::Cache;

use super::error::WebError;
use super::links::Links;
use super::shelf::Shelf;
use super::state::WebState;
use crate::catalog::Catalog;
use crate::domain::publication::{Publication, PublicationId};
use crate::proto::metainfo::magnet::Magnet;
use crate::proto::metainfo::torrent_file::Envelope;

/// Lengths of torrent files that are kept: several feeds of them, in a few dozen kilobytes.
const KEPT_LENGTHS: u64 = 1024;

/// What torrents and magnet links are put together from.
#[derive(Clone)]
pub(super) struct Mint {
    catalog: Catalog,
    shelf: Shelf,
    lengths: TorrentLengths,
    links: Arc<Links>,
    peers: Arc<[SocketAddr]>,
}

impl FromRef<WebState> for Mint {
    fn from_ref(state: &WebState) -> Self {
        Self {
            catalog: state.catalog.clone(),
            shelf: state.shelf.clone(),
            lengths: state.torrent_lengths.clone(),
            links: Arc::clone(&state.links),
            peers: Arc::clone(&state.peers),
        }
    }
}

/// The lengths of torrent files that were put together for the feed. Cheap to clone: all clones are one.
///
/// Neither a publication's content nor this server's addresses change while it runs, so what is kept here never goes stale.
#[derive(Clone)]
pub(super) struct TorrentLengths(Cache<PublicationId, u64>);

impl Default for TorrentLengths {
    fn default() -> Self {
        Self(Cache::new(KEPT_LENGTHS))
    }
}

impl Mint {
    /// Bytes in the torrent file of a publication that names these trackers, which are the same for everybody; `None` where there is no
    /// such publication.
    pub(super) async fn torrent_length(
        &self,
        id: PublicationId,
        trackers: &[Vec<String>],
    ) -> Result<Option<u64>, WebError> {
        if let Some(length) = self.lengths.0.get(&id).await {
            return Ok(Some(length));
        }
        let Some(shelved) = self.shelf.get(id).await? else {
            return Ok(None);
        };
        let torrent = match self.torrent_file(&shelved.publication, trackers).await {
            Ok(torrent) => torrent,
            // The shelf holds it still, but it has just gone away: no reason to refuse the others.
            Err(WebError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = torrent.len() as u64;
        self.lengths.0.insert(id, length).await;
        Ok(Some(length))
    }

    /// The torrent file of a publication, for somebody whose torrents name these trackers.
    pub(super) async fn torrent_file(
        &self,
        publication: &Publication,
        trackers: &[Vec<String>],
    ) -> Result<Vec<u8>, WebError> {
        let torrent = self
            .catalog
            .torrent(publication.id)
            .await?
            .ok_or_else(WebError::no_publication)?;
        let comment = self.links.page(publication.id);
        Ok(Envelope {
            info: &torrent.info.raw,
            piece_layers: torrent.layers.raw(),
            trackers,
            web_seeds: &[self.links.web_seed(publication)],
            comment: Some(&comment),
            created_by: Some(concat!("Sower/", env!("CARGO_PKG_VERSION"))),
            creation_date: Some(publication.published_at),
            nodes: self.links.dht_nodes(publication),
        }
        .encode())
    }

    /// The magnet link of a publication, likewise, with the embedded seed as a peer to ask first.
    pub(super) fn magnet(&self, publication: &Publication, trackers: &[Vec<String>]) -> String {
        let mut magnet = Magnet::new(publication.info_hashes);
        magnet.name = Some(publication.name.clone());
        magnet.trackers = trackers.concat();
        magnet.web_seeds = vec![self.links.web_seed(publication)];
        magnet.peers = self.peers.iter().map(ToString::to_string).collect();
        magnet.to_string()
    }
}

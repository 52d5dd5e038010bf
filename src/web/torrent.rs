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
/// This server's addresses do not change while it runs, and each edition of a publication has a length of its own, so what is kept here
/// never goes stale.
#[derive(Clone)]
pub(super) struct TorrentLengths(Cache<(PublicationId, u64), u64>);

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
        let edition = (id, self.catalog.edition(id));
        if let Some(length) = self.lengths.0.get(&edition).await {
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
        self.lengths.0.insert(edition, length).await;
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
            trackers: &with_others(publication, trackers),
            web_seeds: &self.web_seeds(publication),
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
        magnet.trackers = with_others(publication, trackers).concat();
        magnet.web_seeds = self.web_seeds(publication);
        magnet.peers = self.peers.iter().map(ToString::to_string).collect();
        magnet.to_string()
    }

    /// The same with no more than a client needs to begin: for a code that a camera reads.
    pub(super) fn short_magnet(
        &self,
        publication: &Publication,
        trackers: &[Vec<String>],
    ) -> String {
        let mut magnet = Magnet::new(publication.info_hashes);
        magnet.trackers = trackers
            .first()
            .into_iter()
            .flatten()
            .take(1)
            .cloned()
            .collect();
        magnet.peers = self.peers.iter().map(ToString::to_string).collect();
        magnet.to_string()
    }

    /// This server's own web seed, and those that the publisher has named.
    fn web_seeds(&self, publication: &Publication) -> Vec<String> {
        let own = self.links.web_seed(publication);
        let others = publication.particulars.web_seeds.iter();
        let others = others.map(|address| {
            if publication.is_single_file() {
                address.clone()
            } else {
                // BEP 19: clients append name and path to what ends with a slash.
                format!("{}/", address.trim_end_matches('/'))
            }
        });
        std::iter::once(own).chain(others).collect()
    }
}

/// Trackers that somebody's torrents name, and behind them those that the publisher has named, each in a tier of its own (BEP 12): a client
/// goes to the next tier where nothing answers. Private torrents have no others: who changes trackers there has to leave all peers of
/// the last one (BEP 27).
fn with_others(publication: &Publication, trackers: &[Vec<String>]) -> Vec<Vec<String>> {
    let mut tiers = trackers.to_vec();
    if !publication.private {
        let is_known = |address: &String| trackers.iter().flatten().any(|known| known == address);
        let others = publication.particulars.trackers.iter();
        tiers.extend(
            others
                .filter(|address| !is_known(address))
                .map(|address| vec![address.clone()]),
        );
    }
    tiers
}

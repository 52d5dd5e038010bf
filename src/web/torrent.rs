//! Torrent files and magnet links, put together when they are asked for (BEP 3, 9, 12, 19, 52).
//!
//! The `info` dictionary is what was published, byte by byte, so info-hashes never change. What stands around it is
//! today's: a new
//! `public_url` reaches every torrent that is downloaded from then on.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::FromRef;

use super::error::WebError;
use super::links::Links;
use super::state::WebState;
use crate::catalog::Catalog;
use crate::domain::publication::Publication;
use crate::proto::metainfo::magnet::Magnet;
use crate::proto::metainfo::torrent_file::Envelope;

/// What torrents and magnet links are put together from.
#[derive(Clone)]
pub(super) struct Mint {
    catalog: Catalog,
    links: Arc<Links>,
    peers: Arc<[SocketAddr]>,
}

impl FromRef<WebState> for Mint {
    fn from_ref(state: &WebState) -> Self {
        Self {
            catalog: state.catalog.clone(),
            links: Arc::clone(&state.links),
            peers: Arc::clone(&state.peers),
        }
    }
}

impl Mint {
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

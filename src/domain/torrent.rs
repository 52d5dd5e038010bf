//! A torrent made ready to serve: what the engine and the web seed need to answer a peer.

use bytes::Bytes;

use super::publication::PublicationId;
use crate::proto::metainfo::info::Info;

/// A published torrent: its `info` dictionary, and where its bytes lie.
#[derive(Debug)]
pub struct Torrent {
    /// The publication that it carries.
    pub publication: PublicationId,
    /// The `info` dictionary, read and raw.
    pub info: Info,
    /// The bencoded `piece layers` dictionary as it goes into the torrent file (BEP 52); empty for v1.
    pub piece_layers: Bytes,
    /// For each file of `info.files`, pads counted: the number under which the content store keeps it.
    /// `None` for pads, which are zeros that nobody keeps.
    pub stored_as: Vec<Option<u32>>,
}

//! The extension handshake and the `info` dictionary for those who came by magnet link (BEP 9, BEP 10).

use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::session::Session;
use crate::domain::torrent::Torrent;
use crate::proto::wire::extension::{
    EXTENSION_HANDSHAKE, ExtensionHandshake, METADATA_PIECE_LENGTH, MetadataMessage,
};

/// The number that we give `ut_metadata` in our extension handshake: peers send it to us under this id.
const OUR_METADATA_ID: u8 = 1;

/// How many times over a peer may fetch the whole dictionary on one connection. An honest one does it once.
const FETCHES: u64 = 4;

/// One peer's exchange of extension messages.
pub(crate) struct MetadataExchange {
    torrent: Arc<Torrent>,
    max_requests: usize,
    /// The number under which the peer takes `ut_metadata` messages, once it has told us.
    peer_metadata_id: Option<u8>,
    /// Bytes of the dictionary that the peer may still fetch.
    budget: u64,
}

impl MetadataExchange {
    pub(crate) fn new(torrent: Arc<Torrent>, max_requests: usize) -> Self {
        let budget = (torrent.info.raw.len() as u64).saturating_mul(FETCHES);
        Self {
            torrent,
            max_requests,
            peer_metadata_id: None,
            budget,
        }
    }

    /// Tells the peer what we speak, right after the handshake (BEP 10).
    pub(crate) fn introduce(&self, session: &mut Session, peer: IpAddr) {
        let ours = ExtensionHandshake {
            metadata_id: Some(OUR_METADATA_ID),
            metadata_size: Some(self.torrent.info.raw.len() as u64),
            client: Some(concat!("Sower ", env!("CARGO_PKG_VERSION")).to_owned()),
            max_requests: Some(self.max_requests as u64),
            your_ip: Some(peer.to_canonical()),
            is_upload_only: true,
        };
        session.extend(EXTENSION_HANDSHAKE, ours.encode());
    }

    /// Answers an extension message. What cannot be read is passed over: the protocol is there to be extended.
    pub(crate) fn handle(&mut self, id: u8, payload: &[u8], session: &mut Session) {
        match id {
            EXTENSION_HANDSHAKE => {
                if let Some(theirs) = ExtensionHandshake::decode(payload) {
                    // BEP 10: a later handshake changes what it names; 0 switches an extension off.
                    self.peer_metadata_id = theirs
                        .metadata_id
                        .or(self.peer_metadata_id)
                        .filter(|id| *id != 0);
                }
            }
            OUR_METADATA_ID => self.answer(payload, session),
            _ => {}
        }
    }

    fn answer(&mut self, payload: &[u8], session: &mut Session) {
        let Some(peer_id) = self.peer_metadata_id else {
            return;
        };
        let Some(MetadataMessage::Request { piece }) = MetadataMessage::decode(payload) else {
            return;
        };
        let answer = match self.piece(piece) {
            Some(data) if data.len() as u64 <= self.budget => {
                self.budget -= data.len() as u64;
                MetadataMessage::Data {
                    piece,
                    total_size: self.torrent.info.raw.len() as u64,
                    data,
                }
            }
            _ => MetadataMessage::Reject { piece },
        };
        session.extend(peer_id, answer.encode());
    }

    fn piece(&self, piece: u32) -> Option<bytes::Bytes> {
        let raw = &self.torrent.info.raw;
        let from = usize::try_from(piece)
            .ok()?
            .checked_mul(METADATA_PIECE_LENGTH)?;
        let to = from.checked_add(METADATA_PIECE_LENGTH)?.min(raw.len());
        (from < to).then(|| raw.slice(from..to))
    }
}

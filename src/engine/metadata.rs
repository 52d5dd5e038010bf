//! The `info` dictionary for those who came by magnet link (BEP 9, BEP 10).

use std::sync::Arc;

use crate::domain::session::Session;
use crate::domain::torrent::Torrent;
use crate::proto::wire::extension::{ExtensionHandshake, METADATA_PIECE_LENGTH, MetadataMessage};

/// The number that we give `ut_metadata` in our extension handshake: peers send it to us under this id.
const OUR_METADATA_ID: u8 = 1;

/// How many times over a peer may fetch the whole dictionary on one connection. An honest one does it once.
const FETCHES: u64 = 4;

/// What one peer is given of the dictionary.
pub(crate) struct MetadataExchange {
    torrent: Arc<Torrent>,
    /// The number under which the peer takes `ut_metadata` messages, once it has told us.
    peer_metadata_id: Option<u8>,
    /// Bytes of the dictionary that the peer may still fetch.
    budget: u64,
}

impl MetadataExchange {
    pub(crate) fn new(torrent: Arc<Torrent>) -> Self {
        let budget = (torrent.info.raw.len() as u64).saturating_mul(FETCHES);
        Self {
            torrent,
            peer_metadata_id: None,
            budget,
        }
    }

    /// What our extension handshake says of it.
    pub(crate) fn offer(&self) -> ExtensionHandshake {
        ExtensionHandshake {
            metadata_id: Some(OUR_METADATA_ID),
            metadata_size: Some(self.torrent.info.raw.len() as u64),
            ..ExtensionHandshake::default()
        }
    }

    /// Notes what the peer says of itself. BEP 10: a later handshake changes what it names; 0 switches an extension off.
    pub(crate) fn note(&mut self, theirs: &ExtensionHandshake) {
        self.peer_metadata_id = theirs
            .metadata_id
            .or(self.peer_metadata_id)
            .filter(|id| *id != 0);
    }

    /// Answers a message other than the handshake. What cannot be read is passed over: the protocol is there to be extended.
    pub(crate) fn handle(&mut self, id: u8, payload: &[u8], session: &mut Session) {
        if id == OUR_METADATA_ID {
            self.answer(payload, session);
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

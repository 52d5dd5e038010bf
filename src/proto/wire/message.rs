//! The messages between peers: four bytes of length, one of kind, the rest (BEP 3, 6, 10, 52).
//!
//! [`decode`] takes whole frames off the front of a buffer, however the bytes were cut on their way. A frame's length is
//! held against [`Limits`] as soon as its first four bytes are there: nothing is allocated for a frame that is too long.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::proto::metainfo::merkle::{HASH_LENGTH, Hash};
use crate::proto::metainfo::proof::HashRequest;

/// Bytes before a block in a `piece` message: length, kind, index, begin.
pub const PIECE_HEADER_LENGTH: usize = 13;

/// A stretch of a piece as peers name it, not yet held against a torrent's geometry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawBlock {
    /// The piece, counted from zero.
    pub index: u32,
    /// Where the block begins, in bytes from the start of the piece.
    pub begin: u32,
    /// Bytes in the block.
    pub length: u32,
}

/// Hashes of a file's merkle tree as peers name them, not yet held against a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RawHashes {
    /// The file, by the root of its tree.
    pub pieces_root: Hash,
    /// Which hashes of the tree.
    pub request: HashRequest,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Nothing but a sign of life.
    KeepAlive,
    /// "I send you nothing until I unchoke you."
    Choke,
    /// "You may request."
    Unchoke,
    /// "You have pieces that I want."
    Interested,
    /// "You have nothing that I want."
    NotInterested,
    /// "I have this piece now."
    Have(u32),
    /// "I have these pieces": one bit each, the first in the highest bit.
    Bitfield(Bytes),
    /// "Send me this block."
    Request(RawBlock),
    /// A block.
    Piece {
        /// The piece that it belongs to.
        index: u32,
        /// Where it begins, in bytes from the start of the piece.
        begin: u32,
        /// Its bytes.
        data: Bytes,
    },
    /// "I no longer want this block."
    Cancel(RawBlock),
    /// The port of the peer's DHT node (BEP 5).
    Port(u16),
    /// "I would like you to ask for this piece" (BEP 6).
    SuggestPiece(u32),
    /// "I have every piece" (BEP 6).
    HaveAll,
    /// "I have no piece" (BEP 6).
    HaveNone,
    /// "I will not send this block" (BEP 6).
    Reject(RawBlock),
    /// "You may request this piece even while choked" (BEP 6).
    AllowedFast(u32),
    /// A message of the extension protocol (BEP 10).
    Extended {
        /// Which message: 0 is the extension handshake, others are as the receiver's handshake said.
        id: u8,
        /// Its payload.
        payload: Bytes,
    },
    /// "Send me these hashes, and what proves them" (BEP 52).
    HashRequest(RawHashes),
    /// Hashes, and behind them their uncles, the lowest first (BEP 52).
    Hashes {
        /// What was asked for.
        asked: RawHashes,
        /// Whole hashes of 32 bytes each.
        hashes: Bytes,
    },
    /// "I will not send these hashes" (BEP 52).
    HashReject(RawHashes),
    /// A kind that this program does not know. It is passed over, so that others may extend the protocol.
    Unknown(u8),
}

/// How long frames may be, in bytes without their length prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A `bitfield`, which grows with the torrent.
    pub bitfield: u32,
    /// An extended message, whose metadata pieces and handshakes have no other bound.
    pub extended: u32,
    /// A block in a `piece` message.
    pub block: u32,
    /// The hashes in a `hashes` message, uncles counted.
    pub hashes: u32,
}

impl Limits {
    /// The bounds for a torrent of so many pieces.
    pub const fn for_pieces(pieces: u32) -> Self {
        Self {
            bitfield: pieces.div_ceil(8),
            extended: 128 * 1024,
            block: 128 * 1024,
            hashes: 64 * 1024,
        }
    }

    /// The length of the longest frame that may come.
    const fn longest(&self) -> u32 {
        let mut longest = self.block.saturating_add(9);
        if self.bitfield.saturating_add(1) > longest {
            longest = self.bitfield.saturating_add(1);
        }
        if self.extended.saturating_add(2) > longest {
            longest = self.extended.saturating_add(2);
        }
        if self.hashes.saturating_add(RAW_HASHES_FRAME) > longest {
            longest = self.hashes.saturating_add(RAW_HASHES_FRAME);
        }
        longest
    }
}

/// Why bytes are no message. The connection cannot go on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// A frame is longer than its kind may be.
    #[error("a message of kind {kind:?} with {length} bytes, which is too long")]
    TooLong {
        /// The kind, once it is known.
        kind: Option<u8>,
        /// What the length prefix says.
        length: u32,
    },
    /// A frame is not as long as its kind is.
    #[error("a message of kind {kind} with {length} bytes, which is not its length")]
    WrongLength {
        /// The kind.
        kind: u8,
        /// What the length prefix says.
        length: u32,
    },
}

/// Bytes in a frame that names hashes and gives none: kind, root and four numbers.
const RAW_HASHES_FRAME: u32 = 49;

mod kind {
    pub(super) const CHOKE: u8 = 0;
    pub(super) const UNCHOKE: u8 = 1;
    pub(super) const INTERESTED: u8 = 2;
    pub(super) const NOT_INTERESTED: u8 = 3;
    pub(super) const HAVE: u8 = 4;
    pub(super) const BITFIELD: u8 = 5;
    pub(super) const REQUEST: u8 = 6;
    pub(super) const PIECE: u8 = 7;
    pub(super) const CANCEL: u8 = 8;
    pub(super) const PORT: u8 = 9;
    pub(super) const SUGGEST: u8 = 13;
    pub(super) const HAVE_ALL: u8 = 14;
    pub(super) const HAVE_NONE: u8 = 15;
    pub(super) const REJECT: u8 = 16;
    pub(super) const ALLOWED_FAST: u8 = 17;
    pub(super) const EXTENDED: u8 = 20;
    pub(super) const HASH_REQUEST: u8 = 21;
    pub(super) const HASHES: u8 = 22;
    pub(super) const HASH_REJECT: u8 = 23;
}

/// Takes the first whole message off the front of `buffer`; `None` where more bytes are needed.
///
/// # Errors
/// [`MessageError`] where a frame is too long or not as long as its kind is.
pub fn decode(buffer: &mut BytesMut, limits: &Limits) -> Result<Option<Message>, MessageError> {
    let Some((prefix, after)) = buffer.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*prefix);
    if length == 0 {
        buffer.advance(4);
        return Ok(Some(Message::KeepAlive));
    }
    if length > limits.longest() {
        return Err(MessageError::TooLong {
            kind: after.first().copied(),
            length,
        });
    }
    let Some(kind) = after.first().copied() else {
        return Ok(None);
    };
    check_length(kind, length, limits)?;
    // A frame's length is bounded by the limits just checked, so it fits usize.
    if after.len() < length as usize {
        return Ok(None);
    }
    buffer.advance(4);
    let mut frame = buffer.split_to(length as usize).freeze();
    frame.advance(1);
    Ok(Some(read(kind, frame)))
}

/// Holds a frame's length against its kind as soon as both are known.
fn check_length(kind: u8, length: u32, limits: &Limits) -> Result<(), MessageError> {
    let exact = match kind {
        kind::CHOKE
        | kind::UNCHOKE
        | kind::INTERESTED
        | kind::NOT_INTERESTED
        | kind::HAVE_ALL
        | kind::HAVE_NONE => 1,
        kind::HAVE | kind::SUGGEST | kind::ALLOWED_FAST => 5,
        kind::REQUEST | kind::CANCEL | kind::REJECT => 13,
        kind::PORT => 3,
        kind::HASH_REQUEST | kind::HASH_REJECT => RAW_HASHES_FRAME,
        // Hashes are whole.
        kind::HASHES if length % 32 != RAW_HASHES_FRAME % 32 => {
            return Err(MessageError::WrongLength { kind, length });
        }
        _ => {
            let (shortest, longest) = match kind {
                kind::BITFIELD => (1, limits.bitfield.saturating_add(1)),
                kind::PIECE => (9, limits.block.saturating_add(9)),
                kind::EXTENDED => (2, limits.extended.saturating_add(2)),
                kind::HASHES => {
                    let longest = limits.hashes.saturating_add(RAW_HASHES_FRAME);
                    (RAW_HASHES_FRAME, longest)
                }
                _ => (1, limits.longest()),
            };
            return match length {
                length if length < shortest => Err(MessageError::WrongLength { kind, length }),
                length if length > longest => Err(MessageError::TooLong {
                    kind: Some(kind),
                    length,
                }),
                _ => Ok(()),
            };
        }
    };
    if length == exact {
        Ok(())
    } else {
        Err(MessageError::WrongLength { kind, length })
    }
}

/// Reads a frame whose length [`check_length`] has found right for its kind.
fn read(kind: u8, mut frame: Bytes) -> Message {
    match kind {
        kind::CHOKE => Message::Choke,
        kind::UNCHOKE => Message::Unchoke,
        kind::INTERESTED => Message::Interested,
        kind::NOT_INTERESTED => Message::NotInterested,
        kind::HAVE => Message::Have(frame.get_u32()),
        kind::BITFIELD => Message::Bitfield(frame),
        kind::REQUEST => Message::Request(read_block(&mut frame)),
        kind::PIECE => Message::Piece {
            index: frame.get_u32(),
            begin: frame.get_u32(),
            data: frame,
        },
        kind::CANCEL => Message::Cancel(read_block(&mut frame)),
        kind::PORT => Message::Port(frame.get_u16()),
        kind::SUGGEST => Message::SuggestPiece(frame.get_u32()),
        kind::HAVE_ALL => Message::HaveAll,
        kind::HAVE_NONE => Message::HaveNone,
        kind::REJECT => Message::Reject(read_block(&mut frame)),
        kind::ALLOWED_FAST => Message::AllowedFast(frame.get_u32()),
        kind::EXTENDED => Message::Extended {
            id: frame.get_u8(),
            payload: frame,
        },
        kind::HASH_REQUEST => Message::HashRequest(read_hashes(&mut frame)),
        kind::HASHES => Message::Hashes {
            asked: read_hashes(&mut frame),
            hashes: frame,
        },
        kind::HASH_REJECT => Message::HashReject(read_hashes(&mut frame)),
        _ => Message::Unknown(kind),
    }
}

fn read_block(frame: &mut Bytes) -> RawBlock {
    RawBlock {
        index: frame.get_u32(),
        begin: frame.get_u32(),
        length: frame.get_u32(),
    }
}

fn read_hashes(frame: &mut Bytes) -> RawHashes {
    let mut pieces_root = [0; HASH_LENGTH];
    frame.copy_to_slice(&mut pieces_root);
    RawHashes {
        pieces_root,
        request: HashRequest {
            row: frame.get_u32(),
            index: frame.get_u32(),
            length: frame.get_u32(),
            proof_rows: frame.get_u32(),
        },
    }
}

impl Message {
    /// Appends the message as it goes over the wire.
    pub fn encode(&self, to: &mut BytesMut) {
        match self {
            Self::KeepAlive => to.put_u32(0),
            Self::Choke => bare(to, kind::CHOKE),
            Self::Unchoke => bare(to, kind::UNCHOKE),
            Self::Interested => bare(to, kind::INTERESTED),
            Self::NotInterested => bare(to, kind::NOT_INTERESTED),
            Self::Have(index) => with_index(to, kind::HAVE, *index),
            Self::Bitfield(bits) => {
                head(to, kind::BITFIELD, bits.len());
                to.put_slice(bits);
            }
            Self::Request(block) => with_block(to, kind::REQUEST, *block),
            Self::Piece { index, begin, data } => {
                to.put_slice(&piece_header(*index, *begin, data.len()));
                to.put_slice(data);
            }
            Self::Cancel(block) => with_block(to, kind::CANCEL, *block),
            Self::Port(port) => {
                head(to, kind::PORT, 2);
                to.put_u16(*port);
            }
            Self::SuggestPiece(index) => with_index(to, kind::SUGGEST, *index),
            Self::HaveAll => bare(to, kind::HAVE_ALL),
            Self::HaveNone => bare(to, kind::HAVE_NONE),
            Self::Reject(block) => with_block(to, kind::REJECT, *block),
            Self::AllowedFast(index) => with_index(to, kind::ALLOWED_FAST, *index),
            Self::Extended { id, payload } => {
                head(to, kind::EXTENDED, payload.len().saturating_add(1));
                to.put_u8(*id);
                to.put_slice(payload);
            }
            Self::HashRequest(asked) => with_hashes(to, kind::HASH_REQUEST, asked, &[]),
            Self::Hashes { asked, hashes } => with_hashes(to, kind::HASHES, asked, hashes),
            Self::HashReject(asked) => with_hashes(to, kind::HASH_REJECT, asked, &[]),
            Self::Unknown(kind) => bare(to, *kind),
        }
    }
}

/// What stands before a block's bytes in a `piece` message, for those who write the block themselves.
pub fn piece_header(index: u32, begin: u32, block_length: usize) -> [u8; PIECE_HEADER_LENGTH] {
    let mut header = [0; PIECE_HEADER_LENGTH];
    let mut to = header.as_mut_slice();
    to.put_u32(frame_length(block_length.saturating_add(8)));
    to.put_u8(kind::PIECE);
    to.put_u32(index);
    to.put_u32(begin);
    header
}

fn frame_length(payload: usize) -> u32 {
    u32::try_from(payload.saturating_add(1)).unwrap_or(u32::MAX)
}

fn head(to: &mut BytesMut, kind: u8, payload: usize) {
    to.put_u32(frame_length(payload));
    to.put_u8(kind);
}

fn bare(to: &mut BytesMut, kind: u8) {
    head(to, kind, 0);
}

fn with_index(to: &mut BytesMut, kind: u8, index: u32) {
    head(to, kind, 4);
    to.put_u32(index);
}

fn with_block(to: &mut BytesMut, kind: u8, block: RawBlock) {
    head(to, kind, 12);
    to.put_u32(block.index);
    to.put_u32(block.begin);
    to.put_u32(block.length);
}

fn with_hashes(to: &mut BytesMut, kind: u8, asked: &RawHashes, hashes: &[u8]) {
    head(to, kind, hashes.len().saturating_add(48));
    to.put_slice(&asked.pieces_root);
    to.put_u32(asked.request.row);
    to.put_u32(asked.request.index);
    to.put_u32(asked.request.length);
    to.put_u32(asked.request.proof_rows);
    to.put_slice(hashes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        bitfield: 64,
        extended: 1000,
        block: 16_384,
        hashes: 640,
    };

    fn encoded(message: &Message) -> BytesMut {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        bytes
    }

    fn any_block() -> impl Strategy<Value = RawBlock> {
        (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(index, begin, length)| RawBlock {
            index,
            begin,
            length,
        })
    }

    fn any_hashes() -> impl Strategy<Value = RawHashes> {
        let numbers = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
        (any::<Hash>(), numbers).prop_map(|(pieces_root, (row, index, length, proof_rows))| {
            RawHashes {
                pieces_root,
                request: HashRequest {
                    row,
                    index,
                    length,
                    proof_rows,
                },
            }
        })
    }

    fn any_bytes(longest: usize) -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..=longest).prop_map(Bytes::from)
    }

    fn any_message() -> impl Strategy<Value = Message> {
        prop_oneof![
            Just(Message::KeepAlive),
            Just(Message::Choke),
            Just(Message::Unchoke),
            Just(Message::Interested),
            Just(Message::NotInterested),
            any::<u32>().prop_map(Message::Have),
            any_bytes(64).prop_map(Message::Bitfield),
            any_block().prop_map(Message::Request),
            (any::<u32>(), any::<u32>(), any_bytes(600))
                .prop_map(|(index, begin, data)| Message::Piece { index, begin, data }),
            any_block().prop_map(Message::Cancel),
            any::<u16>().prop_map(Message::Port),
            any::<u32>().prop_map(Message::SuggestPiece),
            Just(Message::HaveAll),
            Just(Message::HaveNone),
            any_block().prop_map(Message::Reject),
            any::<u32>().prop_map(Message::AllowedFast),
            (any::<u8>(), any_bytes(600))
                .prop_map(|(id, payload)| Message::Extended { id, payload }),
            any_hashes().prop_map(Message::HashRequest),
            (any_hashes(), 0..20_u8).prop_map(|(asked, count)| Message::Hashes {
                asked,
                hashes: vec![count; usize::from(count) * 32].into(),
            }),
            any_hashes().prop_map(Message::HashReject),
            (24_u8..).prop_map(Message::Unknown),
        ]
    }

    #[test]
    fn request_is_thirteen_bytes_after_its_length() {
        let request = Message::Request(RawBlock {
            index: 1,
            begin: 0x4000,
            length: 0x4000,
        });
        assert_eq!(
            encoded(&request).as_ref(),
            b"\0\0\0\x0d\x06\0\0\0\x01\0\0\x40\0\0\0\x40\0"
        );
    }

    #[test]
    fn long_frames_are_refused_by_their_prefix_alone() {
        let mut bytes = BytesMut::from(&b"\xff\xff\xff\xff"[..]);
        assert_eq!(
            decode(&mut bytes, &LIMITS),
            Err(MessageError::TooLong {
                kind: None,
                length: u32::MAX
            })
        );
        let mut bitfield = BytesMut::from(&b"\0\0\0\x42\x05"[..]);
        assert_eq!(
            decode(&mut bitfield, &LIMITS),
            Err(MessageError::TooLong {
                kind: Some(5),
                length: 66
            })
        );
    }

    #[test]
    fn a_kind_with_another_length_is_refused() {
        for wrong in [
            &b"\0\0\0\x02\x00\x00"[..],
            b"\0\0\0\x04\x04\0\0\0",
            b"\0\0\0\x0c\x06",
            b"\0\0\0\x08\x07",
            b"\0\0\0\x30\x15",
            b"\0\0\0\x11\x16",
            b"\0\0\0\x32\x16",
            b"\0\0\0\x51\x17",
        ] {
            let mut bytes = BytesMut::from(wrong);
            assert!(
                matches!(
                    decode(&mut bytes, &LIMITS),
                    Err(MessageError::WrongLength { .. })
                ),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn hash_request_is_forty_nine_bytes_after_its_length() {
        let request = Message::HashRequest(RawHashes {
            pieces_root: [0xaa; 32],
            request: HashRequest {
                row: 4,
                index: 512,
                length: 256,
                proof_rows: 9,
            },
        });
        let mut expected = b"\0\0\0\x31\x15".to_vec();
        expected.extend([0xaa; 32]);
        expected.extend(b"\0\0\0\x04\0\0\x02\0\0\0\x01\0\0\0\0\x09");
        assert_eq!(encoded(&request).as_ref(), expected);
    }

    #[test]
    fn kinds_of_the_future_are_passed_over() {
        let mut bytes = BytesMut::from(&b"\0\0\0\x03\x63ab\0\0\0\x01\x01"[..]);
        assert_eq!(
            decode(&mut bytes, &LIMITS),
            Ok(Some(Message::Unknown(0x63)))
        );
        assert_eq!(decode(&mut bytes, &LIMITS), Ok(Some(Message::Unchoke)));
        assert_eq!(decode(&mut bytes, &LIMITS), Ok(None));
    }

    proptest! {
        #[test]
        fn messages_cut_anywhere_decode_to_themselves(
            messages in prop::collection::vec(any_message(), 0..12), cuts in prop::collection::vec(1_usize..40, 1..20),
        ) {
            let mut wire = BytesMut::new();
            for message in &messages {
                message.encode(&mut wire);
            }
            let (mut buffer, mut got, mut cuts) = (BytesMut::new(), Vec::new(), cuts.iter().cycle());
            while !wire.is_empty() {
                let cut = (*cuts.next().unwrap()).min(wire.len());
                buffer.extend_from_slice(&wire.split_to(cut));
                while let Some(message) = decode(&mut buffer, &LIMITS).unwrap() {
                    got.push(message);
                }
            }
            prop_assert_eq!(got, messages);
            prop_assert!(buffer.is_empty());
        }

        #[test]
        fn whatever_comes_is_a_message_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = decode(&mut buffer, &LIMITS) {}
        }
    }
}

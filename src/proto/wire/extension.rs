//! The extension protocol (BEP 10), and the metadata exchange that it carries (BEP 9).
//!
//! Ids are per direction: each side numbers the messages that it wants to receive, and 0 switches one off.

use std::net::IpAddr;
use std::num::NonZeroU16;

use bytes::Bytes;

use crate::proto::bencode::{Encoder, Limits, Value, scan};

/// The id of the extension handshake, in both directions.
pub const EXTENSION_HANDSHAKE: u8 = 0;

/// Bytes in a piece of the `info` dictionary, but for the last (BEP 9: 16 KiB).
pub const METADATA_PIECE_LENGTH: usize = 16 * 1024;

/// What a peer says of itself after the handshake (BEP 10; `upload_only` BEP 21; `metadata_size` BEP 9).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtensionHandshake {
    /// The id under which the peer takes `ut_metadata` messages; 0 switches them off.
    pub metadata_id: Option<u8>,
    /// The id under which the peer takes `ut_pex` messages (BEP 11); 0 switches them off.
    pub peer_exchange_id: Option<u8>,
    /// Bytes in the `info` dictionary.
    pub metadata_size: Option<u64>,
    /// The program's name and version (`v`).
    pub client: Option<String>,
    /// Requests that the peer will keep waiting (`reqq`).
    pub max_requests: Option<u64>,
    /// The receiver's address as the sender sees it (`yourip`).
    pub your_ip: Option<IpAddr>,
    /// Whether the sender wants nothing (`upload_only`).
    pub is_upload_only: bool,
    /// Seconds since somebody in the sender's sight had everything (`complete_ago`, as libtorrent has it).
    pub complete_ago: Option<u64>,
    /// The port at which the sender takes connections (`p`).
    pub port: Option<NonZeroU16>,
    /// Whether the sender would rather be spoken to encrypted (`e`).
    pub prefers_encryption: bool,
}

impl ExtensionHandshake {
    /// The payload of an extended message with id [`EXTENSION_HANDSHAKE`].
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(128);
        let mut dict = Encoder::new(&mut out);
        dict.begin_dict();
        if let Some(seconds) = self.complete_ago {
            dict.key("complete_ago").unsigned(seconds);
        }
        if self.prefers_encryption {
            dict.key("e").unsigned(1);
        }
        dict.key("m").begin_dict();
        if let Some(id) = self.metadata_id {
            dict.key("ut_metadata").unsigned(id.into());
        }
        if let Some(id) = self.peer_exchange_id {
            dict.key("ut_pex").unsigned(id.into());
        }
        dict.end();
        if let Some(size) = self.metadata_size {
            dict.key("metadata_size").unsigned(size);
        }
        if let Some(port) = self.port {
            dict.key("p").unsigned(port.get().into());
        }
        if let Some(requests) = self.max_requests {
            dict.key("reqq").unsigned(requests);
        }
        if self.is_upload_only {
            dict.key("upload_only").unsigned(1);
        }
        if let Some(client) = &self.client {
            dict.key("v").text(client);
        }
        match self.your_ip {
            Some(IpAddr::V4(ip)) => dict.key("yourip").bytes(&ip.octets()).end(),
            Some(IpAddr::V6(ip)) => dict.key("yourip").bytes(&ip.octets()).end(),
            None => dict.end(),
        };
        out.into()
    }

    /// Reads the payload; `None` where it is no dictionary. Values of a wrong type or out of range count as absent.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let root = scan::lenient(payload, &Limits::MESSAGE).ok()?.root;
        root.dict()?;
        let unsigned = |key: &str| {
            root.get(key)?
                .as_integer()
                .and_then(|value| u64::try_from(value).ok())
        };
        let message_id = |name| {
            let id = root.get("m")?.get(name)?.as_integer()?;
            u8::try_from(id).ok()
        };
        let is_set = |key| unsigned(key).is_some_and(|flag| flag != 0);
        let port = unsigned("p").and_then(|port| u16::try_from(port).ok());
        Some(Self {
            metadata_id: message_id("ut_metadata"),
            peer_exchange_id: message_id("ut_pex"),
            metadata_size: unsigned("metadata_size"),
            client: root
                .get("v")
                .and_then(Value::as_bytes)
                .map(|client| String::from_utf8_lossy(client).into_owned()),
            max_requests: unsigned("reqq"),
            your_ip: root
                .get("yourip")
                .and_then(Value::as_bytes)
                .and_then(read_ip),
            is_upload_only: is_set("upload_only"),
            complete_ago: unsigned("complete_ago"),
            port: port.and_then(NonZeroU16::new),
            prefers_encryption: is_set("e"),
        })
    }
}

fn read_ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// A message of the metadata exchange (BEP 9, `ut_metadata`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataMessage {
    /// "Send me this piece of the `info` dictionary."
    Request {
        /// The piece, counted from zero.
        piece: u32,
    },
    /// A piece of the `info` dictionary.
    Data {
        /// The piece, counted from zero.
        piece: u32,
        /// Bytes in the whole dictionary.
        total_size: u64,
        /// The piece's bytes: [`METADATA_PIECE_LENGTH`], but for the last.
        data: Bytes,
    },
    /// "I will not send this piece."
    Reject {
        /// The piece, counted from zero.
        piece: u32,
    },
}

impl MetadataMessage {
    /// The payload of an extended message with the id that the receiver gave `ut_metadata`.
    pub fn encode(&self) -> Bytes {
        let (kind, piece) = match self {
            Self::Request { piece } => (0, piece),
            Self::Data { piece, .. } => (1, piece),
            Self::Reject { piece } => (2, piece),
        };
        let mut out = Vec::with_capacity(64);
        let mut dict = Encoder::new(&mut out);
        dict.begin_dict()
            .key("msg_type")
            .unsigned(kind)
            .key("piece")
            .unsigned((*piece).into());
        if let Self::Data { total_size, .. } = self {
            dict.key("total_size").unsigned(*total_size);
        }
        dict.end();
        if let Self::Data { data, .. } = self {
            out.extend_from_slice(data);
        }
        out.into()
    }

    /// Reads a payload; `None` where it is no message of a known kind.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let (root, rest) = scan::prefix(payload, &Limits::MESSAGE).ok()?;
        let piece = u32::try_from(root.get("piece")?.as_integer()?).ok()?;
        match root.get("msg_type")?.as_integer()? {
            0 => Some(Self::Request { piece }),
            1 => Some(Self::Data {
                piece,
                total_size: u64::try_from(root.get("total_size")?.as_integer()?).ok()?,
                data: Bytes::copy_from_slice(rest),
            }),
            2 => Some(Self::Reject { piece }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn handshake_reads_what_it_writes() {
        let ours = ExtensionHandshake {
            metadata_id: Some(1),
            metadata_size: Some(31_235),
            client: Some("Sower 0.1.0".to_owned()),
            max_requests: Some(500),
            your_ip: Some(IpAddr::from([10, 0, 0, 7])),
            is_upload_only: true,
            peer_exchange_id: Some(2),
            complete_ago: Some(0),
            port: NonZeroU16::new(6881),
            prefers_encryption: true,
        };
        assert_eq!(ExtensionHandshake::decode(&ours.encode()), Some(ours));
        let nothing = ExtensionHandshake::default();
        assert_eq!(ExtensionHandshake::decode(&nothing.encode()), Some(nothing));
    }

    #[test]
    fn reads_the_example_of_bep_10() {
        let payload =
            b"d1:md11:LT_metadatai1e7:\xc2\xb5T_PEXi2ee1:pi6881e1:v13:\xc2\xb5Torrent 1.2e";
        let handshake = ExtensionHandshake::decode(payload).unwrap();
        assert_eq!(handshake.client.as_deref(), Some("\u{b5}Torrent 1.2"));
        assert_eq!(handshake.metadata_id, None);
        assert_eq!(handshake.peer_exchange_id, None);
        assert_eq!(handshake.port, NonZeroU16::new(6881));
    }

    #[test]
    fn follows_the_examples_of_bep_9() {
        assert_eq!(
            &MetadataMessage::Request { piece: 0 }.encode()[..],
            b"d8:msg_typei0e5:piecei0ee"
        );
        let data = b"d8:msg_typei1e5:piecei0e10:total_sizei34256eexxxxxxxx";
        assert_eq!(
            MetadataMessage::decode(data),
            Some(MetadataMessage::Data {
                piece: 0,
                total_size: 34_256,
                data: Bytes::from_static(b"xxxxxxxx")
            })
        );
        assert_eq!(
            MetadataMessage::decode(b"d8:msg_typei2e5:piecei0ee"),
            Some(MetadataMessage::Reject { piece: 0 })
        );
    }

    #[test]
    fn values_that_make_no_sense_count_as_absent() {
        let odd =
            b"d1:md11:ut_metadatai999ee13:metadata_sizei-1e1:pi65536e4:reqq4:many6:yourip3:abce";
        assert_eq!(
            ExtensionHandshake::decode(odd),
            Some(ExtensionHandshake::default())
        );
    }

    #[test]
    fn kinds_of_the_future_and_nonsense_are_passed_over() {
        for payload in [
            &b"d8:msg_typei9e5:piecei0ee"[..],
            b"d8:msg_typei0e5:piecei-1ee",
            b"",
            b"le",
            b"i1e",
        ] {
            assert_eq!(MetadataMessage::decode(payload), None);
        }
        assert_eq!(ExtensionHandshake::decode(b"not bencode"), None);
    }

    proptest! {
        #[test]
        fn no_payload_makes_it_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ExtensionHandshake::decode(&payload);
            let _ = MetadataMessage::decode(&payload);
        }
    }
}

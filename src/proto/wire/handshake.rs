//! The handshake: the first 68 bytes in each direction (BEP 3, "peer protocol").

use crate::proto::id::{InfoHash, PeerId};

/// Bytes in a handshake.
pub const LENGTH: usize = 68;

/// How every handshake begins: the length of the protocol's name, and the name.
pub const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// Eight bytes in which peers say what they speak beyond BEP 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reserved([u8; 8]);

impl Reserved {
    /// What this program speaks: the extension protocol (BEP 10) and the Fast extension (BEP 6).
    pub const OURS: Self = Self([0, 0, 0, 0, 0, 0x10, 0, 0x04]);

    /// The same, and v2 besides: that the v1 info-hash may be answered with that of v2 (BEP 52, "upgrade path": fourth bit of
    /// the last byte).
    #[must_use]
    pub const fn with_v2(mut self) -> Self {
        self.0[7] |= 0x10;
        self
    }

    /// The same, and that a node of the DHT is here (BEP 5: the last bit).
    #[must_use]
    pub const fn with_dht(mut self) -> Self {
        self.0[7] |= 0x01;
        self
    }

    /// Whether the peer takes part in the DHT (BEP 5).
    pub const fn has_dht(self) -> bool {
        self.0[7] & 0x01 != 0
    }

    /// Whether the peer speaks v2, and would rather talk about the v2 half of a hybrid torrent (BEP 52).
    pub const fn has_v2(self) -> bool {
        self.0[7] & 0x10 != 0
    }

    /// Whether the peer speaks the extension protocol (BEP 10: bit 20 from the right).
    pub const fn has_extension_protocol(self) -> bool {
        self.0[5] & 0x10 != 0
    }

    /// Whether the peer speaks the Fast extension (BEP 6: third bit of the last byte).
    pub const fn has_fast(self) -> bool {
        self.0[7] & 0x04 != 0
    }

    /// The eight bytes as they go over the wire.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl From<[u8; 8]> for Reserved {
    fn from(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }
}

/// What a peer says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// What it speaks beyond BEP 3.
    pub reserved: Reserved,
    /// The torrent that it wants to talk about.
    pub info_hash: InfoHash,
    /// What it calls itself.
    pub peer_id: PeerId,
}

impl Handshake {
    /// The handshake of this program.
    pub const fn ours(info_hash: InfoHash, peer_id: PeerId) -> Self {
        Self {
            reserved: Reserved::OURS,
            info_hash,
            peer_id,
        }
    }

    /// The 68 bytes.
    pub fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let parts = PROTOCOL
            .iter()
            .chain(self.reserved.as_bytes())
            .chain(self.info_hash.as_bytes())
            .chain(self.peer_id.as_bytes());
        for (to, from) in bytes.iter_mut().zip(parts) {
            *to = *from;
        }
        bytes
    }

    /// Reads 68 bytes; `None` where they are of another protocol.
    pub fn decode(bytes: &[u8; LENGTH]) -> Option<Self> {
        let (protocol, rest) = bytes.split_first_chunk::<20>()?;
        let (reserved, rest) = rest.split_first_chunk::<8>()?;
        let (info_hash, rest) = rest.split_first_chunk::<20>()?;
        let (peer_id, _) = rest.split_first_chunk::<20>()?;
        (protocol == PROTOCOL).then(|| Self {
            reserved: Reserved::from(*reserved),
            info_hash: InfoHash::from(*info_hash),
            peer_id: PeerId::from(*peer_id),
        })
    }
}

/// Whether `bytes`, the first of a connection, may still become a handshake.
pub fn may_begin(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .zip(PROTOCOL)
        .all(|(byte, expected)| byte == expected)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn follows_bep_3_byte_for_byte() {
        let handshake = Handshake {
            reserved: Reserved::default(),
            info_hash: InfoHash::from([0xaa; 20]),
            peer_id: PeerId::from(*b"-TR3000-abcdefghijkl"),
        };
        let bytes = handshake.encode();
        assert_eq!(bytes[0], 19);
        assert_eq!(&bytes[1..20], b"BitTorrent protocol");
        assert_eq!(bytes[20..28], [0; 8]);
        assert_eq!(bytes[28..48], [0xaa; 20]);
        assert_eq!(&bytes[48..], b"-TR3000-abcdefghijkl");
    }

    #[test]
    fn we_speak_the_extension_protocol_and_fast() {
        assert!(Reserved::OURS.has_extension_protocol());
        assert!(Reserved::OURS.has_fast());
        assert!(!Reserved::default().has_fast());
        assert!(!Reserved::OURS.has_v2());
        assert_eq!(Reserved::OURS.with_v2().as_bytes()[7], 0x14);
        assert!(!Reserved::OURS.has_dht());
        assert_eq!(Reserved::OURS.with_dht().as_bytes()[7], 0x05);
    }

    #[test]
    fn http_is_no_handshake() {
        assert!(may_begin(b""));
        assert!(may_begin(b"\x13Bit"));
        assert!(!may_begin(b"GET / HTTP/1.1\r\n"));
        assert_eq!(Handshake::decode(&[0; LENGTH]), None);
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(reserved: [u8; 8], info_hash: [u8; 20], peer_id: [u8; 20]) {
            let handshake = Handshake {
                reserved: reserved.into(), info_hash: info_hash.into(), peer_id: peer_id.into(),
            };
            prop_assert_eq!(Handshake::decode(&handshake.encode()), Some(handshake));
        }
    }
}

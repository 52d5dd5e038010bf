//! The identifiers of the protocol: info-hashes (BEP 3, BEP 52) and peer ids (BEP 20).

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use rand::Rng;
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// The twenty bytes that name a torrent on the wire: in handshakes, announces and scrapes.
///
/// For a v1 torrent it is the SHA-1 of the raw `info` dictionary (BEP 3); for a v2 torrent it is the first twenty bytes
/// of its [`InfoHashV2`] (BEP 52, "infohash"). Displays as forty lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InfoHash([u8; Self::LENGTH]);

impl InfoHash {
    /// Bytes in an info-hash.
    pub const LENGTH: usize = 20;

    /// The v1 info-hash of an `info` dictionary, given its bytes as they stand in the torrent file.
    pub fn of_v1(raw_info: &[u8]) -> Self {
        Self(Sha1::digest(raw_info).into())
    }

    /// Reads forty hexadecimal digits; `None` where the text is anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }

    /// The bytes, as they go over the wire.
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl From<[u8; Self::LENGTH]> for InfoHash {
    fn from(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for InfoHash {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHash({self})")
    }
}

/// The full info-hash of a v2 torrent: the SHA-256 of the raw `info` dictionary (BEP 52).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InfoHashV2([u8; Self::LENGTH]);

impl InfoHashV2 {
    /// Bytes in a v2 info-hash.
    pub const LENGTH: usize = 32;

    /// The v2 info-hash of an `info` dictionary, given its bytes as they stand in the torrent file.
    pub fn of_v2(raw_info: &[u8]) -> Self {
        Self(Sha256::digest(raw_info).into())
    }

    /// Reads sixty-four hexadecimal digits; `None` where the text is anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        from_hex(text).map(Self)
    }

    /// The twenty bytes that stand for this torrent in handshakes and announces.
    pub fn truncated(&self) -> InfoHash {
        let mut wire = [0; InfoHash::LENGTH];
        for (to, from) in wire.iter_mut().zip(self.0) {
            *to = from;
        }
        InfoHash(wire)
    }

    /// All thirty-two bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl From<[u8; Self::LENGTH]> for InfoHashV2 {
    fn from(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for InfoHashV2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

impl fmt::Debug for InfoHashV2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHashV2({self})")
    }
}

/// The info-hashes of one torrent, by its format: a hybrid has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InfoHashes {
    /// A torrent that only BEP 3 describes.
    V1(InfoHash),
    /// A torrent that only BEP 52 describes.
    V2(InfoHashV2),
    /// One `info` dictionary that both describe.
    Hybrid(InfoHash, InfoHashV2),
}

impl InfoHashes {
    /// The v1 info-hash, if the torrent has one.
    pub const fn v1(&self) -> Option<InfoHash> {
        match self {
            Self::V1(v1) | Self::Hybrid(v1, _) => Some(*v1),
            Self::V2(_) => None,
        }
    }

    /// The full v2 info-hash, if the torrent has one.
    pub const fn v2(&self) -> Option<InfoHashV2> {
        match self {
            Self::V2(v2) | Self::Hybrid(_, v2) => Some(*v2),
            Self::V1(_) => None,
        }
    }

    /// Every name that this torrent goes by on the wire: one for v1 or v2, two for a hybrid.
    pub fn wire(&self) -> impl Iterator<Item = InfoHash> + use<> {
        self.v1()
            .into_iter()
            .chain(self.v2().map(|v2| v2.truncated()))
    }

    /// The name that comes first on the wire: the v1 info-hash where there is one, since every client reads it.
    pub fn primary(&self) -> InfoHash {
        match self {
            Self::V1(v1) | Self::Hybrid(v1, _) => *v1,
            Self::V2(v2) => v2.truncated(),
        }
    }
}

/// Twenty bytes by which a peer names itself for as long as it runs (BEP 3, BEP 20).
///
/// Ours follow the Azureus style of BEP 20: `-SW`, four digits of version, `-`, twelve random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerId([u8; Self::LENGTH]);

impl PeerId {
    /// Bytes in a peer id.
    pub const LENGTH: usize = 20;

    /// Our client code and version, as BEP 20 wants them at the head of the id.
    pub const PREFIX: &'static [u8; 8] = b"-SW0100-";

    /// A fresh id of our own.
    pub fn generate(rng: &mut impl Rng) -> Self {
        let mut id = [0; Self::LENGTH];
        rng.fill_bytes(&mut id);
        for (to, from) in id.iter_mut().zip(Self::PREFIX) {
            *to = *from;
        }
        Self(id)
    }

    /// The bytes, as they go over the wire.
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl From<[u8; Self::LENGTH]> for PeerId {
    fn from(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for PeerId {
    type Error = std::array::TryFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .ok()?
        .try_into()
        .ok()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn info_hash_reads_what_it_displays() {
        let hash = InfoHash::of_v1(b"d4:name1:ae");
        assert_eq!(InfoHash::from_hex(&hash.to_string()), Some(hash));
        assert_eq!(InfoHash::from_hex("cafe"), None);
    }

    #[test]
    fn v2_is_cut_to_twenty_bytes_on_the_wire() {
        let v2 = InfoHashV2::of_v2(b"de");
        assert_eq!(v2.truncated().as_bytes(), &v2.as_bytes()[..20]);
        assert_eq!(InfoHashes::V2(v2).primary(), v2.truncated());
    }

    #[test]
    fn hybrid_has_two_names_and_prefers_v1() {
        let (v1, v2) = (InfoHash::of_v1(b"de"), InfoHashV2::of_v2(b"de"));
        let hashes = InfoHashes::Hybrid(v1, v2);
        assert_eq!(hashes.wire().collect::<Vec<_>>(), [v1, v2.truncated()]);
        assert_eq!(hashes.primary(), v1);
    }

    #[test]
    fn peer_ids_carry_our_prefix_and_differ() {
        let mut rng = StdRng::seed_from_u64(1);
        let (a, b) = (PeerId::generate(&mut rng), PeerId::generate(&mut rng));
        assert!(a.as_bytes().starts_with(PeerId::PREFIX));
        assert_ne!(a, b);
    }
}

//! Peer exchange: a message of the extension protocol that introduces peers to each other (BEP 11, `ut_pex`).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;

use crate::proto::bencode::{Encoder, Limits, Value, scan};

/// Peers that one message may add, and as many that it may drop, of both families together (BEP 11).
pub const MAX_CONTACTS: usize = 50;

/// What is known of a peer besides its address: the bits of `added.f`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerFlags(pub u8);

impl PeerFlags {
    /// It would rather be spoken to encrypted.
    pub const PREFERS_ENCRYPTION: u8 = 0x01;
    /// It wants nothing.
    pub const UPLOAD_ONLY: u8 = 0x02;
    /// It speaks uTP (BEP 29).
    pub const HAS_UTP: u8 = 0x04;

    /// With these bits too, if `is_so`.
    #[must_use]
    pub const fn with(self, bits: u8, is_so: bool) -> Self {
        if is_so { Self(self.0 | bits) } else { self }
    }
}

/// A peer and where it listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Where it takes connections.
    pub address: SocketAddr,
    /// What is known of it.
    pub flags: PeerFlags,
}

/// Who has come and who has gone since the last message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerExchange {
    /// Peers to connect to, the IPv4 ones first once it was read.
    pub added: Vec<Contact>,
    /// Peers that are no longer there, likewise.
    pub dropped: Vec<SocketAddr>,
}

impl PeerExchange {
    /// The payload of an extended message with the id that the receiver gave `ut_pex`.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(512);
        let mut dict = Encoder::new(&mut out);
        dict.begin_dict();
        for (is_v4, addresses, flags) in [(true, "added", "added.f"), (false, "added6", "added6.f")]
        {
            let of_family = self
                .added
                .iter()
                .filter(|contact| contact.address.is_ipv4() == is_v4);
            let bits: Vec<u8> = of_family.clone().map(|contact| contact.flags.0).collect();
            dict.key(addresses)
                .bytes(&compact(of_family.map(|contact| contact.address)));
            dict.key(flags).bytes(&bits);
        }
        for (is_v4, key) in [(true, "dropped"), (false, "dropped6")] {
            let of_family = self.dropped.iter().filter(|it| it.is_ipv4() == is_v4);
            dict.key(key).bytes(&compact(of_family.copied()));
        }
        dict.end();
        out.into()
    }

    /// Reads a payload, and of each kind no more than [`MAX_CONTACTS`]; `None` where it is no dictionary. What is not whole counts as
    /// absent, and missing flags as none.
    pub fn decode(payload: &[u8]) -> Option<Self> {
        let root = scan::lenient(payload, &Limits::MESSAGE).ok()?.root;
        root.dict()?;
        let bytes = |key| root.get(key).and_then(Value::as_bytes).unwrap_or_default();
        let flags = |key| bytes(key).iter().copied().chain(std::iter::repeat(0));
        let v4 = read_v4(bytes("added")).zip(flags("added.f"));
        let v6 = read_v6(bytes("added6")).zip(flags("added6.f"));
        let added = v4.chain(v6).map(|(address, flags)| Contact {
            address,
            flags: PeerFlags(flags),
        });
        let dropped = read_v4(bytes("dropped")).chain(read_v6(bytes("dropped6")));
        Some(Self {
            added: added.take(MAX_CONTACTS).collect(),
            dropped: dropped.take(MAX_CONTACTS).collect(),
        })
    }
}

fn compact(addresses: impl Iterator<Item = SocketAddr>) -> Vec<u8> {
    let mut out = Vec::new();
    for address in addresses {
        match address {
            SocketAddr::V4(address) => out.extend(address.ip().octets()),
            SocketAddr::V6(address) => out.extend(address.ip().octets()),
        }
        out.extend(address.port().to_be_bytes());
    }
    out
}

fn read_v4(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    let (addresses, _) = bytes.as_chunks();
    addresses.iter().map(|[a, b, c, d, high, low]| {
        let port = u16::from_be_bytes([*high, *low]);
        SocketAddr::from((Ipv4Addr::new(*a, *b, *c, *d), port))
    })
}

fn read_v6(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    let (addresses, _) = bytes.as_chunks::<18>();
    addresses.iter().filter_map(|address| {
        let (ip, port) = address.split_first_chunk::<16>()?;
        let port = u16::from_be_bytes(*port.first_chunk()?);
        Some(SocketAddr::from((Ipv6Addr::from(*ip), port)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contact(address: &str, flags: u8) -> Contact {
        Contact {
            address: address.parse().unwrap(),
            flags: PeerFlags(flags),
        }
    }

    #[test]
    fn both_families_stand_apart_with_a_flag_for_each() {
        let message = PeerExchange {
            added: vec![
                contact("192.0.2.1:6881", 1),
                contact("[2001:db8::1]:51413", 2),
            ],
            dropped: vec!["192.0.2.9:80".parse().unwrap()],
        };
        let expected: &[u8] = b"d5:added6:\xc0\x00\x02\x01\x1a\xe17:added.f1:\x01\
            6:added618:\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xc8\xd58:added6.f1:\x02\
            7:dropped6:\xc0\x00\x02\x09\x00\x508:dropped60:e";
        assert_eq!(
            message.encode().escape_ascii().to_string(),
            expected.escape_ascii().to_string()
        );
        assert_eq!(PeerExchange::decode(expected), Some(message));
    }

    #[test]
    fn what_is_too_much_or_not_whole_is_left_out() {
        let mut payload = b"d5:added607:".to_vec();
        payload.extend([7; 607]);
        payload.extend(b"7:added.f1:\x02e");
        let read = PeerExchange::decode(&payload).unwrap();
        assert_eq!(read.added.len(), MAX_CONTACTS);
        assert_eq!((read.added[0].flags.0, read.added[1].flags.0), (2, 0));
        assert_eq!(PeerExchange::decode(b"le"), None);
        assert_eq!(PeerExchange::decode(b"de"), Some(PeerExchange::default()));
    }

    proptest! {
        #[test]
        fn no_payload_makes_it_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = PeerExchange::decode(&payload);
        }

        #[test]
        fn reads_what_it_writes(
            v4 in prop::collection::vec((any::<[u8; 4]>(), any::<u16>(), any::<u8>()), 0..25),
            v6 in prop::collection::vec((any::<[u8; 16]>(), any::<u16>(), any::<u8>()), 0..25),
        ) {
            let v4 = v4.into_iter().map(|(ip, port, flags)| (SocketAddr::from((ip, port)), flags));
            let v6 = v6.into_iter().map(|(ip, port, flags)| (SocketAddr::from((ip, port)), flags));
            let added: Vec<_> = v4.chain(v6).map(|(address, flags)| Contact { address, flags: PeerFlags(flags) }).collect();
            let dropped = added.iter().map(|contact| contact.address).collect();
            let message = PeerExchange { added, dropped };
            prop_assert_eq!(PeerExchange::decode(&message.encode()), Some(message));
        }
    }
}

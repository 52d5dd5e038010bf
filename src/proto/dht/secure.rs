//! Ids that go with an address (BEP 42): whoever has few addresses has few ids to choose from, and cannot sit down next to every torrent.

use std::net::IpAddr;

use rand::{Rng, RngExt};

use super::NodeId;

/// The bits of an IPv4 address that count.
const MASK_V4: [u8; 4] = [0x03, 0x0f, 0x3f, 0xff];

/// The bits of the first half of an IPv6 address that count.
const MASK_V6: [u8; 8] = [0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff];

/// The Castagnoli polynomial, its bits in reverse.
const POLYNOMIAL: u32 = 0x82f6_3b78;

impl NodeId {
    /// A fresh id for a node at that address.
    pub fn generate_for(ip: IpAddr, rng: &mut impl Rng) -> Self {
        let mut id = Self::generate(rng);
        let seed: u8 = rng.random();
        let [first, second, third] = beginning(ip, seed);
        let [a, b, c, .., last] = &mut id.0;
        (*a, *b, *c, *last) = (first, second, third | (*c & 0x07), seed);
        id
    }

    /// Whether a node at that address may have this id. At addresses that mean nothing to the world it may have any.
    pub fn suits(&self, ip: IpAddr) -> bool {
        let [first, second, third, .., seed] = self.0;
        is_local(ip) || [first, second, third & 0xf8] == beginning(ip, seed)
    }
}

/// The first 21 bits of the ids of an address that end with that byte.
fn beginning(ip: IpAddr, seed: u8) -> [u8; 3] {
    let sum = match ip.to_canonical() {
        IpAddr::V4(ip) => masked_sum(ip.octets(), MASK_V4, seed),
        IpAddr::V6(ip) => {
            let half = ip.octets().first_chunk().copied();
            masked_sum(half.unwrap_or_default(), MASK_V6, seed)
        }
    };
    let [first, second, third, _] = sum.to_be_bytes();
    [first, second, third & 0xf8]
}

fn masked_sum<const LENGTH: usize>(mut ip: [u8; LENGTH], mask: [u8; LENGTH], seed: u8) -> u32 {
    for (byte, mask) in ip.iter_mut().zip(mask) {
        *byte &= mask;
    }
    if let Some(first) = ip.first_mut() {
        *first |= (seed & 0x07) << 5;
    }
    crc32c(&ip)
}

/// CRC-32C (RFC 9260, appendix A), bit by bit: it is asked for a few bytes now and then.
fn crc32c(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL } else { 0 }
        })
    });
    !sum
}

/// Whether an address is one of a network of its own.
fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn the_examples_of_bep_42_hold() {
        for (ip, seed, begins) in [
            ("124.31.75.21", 1, [0x5f, 0xbf, 0xbf]),
            ("21.75.31.124", 86, [0x5a, 0x3c, 0xe9]),
            ("65.23.51.170", 22, [0xa5, 0xd4, 0x32]),
            ("84.124.73.14", 65, [0x1b, 0x03, 0x21]),
            ("43.213.53.83", 90, [0xe5, 0x6f, 0x6c]),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            let mut id = [0; 20];
            id[..3].copy_from_slice(&begins);
            id[19] = seed;
            assert!(NodeId::from(id).suits(ip), "{ip}");
            id[0] ^= 0x80;
            assert!(!NodeId::from(id).suits(ip), "{ip}");
        }
    }

    #[test]
    fn the_sum_is_that_of_rfc_9260() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn any_id_suits_an_address_at_home() {
        for ip in [
            "10.0.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
        ] {
            assert!(NodeId::from([7; 20]).suits(ip.parse().unwrap()), "{ip}");
        }
    }

    proptest! {
        #[test]
        fn a_generated_id_suits_its_address(ip: IpAddr, seed: u64) {
            prop_assert!(NodeId::generate_for(ip, &mut StdRng::seed_from_u64(seed)).suits(ip));
        }
    }
}

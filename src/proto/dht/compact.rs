//! Addresses as packets hold them: the bytes of the IP, then those of the port (BEP 5, "contact encoding"; BEP 32).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;

use super::{Contact, NodeId, is_possible};

/// The bytes of one address: 6 or 18.
pub(super) struct Compact(Vec<u8>);

impl Compact {
    pub(super) fn of(address: SocketAddr) -> Self {
        let mut bytes = Vec::with_capacity(18);
        write_ip(address.ip(), &mut bytes);
        bytes.extend(address.port().to_be_bytes());
        Self(bytes)
    }
}

impl Deref for Compact {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

pub(super) fn write_ip(ip: IpAddr, out: &mut Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => out.extend(ip.octets()),
        IpAddr::V6(ip) => out.extend(ip.octets()),
    }
}

/// An address of either family; `None` where nobody can be there.
pub(super) fn read(bytes: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = bytes.split_last_chunk::<2>()?;
    let ip: IpAddr = match ip.len() {
        4 => <[u8; 4]>::try_from(ip).map(Ipv4Addr::from).ok()?.into(),
        16 => <[u8; 16]>::try_from(ip).map(Ipv6Addr::from).ok()?.into(),
        _ => return None,
    };
    // An IPv4 address in IPv6 clothes belongs among the others.
    let address = SocketAddr::new(ip.to_canonical(), u16::from_be_bytes(*port));
    is_possible(address).then_some(address)
}

/// Nodes one behind the other: 26 bytes each with IPv4, 38 with IPv6. What is torn at the end is left out.
pub(super) fn read_nodes<Address>(bytes: &[u8]) -> impl Iterator<Item = Contact> {
    let nodes = bytes.chunks_exact(NodeId::LENGTH.saturating_add(size_of::<Address>()));
    nodes.filter_map(|node| {
        let (id, address) = node.split_first_chunk()?;
        Some(Contact {
            id: NodeId(*id),
            address: read(address)?,
        })
    })
}

//! The ports that the router is asked for.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use super::StartError;
use crate::discovery::nat::{Mapper, Options, Port, Transport, routers};

/// A port by what goes through it and its number; zero where there is none.
pub(super) type Open = (Transport, u16);

/// What keeps those ports mapped, if it is to; `node` is the port of the DHT.
pub(super) fn mapper(
    options: &Options,
    open: impl IntoIterator<Item = Open>,
    node: Option<u16>,
) -> Result<Option<Mapper>, StartError> {
    if !options.enabled {
        return Ok(None);
    }
    let routers = routers(options).ok_or(StartError::NoNat)?;
    let node = node.map(|number| (Transport::Udp, number));
    // Several doors may share a port.
    let open: BTreeSet<Open> = open.into_iter().chain(node).collect();
    let ports = open.into_iter().filter_map(|(transport, number)| {
        let number = NonZeroU16::new(number)?;
        Some(Port { transport, number })
    });
    Ok(Some(Mapper::new(options, routers, ports)))
}

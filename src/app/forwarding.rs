//! The ports that the router is asked for.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::StartError;
use super::announcing::DhtNode;
use crate::discovery::Figures;
use crate::discovery::nat::{Mapper, Options, Port, Transport, routers};

/// A port by what goes through it and its number; zero where there is none.
pub(super) type Open = (Transport, u16);

/// What keeps our ports mapped, if anything is to.
pub(super) struct Forwarding(Option<Mapper>);

impl Forwarding {
    /// For those ports; `node` is that of the DHT. Nothing is asked for yet.
    pub(super) fn open(
        options: &Options,
        open: impl IntoIterator<Item = Open>,
        node: Option<u16>,
    ) -> Result<Self, StartError> {
        if !options.enabled {
            return Ok(Self(None));
        }
        let routers = routers(options).ok_or(StartError::NoNat)?;
        let node = node.map(|number| (Transport::Udp, number));
        // Several doors may share a port.
        let open: BTreeSet<Open> = open.into_iter().chain(node).collect();
        let ports = open.into_iter().filter_map(|(transport, number)| {
            let number = NonZeroU16::new(number)?;
            Some(Port { transport, number })
        });
        Ok(Self(Some(Mapper::new(options, routers, ports))))
    }

    /// What can be told of it, and of the node of the DHT.
    pub(super) fn figures(&self, dht: &DhtNode) -> Figures {
        Figures {
            mappings: self.0.as_ref().map(Mapper::mappings),
            dht: dht.dht(),
        }
    }

    /// Asks the router, now and again.
    pub(super) fn start(self, tasks: &TaskTracker, shutdown: &CancellationToken) {
        if let Some(mapper) = self.0 {
            tasks.spawn(mapper.run(shutdown.clone()));
        }
    }
}

//! Asks the router to let the world in: its ports are mapped to ours when the server starts, renewed before the lease ends, and given back at
//! the end. When which of it is due is decided by [`Lease`]; here are the ports, the order of the routers' protocols, and the wait.
//!
//! A router that does not answer never stops the server. What it says of our address is told in the log and in `/metrics` and used for
//! nothing: whoever answers first could send our peers anywhere.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::ambient;
use crate::domain::mapping::{Lease, News};

#[cfg(not(feature = "nat"))]
#[path = "nat/no_routers.rs"]
mod routers;
#[cfg(feature = "nat")]
mod routers;

pub use routers::routers;

/// How long the routers may take, all ports together, to give them back at the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// How ports are mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Whether they are at all.
    pub enabled: bool,
    /// The router's address; empty: that of the default route.
    pub gateway: String,
    /// Seconds that a mapping is asked for.
    pub lifetime: u32,
    /// Seconds that one router may take to answer in one protocol.
    pub timeout: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            enabled: false,
            gateway: String::new(),
            lifetime: 7200,
            timeout: 10,
        }
    }
}

/// What goes through a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Packets.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port of ours that the world shall reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// What goes through it.
    pub transport: Transport,
    /// Its number.
    pub number: NonZeroU16,
}

/// Where the world finds a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside {
    /// The router's address, if it says so.
    pub ip: Option<IpAddr>,
    /// The router's port.
    pub port: NonZeroU16,
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:{}", self.port),
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            None => write!(f, ":{}", self.port),
        }
    }
}

/// Why a router did not do what it was asked, in its words.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// A protocol that routers are asked in.
#[async_trait]
pub trait Router: Send {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Maps a port or renews its mapping, if possible to the same number outside; for how long, at most `lifetime`.
    ///
    /// # Errors
    /// [`Refusal`]
    async fn map(&mut self, port: Port, lifetime: Duration)
    -> Result<(Outside, Duration), Refusal>;

    /// Gives a mapped port back.
    ///
    /// # Errors
    /// [`Refusal`]
    async fn unmap(&mut self, port: Port) -> Result<(), Refusal>;
}

/// What became of the ports, for whoever wants to know. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Mappings(Arc<Mutex<List>>);

/// In the order of the leases.
type List = Vec<(Port, Option<Mapping>)>;

/// A port that the world reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where.
    pub outside: Outside,
    /// The protocol that its router understood.
    pub protocol: &'static str,
}

impl Mappings {
    /// Each port that is to be mapped, with its mapping if it has one.
    pub fn all(&self) -> Vec<(Port, Option<Mapping>)> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps ports mapped.
pub struct Mapper {
    routers: Vec<Box<dyn Router>>,
    leases: Vec<(Port, Lease<Mapping>)>,
    lifetime: Duration,
    timeout: Duration,
    mappings: Mappings,
}

impl Mapper {
    /// Nothing is asked for yet. The `routers` are asked in this order.
    pub fn new(
        options: &Options,
        routers: Vec<Box<dyn Router>>,
        ports: impl IntoIterator<Item = Port>,
    ) -> Self {
        let lifetime = Duration::from_secs(options.lifetime.into());
        let now = ambient::now();
        let leases: Vec<_> = ports
            .into_iter()
            .map(|port| (port, Lease::new(lifetime, now)))
            .collect();
        let unmapped = leases.iter().map(|(port, _)| (*port, None)).collect();
        Self {
            routers,
            leases,
            lifetime,
            timeout: Duration::from_secs(options.timeout),
            mappings: Mappings(Arc::new(Mutex::new(unmapped))),
        }
    }

    /// What becomes of the ports.
    pub fn mappings(&self) -> Mappings {
        self.mappings.clone()
    }

    /// Keeps them mapped until `shutdown`, and then gives them back.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let dues = self.leases.iter().map(|(_, lease)| lease.poll_timeout());
            let Some((next, due)) = dues.enumerate().min_by_key(|(_, due)| *due) else {
                return;
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep_until(due.into()) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.ask(next) => {}
            }
        }
        if timeout(FAREWELL, self.give_back()).await.is_err() {
            tracing::info!(
                "the router did not take its ports back in time; they close when their lease ends"
            );
        }
    }

    /// Asks the router for one port: first in the protocol that it understood before.
    async fn ask(&mut self, which: usize) {
        let (port, lease) = &mut self.leases[which];
        let understood = lease.at().map(|mapping| mapping.protocol);
        let mut routers: Vec<_> = self.routers.iter_mut().collect();
        routers.sort_by_key(|router| Some(router.name()) != understood);
        let mut refusals = Vec::new();
        for router in routers {
            let protocol = router.name();
            let refusal = match timeout(self.timeout, router.map(*port, self.lifetime)).await {
                Ok(Ok((outside, granted))) => {
                    let mapping = Mapping { outside, protocol };
                    let news = lease.handle_granted(mapping, granted, ambient::now());
                    tell_mapped(news, *port, mapping);
                    self.mappings.lock()[which].1 = Some(mapping);
                    return;
                }
                Ok(Err(refusal)) => refusal.to_string(),
                Err(_) => "no answer".to_owned(),
            };
            refusals.push(format!("{protocol}: {refusal}"));
        }
        let news = lease.handle_refused(ambient::now());
        self.mappings.lock()[which].1 = lease.at().copied();
        if news == News::NotMapped {
            let (transport, number) = (port.transport, port.number);
            let reasons = refusals.join("; ");
            tracing::warn!(%transport, port = number, %reasons, "the router does not let the world in; forward this port in its settings, or set nat.enabled to false");
        }
    }

    async fn give_back(&mut self) {
        for (port, lease) in &self.leases {
            let Some(mapping) = lease.at() else { continue };
            let understands = |router: &&mut Box<dyn Router>| router.name() == mapping.protocol;
            if let Some(router) = self.routers.iter_mut().find(understands)
                && let Err(refusal) = router.unmap(*port).await
            {
                tracing::info!(port = port.number, transport = %port.transport, %refusal, "the router does not take a port back; it closes when its lease ends");
            }
        }
    }
}

fn tell_mapped(news: News, port: Port, Mapping { outside, protocol }: Mapping) {
    if news != News::Mapped {
        return;
    }
    let (transport, number) = (port.transport, port.number);
    if outside.port == number {
        tracing::info!(%transport, port = number, %outside, protocol, "the router lets the world in");
    } else {
        tracing::warn!(%transport, port = number, %outside, protocol, "the router lets the world in, but by another port; name it in public_url or peer.advertise");
    }
}

#[cfg(test)]
#[path = "nat/tests.rs"]
mod tests;

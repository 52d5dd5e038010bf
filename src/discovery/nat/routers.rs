//! The protocols that routers understand: PCP (RFC 6887) with NAT-PMP (RFC 6886) behind it, and `UPnP`'s Internet gateway device.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::time::Duration;

use async_trait::async_trait;
use crab_nat::{
    InternetProtocol, PortMapping, PortMappingOptions, PortMappingType, TimeoutConfig, natpmp,
};
use igd_next::aio::Gateway;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{AddPortError, PortMappingProtocol, SearchOptions};

use super::{Options, Outside, Port, Refusal, Router, Transport};

/// How long is waited for the first answer in PCP and NAT-PMP; twice as long for each further one (RFC 6886 section 3.1).
const FIRST_ANSWER: Duration = Duration::from_millis(250);

/// Questions after the first, each with twice the wait of the one before.
const RETRIES: usize = 4;

/// What is said of the mapping in the router's list.
const DESCRIPTION: &str = "Sower";

/// The port that `UPnP` devices are searched at.
const UPNP_PORT: u16 = 1900;

/// The protocols to ask a router in; `None` where this server was built without them.
pub fn routers(options: &Options) -> Option<Vec<Box<dyn Router>>> {
    let gateway = options.gateway.parse().ok();
    let timeout = Duration::from_secs(options.timeout);
    Some(vec![
        Box::new(Pcp {
            gateway,
            mapped: HashMap::new(),
        }),
        Box::new(Upnp {
            gateway,
            timeout,
            found: None,
            mapped: HashMap::new(),
        }),
    ])
}

struct Pcp {
    gateway: Option<Ipv4Addr>,
    mapped: HashMap<Port, PortMapping>,
}

#[async_trait]
impl Router for Pcp {
    fn name(&self) -> &'static str {
        "PCP"
    }

    async fn map(
        &mut self,
        port: Port,
        lifetime: Duration,
    ) -> Result<(Outside, Duration), Refusal> {
        let mapping = if let Some(mut mapping) = self.mapped.remove(&port) {
            mapping.renew().await.map(|()| mapping)
        } else {
            let gateway = self.gateway.map_or_else(default_gateway, Ok)?;
            let client = address_towards(gateway)?;
            let options = PortMappingOptions {
                external_port: Some(port.number),
                lifetime_seconds: u32::try_from(lifetime.as_secs()).ok(),
                timeout_config: Some(TimeoutConfig {
                    initial_timeout: FIRST_ANSWER,
                    max_retries: RETRIES,
                    max_retry_timeout: None,
                }),
            };
            PortMapping::new(
                gateway.into(),
                client,
                transport(port),
                port.number,
                options,
            )
            .await
        };
        let mapping = mapping.map_err(|error| Refusal(error.to_string()))?;
        let ip = match mapping.mapping_type() {
            PortMappingType::Pcp { external_ip, .. } => Some(external_ip),
            PortMappingType::NatPmp => {
                let patience = Some(mapping.timeout_config);
                let asked = natpmp::external_address(mapping.gateway(), patience).await;
                asked.ok().map(IpAddr::from)
            }
        };
        let outside = Outside {
            ip,
            port: mapping.external_port(),
        };
        let granted = Duration::from_secs(mapping.lifetime().into());
        self.mapped.insert(port, mapping);
        Ok((outside, granted))
    }

    async fn unmap(&mut self, port: Port) -> Result<(), Refusal> {
        let Some(mapping) = self.mapped.remove(&port) else {
            return Ok(());
        };
        let given_back = mapping.try_drop().await;
        given_back.map_err(|(error, _)| Refusal(error.to_string()))
    }
}

const fn transport(port: Port) -> InternetProtocol {
    match port.transport {
        Transport::Tcp => InternetProtocol::Tcp,
        Transport::Udp => InternetProtocol::Udp,
    }
}

struct Upnp {
    gateway: Option<Ipv4Addr>,
    timeout: Duration,
    found: Option<Gateway<Tokio>>,
    /// The port outside of each port.
    mapped: HashMap<Port, NonZeroU16>,
}

#[async_trait]
impl Router for Upnp {
    fn name(&self) -> &'static str {
        "UPnP"
    }

    async fn map(
        &mut self,
        port: Port,
        lifetime: Duration,
    ) -> Result<(Outside, Duration), Refusal> {
        // A device that was there once may be another now: it is searched again after each failure.
        let found = match self.found.take() {
            Some(found) => found,
            None => self.search().await?,
        };
        let internal = SocketAddr::new(address_towards(found.addr.ip())?, port.number.get());
        let transport = upnp_transport(port);
        let wanted = *self.mapped.get(&port).unwrap_or(&port.number);
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        let add = |seconds| found.add_port(transport, wanted.get(), internal, seconds, DESCRIPTION);
        let outside = match add(seconds).await {
            Ok(()) => wanted,
            // Some old devices know mappings without an end only.
            Err(AddPortError::OnlyPermanentLeasesSupported) => {
                add(0).await.map_err(refusal)?;
                wanted
            }
            Err(AddPortError::PortInUse) => {
                let any = found.add_any_port(transport, internal, seconds, DESCRIPTION);
                let any = any.await.map_err(refusal)?;
                NonZeroU16::new(any).ok_or_else(|| Refusal("it maps to port 0".to_owned()))?
            }
            Err(error) => return Err(refusal(error)),
        };
        self.mapped.insert(port, outside);
        let ip = found.get_external_ip().await.ok();
        self.found = Some(found);
        let outside = Outside { ip, port: outside };
        Ok((outside, lifetime))
    }

    async fn unmap(&mut self, port: Port) -> Result<(), Refusal> {
        let (Some(found), Some(outside)) = (&self.found, self.mapped.remove(&port)) else {
            return Ok(());
        };
        let given_back = found.remove_port(upnp_transport(port), outside.get());
        given_back.await.map_err(refusal)
    }
}

impl Upnp {
    async fn search(&self) -> Result<Gateway<Tokio>, Refusal> {
        let mut options = SearchOptions::default();
        options.timeout = Some(self.timeout);
        if let Some(gateway) = self.gateway {
            options.broadcast_address = (gateway, UPNP_PORT).into();
        }
        search_gateway(options).await.map_err(refusal)
    }
}

const fn upnp_transport(port: Port) -> PortMappingProtocol {
    match port.transport {
        Transport::Tcp => PortMappingProtocol::TCP,
        Transport::Udp => PortMappingProtocol::UDP,
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "map_err hands its error over"
)]
fn refusal(error: impl ToString) -> Refusal {
    Refusal(error.to_string())
}

/// Our address as a router sees it.
fn address_towards(router: impl Into<IpAddr>) -> Result<IpAddr, Refusal> {
    let find = || -> io::Result<IpAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // Nothing is sent: the system only looks for the way.
        socket.connect((router.into(), 9))?;
        Ok(socket.local_addr()?.ip())
    };
    find().map_err(|error| Refusal(format!("there is no way to the router: {error}")))
}

/// The router of the default route, as Linux tells it.
fn default_gateway() -> Result<Ipv4Addr, Refusal> {
    let none = || Refusal("the router's address is not known; set nat.gateway".to_owned());
    let routes = std::fs::read_to_string("/proc/net/route").map_err(|_| none())?;
    gateway_of(&routes).ok_or_else(none)
}

/// The gateway of the first route to everywhere, in the table of `/proc/net/route`: interface, destination, gateway, flags, …, in bytes as they
/// lie in memory.
fn gateway_of(routes: &str) -> Option<Ipv4Addr> {
    routes.lines().skip(1).find_map(|route| {
        let mut fields = route.split_whitespace().skip(1);
        let (destination, gateway) = (fields.next()?, fields.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok()?;
        (destination == "00000000" && gateway != 0).then(|| Ipv4Addr::from(gateway.to_ne_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_router_is_that_of_the_default_route() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
            eth1\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n\
            eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n";
        assert_eq!(gateway_of(table), Some(Ipv4Addr::new(192, 168, 1, 1)));
        assert_eq!(gateway_of("Iface\tDestination\tGateway\n"), None);
    }
}

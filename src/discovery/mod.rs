//! Finding peers elsewhere, by asking outside trackers and by the DHT, and being found: by the DHT, and through the router.
//!
//! Whatever is found goes into a bounded channel as plain addresses; who connects to them is not known here.

pub mod announcer;
pub mod dht;
pub mod nat;
mod tiers;
pub mod trackers;
pub mod udp;
pub mod websocket;

/// What discovery can tell of itself. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The ports that the router is asked for, if it is.
    pub mappings: Option<nat::Mappings>,
    /// The node of the DHT, if there is one.
    pub dht: Option<dht::Dht>,
}

//! Finding peers elsewhere: by asking outside trackers, and by the DHT.
//!
//! Whatever is found goes into a bounded channel as plain addresses; who connects to them is not known here.

pub mod announcer;
pub mod dht;
mod tiers;
pub mod trackers;
pub mod udp;
pub mod websocket;

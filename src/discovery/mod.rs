//! Finding peers elsewhere: today by asking outside trackers.
//!
//! Whatever is found goes into a bounded channel as plain addresses; who connects to them is not known here.

pub mod announcer;
mod tiers;
pub mod trackers;
pub mod udp;
pub mod websocket;

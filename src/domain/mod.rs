//! Decisions: who may publish, who is in a swarm, who is unchoked, what is requested next.
//!
//! Nothing here waits, reads a clock or draws a random number by itself: `now` and `rng` come in as arguments, so every
//! decision can be tested with a made-up clock and a seeded generator.

pub mod account;
pub mod addresses;
pub mod capacity;
pub mod choker;
pub mod dht;
pub mod doi;
pub mod draft;
pub mod history;
pub mod introductions;
pub mod ledger;
pub mod licence;
pub mod mapping;
pub mod networks;
pub mod particulars;
pub mod passkey;
pub mod picker;
pub mod pipeline;
pub mod places;
pub mod publication;
mod rarity;
pub mod rate;
pub mod room;
pub mod session;
pub mod super_seeding;
pub mod swarm;
pub mod tag;
pub mod tally;
pub mod torrent;

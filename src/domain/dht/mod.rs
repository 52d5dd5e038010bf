//! A node of the DHT without its socket: whom it knows, what it answers, how it finds the peers of a torrent (BEP 5, 32, 42, 43).
//!
//! [`node::Node`] takes packets and time, and gives packets and events. Both families of addresses are kept apart (BEP 32): each has a
//! routing table of its own, and a search goes through both at once.

mod answers;
pub mod figures;
mod lookup;
pub mod node;
pub mod rota;
mod routing;
mod search;
mod stored;
mod tokens;
mod whereabouts;

#[cfg(test)]
mod tests;

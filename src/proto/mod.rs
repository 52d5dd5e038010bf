//! Bytes and types: the BitTorrent protocols without sockets, files or clocks.
//!
//! Everything here is a pure function on bytes. Lengths from the wire are bounded before anything is allocated, and no
//! input makes it panic.
//!
//! | module | what | rules |
//! |---|---|---|
//! | [`id`] | info-hashes and peer ids | BEP 3, 20, 52 |
//! | [`geometry`] | pieces, blocks and offsets | BEP 3 |
//! | [`bitfield`] | which pieces a peer has | BEP 3 |
//! | [`bencode`] | the encoding of nearly everything | BEP 3 |
//! | [`metainfo`] | torrent files and magnet links | BEP 3, 9, 12, 19, 27, 47, 52 |
//! | [`wire`] | what peers say to each other, encrypted or not | BEP 3, 6, 9, 10; MSE |
//! | [`dht`] | what nodes of the DHT say to each other | BEP 5, 32, 42, 43 |
//! | [`tracker`] | announces and scrapes | BEP 3, 7, 15, 21, 23, 31, 41, 48 |
//! | `sha` | SHA-1 and SHA-256 of several messages at once | FIPS 180-4 |
//! | [`range`] | the `Range` header of web seeds | RFC 9110 section 14 |
//! | [`zip`] | archives of files as they are | APPNOTE 6.3.10 |
//! | [`forwarded`], [`proxy`] | where a request or a connection behind a proxy came from | RFC 7239; the PROXY protocol |

#![warn(clippy::indexing_slicing)]
// Tests may add up: an overflow there is a failed test.
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod bencode;
pub mod bitfield;
pub mod dht;
pub mod forwarded;
pub mod geometry;
pub mod id;
pub mod metainfo;
pub mod proxy;
pub mod range;
pub(crate) mod sha;
pub mod tracker;
pub mod wire;
pub mod zip;

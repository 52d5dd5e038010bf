//! What peers and trackers say to each other.
//!
//! One neutral pair of types in [`announce`] stands for every transport, so that one decision serves them all; each
//! transport has a module that turns them into its bytes and back.
//!
//! | module | transport | rules |
//! |---|---|---|
//! | [`announce`] | none: the types | BEP 3, 7, 21, 24, 31, 48 |
//! | [`http`] | HTTP query strings and bencoded answers | BEP 3, 7, 21, 23, 24, 31, 48 |
//! | [`udp`] | UDP packets | BEP 15, 41 |
//! | [`ws`] | JSON over WebSockets | none; WebTorrent |

pub mod announce;
pub mod http;
pub mod udp;
pub mod ws;

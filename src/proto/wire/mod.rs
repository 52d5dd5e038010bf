//! What peers say to each other (BEP 3, 6, 9, 10, 11, 52; message stream encryption).
//!
//! | module | what |
//! |---|---|
//! | [`encryption`] | what encrypting peers agree on before the handshake |
//! | [`handshake`] | the first 68 bytes in each direction |
//! | [`message`] | the length-prefixed messages that follow |
//! | [`peer_exchange`] | one of these: peers introduce peers |
//! | [`utp`] | which packets are those of uTP |
//! | [`extension`] | the messages that the extension protocol carries, metadata exchange among them |

pub mod encryption;
pub mod extension;
pub mod handshake;
pub mod message;
pub mod peer_exchange;
pub mod utp;

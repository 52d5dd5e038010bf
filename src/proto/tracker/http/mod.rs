//! The HTTP tracker's bytes: query strings in [`query`], bencoded answers in [`answer`] (BEP 3, 7, 21, 23, 24, 31, 48).
//!
//! Both go both ways: a server reads queries and writes answers, a client writes queries and reads answers. HTTP itself
//! is elsewhere.

pub mod answer;
pub mod query;

/// How an announce wants its peers written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerFormat {
    /// Six bytes for an IPv4 peer, eighteen for an IPv6 peer (BEP 23, BEP 7). What a client gets that does not say.
    #[default]
    Compact,
    /// A dictionary for each peer, with its peer id (BEP 3).
    Dictionaries,
    /// A dictionary for each peer, without its peer id (`no_peer_id=1`).
    DictionariesWithoutIds,
}

//! A node in numbers.

/// What a node knows, and what it has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Nodes that it knows over IPv4.
    pub nodes_v4: usize,
    /// Nodes that it knows over IPv6.
    pub nodes_v6: usize,
    /// Peers of others that it remembers.
    pub stored_peers: usize,
    /// Questions that it asked.
    pub asked: u64,
    /// Questions that it answered.
    pub answered: u64,
    /// Announces of ours that other nodes took.
    pub announced: u64,
    /// Announces of others that it took.
    pub took: u64,
    /// Packets that it let fall: no message, an answer to nothing, or a question beyond what its network may ask.
    pub dropped: u64,
}

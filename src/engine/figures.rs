//! What the seed does, counted as it goes, for operators: sums over all torrents.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use crate::domain::networks::is_private;

/// How a peer is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// TCP, plain.
    Tcp,
    /// TCP, encrypted.
    EncryptedTcp,
    /// uTP, plain.
    Utp,
    /// uTP, encrypted.
    EncryptedUtp,
}

impl Manner {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::EncryptedTcp, Self::Utp, Self::EncryptedUtp];

    /// One word for what carries the bytes.
    pub const fn carrier(self) -> &'static str {
        match self {
            Self::Tcp | Self::EncryptedTcp => "tcp",
            Self::Utp | Self::EncryptedUtp => "utp",
        }
    }

    /// One word for whether they are encrypted.
    pub const fn encryption(self) -> &'static str {
        match self {
            Self::Tcp | Self::Utp => "plain",
            Self::EncryptedTcp | Self::EncryptedUtp => "encrypted",
        }
    }
}

/// What is counted since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Peers that were given a place.
    Admitted,
    /// Connections that ended before a handshake was complete.
    NoHandshake,
    /// Peers for whom there was no place.
    NoPlace,
    /// Requests for blocks that were answered with a reject (BEP 6).
    Rejected,
    /// Rounds of choke decisions.
    Rounds,
    /// Slots that went from one peer to another at the end of its turn.
    Turns,
}

impl Count {
    const ALL: usize = Self::Turns as usize + 1;
}

/// Counters of the seed. Any thread may count and read.
#[derive(Debug, Default)]
pub struct Figures {
    counts: [AtomicU64; Count::ALL],
    connected: [AtomicU64; Manner::ALL.len()],
    sent: [AtomicU64; Manner::ALL.len()],
    is_reached: AtomicBool,
}

/// The peers of this moment, by what they may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Torrents that have peers.
    pub torrents: u64,
    /// Peers that have a slot.
    pub unchoked: u64,
    /// Peers that want pieces and wait for a slot.
    pub waiting: u64,
    /// Peers that want nothing.
    pub idle: u64,
}

impl Figures {
    /// Some more.
    pub(super) fn add(&self, what: Count, more: u64) {
        self.counts[what as usize].fetch_add(more, Relaxed);
    }

    /// How many there were.
    pub fn count(&self, what: Count) -> u64 {
        self.counts[what as usize].load(Relaxed)
    }

    /// Counts a peer as connected until what it gives is dropped.
    pub(super) fn connect(&self, manner: Manner) -> Connected<'_> {
        self.connected[manner as usize].fetch_add(1, Relaxed);
        Connected {
            figures: self,
            manner,
        }
    }

    /// Peers that are connected in this manner now.
    pub fn connected(&self, manner: Manner) -> u64 {
        self.connected[manner as usize].load(Relaxed)
    }

    /// Takes note of where a peer that was given a place came from.
    pub(super) fn note_source(&self, source: IpAddr) {
        if !is_private(source) {
            self.is_reached.store(true, Relaxed);
        }
    }

    /// Whether a peer has come from the Internet: then others can.
    pub fn is_reached(&self) -> bool {
        self.is_reached.load(Relaxed)
    }

    /// Bytes of content that were sent.
    pub(super) fn sent_in_all(&self) -> u64 {
        Manner::ALL.into_iter().map(|how| self.sent(how)).sum()
    }

    /// Bytes of content that were sent in this manner.
    pub fn sent(&self, manner: Manner) -> u64 {
        self.sent[manner as usize].load(Relaxed)
    }
}

/// A connected peer among the figures.
#[derive(Debug)]
pub(super) struct Connected<'a> {
    figures: &'a Figures,
    manner: Manner,
}

impl Connected<'_> {
    /// Bytes of content went to it.
    pub(super) fn add_sent(&self, bytes: u64) {
        self.figures.sent[self.manner as usize].fetch_add(bytes, Relaxed);
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.figures.connected[self.manner as usize].fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_counts_for_as_long_as_it_is_connected_and_its_bytes_for_ever() {
        let figures = Figures::default();
        let one = figures.connect(Manner::Tcp);
        let other = figures.connect(Manner::EncryptedUtp);
        one.add_sent(5);
        other.add_sent(7);
        drop(one);
        let connected = Manner::ALL.map(|manner| figures.connected(manner));
        let sent = Manner::ALL.map(|manner| figures.sent(manner));
        assert_eq!((connected, sent), ([0, 0, 0, 1], [5, 0, 0, 7]));
    }
}

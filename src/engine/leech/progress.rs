//! How far a download is, and how fast it goes.

use std::time::{Duration, Instant};

use crate::proto::geometry::PieceIndex;
use crate::proto::metainfo::files::FileKind;
use crate::proto::metainfo::info::Info;

/// How far a download is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// Bytes of the torrent that were looked at while [`Phase::Checking`], pads counted.
    pub checked: u64,
    /// Bytes that are there and match their hashes, pads not counted.
    pub done: u64,
    /// Bytes in all files, pads not counted.
    pub total: u64,
    /// Bytes in missing pieces, pads counted: what trackers are told.
    pub left: u64,
    /// Bytes of blocks that peers have sent, whatever they were worth.
    pub received: u64,
    /// Bytes a second that peers send.
    pub rate: u64,
    /// Peers that are connected.
    pub peers: usize,
    /// Addresses of peers that are known.
    pub addresses: usize,
}

/// What a download is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Finds out what lies in the folder already.
    #[default]
    Checking,
    /// Asks peers for the rest.
    Downloading,
    /// Everything is there.
    Complete,
}

impl Phase {
    pub(super) const fn after_check(is_complete: bool) -> Self {
        if is_complete {
            Self::Complete
        } else {
            Self::Downloading
        }
    }
}

impl Progress {
    /// Nothing is known to be there.
    pub(super) fn begin(info: &Info) -> Self {
        Self {
            total: info.files.content_length(),
            left: info.geometry.total_length(),
            ..Self::default()
        }
    }

    /// A piece is there.
    pub(super) fn count(&mut self, info: &Info, piece: PieceIndex) {
        let (offset, length) = (
            info.geometry.piece_offset(piece),
            u64::from(info.geometry.length_of(piece)),
        );
        let content = info.files.spans(offset, length).filter(|span| {
            let file = info.files.get(span.file);
            file.is_some_and(|file| file.kind == FileKind::Content)
        });
        self.done += content.map(|span| span.length).sum::<u64>();
        self.left -= length;
    }
}

/// Measures a rate: half of what it says comes from the last three seconds.
#[derive(Debug)]
pub(super) struct Meter {
    rate: u64,
    received: u64,
    at: Instant,
}

impl Meter {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            rate: 0,
            received: 0,
            at: now,
        }
    }

    /// The rate, in bytes a second, now that `received` bytes have come in all.
    pub(super) fn measure(&mut self, received: u64, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.at);
        if passed < Duration::from_millis(100) {
            return self.rate;
        }
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        let current = received.saturating_sub(self.received).saturating_mul(1_000) / millis;
        self.rate = if self.rate == 0 {
            current
        } else {
            self.rate.saturating_mul(4).saturating_add(current) / 5
        };
        (self.received, self.at) = (received, now);
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient;

    #[test]
    fn rate_follows_what_comes() {
        let mut now = ambient::now();
        let mut meter = Meter::new(now);
        let mut received = 0;
        let mut rates = Vec::new();
        for step in [1_000_000, 1_000_000, 1_000_000, 0, 0, 0] {
            now += Duration::from_secs(1);
            received += step;
            rates.push(meter.measure(received, now));
        }
        assert_eq!(rates[..3], [1_000_000; 3]);
        assert_eq!(rates[5], 512_000);
    }
}

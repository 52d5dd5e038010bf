//! What a publication has given: finished downloads and bytes, counted in memory and written down in batches.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Totals of one publication since it was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Downloads that finished, as peers told the tracker (`event=completed`).
    pub completed: u64,
    /// Bytes of content sent to peers over BitTorrent.
    pub peer_bytes: u64,
    /// Bytes of content sent to BitTorrent clients over HTTP (BEP 19).
    pub web_seed_bytes: u64,
    /// Bytes of content sent to people over HTTP.
    pub file_bytes: u64,
    /// Bytes of content that came to peers from anywhere, as their announces tell: an estimate, of those that announce here.
    pub delivered_bytes: u64,
}

impl Counts {
    /// Bytes that this server did not have to send because peers gave to each other: what came to peers, less what BitTorrent
    /// clients had from here.
    pub const fn saved_bytes(&self) -> u64 {
        let origin = self.peer_bytes.saturating_add(self.web_seed_bytes);
        self.delivered_bytes.saturating_sub(origin)
    }

    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            completed: self.completed.saturating_add(other.completed),
            peer_bytes: self.peer_bytes.saturating_add(other.peer_bytes),
            web_seed_bytes: self.web_seed_bytes.saturating_add(other.web_seed_bytes),
            file_bytes: self.file_bytes.saturating_add(other.file_bytes),
            delivered_bytes: self.delivered_bytes.saturating_add(other.delivered_bytes),
        }
    }

    /// How much more each total is than in `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            completed: self.completed.saturating_sub(earlier.completed),
            peer_bytes: self.peer_bytes.saturating_sub(earlier.peer_bytes),
            web_seed_bytes: self.web_seed_bytes.saturating_sub(earlier.web_seed_bytes),
            file_bytes: self.file_bytes.saturating_sub(earlier.file_bytes),
            delivered_bytes: self.delivered_bytes.saturating_sub(earlier.delivered_bytes),
        }
    }
}

/// The running totals of one publication. Anyone may add; one flusher takes what is not yet written down.
#[derive(Debug, Default)]
pub struct Tally {
    completed: AtomicU64,
    peer_bytes: AtomicU64,
    web_seed_bytes: AtomicU64,
    file_bytes: AtomicU64,
    delivered_bytes: AtomicU64,
    /// What is written down already. Only the flusher locks it.
    written: Mutex<Counts>,
}

impl Tally {
    /// Goes on from totals that are written down.
    pub fn resume(counts: Counts) -> Self {
        Self {
            completed: counts.completed.into(),
            peer_bytes: counts.peer_bytes.into(),
            web_seed_bytes: counts.web_seed_bytes.into(),
            file_bytes: counts.file_bytes.into(),
            delivered_bytes: counts.delivered_bytes.into(),
            written: Mutex::new(counts),
        }
    }

    /// One download finished.
    pub fn add_completed(&self) {
        self.completed.fetch_add(1, Relaxed);
    }

    /// Bytes of content went to a peer.
    pub fn add_peer_bytes(&self, bytes: u64) {
        self.peer_bytes.fetch_add(bytes, Relaxed);
    }

    /// Bytes of content went to a BitTorrent client over HTTP.
    pub fn add_web_seed_bytes(&self, bytes: u64) {
        self.web_seed_bytes.fetch_add(bytes, Relaxed);
    }

    /// Bytes of content went to a person over HTTP.
    pub fn add_file_bytes(&self, bytes: u64) {
        self.file_bytes.fetch_add(bytes, Relaxed);
    }

    /// Bytes of content came to a peer from anywhere.
    pub fn add_delivered_bytes(&self, bytes: u64) {
        self.delivered_bytes.fetch_add(bytes, Relaxed);
    }

    /// The totals as they are now.
    pub fn counts(&self) -> Counts {
        Counts {
            completed: self.completed.load(Relaxed),
            peer_bytes: self.peer_bytes.load(Relaxed),
            web_seed_bytes: self.web_seed_bytes.load(Relaxed),
            file_bytes: self.file_bytes.load(Relaxed),
            delivered_bytes: self.delivered_bytes.load(Relaxed),
        }
    }

    /// What has come since the totals were last [marked as written](Self::mark_written).
    pub fn unwritten(&self) -> Counts {
        self.counts()
            .since(*self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes that `counts`, which [`unwritten`](Self::unwritten) gave, are written down.
    pub fn mark_written(&self, counts: Counts) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.completed = written.completed.saturating_add(counts.completed);
        written.peer_bytes = written.peer_bytes.saturating_add(counts.peer_bytes);
        written.web_seed_bytes = written.web_seed_bytes.saturating_add(counts.web_seed_bytes);
        written.file_bytes = written.file_bytes.saturating_add(counts.file_bytes);
        written.delivered_bytes = written
            .delivered_bytes
            .saturating_add(counts.delivered_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_written_down() {
        let tally = Tally::resume(Counts {
            completed: 5,
            ..Counts::default()
        });
        assert_eq!(tally.unwritten(), Counts::default());
        tally.add_completed();
        tally.add_peer_bytes(16_384);
        let new = tally.unwritten();
        assert_eq!(
            new,
            Counts {
                completed: 1,
                peer_bytes: 16_384,
                ..Counts::default()
            }
        );
        tally.mark_written(new);
        assert_eq!(tally.unwritten(), Counts::default());
        assert_eq!(tally.counts().completed, 6);
    }
}

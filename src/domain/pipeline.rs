//! How many requests to keep waiting at a peer.
//!
//! Too few, and the peer idles for a round trip between blocks; too many, and a slow peer sits on blocks that others would send sooner. So the
//! window opens by one with each block that comes, and once a second it is held to what the peer sends in `QUEUE_SECONDS`.

use std::time::{Duration, Instant};

/// Requests that every peer takes.
const LEAST: usize = 5;

/// Requests that a peer gets at first, and at most if it never says how many it takes (BEP 10, `reqq`).
const UNTOLD: usize = 64;

/// Seconds of the peer's sending that the window is worth.
const QUEUE_SECONDS: usize = 3;

/// One peer's window of requests.
#[derive(Clone, Debug)]
pub struct Pipeline {
    window: usize,
    limit: usize,
    blocks: usize,
    since: Instant,
}

impl Pipeline {
    /// The window of a peer that has said and sent nothing yet.
    pub const fn new(now: Instant) -> Self {
        Self {
            window: LEAST,
            limit: UNTOLD,
            blocks: 0,
            since: now,
        }
    }

    /// The peer says that it takes `requests` at a time; `most` bounds what we make of it.
    pub fn set_limit(&mut self, requests: u64, most: usize) {
        self.limit = usize::try_from(requests)
            .unwrap_or(most)
            .clamp(1, most.max(1));
    }

    /// A block has come.
    pub fn handle_block(&mut self, now: Instant) {
        self.blocks += 1;
        self.window += 1;
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            let millis = now.saturating_duration_since(self.since).as_millis();
            let millis = usize::try_from(millis).unwrap_or(usize::MAX).max(1);
            let worth = self.blocks.saturating_mul(QUEUE_SECONDS * 1000) / millis;
            self.window = self.window.min(worth.max(LEAST));
            self.blocks = 0;
            self.since = now;
        }
        self.window = self.window.min(self.limit);
    }

    /// How many more blocks to ask for while `outstanding` have not come.
    pub fn room(&self, outstanding: usize) -> usize {
        self.window.min(self.limit).saturating_sub(outstanding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient;

    #[test]
    fn opens_with_each_block_up_to_the_limit() {
        let now = ambient::now();
        let mut pipeline = Pipeline::new(now);
        assert_eq!(pipeline.room(0), LEAST);
        for _ in 0..20 {
            pipeline.handle_block(now);
        }
        assert_eq!(pipeline.room(3), LEAST + 20 - 3);
        pipeline.set_limit(10, 250);
        assert_eq!(pipeline.room(0), 10);
        pipeline.set_limit(u64::MAX, 250);
        for _ in 0..500 {
            pipeline.handle_block(now);
        }
        assert_eq!(pipeline.room(0), 250);
    }

    #[test]
    fn a_slow_peer_gets_a_narrow_window() {
        let mut now = ambient::now();
        let mut pipeline = Pipeline::new(now);
        for _ in 0..100 {
            pipeline.handle_block(now);
        }
        for _ in 0..5 {
            now += Duration::from_secs(1);
            pipeline.handle_block(now);
        }
        assert_eq!(pipeline.room(0), LEAST);
    }

    #[test]
    fn a_peer_that_takes_none_is_still_asked_for_one() {
        let mut pipeline = Pipeline::new(ambient::now());
        pipeline.set_limit(0, 250);
        assert_eq!(pipeline.room(0), 1);
    }
}

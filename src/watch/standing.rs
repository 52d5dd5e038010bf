//! How long a file or folder has been still, and whether everything that could be done about it was done.

use std::time::{Duration, Instant};

use super::sight::Fingerprint;

/// What is remembered of a file or folder from one look to the next.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// How it looked last.
    look: Fingerprint,
    /// When it first looked so.
    since: Instant,
    /// Whether there is nothing to do until it looks otherwise.
    is_settled: bool,
    /// What was last said of it in the log.
    told: String,
}

impl Standing {
    /// What was seen at `now` for the first time.
    pub(super) const fn new(look: Fingerprint, now: Instant) -> Self {
        Self {
            look,
            since: now,
            is_settled: false,
            told: String::new(),
        }
    }

    /// Takes note of how it looks at `now`.
    pub(super) fn see(&mut self, look: Fingerprint, now: Instant) {
        if self.look != look {
            self.look = look;
            self.put_off(now);
        }
    }

    /// Whether something should be done about it at `now`: it has been still for as long as `quiet`, and nothing was done yet.
    pub(super) fn is_due(&self, now: Instant, quiet: Duration) -> bool {
        !self.is_settled && now.saturating_duration_since(self.since) >= quiet
    }

    /// Has it wait as if it had just changed.
    pub(super) const fn put_off(&mut self, now: Instant) {
        self.since = now;
        self.is_settled = false;
    }

    /// Notes that there is nothing to do until it looks otherwise.
    pub(super) const fn settle(&mut self) {
        self.is_settled = true;
    }

    /// Notes that there may be something to do although it looks as before.
    pub(super) const fn reopen(&mut self) {
        self.is_settled = false;
    }

    /// Whether this was not the last thing said of it; it is from now on.
    pub(super) fn is_news(&mut self, told: &str) -> bool {
        let is_news = self.told != told;
        if is_news {
            told.clone_into(&mut self.told);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_mins(1);

    fn seconds(from: Instant, seconds: u64) -> Instant {
        from + Duration::from_secs(seconds)
    }

    #[test]
    fn only_what_has_looked_the_same_for_long_enough_is_due() {
        let start = crate::ambient::now();
        let mut standing = Standing::new(Fingerprint([0; 32]), start);
        standing.see(Fingerprint([0; 32]), seconds(start, 59));
        assert!(!standing.is_due(seconds(start, 59), QUIET));
        assert!(standing.is_due(seconds(start, 60), QUIET));
        standing.see(Fingerprint([1; 32]), seconds(start, 60));
        assert!(!standing.is_due(seconds(start, 119), QUIET));
        assert!(standing.is_due(seconds(start, 120), QUIET));
    }

    #[test]
    fn what_was_settled_is_due_again_only_after_it_changed() {
        let start = crate::ambient::now();
        let mut standing = Standing::new(Fingerprint([0; 32]), start);
        standing.settle();
        standing.see(Fingerprint([0; 32]), seconds(start, 500));
        assert!(!standing.is_due(seconds(start, 500), QUIET));
        standing.see(Fingerprint([1; 32]), seconds(start, 501));
        assert!(!standing.is_due(seconds(start, 501), QUIET));
        assert!(standing.is_due(seconds(start, 561), QUIET));
        standing.settle();
        standing.reopen();
        assert!(standing.is_due(seconds(start, 562), QUIET));
    }

    #[test]
    fn the_same_is_said_once() {
        let mut standing = Standing::new(Fingerprint([0; 32]), crate::ambient::now());
        let news = ["full", "full", "name", "full"].map(|told| standing.is_news(told));
        assert_eq!(news, [true, false, true, true]);
    }
}

//! How many peers of a torrent should have a slot at the same time, found by trying: as many as make use of the line, and no more.
//!
//! Once a round the rate of all uploads is compared with that before. While peers wait and more slots bring more bytes, there are more.
//! Where they bring nothing the line is full: then the last step is taken back, and as long as each peer has less than a useful share,
//! there are fewer. What is found is tried again once a minute, for lines and crowds change. Slow readers are no full line: fewer of them
//! take less, and then there are more again.

use std::time::Instant;

/// Slots to begin with.
const FIRST: usize = 16;

/// Slots, at least: with fewer a slow peer would hold all the others up.
const LEAST: usize = 4;

/// Slots, at most.
const MOST: usize = 512;

/// Bytes a second with which a peer comes on well.
const USEFUL_SHARE: u64 = 64 * 1024;

/// Rounds after which what was found is tried again.
const REST: u32 = 6;

/// What was done at the end of the last round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Up,
    Down,
    /// Nothing, so many rounds ago.
    Rested(u32),
}

/// The slots of each torrent, by what the line has carried.
#[derive(Debug)]
pub struct Capacity {
    slots: usize,
    step: Step,
    /// Bytes a second in the round before.
    rate: u64,
    /// When the last round ended, and how many bytes had been sent by then.
    last: Option<(Instant, u64)>,
}

/// How things stand at the end of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Bytes that were sent to all peers since the start.
    pub sent: u64,
    /// Peers that have a slot.
    pub unchoked: u64,
    /// Peers that wait for one.
    pub waiting: u64,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            slots: FIRST,
            step: Step::Rested(0),
            rate: 0,
            last: None,
        }
    }
}

impl Capacity {
    /// The slots of each torrent.
    pub const fn slots(&self) -> usize {
        self.slots
    }

    /// Ends a round, and gives the slots from now on.
    pub fn round(&mut self, standing: Standing, now: Instant) -> usize {
        let Some((before, sent)) = self.last.replace((now, standing.sent)) else {
            return self.slots;
        };
        let milliseconds = now.saturating_duration_since(before).as_millis().max(1);
        let bytes = u128::from(standing.sent.saturating_sub(sent));
        let rate = u64::try_from(bytes * 1_000 / milliseconds).unwrap_or(u64::MAX);
        let rate_before = std::mem::replace(&mut self.rate, rate);
        // Half of what is to be expected of an eighth more or less.
        let has_gained = rate > rate_before.saturating_add(rate_before / 16);
        let has_lost = rate < rate_before.saturating_sub(rate_before / 16);
        let is_crowded = rate / standing.unchoked.max(1) < USEFUL_SHARE;
        self.step = match self.step {
            _ if standing.waiting == 0 => Step::Rested(0),
            Step::Up if has_gained => Step::Up,
            Step::Down if has_lost => Step::Up,
            // What has brought nothing is taken back.
            Step::Up => Step::Down,
            Step::Down if is_crowded => Step::Down,
            Step::Down => Step::Rested(0),
            Step::Rested(rounds) if rounds + 1 < REST => Step::Rested(rounds + 1),
            Step::Rested(_) => Step::Up,
        };
        let eighth = (self.slots / 8).max(1);
        self.slots = match self.step {
            Step::Up => (self.slots + eighth).min(MOST),
            Step::Down => (self.slots - eighth).max(LEAST),
            Step::Rested(_) => self.slots,
        };
        self.slots
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ambient;

    /// The slots after an hour on a line of so many bytes a second, with peers that take so many each.
    fn slots(line: u64, each: u64, peers: u64) -> usize {
        let mut capacity = Capacity::default();
        let (mut now, mut sent) = (ambient::now(), 0);
        let mut all = Vec::new();
        for _ in 0..360 {
            let unchoked = peers.min(capacity.slots() as u64);
            now += Duration::from_secs(10);
            sent += 10 * line.min(unchoked * each);
            let standing = Standing {
                sent,
                unchoked,
                waiting: peers - unchoked,
            };
            all.push(capacity.round(standing, now));
        }
        let last = &all[300..];
        last.iter().sum::<usize>() / last.len()
    }

    #[test]
    fn a_thin_line_is_shared_by_few() {
        let slots = slots(1_000_000, 10_000_000, 1_000);
        assert!((10..=18).contains(&slots), "{slots} slots");
    }

    #[test]
    fn a_wide_line_is_shared_by_many() {
        let slots = slots(100_000_000, 1_000_000, 1_000);
        assert!((90..=130).contains(&slots), "{slots} slots");
    }

    #[test]
    fn slow_readers_are_no_full_line() {
        let slots = slots(100_000_000, 10_000, 1_000);
        assert!(slots > MOST * 3 / 4, "{slots} slots");
    }

    #[test]
    fn where_nobody_waits_nothing_changes() {
        assert_eq!(slots(1_000, 10_000, 10), FIRST);
    }

    #[test]
    fn there_are_never_too_few() {
        assert_eq!(slots(1_000, 10_000, 1_000).max(LEAST + 1), LEAST + 1);
    }
}

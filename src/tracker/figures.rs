//! What the tracker was asked and what it said, by door: counted as it goes, for operators.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::asker::Door;

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A connection id was given (UDP only).
    Connected,
    /// An announce was answered.
    Announced,
    /// A scrape was answered.
    Scraped,
    /// A well-formed question was refused.
    Refused,
    /// A question was not understood.
    Malformed,
    /// A packet was passed over: too short, or without a connection id of its address (UDP only).
    Ignored,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Connected,
        Self::Announced,
        Self::Scraped,
        Self::Refused,
        Self::Malformed,
        Self::Ignored,
    ];

    /// One word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Announced => "announced",
            Self::Scraped => "scraped",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::Ignored => "ignored",
        }
    }
}

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Figures {
    counters: [[AtomicU64; Outcome::ALL.len()]; Door::ALL.len()],
}

impl Figures {
    /// One more.
    pub fn add(&self, door: Door, outcome: Outcome) {
        self.counter(door, outcome).fetch_add(1, Relaxed);
    }

    /// How many there were.
    pub fn count(&self, door: Door, outcome: Outcome) -> u64 {
        self.counter(door, outcome).load(Relaxed)
    }

    const fn counter(&self, door: Door, outcome: Outcome) -> &AtomicU64 {
        &self.counters[door as usize][outcome as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_apart() {
        let figures = Figures::default();
        for door in Door::ALL {
            for outcome in Outcome::ALL {
                figures.add(door, outcome);
            }
        }
        figures.add(Door::Udp, Outcome::Ignored);
        assert_eq!(figures.count(Door::Udp, Outcome::Ignored), 2);
        assert_eq!(figures.count(Door::WebSocket, Outcome::Ignored), 1);
        assert_eq!(figures.count(Door::Http, Outcome::Announced), 1);
    }
}

//! How a swarm was, by hour and by day: enough for a chart, and no more than a chart needs.

use super::tally::Counts;

/// Seconds in an hour.
const HOUR: i64 = 60 * 60;

/// Seconds in a day.
const DAY: i64 = 24 * HOUR;

/// An hour of UTC, counted from the first of 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour(pub i64);

impl Hour {
    /// The hour of a time in seconds since 1970.
    pub const fn of(time: i64) -> Self {
        Self(time.div_euclid(HOUR))
    }

    /// When it begins, in seconds since 1970.
    pub const fn start(self) -> i64 {
        self.0.saturating_mul(HOUR)
    }
}

/// A day of UTC, counted from the first of 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i64);

impl Day {
    /// The day of a time in seconds since 1970.
    pub const fn of(time: i64) -> Self {
        Self(time.div_euclid(DAY))
    }

    /// When it begins, in seconds since 1970.
    pub const fn start(self) -> i64 {
        self.0.saturating_mul(DAY)
    }
}

/// Who was in a swarm: the most at any time of an hour or a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwarmSize {
    /// Peers that had everything, this server among them.
    pub seeders: u32,
    /// Peers that lacked something.
    pub leechers: u32,
}

/// The past of one publication's swarm, oldest first. What is not listed was not different from nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The last days, hour by hour.
    pub hours: Vec<(Hour, SwarmSize)>,
    /// The time before as well, day by day, with what each day's counts gained.
    pub days: Vec<(Day, SwarmSize, Counts)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_in_its_hour_and_day() {
        assert_eq!((Hour::of(7_199), Hour::of(7_200)), (Hour(1), Hour(2)));
        assert_eq!((Day::of(86_399), Day::of(86_400)), (Day(0), Day(1)));
        assert_eq!((Hour(2).start(), Day(1).start()), (7_200, 86_400));
        assert_eq!(Day::of(-1), Day(-1));
    }
}

//! The past of a swarm as a picture and as a table: drawn by the server, so that it needs no script.

use std::fmt::Write as _;

use crate::domain::history::{Day, History, Hour, SwarmSize};

use super::text::{day, grouped, machine_time, size};

/// The width of the drawing, in its own units.
const WIDTH: u32 = 720;

/// The height of the drawing, in its own units.
const HEIGHT: u32 = 160;

/// Hours from which on a swarm's hours are worth a picture.
const FEWEST_HOURS: usize = 2;

/// Days in the table, at most; the newest.
const TABLE_DAYS: usize = 31;

/// A drawing of seeders and leechers over time.
pub(super) struct Chart {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Two lines as SVG draws them.
    pub(super) seeders: String,
    pub(super) leechers: String,
    /// The most of either: the top of the drawing.
    pub(super) most: String,
    /// When the drawing begins and ends.
    pub(super) from: String,
    pub(super) until: String,
    /// The same in words, day by day, newest first.
    pub(super) days: Vec<DayRow>,
}

/// A day in the table.
pub(super) struct DayRow {
    pub(super) day: String,
    pub(super) machine_time: String,
    pub(super) seeders: String,
    pub(super) leechers: String,
    pub(super) completed: String,
    pub(super) saved: String,
}

impl Chart {
    /// Draws the past up to `now`: the days where there are some, else the hours of the last week. `None` where there is too
    /// little to draw. `unattended` is what a swarm is like where nothing was noted.
    pub(super) fn draw(history: &History, now: i64, unattended: SwarmSize) -> Option<Self> {
        let last = Hour::of(now);
        let points = if history.days.len() > 7 {
            by_day(history, Day::of(now), unattended)
        } else {
            by_hour(history, last, unattended)
        };
        if points.len() < FEWEST_HOURS {
            return None;
        }
        let sizes = points
            .iter()
            .map(|(_, size)| size.seeders.max(size.leechers));
        let most = sizes.max().unwrap_or(0).max(1);
        let days = history.days.iter().rev().take(TABLE_DAYS);
        Some(Self {
            width: WIDTH,
            height: HEIGHT,
            seeders: line(&points, most, |size| size.seeders),
            leechers: line(&points, most, |size| size.leechers),
            most: grouped(most.into()),
            from: day(points.first()?.0),
            until: day(points.last()?.0),
            days: days
                .map(|(at, sizes, counts)| DayRow {
                    day: day(at.start()),
                    machine_time: machine_time(at.start()),
                    seeders: grouped(sizes.seeders.into()),
                    leechers: grouped(sizes.leechers.into()),
                    completed: grouped(counts.completed),
                    saved: size(counts.saved_bytes()),
                })
                .collect(),
        })
    }
}

/// Every hour from the first that was noted to the last, with its time.
fn by_hour(history: &History, last: Hour, unattended: SwarmSize) -> Vec<(i64, SwarmSize)> {
    let mut noted = history.hours.iter().peekable();
    let first = history.hours.first().map_or(last.0 + 1, |(hour, _)| hour.0);
    (first..=last.0)
        .map(|hour| {
            let size = noted.next_if(|(at, _)| at.0 == hour);
            (
                Hour(hour).start(),
                size.map_or(unattended, |(_, size)| *size),
            )
        })
        .collect()
}

/// Every day likewise.
fn by_day(history: &History, last: Day, unattended: SwarmSize) -> Vec<(i64, SwarmSize)> {
    let mut noted = history.days.iter().peekable();
    let first = history.days.first().map_or(last.0 + 1, |(day, ..)| day.0);
    (first..=last.0)
        .map(|day| {
            let size = noted.next_if(|(at, ..)| at.0 == day);
            (
                Day(day).start(),
                size.map_or(unattended, |(_, size, _)| *size),
            )
        })
        .collect()
}

/// A line through all points, from edge to edge, as the `points` of an SVG polyline.
fn line(points: &[(i64, SwarmSize)], most: u32, value: impl Fn(SwarmSize) -> u32) -> String {
    let steps = u64::try_from(points.len().saturating_sub(1).max(1)).unwrap_or(1);
    let mut line = String::new();
    for (step, (_, size)) in (0_u64..).zip(points) {
        let x = u64::from(WIDTH) * step / steps;
        let y = u64::from(HEIGHT) - u64::from(HEIGHT) * u64::from(value(*size)) / u64::from(most);
        // Writing to a string cannot fail.
        let _ = write!(line, "{x},{y} ");
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tally::Counts;

    const NOBODY: SwarmSize = SwarmSize {
        seeders: 1,
        leechers: 0,
    };

    fn size(seeders: u32, leechers: u32) -> SwarmSize {
        SwarmSize { seeders, leechers }
    }

    #[test]
    fn a_swarm_without_a_past_has_no_picture() {
        assert!(Chart::draw(&History::default(), 7_200, NOBODY).is_none());
        let history = History {
            hours: vec![(Hour(2), size(1, 1))],
            days: Vec::new(),
        };
        assert!(Chart::draw(&history, 7_200, NOBODY).is_none());
    }

    #[test]
    fn hours_that_were_not_noted_are_drawn_as_unattended() {
        let history = History {
            hours: vec![(Hour(0), size(4, 2)), (Hour(2), size(2, 4))],
            days: vec![(Day(0), size(4, 4), Counts::default())],
        };
        let chart = Chart::draw(&history, 3 * 3_600, NOBODY).unwrap();
        assert_eq!(chart.seeders, "0,0 240,120 480,80 720,120");
        assert_eq!(chart.leechers, "0,80 240,160 480,0 720,160");
        assert_eq!((chart.most.as_str(), chart.days.len()), ("4", 1));
    }

    #[test]
    fn a_long_past_is_drawn_day_by_day() {
        let days = (0..10).map(|day| (Day(day), size(1, 5), Counts::default()));
        let history = History {
            hours: Vec::new(),
            days: days.collect(),
        };
        let chart = Chart::draw(&history, 9 * 86_400, NOBODY).unwrap();
        assert_eq!(chart.leechers.split(' ').count(), 10);
        assert_eq!(
            (chart.from.as_str(), chart.until.as_str()),
            ("1 January 1970", "10 January 1970")
        );
    }
}

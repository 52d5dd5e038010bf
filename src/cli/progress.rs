//! How far a download is, for people on standard error and for scripts on standard output.

use std::io;
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::say;
use crate::engine::leech::{Phase, Progress};

/// How often scripts hear of progress.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);

/// Where progress is shown.
pub(super) enum Display {
    /// A bar, which hides itself where standard error is no terminal.
    Bar(ProgressBar),
    /// One JSON object a line, the last one then.
    Events(Option<(Phase, Instant)>),
}

/// One line of events.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Checking {
        checked: u64,
        done: u64,
        total: u64,
    },
    Progress {
        done: u64,
        total: u64,
        received: u64,
        bytes_per_second: u64,
        peers: usize,
        known_peers: usize,
    },
}

/// A bar for work on `total` bytes of files, which hides itself where standard error is no terminal.
pub(super) fn bar_of_bytes(total: u64, doing: String) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(doing);
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

impl Display {
    pub(super) fn bar() -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{wide_bar} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self::Bar(bar)
    }

    pub(super) const fn events() -> Self {
        Self::Events(None)
    }

    /// Shows how far it is.
    ///
    /// # Errors
    /// Whatever keeps events from being written.
    pub(super) fn show(&mut self, progress: &Progress, now: Instant) -> io::Result<()> {
        match self {
            Self::Bar(bar) => {
                let (position, length) = match progress.phase {
                    Phase::Checking => (progress.checked, progress.checked + progress.left),
                    Phase::Downloading | Phase::Complete => (progress.done, progress.total),
                };
                bar.set_length(length);
                bar.set_position(position);
                bar.set_message(in_words(progress));
                Ok(())
            }
            Self::Events(last) => {
                let is_due = last.is_none_or(|(phase, at)| {
                    phase != progress.phase || now.saturating_duration_since(at) >= EVENT_INTERVAL
                });
                if is_due {
                    *last = Some((progress.phase, now));
                    say(serde_json::to_string(&Event::from(progress))?)?;
                }
                Ok(())
            }
        }
    }

    /// Takes the bar away, so that what follows has the line to itself.
    pub(super) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl From<&Progress> for Event {
    fn from(progress: &Progress) -> Self {
        match progress.phase {
            Phase::Checking => Self::Checking {
                checked: progress.checked,
                done: progress.done,
                total: progress.total,
            },
            Phase::Downloading | Phase::Complete => Self::Progress {
                done: progress.done,
                total: progress.total,
                received: progress.received,
                bytes_per_second: progress.rate,
                peers: progress.peers,
                known_peers: progress.addresses,
            },
        }
    }
}

fn in_words(progress: &Progress) -> String {
    let (done, total) = (BinaryBytes(progress.done), BinaryBytes(progress.total));
    match progress.phase {
        Phase::Checking => "checking what is there already".to_owned(),
        Phase::Complete => format!("{total}, complete"),
        Phase::Downloading if progress.addresses == 0 => {
            format!("{done} of {total}, no peers found yet, still looking")
        }
        Phase::Downloading if progress.peers == 0 => {
            format!("{done} of {total}, no peer answers yet, still trying")
        }
        Phase::Downloading => {
            let (rate, peers) = (BinaryBytes(progress.rate), progress.peers);
            let noun = if peers == 1 { "peer" } else { "peers" };
            match (progress.total - progress.done).checked_div(progress.rate) {
                Some(seconds) => {
                    let left = HumanDuration(Duration::from_secs(seconds));
                    format!("{done} of {total}, {rate}/s, {left} left, {peers} {noun}")
                }
                None => format!("{done} of {total}, waiting, {peers} {noun}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_it_waits_for() {
        let mut progress = Progress {
            phase: Phase::Downloading,
            done: 1 << 20,
            total: 5 << 20,
            ..Progress::default()
        };
        assert_eq!(
            in_words(&progress),
            "1.00 MiB of 5.00 MiB, no peers found yet, still looking"
        );
        progress.addresses = 3;
        assert_eq!(
            in_words(&progress),
            "1.00 MiB of 5.00 MiB, no peer answers yet, still trying"
        );
        progress.peers = 1;
        assert_eq!(in_words(&progress), "1.00 MiB of 5.00 MiB, waiting, 1 peer");
        (progress.peers, progress.rate) = (2, 1 << 20);
        assert_eq!(
            in_words(&progress),
            "1.00 MiB of 5.00 MiB, 1.00 MiB/s, 4 seconds left, 2 peers"
        );
    }

    #[test]
    fn events_are_one_object_a_line() {
        let progress = Progress {
            phase: Phase::Downloading,
            done: 1,
            total: 2,
            ..Progress::default()
        };
        assert_eq!(
            serde_json::to_string(&Event::from(&progress)).unwrap(),
            r#"{"event":"progress","done":1,"total":2,"received":0,"bytes_per_second":0,"peers":0,"known_peers":0}"#
        );
    }
}

//! Reads the meters: the clock, and the CPU time and memory of the server and of the load itself.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::param::clock_ticks_per_second;
use serde_json::{Value, json};

/// The meters at one moment.
pub(crate) struct Reading {
    at: Instant,
    server: Usage,
    load: Usage,
}

/// What a set of processes has used so far.
#[derive(Default)]
struct Usage {
    /// User and system time of all threads.
    cpu_seconds: f64,
    rss_kib: u64,
    peak_rss_kib: u64,
}

/// What happened between two readings.
pub(crate) struct Span {
    /// Wall time.
    pub(crate) seconds: f64,
    /// The server's CPU time, user and system.
    pub(crate) server_cpu_seconds: f64,
    load_cpu_seconds: f64,
    rss_kib: u64,
    peak_rss_kib: u64,
}

impl Reading {
    /// Reads the clock and the meters of the server's processes.
    ///
    /// # Errors
    /// When one of the processes is not there.
    pub(crate) fn take(server: &[u32]) -> Result<Self> {
        Ok(Self {
            at: now(),
            server: Usage::of(server)?,
            load: Usage::of(&[std::process::id()])?,
        })
    }

    /// The difference from this reading to a later one.
    pub(crate) fn until(&self, end: &Self) -> Span {
        Span {
            seconds: (end.at - self.at).as_secs_f64(),
            server_cpu_seconds: end.server.cpu_seconds - self.server.cpu_seconds,
            load_cpu_seconds: end.load.cpu_seconds - self.load.cpu_seconds,
            rss_kib: end.server.rss_kib,
            peak_rss_kib: end.server.peak_rss_kib,
        }
    }
}

impl Span {
    /// The columns that every report has. `server_busy` near 1 says that the server was the bottleneck.
    pub(crate) fn report(&self) -> Value {
        json!({
            "seconds": self.seconds,
            "server_cpu_seconds": self.server_cpu_seconds,
            "server_busy": self.server_cpu_seconds / self.seconds,
            "server_rss_mib": mib(self.rss_kib),
            "server_peak_rss_mib": mib(self.peak_rss_kib),
            "load_busy": self.load_cpu_seconds / self.seconds,
        })
    }
}

impl Usage {
    fn of(pids: &[u32]) -> Result<Self> {
        let mut sum = Self::default();
        for pid in pids {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
                .with_context(|| format!("process {pid}"))?;
            let status = fs::read_to_string(format!("/proc/{pid}/status"))
                .with_context(|| format!("process {pid}"))?;
            sum.cpu_seconds +=
                cpu_seconds(&stat).with_context(|| format!("/proc/{pid}/stat has no times"))?;
            sum.rss_kib += memory_kib(&status, "VmRSS:");
            sum.peak_rss_kib += memory_kib(&status, "VmHWM:");
        }
        Ok(sum)
    }
}

/// proc(5): after the program's name in parentheses, utime and stime are the 12th and 13th fields, in clock ticks.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: Vec<u32> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    let per_second = u32::try_from(clock_ticks_per_second()).ok()?;
    let [user, system] = ticks[..] else {
        return None;
    };
    Some((f64::from(user) + f64::from(system)) / f64::from(per_second))
}

fn memory_kib(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn mib(kib: u64) -> f64 {
    count(kib) / 1024.0
}

/// A count as a number to divide by; exact below 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of bytes and requests stay far below 2^53"
)]
pub(crate) fn count(n: u64) -> f64 {
    n as f64
}

/// Bytes in GiB.
pub(crate) fn gib(bytes: u64) -> f64 {
    count(bytes) / count(1 << 30)
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Divides a load into ramp-up, timed part and end.
///
/// The ramp-up begins with the first payload, so that a seeder's wait before it unchokes is not in the figures.
pub(crate) struct Stopwatch {
    pids: Vec<u32>,
    time: Duration,
    ramp_up: Duration,
    deadline: Instant,
    phase: Phase,
}

enum Phase {
    Waiting,
    RampUp,
    Timed(Reading),
}

/// What a [`Stopwatch`] says when it is looked at.
pub(crate) enum Tick {
    /// Nothing changed.
    Same,
    /// The timed part begins now: forget what was counted.
    Start,
    /// The timed part is over.
    Stop(Span),
}

impl Stopwatch {
    /// How long a server may take to its first payload, or to know all peers: rTorrent unchokes every ten seconds.
    const PATIENCE: Duration = Duration::from_mins(2);

    pub(crate) fn new(pids: &[u32], time: Duration, ramp_up: Duration) -> Self {
        Self {
            pids: pids.to_vec(),
            time,
            ramp_up,
            deadline: now() + Self::PATIENCE,
            phase: Phase::Waiting,
        }
    }

    /// Looks at the clock; `flows` says whether payload has come yet.
    ///
    /// # Errors
    /// When no payload comes, or a process of the server has gone.
    pub(crate) fn look(&mut self, flows: bool) -> Result<Tick> {
        if matches!(self.phase, Phase::Waiting) && flows {
            self.phase = Phase::RampUp;
            self.deadline = now() + self.ramp_up;
        }
        if now() < self.deadline {
            return Ok(Tick::Same);
        }
        match &self.phase {
            Phase::Waiting => anyhow::bail!("no payload within {} s", Self::PATIENCE.as_secs()),
            Phase::RampUp => {
                self.phase = Phase::Timed(Reading::take(&self.pids)?);
                self.deadline = now() + self.time;
                Ok(Tick::Start)
            }
            Phase::Timed(start) => Ok(Tick::Stop(start.until(&Reading::take(&self.pids)?))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_behind_a_name_with_spaces_and_parentheses() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 1 0 100 0 0";
        let seconds = cpu_seconds(stat).unwrap()
            * f64::from(u32::try_from(clock_ticks_per_second()).unwrap());
        assert!((seconds - 200.0).abs() < 1e-9);
    }

    #[test]
    fn reads_memory_from_status() {
        assert_eq!(
            memory_kib("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n", "VmRSS:"),
            1024
        );
        assert_eq!(memory_kib("Name:\tx\n", "VmRSS:"), 0);
    }
}

//! Many publishers at once: each sends one file by tus, in parts as browsers send them, all at full speed.
//!
//! Nobody waits for anybody: what is measured is how evenly the server takes from them. The files are the same stretch of noise, begun at
//! a place of each publisher's own, so that no two of them have the same content.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Target;
use crate::gauge::{Reading, count, now};
use crate::http::Head;
use crate::link::{Link, Poll, Received};
use crate::seed::Dice;

/// Bytes of noise.
const NOISE: usize = 4 << 20;

/// Bytes that are offered to a socket at a time: where one could send for long, others come first.
const TURN: usize = 256 * 1024;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// The paths of the uploads, one a line: one for each connection
    #[arg(long, value_name = "FILE")]
    uploads: PathBuf,
    /// The API token of the account that made them
    #[arg(long)]
    token: String,
    /// Bytes of each file
    #[arg(long, value_name = "BYTES")]
    length: usize,
    /// Bytes of a part, at most
    #[arg(long, value_name = "BYTES", default_value_t = 50 << 20)]
    part: usize,
}

/// Somebody who sends a file.
struct Publisher {
    link: Link,
    path: String,
    /// Where its noise begins.
    start: usize,
    /// Bytes that were sent of the file, and the part that they belong to.
    sent: usize,
    part: Range<usize>,
    answer: Vec<u8>,
    /// When bytes went last, and the longest time between two.
    moved: Instant,
    longest_pause: Duration,
    done: Option<Duration>,
}

/// Sends all files and reports.
///
/// # Errors
/// When the server cannot be reached, closes a connection, or refuses a part.
pub(crate) fn run(options: &Options) -> Result<Value> {
    let target = &options.target;
    ensure!(
        options.length > 0 && options.part > 0,
        "there is nothing to send"
    );
    let paths = fs::read_to_string(&options.uploads)
        .with_context(|| format!("cannot read {}", options.uploads.display()))?;
    let mut dice = Dice(1);
    let noise: Vec<u8> = (0..NOISE + TURN)
        .map(|_| u8::try_from(dice.below(256)).unwrap_or_default())
        .collect();
    let mut poll = Poll::new()?;
    let mut publishers = (0..target.connections)
        .zip(paths.lines())
        .map(|(number, path)| Publisher::connect(&poll, number, path, options))
        .collect::<Result<Vec<_>>>()?;
    ensure!(
        publishers.len() == usize::from(target.connections),
        "there are fewer uploads than connections"
    );
    let start = Reading::take(&target.pids)?;
    let began = now();
    for publisher in &mut publishers {
        publisher.moved = began;
        publisher.begin_part(&poll, options)?;
    }
    let mut buffer = vec![0; 64 * 1024];
    let mut left = publishers.len();
    // What each had sent when the first was done.
    let mut at_first: Option<Vec<usize>> = None;
    while left > 0 {
        for ready in poll.wait()? {
            let publisher = &mut publishers[ready.link];
            if publisher.done.is_some() {
                continue;
            }
            if ready.writable {
                publisher.send(&poll, &noise)?;
            }
            if ready.readable && publisher.receive(&mut buffer)? {
                if publisher.sent < options.length {
                    publisher.begin_part(&poll, options)?;
                } else {
                    publisher.done = Some(began.elapsed());
                    left -= 1;
                    at_first.get_or_insert_with(|| publishers.iter().map(|it| it.sent).collect());
                }
            }
        }
    }
    let span = start.until(&Reading::take(&target.pids)?);
    let mut times: Vec<f64> = publishers
        .iter()
        .filter_map(|it| Some(it.done?.as_secs_f64()))
        .collect();
    times.sort_by(f64::total_cmp);
    let pauses = publishers.iter().map(|it| it.longest_pause);
    let behind = at_first.unwrap_or_default().into_iter().min().unwrap_or(0);
    let total = count(u64::try_from(options.length * publishers.len())?);
    let mut report = span.report();
    report["megabytes_per_second"] = json!(total / 1e6 / span.seconds);
    report["cpu_seconds_per_gib"] = json!(span.server_cpu_seconds / (total / count(1 << 30)));
    report["first_seconds"] = json!(times[0]);
    report["middle_seconds"] = json!(times[times.len() / 2]);
    report["last_seconds"] = json!(times[times.len() - 1]);
    report["slowest_part_at_first"] =
        json!(count(u64::try_from(behind)?) / count(u64::try_from(options.length)?));
    report["longest_pause_seconds"] = json!(pauses.max().unwrap_or_default().as_secs_f64());
    Ok(report)
}

impl Publisher {
    fn connect(poll: &Poll, number: u16, path: &str, options: &Options) -> Result<Self> {
        Ok(Self {
            link: Link::open(poll, number, options.target.server)?,
            path: path.to_owned(),
            start: usize::from(number) * 65_537 % NOISE,
            sent: 0,
            part: 0..0,
            answer: Vec::new(),
            moved: now(),
            longest_pause: Duration::ZERO,
            done: None,
        })
    }

    fn begin_part(&mut self, poll: &Poll, options: &Options) -> Result<()> {
        self.part = self.sent..options.length.min(self.sent + options.part);
        let head = format!(
            "PATCH {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\n\
             Content-Type: application/offset+octet-stream\r\nContent-Length: {}\r\nUpload-Offset: {}\r\n\r\n",
            self.path,
            options.target.server,
            options.token,
            self.part.len(),
            self.sent
        );
        self.link.send(poll, head.as_bytes())?;
        self.link.watch_for_room(poll, true)
    }

    /// Sends as much of the part as one turn lets.
    fn send(&mut self, poll: &Poll, noise: &[u8]) -> Result<()> {
        self.link.flush(poll)?;
        let from = (self.start + self.sent) % NOISE;
        let turn = TURN.min(self.part.end - self.sent);
        let sent = self.link.write(&noise[from..from + turn])?;
        if sent > 0 {
            let at = now();
            self.longest_pause = self.longest_pause.max(at - self.moved);
            self.moved = at;
            self.sent += sent;
        }
        let has_more = self.sent < self.part.end;
        self.link.watch_for_room(poll, has_more)
    }

    /// Reads on; true once the server has acknowledged the part.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool> {
        match self.link.receive(buffer)? {
            Received::Bytes(length) => self.answer.extend_from_slice(&buffer[..length]),
            Received::Nothing => return Ok(false),
            Received::End => anyhow::bail!("the server closes a connection at {} bytes", self.sent),
        }
        let Some(head) = Head::read(&self.answer)? else {
            return Ok(false);
        };
        ensure!(
            head.status == 204 && self.sent == self.part.end,
            "the server answers {} at {} bytes: {}",
            head.status,
            self.sent,
            String::from_utf8_lossy(&self.answer)
        );
        self.answer.clear();
        Ok(true)
    }
}

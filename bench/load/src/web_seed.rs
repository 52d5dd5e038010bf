//! A full-speed reader of a web seed (BEP 19): ranges of one file over keep-alive HTTP connections.
//!
//! Each connection has one request under way, as web-seed clients do, and starts at its own place in the file.
//! Status, `Content-Range` and every byte are checked.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::Target;
use crate::gauge::{Stopwatch, Tick, gib};
use crate::http::Head;
use crate::link::{Link, Poll, Received};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// The path to ask for, as it stands in the request line
    #[arg(long, value_name = "PATH")]
    path: String,
    /// The file that it stands for
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Bytes in one request
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1..))]
    range: u32,
}

/// A connection with one request under way.
struct Reader {
    link: Link,
    /// The range asked for: first byte, and one past the last.
    start: usize,
    end: usize,
    /// The answer's head as far as it has come; empty once the body begins.
    head: Vec<u8>,
    /// The next byte of the file to come; `None` while the head is read.
    at: Option<usize>,
}

/// Downloads at full speed and reports.
///
/// # Errors
/// When the server cannot be reached, refuses a range, or sends a byte that is not in the file.
pub(crate) fn run(options: &Options) -> Result<Value> {
    let target = &options.target;
    let file = fs::read(&options.file)
        .with_context(|| format!("cannot read {}", options.file.display()))?;
    ensure!(!file.is_empty(), "{} is empty", options.file.display());
    let mut poll = Poll::new()?;
    let mut readers = Vec::new();
    for number in 0..target.connections {
        let ranges = file.len().div_ceil(usize::try_from(options.range)?);
        let first = ranges * usize::from(number) / usize::from(target.connections);
        let end = first * usize::try_from(options.range)?;
        let link = Link::open(&poll, number, target.server)?;
        let mut reader = Reader {
            link,
            start: 0,
            end,
            head: Vec::new(),
            at: None,
        };
        reader.ask(&poll, options, file.len())?;
        readers.push(reader);
    }
    let mut stopwatch = Stopwatch::new(&target.pids, target.time, Duration::from_secs(1));
    let mut bytes = 0;
    let mut buffer = vec![0; 512 * 1024];
    loop {
        for ready in poll.wait()? {
            let reader = &mut readers[ready.link];
            if ready.writable {
                reader.link.flush(&poll)?;
            }
            if ready.readable {
                match reader.link.receive(&mut buffer)? {
                    Received::Bytes(length) => bytes += reader.take(&buffer[..length], &file)?,
                    Received::Nothing => {}
                    Received::End => bail!(
                        "the server closed connection {}: it must keep them alive",
                        ready.link
                    ),
                }
                if reader.at == Some(reader.end) {
                    reader.ask(&poll, options, file.len())?;
                }
            }
        }
        match stopwatch.look(bytes > 0)? {
            Tick::Same => {}
            Tick::Start => bytes = 0,
            Tick::Stop(span) => {
                let mut report = span.report();
                report["gib"] = json!(gib(bytes));
                report["gib_per_second"] = json!(gib(bytes) / span.seconds);
                report["cpu_seconds_per_gib"] = json!(span.server_cpu_seconds / gib(bytes));
                report["connections"] = json!(target.connections);
                return Ok(report);
            }
        }
    }
}

impl Reader {
    /// Asks for the range after the last one, from the start again after the file's end.
    fn ask(&mut self, poll: &Poll, options: &Options, file_length: usize) -> Result<()> {
        self.start = if self.end < file_length { self.end } else { 0 };
        self.end = file_length.min(self.start + usize::try_from(options.range)?);
        self.at = None;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: sower-load\r\nRange: bytes={}-{}\r\n\r\n",
            options.path,
            options.target.server,
            self.start,
            self.end - 1
        );
        self.link.send(poll, request.as_bytes())
    }

    /// Takes what the server sent and says how many bytes of content that was.
    fn take(&mut self, bytes: &[u8], file: &[u8]) -> Result<u64> {
        if self.at.is_some() {
            return self.compare(bytes, file);
        }
        self.head.extend_from_slice(bytes);
        let Some(head) = Head::read(&self.head)? else {
            return Ok(0);
        };
        let range = format!("bytes {}-{}/{}", self.start, self.end - 1, file.len());
        ensure!(
            head.status == 206,
            "the server answers {} to a range",
            head.status
        );
        ensure!(
            head.content_range.as_ref() == Some(&range),
            "not the range asked for: {:?}",
            head.content_range
        );
        ensure!(
            head.content_length == Some(self.end - self.start),
            "not the length asked for"
        );
        let answer = std::mem::take(&mut self.head);
        self.at = Some(self.start);
        self.compare(&answer[head.length..], file)
    }

    fn compare(&mut self, body: &[u8], file: &[u8]) -> Result<u64> {
        let at = self.at.unwrap_or(self.start);
        let end = at + body.len();
        ensure!(end <= self.end, "more bytes than the range has");
        ensure!(
            file[at..end] == *body,
            "not the file's bytes, between {at} and {end}"
        );
        self.at = Some(end);
        Ok(u64::try_from(body.len())?)
    }
}

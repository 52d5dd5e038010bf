//! Announces to an HTTP tracker (BEP 3, compact answers of BEP 23).
//!
//! Every connection is one host with an address, a peer id and a port of its own, and that host is in all the
//! torrents: T torrents and N connections make T × N peers, N in each swarm. Odd hosts are seeders. First every
//! peer announces `started` once, untimed; then hosts announce torrents at random. Each answer must be a
//! bencoded dictionary with an interval and peers, and without a failure.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Target;
use crate::gauge::{Stopwatch, Tick, count};
use crate::http::Head;
use crate::link::{Link, Poll, Received};
use crate::seed::Dice;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// The torrents' info-hashes in hex, one a line
    #[arg(long, value_name = "FILE")]
    info_hashes: PathBuf,
    /// Make one connection for each announce instead of keeping them alive
    #[arg(long)]
    close: bool,
    /// The tracker knows all peers from a run before: none announces itself first
    #[arg(long)]
    filled: bool,
    /// Peers wanted in an answer
    #[arg(long, value_name = "N", default_value_t = 50)]
    numwant: u16,
}

/// The announces of all peers, ready to be put together.
struct Script {
    /// For each torrent: the request up to its info-hash, which is percent-encoded.
    torrents: Vec<String>,
    /// What ends a request.
    tail: String,
    close: bool,
}

/// A host that has one announce under way.
struct Host {
    link: Link,
    number: u16,
    /// The host's part of every query.
    query: String,
    answer: Vec<u8>,
    dice: Dice,
    /// Torrents that the host has announced `started`.
    started: usize,
}

/// Counts of the timed part.
#[derive(Default)]
struct Counts {
    announces: u64,
    answer_bytes: u64,
    peers: u64,
}

/// Announces at full speed and reports.
///
/// # Errors
/// When the tracker cannot be reached, closes a connection that it should keep, or refuses an announce.
pub(crate) fn run(options: &Options) -> Result<Value> {
    let target = &options.target;
    let script = Script::write(options)?;
    let mut poll = Poll::new()?;
    let mut hosts = (0..target.connections)
        .map(|number| Host::connect(&poll, number, options, &script))
        .collect::<Result<Vec<_>>>()?;
    let mut stopwatch = Stopwatch::new(&target.pids, target.time, Duration::from_secs(1));
    let mut counts = Counts::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        for ready in poll.wait()? {
            let host = &mut hosts[ready.link];
            if ready.writable {
                host.link.flush(&poll)?;
            }
            if ready.readable && host.receive(&mut buffer, &script, &mut counts)? {
                host.announce_again(&poll, options, &script)?;
            }
        }
        let swarms_are_filled = hosts
            .iter()
            .all(|host| host.started == script.torrents.len());
        match stopwatch.look(swarms_are_filled)? {
            Tick::Same => {}
            Tick::Start => counts = Counts::default(),
            Tick::Stop(span) => {
                let announces = count(counts.announces);
                let mut report = span.report();
                report["announces"] = json!(counts.announces);
                report["announces_per_second"] = json!(announces / span.seconds);
                report["cpu_microseconds_per_announce"] =
                    json!(span.server_cpu_seconds * 1e6 / announces);
                report["peers_per_answer"] = json!(count(counts.peers) / announces);
                report["bytes_per_answer"] = json!(count(counts.answer_bytes) / announces);
                report["torrents"] = json!(script.torrents.len());
                report["peers"] = json!(script.torrents.len() * hosts.len());
                return Ok(report);
            }
        }
    }
}

impl Script {
    fn write(options: &Options) -> Result<Self> {
        let path = &options.info_hashes;
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let torrents = text
            .lines()
            .map(|line| {
                Ok(format!(
                    "GET /announce?info_hash={}",
                    percent_encode(&crate::seed::info_hash(line)?)
                ))
            })
            .collect::<Result<Vec<_>>>()?;
        ensure!(!torrents.is_empty(), "{} has no info-hash", path.display());
        let connection = if options.close {
            "Connection: close\r\n"
        } else {
            ""
        };
        let tail = format!(
            " HTTP/1.1\r\nHost: {}\r\nUser-Agent: sower-load\r\nAccept-Encoding: gzip\r\n{connection}\r\n",
            options.target.server
        );
        Ok(Self {
            torrents,
            tail,
            close: options.close,
        })
    }
}

impl Host {
    fn connect(poll: &Poll, number: u16, options: &Options, script: &Script) -> Result<Self> {
        let peer_id = format!(
            "-SL0100-{:012x}",
            0x9e37_79b9_7f4a_u64 ^ u64::from(number) << 20
        );
        let left = if number % 4 == 0 { 16384 } else { 0 };
        let query = format!(
            "&peer_id={}&port={}&uploaded=0&downloaded=0&left={left}&corrupt=0&key=A{number:07X}&numwant={}&compact=1&no_peer_id=1",
            percent_encode(peer_id.as_bytes()),
            6881 + number % 1000,
            options.numwant,
        );
        let link = Link::open(poll, number, options.target.server)?;
        let dice = Dice(u64::from(number) + 1);
        let mut host = Self {
            link,
            number,
            query,
            answer: Vec::new(),
            dice,
            started: if options.filled {
                script.torrents.len()
            } else {
                0
            },
        };
        host.announce(poll, script)?;
        Ok(host)
    }

    /// Announces the next torrent that the swarm does not know the host in, else any.
    fn announce(&mut self, poll: &Poll, script: &Script) -> Result<()> {
        let (torrent, event) = match script.torrents.get(self.started) {
            Some(torrent) => (torrent, "&event=started"),
            None => (&script.torrents[self.dice.below(script.torrents.len())], ""),
        };
        let request = [torrent, &self.query, event, &script.tail].concat();
        self.link.send(poll, request.as_bytes())
    }

    /// Reads on; true once the answer is complete and right.
    fn receive(&mut self, buffer: &mut [u8], script: &Script, counts: &mut Counts) -> Result<bool> {
        let is_end = match self.link.receive(buffer)? {
            Received::Bytes(length) => {
                self.answer.extend_from_slice(&buffer[..length]);
                false
            }
            Received::Nothing => return Ok(false),
            Received::End => true,
        };
        ensure!(
            script.close || !is_end,
            "the tracker does not keep connections alive"
        );
        let Some(head) = Head::read(&self.answer)? else {
            ensure!(!is_end, "the tracker closed a connection without an answer");
            return Ok(false);
        };
        let body = &self.answer[head.length..];
        match head.content_length {
            Some(length) if body.len() < length => {
                ensure!(!is_end, "the tracker closed a connection inside an answer");
                return Ok(false);
            }
            None if !is_end => return Ok(false),
            _ => {}
        }
        ensure!(head.status == 200, "the tracker answers {}", head.status);
        counts.announces += 1;
        counts.answer_bytes += u64::try_from(self.answer.len())?;
        counts.peers += u64::try_from(peers_in(body)?)?;
        self.answer.clear();
        Ok(true)
    }

    fn announce_again(&mut self, poll: &Poll, options: &Options, script: &Script) -> Result<()> {
        self.started = script.torrents.len().min(self.started + 1);
        if script.close {
            self.link = Link::open(poll, self.number, options.target.server)?;
        }
        self.announce(poll, script)
    }
}

/// Checks a tracker's answer and counts the IPv4 peers in it.
fn peers_in(body: &[u8]) -> Result<usize> {
    let wrong = || {
        format!(
            "not an announce's answer: {}",
            String::from_utf8_lossy(body)
        )
    };
    let mut rest = body.strip_prefix(b"d").with_context(wrong)?;
    let (mut has_interval, mut peers) = (false, None);
    while let Some((key, value)) = string(rest) {
        rest = skip(value, 8).with_context(wrong)?;
        ensure!(
            key != b"failure reason",
            "the tracker refuses: {}",
            String::from_utf8_lossy(value)
        );
        has_interval |= key == b"interval";
        if key == b"peers" {
            peers = string(value).map(|(peers, _)| peers.len() / 6);
        }
    }
    // aquatic_http ends its answers with a line break.
    ensure!(has_interval && matches!(rest, b"e" | b"e\r\n"), wrong());
    peers.with_context(wrong)
}

/// Splits a bencoded string from what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().take(8).position(|byte| *byte == b':')?;
    let length = std::str::from_utf8(&bytes[..colon]).ok()?.parse().ok()?;
    bytes[colon + 1..].split_at_checked(length)
}

/// What follows a bencoded value, which nests at most `depth` deep.
fn skip(bytes: &[u8], depth: u8) -> Option<&[u8]> {
    match bytes.split_first()? {
        (b'i', rest) => rest
            .iter()
            .position(|byte| *byte == b'e')
            .map(|end| &rest[end + 1..]),
        (b'l' | b'd', mut rest) if depth > 0 => {
            while !rest.starts_with(b"e") {
                rest = skip(rest, depth - 1)?;
            }
            Some(&rest[1..])
        }
        _ => string(bytes).map(|(_, rest)| rest),
    }
}

/// Encodes what RFC 3986 does not leave unreserved, as BitTorrent clients do.
fn percent_encode(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_peers_of_an_answer() {
        let answer = b"d8:completei1e10:incompletei2e8:intervali1800e5:peers12:abcdefghijkle";
        assert_eq!(peers_in(answer).unwrap(), 2);
        assert_eq!(peers_in(&[answer, &b"\r\n"[..]].concat()).unwrap(), 2);
    }

    #[test]
    fn refuses_a_failure_and_every_cut_answer() {
        assert!(peers_in(b"d14:failure reason4:nonee").is_err());
        let answer = b"d8:intervali1800e5:peersl1:ae1:zd1:ai-1eee";
        assert!((0..answer.len()).all(|cut| peers_in(&answer[..cut]).is_err()));
    }

    #[test]
    fn encodes_all_but_unreserved_bytes() {
        assert_eq!(percent_encode(b"\x00aZ9-._~ \xff"), "%00aZ9-._~%20%FF");
    }
}

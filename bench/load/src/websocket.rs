//! Announces with offers, and answers to them, to a WebSocket tracker (WebTorrent).
//!
//! Every connection is a peer in every torrent; a quarter of them download. First each announces once in each torrent, without
//! offers and untimed; then each announces at random with five offers, one announce under way at a time, and answers every
//! offer that it gets. All ids are of letters and digits, so that no message needs an escape.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::Target;
use crate::gauge::{Stopwatch, Tick, count};
use crate::link::{Link, Poll, Received};
use crate::seed::Dice;

const OFFERS: usize = 5;

/// What a browser's description of a session comes to, about.
const DESCRIPTION: &str = "v=0\\r\\no=- 4571044303612194959 2 IN IP4 127.0.0.1\\r\\ns=-\\r\\nt=0 0\\r\\na=group:BUNDLE 0\\r\\na=extmap-allow-mixed\\r\\na=msid-semantic: WMS\\r\\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\\r\\nc=IN IP4 0.0.0.0\\r\\na=ice-ufrag:6ZO9\\r\\na=ice-pwd:gohQOBaICGwS+gwiOK3Q8k6x\\r\\na=fingerprint:sha-256 B8:94:06:4C:84:A0:51:9C:4F:70:41:9C:2D:FB:7B:B0:15:7B:F9:AA:13:A6:B0:AC:16:9A:40:5C:50:BF:BE:5F\\r\\na=setup:actpass\\r\\na=mid:0\\r\\na=sctp-port:5000\\r\\na=max-message-size:262144\\r\\na=candidate:1 1 UDP 2114977791 192.0.2.3 34947 typ host\\r\\na=candidate:2 1 UDP 1678769919 198.51.100.3 34947 typ srflx raddr 0.0.0.0 rport 0\\r\\n";

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// The torrents' names of 20 letters and digits, one a line
    #[arg(long, value_name = "FILE")]
    torrents: PathBuf,
}

/// Messages that came in the timed part.
#[derive(Default)]
struct Counts {
    announced: u64,
    offers: u64,
    answers: u64,
}

struct Peer {
    link: Link,
    id: String,
    left: u32,
    received: Vec<u8>,
    is_upgraded: bool,
    dice: Dice,
    /// Torrents that the peer is in.
    joined: usize,
    offered: u64,
    message: String,
}

/// Announces and answers at full speed and reports.
///
/// # Errors
/// When the tracker cannot be reached, closes a connection or refuses an announce.
pub(crate) fn run(options: &Options) -> Result<Value> {
    let path = &options.torrents;
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let torrents: Vec<&str> = text.lines().collect();
    ensure!(
        !torrents.is_empty() && torrents.iter().all(|name| name.len() == 20),
        "a torrent's name has 20 letters and digits"
    );
    let target = &options.target;
    let mut poll = Poll::new()?;
    let mut peers = (0..target.connections)
        .map(|number| Peer::connect(&poll, number, target))
        .collect::<Result<Vec<_>>>()?;
    let mut stopwatch = Stopwatch::new(&target.pids, target.time, Duration::from_secs(1));
    let mut counts = Counts::default();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        for ready in poll.wait()? {
            let peer = &mut peers[ready.link];
            if ready.writable {
                peer.link.flush(&poll)?;
            }
            if ready.readable {
                peer.receive(&poll, &mut buffer, &torrents, &mut counts)?;
            }
        }
        let is_full = peers.iter().all(|peer| peer.joined == torrents.len());
        match stopwatch.look(is_full)? {
            Tick::Same => {}
            Tick::Start => counts = Counts::default(),
            Tick::Stop(span) => {
                let messages = count(counts.announced + counts.offers + counts.answers);
                let mut report = span.report();
                report["messages_per_second"] = json!(messages / span.seconds);
                report["cpu_microseconds_per_message"] =
                    json!(span.server_cpu_seconds * 1e6 / messages);
                report["messages_per_cpu_second"] = json!(messages / span.server_cpu_seconds);
                report["offers_per_announce"] =
                    json!(count(counts.offers) / count(counts.announced));
                report["answers_per_announce"] =
                    json!(count(counts.answers) / count(counts.announced));
                return Ok(report);
            }
        }
    }
}

impl Peer {
    fn connect(poll: &Poll, number: u16, target: &Target) -> Result<Self> {
        let server = target.server;
        let mut link = Link::open(poll, number, server)?;
        let upgrade = format!(
            "GET /announce HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        link.send(poll, upgrade.as_bytes())?;
        Ok(Self {
            link,
            id: format!("-SL0100-{number:012}"),
            left: if number % 4 == 0 { 16_384 } else { 0 },
            received: Vec::new(),
            is_upgraded: false,
            dice: Dice(u64::from(number) + 1),
            joined: 0,
            offered: 0,
            message: String::new(),
        })
    }

    /// Reads on, and says what is to be said next.
    fn receive(
        &mut self,
        poll: &Poll,
        buffer: &mut [u8],
        torrents: &[&str],
        counts: &mut Counts,
    ) -> Result<()> {
        match self.link.receive(buffer)? {
            Received::Bytes(length) => self.received.extend_from_slice(&buffer[..length]),
            Received::Nothing => return Ok(()),
            Received::End => bail!("the tracker closed a connection"),
        }
        if !self.is_upgraded {
            let Some(end) = self
                .received
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
            else {
                return Ok(());
            };
            ensure!(
                self.received.starts_with(b"HTTP/1.1 101"),
                "the tracker speaks no WebSocket here"
            );
            self.received.drain(..end + 4);
            self.is_upgraded = true;
            self.announce(poll, torrents[0], "", true)?;
        }
        let received = std::mem::take(&mut self.received);
        let mut rest = received.as_slice();
        while let Some((opcode, payload, length)) = frame(rest) {
            match opcode {
                1 => self.hear(poll, std::str::from_utf8(payload)?, torrents, counts)?,
                9 => {}
                _ => bail!("a frame that is no text: opcode {opcode}"),
            }
            rest = &rest[length..];
        }
        self.received = rest.to_vec();
        Ok(())
    }

    fn hear(
        &mut self,
        poll: &Poll,
        message: &str,
        torrents: &[&str],
        counts: &mut Counts,
    ) -> Result<()> {
        if message.contains("\"offer\":") {
            counts.offers += 1;
            return self.answer(poll, message);
        }
        if message.contains("\"answer\":") {
            counts.answers += 1;
            return Ok(());
        }
        ensure!(
            message.contains("\"complete\":"),
            "the tracker says {message}"
        );
        counts.announced += 1;
        self.joined = torrents.len().min(self.joined + 1);
        match torrents.get(self.joined) {
            Some(torrent) => self.announce(poll, torrent, "", true),
            None => {
                let torrent = torrents[self.dice.below(torrents.len())];
                let mut offers = String::new();
                for _ in 0..OFFERS {
                    self.offered += 1;
                    let comma = if offers.is_empty() { "" } else { "," };
                    let number = &self.id[15..];
                    write!(
                        offers,
                        "{comma}{{\"offer\":{{\"type\":\"offer\",\"sdp\":\"{DESCRIPTION}\"}},\"offer_id\":\"{number}{:015}\"}}",
                        self.offered
                    )?;
                }
                self.announce(poll, torrent, &offers, false)
            }
        }
    }

    fn announce(&mut self, poll: &Poll, torrent: &str, offers: &str, is_first: bool) -> Result<()> {
        let event = if is_first {
            ",\"event\":\"started\""
        } else {
            ""
        };
        self.message.clear();
        write!(
            self.message,
            "{{\"numwant\":{OFFERS},\"uploaded\":0,\"downloaded\":0,\"left\":{}{event},\"action\":\"announce\",\"info_hash\":\"{torrent}\",\
             \"peer_id\":\"{}\",\"offers\":[{offers}]}}",
            self.left, self.id
        )?;
        self.say(poll)
    }

    fn answer(&mut self, poll: &Poll, offer: &str) -> Result<()> {
        let torrent = text_of(offer, "info_hash")?;
        let (to, offer_id) = (text_of(offer, "peer_id")?, text_of(offer, "offer_id")?);
        self.message.clear();
        write!(
            self.message,
            "{{\"action\":\"announce\",\"info_hash\":\"{torrent}\",\"peer_id\":\"{}\",\"to_peer_id\":\"{to}\",\
             \"answer\":{{\"type\":\"answer\",\"sdp\":\"{DESCRIPTION}\"}},\"offer_id\":\"{offer_id}\"}}",
            self.id
        )?;
        self.say(poll)
    }

    /// Sends the message as one masked frame, with a mask of zeros (RFC 6455, section 5.3).
    fn say(&mut self, poll: &Poll) -> Result<()> {
        let length = u16::try_from(self.message.len())?;
        let mut frame = vec![0x81];
        // The first bit of the second byte says that there is a mask; 126 there, that two bytes of length follow.
        if let Ok(short @ ..126) = u8::try_from(length) {
            frame.push(0x80 | short);
        } else {
            frame.push(0xfe);
            frame.extend(length.to_be_bytes());
        }
        frame.extend([0; 4]);
        frame.extend(self.message.as_bytes());
        self.link.send(poll, &frame)
    }
}

/// The first whole frame: its opcode, its payload, and the length of both.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    let (start, length) = match second & 0x7f {
        126 => (
            4,
            usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        ),
        127 => return None,
        short => (2, usize::from(short)),
    };
    let payload = bytes.get(start..start + length)?;
    Some((first & 0x0f, payload, start + length))
}

/// The string behind a key, which has no escapes.
fn text_of<'m>(message: &'m str, key: &str) -> Result<&'m str> {
    let (_, rest) = message
        .split_once(&format!("\"{key}\":\""))
        .with_context(|| format!("a message without {key}: {message}"))?;
    let (text, _) = rest.split_once('"').context("a string without an end")?;
    Ok(text)
}

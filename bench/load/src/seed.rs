//! A full-speed reader of a seeder: plain-TCP BitTorrent (BEP 3) without extensions.
//!
//! Each connection keeps many requests outstanding and refills them in batches, as fast downloaders do. Every
//! block must answer a request of its connection, and every byte is compared with the file.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::Target;
use crate::gauge::{Span, Stopwatch, Tick, count, gib};
use crate::link::{Link, Poll, Received};

const BLOCK: u32 = 16 * 1024;
pub(crate) const HANDSHAKE: usize = 68;
pub(crate) const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";
/// Longer messages than this are taken for nonsense. A bitfield of 8 million pieces fits.
const LONGEST_MESSAGE: u32 = 1 << 20;

const CHOKE: u8 = 0;
pub(crate) const UNCHOKE: u8 = 1;
pub(crate) const INTERESTED: u8 = 2;
pub(crate) const REQUEST: u8 = 6;
pub(crate) const PIECE: u8 = 7;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// The torrent's v1 info-hash, in hex
    #[arg(long, value_name = "HEX", value_parser = info_hash)]
    info_hash: [u8; 20],
    /// The torrent's piece length in bytes
    #[arg(long, value_name = "BYTES")]
    piece_length: u32,
    /// The torrent's only file
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Requests outstanding on each connection
    #[arg(long, value_name = "N", default_value_t = 250, value_parser = clap::value_parser!(u16).range(1..))]
    outstanding: u16,
    /// The order in which a connection asks for pieces; the blocks of one piece come in sequence
    #[arg(long, value_enum, default_value_t = Order::Sequential)]
    order: Order,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Order {
    /// Each connection starts at its own place in the file
    Sequential,
    /// Each next piece is drawn at random
    Random,
}

/// A torrent of one file.
struct Torrent {
    info_hash: [u8; 20],
    blocks_per_piece: usize,
    content: Vec<u8>,
}

/// A connection as the seeder's peer.
struct Peer {
    link: Link,
    reading: Reading,
    is_choked: bool,
    /// Blocks asked for and not yet here, in the order of the requests.
    asked: VecDeque<usize>,
    /// The block to ask for next.
    next: usize,
    /// Whether the timed part has seen payload.
    is_fed: bool,
    dice: Dice,
}

/// Where in the stream a peer is.
enum Reading {
    /// Collecting the fixed bytes in front: the handshake, or a message's length, type and, of a piece, its place.
    Head {
        bytes: [u8; HANDSHAKE],
        have: usize,
        need: usize,
    },
    /// Inside a block: `left` bytes to come, to be found in the file from `at`.
    Block {
        block: usize,
        at: usize,
        left: usize,
    },
    /// Inside a message that is of no interest.
    Skip { left: usize },
}

/// Counts of the timed part.
#[derive(Default)]
struct Counts {
    bytes: u64,
    chokes: u64,
}

/// Downloads at full speed and reports.
///
/// # Errors
/// When the seeder cannot be reached, breaks the protocol, or sends a byte that is not in the file.
pub(crate) fn run(options: &Options) -> Result<Value> {
    let torrent = Torrent::open(options)?;
    let target = &options.target;
    let mut poll = Poll::new()?;
    let mut peers = (0..target.connections)
        .map(|number| Peer::connect(&poll, number, options, &torrent))
        .collect::<Result<Vec<_>>>()?;
    let mut stopwatch =
        Stopwatch::new(&target.pids, target.time, std::time::Duration::from_secs(1));
    let mut counts = Counts::default();
    let mut buffer = vec![0; 512 * 1024];
    loop {
        for ready in poll.wait()? {
            let peer = &mut peers[ready.link];
            if ready.writable {
                peer.link.flush(&poll)?;
            }
            if ready.readable {
                match peer.link.receive(&mut buffer)? {
                    Received::Bytes(length) => {
                        peer.take(&buffer[..length], &torrent, &mut counts)?;
                    }
                    Received::Nothing => {}
                    Received::End => bail!("the seeder closed connection {}", ready.link),
                }
                peer.ask(&poll, options, &torrent)?;
            }
        }
        match stopwatch.look(counts.bytes > 0)? {
            Tick::Same => {}
            Tick::Start => {
                counts = Counts::default();
                for peer in &mut peers {
                    peer.is_fed = false;
                }
            }
            Tick::Stop(span) => return Ok(report(&span, &counts, &peers)),
        }
    }
}

fn report(span: &Span, counts: &Counts, peers: &[Peer]) -> Value {
    let mut report = span.report();
    report["gib"] = json!(gib(counts.bytes));
    report["gib_per_second"] = json!(gib(counts.bytes) / span.seconds);
    report["cpu_seconds_per_gib"] = json!(span.server_cpu_seconds / gib(counts.bytes));
    report["connections"] = json!(peers.len());
    report["connections_fed"] = json!(peers.iter().filter(|peer| peer.is_fed).count());
    report["chokes"] = json!(count(counts.chokes));
    report
}

impl Torrent {
    fn open(options: &Options) -> Result<Self> {
        let length = options.piece_length;
        ensure!(
            length > 0 && length.is_multiple_of(BLOCK),
            "the piece length must be a multiple of 16 KiB"
        );
        let content = fs::read(&options.file)
            .with_context(|| format!("cannot read {}", options.file.display()))?;
        ensure!(!content.is_empty(), "{} is empty", options.file.display());
        Ok(Self {
            info_hash: options.info_hash,
            blocks_per_piece: usize::try_from(length / BLOCK)?,
            content,
        })
    }

    fn blocks(&self) -> usize {
        self.content.len().div_ceil(BLOCK as usize)
    }

    fn pieces(&self) -> usize {
        self.blocks().div_ceil(self.blocks_per_piece)
    }

    /// The block's first byte in the file, and its length.
    fn span(&self, block: usize) -> (usize, usize) {
        let start = block * BLOCK as usize;
        (start, (self.content.len() - start).min(BLOCK as usize))
    }

    /// A request message for the block.
    fn request(&self, block: usize) -> Result<[u8; 17]> {
        let (index, block_in_piece) =
            (block / self.blocks_per_piece, block % self.blocks_per_piece);
        let (_, length) = self.span(block);
        let mut message = [0; 17];
        message[3] = 13;
        message[4] = REQUEST;
        message[5..9].copy_from_slice(&u32::try_from(index)?.to_be_bytes());
        message[9..13].copy_from_slice(&(u32::try_from(block_in_piece)? * BLOCK).to_be_bytes());
        message[13..17].copy_from_slice(&u32::try_from(length)?.to_be_bytes());
        Ok(message)
    }
}

impl Peer {
    fn connect(poll: &Poll, number: u16, options: &Options, torrent: &Torrent) -> Result<Self> {
        let mut hello = Vec::with_capacity(HANDSHAKE + 5);
        hello.extend_from_slice(PROTOCOL);
        hello.extend_from_slice(&[0; 8]);
        hello.extend_from_slice(&torrent.info_hash);
        hello.extend_from_slice(format!("-SL0100-{number:012}").as_bytes());
        hello.extend_from_slice(&[0, 0, 0, 1, INTERESTED]);
        let mut link = Link::open(poll, number, options.target.server)?;
        link.send(poll, &hello)?;
        let first_piece =
            torrent.pieces() * usize::from(number) / usize::from(options.target.connections);
        Ok(Self {
            link,
            reading: Reading::head(HANDSHAKE),
            is_choked: true,
            asked: VecDeque::new(),
            next: first_piece * torrent.blocks_per_piece,
            is_fed: false,
            dice: Dice(u64::from(number) + 1),
        })
    }

    /// Takes what the seeder sent, cut anywhere.
    fn take(&mut self, mut bytes: &[u8], torrent: &Torrent, counts: &mut Counts) -> Result<()> {
        while !bytes.is_empty() {
            match &mut self.reading {
                Reading::Head {
                    bytes: head,
                    have,
                    need,
                } => {
                    let taken = bytes.len().min(*need - *have);
                    head[*have..*have + taken].copy_from_slice(&bytes[..taken]);
                    *have += taken;
                    bytes = &bytes[taken..];
                    if have == need {
                        let head = *head;
                        let length = *need;
                        self.reading = self.head_is_complete(&head[..length], torrent, counts)?;
                    }
                }
                Reading::Block { block, at, left } => {
                    let taken = bytes.len().min(*left);
                    let agrees = torrent.content[*at..*at + taken] == bytes[..taken];
                    ensure!(agrees, "block {block} is not what the file has");
                    *at += taken;
                    *left -= taken;
                    bytes = &bytes[taken..];
                    counts.bytes += u64::try_from(taken)?;
                    if *left == 0 {
                        self.is_fed = true;
                        self.reading = Reading::head(4);
                    }
                }
                Reading::Skip { left } => {
                    let taken = bytes.len().min(*left);
                    *left -= taken;
                    bytes = &bytes[taken..];
                    if *left == 0 {
                        self.reading = Reading::head(4);
                    }
                }
            }
        }
        Ok(())
    }

    /// Says how to read on after `head`, which is as long as was asked for.
    fn head_is_complete(
        &mut self,
        head: &[u8],
        torrent: &Torrent,
        counts: &mut Counts,
    ) -> Result<Reading> {
        if head.len() == HANDSHAKE {
            ensure!(
                head.starts_with(PROTOCOL) && head[28..48] == torrent.info_hash,
                "not this torrent's handshake"
            );
            return Ok(Reading::head(4));
        }
        let length = number(&head[..4]);
        ensure!(length <= LONGEST_MESSAGE, "a message of {length} bytes");
        match (head.len(), length) {
            (4, 0) => return Ok(Reading::head(4)), // a keep-alive
            (4, _) => return Ok(Reading::more(head, 5)),
            (5, 9..) if head[4] == PIECE => return Ok(Reading::more(head, 13)),
            (13, _) => return self.block(head, length - 9, torrent),
            _ => {}
        }
        match head[4] {
            UNCHOKE => self.is_choked = false,
            CHOKE => {
                // Without BEP 6, a choke discards all requests that are not answered.
                self.is_choked = true;
                self.asked.clear();
                counts.chokes += 1;
            }
            _ => {}
        }
        Ok(match length - 1 {
            0 => Reading::head(4),
            left => Reading::Skip {
                left: usize::try_from(left)?,
            },
        })
    }

    /// Finds the request that a piece message answers.
    fn block(&mut self, head: &[u8], length: u32, torrent: &Torrent) -> Result<Reading> {
        let (index, begin) = (number(&head[5..9]), number(&head[9..13]));
        let block =
            usize::try_from(index)? * torrent.blocks_per_piece + usize::try_from(begin / BLOCK)?;
        let Some(place) = self.asked.iter().position(|asked| *asked == block) else {
            bail!("a block that was not asked for: piece {index} offset {begin}");
        };
        let (at, left) = torrent.span(block);
        let fits = begin.is_multiple_of(BLOCK) && usize::try_from(length)? == left;
        ensure!(
            fits,
            "a block of {length} bytes where {left} were asked for: piece {index} offset {begin}"
        );
        self.asked.remove(place);
        Ok(Reading::Block { block, at, left })
    }

    /// Refills the outstanding requests once an eighth of them is answered.
    fn ask(&mut self, poll: &Poll, options: &Options, torrent: &Torrent) -> Result<()> {
        let outstanding = usize::from(options.outstanding);
        if self.is_choked || self.asked.len() > outstanding - outstanding.div_ceil(8) {
            return Ok(());
        }
        let mut requests = Vec::with_capacity(17 * (outstanding - self.asked.len()));
        while self.asked.len() < outstanding {
            requests.extend_from_slice(&torrent.request(self.next)?);
            self.asked.push_back(self.next);
            self.next = self.block_after(self.next, options.order, torrent);
        }
        self.link.send(poll, &requests)
    }

    fn block_after(&mut self, block: usize, order: Order, torrent: &Torrent) -> usize {
        let next = (block + 1) % torrent.blocks();
        if order == Order::Random && next.is_multiple_of(torrent.blocks_per_piece) {
            return self.dice.below(torrent.pieces()) * torrent.blocks_per_piece;
        }
        next
    }
}

impl Reading {
    fn head(need: usize) -> Self {
        Self::Head {
            bytes: [0; HANDSHAKE],
            have: 0,
            need,
        }
    }

    /// Reads on until `need` bytes of the head are there.
    fn more(head: &[u8], need: usize) -> Self {
        let mut bytes = [0; HANDSHAKE];
        bytes[..head.len()].copy_from_slice(head);
        Self::Head {
            bytes,
            have: head.len(),
            need,
        }
    }
}

/// Draws numbers that are the same in every run (xorshift64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound
    }
}

pub(crate) fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

pub(crate) fn info_hash(text: &str) -> Result<[u8; 20]> {
    ensure!(
        text.len() == 40 && text.is_ascii(),
        "an info-hash has 40 hex digits"
    );
    let mut hash = [0; 20];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits)?, 16)?;
    }
    Ok(hash)
}

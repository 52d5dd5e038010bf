//! The least that BitTorrent's framing can cost a seeder (BEP 3): one thread, one torrent of one file, no features.
//!
//! It knows no peers but good ones, and measures what a way of reading costs; it is no program to seed with.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use memmap2::Mmap;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fs::sendfile;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use serde_json::{Value, json};

use crate::seed::{HANDSHAKE, PIECE, PROTOCOL, REQUEST, UNCHOKE, info_hash, number};

const BITFIELD: u8 = 5;
/// The length, the type and the place of a block, in front of its bytes.
const HEAD: usize = 13;
/// Blocks in one call, at most.
const BATCH: usize = 64;
/// The number of the listening socket in epoll.
const LISTENER: u64 = u64::MAX;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How the file gets from the page cache to the socket
    #[arg(long, value_enum)]
    read: Way,
    /// Where to listen; loopback only
    #[arg(long, value_name = "IP:PORT", value_parser = crate::loopback)]
    listen: SocketAddrV4,
    /// The torrent's v1 info-hash, in hex
    #[arg(long, value_name = "HEX", value_parser = info_hash)]
    info_hash: [u8; 20],
    /// The torrent's piece length in bytes
    #[arg(long, value_name = "BYTES")]
    piece_length: u32,
    /// The torrent's only file
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Way {
    /// `pread` into one buffer, and one `send`
    Pread,
    /// `sendmsg` of the mapped file
    Mapped,
    /// `send` of the block's head and `sendfile` of its bytes
    Sendfile,
}

/// What is seeded.
struct Seed {
    way: Way,
    info_hash: [u8; 20],
    piece_length: u64,
    file: File,
    map: Mmap,
}

/// A block that was asked for: its head, and where its bytes lie.
struct Asked {
    head: [u8; HEAD],
    offset: u64,
    length: usize,
}

struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
    is_greeted: bool,
    asked: VecDeque<Asked>,
    /// Bytes of the first block's message that have left.
    sent: usize,
    waits_for_room: bool,
}

/// Seeds until it is killed.
///
/// # Errors
/// When the file or the socket cannot be had.
pub(crate) fn run(options: &Options) -> Result<Value> {
    let file = File::open(&options.file)?;
    #[expect(
        unsafe_code,
        reason = "nobody cuts the benchmark's file short while it runs"
    )]
    // SAFETY: the file does not change under the map.
    let map = unsafe { Mmap::map(&file)? };
    let seed = Seed {
        way: options.read,
        info_hash: options.info_hash,
        piece_length: options.piece_length.into(),
        file,
        map,
    };
    let listener = TcpListener::bind(options.listen)?;
    listener.set_nonblocking(true)?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(
        &poll,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    println!("{}", json!({"listen": options.listen}));
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut buffer = vec![0; BATCH << 14];
    let mut events = Vec::with_capacity(BATCH);
    loop {
        events.clear();
        match epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll"),
        }
        for Event { data, .. } in events.drain(..) {
            let number = data.u64();
            if number == LISTENER {
                let Ok((stream, _)) = listener.accept() else {
                    continue;
                };
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let data = EventData::new_u64(peers.len() as u64);
                epoll::add(&poll, &stream, data, EventFlags::IN)?;
                peers.push(Some(Peer::new(stream)));
                continue;
            }
            let place = &mut peers[usize::try_from(number)?];
            let Some(peer) = place else { continue };
            let waited = peer.waits_for_room;
            if peer.serve(&seed, &mut buffer).is_err() {
                *place = None; // it has hung up
            } else if peer.waits_for_room != waited {
                let flags = if waited {
                    EventFlags::IN
                } else {
                    EventFlags::IN | EventFlags::OUT
                };
                epoll::modify(&poll, &peer.stream, EventData::new_u64(number), flags)?;
            }
        }
    }
}

impl Peer {
    const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            unread: Vec::new(),
            is_greeted: false,
            asked: VecDeque::new(),
            sent: 0,
            waits_for_room: false,
        }
    }

    fn serve(&mut self, seed: &Seed, buffer: &mut [u8]) -> Result<()> {
        match self.stream.read(buffer) {
            Ok(0) => anyhow::bail!("it has hung up"),
            Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        self.take_in(seed)?;
        self.waits_for_room = false;
        while !self.asked.is_empty() && !self.waits_for_room {
            let (sent, wanted) = match seed.way {
                Way::Pread => self.send_read(seed, buffer)?,
                Way::Mapped => self.send_mapped(seed)?,
                Way::Sendfile => self.send_file(seed)?,
            };
            self.waits_for_room = sent < wanted;
            self.note_sent(sent);
        }
        Ok(())
    }

    fn take_in(&mut self, seed: &Seed) -> Result<()> {
        let mut at = 0;
        if !self.is_greeted && self.unread.len() >= HANDSHAKE {
            self.greet(seed)?;
            at = HANDSHAKE;
        }
        while self.is_greeted && self.unread.len() >= at + 4 {
            let rest = &self.unread[at..];
            let length = number(&rest[..4]) as usize;
            let Some(message) = rest.get(4..4 + length) else {
                break;
            };
            at += 4 + length;
            if let Some((&REQUEST, request)) = message.split_first() {
                ensure!(request.len() == 12, "a request of another length");
                let (place, length) = request.split_at(8);
                let length = number(length);
                let piece_starts = u64::from(number(&place[..4])) * seed.piece_length;
                let offset = piece_starts + u64::from(number(&place[4..]));
                ensure!(
                    offset + u64::from(length) <= seed.map.len() as u64,
                    "beyond the file"
                );
                let mut head = [0; HEAD];
                head[..4].copy_from_slice(&(length + 9).to_be_bytes());
                head[4] = PIECE;
                head[5..].copy_from_slice(place);
                self.asked.push_back(Asked {
                    head,
                    offset,
                    length: length as usize,
                });
            }
        }
        self.unread.drain(..at);
        Ok(())
    }

    /// Answers the handshake, has everything, and lets everybody ask at once.
    fn greet(&mut self, seed: &Seed) -> Result<()> {
        self.is_greeted = true;
        let mut hello = Vec::new();
        hello.extend_from_slice(PROTOCOL);
        hello.extend_from_slice(&[0; 8]);
        hello.extend_from_slice(&seed.info_hash);
        hello.extend_from_slice(b"-SF0100-000000000000");
        let pieces = (seed.map.len() as u64).div_ceil(seed.piece_length);
        let bytes = pieces.div_ceil(8);
        hello.extend_from_slice(&u32::try_from(bytes + 1)?.to_be_bytes());
        hello.push(BITFIELD);
        hello.extend((0..bytes).map(|byte| {
            let left = pieces - byte * 8;
            if left >= 8 { 0xff } else { !(0xff_u8 >> left) }
        }));
        hello.extend_from_slice(&[0, 0, 0, 1, UNCHOKE]);
        let sent = send(&self.stream, &hello, SendFlags::NOSIGNAL)?;
        ensure!(sent == hello.len(), "a socket without room for a handshake");

        Ok(())
    }

    fn send_read(&self, seed: &Seed, buffer: &mut [u8]) -> Result<(usize, usize)> {
        let mut filled = 0;
        let mut skipped = self.sent;
        for asked in self.asked.iter().take(BATCH) {
            let head = &asked.head[skipped.min(HEAD)..];
            let begin = skipped.saturating_sub(HEAD);
            skipped = 0;
            let end = filled + head.len() + asked.length - begin;
            let Some(room) = buffer.get_mut(filled..end) else {
                break;
            };
            let (for_head, for_bytes) = room.split_at_mut(head.len());
            for_head.copy_from_slice(head);
            seed.file
                .read_exact_at(for_bytes, asked.offset + begin as u64)?;
            filled = end;
        }
        let sent = room_or(send(&self.stream, &buffer[..filled], SendFlags::NOSIGNAL))?;
        Ok((sent, filled))
    }

    fn send_mapped(&self, seed: &Seed) -> Result<(usize, usize)> {
        let mut slices = Vec::with_capacity(2 * BATCH);
        let mut skipped = self.sent;
        for asked in self.asked.iter().take(BATCH) {
            slices.push(IoSlice::new(&asked.head[skipped.min(HEAD)..]));
            let start = usize::try_from(asked.offset)?;
            let begin = skipped.saturating_sub(HEAD);
            slices.push(IoSlice::new(&seed.map[start + begin..start + asked.length]));
            skipped = 0;
        }
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        let mut none = SendAncillaryBuffer::default();
        let sent = sendmsg(&self.stream, &slices, &mut none, SendFlags::NOSIGNAL);
        Ok((room_or(sent)?, wanted))
    }

    /// Each block has a head of its own, so no two go by one `sendfile`.
    fn send_file(&self, seed: &Seed) -> Result<(usize, usize)> {
        let asked = &self.asked[0];
        if self.sent < HEAD {
            let head = &asked.head[self.sent..];
            let flags = SendFlags::NOSIGNAL | SendFlags::MORE;
            return Ok((room_or(send(&self.stream, head, flags))?, head.len()));
        }
        let begin = self.sent - HEAD;
        let mut offset = asked.offset + begin as u64;
        let wanted = asked.length - begin;
        let sent = sendfile(&self.stream, &seed.file, Some(&mut offset), wanted);
        Ok((room_or(sent)?, wanted))
    }

    fn note_sent(&mut self, mut bytes: usize) {
        while let Some(first) = self.asked.front() {
            let left = HEAD + first.length - self.sent;
            if bytes < left {
                break;
            }
            bytes -= left;
            self.sent = 0;
            self.asked.pop_front();
        }
        self.sent += bytes;
    }
}

/// Nothing sent where the socket has no room.
fn room_or(sent: rustix::io::Result<usize>) -> Result<usize> {
    match sent {
        Err(Errno::AGAIN) => Ok(0),
        sent => Ok(sent?),
    }
}

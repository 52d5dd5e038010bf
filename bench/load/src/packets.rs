//! Announces, and connects and scrapes between them, to a UDP tracker (BEP 15).
//!
//! 64 hosts, each with an address and a socket of its own, hold P peers in each of T torrents; three quarters are seeds. First
//! every peer announces once, untimed, and what is lost is announced again; then hosts send random packets by the mix that
//! was asked for, a few under way at a time. Every answer must be of the kind that its question asked for.

use std::fs;
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};
use serde_json::{Value, json};

use crate::Target;
use crate::gauge::{Stopwatch, Tick, count, now};
use crate::seed::{Dice, info_hash};

/// Addresses that the peers are spread over.
const HOSTS: u32 = 64;

/// Packets in one system call.
const BATCH: usize = 64;

/// After so long an answer is given up.
const LOST: Duration = Duration::from_millis(300);

/// A connection id is used for less than two minutes (BEP 15).
const RECONNECT: Duration = Duration::from_secs(30);

/// What every client begins with (BEP 15).
const PROTOCOL: u64 = 0x417_2710_1980;

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    /// The torrents' info-hashes in hex, one a line
    #[arg(long, value_name = "FILE")]
    info_hashes: PathBuf,
    /// Peers in each torrent
    #[arg(long, value_name = "N", default_value_t = 100)]
    peers: u32,
    /// Peers wanted in an answer
    #[arg(long, value_name = "N", default_value_t = 30)]
    numwant: u32,
    /// Connects, announces and scrapes in proportion
    #[arg(long, value_name = "C:A:S", default_value = "0:1:0")]
    mix: Mix,
    /// The tracker knows all peers from a run before: none announces itself first
    #[arg(long)]
    filled: bool,
    /// Packets under way from each host
    #[arg(long, value_name = "N", default_value_t = 16)]
    window: usize,
}

/// How often each kind of packet is sent.
#[derive(Clone, Copy)]
struct Mix {
    connects: usize,
    announces: usize,
    scrapes: usize,
}

impl FromStr for Mix {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<usize> = text.split(':').map(str::parse).collect::<Result<_, _>>()?;
        let [connects, announces, scrapes] = parts[..] else {
            bail!("three numbers, such as 50:50:1");
        };
        ensure!(connects + announces + scrapes > 0, "nothing to send");
        Ok(Self {
            connects,
            announces,
            scrapes,
        })
    }
}

/// The torrents, and who is in them.
struct World {
    torrents: Vec<[u8; 20]>,
    peers: u32,
    numwant: u32,
}

/// Counts of the timed part.
#[derive(Default)]
struct Counts {
    sent: u64,
    answers: u64,
    announced: u64,
    peers: u64,
    lost: u64,
}

struct Host {
    number: u32,
    socket: UdpSocket,
    connection: [u8; 8],
    connected: Instant,
    under_way: usize,
    heard: Instant,
    dice: Dice,
    /// Peers of this host that have announced themselves, torrent by torrent, and those that were answered.
    announced: Vec<bool>,
    left: usize,
    next: usize,
    headers: MultiHeaders<SockaddrIn>,
    packets: Vec<Vec<u8>>,
}

/// Sends at full speed and reports.
///
/// # Errors
/// When the tracker does not answer, or answers what was not asked.
pub(crate) fn run(options: &Options) -> Result<Value> {
    let world = World::read(options)?;
    let mut hosts = (0..HOSTS)
        .map(|number| Host::connect(number, options, &world))
        .collect::<Result<Vec<_>>>()?;
    let mut buffers = vec![vec![0_u8; 2048]; BATCH];
    let mut counts = Counts::default();
    let mut stopwatch = Stopwatch::new(
        &options.target.pids,
        options.target.time,
        Duration::from_millis(500),
    );
    loop {
        let is_full = hosts.iter().all(|host| host.left == 0);
        for host in &mut hosts {
            host.receive(&mut buffers, &mut counts)?;
            host.send(options, &world, &mut counts)?;
        }
        match stopwatch.look(is_full)? {
            Tick::Same => {}
            Tick::Start => counts = Counts::default(),
            Tick::Stop(span) => {
                let answers = count(counts.answers);
                let mut report = span.report();
                report["cpu_microseconds_per_answer"] =
                    json!(span.server_cpu_seconds * 1e6 / answers);
                report["peers"] = json!(world.torrents.len() * usize::try_from(world.peers)?);
                report["answers_per_second"] = json!(answers / span.seconds);
                report["lost_percent"] = json!(count(counts.lost) * 100.0 / count(counts.sent));
                report["peers_per_announce"] =
                    json!(count(counts.peers) / count(counts.announced.max(1)));
                return Ok(report);
            }
        }
    }
}

impl World {
    fn read(options: &Options) -> Result<Self> {
        let path = &options.info_hashes;
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let torrents = text.lines().map(info_hash).collect::<Result<Vec<_>>>()?;
        ensure!(!torrents.is_empty(), "{} has no info-hash", path.display());
        Ok(Self {
            torrents,
            peers: options.peers,
            numwant: options.numwant,
        })
    }

    /// How many peers of a torrent are at a host.
    fn peers_at(&self, host: u32) -> usize {
        let peers = (self.peers + HOSTS - 1 - host) / HOSTS;
        usize::try_from(peers).unwrap_or(0)
    }
}

impl Host {
    fn connect(number: u32, options: &Options, world: &World) -> Result<Self> {
        let ip = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 1, 1)) + number);
        let socket = UdpSocket::bind((ip, 0))?;
        socket.connect(options.target.server)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        let peers = world.peers_at(number) * world.torrents.len();
        let mut host = Self {
            number,
            socket,
            connection: [0; 8],
            connected: now(),
            under_way: 0,
            heard: now(),
            dice: Dice(u64::from(number) + 1),
            announced: vec![options.filled; peers],
            left: if options.filled { 0 } else { peers },
            next: 0,
            headers: MultiHeaders::preallocate(BATCH, None),
            packets: vec![Vec::new(); BATCH],
        };
        let mut packet = Vec::new();
        connect(&mut packet);
        let mut answer = [0; 64];
        for _ in 0..20 {
            host.socket.send(&packet)?;
            if let Ok(16) = host.socket.recv(&mut answer) {
                host.connection.copy_from_slice(&answer[8..16]);
                host.socket.set_nonblocking(true)?;
                return Ok(host);
            }
        }
        bail!("the tracker does not answer packets")
    }

    /// Takes what has come, and gives up what comes no more.
    fn receive(&mut self, buffers: &mut [Vec<u8>], counts: &mut Counts) -> Result<()> {
        let mut slices: Vec<_> = buffers
            .iter_mut()
            .map(|buffer| [IoSliceMut::new(buffer)])
            .collect();
        let received = recvmmsg(
            self.socket.as_raw_fd(),
            &mut self.headers,
            &mut slices,
            MsgFlags::MSG_DONTWAIT,
            None,
        );
        let lengths: Vec<usize> = match received {
            Ok(received) => received.map(|message| message.bytes).collect(),
            Err(Errno::EAGAIN | Errno::ECONNREFUSED) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        if lengths.is_empty() {
            if self.under_way > 0 && now() - self.heard > LOST {
                counts.lost += u64::try_from(self.under_way)?;
                self.under_way = 0;
                self.heard = now();
            }
            return Ok(());
        }
        for (length, buffer) in lengths.into_iter().zip(buffers) {
            self.hear(&buffer[..length], counts)?;
        }
        self.heard = now();
        Ok(())
    }

    fn hear(&mut self, answer: &[u8], counts: &mut Counts) -> Result<()> {
        let (Some(action), Some(transaction)) = (word(answer, 0), word(answer, 4)) else {
            bail!("an answer of {} bytes", answer.len());
        };
        self.under_way = self.under_way.saturating_sub(1);
        counts.answers += 1;
        match action {
            0 if answer.len() == 16 => self.connection.copy_from_slice(&answer[8..16]),
            1 if answer.len() >= 20 => {
                counts.announced += 1;
                counts.peers += u64::try_from((answer.len() - 20) / 6)?;
                let peer = usize::try_from(transaction)?;
                if let Some(announced) = self.announced.get_mut(peer)
                    && !*announced
                {
                    *announced = true;
                    self.left -= 1;
                }
            }
            2 => {}
            _ => bail!(
                "the tracker refuses: {}",
                String::from_utf8_lossy(&answer[8..])
            ),
        }
        Ok(())
    }

    fn send(&mut self, options: &Options, world: &World, counts: &mut Counts) -> Result<()> {
        if self.under_way > options.window / 2 {
            return Ok(());
        }
        let mut filled = 0;
        while filled < BATCH && self.under_way + filled < options.window {
            let mut packet = std::mem::take(&mut self.packets[filled]);
            packet.clear();
            let is_written = self.write(options, world, &mut packet);
            self.packets[filled] = packet;
            if !is_written {
                break;
            }
            filled += 1;
        }
        let mut sent = 0;
        while sent < filled {
            let slices: Vec<_> = self.packets[sent..filled]
                .iter()
                .map(|packet| [IoSlice::new(packet)])
                .collect();
            let nowhere = vec![None; slices.len()];
            let socket = self.socket.as_raw_fd();
            match sendmmsg(
                socket,
                &mut self.headers,
                &slices,
                nowhere,
                [],
                MsgFlags::empty(),
            ) {
                Ok(results) => sent += results.count(),
                Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ECONNREFUSED) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.under_way += filled;
        counts.sent += u64::try_from(filled)?;
        Ok(())
    }

    /// Writes the next packet; false where all that is left to announce is under way.
    fn write(&mut self, options: &Options, world: &World, packet: &mut Vec<u8>) -> bool {
        if now() - self.connected > RECONNECT {
            self.connected = now();
            connect(packet);
            return true;
        }
        if self.left > 0 {
            let peers = self.announced.len();
            for step in 0..peers {
                let peer = (self.next + step) % peers;
                if !self.announced[peer] {
                    self.next = peer + 1;
                    self.announce(world, peer, 2, packet);
                    return true;
                }
            }
        }
        let mix = options.mix;
        let drawn = self.dice.below(mix.connects + mix.announces + mix.scrapes);
        if drawn < mix.connects {
            connect(packet);
        } else if drawn < mix.connects + mix.announces && !self.announced.is_empty() {
            let peer = self.dice.below(self.announced.len());
            self.announce(world, peer, 0, packet);
        } else {
            self.scrape(world, packet);
        }
        true
    }

    fn announce(&self, world: &World, peer: usize, event: u32, packet: &mut Vec<u8>) {
        let (torrent, place) = (peer % world.torrents.len(), peer / world.torrents.len());
        let place = u32::try_from(place).unwrap_or(0) * HOSTS + self.number;
        let number = u32::try_from(peer).unwrap_or(0);
        let left: u64 = if place.is_multiple_of(4) { 16_384 } else { 0 };
        packet.extend(self.connection);
        packet.extend(1_u32.to_be_bytes());
        packet.extend(number.to_be_bytes());
        packet.extend(world.torrents[torrent]);
        packet.extend(b"-SL0100-");
        packet.extend(self.number.to_be_bytes());
        packet.extend(
            u64::from(number)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .to_be_bytes(),
        );
        for amount in [0, left, 0] {
            packet.extend(amount.to_be_bytes());
        }
        packet.extend(event.to_be_bytes());
        packet.extend([0; 4]);
        packet.extend(number.to_be_bytes());
        packet.extend(world.numwant.to_be_bytes());
        let port = 1024 + u16::try_from(place % 60_000).unwrap_or(0);
        packet.extend(port.to_be_bytes());
    }

    fn scrape(&mut self, world: &World, packet: &mut Vec<u8>) {
        packet.extend(self.connection);
        packet.extend(2_u32.to_be_bytes());
        packet.extend(u32::MAX.to_be_bytes());
        for _ in 0..=self.dice.below(10) {
            packet.extend(world.torrents[self.dice.below(world.torrents.len())]);
        }
    }
}

fn connect(packet: &mut Vec<u8>) {
    packet.extend(PROTOCOL.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(u32::MAX.to_be_bytes());
}

fn word(answer: &[u8], at: usize) -> Option<u32> {
    let bytes = answer.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

//! Readers of a seeder that ask for much and take little, as telephones and bad networks do.
//!
//! They keep a hundred requests outstanding and take their bytes by the clock, whatever has come. What they cost here is little, so
//! that fast readers can be measured beside them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
use serde_json::{Value, json};

use crate::gauge::{gib, now};
use crate::link::address;
use crate::seed::{HANDSHAKE, INTERESTED, PROTOCOL, REQUEST, info_hash};

const BLOCK: u32 = 16 * 1024;

/// Requests that each has outstanding.
const OUTSTANDING: u64 = 100;

/// Bytes that the kernel may keep for a reader who does not come for them.
const RECEIVE_BUFFER: usize = 32 * 1024;

/// The second is cut into so many parts, in each of which as many readers read.
const BEATS: usize = 10;

/// How long a seeder may take over a handshake.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The seeder's address; loopback only
    #[arg(long, value_name = "IP:PORT", value_parser = crate::loopback)]
    server: SocketAddrV4,
    /// The torrent's v1 info-hash, in hex
    #[arg(long, value_name = "HEX", value_parser = info_hash)]
    info_hash: [u8; 20],
    /// The torrent's piece length in bytes
    #[arg(long, value_name = "BYTES")]
    piece_length: u32,
    /// Whole pieces of the torrent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pieces: u32,
    /// Readers, each from its own loopback address
    #[arg(long, value_name = "N")]
    connections: u16,
    /// Bytes a second that each takes
    #[arg(long, value_name = "BYTES", default_value_t = 10 * 1024)]
    rate: usize,
}

struct Reader {
    stream: TcpStream,
    number: u32,
    received: u64,
    asked: u64,
}

/// Says "ready" when all have shaken hands, reads until the standard input ends, and reports.
///
/// # Errors
/// When the seeder cannot be reached or closes a connection.
pub(crate) fn run(options: &Options) -> Result<Value> {
    let blocks = options.piece_length / BLOCK;
    ensure!(blocks > 0, "the piece length must be 16 KiB at least");
    let mut readers = (0..options.connections)
        .map(|number| Reader::connect(number, options))
        .collect::<Result<Vec<_>>>()?;
    for reader in &mut readers {
        reader.shake_hands()?;
    }
    println!("ready");
    io::stdout().flush()?;

    let is_over = Arc::new(AtomicBool::new(false));
    let at_end = Arc::clone(&is_over);
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        at_end.store(true, Ordering::Relaxed);
    });
    let mut buffer = vec![0; options.rate];
    let began = now();
    let beat = Duration::from_secs(1) / u32::try_from(BEATS)?;
    let mut next = began;
    for turn in (0..BEATS).cycle() {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        for reader in readers.iter_mut().skip(turn).step_by(BEATS) {
            reader.read(&mut buffer)?;
            reader.ask(blocks, options.pieces)?;
        }
        next += beat;
        thread::sleep(next.saturating_duration_since(now()));
    }
    let received = readers.iter().map(|reader| reader.received).sum();
    Ok(json!({
        "connections": readers.len(),
        "seconds": began.elapsed().as_secs_f64(),
        "gib": gib(received),
    }))
}

impl Reader {
    /// A peer that is interested from the start.
    fn connect(number: u16, options: &Options) -> Result<Self> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        // Before the connection, so that no more than this is ever under way.
        sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
        let source = SocketAddrV4::new(address(number), 0);
        bind(&socket, &source).with_context(|| format!("cannot bind {source}"))?;
        connect(&socket, &options.server)
            .with_context(|| format!("cannot connect to {}", options.server))?;
        let mut stream = TcpStream::from(socket);
        let mut hello = Vec::with_capacity(HANDSHAKE + 5);
        hello.extend_from_slice(PROTOCOL);
        hello.extend_from_slice(&[0; 8]);
        hello.extend_from_slice(&options.info_hash);
        hello.extend_from_slice(format!("-SL0100-{number:012}").as_bytes());
        hello.extend_from_slice(&[0, 0, 0, 1, INTERESTED]);
        stream.write_all(&hello)?;
        Ok(Self {
            stream,
            number: number.into(),
            received: 0,
            asked: 0,
        })
    }

    fn shake_hands(&mut self) -> Result<()> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        let mut hello = [0; HANDSHAKE];
        self.stream
            .read_exact(&mut hello)
            .context("the seeder closed a connection")?;
        self.stream.set_nonblocking(true)?;
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<()> {
        match self.stream.read(buffer) {
            Ok(0) => bail!("the seeder closed connection {}", self.number),
            Ok(length) => self.received += u64::try_from(length)?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("cannot receive from the seeder"),
        }
        Ok(())
    }

    /// Asks for as many blocks as were read, once something has come. Every reader is at a place of its own.
    fn ask(&mut self, blocks: u32, pieces: u32) -> Result<()> {
        let wanted = self.received / u64::from(BLOCK) + OUTSTANDING;
        if self.received == 0 || self.asked >= wanted {
            return Ok(());
        }
        let mut requests = Vec::new();
        for block in self.asked..wanted {
            let block = u32::try_from(block)?;
            let piece = self.number.wrapping_mul(7).wrapping_add(block / blocks) % pieces;
            requests.extend_from_slice(&[0, 0, 0, 13, REQUEST]);
            for field in [piece, block % blocks * BLOCK, BLOCK] {
                requests.extend_from_slice(&field.to_be_bytes());
            }
        }
        self.asked = wanted;
        // Two kilobytes at most, which a socket that sends nothing else has room for.
        self.stream
            .write_all(&requests)
            .context("cannot send to the seeder")
    }
}

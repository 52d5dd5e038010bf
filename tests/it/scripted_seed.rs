//! A seed that behaves as a test wants, over a real socket of the loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use bytes::{Bytes, BytesMut};
use sower::proto::id::{InfoHash, PeerId};
use sower::proto::wire::extension::{EXTENSION_HANDSHAKE, ExtensionHandshake};
use sower::proto::wire::handshake::{self, Handshake, Reserved};
use sower::proto::wire::message::{self, Limits, Message, RawBlock};
use tokio::sync::mpsc;

/// What a seed does when it is asked for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Sends it.
    Honest,
    /// Sends bytes that are not the torrent's.
    Lies,
    /// Sends nothing, ever.
    Stalls,
    /// Sends bytes that are no messages.
    Babbles,
    /// Rejects it, ever again (BEP 6).
    Rejects,
    /// Sends it, but after every third chokes and unchokes at once, forgetting what it was asked for (BEP 3).
    Forgets,
    /// Sends blocks and messages that nobody asked for, then the block.
    Interrupts,
    /// Sends so many, then nothing.
    GivesOutAfter(usize),
    /// Hangs up.
    HangsUp,
    /// Sends it, but has only each second piece, from the first or from the second on.
    HasHalf(bool),
    /// Is never asked, for it never unchokes.
    NeverUnchokes,
}

/// What a seed gives.
pub(crate) struct Content {
    pub(crate) info_hash: InfoHash,
    pub(crate) piece_length: u32,
    /// The torrent's bytes end to end, pads among them.
    pub(crate) bytes: Vec<u8>,
}

/// A listening seed. Each connection has a thread.
pub(crate) struct ScriptedSeed {
    pub(crate) address: SocketAddr,
    /// Every block that it was asked for, as it comes.
    pub(crate) asked: mpsc::UnboundedReceiver<RawBlock>,
    connections: Arc<AtomicUsize>,
}

impl ScriptedSeed {
    pub(crate) fn start(content: Arc<Content>, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, asked) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming() {
                counted.fetch_add(1, Relaxed);
                let (content, tell) = (Arc::clone(&content), tell.clone());
                let stream = stream.unwrap();
                thread::spawn(move || Conversation::begin(stream, content, manner, tell).hold());
            }
        });
        Self {
            address,
            asked,
            connections,
        }
    }

    /// How often it was called.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// The blocks that it was asked for up to now.
    pub(crate) fn requests(&mut self) -> Vec<RawBlock> {
        std::iter::from_fn(|| self.asked.try_recv().ok()).collect()
    }
}

struct Conversation {
    stream: TcpStream,
    received: BytesMut,
    content: Arc<Content>,
    manner: Manner,
    tell: mpsc::UnboundedSender<RawBlock>,
    answered: usize,
}

impl Conversation {
    fn begin(
        stream: TcpStream,
        content: Arc<Content>,
        manner: Manner,
        tell: mpsc::UnboundedSender<RawBlock>,
    ) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            received: BytesMut::new(),
            content,
            manner,
            tell,
            answered: 0,
        }
    }

    /// Goes on until either side hangs up.
    fn hold(mut self) -> Option<()> {
        let reserved = match self.manner {
            Manner::Forgets => Reserved::default(),
            _ => Reserved::OURS,
        };
        let ours = Handshake {
            reserved,
            info_hash: self.content.info_hash,
            peer_id: PeerId::from(*b"-XX0001-scriptedseed"),
        };
        self.stream.write_all(&ours.encode()).ok()?;
        while self.received.len() < handshake::LENGTH {
            self.read()?;
        }
        let theirs = self.received.split_to(handshake::LENGTH);
        assert_eq!(&theirs[28..48], self.content.info_hash.as_bytes());
        if let Manner::HasHalf(first) = self.manner {
            let mask = if first { 0xaa } else { 0x55 };
            let half = full_bitfield(&self.content)
                .iter()
                .map(|byte| byte & mask)
                .collect();
            self.say(&Message::Bitfield(half))?;
        } else if reserved.has_fast() {
            self.say(&Message::HaveAll)?;
        } else {
            self.say(&Message::Bitfield(full_bitfield(&self.content)))?;
        }
        if reserved.has_extension_protocol() {
            let payload = ExtensionHandshake {
                max_requests: Some(100),
                ..ExtensionHandshake::default()
            };
            let (id, payload) = (EXTENSION_HANDSHAKE, payload.encode());
            self.say(&Message::Extended { id, payload })?;
        }
        loop {
            match self.next()? {
                Message::Interested if self.manner != Manner::NeverUnchokes => {
                    self.say(&Message::Unchoke)?;
                }
                Message::Request(block) => {
                    let _ = self.tell.send(block);
                    self.answer(block)?;
                }
                _ => {}
            }
        }
    }

    fn answer(&mut self, block: RawBlock) -> Option<()> {
        self.answered += 1;
        match self.manner {
            Manner::Honest | Manner::HasHalf(_) => self.give(block),
            Manner::Lies => self.say(&Message::Piece {
                index: block.index,
                begin: block.begin,
                data: vec![0xbb; block.length as usize].into(),
            }),
            Manner::GivesOutAfter(most) if self.answered <= most => self.give(block),
            Manner::Stalls | Manner::GivesOutAfter(_) => Some(()),
            Manner::Babbles => self.stream.write_all(&[0xff; 1_000]).ok(),
            Manner::Rejects => self.say(&Message::Reject(block)),
            Manner::Forgets => {
                self.give(block)?;
                if self.answered.is_multiple_of(3) {
                    self.forget_requests()?;
                }
                Some(())
            }
            Manner::Interrupts => {
                for index in [0, 1, u32::MAX] {
                    let (begin, data) = (1, vec![7; 16_384].into());
                    self.say(&Message::Piece { index, begin, data })?;
                }
                let payload = Bytes::from_static(b"no bencode");
                self.say(&Message::Extended { id: 77, payload })?;
                self.say(&Message::Unknown(99))?;
                self.say(&Message::AllowedFast(0))?;
                self.give(block)
            }
            Manner::HangsUp | Manner::NeverUnchokes => None,
        }
    }

    fn give(&mut self, block: RawBlock) -> Option<()> {
        let at = block.index as usize * self.content.piece_length as usize + block.begin as usize;
        let data = Bytes::copy_from_slice(&self.content.bytes[at..at + block.length as usize]);
        self.say(&Message::Piece {
            index: block.index,
            begin: block.begin,
            data,
        })
    }

    fn forget_requests(&mut self) -> Option<()> {
        self.say(&Message::Choke)?;
        let limits = Limits::for_pieces(1 << 20);
        while let Ok(Some(_)) = message::decode(&mut self.received, &limits) {}
        self.say(&Message::Unchoke)
    }

    fn next(&mut self) -> Option<Message> {
        let limits = Limits::for_pieces(1 << 20);
        loop {
            if let Some(message) = message::decode(&mut self.received, &limits).unwrap() {
                return Some(message);
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Option<()> {
        let mut buffer = [0; 4_096];
        let read = self
            .stream
            .read(&mut buffer)
            .ok()
            .filter(|read| *read > 0)?;
        self.received.extend_from_slice(&buffer[..read]);
        Some(())
    }

    fn say(&mut self, message: &Message) -> Option<()> {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        self.stream.write_all(&bytes).ok()
    }
}

fn full_bitfield(content: &Content) -> Bytes {
    let pieces = content.bytes.len().div_ceil(content.piece_length as usize);
    let mut bits = vec![0_u8; pieces.div_ceil(8)];
    for piece in 0..pieces {
        bits[piece / 8] |= 0x80 >> (piece % 8);
    }
    bits.into()
}

//! A scripted peer: one that says exactly what a test wants, over a real socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::BytesMut;
use socket2::{Domain, Socket, Type};
use sower::proto::id::{InfoHash, PeerId};
use sower::proto::wire::handshake::{self, Handshake, Reserved};
use sower::proto::wire::message::{self, Limits, Message, RawBlock};

use crate::support::PATIENCE;

pub(crate) struct ScriptedPeer {
    stream: TcpStream,
    received: BytesMut,
}

impl ScriptedPeer {
    /// Connects and shakes hands, speaking everything that Sower speaks.
    pub(crate) fn greet(address: &str, info_hash: InfoHash) -> Self {
        Self::greet_speaking(address, info_hash, Reserved::OURS)
    }

    /// Connects from another address of the loopback and shakes hands.
    pub(crate) fn greet_from(source: &str, address: &str, info_hash: InfoHash) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let source: SocketAddr = format!("{source}:0").parse().unwrap();
        let address: SocketAddr = address.parse().unwrap();
        socket.bind(&source.into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into()).shake_hands(info_hash, Reserved::OURS)
    }

    /// Connects and shakes hands, speaking what `reserved` says.
    pub(crate) fn greet_speaking(address: &str, info_hash: InfoHash, reserved: Reserved) -> Self {
        Self::connect(address).shake_hands(info_hash, reserved)
    }

    /// Connects and says nothing.
    pub(crate) fn connect(address: &str) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            received: BytesMut::new(),
        }
    }

    fn shake_hands(self, info_hash: InfoHash, reserved: Reserved) -> Self {
        let (peer, theirs) = self.greeted(info_hash, reserved);
        assert_eq!(theirs.info_hash, info_hash);
        peer
    }

    /// Shakes hands, and gives what the server said.
    pub(crate) fn greeted(mut self, info_hash: InfoHash, reserved: Reserved) -> (Self, Handshake) {
        let ours = Handshake {
            reserved,
            info_hash,
            peer_id: PeerId::from(*b"-XX0001-scriptedpeer"),
        };
        self.say(&ours.encode());
        let mut theirs = [0; handshake::LENGTH];
        self.stream.read_exact(&mut theirs).unwrap();
        let theirs = Handshake::decode(&theirs).expect("a handshake");
        assert!(theirs.peer_id.as_bytes().starts_with(b"-SW"));
        (self, theirs)
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn send(&mut self, message: &Message) {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes);
        self.say(&bytes);
    }

    pub(crate) fn request(&mut self, index: u32, begin: u32, length: u32) {
        self.send(&Message::Request(RawBlock {
            index,
            begin,
            length,
        }));
    }

    /// The next message that is not a keep-alive; `None` when the connection has been closed.
    pub(crate) fn next(&mut self) -> Option<Message> {
        let limits = Limits::for_pieces(1_000_000);
        loop {
            if let Some(message) = message::decode(&mut self.received, &limits).unwrap() {
                if message != Message::KeepAlive {
                    return Some(message);
                }
                continue;
            }
            let mut bytes = [0; 64 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.received.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came for {PATIENCE:?}: {error}"),
            }
        }
    }

    /// Passes over messages until one is of interest.
    pub(crate) fn next_that<T>(&mut self, mut pick: impl FnMut(Message) -> Option<T>) -> T {
        loop {
            if let Some(picked) = pick(self.next().expect("the connection stays open")) {
                return picked;
            }
        }
    }

    /// Says that it is interested and waits until it may request.
    pub(crate) fn become_unchoked(&mut self) {
        self.send(&Message::Interested);
        self.next_that(|message| (message == Message::Unchoke).then_some(()));
    }

    /// Requests a block and waits for its bytes.
    pub(crate) fn fetch(&mut self, index: u32, begin: u32, length: u32) -> Vec<u8> {
        self.request(index, begin, length);
        self.next_that(|message| match message {
            Message::Piece {
                index: i,
                begin: b,
                data,
            } if (i, b) == (index, begin) => Some(data.to_vec()),
            _ => None,
        })
    }

    /// Whether the server closes the connection, whatever it says before.
    pub(crate) fn is_closed(&mut self) -> bool {
        while self.next().is_some() {}
        true
    }
}

//! A scripted peer: one that says exactly what a test wants, over a real socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use bytes::BytesMut;
use rand::SeedableRng;
use rand::rngs::StdRng;
use socket2::{Domain, Socket, Type};
use sower::proto::id::{InfoHash, PeerId};
use sower::proto::wire::encryption::{Calling, Keystreams, Methods};
use sower::proto::wire::handshake::{self, Handshake, Reserved};
use sower::proto::wire::message::{self, Limits, Message, RawBlock};

use crate::support::PATIENCE;

pub(crate) struct ScriptedPeer {
    stream: TcpStream,
    received: BytesMut,
    keystreams: Option<Keystreams>,
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
            keystreams: None,
        }
    }

    /// Connects and shakes hands encrypted, taking `methods`. The bytes go out `count` at a time, and the handshake with the first payload.
    pub(crate) fn greet_encrypted(
        address: &str,
        info_hash: InfoHash,
        methods: Methods,
        count: usize,
    ) -> Self {
        let mut peer = Self::connect(address);
        let payload = handshake_of(info_hash, Reserved::OURS).encode().to_vec();
        let mut out = Vec::new();
        let mut calling = Calling::new(
            info_hash,
            methods,
            payload,
            &mut out,
            &mut StdRng::seed_from_u64(1),
        );
        let agreement = loop {
            out.chunks(count).for_each(|bytes| peer.say(bytes));
            out.clear();
            assert!(peer.receive(), "the connection stays open");
            if let Some(agreement) = calling.advance(&mut peer.received, &mut out).unwrap() {
                break agreement;
            }
        };
        peer.keystreams = agreement.keystreams;
        let theirs = peer.exactly(handshake::LENGTH);
        let theirs = theirs.first_chunk().and_then(Handshake::decode);
        assert_eq!(theirs.expect("a handshake").info_hash, info_hash);
        peer
    }

    /// Whether everything on the connection is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.keystreams.is_some()
    }

    fn shake_hands(self, info_hash: InfoHash, reserved: Reserved) -> Self {
        let (peer, theirs) = self.greeted(info_hash, reserved);
        assert_eq!(theirs.info_hash, info_hash);
        peer
    }

    /// Shakes hands, and gives what the server said.
    pub(crate) fn greeted(mut self, info_hash: InfoHash, reserved: Reserved) -> (Self, Handshake) {
        self.say(&handshake_of(info_hash, reserved).encode());
        let mut theirs = [0; handshake::LENGTH];
        self.stream.read_exact(&mut theirs).unwrap();
        let theirs = Handshake::decode(&theirs).expect("a handshake");
        assert!(theirs.peer_id.as_bytes().starts_with(b"-SW"));
        (self, theirs)
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        if let Some(keystreams) = &mut self.keystreams {
            keystreams.outgoing.apply(&mut bytes);
        }
        self.stream.write_all(&bytes).unwrap();
    }

    /// The next bytes as they come, so many of them.
    pub(crate) fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            assert!(self.receive(), "the connection stays open");
        }
        self.received.split_to(count).to_vec()
    }

    /// Waits for more bytes; `false` when the connection has been closed.
    fn receive(&mut self) -> bool {
        let mut bytes = [0; 64 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => return false,
            Ok(count) => {
                let bytes = &mut bytes[..count];
                if let Some(keystreams) = &mut self.keystreams {
                    keystreams.incoming.apply(bytes);
                }
                self.received.extend_from_slice(bytes);
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return false,
            Err(error) => panic!("nothing came for {PATIENCE:?}: {error}"),
        }
        true
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
            if !self.receive() {
                return None;
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

    /// The first bytes of the torrent, if the server gives them, and neither refuses nor closes the connection.
    pub(crate) fn try_fetch(&mut self) -> Option<Vec<u8>> {
        let request = RawBlock {
            index: 0,
            begin: 0,
            length: 10,
        };
        for (message, answer) in [
            (Message::Interested, Some(Message::Unchoke)),
            (Message::Request(request), None),
        ] {
            let mut bytes = BytesMut::new();
            message.encode(&mut bytes);
            self.stream.write_all(&bytes).ok()?;
            loop {
                match self.next()? {
                    Message::Piece { data, .. } => return Some(data.to_vec()),
                    Message::Reject(_) => return None,
                    message if Some(&message) == answer.as_ref() => break,
                    _ => {}
                }
            }
        }
        None
    }

    /// Whether the server closes the connection, whatever it says before.
    pub(crate) fn is_closed(&mut self) -> bool {
        while self.receive() {
            self.received.clear();
        }
        true
    }
}

fn handshake_of(info_hash: InfoHash, reserved: Reserved) -> Handshake {
    Handshake {
        reserved,
        info_hash,
        peer_id: PeerId::from(*b"-XX0001-scriptedpeer"),
    }
}

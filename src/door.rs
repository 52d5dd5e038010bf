//! The one port: web browsers and BitTorrent peers come in by the same door.
//!
//! The first bytes tell them apart: an HTTP request begins with a method in capital letters (RFC 9110), a peer's handshake with its protocol's name
//! (BEP 3), an encrypted one with random bytes. They are looked at and left in place, so each service reads its stream from the start. A connection that
//! does not say what it is is closed after a deadline, and there is a bound on how many may be undecided, in all and from one address.
//!
//! A trusted proxy may put a header of the [PROXY protocol](crate::proto::proxy) before all of it. Its beginning is that of `POST`, so
//! these connections are read instead of looked at, and what was read goes to the service with the stream. So is what comes in dribs.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::networks::Networks;
use crate::engine::limits::Connections;
use crate::proto::proxy;
use crate::proto::wire::handshake;

/// Connections that the system holds ready for us to accept.
const BACKLOG: i32 = 1024;

/// How long to wait when the system has no descriptors left: accepting again at once would only spin.
const OUT_OF_DESCRIPTORS_PAUSE: Duration = Duration::from_millis(100);

/// Room for what a proxy says before everything else, as a rule.
const HEADER_ROOM: usize = 256;

/// Bytes that always tell what a connection speaks.
const TELLING: usize = 20;

/// Letters of the longest method of HTTP that is waited for.
const LONGEST_METHOD: usize = 8;

/// What a connection over TLS begins with: a handshake record of version 3 (RFC 8446, 5.1).
const TLS: [u8; 2] = [22, 3];

/// The bounds of the door.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Seconds in which a connection must say its first bytes, so many that they tell what it speaks.
    pub first_byte_timeout: u64,
    /// Seconds that an HTTP connection may take over the head of a request, and stay open between two.
    pub head_timeout: u64,
    /// Connections that have said nothing yet, in all.
    pub undecided: usize,
    /// Connections that have said nothing yet, from one address.
    pub undecided_per_address: usize,
    /// HTTP connections that may be open, in all.
    pub http_connections: usize,
    /// Bytes for each connection that the system takes ahead of what is under way, at most: they are its memory, not ours.
    pub unsent: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            first_byte_timeout: 10,
            head_timeout: 10,
            undecided: 1_024,
            undecided_per_address: 64,
            http_connections: 8_192,
            unsent: 64 * 1024,
        }
    }
}

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// HTTP/1.
    Http,
    /// The peer protocol of BitTorrent, encrypted or not.
    Peer,
    /// Something that has no service here.
    Unknown,
}

impl Speech {
    /// Tells by the first bytes of a connection. `None` while they may still become one or another.
    ///
    /// An encrypted peer begins with random bytes. One in 200,000 is taken for HTTP, and one in 65,536 for TLS: their clients try again.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
        let method = bytes.iter().take_while(|byte| byte.is_ascii_uppercase());
        let method = method.take(LONGEST_METHOD).count();
        let told = match bytes.get(method) {
            _ if bytes.starts_with(&TLS) => Self::Unknown,
            Some(b' ') if method >= 3 => Self::Http,
            _ if method == LONGEST_METHOD => Self::Http,
            _ if bytes.len() >= TELLING && bytes.iter().all(is_text) => Self::Unknown,
            _ if bytes.len() >= TELLING => Self::Peer,
            _ if TLS.starts_with(bytes) || handshake::may_begin(bytes) => return None,
            _ if bytes.iter().all(is_text) => return None,
            _ => Self::Peer,
        };
        Some(told)
    }
}

/// Who is let in by a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guests {
    /// Browsers and peers: the one port.
    All,
    /// Peers only: a port of their own, beside a reverse proxy.
    PeersOnly,
}

/// A connection and whoever it is of.
#[derive(Debug)]
pub struct Arrival {
    /// The connection.
    pub stream: TcpStream,
    /// What was read of it already.
    pub received: BytesMut,
    /// Where it came from, by its own address or by the word of a trusted proxy.
    pub source: SocketAddr,
}

/// What stands behind the door. Each call is one connection.
pub trait Services: Clone + Send + 'static {
    /// Serves an HTTP connection until it ends.
    fn http(&self, arrival: Arrival) -> impl Future<Output = ()> + Send;

    /// Takes a peer in, to be served as long as it stays.
    fn peer(&self, arrival: Arrival) -> impl Future<Output = ()> + Send;
}

/// A listening socket, and who may come in by it.
#[derive(Debug)]
pub struct Entrance {
    /// The socket.
    pub listener: TcpListener,
    /// Who is let in.
    pub guests: Guests,
    /// The proxies that are believed about where a connection came from.
    pub trusted_proxies: Arc<Networks>,
}

/// Opens a listening socket. An IPv6 wildcard takes IPv4 as well, and becomes the IPv4 one where the system has no IPv6.
///
/// # Errors
/// Whatever the system says: most often that the port is taken or needs privileges.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bind(address, Type::STREAM, Protocol::TCP)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Opens a port for packets (UDP), likewise. The socket does not block.
///
/// # Errors
/// As [`listen`].
pub fn listen_for_packets(address: SocketAddr) -> io::Result<UdpSocket> {
    bind(address, Type::DGRAM, Protocol::UDP).map(UdpSocket::from)
}

fn bind(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let bind = |address: SocketAddr| {
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        if kind == Type::STREAM {
            // Connections of a run before may linger; two programs on one port of packets must not be.
            socket.set_reuse_address(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    match bind(address) {
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() && !has_ipv6() => {
            bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        bound => bound,
    }
}

fn has_ipv6() -> bool {
    Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)).is_ok()
}

/// Lets connections in until shutdown, each in a task of its own.
pub async fn open<S: Services>(
    entrance: Entrance,
    services: S,
    options: &Options,
    tasks: &TaskTracker,
    shutdown: &CancellationToken,
) {
    let Entrance {
        listener,
        guests,
        trusted_proxies,
    } = entrance;
    let undecided = Connections::new(options.undecided, options.undecided_per_address);
    // All that a proxy brings comes from its one address.
    let from_proxies = Connections::new(options.undecided, options.undecided);
    let http = Connections::new(options.http_connections, options.http_connections);
    let patience = Duration::from_secs(options.first_byte_timeout);
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, source) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted now");
                sleep(OUT_OF_DESCRIPTORS_PAUSE).await;
                continue;
            }
        };
        // Left to itself, the system takes megabytes for whoever asks for much and reads little: thousands of those fill what it has for all of
        // TCP. What waits here is also out of the processor's caches when it leaves. Where there is no such bound, it stays as it was.
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(options.unsent);
        let is_proxy = trusted_proxies.contain(source.ip());
        let waiting_room = if is_proxy { &from_proxies } else { &undecided };
        let Some(waiting) = waiting_room.enter(source.ip().to_canonical()) else {
            tracing::debug!(%source, "too many connections have said nothing yet");
            continue;
        };
        let (services, http, shutdown) = (services.clone(), http.clone(), shutdown.clone());
        let undecided = undecided.clone();
        let mut arrival = Arrival {
            stream,
            received: BytesMut::new(),
            source,
        };
        tasks.spawn(async move {
            let met = async {
                if is_proxy {
                    arrival.brought_by_proxy(&undecided).await
                } else {
                    arrival.first_speech().await
                }
            };
            let speech = tokio::select! {
                () = shutdown.cancelled() => return,
                speech = timeout(patience, met) => speech,
            };
            drop(waiting);
            let source = arrival.source;
            match speech {
                Ok(Ok(Speech::Peer)) => services.peer(arrival).await,
                Ok(Ok(Speech::Http)) if guests == Guests::All => {
                    let Some(_place) = http.enter(source.ip()) else {
                        return tracing::debug!(%source, "no place for another HTTP connection");
                    };
                    services.http(arrival).await;
                }
                Ok(Ok(Speech::Http | Speech::Unknown)) => {
                    tracing::debug!(%source, "the connection speaks nothing that is served here");
                }
                Ok(Err(error)) => tracing::debug!(%source, %error, "the connection failed"),
                Err(_) => tracing::debug!(%source, "the connection has said nothing"),
            }
        });
    }
}

impl Arrival {
    /// Waits for the first bytes. They are left where they are if they tell at once, and else read.
    async fn first_speech(&mut self) -> io::Result<Speech> {
        if self.received.is_empty() {
            let mut first = [0; TELLING];
            let count = self.stream.peek(&mut first).await?;
            if let Some(speech) = Speech::of(&first[..count]) {
                return Ok(speech);
            }
        }
        loop {
            if let Some(speech) = Speech::of(&self.received) {
                return Ok(speech);
            }
            self.received.reserve(HEADER_ROOM);
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Learns from a trusted proxy where the connection came from, if it says so, and waits for the first byte behind that. While
    /// whoever it is says nothing, it counts like everybody else.
    async fn brought_by_proxy(&mut self, undecided: &Connections) -> io::Result<Speech> {
        let header = loop {
            let reading = proxy::read(&self.received)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            match reading {
                proxy::Reading::Header(header) => break header,
                proxy::Reading::Absent => return self.first_speech().await,
                proxy::Reading::Part => {}
            }
            self.received.reserve(HEADER_ROOM);
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        self.received.advance(header.length);
        let Some(source) = header.source else {
            return self.first_speech().await;
        };
        self.source = source;
        let Some(_waiting) = undecided.enter(source.ip().to_canonical()) else {
            return Err(io::Error::other(
                "too many connections have said nothing yet",
            ));
        };
        self.first_speech().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the bytes tell, and that fewer of them tell the same or nothing yet.
    fn told(bytes: &[u8]) -> Option<Speech> {
        let told = Speech::of(bytes);
        for cut in 0..bytes.len() {
            let earlier = Speech::of(&bytes[..cut]);
            assert!(earlier.is_none() || earlier == told, "cut at {cut}");
        }
        told
    }

    #[test]
    fn every_method_is_http_and_a_handshake_is_a_peer() {
        for method in [
            "GET",
            "HEAD",
            "POST",
            "PUT",
            "DELETE",
            "OPTIONS",
            "PATCH",
            "TRACE",
            "CONNECT",
            "PRI",
            "PROPFIND",
            "BASELINE-CONTROL",
        ] {
            let request = format!("{method} /a HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(told(request.as_bytes()), Some(Speech::Http), "{method}");
        }
        assert_eq!(told(handshake::PROTOCOL), Some(Speech::Peer));
    }

    #[test]
    fn random_bytes_are_an_encrypted_peer() {
        for first in [0, 19, 22, b'A', b'a', 0xff] {
            let mut bytes = [0xd7; 96];
            bytes[0] = first;
            assert_eq!(told(&bytes), Some(Speech::Peer), "{first}");
        }
    }

    #[test]
    fn tls_and_other_texts_have_no_service() {
        let hello = [&[22, 3, 1, 2, 0][..], &[1; 40]].concat();
        assert_eq!(told(&hello), Some(Speech::Unknown));
        for text in [
            "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
            "get / http/1.1\r\nhost: a\r\n",
        ] {
            assert_eq!(told(text.as_bytes()), Some(Speech::Unknown));
        }
    }

    #[test]
    fn a_few_bytes_tell_nothing_yet() {
        for bytes in [
            &b""[..],
            b"GE",
            b"\x13",
            b"\x13BitTorrent",
            b"\x16",
            b"hello",
        ] {
            assert_eq!(Speech::of(bytes), None);
        }
    }

    #[tokio::test]
    async fn any_address_takes_both_families_and_port_zero_finds_a_free_one() {
        let listener = listen("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_ne!(port, 0);
        let (connected, accepted) = tokio::join!(
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)),
            listener.accept()
        );
        assert!(connected.is_ok() && accepted.is_ok());
    }

    /// Writes as much as the system takes of it.
    #[derive(Clone)]
    struct Flood(tokio::sync::mpsc::UnboundedSender<usize>);

    impl Services for Flood {
        async fn http(&self, arrival: Arrival) {
            let mut taken = 0;
            let refused = loop {
                arrival.stream.writable().await.unwrap();
                match arrival.stream.try_write(&[7; 16 * 1024]) {
                    Ok(written) => taken += written,
                    Err(error) => break error,
                }
            };
            assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
            self.0.send(taken).unwrap();
        }

        async fn peer(&self, _: Arrival) {}
    }

    #[tokio::test]
    async fn little_is_taken_ahead_for_who_reads_nothing() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let entrance = Entrance {
            listener,
            guests: Guests::All,
            trusted_proxies: Arc::default(),
        };
        let (taken, mut counts) = tokio::sync::mpsc::unbounded_channel();
        let tasks = TaskTracker::new();
        let shutdown = CancellationToken::new();
        let options = Options::default();
        let opened = open(entrance, Flood(taken), &options, &tasks, &shutdown);
        let visit = async {
            let reader = TcpStream::connect(address).await.unwrap();
            reader.writable().await.unwrap();
            reader.try_write(b"GET / HTTP/1.1\r\n").unwrap();
            let taken = counts.recv().await.unwrap();
            let window = SockRef::from(&reader).recv_buffer_size().unwrap();
            shutdown.cancel();
            (taken, window)
        };
        let ((), (taken, window)) = tokio::join!(opened, visit);
        // The last packet may go over the bound.
        let bound = window + options.unsent as usize + 64 * 1024;
        assert!(taken <= bound, "{taken} bytes taken of {bound}");
    }
}

//! The DHT: finds peers without a tracker, and lets ours be found (BEP 5, 32, 43).
//!
//! Here are only the socket and the wait: what is said, to whom and how often is decided by [`Node`]. One task owns both; whoever searches
//! sends it a command. Private torrents must never come here (BEP 27): whoever calls sees to that.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::net::{UdpSocket, lookup_host};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::ambient;
use crate::domain::dht::figures::Figures;
use crate::domain::dht::node::{Bounds, Event, Node, SearchId};
use crate::proto::dht::Want;
use crate::proto::id::InfoHash;

/// Searches that wait for the node to have room, at most; whoever brings more waits too.
const WAITING: usize = 16;

/// Nodes of peers that wait to be asked, at most; the rest is lost.
const HEARD: usize = 64;

/// How often addresses to begin with are looked up again.
const ENTRY_INTERVAL: Duration = Duration::from_mins(5);

/// How long one look-up may take.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two times that the node is counted, at least.
const FIGURES_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of a packet that are read: more is no message.
const PACKET: usize = 2048;

/// How the DHT is taken part in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The address with the port of the server's node; empty: the server takes no part.
    pub listen: String,
    /// Nodes to begin with, by host and port.
    pub bootstrap: Vec<String>,
    /// Whether the server's node asks others and answers nobody.
    pub read_only: bool,
    /// Seconds from one announce of a torrent to its next, at least.
    pub announce_interval: u64,
    /// Searches and announces at a time.
    pub searches: usize,
    /// Questions that are asked in a second, over longer times.
    pub queries_per_second: u32,
    /// Seconds that a node may take to answer.
    pub query_timeout: u64,
    /// Questions that one network may ask in a minute; zero: any number.
    pub queries_per_minute: u32,
    /// Peers of others that are remembered, in all.
    pub stored_peers: usize,
    /// Peers of others that are remembered of one torrent.
    pub stored_peers_per_torrent: usize,
}

impl Default for Options {
    fn default() -> Self {
        let bootstrap = [
            "dht.libtorrent.org:25401",
            "dht.transmissionbt.com:6881",
            "router.bittorrent.com:6881",
        ];
        Self {
            listen: String::new(),
            bootstrap: bootstrap.map(str::to_owned).to_vec(),
            read_only: false,
            announce_interval: 1500,
            searches: 8,
            queries_per_second: 50,
            query_timeout: 3,
            queries_per_minute: 600,
            stored_peers: 50_000,
            stored_peers_per_torrent: 500,
        }
    }
}

/// A way to the node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Dht {
    commands: mpsc::Sender<Command>,
    heard: mpsc::Sender<SocketAddr>,
    /// Written by the worker, once a second at most.
    figures: Arc<Mutex<Figures>>,
}

#[derive(Debug)]
struct Command {
    torrent: InfoHash,
    announce: Option<NonZeroU16>,
    /// Batches of peers; what does not fit is lost, for then there are more than anybody could use.
    found: Option<mpsc::Sender<Vec<SocketAddr>>>,
    /// How many nodes took the announce. Dropped where nobody waits any more.
    done: oneshot::Sender<usize>,
}

/// The task behind a [`Dht`].
pub struct Worker {
    socket: UdpSocket,
    is_v6: bool,
    node: Node,
    bootstrap: Vec<String>,
    commands: mpsc::Receiver<Command>,
    /// Where nodes are said to be.
    heard: mpsc::Receiver<SocketAddr>,
    searches: HashMap<SearchId, Command>,
    figures: Arc<Mutex<Figures>>,
    figures_due: Instant,
}

impl Dht {
    /// A node on a socket of its own. It begins with the nodes of the options and with `entries`, by host and port.
    ///
    /// # Errors
    /// What the system says of the socket.
    pub fn open(
        socket: std::net::UdpSocket,
        options: &Options,
        entries: impl IntoIterator<Item = String>,
    ) -> io::Result<(Self, Worker)> {
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        let is_v6 = socket.local_addr()?.is_ipv6();
        let bounds = Bounds {
            families: Want {
                v4: true,
                v6: is_v6,
            },
            is_read_only: options.read_only,
            queries_per_second: options.queries_per_second,
            query_timeout: Duration::from_secs(options.query_timeout),
            queries_per_minute: options.queries_per_minute,
            searches: options.searches.max(1),
            stored_peers: options.stored_peers,
            stored_peers_per_torrent: options.stored_peers_per_torrent,
        };
        let (commands, received) = mpsc::channel(WAITING);
        let (tell, heard) = mpsc::channel(HEARD);
        let figures = Arc::default();
        let worker = Worker {
            figures: Arc::clone(&figures),
            figures_due: ambient::now(),
            socket,
            is_v6,
            node: Node::new(bounds, ambient::now(), &mut ambient::rng()),
            bootstrap: options.bootstrap.iter().cloned().chain(entries).collect(),
            commands: received,
            heard,
            searches: HashMap::new(),
        };
        let dht = Self {
            commands,
            heard: tell,
            figures,
        };
        Ok((dht, worker))
    }

    /// Takes addresses where others say that their nodes are.
    pub fn heard(&self) -> mpsc::Sender<SocketAddr> {
        self.heard.clone()
    }

    /// What the node knows and has done.
    pub fn figures(&self) -> Figures {
        *self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces a peer at our address with that port; how many nodes took it.
    pub async fn announce(&self, torrent: InfoHash, port: NonZeroU16) -> usize {
        self.search(torrent, Some(port), None).await
    }

    /// Looks for the peers of a torrent; they go into `found` in batches as they come. Cancel-safe.
    pub async fn find(&self, torrent: InfoHash, found: mpsc::Sender<Vec<SocketAddr>>) {
        self.search(torrent, None, Some(found)).await;
    }

    async fn search(
        &self,
        torrent: InfoHash,
        announce: Option<NonZeroU16>,
        found: Option<mpsc::Sender<Vec<SocketAddr>>>,
    ) -> usize {
        let (done, over) = oneshot::channel();
        let command = Command {
            torrent,
            announce,
            found,
            done,
        };
        // Where the node is gone, nothing is found.
        let _ = self.commands.send(command).await;
        over.await.unwrap_or_default()
    }
}

impl Worker {
    /// Takes part in the DHT until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let (tell, mut entries) = mpsc::channel(1);
        let mut entering = std::pin::pin!(keep_looking_up(self.bootstrap.clone(), tell));
        let mut has_entered = false;
        let mut packet = vec![0; PACKET];
        loop {
            self.send_packets().await;
            self.tell_events();
            self.tell_figures();
            let due = self.node.poll_timeout();
            tokio::select! {
                () = shutdown.cancelled() => return,
                received = self.socket.recv_from(&mut packet) => match received {
                    Ok((length, source)) => self.receive(&packet[..length], source),
                    Err(error) => return tracing::error!(%error, "the DHT's socket cannot be read; the DHT is off until the next start"),
                },
                // A search that began before there is anybody to ask would find nothing.
                Some(command) = self.commands.recv(), if has_entered && self.node.has_room() => self.begin(command),
                Some(address) = self.heard.recv() => self.node.hear_of(address, ambient::now(), &mut ambient::rng()),
                () = sleep_until(due.into()) => {
                    self.abandon_unwanted();
                    self.node.handle_timeout(ambient::now(), &mut ambient::rng());
                }
                () = &mut entering => {}
                Some(addresses) = entries.recv() => {
                    has_entered = true;
                    self.node.enter_by(addresses, ambient::now());
                }
            }
        }
    }

    fn begin(&mut self, command: Command) {
        let (now, rng) = (ambient::now(), &mut ambient::rng());
        let search = self
            .node
            .search(command.torrent, command.announce, now, rng);
        self.searches.insert(search, command);
    }

    fn receive(&mut self, packet: &[u8], source: SocketAddr) {
        let source = SocketAddr::new(source.ip().to_canonical(), source.port());
        self.node
            .handle_packet(packet, source, ambient::now(), &mut ambient::rng());
    }

    async fn send_packets(&mut self) {
        while let Some((to, packet)) = self.node.poll_packet() {
            let to = match to.ip() {
                IpAddr::V4(ip) if self.is_v6 => {
                    SocketAddr::new(ip.to_ipv6_mapped().into(), to.port())
                }
                _ => to,
            };
            // What cannot be sent is lost, as packets are.
            if let Err(error) = self.socket.send_to(&packet, to).await {
                tracing::trace!(%to, %error, "no packet to a node");
            }
        }
    }

    fn tell_events(&mut self) {
        while let Some(event) = self.node.poll_event() {
            match event {
                Event::Found(search, peers) => {
                    let command = self.searches.get(&search);
                    if let Some(found) = command.and_then(|command| command.found.as_ref()) {
                        let _ = found.try_send(peers);
                    }
                }
                Event::Done(search, accepted) => {
                    if let Some(command) = self.searches.remove(&search) {
                        let _ = command.done.send(accepted);
                    }
                }
            }
        }
    }

    /// Not after each packet: to count what is remembered takes time.
    fn tell_figures(&mut self) {
        let now = ambient::now();
        if now >= self.figures_due {
            self.figures_due = now + FIGURES_INTERVAL;
            *self.figures.lock().unwrap_or_else(PoisonError::into_inner) = self.node.figures();
        }
    }

    fn abandon_unwanted(&mut self) {
        let unwanted = self
            .searches
            .extract_if(|_, command| command.done.is_closed());
        for (search, _) in unwanted {
            self.node.abandon(search);
        }
    }
}

/// Looks up the addresses of nodes to begin with, again and again: their names may be known later.
async fn keep_looking_up(names: Vec<String>, tell: mpsc::Sender<Vec<SocketAddr>>) {
    loop {
        let mut addresses = Vec::new();
        for name in &names {
            match timeout(LOOK_UP_TIMEOUT, lookup_host(name.as_str())).await {
                Ok(Ok(found)) => addresses.extend(found),
                Ok(Err(error)) => tracing::debug!(%name, %error, "a DHT node has no address"),
                Err(_) => {
                    tracing::debug!(%name, "a DHT node's address cannot be looked up in time");
                }
            }
        }
        let _ = tell.send(addresses).await;
        sleep(ENTRY_INTERVAL).await;
    }
}

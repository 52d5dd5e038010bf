//! The composition root: builds the parts, starts them, and stops them in order.
//!
//! Start: the data directory is locked, the database opened, what a crash left behind swept up, the catalogue loaded, the port opened.
//! Stop: readiness goes off, the port is closed, requests under way are finished, peers are let go, totals are written down,
//! the database is closed.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

mod advertised;
mod announcing;
mod data_directory;
mod following;
mod forwarding;
mod gatekeeper;
mod house;
mod housekeeping;

use advertised::Advertised;
use announcing::DhtNode;
pub use data_directory::{Workbench, open_database};
use data_directory::{ingest, open_content, take_up};
use following::follow;
use forwarding::Forwarding;
use gatekeeper::Gatekeeper;
use house::{Hall, House};
use housekeeping::Housekeeper;

use crate::ambient;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::discovery::nat::Transport;
use crate::domain::networks::Networks;
use crate::door::{self, Entrance, Guests};
use crate::engine::{Engine, Identity};
use crate::proto::id::PeerId;
use crate::publish::Ingest;
use crate::reader::Reader;
use crate::scrub::Scrubber;
use crate::store::StoreError;
use crate::store::accounts::AccountStore;
use crate::store::lock::DataDirLock;
use crate::store::passkeys::PasskeyStore;
use crate::store::sqlite::SqliteStore;
use crate::tracker::{DenyFileError, EmbeddedSeed, Tracker, UdpTracker, WsTracker};
use crate::watch::{self, Watcher};
use crate::web;

/// How often another port is picked where one is free for connections and not for packets.
const PICKS: u32 = 16;

/// How long requests and peers may take to end at shutdown.
const DRAIN: Duration = Duration::from_secs(12);

/// Why the server does not start. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be made or written to.
    #[error(
        "the data directory {path} cannot be used; make it writable, or set data_dir to another"
    )]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The port cannot be opened.
    #[error("{address} cannot be listened on over {protocol}; choose another with `{key}`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// TCP or UDP.
        protocol: &'static str,
        /// The key of the configuration that names it.
        key: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The socket for packets cannot be set up.
    #[error("the socket of the UDP tracker and uTP cannot be set up")]
    Packets(#[source] io::Error),
    /// The system gives no threads.
    #[error("no threads can be started to let connections in")]
    Threads(#[source] io::Error),
    /// The socket of the DHT cannot be set up.
    #[error("the socket of the DHT cannot be set up")]
    Dht(#[source] io::Error),
    /// The router is to be asked, and this server cannot speak with it.
    #[error(
        "nat.enabled is true, but this server was built without the feature `nat`; build it with that, or set nat.enabled to false"
    )]
    NoNat,
    /// The public address is none.
    #[error("public_url is no address: {0}")]
    NoAddress(#[from] url::ParseError),
    /// The public address is none that links can begin with.
    #[error(transparent)]
    PublicUrl(#[from] web::PublicUrlError),
    /// The deny list cannot be read.
    #[error(transparent)]
    DenyList(#[from] DenyFileError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A running server.
pub struct App {
    listen: SocketAddr,
    url: Url,
    setup_link: Option<String>,
    engine: Engine,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    housekeeper: Housekeeper,
    ingest: Ingest,
    database: SqliteStore,
    _hall: Hall,
    _lock: DataDirLock,
}

impl App {
    /// Builds and starts a server, which runs until `shutdown`.
    ///
    /// # Errors
    /// [`StartError`], saying what to do.
    pub async fn start(config: Config, shutdown: CancellationToken) -> Result<Self, StartError> {
        let database = open_database(&config).await?;
        let lock = DataDirLock::acquire(&config.data_dir.0)?;
        let content = open_content(&config)?;
        let accounts: Arc<dyn AccountStore> = Arc::new(database.clone());
        let catalog = Catalog::load(Arc::new(database.clone()), &config.catalog).await?;
        let ingest = ingest(&config, &catalog, &content);
        let drafts = take_up(&config, &ingest, &database, &catalog, &*content).await?;

        let trusted_proxies: Networks = config.web.trusted_proxies.iter().copied().collect();
        let trusted_proxies = Arc::new(trusted_proxies);
        let hall = Hall::open().map_err(StartError::Threads)?;
        let ports = Ports::open(&config, &trusted_proxies, &hall)?;
        let (listen, url) = (ports.listen, public_url(&config, ports.listen)?);
        let dht = DhtNode::open(&config.dht)?;
        let forwarding = Forwarding::open(&config.nat, ports.open_to_the_world(), dht.port())?;

        let peer_id = PeerId::generate(&mut ambient::rng());
        let advertised = Advertised::new(&config.peer.advertise, &url, ports.for_peers);
        let addresses = advertised.look_up().await;
        let reader = Reader::new(Arc::clone(&content));
        let scrubber = Scrubber::new(catalog.clone(), reader.clone(), config.scrub.clone());
        let watcher = watcher(&config, &ingest, &reader, &database).await?;
        let engine = engine(&config, &catalog, &reader, dht.identity(peer_id));
        let seed = EmbeddedSeed {
            peer_id,
            addresses: addresses.clone(),
        };
        let tracker = tracker(&config, &catalog, seed);
        let passkeys: Arc<dyn PasskeyStore> = Arc::new(database.clone());
        let gatekeeper = Gatekeeper::begin(&tracker, &passkeys).await?;
        let links = dht.named_in(ports.links(&config, &url)?);
        let sockets = WsTracker::new(Arc::clone(&tracker), config.tracker.websocket.clone());
        let sockets = web::Sockets::new(sockets, &links);
        let auth = web::Auth::new(Arc::clone(&accounts), &links, &config.web);
        let needs_setup = accounts.accounts().await?.is_empty();
        let setup_link = needs_setup.then(|| links.setup(&auth.open_setup()));
        let state = web::WebState::new(web::Parts {
            catalog: catalog.clone(),
            reader,
            ingest: ingest.clone(),
            drafts: drafts.clone(),
            engine: engine.clone(),
            tracker: Arc::clone(&tracker),
            auth: Arc::new(auth),
            passkeys,
            links: Arc::new(links),
            peers: addresses.into(),
            discovery: forwarding.figures(&dht),
            shutdown: shutdown.clone(),
            options: Arc::new(config.web.clone()),
        });
        let site = web::Site {
            router: web::router(state),
            tracker: Arc::clone(&tracker),
            proxies: web::TrustedProxies::new(trusted_proxies),
            sockets,
            head_timeout: Duration::from_secs(config.door.head_timeout),
            write_timeout: Duration::from_secs(config.web.write_timeout),
        };

        let tasks = TaskTracker::new();
        dht.start(&catalog, advertised.port(), &tasks, &shutdown);
        let housekeeper = Housekeeper {
            catalog: catalog.clone(),
            tracker: Arc::clone(&tracker),
            data_dir: config.data_dir.0.clone(),
            peer_id,
            advertised: Arc::new(advertised),
        };
        housekeeper.take_up().await;

        let services = House {
            site,
            engine: engine.clone(),
            rooms: Handle::current(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
        };
        ports.let_in(&services, &tracker, &config.door, &hall)?;
        let (choker, rounds) = (engine.clone(), shutdown.clone());
        tasks.spawn(async move { choker.run(rounds).await });
        tasks.spawn(housekeeper.clone().run(shutdown.clone()));
        tasks.spawn(gatekeeper.run(shutdown.clone()));
        tasks.spawn(follow(catalog, shutdown.clone()));
        tasks.spawn(scrubber.run(shutdown.clone()));
        tasks.spawn(drafts.run(shutdown.clone()));
        tasks.spawn(watcher.run(shutdown.clone()));
        forwarding.start(&tasks, &shutdown);
        tasks.close();
        Ok(Self {
            listen,
            url,
            setup_link,
            engine,
            tasks,
            shutdown,
            housekeeper,
            ingest,
            database,
            _hall: hall,
            _lock: lock,
        })
    }

    /// The address of the one port.
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// The address that links begin with.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The one-time link that makes the first administrator; `None` where there is an account.
    pub fn setup_link(&self) -> Option<&str> {
        self.setup_link.as_deref()
    }

    /// The keys of the configuration that [`adjust`](Self::adjust) follows.
    pub const ADJUSTABLE: [&str; 4] = [
        "peer.upload_rate",
        "peer.upload_rate_per_network",
        "peer.upload_rate_per_torrent",
        "peer.upload_slots",
    ];

    /// Takes the [adjustable](Self::ADJUSTABLE) values of `config` from now on; all others need a restart.
    pub fn adjust(&self, config: &Config) {
        self.engine.adjust(&config.peer);
    }

    /// Waits for shutdown, then for everything to end in order.
    pub async fn finished(self) {
        self.shutdown.cancelled().await;
        if timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                left = self.tasks.len(),
                "connections are cut off: they did not end in time"
            );
        }
        // What is being sealed is finished first: its transaction must not find the database closed.
        if timeout(DRAIN, self.ingest.finished()).await.is_err() {
            tracing::warn!("an upload is cut off; the next start removes what it left");
        }
        self.housekeeper.finish().await;
        self.database.close().await;
    }
}

/// The address that links begin with.
fn public_url(config: &Config, listen: SocketAddr) -> Result<Url, url::ParseError> {
    match config.public_url.as_str() {
        "" => Url::parse(&format!("http://localhost:{}", listen.port())),
        public => Url::parse(public),
    }
}

fn engine(config: &Config, catalog: &Catalog, reader: &Reader, identity: Identity) -> Engine {
    let options = config.peer.clone();
    Engine::new(catalog.clone(), reader.clone(), options, identity)
}

async fn watcher(
    config: &Config,
    ingest: &Ingest,
    reader: &Reader,
    database: &SqliteStore,
) -> Result<Watcher, StoreError> {
    let parts = watch::Parts {
        ingest: ingest.clone(),
        reader: reader.clone(),
        notes: Arc::new(database.clone()),
        data_dir: config.data_dir.0.clone(),
    };
    Watcher::take_up(parts).await
}

fn tracker(config: &Config, catalog: &Catalog, seed: EmbeddedSeed) -> Arc<Tracker> {
    Arc::new(Tracker::new(
        catalog.clone(),
        config.tracker.clone(),
        seed,
        ambient::now(),
        &mut ambient::rng(),
    ))
}

/// The open ports, before anybody is let in.
struct Ports {
    entrances: Vec<Entrance>,
    /// For the UDP tracker.
    packets: UdpSocket,
    /// The address of the one port.
    listen: SocketAddr,
    /// The port that peers are told to come to.
    for_peers: u16,
    /// The port that the UDP tracker is asked at.
    for_packets: u16,
}

impl Ports {
    /// Opens the one port, for connections and for packets, and those of their own that are configured.
    fn open(
        config: &Config,
        trusted_proxies: &Arc<Networks>,
        hall: &Hall,
    ) -> Result<Self, StartError> {
        let _hall = hall.enter();
        let entrance = |listener, guests| Entrance {
            listener,
            guests,
            trusted_proxies: Arc::clone(trusted_proxies),
        };
        let (listener, listen, packets) = open_one_port(config)?;
        let mut ports = Self {
            entrances: vec![entrance(listener, Guests::All)],
            listen,
            for_peers: listen.port(),
            for_packets: packets.1,
            packets: packets.0,
        };
        if let Ok(address) = config.peer.listen.parse() {
            let (listener, own) = open_port(address, "peer.listen")?;
            let own_door = entrance(listener, Guests::PeersOnly);
            ports.entrances.push(own_door);
            ports.for_peers = own.port();
        }
        Ok(ports)
    }

    /// The ports that connections and packets come in by.
    const fn open_to_the_world(&self) -> [forwarding::Open; 3] {
        [
            (Transport::Tcp, self.listen.port()),
            (Transport::Tcp, self.for_peers),
            (Transport::Udp, self.for_packets),
        ]
    }

    /// The addresses under `url`, with the doors of the tracker that torrents name; the UDP tracker's where the world can
    /// send it packets: not where it only comes through a proxy, which passes none.
    fn links(&self, config: &Config, url: &Url) -> Result<web::Links, StartError> {
        let mut links = web::Links::new(url)?;
        let is_the_one_port = url.port_or_known_default() == Some(self.listen.port());
        if is_the_one_port || !config.tracker.udp_listen.is_empty() {
            links = links.with_udp_tracker(self.for_packets);
        }
        let websocket = &config.tracker.websocket;
        if websocket.in_torrents && websocket.sockets > 0 {
            links = links.with_websocket_tracker();
        }
        Ok(links)
    }

    fn let_in(
        self,
        services: &House,
        tracker: &Arc<Tracker>,
        options: &door::Options,
        hall: &Hall,
    ) -> Result<(), StartError> {
        let House {
            tasks, shutdown, ..
        } = services;
        let utp = services.utp(&self.packets).map_err(StartError::Packets)?;
        let mut packets =
            UdpTracker::new(self.packets, Arc::clone(tracker)).map_err(StartError::Packets)?;
        if let Some(utp) = utp {
            packets = packets.with_utp(utp);
        }
        let serving = packets
            .start(shutdown.clone())
            .map_err(StartError::Packets)?;
        tasks.spawn(serving);
        let _hall = hall.enter();
        for entrance in self.entrances {
            let (services, options) = (services.clone(), options.clone());
            let (connections, shutdown) = (tasks.clone(), shutdown.clone());
            tasks.spawn(async move {
                door::open(entrance, services, &options, &connections, &shutdown).await;
            });
        }
        Ok(())
    }
}

/// Opens the one port for connections, and for packets unless they have one of their own. A port that the system picks
/// for connections may be taken for packets: then it picks again.
fn open_one_port(
    config: &Config,
) -> Result<(TcpListener, SocketAddr, (UdpSocket, u16)), StartError> {
    let mut tries = PICKS;
    loop {
        tries -= 1;
        let (listener, listen) = open_port(config.listen.0, "listen")?;
        let packets = match config.tracker.udp_listen.parse() {
            Ok(own) => open_for_packets(own, "tracker.udp_listen"),
            Err(_) => open_for_packets(listen, "listen"),
        };
        match packets {
            Ok(packets) => return Ok((listener, listen, packets)),
            Err(_) if config.listen.0.port() == 0 && tries > 0 => {}
            Err(error) => return Err(error),
        }
    }
}

fn open_port(
    address: SocketAddr,
    key: &'static str,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let refused = |source| StartError::Listen {
        address,
        protocol: "TCP",
        key,
        source,
    };
    let listener = door::listen(address).map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    Ok((listener, bound))
}

fn open_for_packets(
    address: SocketAddr,
    key: &'static str,
) -> Result<(UdpSocket, u16), StartError> {
    let refused = |source| StartError::Listen {
        address,
        protocol: "UDP",
        key,
        source,
    };
    let socket = door::listen_for_packets(address).map_err(refused)?;
    let bound = socket.local_addr().map_err(refused)?;
    Ok((socket, bound.port()))
}

//! The server's seed in the DHT: every public torrent is announced again and again, a few at a time.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{StartError, open_for_packets};
use crate::ambient;
use crate::catalog::Catalog;
use crate::discovery::dht::{Dht, Options, Worker};
use crate::domain::dht::rota::Rota;
use crate::engine::{self, Identity};
use crate::proto::id::{InfoHash, PeerId};
use crate::store::StoreError;
use crate::web::Links;

/// How soon a new publication is noticed.
const NOTICE_INTERVAL: Duration = Duration::from_secs(5);

/// The server's node of the DHT, if it is to take part.
pub(super) struct DhtNode(Option<Opened>);

struct Opened {
    dht: Dht,
    worker: Worker,
    port: u16,
    options: Options,
}

impl DhtNode {
    /// Opens the node's port.
    pub(super) fn open(options: &Options) -> Result<Self, StartError> {
        let Ok(address) = options.listen.parse::<SocketAddr>() else {
            return Ok(Self(None));
        };
        let (socket, port) = open_for_packets(address, "dht.listen")?;
        let (dht, worker) = Dht::open(socket, options, []).map_err(StartError::Dht)?;
        Ok(Self(Some(Opened {
            dht,
            worker,
            port,
            options: options.clone(),
        })))
    }

    /// A way to the node.
    pub(super) fn dht(&self) -> Option<Dht> {
        self.0.as_ref().map(|node| node.dht.clone())
    }

    /// The port that packets of other nodes come in by.
    pub(super) fn port(&self) -> Option<u16> {
        self.0.as_ref().map(|node| node.port)
    }

    /// Who the engine beside it is; peers are told of the node if it answers others.
    pub(super) fn identity(&self, peer_id: PeerId) -> Identity {
        let asked = self.0.as_ref().filter(|node| !node.options.read_only);
        Identity {
            peer_id,
            dht: asked.map(|node| engine::DhtNode {
                port: node.port,
                heard: node.dht.heard(),
            }),
        }
    }

    /// Links that name it where others may ask it.
    pub(super) fn named_in(&self, links: Links) -> Links {
        let asked = self.0.as_ref().filter(|node| !node.options.read_only);
        match asked {
            Some(node) => links.with_dht_node(node.port),
            None => links,
        }
    }

    /// Takes part, and announces what is published here: peers come to `port`.
    pub(super) fn start(
        self,
        catalog: &Catalog,
        port: u16,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) {
        if let (Some(node), Some(port)) = (self.0, NonZeroU16::new(port)) {
            let announcing = Announcing {
                dht: node.dht,
                catalog: catalog.clone(),
                port,
                options: node.options,
            };
            tasks.spawn(node.worker.run(shutdown.clone()));
            tasks.spawn(announcing.run(shutdown.clone()));
        }
    }
}

/// Announces what is published here.
struct Announcing {
    dht: Dht,
    catalog: Catalog,
    port: NonZeroU16,
    options: Options,
}

impl Announcing {
    /// Runs until `shutdown`.
    async fn run(self, shutdown: CancellationToken) {
        let mut rota = Rota::new(Duration::from_secs(self.options.announce_interval));
        let mut under_way = FuturesUnordered::new();
        let mut noticed = ambient::now();
        // No node took the last announce: then none is there, and all the others wait too.
        let mut is_alone = false;
        rota.list(self.catalog.names());
        loop {
            let now = ambient::now();
            if now >= noticed + NOTICE_INTERVAL {
                noticed = now;
                is_alone = false;
                rota.list(self.catalog.names());
            }
            while !is_alone
                && under_way.len() < self.options.searches
                && let Some(torrent) = rota.take(now)
            {
                match self.is_public(&torrent).await {
                    Ok(true) => under_way.push(self.announce(torrent)),
                    Ok(false) => rota.strike(&torrent),
                    Err(error) => {
                        tracing::error!(%torrent, %error, "a torrent is not announced to the DHT");
                    }
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                Some((torrent, nodes)) = under_way.next() => {
                    if nodes == 0 {
                        is_alone = true;
                        rota.put_back(torrent);
                    }
                }
                () = sleep_until((noticed + NOTICE_INTERVAL).into()) => {}
            }
        }
    }

    /// BEP 27: private torrents stay out of the DHT.
    async fn is_public(&self, torrent: &InfoHash) -> Result<bool, StoreError> {
        let Some(id) = self.catalog.find(torrent) else {
            return Ok(false);
        };
        let publication = self.catalog.store().publication(id).await?;
        Ok(publication.is_some_and(|publication| !publication.private))
    }

    /// Gives how many nodes took the announce.
    async fn announce(&self, torrent: InfoHash) -> (InfoHash, usize) {
        let nodes = self.dht.announce(torrent, self.port).await;
        tracing::debug!(%torrent, nodes, "announced to the DHT");
        (torrent, nodes)
    }
}

//! The DHT's part of a download: a node that asks and answers nobody, for as long as the download runs (BEP 5, 43).

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::discovery::dht::{Dht, Options, Worker};
use crate::door;
use crate::proto::id::InfoHash;
use crate::proto::metainfo::torrent_file::TorrentFile;

/// How long to wait after a search that found somebody, and after one that did not.
const INTERVALS: (Duration, Duration) = (Duration::from_mins(5), Duration::from_mins(1));

/// Batches of addresses on their way.
const BATCHES: usize = 16;

/// A node that searches for the peers of one torrent.
pub(super) struct Search {
    dht: Dht,
    worker: Worker,
    names: Vec<InfoHash>,
}

impl Search {
    /// Begins with the nodes of the options and of the torrent. `None` where there are neither, and for private torrents, which
    /// stay out of the DHT (BEP 27).
    pub(super) fn open(torrent: &TorrentFile, options: &Options) -> io::Result<Option<Self>> {
        let no_node = options.bootstrap.is_empty() && torrent.nodes.is_empty();
        if torrent.info.private || no_node {
            return Ok(None);
        }
        let options = Options {
            read_only: true,
            ..options.clone()
        };
        let nodes = torrent
            .nodes
            .iter()
            .map(|(host, port)| match host.parse::<Ipv6Addr>() {
                Ok(ip) => SocketAddr::from((ip, *port)).to_string(),
                Err(_) => format!("{host}:{port}"),
            });
        let any_port = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let (dht, worker) = Dht::open(door::listen_for_packets(any_port)?, &options, nodes)?;
        Ok(Some(Self {
            dht,
            worker,
            names: torrent.info.hashes.wire().collect(),
        }))
    }

    /// Searches again and again. Peers go into `found` in batches; an empty one says that a whole search found nobody.
    /// Drop it to end it.
    pub(super) async fn run(self, found: mpsc::Sender<Vec<SocketAddr>>) {
        let Self { dht, worker, names } = self;
        tokio::select! {
            () = worker.run(CancellationToken::new()) => {}
            () = search(&dht, &names, &found) => {}
        }
    }
}

async fn search(dht: &Dht, names: &[InfoHash], found: &mpsc::Sender<Vec<SocketAddr>>) {
    loop {
        let mut count = 0;
        for name in names {
            let (batches, mut peers) = mpsc::channel::<Vec<SocketAddr>>(BATCHES);
            let carry = async {
                while let Some(batch) = peers.recv().await {
                    count += batch.len();
                    let _ = found.try_send(batch);
                }
            };
            tokio::join!(dht.find(*name, batches), carry);
        }
        tracing::debug!(peers = count, "searched the DHT");
        let (after_some, after_none) = INTERVALS;
        if count == 0 {
            let _ = found.try_send(Vec::new());
            sleep(after_none).await;
        } else {
            sleep(after_some).await;
        }
    }
}

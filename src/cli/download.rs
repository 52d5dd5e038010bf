//! `sower download`: fetches what a torrent file describes into a folder.
//!
//! It composes what does not know of each other: the announcer finds peers, the leech downloads from them, and this loop carries addresses and
//! progress between them. BEP 3 wants a port in every announce; nothing listens here yet, so the one given is that of no BitTorrent client.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;
use rand::RngExt;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as NotAWord;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::progress::Display;
use super::say;
use super::search::Search;
use super::signals::stop_on_signal;
use super::source::{self, Source};
use crate::ambient;
use crate::config::Config;
use crate::discovery::announcer::{self, Announcer, Identity};
use crate::engine::Encryption;
use crate::engine::leech::{self, Ending, Leech, Progress};
use crate::offline::limits::TorrentOptions;
use crate::proto::id::PeerId;
use crate::proto::metainfo::info::Info;
use crate::proto::metainfo::torrent_file::TorrentFile;

/// What trackers are told that we listen on. Peers that try it are refused at once, and no tracker takes 0.
const NO_PORT: NonZeroU16 = NonZeroU16::MIN;

/// Batches of addresses on their way to the download. Where there are more, they are more than it could call.
const BATCHES: usize = 16;

const EXAMPLES: &str = "Examples:
  sower download debian.torrent -o Downloads
  sower download https://example.org/p/4k2j.torrent
  sower download debian.torrent --peer 192.0.2.7:6881

A download that was stopped goes on where it was. Files that are there already are
checked and completed, never overwritten by something else.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DownloadArgs {
    /// A torrent file, or the http(s) address of one
    source: String,
    /// The folder to download to; the torrent's file or folder is made in it
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// A peer to ask besides those that the trackers name; may be repeated
    #[arg(long = "peer", value_name = "IP:PORT")]
    peers: Vec<SocketAddr>,
    /// Whether connections with peers are encrypted: "prefer-plain" and "prefer" say what is tried first, "require" tries nothing else
    #[arg(long, value_name = "WHEN", default_value = "prefer-plain", value_parser = encryption)]
    encryption: Encryption,
    /// Do not look for peers in the DHT. For private torrents it never is asked
    #[arg(long)]
    no_dht: bool,
    /// Print progress as JSON, one object a line
    #[arg(long)]
    json: bool,
}

impl DownloadArgs {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let torrent = self.read_torrent(&config.torrent).await?;
        if torrent.info.private && !self.peers.is_empty() {
            // BEP 27: peers of a private torrent come from its own trackers alone.
            bail!(
                "this torrent is private, and its peers come from its trackers alone; leave out --peer"
            );
        }
        let shutdown = CancellationToken::new();
        let mut display = if self.json {
            Display::events()
        } else {
            Display::bar()
        };
        let dht = if self.no_dht {
            None
        } else {
            Search::open(&torrent, &config.dht)?
        };
        let info = Arc::new(torrent.info);
        stop_on_signal(&shutdown)?;
        let ended = self
            .download(
                Arc::clone(&info),
                torrent.trackers,
                dht,
                &mut display,
                &shutdown,
            )
            .await;
        display.finish();
        match ended? {
            Ending::Complete => Ok(self.say_complete(&info)?),
            Ending::Stopped => {
                bail!("stopped before everything was there; the same command goes on where it was")
            }
        }
    }

    async fn read_torrent(&self, bounds: &TorrentOptions) -> anyhow::Result<TorrentFile> {
        match source::read(&self.source, bounds).await {
            Ok(Source::Torrent(torrent)) => Ok(*torrent),
            Ok(Source::Magnet(_)) => bail!(
                "magnet links cannot be downloaded yet; give the .torrent file, which the publication's page has too"
            ),
            Err(error) if self.source.starts_with("http") => Err(error.context(
                "give the address of a .torrent file; on a publication's page it is behind \"Download torrent\"",
            )),
            Err(error) => Err(error),
        }
    }

    async fn download(
        &self,
        info: Arc<Info>,
        trackers: Vec<Vec<String>>,
        dht: Option<Search>,
        display: &mut Display,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Ending> {
        let peer_id = PeerId::generate(&mut ambient::rng());
        let (tell, mut progress) = watch::channel(Progress::default());
        let options = leech::Options {
            encryption: self.encryption,
            ..leech::Options::default()
        };
        let opened = Leech::open(
            Arc::clone(&info),
            &self.output,
            peer_id,
            options,
            tell,
            shutdown,
        );
        let leech = showing(opened, &mut progress, display).await??;
        if leech.is_complete() {
            return Ok(Ending::Complete);
        }
        if shutdown.is_cancelled() {
            return Ok(Ending::Stopped);
        }
        let announcer = announcer(&info, peer_id, trackers)?;
        self.exchange(leech, announcer, dht, progress, display, shutdown)
            .await
    }

    /// Carries addresses from the announcer and the DHT to the download, and progress to the announcer and the display.
    async fn exchange(
        &self,
        leech: Leech,
        announcer: Announcer,
        dht: Option<Search>,
        mut progress: watch::Receiver<Progress>,
        display: &mut Display,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Ending> {
        let (to_leech, sources) = mpsc::channel(BATCHES);
        to_leech.send(self.peers.clone()).await?;
        let (found, mut from_announcer) = mpsc::channel(BATCHES);
        let (tell, told) = watch::channel(for_trackers(&progress.borrow()));
        let goodbye = CancellationToken::new();
        let mut announcing = std::pin::pin!(announcer.run(told, found, goodbye.clone()));
        let mut is_announcing = true;
        let mut may_be_found = dht.is_some();
        let (found, mut from_dht) = mpsc::channel(BATCHES);
        let mut searching = Box::pin(async {
            match dht {
                Some(dht) => dht.run(found).await,
                None => std::future::pending().await,
            }
        });
        let mut leeching = std::pin::pin!(leech.run(sources, shutdown));
        let ended = loop {
            tokio::select! {
                ended = &mut leeching => break ended,
                () = &mut announcing, if is_announcing => is_announcing = false,
                Some(addresses) = from_announcer.recv() => {
                    let _ = to_leech.try_send(addresses);
                }
                () = &mut searching => bail!("the DHT's socket failed"),
                Some(addresses) = from_dht.recv() => {
                    may_be_found = !addresses.is_empty();
                    let _ = to_leech.try_send(addresses);
                }
                Ok(()) = progress.changed() => {
                    let now = *progress.borrow_and_update();
                    tell.send_replace(for_trackers(&now));
                    display.show(&now, ambient::now())?;
                    if !is_announcing && !may_be_found && now.addresses == 0 && self.peers.is_empty() {
                        bail!("no tracker of this torrent can be asked for peers, and the DHT knows none; name one with --peer IP:PORT");
                    }
                }
            }
        };
        tell.send_replace(for_trackers(&progress.borrow()));
        goodbye.cancel();
        if is_announcing {
            announcing.await;
        }
        Ok(ended?)
    }

    fn say_complete(&self, info: &Info) -> anyhow::Result<()> {
        let path = self.output.join(&info.name);
        if self.json {
            let event = json!({
                "event": "complete",
                "path": path.display().to_string(),
                "info_hash_v1": info.hashes.v1().map(|hash| hash.to_string()),
                "info_hash_v2": info.hashes.v2().map(|hash| hash.to_string()),
                "total": info.files.content_length(),
            });
            say(event)?;
        } else {
            say(path.display())?;
        }
        Ok(())
    }
}

fn encryption(word: &str) -> Result<Encryption, NotAWord> {
    Encryption::deserialize(word.into_deserializer())
}

/// Shows progress until something is done.
async fn showing<T>(
    work: impl Future<Output = T>,
    progress: &mut watch::Receiver<Progress>,
    display: &mut Display,
) -> anyhow::Result<T> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            Ok(()) = progress.changed() => {
                let now = *progress.borrow_and_update();
                display.show(&now, ambient::now())?;
            }
        }
    }
}

fn announcer(
    info: &Info,
    peer_id: PeerId,
    trackers: Vec<Vec<String>>,
) -> anyhow::Result<Announcer> {
    let identity = Identity {
        info_hash: info.hashes.primary(),
        peer_id,
        port: NO_PORT,
        key: ambient::rng().random(),
    };
    let http = reqwest::Client::builder()
        .user_agent(concat!("Sower/", env!("CARGO_PKG_VERSION")))
        .build()?;
    let options = announcer::Options::default();
    Ok(Announcer::new(trackers, identity, options, http))
}

fn for_trackers(progress: &Progress) -> announcer::Progress {
    announcer::Progress {
        uploaded: 0,
        downloaded: progress.received,
        left: Some(progress.left),
    }
}

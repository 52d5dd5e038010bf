//! One download: finds out what lies in its folder, asks peers for the rest, checks and writes what they send.
//!
//! One task for each peer runs the shared `Connection` loop; all of them ask the one `Picker`, under a lock that is never held over an await. One
//! thread of the blocking pool takes collected pieces from a bounded queue, holds them against their hashes and writes them; the picker begins no more
//! pieces than the queue and [`Options::memory`] have room for, so nothing ever waits to enter it. Where peers come from is no concern
//! of this module: it takes addresses from a channel.
//!
//! It connects and is not connected to, and it gives nothing to other leechers yet: peers are told truthfully which pieces are here, and stay choked.
//! v2-only torrents are refused (BEP 52): their pieces have no SHA-1.

mod calls;
mod peer;
mod progress;
mod swarm;

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::calls::Calls;
use self::progress::Meter;
pub use self::progress::{Phase, Progress};
use self::swarm::Swarm;
use super::transport::Encryption;
use super::verify::Pieces;
use crate::ambient;
use crate::domain::session;
use crate::proto::id::PeerId;
use crate::proto::metainfo::info::{Format, Info};
use crate::proto::metainfo::path::PathError;
use crate::store::folder::FolderError;

/// How often the rate is measured, and peers that had nothing to give are asked again.
const TICK: Duration = Duration::from_secs(1);

/// The bounds of a download.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Peers that may be connected or called at a time.
    pub connections: usize,
    /// Addresses that are remembered.
    pub addresses: usize,
    /// Whether connections with peers are encrypted.
    pub encryption: Encryption,
    /// Seconds in which a call must be answered.
    pub connect_timeout: u64,
    /// Seconds in which a handshake must be complete.
    pub handshake_timeout: u64,
    /// Seconds without a message after which a peer is taken for gone.
    pub idle_timeout: u64,
    /// Seconds that a peer may take over a block that we asked for.
    pub request_timeout: u64,
    /// Seconds without a block after which a peer makes room, if others wait for its place.
    pub patience: u64,
    /// Blocks that one peer may be asked for at a time, if it says that it takes as many.
    pub requests: usize,
    /// Bytes of pieces that are not whole or not written yet, at most; two pieces where that is more.
    pub memory: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections: 50,
            addresses: 1_000,
            encryption: Encryption::default(),
            connect_timeout: 10,
            handshake_timeout: 10,
            idle_timeout: 180,
            request_timeout: 60,
            patience: 120,
            requests: 1_000,
            memory: 64 * 1024 * 1024,
        }
    }
}

impl Options {
    fn session(&self) -> session::Options {
        session::Options {
            idle_timeout: self.idle_timeout,
            request_timeout: self.request_timeout,
            ..session::Options::default()
        }
    }

    fn connection(&self) -> super::Options {
        super::Options {
            idle_timeout: self.idle_timeout,
            ..super::Options::default()
        }
    }

    fn max_pieces(&self, info: &Info) -> usize {
        let pieces = self.memory / u64::from(info.geometry.piece_length());
        usize::try_from(pieces).unwrap_or(usize::MAX).max(2)
    }
}

/// Why a download cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum LeechError {
    /// The torrent has no SHA-1 pieces (BEP 52).
    #[error(
        "this is a v2-only torrent, which cannot be downloaded yet; ask its publisher for a hybrid or v1 torrent"
    )]
    V2Only,
    /// A name in the torrent cannot be a file's.
    #[error("the torrent has a name that cannot be used")]
    Name(#[source] PathError),
    /// The folder cannot take it.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A thread of ours broke down.
    #[error("the download broke down; start it again, it goes on where it was")]
    Broken(#[source] tokio::task::JoinError),
}

/// How a download ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything is there.
    Complete,
    /// It was stopped before that. What is there stays, and the next one goes on from it.
    Stopped,
}

/// A download whose folder has been looked through.
pub struct Leech {
    swarm: Arc<Swarm>,
    pieces: Pieces,
    progress: watch::Sender<Progress>,
}

impl Leech {
    /// Looks through `folder` for what is there already. Stopped by `shutdown`, it knows only of what it has seen.
    ///
    /// # Errors
    /// [`LeechError`] where the torrent or the folder cannot be used.
    pub async fn open(
        info: Arc<Info>,
        folder: &Path,
        peer_id: PeerId,
        options: Options,
        progress: watch::Sender<Progress>,
        shutdown: &CancellationToken,
    ) -> Result<Self, LeechError> {
        if info.format() == Format::V2 {
            return Err(LeechError::V2Only);
        }
        let (folder, shutdown) = (folder.to_owned(), shutdown.clone());
        let look_through = move || {
            let mut pieces = Pieces::open(Arc::clone(&info), &folder)?;
            let mut standing = Progress::begin(&info);
            let whole = pieces.survey(|seen, whole_piece| {
                standing.checked = seen;
                if let Some(piece) = whole_piece {
                    standing.count(&info, piece);
                }
                progress.send_replace(standing);
                if shutdown.is_cancelled() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            pieces.make_empty_files()?;
            standing.phase = Phase::after_check(whole.is_full());
            progress.send_replace(standing);
            let swarm = Swarm::new(info, whole, standing, peer_id, options);
            Ok(Self {
                swarm: Arc::new(swarm),
                pieces,
                progress,
            })
        };
        spawn_blocking(look_through)
            .await
            .map_err(LeechError::Broken)?
    }

    /// Whether everything is there already.
    pub fn is_complete(&self) -> bool {
        self.swarm.lock().picker.is_complete()
    }

    /// Downloads what is missing from the peers that `sources` names, until all is there or `shutdown` comes.
    ///
    /// # Errors
    /// [`LeechError`] where the folder takes nothing more.
    pub async fn run(
        self,
        mut sources: mpsc::Receiver<Vec<SocketAddr>>,
        shutdown: &CancellationToken,
    ) -> Result<Ending, LeechError> {
        if self.is_complete() {
            return Ok(Ending::Complete);
        }
        let (swarm, progress) = (self.swarm, self.progress);
        // The picker begins no more pieces than this, so the queue has room for each of them.
        let (to_check, collected) = mpsc::channel(swarm.max_pieces());
        let keeper = Arc::clone(&swarm);
        let keeper = spawn_blocking(move || keeper.keep_pieces(collected, self.pieces));
        let mut calls = Calls::new(Arc::clone(&swarm), to_check);
        let mut meter = Meter::new(ambient::now());
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_sources = true;
        loop {
            calls.make(ambient::now());
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = swarm.is_over.cancelled() => break,
                ended = calls.ended() => calls.note(ended, ambient::now()),
                addresses = sources.recv(), if has_sources => match addresses {
                    Some(addresses) => calls.add(&addresses, ambient::now()),
                    None => has_sources = false,
                },
                _ = ticks.tick() => {
                    let rate = meter.measure(swarm.received(), ambient::now());
                    progress.send_replace(swarm.progress(rate, calls.known()));
                    swarm.wake_all();
                }
            }
        }
        calls.hang_up().await;
        keeper.await.map_err(LeechError::Broken)??;
        let last = swarm.progress(0, 0);
        progress.send_replace(last);
        Ok(match last.phase {
            Phase::Complete => Ending::Complete,
            Phase::Checking | Phase::Downloading => Ending::Stopped,
        })
    }
}

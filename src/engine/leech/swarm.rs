//! What the tasks of one download share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{LeechError, Options, Phase, Progress};
use crate::domain::choker::PeerKey;
use crate::domain::picker::{Collected, Picker};
use crate::engine::transport::Caller;
use crate::engine::verify::Pieces;
use crate::proto::bitfield::Bitfield;
use crate::proto::geometry::{Block, PieceIndex};
use crate::proto::id::PeerId;
use crate::proto::metainfo::info::Info;

/// One download's shared state.
pub(super) struct Swarm {
    pub(super) info: Arc<Info>,
    pub(super) options: Options,
    pub(super) peer_id: PeerId,
    /// Never held over an await.
    state: Mutex<State>,
    /// Bytes of blocks that came; the peers' tasks add.
    received: AtomicU64,
    /// Whether addresses wait for a place; the calls say so, the peers' tasks make room.
    is_crowded: AtomicBool,
    /// Set when everything is there or nothing more can be written.
    pub(super) is_over: CancellationToken,
}

/// What is behind the lock.
pub(super) struct State {
    pub(super) picker: Picker,
    /// The pieces that became whole since the start, in that order: each peer is told from where it was told last.
    pub(super) kept: Vec<PieceIndex>,
    /// The connected peers.
    pub(super) links: HashMap<PeerKey, Link>,
    /// Peers that sent false data and are still to be struck off the book of addresses.
    pub(super) poisoners: Vec<PeerKey>,
    progress: Progress,
}

/// What others leave for a peer's task. Whoever writes it notifies; the peer's task takes it.
#[derive(Default)]
pub(super) struct Link {
    pub(super) wake: Arc<Notify>,
    /// Blocks that came from elsewhere. Never more than the peer was asked for.
    pub(super) cancels: Vec<Block>,
    pub(super) is_poisoner: bool,
}

impl Swarm {
    pub(super) fn new(
        info: Arc<Info>,
        whole: Bitfield,
        progress: Progress,
        peer_id: PeerId,
        options: Options,
    ) -> Self {
        let picker = Picker::new(Arc::clone(&info), whole, options.max_pieces(&info));
        Self {
            info,
            options,
            peer_id,
            state: Mutex::new(State {
                picker,
                kept: Vec::new(),
                links: HashMap::new(),
                poisoners: Vec::new(),
                progress,
            }),
            received: AtomicU64::new(0),
            is_crowded: AtomicBool::new(false),
            is_over: CancellationToken::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How this download's peers are called.
    pub(super) fn caller(&self) -> Caller {
        Caller {
            info_hash: self.info.hashes.primary(),
            peer_id: self.peer_id,
            encryption: self.options.encryption,
            connect_timeout: Duration::from_secs(self.options.connect_timeout),
            handshake_timeout: Duration::from_secs(self.options.handshake_timeout),
        }
    }

    pub(super) fn max_pieces(&self) -> usize {
        self.options.max_pieces(&self.info)
    }

    pub(super) fn add_received(&self, bytes: u32) {
        self.received.fetch_add(u64::from(bytes), Relaxed);
    }

    pub(super) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    pub(super) fn set_crowded(&self, is_crowded: bool) {
        self.is_crowded.store(is_crowded, Relaxed);
    }

    pub(super) fn is_crowded(&self) -> bool {
        self.is_crowded.load(Relaxed)
    }

    pub(super) fn progress(&self, rate: u64, addresses: usize) -> Progress {
        let state = self.lock();
        Progress {
            phase: Phase::after_check(state.picker.is_complete()),
            received: self.received(),
            rate,
            peers: state.links.len(),
            addresses,
            ..state.progress
        }
    }

    /// Lets every peer's task see whether there is something for it.
    pub(super) fn wake_all(&self) {
        self.lock().wake_all();
    }

    /// Checks and writes what is collected, until no peer is left to collect. Blocks.
    pub(super) fn keep_pieces(
        &self,
        mut collected: mpsc::Receiver<Collected>,
        mut pieces: Pieces,
    ) -> Result<(), LeechError> {
        while let Some(collected) = collected.blocking_recv() {
            match pieces.keep(&collected) {
                Ok(is_sound) => self.note_checked(collected.piece, is_sound),
                Err(error) => {
                    self.is_over.cancel();
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    fn note_checked(&self, piece: PieceIndex, is_sound: bool) {
        let mut state = self.lock();
        if is_sound {
            state.picker.keep(piece);
            state.kept.push(piece);
            state.progress.count(&self.info, piece);
            if state.picker.is_complete() {
                self.is_over.cancel();
            }
        } else {
            let poisoner = state.picker.reject(piece);
            tracing::debug!(
                piece = piece.get(),
                ?poisoner,
                "piece does not match its hash"
            );
            if let Some(poisoner) = poisoner {
                state.poisoners.push(poisoner);
                if let Some(link) = state.links.get_mut(&poisoner) {
                    link.is_poisoner = true;
                }
            }
        }
        state.wake_all();
    }
}

impl State {
    pub(super) fn wake_all(&self) {
        for link in self.links.values() {
            link.wake.notify_one();
        }
    }
}

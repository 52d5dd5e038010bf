//! What the torrent's decisions leave for the task of one peer.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Notify;

/// What a round leaves for a peer's task: the choker writes it, the task reads it.
#[derive(Default)]
pub(super) struct Link {
    pub(super) is_unchoked: AtomicBool,
    pub(super) is_displaced: AtomicBool,
    pub(super) has_new_rates: AtomicBool,
    pub(super) changed: Notify,
}

impl Link {
    /// Has the peer's task end its connection.
    pub(super) fn displace(&self) {
        self.is_displaced.store(true, Relaxed);
        self.changed.notify_one();
    }
}

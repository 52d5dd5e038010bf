//! Whom a download is connected to: calls are made within bounds, noted, and ended together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::peer;
use super::swarm::Swarm;
use crate::domain::addresses::{Addresses, Outcome};
use crate::domain::choker::PeerKey;
use crate::domain::picker::Collected;

/// The running calls of one download. The set holds their tasks, so none outlives it.
pub(super) struct Calls {
    swarm: Arc<Swarm>,
    book: Addresses,
    running: JoinSet<(PeerKey, Outcome)>,
    to_check: mpsc::Sender<Collected>,
    hang_up: CancellationToken,
}

impl Calls {
    pub(super) fn new(swarm: Arc<Swarm>, to_check: mpsc::Sender<Collected>) -> Self {
        Self {
            book: Addresses::new(swarm.options.addresses),
            swarm,
            running: JoinSet::new(),
            to_check,
            hang_up: CancellationToken::new(),
        }
    }

    /// Writes down addresses to be called.
    pub(super) fn add(&mut self, addresses: &[SocketAddr], now: Instant) {
        for address in addresses {
            self.book.add(*address, now);
        }
    }

    /// How many addresses are known.
    pub(super) fn known(&self) -> usize {
        self.book.len()
    }

    /// Calls whoever is due, as long as there is room.
    pub(super) fn make(&mut self, now: Instant) {
        for poisoner in std::mem::take(&mut self.swarm.lock().poisoners) {
            self.book.ban(poisoner);
        }
        while self.running.len() < self.swarm.options.connections
            && let Some((key, address)) = self.book.call(now)
        {
            let swarm = Arc::clone(&self.swarm);
            let (to_check, hang_up) = (self.to_check.clone(), self.hang_up.clone());
            self.running.spawn(async move {
                (
                    key,
                    peer::call(swarm, key, address, to_check, &hang_up).await,
                )
            });
        }
        let is_due = self.book.next_due().is_some_and(|due| due <= now);
        self.swarm.set_crowded(is_due);
    }

    /// Waits for the next call to end; for ever where there is none. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Result<(PeerKey, Outcome), JoinError> {
        match self.running.join_next().await {
            Some(ended) => ended,
            None => std::future::pending().await,
        }
    }

    /// Notes what came of a call.
    pub(super) fn note(&mut self, ended: Result<(PeerKey, Outcome), JoinError>, now: Instant) {
        match ended {
            Ok((key, outcome)) => self.book.hung_up(key, outcome, now),
            // Its address stays down as called, so a peer that breaks our task gets no second chance.
            Err(error) => tracing::error!(%error, "a peer's task broke down"),
        }
    }

    /// Ends all calls and waits for them; nothing is collected afterwards.
    pub(super) async fn hang_up(mut self) {
        self.hang_up.cancel();
        while self.running.join_next().await.is_some() {}
    }
}

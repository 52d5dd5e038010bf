//! What is done for drafts at the start and at intervals: the run before is taken up, what has expired goes, what failed is tried again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Drafts;
use crate::ambient;
use crate::domain::publication::PublicationId;
use crate::publish::desk::Desk;
use crate::publish::ingest::Ingest;
use crate::store::StoreError;
use crate::store::drafts::DraftStore;

/// How long a draft that nobody works on is kept open.
const OPEN: Duration = Duration::from_hours(1);

/// How often the drafts are looked through, at most and at least.
const LONGEST_ROUND: Duration = Duration::from_mins(1);
const SHORTEST_ROUND: Duration = Duration::from_secs(1);

impl Ingest {
    /// Keeps clear of the room that a server beside this program has promised to its drafts.
    ///
    /// # Errors
    /// [`StoreError`] where a store fails.
    pub async fn heed_drafts(&self, store: &dyn DraftStore) -> Result<(), StoreError> {
        let (now, unix_now) = (ambient::now(), ambient::unix_now());
        let lifetime = i64::try_from(self.options.draft_lifetime).unwrap_or(i64::MAX);
        let lines = store.drafts().await?.into_iter();
        let open = lines
            .filter(|line| !line.has_failed && unix_now.saturating_sub(line.touched_at) < lifetime);
        for line in open {
            let received = self.press.content.staged_bytes(line.id).await?;
            let missing = line.total_length.saturating_sub(received);
            let mut ledger = self.ledger();
            ledger.take_up(line.id, &line.publisher, Some(missing), now);
        }
        Ok(())
    }
}

impl Drafts {
    /// The drafts whose files the sweep has to leave alone.
    ///
    /// # Errors
    /// [`StoreError`] where the store fails.
    pub async fn kept(&self) -> Result<Vec<PublicationId>, StoreError> {
        let lines = self.store.drafts().await?;
        let open = lines.iter().filter(|line| !line.has_failed);
        Ok(open.map(|line| line.id).collect())
    }

    /// Takes up the drafts of the run before, and goes on with those that are whole. To be called after the sweep, and before
    /// anything is uploaded.
    ///
    /// # Errors
    /// [`StoreError`] where a store fails.
    pub async fn take_up(&self) -> Result<(), StoreError> {
        let (now, unix_now) = (ambient::now(), ambient::unix_now());
        for line in self.store.drafts().await? {
            let desk = if line.has_failed {
                None
            } else {
                self.desk(line.id).await?
            };
            let missing = desk.as_ref().map(|desk| {
                let received = desk.received().into_iter();
                let received = received.fold(0, u64::saturating_add);
                desk.draft.total_length().saturating_sub(received)
            });
            let idle = unix_now.saturating_sub(line.touched_at);
            let idle = Duration::from_secs(u64::try_from(idle).unwrap_or(0));
            let mut ledger = self.ingest.ledger();
            ledger.take_up(line.id, &line.publisher, missing, now);
            ledger.note_idle(line.id, idle);
            drop(ledger);
            self.desks().remove(&line.id);
            if let Some(desk) = desk.filter(|_| missing == Some(0)) {
                let cell = OnceCell::new_with(Some(Arc::clone(&desk)));
                self.desks().insert(line.id, Arc::new(cell));
                self.publish_when_whole(&desk);
            }
        }
        Ok(())
    }

    /// Removes drafts whose time is over and tries again what failed, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let lifetime = Duration::from_secs(self.ingest.options().draft_lifetime);
        let round = (lifetime / 8).clamp(SHORTEST_ROUND, LONGEST_ROUND);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep(round) => self.go_round().await,
            }
        }
        self.stop.cancel();
        self.note_touched().await;
    }

    async fn go_round(&self) {
        let expired = self.ingest.ledger().expired(ambient::now());
        for id in expired {
            tracing::info!(draft = %id, "a draft has expired");
            if let Err(error) = self.remove(id).await {
                tracing::warn!(draft = %id, %error, "a draft that has expired could not be removed; it is tried again");
            }
        }
        self.note_touched().await;
        self.keys.forget_old().await;
        let desks: Vec<_> = self
            .desks()
            .values()
            .filter_map(|cell| cell.get().cloned())
            .collect();
        for desk in &desks {
            self.publish_when_whole(desk);
        }
        drop(desks);
        self.close_idle();
    }

    /// Lets go of drafts that nobody has worked on for long: what was hashed of their files takes memory.
    fn close_idle(&self) {
        let lifetime = Duration::from_secs(self.ingest.options().draft_lifetime);
        self.desks().retain(|id, cell| {
            let left = self.left(*id).unwrap_or_default();
            let is_held = |desk: &Arc<Desk>| Arc::strong_count(desk) > 1;
            // Whoever asks for a desk takes its cell first, under the lock that is held here.
            lifetime.saturating_sub(left) < OPEN
                || Arc::strong_count(cell) > 1
                || cell.get().is_some_and(is_held)
        });
    }

    async fn note_touched(&self) {
        let touched = self.ingest.ledger().take_touched();
        if touched.is_empty() {
            return;
        }
        let noted = self.store.touch_drafts(&touched, ambient::unix_now()).await;
        if let Err(error) = noted {
            tracing::warn!(%error, "it could not be noted which drafts are worked on");
        }
    }
}

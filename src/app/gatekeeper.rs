//! Tells the tracker who is admitted, and again whenever that changes: passkeys in the database, the deny list in its file.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::store::StoreError;
use crate::store::passkeys::PasskeyStore;
use crate::tracker::{DenyFileError, Mode, Tracker};

/// How often it looks for changes: what an operator does in another terminal holds within a second.
const LOOK: Duration = Duration::from_millis(400);

/// Looks after which passkeys are read anew even if nothing seems to have changed, as when the connection to the database was lost.
const LOOKS_AT_MOST: u32 = 150;

/// Looks after the tracker's admission.
pub(super) struct Gatekeeper {
    tracker: Arc<Tracker>,
    passkeys: Arc<dyn PasskeyStore>,
}

impl Gatekeeper {
    /// Says who is admitted from the start on.
    pub(super) async fn begin(
        tracker: &Arc<Tracker>,
        passkeys: &Arc<dyn PasskeyStore>,
    ) -> Result<Self, StartError> {
        let this = Self {
            tracker: Arc::clone(tracker),
            passkeys: Arc::clone(passkeys),
        };
        this.tracker.refresh_deny_list()?;
        this.read_passkeys().await?;
        Ok(this)
    }

    /// Goes its rounds until `shutdown`; where nothing can change, there is nothing to do.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let admission = self.tracker.admission();
        let (has_file, has_passkeys) =
            (admission.has_deny_file(), admission.mode() == Mode::Private);
        if !has_file && !has_passkeys {
            return;
        }
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut version, mut looks) = (None, 0);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = look.tick() => {}
            }
            if has_file {
                self.refresh_deny_list().await;
            }
            if has_passkeys {
                looks = (looks + 1) % LOOKS_AT_MOST;
                if looks == 0 {
                    version = None;
                }
                match self.follow_passkeys(version).await {
                    Ok(seen) => version = Some(seen),
                    Err(error) => {
                        tracing::warn!(%error, "the passkeys could not be read; those before still work");
                    }
                }
            }
        }
    }

    async fn refresh_deny_list(&self) {
        let tracker = Arc::clone(&self.tracker);
        let refreshed: Result<Result<bool, DenyFileError>, _> =
            tokio::task::spawn_blocking(move || tracker.refresh_deny_list()).await;
        match refreshed {
            Ok(Ok(true)) => tracing::info!("the deny list was read anew"),
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(error)) => tracing::error!(%error, "the deny list stays as it was"),
        }
    }

    /// Reads the passkeys if anything was written since `version`; gives the version of now.
    async fn follow_passkeys(&self, version: Option<i64>) -> Result<i64, StoreError> {
        // The version first: what is written after it is noticed the next time.
        let current = self.passkeys.version().await?;
        if version != Some(current) {
            self.read_passkeys().await?;
        }
        Ok(current)
    }

    async fn read_passkeys(&self) -> Result<(), StoreError> {
        let passkeys = self.passkeys.passkeys().await?;
        self.tracker.admission().passkeys().replace(passkeys);
        Ok(())
    }
}

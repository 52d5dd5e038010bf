//! What is done at intervals while the server runs, and once more at its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::advertised::Advertised;
use crate::ambient;
use crate::catalog::Catalog;
use crate::domain::history::{Day, Hour};
use crate::proto::id::PeerId;
use crate::store::{StoreError, snapshot};
use crate::tracker::{EmbeddedSeed, Tracker};

/// How often totals are written down and stale peers forgotten.
const TOTALS: Duration = Duration::from_mins(1);

/// How often the sizes of swarms are noted for the charts.
const SIZES: Duration = Duration::from_mins(5);

/// How often the advertised host is looked up anew: the addresses behind a name change.
const LOOK_UP_AGAIN: Duration = Duration::from_mins(10);

/// The file of all swarms in the data directory.
const SWARMS: &str = "swarms";

/// Bytes that the file of all swarms may have: some fifty million peers.
const MAX_SWARMS: u64 = 1 << 30;

/// Keeps the house. Cheap to clone.
#[derive(Clone)]
pub(super) struct Housekeeper {
    pub(super) catalog: Catalog,
    pub(super) tracker: Arc<Tracker>,
    pub(super) data_dir: PathBuf,
    pub(super) peer_id: PeerId,
    pub(super) advertised: Arc<Advertised>,
}

impl Housekeeper {
    /// Takes the swarms up that the run before left. What cannot be read is set aside: peers announce themselves again.
    pub(super) async fn take_up(&self) {
        let this = self.clone();
        let taken_up = tokio::task::spawn_blocking(move || {
            let saved = snapshot::read(&this.data_dir.join(SWARMS), MAX_SWARMS)?;
            let Some(saved) = saved else {
                return Ok(0);
            };
            let (now, unix_now) = (ambient::now(), ambient::unix_now());
            this.tracker
                .restore(&saved, now, unix_now)
                .map_err(|error| StoreError::Damaged(error.to_string()))
        });
        match taken_up.await {
            Ok(Ok(peers)) => tracing::debug!(peers, "the swarms of the run before are back"),
            Ok(Err(error)) => {
                tracing::warn!(%error, "the swarms of the run before are not taken up; their peers will announce themselves again");
            }
            Err(_) => {}
        }
    }

    /// Goes its rounds until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
        let save_interval = self.tracker.save_interval();
        let mut totals = every(TOTALS);
        let mut sizes = every(SIZES);
        let mut save = every(save_interval);
        let mut look_up = every(LOOK_UP_AGAIN);
        // The first tick of an interval comes at once: nothing is old yet.
        for interval in [&mut save, &mut look_up] {
            interval.tick().await;
        }
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = totals.tick() => {
                    self.tracker.sweep(ambient::now());
                    if let Err(error) = self.write_totals().await {
                        tracing::warn!(%error, "totals could not be written down; they are kept for the next time");
                    }
                }
                _ = sizes.tick() => {
                    if let Err(error) = self.note_sizes().await {
                        tracing::warn!(%error, "the sizes of swarms could not be noted");
                    }
                }
                _ = save.tick() => self.save_swarms().await,
                _ = look_up.tick() => self.tracker.embed(EmbeddedSeed {
                    peer_id: self.peer_id,
                    addresses: self.advertised.look_up().await,
                }),
            }
        }
    }

    /// Writes down what must outlast the process, at its end.
    pub(super) async fn finish(&self) {
        if let Err(error) = self.write_totals().await {
            tracing::error!(%error, "the last totals could not be written down");
        }
        self.save_swarms().await;
    }

    async fn write_totals(&self) -> Result<(), StoreError> {
        let today = Day::of(ambient::unix_now());
        self.catalog.write_tallies(today).await
    }

    async fn note_sizes(&self) -> Result<(), StoreError> {
        let now = ambient::unix_now();
        let sizes = self.tracker.sizes();
        self.catalog.note_swarms(&sizes, Hour::of(now)).await
    }

    async fn save_swarms(&self) {
        let this = self.clone();
        let saved = tokio::task::spawn_blocking(move || {
            let (now, unix_now) = (ambient::now(), ambient::unix_now());
            snapshot::write(&this.data_dir.join(SWARMS), |out| {
                this.tracker.save(now, unix_now, out)
            })
        });
        if let Ok(Err(error)) = saved.await {
            tracing::warn!(%error, "the swarms could not be saved; a restart now would begin with empty ones");
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

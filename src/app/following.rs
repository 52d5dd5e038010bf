//! Notices what other programs publish in the data directory: `sower publish` works on it beside a running server.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;

/// How often it looks, which is one look into an index of the database: what an operator publishes in another terminal is served within a second.
const LOOK: Duration = Duration::from_millis(400);

/// Has the catalogue follow the database until `shutdown`.
pub(super) async fn follow(catalog: Catalog, shutdown: CancellationToken) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = look.tick() => {}
        }
        let followed = catalog.follow().await;
        if let Err(error) = &followed
            && !is_failing
        {
            tracing::warn!(%error, "what other programs publish is not noticed; it is tried again");
        }
        is_failing = followed.is_err();
    }
}

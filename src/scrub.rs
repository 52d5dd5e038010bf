//! Reads everything that is published again and again, slowly, and holds it against its hashes: disks lose bits without a word.
//!
//! The publication that was verified longest ago comes first, and before it those in which somebody has just met with damage. What was
//! found is kept in the store, so that pages tell of it after a restart too. Nothing is repaired, for there is nothing here to repair it
//! from: what fails is not served ([`Reader`]), and the log says so loudly.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::ambient;
use crate::catalog::Catalog;
use crate::domain::publication::PublicationId;
use crate::domain::torrent::Torrent;
use crate::reader::{ReadError, Reader};
use crate::store::StoreError;
use crate::store::publications::{Due, Verified};

/// How long to wait where nothing is due, at most.
const LOOK_AGAIN: u64 = 60;

/// How long damaged content waits for its next check, in seconds: somebody may have brought the files back.
const DAMAGED_AGAIN: u64 = 24 * 60 * 60;

/// While peers wait for the disk, so much slower.
const WHILE_OTHERS_WAIT: u32 = 10;

/// How fast and how often content is verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Bytes a second that are read; 0 for no checks at all.
    pub rate: u64,
    /// Seconds after which a publication is verified again.
    pub interval: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rate: 8 * 1024 * 1024,
            interval: 30 * 24 * 60 * 60,
        }
    }
}

/// Verifies what is published.
pub struct Scrubber {
    catalog: Catalog,
    reader: Reader,
    options: Options,
}

impl Scrubber {
    /// A scrubber of what `catalog` lists and `reader` reads.
    pub const fn new(catalog: Catalog, reader: Reader, options: Options) -> Self {
        Self {
            catalog,
            reader,
            options,
        }
    }

    /// Goes its rounds until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        if self.options.rate == 0 {
            return;
        }
        let pause = Duration::from_secs(self.options.interval.clamp(1, LOOK_AGAIN));
        loop {
            let verified = tokio::select! {
                () = shutdown.cancelled() => return,
                verified = self.verify_next() => verified,
            };
            let is_at_rest = verified.unwrap_or_else(|error| {
                tracing::warn!(%error, "published content could not be verified; it will be tried again");
                true
            });
            if is_at_rest {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = self.reader.suspected() => {}
                    () = sleep(pause) => {}
                }
            }
        }
    }

    /// Verifies what is due first; says whether nothing was.
    async fn verify_next(&self) -> Result<bool, ReadError> {
        let seconds_ago = |seconds| ambient::unix_now().saturating_sub_unsigned(seconds);
        let mut next = self.reader.suspect();
        if next.is_none() {
            let due = Due {
                verified_until: seconds_ago(self.options.interval),
                damaged_until: seconds_ago(self.options.interval.min(DAMAGED_AGAIN)),
            };
            next = self.catalog.store().due(due).await?;
        }
        let Some(id) = next else {
            return Ok(true);
        };
        let damaged_files = self.verify(id).await?;
        let at = ambient::unix_now();
        let found = Verified { at, damaged_files };
        self.catalog.store().note_verified(id, found).await?;
        self.reader.acquit(id);
        Ok(false)
    }

    /// Reads all of a publication; says how many of its files fail.
    async fn verify(&self, id: PublicationId) -> Result<u64, ReadError> {
        let torrent = match self.catalog.torrent(id).await {
            Ok(Some(torrent)) => torrent,
            Ok(None) => return Ok(0),
            Err(error @ StoreError::Damaged(_)) => {
                tracing::error!(publication = %id, %error, "a publication cannot be served");
                return Ok(1);
            }
            Err(error) => return Err(error.into()),
        };
        for piece in torrent.info.geometry.pieces() {
            let began = ambient::now();
            let waits = self.reader.figures().from_disk;
            match self.reader.recheck(&torrent, piece).await {
                Ok(()) | Err(ReadError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
            let length = torrent.info.geometry.length_of(piece);
            let mut pace = Duration::from_secs(1).mul_f64(f64::from(length) / self.rate());
            if self.reader.figures().from_disk > waits {
                pace *= WHILE_OTHERS_WAIT;
            }
            sleep_until((began + pace).into()).await;
        }
        Ok(report(&torrent))
    }

    /// Bytes a second.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody minds a byte in a petabyte"
    )]
    const fn rate(&self) -> f64 {
        self.options.rate as f64
    }
}

/// Says what came of a torrent's check: how many files fail.
fn report(torrent: &Torrent) -> u64 {
    let (damaged, publication) = (torrent.damaged_files(), torrent.publication);
    if damaged > 0 {
        tracing::error!(%publication, files = damaged, "{damaged} files of publication {publication} fail the check; what is damaged is not served, so bring them back from a copy");
    } else {
        tracing::debug!(%publication, "all of a publication was verified");
    }
    u64::try_from(damaged).unwrap_or(u64::MAX)
}

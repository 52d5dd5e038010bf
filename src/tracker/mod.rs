//! The tracker: it tells the peers of a published torrent about each other (BEP 3).
//!
//! [`service`] decides, whatever the transport; [`http`], [`udp`] and [`ws`] are transports: decode, ask the service, encode, and
//! nothing else. [`admission`] says who may ask. All of it is synchronous and in memory.

pub mod admission;
pub mod asker;
pub mod census;
mod connection_id;
pub mod deny;
pub mod figures;
mod gateway;
pub mod http;
pub mod options;
pub mod passkeys;
pub mod path;
#[cfg_attr(not(target_os = "linux"), path = "replies_one_by_one.rs")]
mod replies;
mod saved;
pub mod service;
pub mod udp;
pub mod ws;

pub use admission::{Admission, Mode};
pub use asker::{Asker, Door};
pub use census::Census;
pub use deny::DenyFileError;
pub use figures::{Figures, Outcome};
pub use options::Options;
pub use passkeys::Passkeys;
pub use path::Route;
pub use service::{EmbeddedSeed, SwarmCounts, Tracker};
pub use udp::UdpTracker;
pub use ws::WsTracker;

#[cfg(feature = "sqlite")]
#[cfg(test)]
mod tests {
    //! A tracker with one published hybrid torrent, for the tests of its parts.

    use std::num::NonZeroU16;
    use std::sync::{Arc, LazyLock};
    use std::time::Instant;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::options::Options;
    use super::service::{EmbeddedSeed, Tracker};
    use crate::ambient;
    use crate::catalog::{self, Catalog};
    use crate::domain::publication::PublicationId;
    use crate::proto::id::{InfoHash, InfoHashV2, InfoHashes};
    use crate::proto::metainfo::info::Format;
    use crate::proto::tracker::announce::{AnnounceRequest, Event};
    use crate::store::conformance::example;
    use crate::store::sqlite::{self, SqliteStore};

    pub(super) static START: LazyLock<Instant> = LazyLock::new(ambient::now);

    pub(super) struct Fixture {
        pub(super) tracker: Tracker,
        pub(super) catalog: Catalog,
        pub(super) id: PublicationId,
        pub(super) v1: InfoHash,
        pub(super) v2: InfoHash,
        _folder: tempfile::TempDir,
    }

    impl Fixture {
        pub(super) async fn new(options: Options) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("sower.db");
            let store = SqliteStore::open(&path, &sqlite::Options::default()).await;
            let store = Arc::new(store.unwrap());
            let defaults = catalog::Options::default();
            let catalog = Catalog::load(store, &defaults).await.unwrap();
            let (mut publication, metainfo) = example("aaaaaaaaaa", 1_000);
            let (v1, v2) = (
                InfoHash::of_v1(&metainfo.info),
                InfoHashV2::of_v2(&metainfo.info),
            );
            publication.format = Format::Hybrid;
            publication.info_hashes = InfoHashes::Hybrid(v1, v2);
            catalog.publish(&publication, &metainfo).await.unwrap();
            let embedded = EmbeddedSeed {
                peer_id: (*b"-SW0100-embeddedseed").into(),
                addresses: vec![
                    "203.0.113.5:6881".parse().unwrap(),
                    "[2001:db8::5]:6881".parse().unwrap(),
                ],
            };
            let mut rng = StdRng::seed_from_u64(1);
            Self {
                tracker: Tracker::new(catalog.clone(), options, embedded, *START, &mut rng),
                catalog,
                id: publication.id,
                v1,
                v2: v2.truncated(),
                _folder: folder,
            }
        }
    }

    /// What a peer says that began just now and lacks five bytes.
    pub(super) fn request(n: u16, info_hash: InfoHash) -> AnnounceRequest {
        let mut id = *b"-TR3000-............";
        id[18..].copy_from_slice(&n.to_be_bytes());
        AnnounceRequest {
            info_hash,
            peer_id: id.into(),
            port: NonZeroU16::new(51413).unwrap(),
            uploaded: 0,
            downloaded: 0,
            left: Some(5),
            event: Event::Started,
            numwant: None,
            key: None,
        }
    }

    pub(super) fn escaped(info_hash: &InfoHash) -> String {
        let set = percent_encoding::NON_ALPHANUMERIC;
        percent_encoding::percent_encode(info_hash.as_bytes(), set).to_string()
    }
}

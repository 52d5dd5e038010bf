//! How long does one HTTP announce take, from its query string to the bytes of the answer, without the network?
//!
//! 1,000 torrents of 100 peers, three quarters of them seeds; every announce comes from a peer that is there already and
//! wants 30 others, as most announces do. Prints nanoseconds for an announce: the median of ten rounds, and their spread.
//!
//! `cargo bench --bench announce`

#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sower::ambient;
use sower::catalog::{self, Catalog};
use sower::domain::particulars::Particulars;
use sower::domain::publication::{Publication, PublicationId};
use sower::proto::id::{InfoHash, InfoHashes};
use sower::proto::metainfo::info::Format;
use sower::store::publications::StoredMetainfo;
use sower::store::sqlite::{self, SqliteStore};
use sower::tracker::http::answer;
use sower::tracker::options::Options;
use sower::tracker::service::{EmbeddedSeed, Tracker};

const TORRENTS: u32 = 1_000;
const PEERS: u32 = 100;
const ANNOUNCES: usize = 200_000;
const ROUNDS: usize = 10;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut rng = StdRng::seed_from_u64(1);
    let catalog = publish_all(folder.path(), &mut rng).await?;
    let embedded = EmbeddedSeed {
        peer_id: (*b"-SW0100-embeddedseed").into(),
        addresses: vec!["203.0.113.5:6881".parse()?],
    };
    let now = ambient::now();
    let tracker = Tracker::new(catalog, Options::default(), embedded, now, &mut rng);
    let announce = |torrent: u32, peer: u32| {
        let left = if peer < PEERS / 4 { 100_000 } else { 0 };
        let query = format!(
            "info_hash={}&peer_id=-qB4520-{torrent:06}{peer:06}&port=1408&uploaded=0&downloaded=0&left={left}&corrupt=0&key=E4FA06AC&numwant=30&compact=1&no_peer_id=1&supportcrypto=1&redundant=0",
            escaped(&info_hash(torrent)),
        );
        let source = IpAddr::from(Ipv4Addr::from(0x0100_0000 + torrent * PEERS + peer));
        (query, source)
    };
    for torrent in 0..TORRENTS {
        for peer in 0..PEERS {
            let (query, source) = announce(torrent, peer);
            let response = answer(
                &tracker,
                &Method::GET,
                "/announce",
                Some(&query),
                source,
                now,
            );
            anyhow::ensure!(response.is_some_and(|it| it.body().starts_with(b"d8:complete")));
        }
    }
    anyhow::ensure!(tracker.peers() == usize::try_from(TORRENTS * PEERS)?);
    let announces: Vec<_> = std::iter::repeat_with(|| {
        announce(rng.random_range(0..TORRENTS), rng.random_range(0..PEERS))
    })
    .take(ANNOUNCES)
    .collect();
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let began = ambient::now();
        let mut bytes = 0;
        for (query, source) in &announces {
            let response = answer(
                &tracker,
                &Method::GET,
                "/announce",
                Some(query),
                *source,
                began,
            );
            bytes += response.map_or(0, |response| response.body().len());
        }
        rounds.push(began.elapsed().as_nanos() / u128::try_from(ANNOUNCES)?);
        anyhow::ensure!(bytes > ANNOUNCES * 200, "the answers hold peers");
    }
    rounds.sort_unstable();
    println!(
        "{} ns an announce ({} to {})",
        rounds[ROUNDS / 2],
        rounds[0],
        rounds[ROUNDS - 1]
    );
    Ok(())
}

async fn publish_all(folder: &std::path::Path, rng: &mut StdRng) -> anyhow::Result<Catalog> {
    let store = SqliteStore::open(&folder.join("sower.db"), &sqlite::Options::default()).await?;
    let catalog = Catalog::load(Arc::new(store), &catalog::Options::default()).await?;
    for torrent in 0..TORRENTS {
        let publication = Publication {
            id: PublicationId::generate(rng),
            title: format!("Torrent {torrent}"),
            description: String::new(),
            creator: String::new(),
            licence: None,
            tags: Vec::new(),
            particulars: Particulars::default(),
            format: Format::V1,
            private: false,
            name: "folder".to_owned(),
            info_hashes: InfoHashes::V1(info_hash(torrent)),
            piece_length: 16_384,
            total_length: 0,
            files: Vec::new(),
            publisher: "ada".to_owned(),
            created_at: 0,
            published_at: 0,
        };
        let metainfo = StoredMetainfo {
            info: Bytes::from_static(b"de"),
            piece_layers: Bytes::new(),
        };
        catalog.publish(&publication, &metainfo).await?;
    }
    Ok(catalog)
}

fn info_hash(torrent: u32) -> InfoHash {
    InfoHash::of_v1(&torrent.to_be_bytes())
}

fn escaped(info_hash: &InfoHash) -> String {
    let set = percent_encoding::NON_ALPHANUMERIC;
    percent_encoding::percent_encode(info_hash.as_bytes(), set).to_string()
}

//! Downloads from seeds of every manner, and what becomes of what lies in the folder already.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sower::engine::leech::{Ending, Leech, LeechError, Options, Phase, Progress};
use sower::proto::id::PeerId;
use sower::proto::metainfo::build::InfoOptions;
use sower::proto::metainfo::files::FileKind;
use sower::proto::metainfo::hash::TorrentHasher;
use sower::proto::metainfo::info::{Format, Info, Layout};
use sower::proto::metainfo::path::FilePath;
use sower::proto::metainfo::piece_length::PieceLength;
use sower::store::folder::FolderError;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::scripted_seed::{Content, Manner, ScriptedSeed};

/// How long anything here may take before the test fails.
const PATIENCE: Duration = Duration::from_mins(1);

const PIECE: usize = 32 * 1024;

/// A torrent, and the files that it is of.
struct Torrent {
    info: Arc<Info>,
    content: Arc<Content>,
    files: Vec<(&'static str, Vec<u8>)>,
}

fn torrent_of(format: Format, files: Vec<(&'static str, Vec<u8>)>) -> Torrent {
    let piece_length = PieceLength::new(u32::try_from(PIECE).unwrap()).unwrap();
    let mut hasher = TorrentHasher::new(format, piece_length);
    for (path, bytes) in &files {
        hasher.begin_file(FilePath::parse(path).unwrap());
        hasher.update(bytes);
        hasher.end_file();
    }
    let options = InfoOptions {
        name: "a torrent".to_owned(),
        layout: Layout::Folder,
        private: false,
        source: None,
    };
    let info = hasher.finish().into_info(options).unwrap().info;
    let mut bytes = vec![0; usize::try_from(info.files.total_length()).unwrap()];
    for (_, file) in info.files.content() {
        let path = file.path.to_string();
        let (_, of) = files.iter().find(|(name, _)| *name == path).unwrap();
        let at = usize::try_from(file.offset).unwrap();
        bytes[at..at + of.len()].copy_from_slice(of);
    }
    let content = Content {
        info_hash: info.hashes.primary(),
        piece_length: info.geometry.piece_length(),
        bytes,
    };
    Torrent {
        info: Arc::new(info),
        content: Arc::new(content),
        files,
    }
}

/// Twenty pieces in four files: one with nothing in it, one with a byte, names that few would choose.
fn torrent() -> Torrent {
    torrent_of(Format::V1, files())
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", vec![]),
        ("one byte", vec![42]),
        ("in/ein Ordner/größer.bin", noise(PIECE * 12 + 77)),
        ("in/ein Ordner/last.bin", noise(PIECE * 8)),
    ]
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = length as u64;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_le_bytes()[4]
    };
    std::iter::repeat_with(next).take(length).collect()
}

impl Torrent {
    fn seed(&self, manner: Manner) -> ScriptedSeed {
        ScriptedSeed::start(Arc::clone(&self.content), manner)
    }

    /// A download into `folder`, its folder looked through.
    async fn open(&self, folder: &Path, options: Options) -> Result<Download, LeechError> {
        let (tell, progress) = watch::channel(Progress::default());
        let shutdown = CancellationToken::new();
        let peer_id = PeerId::from(*b"-SW0100-abcdefghijkl");
        let info = Arc::clone(&self.info);
        let leech = Leech::open(info, folder, peer_id, options, tell, &shutdown).await?;
        Ok(Download {
            leech,
            progress,
            shutdown,
        })
    }

    async fn download(&self, folder: &Path, seeds: &[&ScriptedSeed]) -> Progress {
        let download = self.open(folder, impatient()).await.unwrap();
        let progress = download.progress.clone();
        let addresses = seeds.iter().map(|seed| seed.address).collect();
        assert_eq!(download.run(addresses).await.unwrap(), Ending::Complete);
        let last = *progress.borrow();
        assert_eq!(
            (last.phase, last.done, last.left),
            (Phase::Complete, last.total, 0)
        );
        last
    }

    fn is_whole_in(&self, folder: &Path) {
        for (name, bytes) in &self.files {
            let found = std::fs::read(folder.join("a torrent").join(name)).unwrap();
            assert!(found == *bytes, "{name} differs");
        }
    }
}

struct Download {
    leech: Leech,
    progress: watch::Receiver<Progress>,
    shutdown: CancellationToken,
}

impl Download {
    async fn run(self, seeds: Vec<SocketAddr>) -> Result<Ending, LeechError> {
        let (tell, sources) = mpsc::channel(1);
        tell.send(seeds).await.unwrap();
        self.run_with(sources).await
    }

    async fn run_with(
        self,
        sources: mpsc::Receiver<Vec<SocketAddr>>,
    ) -> Result<Ending, LeechError> {
        let run = self.leech.run(sources, &self.shutdown);
        timeout(PATIENCE, run)
            .await
            .expect("the download has stuck")
    }
}

/// A downloader that waits for nobody.
fn impatient() -> Options {
    Options {
        request_timeout: 1,
        ..Options::default()
    }
}

#[tokio::test]
async fn a_folder_comes_whole_from_two_peers_that_have_half_of_it_each() {
    let torrent = torrent();
    let folder = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (
        torrent.seed(Manner::HasHalf(true)),
        torrent.seed(Manner::HasHalf(false)),
    );
    let last = torrent.download(folder.path(), &[&a, &b]).await;
    torrent.is_whole_in(folder.path());
    assert_eq!(last.total, (PIECE * 20 + 78) as u64);
    assert!(!a.requests().is_empty() && !b.requests().is_empty());
}

#[tokio::test]
async fn nobody_is_asked_for_the_pads_of_a_hybrid() {
    let torrent = torrent_of(Format::Hybrid, files());
    let folder = tempfile::tempdir().unwrap();
    let mut seed = torrent.seed(Manner::Honest);
    let last = torrent.download(folder.path(), &[&seed]).await;
    torrent.is_whole_in(folder.path());
    assert_eq!(last.total, (PIECE * 20 + 78) as u64);
    let is_pad = |file: usize| torrent.info.files.get(file).unwrap().kind == FileKind::Pad;
    for block in seed.requests() {
        let at = u64::from(block.index) * PIECE as u64 + u64::from(block.begin);
        let mut spans = torrent.info.files.spans(at, u64::from(block.length));
        assert!(!spans.all(|span| is_pad(span.file)), "{block:?}");
    }
    assert!(!folder.path().join("a torrent/.pad").exists());
}

#[tokio::test]
async fn a_second_download_asks_only_for_what_is_missing() {
    let torrent = torrent();
    let folder = tempfile::tempdir().unwrap();
    torrent
        .download(folder.path(), &[&torrent.seed(Manner::Honest)])
        .await;
    let damaged = folder.path().join("a torrent/in/ein Ordner/last.bin");
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes.truncate(PIECE * 5);
    std::fs::write(&damaged, bytes).unwrap();

    let download = torrent.open(folder.path(), impatient()).await.unwrap();
    let found = *download.progress.borrow();
    assert_eq!(found.phase, Phase::Downloading);
    assert_eq!(found.left, found.total - found.done);
    assert!(!download.leech.is_complete());
    let mut seed = torrent.seed(Manner::Honest);
    assert_eq!(
        download.run(vec![seed.address]).await.unwrap(),
        Ending::Complete
    );
    torrent.is_whole_in(folder.path());
    let asked: u64 = seed
        .requests()
        .iter()
        .map(|block| u64::from(block.length))
        .sum();
    assert_eq!(asked, found.left);

    let again = torrent.open(folder.path(), impatient()).await.unwrap();
    assert!(again.leech.is_complete());
}

#[tokio::test]
async fn what_came_before_a_stop_stays() {
    let torrent = torrent();
    let folder = tempfile::tempdir().unwrap();
    let seed = torrent.seed(Manner::GivesOutAfter(20));
    let download = torrent
        .open(folder.path(), Options::default())
        .await
        .unwrap();
    let (mut progress, shutdown) = (download.progress.clone(), download.shutdown.clone());
    let stop = async {
        let has_some = |progress: &Progress| progress.done > 0;
        progress.wait_for(has_some).await.unwrap();
        shutdown.cancel();
    };
    let (ending, ()) = tokio::join!(download.run(vec![seed.address]), stop);
    assert_eq!(ending.unwrap(), Ending::Stopped);
    let done = progress.borrow().done;

    let mut seed = torrent.seed(Manner::Honest);
    let last = torrent.download(folder.path(), &[&seed]).await;
    torrent.is_whole_in(folder.path());
    let asked: u64 = seed
        .requests()
        .iter()
        .map(|block| u64::from(block.length))
        .sum();
    assert_eq!(asked, last.total - done);
}

#[tokio::test]
async fn a_liar_is_banned_and_the_others_make_up_for_it() {
    let torrent = torrent();
    let folder = tempfile::tempdir().unwrap();
    let (mut liar, honest) = (torrent.seed(Manner::Lies), torrent.seed(Manner::Honest));
    let download = torrent.open(folder.path(), impatient()).await.unwrap();
    let (tell, sources) = mpsc::channel(1);
    tell.send(vec![liar.address]).await.unwrap();
    let feed = async {
        liar.asked.recv().await;
        tell.send(vec![honest.address]).await.unwrap();
    };
    let (ending, ()) = tokio::join!(download.run_with(sources), feed);
    assert_eq!(ending.unwrap(), Ending::Complete);
    torrent.is_whole_in(folder.path());
    assert_eq!(liar.connections(), 1);
}

#[tokio::test]
async fn a_seed_that_stalls_holds_up_neither_its_blocks_nor_its_place() {
    let torrent = torrent();
    let folder = tempfile::tempdir().unwrap();
    let (stalling, honest) = (
        torrent.seed(Manner::GivesOutAfter(9)),
        torrent.seed(Manner::Honest),
    );
    let options = Options {
        connections: 1,
        ..impatient()
    };
    let download = torrent.open(folder.path(), options).await.unwrap();
    let seeds = vec![stalling.address, honest.address];
    assert_eq!(download.run(seeds).await.unwrap(), Ending::Complete);
    torrent.is_whole_in(folder.path());
    assert_eq!(stalling.connections(), 1);
}

#[tokio::test]
async fn a_seed_that_never_sends_is_outrun_in_the_end_game() {
    let torrent = torrent();
    let folder = tempfile::tempdir().unwrap();
    let (mut stalling, honest) = (torrent.seed(Manner::Stalls), torrent.seed(Manner::Honest));
    let download = torrent
        .open(folder.path(), Options::default())
        .await
        .unwrap();
    let (tell, sources) = mpsc::channel(1);
    tell.send(vec![stalling.address]).await.unwrap();
    let feed = async {
        stalling.asked.recv().await;
        tell.send(vec![honest.address]).await.unwrap();
    };
    let (ending, ()) = tokio::join!(download.run_with(sources), feed);
    assert_eq!(ending.unwrap(), Ending::Complete);
    torrent.is_whole_in(folder.path());
}

#[tokio::test]
async fn bad_manners_hold_nobody_up() {
    for manner in [
        Manner::Babbles,
        Manner::Rejects,
        Manner::HangsUp,
        Manner::Lies,
    ] {
        let torrent = torrent();
        let folder = tempfile::tempdir().unwrap();
        let (bad, honest) = (torrent.seed(manner), torrent.seed(Manner::Honest));
        torrent.download(folder.path(), &[&bad, &honest]).await;
        torrent.is_whole_in(folder.path());
    }
}

#[tokio::test]
async fn odd_seeds_are_good_enough_alone() {
    for manner in [Manner::Forgets, Manner::Interrupts] {
        let torrent = torrent();
        let folder = tempfile::tempdir().unwrap();
        let last = torrent
            .download(folder.path(), &[&torrent.seed(manner)])
            .await;
        torrent.is_whole_in(folder.path());
        assert!(last.received >= last.total, "{manner:?}");
    }
}

#[tokio::test]
async fn what_is_not_the_torrents_is_refused_and_left_alone() {
    let torrent = torrent();
    for (name, bytes) in [
        ("one byte", b"more than a byte".to_vec()),
        (
            "in/ein Ordner/last.bin",
            b"my thesis, the only copy".to_vec(),
        ),
        ("empty", b"not empty".to_vec()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a torrent").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let refused = torrent.open(folder.path(), impatient()).await.err();
        let is_refusal = |error: &LeechError| {
            matches!(
                error,
                LeechError::Folder(FolderError::TooLong { .. } | FolderError::Foreign(_))
            )
        };
        assert!(
            refused.as_ref().is_some_and(is_refusal),
            "{name}: {refused:?}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_v2_only_torrent_is_refused_in_words() {
    let torrent = torrent_of(Format::V2, files());
    let folder = tempfile::tempdir().unwrap();
    let refused = torrent.open(folder.path(), impatient()).await.err();
    assert!(matches!(refused, Some(LeechError::V2Only)));
}

#[tokio::test]
async fn a_torrent_of_nothing_is_complete_at_once() {
    let torrent = torrent_of(Format::V1, vec![("a", vec![]), ("b/c", vec![])]);
    let folder = tempfile::tempdir().unwrap();
    let download = torrent.open(folder.path(), impatient()).await.unwrap();
    assert!(download.leech.is_complete());
    torrent.is_whole_in(folder.path());
}

#[tokio::test]
async fn who_gives_nothing_makes_room_for_who_waits() {
    let torrent = torrent();
    let folder = tempfile::tempdir().unwrap();
    let (silent, honest) = (
        torrent.seed(Manner::NeverUnchokes),
        torrent.seed(Manner::Honest),
    );
    let options = Options {
        connections: 1,
        patience: 1,
        ..Options::default()
    };
    let download = torrent.open(folder.path(), options).await.unwrap();
    let seeds = vec![silent.address, honest.address];
    assert_eq!(download.run(seeds).await.unwrap(), Ending::Complete);
    torrent.is_whole_in(folder.path());
    assert_eq!(silent.connections(), 1);
}

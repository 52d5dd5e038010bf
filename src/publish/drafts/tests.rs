//! Drafts over real stores in a folder of their own.

mod keeping;
mod known;

use bytes::Bytes;
use proptest::prelude::*;
use sha1::{Digest, Sha1};
use tempfile::TempDir;

use super::*;
use crate::catalog::{self, Catalog};
use crate::domain::publication::Words;
use crate::proto::metainfo::build::InfoOptions;
use crate::proto::metainfo::hash::TorrentHasher;
use crate::proto::metainfo::info::{Format, Layout};
use crate::proto::metainfo::piece_length::PieceLength;
use crate::publish::{Checksum, Options, sweep};
use crate::store::content::ContentStore;
use crate::store::files::{self, FileStore};
use crate::store::sqlite::{self, SqliteStore};

/// A server's stores, and its drafts.
struct Bench {
    drafts: Drafts,
    catalog: Catalog,
    content: Arc<dyn ContentStore>,
    folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), Options::default()).await
    }

    async fn with(options: Options) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), options).await
    }

    /// Starts as the program does, in a folder where it may have run before.
    async fn in_folder(folder: TempDir, options: Options) -> Self {
        let database = folder.path().join("sower.db");
        let options_of_store = sqlite::Options::default();
        let store = SqliteStore::open(&database, &options_of_store).await;
        let store = Arc::new(store.unwrap());
        let content = FileStore::open(folder.path(), files::Options::default()).unwrap();
        let content: Arc<dyn ContentStore> = Arc::new(content);
        let cache = catalog::Options::default();
        let catalog = Catalog::load(store.clone(), &cache).await.unwrap();
        let ingest = Ingest::new(catalog.clone(), Arc::clone(&content), options);
        let drafts = ingest.drafts(store);
        let kept = drafts.kept().await.unwrap();
        sweep(&catalog, &*content, &kept).await.unwrap();
        drafts.take_up().await.unwrap();
        Self {
            drafts,
            catalog,
            content,
            folder,
        }
    }

    /// Starts again as after a kill: whatever is in memory is lost.
    async fn start_again(self) -> Self {
        Self::in_folder(self.folder, Options::default()).await
    }

    async fn make(&self, format: Format, files: &[(&str, u64)]) -> PublicationId {
        let files = files
            .iter()
            .map(|(path, length)| ((*path).to_owned(), *length));
        let made = self
            .drafts
            .make(details(format), files.collect(), asked())
            .await;
        made.unwrap().draft.id
    }

    async fn send(&self, id: PublicationId, file: u32, offset: u64, bytes: &[u8]) -> u64 {
        self.try_send(id, file, head(offset, bytes), bytes)
            .await
            .unwrap()
    }

    async fn try_send(
        &self,
        id: PublicationId,
        file: u32,
        head: PartHead,
        bytes: &[u8],
    ) -> Result<u64, DraftError> {
        let upload = UploadId { draft: id, file };
        let mut part = self.drafts.begin_part(upload, None, head).await?;
        for bytes in bytes.chunks(7_000) {
            part.write(Bytes::copy_from_slice(bytes)).await?;
        }
        Ok(part.finish().await?.offset)
    }

    async fn status(&self, id: PublicationId) -> Option<DraftStatus> {
        self.drafts.status(id, None).await.unwrap()
    }

    /// Waits until a draft has come to its end.
    async fn published(&self, id: PublicationId) -> Publication {
        let deadline = Duration::from_secs(20);
        let waiting = async {
            loop {
                match self.status(id).await {
                    None => return self.catalog.store().publication(id).await.unwrap(),
                    Some(status) => {
                        assert!(!matches!(status.state, DraftState::Failed(_)), "{status:?}");
                    }
                }
                tokio::task::yield_now().await;
            }
        };
        let found = timeout(deadline, waiting).await;
        found
            .expect("it is published in time")
            .expect("it is there")
    }

    fn staged(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("staging"))
            .unwrap()
            .count()
    }
}

fn asked() -> Asked {
    Asked {
        maker: Maker::Stranger(None),
        keyed: None,
        now: ambient::unix_now(),
    }
}

fn details(format: Format) -> Details {
    Details {
        words: Words {
            title: "A title".to_owned(),
            ..Words::default()
        },
        format,
        ..Details::default()
    }
}

fn head(offset: u64, bytes: &[u8]) -> PartHead {
    PartHead {
        offset,
        length: Some(bytes.len() as u64),
        checksum: None,
    }
}

fn some_bytes(length: usize, seed: u32) -> Vec<u8> {
    let words = (seed..).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
    words.take(length).collect()
}

#[tokio::test]
async fn a_draft_is_published_with_its_last_byte() {
    let bench = Bench::new().await;
    let (a, b) = (some_bytes(100_000, 1), some_bytes(50_000, 2));
    let files = [("box/b", 50_000), ("box/empty", 0), ("box/a", 100_000)];
    let id = bench.make(Format::V1, &files).await;
    assert_eq!(bench.send(id, 2, 0, &a[..60_000]).await, 60_000);
    assert_eq!(bench.send(id, 0, 0, &b).await, 50_000);
    let status = bench.status(id).await.unwrap();
    assert_eq!(status.received, [50_000, 0, 60_000]);
    assert_eq!(
        (status.state, status.name.as_str()),
        (DraftState::Receiving, "box")
    );
    bench.send(id, 2, 60_000, &a[60_000..]).await;
    let publication = bench.published(id).await;
    assert_eq!(publication.title, "A title");
    let paths: Vec<_> = publication
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(paths, ["a", "b", "empty"]);
    for (file, expected) in publication.files.iter().zip([&a[..], &b, &[]]) {
        let kept = bench
            .content
            .open(id, file.stored_as)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(kept.read(0, expected.len()).await.unwrap(), expected);
    }
    assert!(bench.content.sealed().await.unwrap()[0].is_claimed);
    assert_eq!(bench.staged(), 0);
}

#[tokio::test]
async fn bytes_that_do_not_follow_are_refused_and_change_nothing() {
    let bench = Bench::new().await;
    let id = bench.make(Format::V1, &[("x", 10)]).await;
    bench.send(id, 0, 0, b"01234").await;
    for (offset, bytes) in [
        (0, &b"xxxxx"[..]),
        (4, b"x"),
        (6, b"x"),
        (10, b""),
        (11, b""),
    ] {
        let refusal = bench.try_send(id, 0, head(offset, bytes), bytes).await;
        assert!(
            matches!(refusal, Err(DraftError::WrongOffset { offset: 5 })),
            "{offset}: {refusal:?}"
        );
    }
    let refusal = bench.try_send(id, 0, head(5, b"567890"), b"567890").await;
    assert!(matches!(refusal, Err(DraftError::TooLong { length: 10 })));
    // Without a length nobody knows until it has come.
    let unknown = PartHead {
        length: None,
        ..head(5, b"")
    };
    let refusal = bench.try_send(id, 0, unknown, b"567890").await;
    assert!(matches!(refusal, Err(DraftError::TooLong { length: 10 })));
    assert_eq!(bench.status(id).await.unwrap().received, [5]);
    assert_eq!(bench.try_send(id, 0, unknown, b"56789").await.unwrap(), 10);
    bench.published(id).await;
    let file = bench.content.open(id, 0).await.unwrap().unwrap();
    assert_eq!(file.read(0, 10).await.unwrap(), b"0123456789");
}

#[tokio::test]
async fn nothing_is_kept_of_bytes_with_a_wrong_checksum() {
    let bench = Bench::new().await;
    let bytes = some_bytes(80_000, 1);
    let id = bench.make(Format::Hybrid, &[("x", 80_000)]).await;
    bench.send(id, 0, 0, &bytes[..30_000]).await;
    let rest = &bytes[30_000..];
    let checked = PartHead {
        checksum: Some(Checksum::Sha1(Sha1::digest(rest).into())),
        ..head(30_000, rest)
    };
    let refusal = bench.try_send(id, 0, checked, &some_bytes(50_000, 9)).await;
    assert!(
        matches!(refusal, Err(DraftError::WrongChecksum)),
        "{refusal:?}"
    );
    assert_eq!(bench.status(id).await.unwrap().received, [30_000]);
    // A request that breaks off counts for nothing either, for nobody can check it.
    let upload = UploadId { draft: id, file: 0 };
    let mut part = bench
        .drafts
        .begin_part(upload, None, checked)
        .await
        .unwrap();
    part.write(Bytes::copy_from_slice(&rest[..20_000]))
        .await
        .unwrap();
    drop(part);
    let sent = bench.try_send(id, 0, checked, rest).await;
    assert_eq!(sent.unwrap(), 80_000);
    let publication = bench.published(id).await;
    assert_eq!(
        publication.info_hashes,
        in_one_pass(Format::Hybrid, &[("x", bytes)])
    );
}

#[tokio::test]
async fn of_two_writers_the_one_that_sends_wins() {
    let bench = Bench::new().await;
    let id = bench.make(Format::V1, &[("x", 10)]).await;
    let upload = UploadId { draft: id, file: 0 };
    let mut first = bench
        .drafts
        .begin_part(upload, None, head(0, b"0123456789"))
        .await
        .unwrap();
    let second = bench.drafts.begin_part(upload, None, head(0, b"0"));
    let still_sending = async {
        tokio::task::yield_now().await;
        first.write(Bytes::from_static(b"01234")).await.unwrap();
    };
    let (second, ()) = tokio::join!(second, still_sending);
    assert!(matches!(second.err(), Some(DraftError::Locked)));

    // It has nothing more to say: its own resume goes on, and it is told so.
    let resume = bench.drafts.begin_part(upload, None, head(5, b"56789"));
    let letting_go = async move {
        let why = first.unwanted().await;
        assert!(matches!(why, DraftError::Overtaken), "{why:?}");
    };
    let (resumed, ()) = tokio::join!(resume, letting_go);
    let mut resumed = resumed.unwrap();
    resumed.write(Bytes::from_static(b"56789")).await.unwrap();
    assert_eq!(resumed.finish().await.unwrap().offset, 10);
    bench.published(id).await;
}

#[tokio::test]
async fn the_same_files_are_published_once() {
    let bench = Bench::new().await;
    let files = [("f/a", 2), ("f/b", 3)];
    let id = bench.make(Format::V1, &files).await;
    let twin = bench.make(Format::V1, &[files[1], files[0]]).await;
    bench.send(id, 0, 0, b"aa").await;
    bench.send(id, 1, 0, b"bbb").await;
    bench.published(id).await;
    bench.send(twin, 1, 0, b"aa").await;
    bench.send(twin, 0, 0, b"bbb").await;
    let failed = async {
        loop {
            if let DraftState::Failed(failure) = bench.status(twin).await.unwrap().state {
                return failure;
            }
            tokio::task::yield_now().await;
        }
    };
    let failure = timeout(Duration::from_secs(20), failed).await.unwrap();
    assert_eq!(failure.twin, Some(id));
    assert!(failure.reason.contains(id.as_str()), "{}", failure.reason);
    bench.drafts.ingest.finished().await;
    assert_eq!(bench.content.sealed().await.unwrap().len(), 1);
    assert_eq!(bench.staged(), 0);
    // It says so after a restart too, and its uploads are known to be whole.
    let bench = bench.start_again().await;
    let status = bench.status(twin).await.unwrap();
    assert_eq!(
        (status.received, status.state),
        (vec![3, 2], DraftState::Failed(failure))
    );
}

#[tokio::test]
async fn what_cannot_be_published_is_refused_before_its_first_byte() {
    let bench = Bench::with(Options {
        max_files: 3,
        max_bytes: 100,
        max_drafts: 2,
        ..Options::default()
    })
    .await;
    let cases: [(&[(&str, u64)], &str); 10] = [
        (&[], "no file"),
        (&[("a", 0), ("b", 0)], "every file is empty"),
        (&[("../a", 1)], "rename"),
        (&[("a", 1), ("A", 1)], "rename"),
        (&[("a", 1), ("a/b", 1)], "rename"),
        (&[("CON", 1)], "rename"),
        (&[("a", 1); 4], "3 files"),
        (&[("a", 60), ("b", 41)], "100 bytes"),
        (&[("a", u64::MAX), ("b", 2)], "100 bytes"),
        (&[("", 1)], "rename"),
    ];
    for (files, words) in cases {
        let files = files
            .iter()
            .map(|(path, length)| ((*path).to_owned(), *length));
        let refusal = bench
            .drafts
            .make(details(Format::V1), files.collect(), asked())
            .await;
        let refusal = refusal.unwrap_err().to_string();
        assert!(refusal.contains(words), "{refusal}");
    }
    assert_eq!(bench.drafts.store.drafts().await.unwrap(), []);
    for _ in 0..2 {
        bench.make(Format::V1, &[("a", 1)]).await;
    }
    let third = bench
        .drafts
        .make(details(Format::V1), vec![("a".to_owned(), 1)], asked())
        .await;
    assert!(matches!(
        third,
        Err(DraftError::Refused(Refusal::TooMany { limit: 2 }))
    ));
}

/// The info-hashes of the same files in one pass, as `sower create` makes them.
fn in_one_pass(format: Format, files: &[(&str, Vec<u8>)]) -> crate::proto::id::InfoHashes {
    let lengths: Vec<u64> = files.iter().map(|(_, bytes)| bytes.len() as u64).collect();
    let mut hasher = TorrentHasher::new(format, PieceLength::for_files(format, &lengths));
    for (path, bytes) in files {
        hasher.begin_file(FilePath::parse(path).unwrap());
        hasher.update(bytes);
    }
    let (name, layout) = match files {
        [(only, _)] => (*only, Layout::SingleFile),
        _ => ("f", Layout::Folder),
    };
    let options = InfoOptions {
        name: name.to_owned(),
        layout,
        private: false,
        source: None,
    };
    hasher.finish().into_info(options).unwrap().info.hashes
}

/// Sends the files in parts of these lengths, a part of this file and a part of that, and starts again where a part is zero.
async fn send_in_parts(
    format: Format,
    files: &[(&str, Vec<u8>)],
    turns: &[usize],
    parts: &[usize],
) -> crate::proto::id::InfoHashes {
    let mut bench = Bench::new().await;
    let listed: Vec<_> = files
        .iter()
        .map(|(path, bytes)| (format!("f/{path}"), bytes.len() as u64))
        .collect();
    let listed: Vec<_> = listed
        .iter()
        .map(|(path, length)| (path.as_str(), *length))
        .collect();
    let id = bench.make(format, &listed).await;
    let mut sent = vec![0; files.len()];
    let (mut turns, mut parts) = (turns.iter().cycle(), parts.iter().cycle());
    while sent
        .iter()
        .zip(files)
        .any(|(sent, (_, bytes))| *sent < bytes.len())
    {
        let mut file = turns.next().unwrap() % files.len();
        while sent[file] == files[file].1.len() {
            file = (file + 1) % files.len();
        }
        let part = *parts.next().unwrap();
        if part == 0 {
            bench = bench.start_again().await;
            continue;
        }
        let bytes = &files[file].1[sent[file]..];
        let bytes = &bytes[..part.min(bytes.len())];
        let number = u32::try_from(file).unwrap();
        bench.send(id, number, sent[file] as u64, bytes).await;
        sent[file] += bytes.len();
    }
    bench.published(id).await.info_hashes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bytes_make_the_same_torrent_however_they_come(
        contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60_000), 2..5),
        turns in prop::collection::vec(0_usize..4, 1..8),
        mut parts in prop::collection::vec(0_usize..30_000, 1..6),
        format in prop::sample::select(vec![Format::V1, Format::V2, Format::Hybrid]),
    ) {
        prop_assume!(contents.iter().any(|bytes| !bytes.is_empty()));
        parts.push(20_000);
        let names = ["a", "b", "c", "d"];
        let files: Vec<_> = names.into_iter().zip(contents).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let came = runtime.block_on(send_in_parts(format, &files, &turns, &parts));
        prop_assert_eq!(came, in_one_pass(format, &files));
    }
}

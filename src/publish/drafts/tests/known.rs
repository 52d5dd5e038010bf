//! Drafts and uploads whose files have a torrent already.

use super::*;
use crate::proto::bencode::Encoder;
use crate::proto::id::InfoHash;
use crate::publish::{Expected, Import};

/// The files of the torrent in its order, which is not that of their names.
fn files() -> [(&'static str, Vec<u8>); 3] {
    [
        ("old/b", some_bytes(30_011, 1)),
        ("old/empty", Vec::new()),
        ("old/a", some_bytes(10_000, 2)),
    ]
}

/// A torrent with pieces of an odd length and a pad; gives its `info` too.
fn torrent() -> (Bytes, Vec<u8>) {
    let [(_, b), _, (_, a)] = files();
    let run = [&b[..], &[0; 13], &a].concat();
    let mut info = Vec::new();
    let mut encoder = Encoder::new(&mut info);
    encoder.begin_dict().key("files").begin_list();
    for (attr, length, name) in [
        (None, 30_011, "b"),
        (None, 0, "empty"),
        (Some("p"), 13, "pad"),
        (None, 10_000, "a"),
    ] {
        encoder.begin_dict();
        if let Some(attr) = attr {
            encoder.key("attr").text(attr);
        }
        encoder.key("length").integer(length);
        encoder.key("path").begin_list().text(name).end().end();
    }
    encoder.end();
    encoder.key("name").text("old");
    encoder.key("piece length").integer(7_001);
    let pieces: Vec<u8> = run.chunks(7_001).flat_map(Sha1::digest).collect();
    encoder.key("pieces").bytes(&pieces).end();
    let mut torrent = Vec::new();
    let mut encoder = Encoder::new(&mut torrent);
    encoder.begin_dict().key("info").raw(&info).end();
    (torrent.into(), info)
}

impl Bench {
    fn import(&self) -> Import {
        self.drafts.ingest.read_torrent(&torrent().0).unwrap()
    }

    async fn make_known(&self) -> PublicationId {
        let details = Details {
            import: Some(self.import()),
            ..details(Format::Hybrid)
        };
        let made = self.drafts.make(details, Vec::new(), asked()).await;
        made.unwrap().draft.id
    }

    async fn expect_same(&self, publication: &Publication) {
        let hash = InfoHash::of_v1(&torrent().1);
        assert_eq!(publication.info_hashes.v1(), Some(hash));
        assert_eq!(publication.format, Format::V1);
        assert_eq!(self.catalog.find(&hash), Some(publication.id));
        for (file, (path, bytes)) in publication.files.iter().zip(files()) {
            assert_eq!(format!("old/{}", file.path), path);
            let kept = self.content.open(publication.id, file.stored_as).await;
            let kept = kept.unwrap().unwrap();
            assert_eq!(kept.read(0, bytes.len()).await.unwrap(), bytes);
        }
    }

    /// Uploads files in one go.
    async fn upload_known(&self, files: &[(&str, Vec<u8>)]) -> Result<Publication, IngestError> {
        let expected = Expected {
            import: Some(self.import()),
            ..Expected::default()
        };
        let mut upload = self.drafts.ingest.begin(expected, 1)?;
        for (path, bytes) in files {
            upload.begin_file(path).await?;
            upload.write(Bytes::copy_from_slice(bytes)).await?;
        }
        upload.finish(details(Format::V2), None, 2).await
    }
}

#[tokio::test]
async fn files_in_any_order_become_their_torrent_again_even_after_a_kill() {
    let bench = Bench::new().await;
    let id = bench.make_known().await;
    let [(_, b), _, (_, a)] = files();
    bench.send(id, 2, 0, &a).await;
    bench.send(id, 0, 0, &b[..20_000]).await;
    let bench = bench.start_again().await;
    let status = bench.status(id).await.unwrap();
    assert_eq!(status.received, [20_000, 0, 10_000]);
    assert_eq!(status.draft.piece_length().get(), 7_001);
    bench.send(id, 0, 20_000, &b[20_000..]).await;
    bench.expect_same(&bench.published(id).await).await;
    let again = bench.drafts.ingest.read_torrent(&torrent().0);
    assert!(matches!(again, Err(IngestError::AlreadyPublished(twin)) if twin == id));
}

#[tokio::test]
async fn a_draft_with_a_wrong_piece_fails_and_names_it() {
    let bench = Bench::new().await;
    let id = bench.make_known().await;
    let [(_, mut b), _, (_, a)] = files();
    b[14_002] ^= 1;
    let mut ends = bench.drafts.ends();
    bench.send(id, 0, 0, &b).await;
    bench.send(id, 2, 0, &a).await;
    ends.changed().await.unwrap();
    let state = bench.status(id).await.unwrap().state;
    let DraftState::Failed(failure) = state else {
        panic!("{state:?}");
    };
    let words = failure.reason;
    assert!(
        words.starts_with("piece 2 of 6 in b do not match"),
        "{words}"
    );
    assert_eq!(bench.catalog.store().publication(id).await.unwrap(), None);
}

#[tokio::test]
async fn an_upload_in_another_order_becomes_its_torrent_again() {
    // As people and programs name files: with the folder, without, and under another one.
    for folder in ["old/", "", "renamed/"] {
        let bench = Bench::new().await;
        let mut files: Vec<_> = files()
            .into_iter()
            .map(|(path, bytes)| (path.replace("old/", folder), bytes))
            .collect();
        files.push((format!("{folder}Thumbs.db"), vec![1; 10]));
        files.reverse();
        let files: Vec<_> = files
            .iter()
            .map(|(path, bytes)| (path.as_str(), bytes.clone()))
            .collect();
        let publication = bench.upload_known(&files).await.unwrap();
        bench.expect_same(&publication).await;
    }
}

#[tokio::test]
async fn an_upload_that_is_not_the_torrent_leaves_nothing() {
    let bench = Bench::new().await;
    let [b, empty, mut a] = files();
    let missing = bench
        .upload_known(std::slice::from_ref(&b))
        .await
        .unwrap_err();
    assert!(
        missing.to_string().contains("missing: empty, a;"),
        "{missing}"
    );
    let twice = [b.clone(), b.clone()];
    let twice = bench.upload_known(&twice).await.unwrap_err();
    assert!(twice.to_string().contains("came twice"), "{twice}");
    a.1[9_999] ^= 1;
    let wrong = bench.upload_known(&[b, empty, a]).await.unwrap_err();
    assert!(wrong.to_string().contains("piece 5 of 6 in a "), "{wrong}");
    bench.drafts.ingest.finished().await;
    assert_eq!(bench.staged(), 0);
    assert!(bench.content.sealed().await.unwrap().is_empty());
}

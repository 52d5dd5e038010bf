//! What is kept of drafts: over a kill, until they expire, and the room that they need.

use super::*;
use crate::domain::ledger::Percent;

#[tokio::test]
async fn a_draft_goes_on_after_a_kill() {
    let bench = Bench::new().await;
    let bytes = some_bytes(200_000, 1);
    let id = bench
        .make(Format::V1, &[("f/x", 200_000), ("f/y", 3)])
        .await;
    bench.send(id, 0, 0, &bytes[..90_000]).await;
    let bench = bench.start_again().await;
    let status = bench.status(id).await.unwrap();
    assert_eq!(status.received, [90_000, 0]);
    bench.send(id, 0, 90_000, &bytes[90_000..]).await;
    let bench = bench.start_again().await;
    bench.send(id, 1, 0, b"yyy").await;
    let publication = bench.published(id).await;
    let files = [("x", bytes), ("y", b"yyy".to_vec())];
    assert_eq!(publication.info_hashes, in_one_pass(Format::V1, &files));
}

#[tokio::test]
async fn a_kill_after_the_last_byte_only_puts_the_publication_off() {
    for is_sealed in [false, true] {
        let bench = Bench::new().await;
        let id = bench.make(Format::V1, &[("f/x", 5), ("f/empty", 0)]).await;
        // The bytes are there, and nobody was told.
        let staging = bench.content.stage_draft(id).unwrap();
        let mut appending = staging.append(0, 0).unwrap();
        appending.write(b"bytes").unwrap();
        drop(appending);
        if is_sealed {
            staging.seal(2).unwrap();
        }
        drop(staging);
        let bench = bench.start_again().await;
        let publication = bench.published(id).await;
        let files = [("empty", vec![]), ("x", b"bytes".to_vec())];
        assert_eq!(publication.info_hashes, in_one_pass(Format::V1, &files));
        let file = bench.content.open(id, 0).await.unwrap().unwrap();
        assert_eq!(file.read(0, 5).await.unwrap(), b"bytes");
        assert_eq!(bench.staged(), 0);
    }
}

#[tokio::test]
async fn room_is_promised_to_drafts_and_free_again_without_them() {
    let bench = Bench::with(Options {
        anonymous_share: Percent::ALL,
        ..Options::default()
    })
    .await;
    let free = bench.content.free_bytes().unwrap();
    let most = free - free / 10;
    let first = bench.make(Format::V1, &[("a", most)]).await;
    let second = bench
        .drafts
        .make(details(Format::V1), vec![("b".to_owned(), most)], asked())
        .await;
    let Err(DraftError::Refused(Refusal::NoRoom { room, needed, .. })) = second else {
        panic!("{second:?}");
    };
    assert!(room < free / 5 && needed == most);
    assert!(bench.drafts.ingest.room().unwrap() < free / 5);
    bench.drafts.delete(first, None).await.unwrap();
    bench.make(Format::V1, &[("b", most)]).await;
}

#[tokio::test]
async fn a_deleted_draft_is_gone_with_its_bytes() {
    let bench = Bench::new().await;
    let id = bench.make(Format::V1, &[("x", 10)]).await;
    bench.send(id, 0, 0, b"01234").await;
    assert_eq!(bench.staged(), 1);
    bench.drafts.delete(id, None).await.unwrap();
    assert!(bench.status(id).await.is_none());
    assert_eq!(bench.staged(), 0);
    let late = bench.try_send(id, 0, head(5, b"56789"), b"56789").await;
    assert!(matches!(late, Err(DraftError::NoUpload)));
    let again = bench.drafts.delete(id, None).await;
    assert!(matches!(again, Err(DraftError::NoUpload)));
    assert!(bench.start_again().await.status(id).await.is_none());
}

#[tokio::test]
async fn a_draft_that_nobody_touches_expires_and_leaves_nothing() {
    let bench = Bench::with(Options {
        draft_lifetime: 1,
        ..Options::default()
    })
    .await;
    let id = bench.make(Format::V1, &[("x", 10)]).await;
    bench.send(id, 0, 0, b"01234").await;
    let shutdown = CancellationToken::new();
    let gone = async {
        while bench.staged() > 0 {
            tokio::task::yield_now().await;
        }
        shutdown.cancel();
    };
    let rounds = bench.drafts.clone().run(shutdown.clone());
    let waiting = timeout(Duration::from_secs(20), async {
        tokio::join!(rounds, gone)
    });
    waiting.await.unwrap();
    assert!(bench.status(id).await.is_none());
    assert_eq!(bench.drafts.store.drafts().await.unwrap(), []);
}

//! The suite for content.

use std::io::{IoSliceMut, Read};
use std::sync::Arc;

use crate::domain::publication::PublicationId;
use crate::store::StoreError;
use crate::store::content::{ContentFile, ContentStore, DraftStaging, Sealed};

/// Runs the suite.
pub(crate) async fn check(store: &dyn ContentStore) {
    let first = "aaaaaaaaaa".parse().unwrap();
    sealed_content_is_what_was_written(store, first).await;
    refuses_a_second_upload_of_one_id(store, first);
    reads_are_exact_or_fail(&*store.open(first, 1).await.unwrap().unwrap()).await;
    content_is_unclaimed_until_it_is_claimed(store, first).await;
    an_upload_that_is_dropped_leaves_nothing(store).await;
    what_a_crash_left_staged_can_be_discarded(store).await;
    removed_content_is_gone(store, first).await;
    what_lies_elsewhere_is_read_there_and_never_removed(store).await;
    a_draft_grows_file_by_file(store).await;
    what_was_on_trial_is_taken_back(store);
    a_draft_is_sealed_as_an_upload_is(store).await;
    drafts_that_are_kept_outlast_the_others(store).await;
}

async fn sealed_content_is_what_was_written(store: &dyn ContentStore, id: PublicationId) {
    assert!(store.open(id, 0).await.unwrap().is_none());
    let mut staging = store.stage(id).unwrap();
    assert!(staging.write(b"before any file").is_err());
    assert_eq!(staging.begin_file().unwrap(), 0);
    assert_eq!(staging.begin_file().unwrap(), 1);
    for part in bytes_of_file_one().chunks(999) {
        staging.write(part).unwrap();
    }
    assert_eq!(staging.begin_file().unwrap(), 2);
    staging.write(b"last").unwrap();

    let mut again = Vec::new();
    let mut reader = staging.reopen(1).unwrap();
    reader.read_to_end(&mut again).unwrap();
    assert_eq!(again, bytes_of_file_one());

    assert!(store.open(id, 1).await.unwrap().is_none());
    assert_eq!(store.sealed().await.unwrap(), []);
    staging.seal().unwrap();
    for (number, expected) in [(0, vec![]), (1, bytes_of_file_one()), (2, b"last".to_vec())] {
        let file = store.open(id, number).await.unwrap().unwrap();
        assert_eq!(file.length(), expected.len() as u64);
        assert_eq!(file.read(0, expected.len()).await.unwrap(), expected);
    }
    assert!(store.open(id, 3).await.unwrap().is_none());
}

fn refuses_a_second_upload_of_one_id(store: &dyn ContentStore, sealed: PublicationId) {
    let uploading = "bbbbbbbbbb".parse().unwrap();
    let upload = store.stage(uploading).unwrap();
    for id in [sealed, uploading] {
        let refusal = store.stage(id).err().unwrap();
        assert!(matches!(refusal, StoreError::Conflict(_)), "{refusal:?}");
    }
    drop(upload);
    drop(store.stage(uploading).unwrap());
}

async fn reads_are_exact_or_fail(file: &dyn ContentFile) {
    let expected = bytes_of_file_one();
    let length = file.length();
    for (offset, amount) in [(0, 1), (5, 70_000), (199_999, 1), (200_000, 0)] {
        let end = offset + amount;
        let bytes = file.read(offset as u64, amount).await.unwrap();
        assert_eq!(bytes, expected[offset..end]);

        // What was just read is in memory, if nobody else needed the room and the store can tell at all.
        let (mut head, mut tail) = (vec![0; amount / 3], vec![0; amount - amount / 3]);
        let mut buffers = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
        let at_once = file.try_read(offset as u64, &mut buffers).unwrap();
        head.append(&mut tail);
        assert_eq!(head[..at_once], expected[offset..offset + at_once]);
    }
    for (offset, amount) in [
        (length, 1),
        (length - 1, 2),
        (u64::MAX, 1),
        (0, usize::MAX),
        (1, usize::MAX),
    ] {
        let error = file.read(offset, amount).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
    }
    let mut buffer = [0; 2];
    let mut past_the_end = [IoSliceMut::new(&mut buffer)];
    assert!(file.try_read(length - 1, &mut past_the_end).is_err());
}

async fn content_is_unclaimed_until_it_is_claimed(store: &dyn ContentStore, id: PublicationId) {
    for is_claimed in [false, true] {
        assert_eq!(store.sealed().await.unwrap(), [Sealed { id, is_claimed }]);
        store.claim(id).await.unwrap();
    }
    store.claim("zzzzzzzzzz".parse().unwrap()).await.unwrap();
}

async fn an_upload_that_is_dropped_leaves_nothing(store: &dyn ContentStore) {
    let id = "cccccccccc".parse().unwrap();
    let before = store.sealed().await.unwrap();
    let mut staging = store.stage(id).unwrap();
    staging.begin_file().unwrap();
    staging.write(b"half of it").unwrap();
    drop(staging);
    assert_eq!(store.sealed().await.unwrap(), before);
    assert!(store.open(id, 0).await.unwrap().is_none());
    drop(store.stage(id).unwrap());
}

async fn what_a_crash_left_staged_can_be_discarded(store: &dyn ContentStore) {
    let id = "dddddddddd".parse().unwrap();
    let mut staging = store.stage(id).unwrap();
    staging.begin_file().unwrap();
    staging.write(b"half of it").unwrap();
    // A crash runs no destructor.
    std::mem::forget(staging);
    assert!(store.stage(id).is_err());
    store.discard_stagings(Vec::new()).await.unwrap();
    drop(store.stage(id).unwrap());
}

async fn removed_content_is_gone(store: &dyn ContentStore, id: PublicationId) {
    let reader: Arc<dyn ContentFile> = store.open(id, 2).await.unwrap().unwrap();
    store.remove(id).await.unwrap();
    store.remove(id).await.unwrap();
    assert_eq!(reader.length(), 4);
    for number in 0..3 {
        assert!(store.open(id, number).await.unwrap().is_none());
    }
    assert_eq!(store.sealed().await.unwrap(), []);
    drop(store.stage(id).unwrap());
}

async fn what_lies_elsewhere_is_read_there_and_never_removed(store: &dyn ContentStore) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap().join("theirs");
    std::fs::write(&place, "their bytes").unwrap();
    let id = "iiiiiiiiii".parse().unwrap();
    let mut staging = store.stage(id).unwrap();
    staging.begin_file().unwrap();
    staging.write(b"ours").unwrap();
    assert_eq!(staging.refer(&place).unwrap(), 1);
    // What follows needs a file of its own.
    assert!(staging.write(b"to nowhere").is_err());
    staging.seal().unwrap();
    let read = async |number: u32, length| {
        let file = store.open(id, number).await.unwrap()?;
        Some(file.read(0, length).await.unwrap())
    };
    assert_eq!(read(0, 4).await.unwrap(), b"ours");
    assert_eq!(read(1, 11).await.unwrap(), b"their bytes");
    assert!(read(2, 0).await.is_none());

    let moved = folder.path().join("moved");
    std::fs::rename(&place, &moved).unwrap();
    assert!(read(1, 11).await.is_none());
    std::os::unix::fs::symlink(&moved, &place).unwrap();
    assert!(read(1, 11).await.is_none());
    std::fs::remove_file(&place).unwrap();
    std::fs::write(&place, "other bytes").unwrap();
    assert_eq!(read(1, 11).await.unwrap(), b"other bytes");

    store.remove(id).await.unwrap();
    assert!(read(1, 0).await.is_none());
    assert_eq!(std::fs::read(&place).unwrap(), b"other bytes");
}

fn read_all(draft: &dyn DraftStaging, file: u32, span: std::ops::Range<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    draft
        .read(file, span)
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

fn append(draft: &dyn DraftStaging, file: u32, at: u64, bytes: &[u8]) {
    let mut appending = draft.append(file, at).unwrap();
    appending.write(bytes).unwrap();
    appending.keep().unwrap();
}

async fn a_draft_grows_file_by_file(store: &dyn ContentStore) {
    let id = "eeeeeeeeee".parse().unwrap();
    assert_eq!(store.staged_bytes(id).await.unwrap(), 0);
    let draft = store.stage_draft(id).unwrap();
    assert_eq!(draft.lengths(3).unwrap(), [0, 0, 0]);
    append(&*draft, 2, 0, b"last");
    append(&*draft, 0, 0, b"fir");
    append(&*draft, 0, 3, b"st");
    // A request that broke off: what was written stays.
    draft.append(0, 5).unwrap().write(b"!").unwrap();
    drop(draft);
    let draft = store.stage_draft(id).unwrap();
    assert_eq!(draft.lengths(3).unwrap(), [6, 0, 4]);
    assert_eq!(store.staged_bytes(id).await.unwrap(), 10);
    assert_eq!(read_all(&*draft, 0, 0..6), b"first!");
    assert_eq!(read_all(&*draft, 2, 1..3), b"as");
    // What lies behind the bytes that count goes.
    append(&*draft, 2, 2, b"tter");
    assert_eq!(read_all(&*draft, 2, 0..100), b"latter");
    let refusal = draft.append(2, 7).err().unwrap();
    assert!(matches!(refusal, StoreError::Damaged(_)), "{refusal:?}");
}

fn what_was_on_trial_is_taken_back(store: &dyn ContentStore) {
    let id = "eeeeeeeeee".parse().unwrap();
    let draft = store.stage_draft(id).unwrap();
    let mut trial = draft.append_on_trial(2, 6).unwrap();
    trial.write(b" wrong").unwrap();
    drop(trial);
    assert_eq!(draft.lengths(3).unwrap(), [6, 0, 6]);
    let mut trial = draft.append_on_trial(2, 6).unwrap();
    trial.write(b" right").unwrap();
    trial.keep().unwrap();
    let mut trial = draft.append_on_trial(1, 0).unwrap();
    trial.write(b"never verified").unwrap();
    // A crash runs no destructor.
    std::mem::forget(trial);
    drop(draft);
    let draft = store.stage_draft(id).unwrap();
    assert_eq!(draft.lengths(3).unwrap(), [6, 0, 12]);
    assert_eq!(read_all(&*draft, 2, 0..12), b"latter right");
}

async fn a_draft_is_sealed_as_an_upload_is(store: &dyn ContentStore) {
    let id = "eeeeeeeeee".parse().unwrap();
    let draft = store.stage_draft(id).unwrap();
    draft.sync(0).unwrap();
    draft.seal(4).unwrap();
    let is_claimed = false;
    assert_eq!(store.sealed().await.unwrap(), [Sealed { id, is_claimed }]);
    for (number, length) in [(0, 6), (1, 0), (2, 12), (3, 0)] {
        let file = store.open(id, number).await.unwrap().unwrap();
        assert_eq!(file.length(), length);
    }
    // Its publication could not be kept: by its own hand, or found so at the next start.
    draft.unseal().unwrap();
    draft.unseal().unwrap();
    assert_eq!(store.sealed().await.unwrap(), []);
    draft.seal(4).unwrap();
    drop(draft);
    let draft = store.stage_draft(id).unwrap();
    assert_eq!(draft.lengths(3).unwrap(), [6, 0, 12]);
    draft.seal(4).unwrap();
    store.claim(id).await.unwrap();
    let refusal = store.stage_draft(id).err().unwrap();
    assert!(matches!(refusal, StoreError::Conflict(_)), "{refusal:?}");
    store.remove(id).await.unwrap();
}

async fn drafts_that_are_kept_outlast_the_others(store: &dyn ContentStore) {
    let [kept, other] = ["ffffffffff", "gggggggggg"].map(|id| id.parse().unwrap());
    for id in [kept, other] {
        append(&*store.stage_draft(id).unwrap(), 0, 0, b"bytes");
    }
    store.discard_stagings(vec![kept]).await.unwrap();
    let lengths = |id| store.stage_draft(id).unwrap().lengths(1).unwrap();
    assert_eq!((lengths(kept), lengths(other)), (vec![5], vec![0]));
    for id in [kept, other] {
        let draft = store.stage_draft(id).unwrap();
        draft.discard().unwrap();
        draft.discard().unwrap();
        assert_eq!(lengths(id), [0]);
    }
    store.discard_stagings(Vec::new()).await.unwrap();
}

/// Bytes in which no two blocks are alike.
fn bytes_of_file_one() -> Vec<u8> {
    (0_u32..50_000).flat_map(u32::to_le_bytes).collect()
}

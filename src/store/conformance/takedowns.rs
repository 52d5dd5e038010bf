//! The suite for takedowns.

use super::catalogue::found;
use super::example;
use crate::domain::particulars::Particulars;
use crate::domain::publication::PublicationId;
use crate::proto::metainfo::path::FilePath;
use crate::store::StoreError;
use crate::store::publications::{Due, IndexEntry, PublicationStore, Verified};
use crate::store::takedowns::Takedown;

pub(super) async fn check(store: &dyn PublicationStore) {
    hides_what_is_taken_down_and_gives_it_back_as_it_was(store).await;
    knows_content_that_was_taken_down(store).await;
}

fn id(text: &str) -> PublicationId {
    text.parse().unwrap()
}

/// Whether anything but the port for takedowns knows of a publication.
async fn is_there(store: &dyn PublicationStore, id: PublicationId) -> [bool; 5] {
    let (index, _) = store.index(0).await.unwrap();
    let everything = Due {
        verified_until: i64::MAX,
        damaged_until: i64::MAX,
    };
    let told = store.oldest_first(0, 10_000).await.unwrap();
    [
        store.publication(id).await.unwrap().is_some(),
        index.iter().any(|entry| entry.id == id),
        !found(store, "scandal").await.is_empty(),
        told.iter().any(|(told, _)| *told == id),
        store.due(everything).await.unwrap() == Some(id),
    ]
}

async fn hides_what_is_taken_down_and_gives_it_back_as_it_was(store: &dyn PublicationStore) {
    let (mut publication, metainfo) = example("taaaaaaaaa", 70);
    publication.title = "A scandal".to_owned();
    let taken = publication.id;
    let entry = IndexEntry {
        id: taken,
        info_hashes: publication.info_hashes,
        total_length: publication.total_length,
    };
    store.insert(&publication, &metainfo).await.unwrap();
    // So that it is the one which is due first.
    let long_ago = Verified {
        at: i64::MIN,
        damaged_files: 0,
    };
    store.note_verified(taken, long_ago).await.unwrap();
    let (mut newer, of_newer) = example("tbbbbbbbbb", 71);
    newer.particulars = Particulars {
        replaces: Some(taken),
        ..Particulars::default()
    };
    store.insert(&newer, &of_newer).await.unwrap();
    assert_eq!(is_there(store, taken).await, [true; 5]);
    assert_eq!(store.takedown(taken).await.unwrap(), None);
    assert_eq!(store.put_back(taken).await.unwrap(), None);

    let remove = async |at: PublicationId| store.take_down(at, "It lies.", "ada", 80).await;
    assert!(!remove(id("zzzzzzzzzz")).await.unwrap());
    assert!(remove(taken).await.unwrap());
    assert!(!remove(taken).await.unwrap(), "it is down already");
    assert_eq!(is_there(store, taken).await, [false; 5]);
    let takedown = Takedown {
        entry,
        title: "A scandal".to_owned(),
        reason: "It lies.".to_owned(),
        account: "ada".to_owned(),
        at: 80,
    };
    assert_eq!(
        store.takedown(taken).await.unwrap().as_ref(),
        Some(&takedown)
    );
    assert_eq!(store.takedowns().await.unwrap(), [takedown]);
    // Nobody gets around it.
    let words = publication.words();
    assert!(!store.reword(taken, &words, &words).await.unwrap());
    assert!(!store.withdraw(taken, 81).await.unwrap());
    assert_eq!(store.withdrawn(taken).await.unwrap(), None);
    let (mut twin, metainfo) = example("tccccccccc", 72);
    twin.info_hashes = publication.info_hashes;
    let refusal = store.insert(&twin, &metainfo).await.unwrap_err();
    assert!(matches!(refusal, StoreError::Conflict(_)), "{refusal:?}");
    // A newer version that is down is no newer version.
    assert!(remove(newer.id).await.unwrap());
    assert_eq!(store.put_back(taken).await.unwrap(), Some(entry));
    assert_eq!(store.newer(taken).await.unwrap().latest, None);
    assert!(store.put_back(newer.id).await.unwrap().is_some());
    assert!(store.newer(taken).await.unwrap().latest.is_some());

    assert_eq!(is_there(store, taken).await, [true; 5]);
    let kept = store.publication(taken).await.unwrap();
    assert_eq!(kept, Some(publication));
    assert_eq!(store.takedowns().await.unwrap(), []);
    for left in [taken, newer.id] {
        assert!(store.withdraw(left, 90).await.unwrap());
    }
}

async fn knows_content_that_was_taken_down(store: &dyn PublicationStore) {
    let (mut publication, metainfo) = example("tddddddddd", 70);
    for (file, byte) in publication.files.iter_mut().zip([0xa1, 0xa2]) {
        file.sha256 = [byte; 32];
    }
    let mut empty = publication.files[1].clone();
    (empty.length, empty.sha256, empty.stored_as) = (0, [0xe0; 32], 2);
    empty.path = FilePath::parse("empty").unwrap();
    publication.files.push(empty);
    let taken = publication.id;
    store.insert(&publication, &metainfo).await.unwrap();
    let known = async |bytes: &[u8]| {
        let hashes: Vec<[u8; 32]> = bytes.iter().map(|&byte| [byte; 32]).collect();
        store.taken_down_with(&hashes).await.unwrap()
    };
    assert_eq!(known(&[0xa1, 0xa2, 0xe0]).await, None);
    assert!(store.take_down(taken, "No.", "ada", 80).await.unwrap());
    for (files, expected) in [
        (&[0xa1, 0xa2, 0xe0][..], Some(taken)),
        (&[0xa2, 0xa1], Some(taken)),
        (&[0xa2, 0x55, 0xa1], Some(taken)),
        (&[0xa1, 0xe0], None),
        (&[0x55], None),
        (&[], None),
    ] {
        assert_eq!(known(files).await, expected, "{files:?}");
    }
    assert!(store.put_back(taken).await.unwrap().is_some());
    assert_eq!(known(&[0xa1, 0xa2]).await, None);
    assert!(store.withdraw(taken, 90).await.unwrap());
}

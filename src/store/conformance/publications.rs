//! The suite for publications.

use bytes::Bytes;

use super::catalogue::{self, found};
use super::{takedowns, versions};
use crate::domain::history::{Day, History, Hour, SwarmSize};
use crate::domain::particulars::{Link, Particulars};
use crate::domain::publication::{Publication, PublicationId, PublishedFile, Words};
use crate::domain::tally::Counts;
use crate::proto::id::{InfoHash, InfoHashV2, InfoHashes};
use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::path::FilePath;
use crate::store::StoreError;
use crate::store::publications::{Due, IndexEntry, PublicationStore, StoredMetainfo, Verified};

/// A publication of two files, published at `published_at` and unlike every other example in id and info-hash.
pub(crate) fn example(id: &str, published_at: i64) -> (Publication, StoredMetainfo) {
    let info = format!("d4:name10:{id}e");
    let publication = Publication {
        id: id.parse().unwrap(),
        title: format!("Title of {id}"),
        description: "Two files — très jolis".to_owned(),
        creator: "Grace Hopper".to_owned(),
        licence: Some("CC-BY-4.0".parse().unwrap()),
        tags: vec!["soil".to_owned(), "marsh \"Elbe\"".to_owned()],
        particulars: Particulars {
            doi: "10.5281/zenodo.1234".to_owned(),
            links: vec![Link {
                title: "The \"paper\"".to_owned(),
                url: "https://example.org/paper".to_owned(),
            }],
            trackers: vec!["udp://tracker.example.org:6969".to_owned()],
            web_seeds: vec!["https://example.org/data/".to_owned()],
            ..Particulars::default()
        },
        format: Format::V1,
        private: false,
        name: "folder".to_owned(),
        info_hashes: InfoHashes::V1(InfoHash::of_v1(info.as_bytes())),
        piece_length: 16_384,
        total_length: 5_000_000_001,
        files: vec![
            PublishedFile {
                path: FilePath::parse("sub/日本語 1.bin").unwrap(),
                length: 5_000_000_000,
                sha256: [1; 32],
                crc32: Some(u32::MAX),
                stored_as: 1,
            },
            PublishedFile {
                path: FilePath::parse("a \"quoted\" name").unwrap(),
                length: 1,
                sha256: [0xfe; 32],
                crc32: None,
                stored_as: 0,
            },
        ],
        publisher: "ada".to_owned(),
        created_at: published_at - 1,
        published_at,
    };
    let metainfo = StoredMetainfo {
        info: Bytes::from(info),
        piece_layers: Bytes::new(),
    };
    (publication, metainfo)
}

/// Runs the suite.
pub(crate) async fn check(store: &dyn PublicationStore) {
    gives_back_what_was_inserted(store).await;
    gives_back_every_format(store).await;
    refuses_a_second_of_the_same_id_or_info_hash(store).await;
    gives_other_words_to_who_has_seen_the_last(store).await;
    keeps_what_checks_have_found(store).await;
    adds_counts_up(store).await;
    keeps_the_past_of_swarms(store).await;
    catalogue::check(store).await;
    forgets_what_is_withdrawn_but_that_it_was(store).await;
    versions::check(store).await;
    takedowns::check(store).await;
    catalogue::counts_matches_up_to_a_bound(store).await;
}

async fn gives_back_what_was_inserted(store: &dyn PublicationStore) {
    let (publication, metainfo) = example("aaaaaaaaaa", 1_000);
    let id = publication.id;
    assert_eq!(store.publication(id).await.unwrap(), None);
    assert_eq!(store.metainfo(id).await.unwrap(), None);
    store.insert(&publication, &metainfo).await.unwrap();
    assert_eq!(
        store.publication(id).await.unwrap().as_ref(),
        Some(&publication)
    );
    assert_eq!(store.metainfo(id).await.unwrap(), Some(metainfo));
    let entry = IndexEntry {
        id,
        info_hashes: publication.info_hashes,
        total_length: publication.total_length,
    };
    let (entries, last) = store.index(0).await.unwrap();
    assert_eq!(entries, [entry]);
    assert_eq!(store.index(last).await.unwrap(), (vec![], last));
    assert_eq!(store.index(last - 1).await.unwrap(), (vec![entry], last));
}

async fn gives_back_every_format(store: &dyn PublicationStore) {
    let (mut hybrid, mut metainfo) = example("hhhhhhhhhh", 900);
    metainfo.piece_layers = Bytes::from_static(b"d0:0:e");
    hybrid.format = Format::Hybrid;
    hybrid.private = true;
    hybrid.info_hashes = InfoHashes::Hybrid(
        InfoHash::of_v1(b"hybrid"),
        InfoHashV2::of_v2(&metainfo.info),
    );
    let (mut v2, _) = example("vvvvvvvvvv", 800);
    v2.format = Format::V2;
    v2.info_hashes = InfoHashes::V2(InfoHashV2::of_v2(b"v2"));
    for publication in [hybrid, v2] {
        store.insert(&publication, &metainfo).await.unwrap();
        assert_eq!(
            store.metainfo(publication.id).await.unwrap().as_ref(),
            Some(&metainfo)
        );
        let kept = store.publication(publication.id).await.unwrap();
        assert_eq!(kept, Some(publication));
    }
    let id = "vvvvvvvvvv".parse().unwrap();
    store.note_crc32(id, 0, 7).await.unwrap();
    let noted = store.publication(id).await.unwrap().unwrap();
    let crc32s = noted.files.iter().map(|file| file.crc32);
    assert_eq!(crc32s.collect::<Vec<_>>(), [Some(u32::MAX), Some(7)]);
}

async fn refuses_a_second_of_the_same_id_or_info_hash(store: &dyn PublicationStore) {
    let before = store.index(0).await.unwrap().0.len();
    let (taken, _) = example("aaaaaaaaaa", 1_000);
    let (other, metainfo) = example("bbbbbbbbbb", 1_000);
    let same_id = Publication {
        id: taken.id,
        ..other.clone()
    };
    let same_content = Publication {
        info_hashes: taken.info_hashes,
        ..other.clone()
    };
    for twin in [same_id, same_content] {
        let refusal = store.insert(&twin, &metainfo).await.unwrap_err();
        assert!(matches!(refusal, StoreError::Conflict(_)), "{refusal:?}");
    }
    assert_eq!(store.publication(other.id).await.unwrap(), None);
    assert_eq!(store.metainfo(other.id).await.unwrap(), None);
    assert_eq!(store.index(0).await.unwrap().0.len(), before);
}

async fn gives_other_words_to_who_has_seen_the_last(store: &dyn PublicationStore) {
    let (publication, metainfo) = example("aaaaaaaaaa", 1_000);
    let seen = publication.words();
    let words = |title: &str| Words {
        title: title.to_owned(),
        ..Words::default()
    };
    let nobody = "zzzzzzzzzz".parse().unwrap();
    assert!(!store.reword(nobody, &seen, &words("A")).await.unwrap());
    assert!(
        store
            .reword(publication.id, &seen, &words("A"))
            .await
            .unwrap()
    );
    let late = store.reword(publication.id, &seen, &words("B")).await;
    assert!(!late.unwrap(), "an edit that was not seen is lost");
    // Each word counts: who has not seen one of them has not seen the last change.
    for other in [
        Words {
            creator: "x".to_owned(),
            ..words("A")
        },
        Words {
            licence: "MIT".to_owned(),
            ..words("A")
        },
        Words {
            tags: vec!["x".to_owned()],
            ..words("A")
        },
        Words {
            particulars: Particulars {
                unlisted: true,
                ..Particulars::default()
            },
            ..words("A")
        },
    ] {
        let late = store.reword(publication.id, &other, &words("B")).await;
        assert!(!late.unwrap(), "{other:?}");
    }
    let reworded = Publication {
        title: "A".to_owned(),
        description: String::new(),
        creator: String::new(),
        licence: None,
        tags: Vec::new(),
        particulars: Particulars::default(),
        ..publication.clone()
    };
    let kept = store.publication(publication.id).await.unwrap();
    assert_eq!(kept, Some(reworded), "more than the words has changed");
    assert_eq!(
        store.metainfo(publication.id).await.unwrap(),
        Some(metainfo)
    );
    let back = store.reword(publication.id, &words("A"), &seen).await;
    assert!(back.unwrap());
}

async fn adds_counts_up(store: &dyn PublicationStore) {
    let known: PublicationId = "aaaaaaaaaa".parse().unwrap();
    let unknown: PublicationId = "zzzzzzzzzz".parse().unwrap();
    let gains = Counts {
        completed: 1,
        peer_bytes: 2,
        web_seed_bytes: 3,
        file_bytes: 1 << 40,
        delivered_bytes: 5,
    };
    assert_eq!(store.counts().await.unwrap(), []);
    store.add_counts(&[], Day(20_000)).await.unwrap();
    for _ in 0..2 {
        store
            .add_counts(&[(unknown, gains), (known, gains)], Day(20_000))
            .await
            .unwrap();
    }
    let twice = Counts {
        completed: 2,
        peer_bytes: 4,
        web_seed_bytes: 6,
        file_bytes: 1 << 41,
        delivered_bytes: 10,
    };
    assert_eq!(store.counts().await.unwrap(), [(known, twice)]);
}

async fn keeps_the_past_of_swarms(store: &dyn PublicationStore) {
    let id: PublicationId = "aaaaaaaaaa".parse().unwrap();
    let unknown: PublicationId = "zzzzzzzzzz".parse().unwrap();
    let size = |seeders, leechers| SwarmSize { seeders, leechers };
    // The counts of the test before lie in the same day.
    let day = Day(20_000);
    let first = Hour::of(day.start());
    let second = Hour(first.0 + 1);
    let counts = store.counts_since(day).await.unwrap();
    assert_eq!((counts.completed, counts.delivered_bytes), (2, 10));
    for (hour, size) in [
        (first, size(1, 5)),
        (first, size(3, 2)),
        (second, size(2, 9)),
    ] {
        let batch = [(unknown, size), (id, size)];
        store.note_swarms(&batch, hour).await.unwrap();
    }
    let expected = History {
        hours: vec![(first, size(3, 5)), (second, size(2, 9))],
        days: vec![(day, size(3, 9), counts)],
    };
    assert_eq!(store.history(id).await.unwrap(), expected);
    assert_eq!(store.history(unknown).await.unwrap(), History::default());

    let tomorrow = Day(day.0 + 1);
    store
        .note_swarms(&[(id, size(7, 7))], Hour::of(tomorrow.start()))
        .await
        .unwrap();
    store.forget_before(second, day).await.unwrap();
    let past = store.history(id).await.unwrap();
    assert_eq!((past.hours.len(), past.days.len()), (2, 2));
    store
        .forget_before(Hour::of(tomorrow.start()), tomorrow)
        .await
        .unwrap();
    let past = store.history(id).await.unwrap();
    assert_eq!((past.hours.len(), past.days.len()), (1, 1));
    assert_eq!(store.counts_since(day).await.unwrap(), Counts::default());
    assert_eq!(store.counts().await.unwrap(), [(id, counts)], "totals stay");
}

async fn keeps_what_checks_have_found(store: &dyn PublicationStore) {
    // Published at 800 and 900, before all others.
    let (one, other): (PublicationId, PublicationId) =
        ("vvvvvvvvvv".parse().unwrap(), "hhhhhhhhhh".parse().unwrap());
    let nobody = "zzzzzzzzzz".parse().unwrap();
    let found = |at, damaged_files| Verified { at, damaged_files };
    let due = |verified_until, damaged_until| Due {
        verified_until,
        damaged_until,
    };
    assert_eq!(store.verified(nobody).await.unwrap(), None);
    assert_eq!(store.verified(one).await.unwrap(), Some(found(800, 0)));
    assert_eq!(store.due(due(799, 799)).await.unwrap(), None);
    assert_eq!(store.due(due(900, 799)).await.unwrap(), Some(one));

    store.note_verified(one, found(930, 2)).await.unwrap();
    store.note_verified(nobody, found(930, 2)).await.unwrap();
    assert_eq!(store.verified(one).await.unwrap(), Some(found(930, 2)));
    assert_eq!(store.due(due(900, 900)).await.unwrap(), Some(other));
    assert_eq!(store.damaged(5).await.unwrap(), (1, vec![one]));
    assert_eq!(store.damaged(0).await.unwrap(), (1, vec![]));
    store.note_verified(other, found(925, 0)).await.unwrap();
    assert_eq!(store.due(due(900, 929)).await.unwrap(), None);
    assert_eq!(store.due(due(900, 930)).await.unwrap(), Some(one));
    store.note_verified(one, found(940, 0)).await.unwrap();
    assert_eq!(store.damaged(5).await.unwrap(), (0, vec![]));
}

async fn forgets_what_is_withdrawn_but_that_it_was(store: &dyn PublicationStore) {
    let (publication, metainfo) = example("aaaaaaaaaa", 1_000);
    let id = publication.id;
    let nobody = "zzzzzzzzzz".parse().unwrap();
    let before = store.index(0).await.unwrap().0.len();
    assert!(!store.withdraw(nobody, 5_000).await.unwrap());
    assert_eq!(store.withdrawn(nobody).await.unwrap(), None);
    assert_eq!(store.withdrawn(id).await.unwrap(), None);
    let found_before = found(store, "title of").await;
    let listed_before = found(store, "").await.len();

    assert!(store.withdraw(id, 5_000).await.unwrap());
    assert_eq!(found(store, "title of").await.len(), found_before.len() - 1);
    assert_eq!(found(store, "").await.len(), listed_before - 1);
    assert_eq!(store.withdrawn(id).await.unwrap(), Some(5_000));
    assert_eq!(store.publication(id).await.unwrap(), None);
    assert_eq!(store.metainfo(id).await.unwrap(), None);
    assert_eq!(store.verified(id).await.unwrap(), None);
    assert_eq!(store.counts().await.unwrap(), []);
    assert_eq!(store.history(id).await.unwrap(), History::default());
    assert_eq!(store.index(0).await.unwrap().0.len(), before - 1);
    assert!(!store.withdraw(id, 6_000).await.unwrap());
    assert_eq!(store.withdrawn(id).await.unwrap(), Some(5_000));

    let anew = Publication {
        id: "naaaaaaaaa".parse().unwrap(),
        ..publication
    };
    store.insert(&anew, &metainfo).await.unwrap();
    assert_eq!(store.withdrawn(anew.id).await.unwrap(), None);
}

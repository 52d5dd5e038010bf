//! What every adapter of a store must do, one suite a port. An adapter's tests run the suite on an empty store of its own.

use std::io::{IoSliceMut, Read};
use std::sync::Arc;

use bytes::Bytes;

use super::StoreError;
use super::accounts::{AccountStore, NewToken};
use super::content::{ContentFile, ContentStore, Sealed};
use super::publications::{IndexEntry, PageQuery, PublicationStore, StoredMetainfo};
use crate::domain::account::Role;
use crate::domain::publication::{Publication, PublicationId, PublishedFile};
use crate::domain::tally::Counts;
use crate::proto::id::{InfoHash, InfoHashV2, InfoHashes};
use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::path::FilePath;

/// A publication of two files, published at `published_at` and unlike every other example in id and info-hash.
pub(crate) fn example(id: &str, published_at: i64) -> (Publication, StoredMetainfo) {
    let info = format!("d4:name10:{id}e");
    let publication = Publication {
        id: id.parse().unwrap(),
        title: format!("Title of {id}"),
        description: "Two files — très jolis".to_owned(),
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
                stored_as: 1,
            },
            PublishedFile {
                path: FilePath::parse("a \"quoted\" name").unwrap(),
                length: 1,
                sha256: [0xfe; 32],
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

/// The suite for publications.
pub(crate) async fn publications(store: &dyn PublicationStore) {
    gives_back_what_was_inserted(store).await;
    gives_back_every_format(store).await;
    refuses_a_second_of_the_same_id_or_info_hash(store).await;
    adds_counts_up(store).await;
    shows_pages_newest_first(store).await;
    finds_words_wherever_they_stand(store).await;
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
    };
    assert_eq!(store.index().await.unwrap(), [entry]);
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
}

async fn refuses_a_second_of_the_same_id_or_info_hash(store: &dyn PublicationStore) {
    let before = store.index().await.unwrap().len();
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
    assert_eq!(store.index().await.unwrap().len(), before);
}

async fn adds_counts_up(store: &dyn PublicationStore) {
    let known: PublicationId = "aaaaaaaaaa".parse().unwrap();
    let unknown: PublicationId = "zzzzzzzzzz".parse().unwrap();
    let gains = Counts {
        completed: 1,
        peer_bytes: 2,
        web_seed_bytes: 3,
        file_bytes: 1 << 40,
    };
    assert_eq!(store.counts().await.unwrap(), []);
    store.add_counts(&[]).await.unwrap();
    for _ in 0..2 {
        store
            .add_counts(&[(unknown, gains), (known, gains)])
            .await
            .unwrap();
    }
    let twice = Counts {
        completed: 2,
        peer_bytes: 4,
        web_seed_bytes: 6,
        file_bytes: 1 << 41,
    };
    assert_eq!(store.counts().await.unwrap(), [(known, twice)]);
}

async fn shows_pages_newest_first(store: &dyn PublicationStore) {
    // Two of the same second: the id decides.
    for (id, published_at) in [
        ("caaaaaaaaa", 3_000),
        ("daaaaaaaaa", 2_000),
        ("eaaaaaaaaa", 2_000),
    ] {
        let (publication, metainfo) = example(id, published_at);
        store.insert(&publication, &metainfo).await.unwrap();
    }
    let mut query = PageQuery {
        limit: 2,
        ..PageQuery::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = store.page(&query).await.unwrap();
        assert_eq!(page.total, 6);
        for summary in &page.publications {
            assert_eq!(summary.file_count, 2);
            assert!(summary.publication.files.is_empty());
            seen.push(summary.publication.id.to_string());
        }
        let Some(next) = page.next else { break };
        assert_eq!(page.publications.len(), 2);
        query.after = Some(next);
    }
    assert_eq!(
        seen,
        [
            "caaaaaaaaa",
            "eaaaaaaaaa",
            "daaaaaaaaa",
            "aaaaaaaaaa",
            "hhhhhhhhhh",
            "vvvvvvvvvv"
        ]
    );
    // A limit out of bounds is moved to the nearer end.
    query.after = None;
    for (limit, expected) in [(0, 1), (u32::MAX, 6)] {
        query.limit = limit;
        let page = store.page(&query).await.unwrap();
        assert_eq!(page.publications.len(), expected);
    }
}

async fn finds_words_wherever_they_stand(store: &dyn PublicationStore) {
    let (mut percent, metainfo) = example("paaaaaaaaa", 10);
    percent.title = "100%_sure \\o/".to_owned();
    percent.name = "debian-13.iso".to_owned();
    percent.description = "An installer".to_owned();
    store.insert(&percent, &metainfo).await.unwrap();
    for (text, expected) in [
        ("debian", 1),
        ("DEBIAN installer", 1),
        ("  installer   sure ", 1),
        ("debian folder", 0),
        ("%", 1),
        ("0%_s", 1),
        ("_", 1),
        ("\\", 1),
        ("'; DROP TABLE publication", 0),
        ("title of", 6),
        ("très", 6),
        (&"title ".repeat(10_000), 6),
        (&"x".repeat(100_000), 0),
    ] {
        let query = PageQuery {
            text: text.to_owned(),
            after: None,
            limit: 100,
        };
        let page = store.page(&query).await.unwrap();
        let excerpt: String = text.chars().take(40).collect();
        assert_eq!(page.total, expected, "{excerpt:?}");
        assert_eq!(page.publications.len() as u64, expected, "{excerpt:?}");
    }
}

/// The suite for accounts.
pub(crate) async fn accounts(store: &dyn AccountStore) {
    makes_the_first_account_only_once(store).await;
    refuses_names_that_differ_only_by_case(store).await;
    tokens_act_for_their_account_until_they_expire(store).await;
    sessions_end(store).await;
}

async fn makes_the_first_account_only_once(store: &dyn AccountStore) {
    assert_eq!(store.accounts().await.unwrap(), []);
    assert_eq!(store.account("Ada").await.unwrap(), None);
    let ada = store.add_first_account("Ada", "$argon2id$1", 7).await;
    let ada = ada.unwrap().unwrap();
    assert_eq!(
        (ada.name.as_str(), ada.role, ada.is_disabled, ada.created_at),
        ("Ada", Role::Admin, false, 7)
    );
    assert_eq!(
        store.add_first_account("Eve", "$argon2id$2", 8).await.ok(),
        Some(None)
    );
    let found = store.account("ada").await.unwrap();
    assert_eq!(found, Some((ada.clone(), "$argon2id$1".to_owned())));
    assert_eq!(store.accounts().await.unwrap(), [ada]);
}

async fn refuses_names_that_differ_only_by_case(store: &dyn AccountStore) {
    let zoe = store.add_account("Zo\u{eb}", Role::Publisher, "$argon2id$3", 9);
    assert_eq!(zoe.await.unwrap().role, Role::Publisher);
    for name in ["ADA", "zo\u{eb}", "ZOE\u{308}"] {
        let refusal = store.add_account(name, Role::Admin, "$argon2id$4", 9);
        let refusal = refusal.await.unwrap_err();
        assert!(matches!(refusal, StoreError::Conflict(_)), "{refusal:?}");
    }
    let names: Vec<_> = store.accounts().await.unwrap();
    let names: Vec<_> = names.iter().map(|account| account.name.as_str()).collect();
    assert_eq!(names, ["Ada", "Zo\u{eb}"]);
}

async fn tokens_act_for_their_account_until_they_expire(store: &dyn AccountStore) {
    let token = |account: &str, byte: u8, expires_at| NewToken {
        account: account.to_owned(),
        name: "laptop".to_owned(),
        prefix: "sow_abc".to_owned(),
        hash: [byte; 32],
        expires_at,
        created_at: 10,
    };
    assert!(store.add_token(&token("ADA", 1, None)).await.unwrap());
    assert!(store.add_token(&token("ada", 2, Some(100))).await.unwrap());
    assert!(!store.add_token(&token("nobody", 3, None)).await.unwrap());
    for (byte, now, is_live) in [
        (1, i64::MAX, true),
        (2, 99, true),
        (2, 100, false),
        (3, 0, false),
    ] {
        let account = store.account_by_token(&[byte; 32], now).await.unwrap();
        assert_eq!(account.map(|it| it.name), is_live.then(|| "Ada".to_owned()));
    }
}

async fn sessions_end(store: &dyn AccountStore) {
    let (ada, _) = store.account("Ada").await.unwrap().unwrap();
    let (short, long) = ([1; 32], [2; 32]);
    store.add_session(&short, ada.id, 100, 10).await.unwrap();
    store.add_session(&long, ada.id, 1_000, 10).await.unwrap();
    assert_eq!(
        store.account_by_session(&short, 99).await.unwrap().as_ref(),
        Some(&ada)
    );
    assert_eq!(store.account_by_session(&short, 100).await.unwrap(), None);

    // A new session forgets those that have expired, and no other.
    store
        .add_session(&[3; 32], ada.id, 1_000, 500)
        .await
        .unwrap();
    assert_eq!(store.account_by_session(&short, 99).await.unwrap(), None);
    assert_eq!(
        store.account_by_session(&long, 500).await.unwrap(),
        Some(ada)
    );
    store.end_session(&long).await.unwrap();
    assert_eq!(store.account_by_session(&long, 500).await.unwrap(), None);
    store.end_session(&long).await.unwrap();
}

/// The suite for content.
pub(crate) async fn content(store: &dyn ContentStore) {
    let first = "aaaaaaaaaa".parse().unwrap();
    sealed_content_is_what_was_written(store, first).await;
    refuses_a_second_upload_of_one_id(store, first);
    reads_are_exact_or_fail(&*store.open(first, 1).await.unwrap().unwrap()).await;
    content_is_unclaimed_until_it_is_claimed(store, first).await;
    an_upload_that_is_dropped_leaves_nothing(store).await;
    what_a_crash_left_staged_can_be_discarded(store).await;
    removed_content_is_gone(store, first).await;
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

        // What was just read is in memory, where the store can tell at all.
        let (mut head, mut tail) = (vec![0; amount / 3], vec![0; amount - amount / 3]);
        let mut buffers = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut tail)];
        if file.try_read(offset as u64, &mut buffers).unwrap() {
            head.append(&mut tail);
            assert_eq!(head, expected[offset..end]);
        }
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
    store.discard_stagings().await.unwrap();
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

/// Bytes in which no two blocks are alike.
fn bytes_of_file_one() -> Vec<u8> {
    (0_u32..50_000).flat_map(u32::to_le_bytes).collect()
}

//! The suite for drafts.

use std::sync::Arc;

use super::example;
use crate::domain::draft::{Draft, DraftFile};
use crate::domain::particulars::Particulars;
use crate::domain::publication::{PublicationId, Words};
use crate::proto::metainfo::info::{Format, Info};
use crate::proto::metainfo::layers::PieceLayers;
use crate::proto::metainfo::original::Original;
use crate::proto::metainfo::path::FilePath;
use crate::store::StoreError;
use crate::store::drafts::{DraftFailure, DraftLine, DraftStore, KeptDraft};
use crate::store::publications::PublicationStore;

/// Runs the suite.
pub(crate) async fn check(store: &(impl DraftStore + PublicationStore)) {
    a_draft_is_kept_whole(store).await;
    a_torrent_stays_with_its_draft(store).await;
    an_id_is_taken_once(store).await;
    a_failure_stays_with_its_draft(store).await;
    what_is_forgotten_is_gone(store).await;
    a_kept_publication_ends_its_draft(store).await;
}

pub(super) fn draft(id: &str) -> Draft {
    let file = |path: &str, length| DraftFile {
        path: FilePath::parse(path).unwrap(),
        length,
    };
    Draft {
        id: id.parse().unwrap(),
        words: Words {
            title: "A title".to_owned(),
            description: "Of *marshes*".to_owned(),
            creator: "Grace Hopper".to_owned(),
            licence: "CC-BY-4.0".to_owned(),
            tags: vec!["soil".to_owned(), "marsh \"Elbe\"".to_owned()],
            particulars: Particulars {
                unlisted: true,
                replaces: Some("zzzzzzzzzz".parse().unwrap()),
                ..Particulars::default()
            },
        },
        format: Format::Hybrid,
        private: true,
        publisher: "ada".to_owned(),
        // Neither in the order of their paths nor in that of their lengths.
        files: vec![file("box/b", 5), file("box/c", 1 << 40), file("box/a ü", 0)],
        original: None,
        created_at: 7,
    }
}

/// The same, of files that have a torrent already.
fn draft_of_a_torrent(id: &str) -> Draft {
    let raw = b"d6:lengthi5e4:name1:b12:piece lengthi3e6:pieces40:0123456789abcdefghij0123456789abcdefghij1:x0:e";
    let info = Info::parse(raw[..].into()).unwrap();
    Draft {
        original: Some(Arc::new(Original {
            info,
            layers: PieceLayers::new([&b"d32:"[..], &[7; 32], b"0:e"].concat().into()),
        })),
        ..draft(id)
    }
}

fn line(id: &str, has_failed: bool, touched_at: i64) -> DraftLine {
    DraftLine {
        id: id.parse().unwrap(),
        publisher: "ada".to_owned(),
        total_length: 5 + (1 << 40),
        has_failed,
        touched_at,
    }
}

async fn a_torrent_stays_with_its_draft(store: &impl DraftStore) {
    let draft = draft_of_a_torrent("eeeeeeeeee");
    store.keep_draft(&draft).await.unwrap();
    let kept = store.draft(draft.id).await.unwrap().unwrap();
    assert_eq!(kept.draft, draft);
    assert!(store.forget_draft(draft.id).await.unwrap());
    assert_eq!(store.draft(draft.id).await.unwrap(), None);
    // The same id may come again.
    store.keep_draft(&draft).await.unwrap();
    assert!(store.forget_draft(draft.id).await.unwrap());
}

async fn a_draft_is_kept_whole(store: &impl DraftStore) {
    let id: PublicationId = "aaaaaaaaaa".parse().unwrap();
    assert_eq!(store.draft(id).await.unwrap(), None);
    store.keep_draft(&draft("aaaaaaaaaa")).await.unwrap();
    let kept = KeptDraft {
        draft: draft("aaaaaaaaaa"),
        failure: None,
    };
    assert_eq!(store.draft(id).await.unwrap(), Some(kept));
    let lines = store.drafts().await.unwrap();
    assert_eq!(lines, [line("aaaaaaaaaa", false, 7)]);
    let unknown = "zzzzzzzzzz".parse().unwrap();
    store.touch_drafts(&[id, unknown], 9).await.unwrap();
    let lines = store.drafts().await.unwrap();
    assert_eq!(lines, [line("aaaaaaaaaa", false, 9)]);
}

async fn an_id_is_taken_once(store: &(impl DraftStore + PublicationStore)) {
    let (publication, metainfo) = example("pppppppppp", 1);
    store.insert(&publication, &metainfo).await.unwrap();
    for taken in ["aaaaaaaaaa", "pppppppppp"] {
        let refusal = store.keep_draft(&draft(taken)).await;
        assert!(
            matches!(refusal, Err(StoreError::Conflict(_))),
            "{refusal:?}"
        );
    }
    assert_eq!(store.drafts().await.unwrap().len(), 1);
}

async fn a_failure_stays_with_its_draft(store: &impl DraftStore) {
    let id: PublicationId = "aaaaaaaaaa".parse().unwrap();
    let why = DraftFailure {
        reason: "it is there".to_owned(),
        twin: Some("pppppppppp".parse().unwrap()),
    };
    store.fail_draft(id, &why).await.unwrap();
    let kept = store.draft(id).await.unwrap().unwrap();
    assert_eq!(kept.failure, Some(why));
    let lines = store.drafts().await.unwrap();
    assert_eq!(lines, [line("aaaaaaaaaa", true, 9)]);
}

async fn what_is_forgotten_is_gone(store: &impl DraftStore) {
    let id: PublicationId = "aaaaaaaaaa".parse().unwrap();
    assert!(store.forget_draft(id).await.unwrap());
    assert!(!store.forget_draft(id).await.unwrap());
    assert_eq!(store.draft(id).await.unwrap(), None);
    assert_eq!(store.drafts().await.unwrap(), []);
}

async fn a_kept_publication_ends_its_draft(store: &(impl DraftStore + PublicationStore)) {
    for id in ["bbbbbbbbbb", "cccccccccc"] {
        store.keep_draft(&draft(id)).await.unwrap();
    }
    let (publication, metainfo) = example("bbbbbbbbbb", 2);
    store.insert(&publication, &metainfo).await.unwrap();
    assert_eq!(store.draft(publication.id).await.unwrap(), None);
    let lines = store.drafts().await.unwrap();
    assert_eq!(lines, [line("cccccccccc", false, 7)]);
}

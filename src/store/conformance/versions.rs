//! The suite for publications that are versions of one another, and for those that are unlisted.

use super::example;
use crate::domain::particulars::Particulars;
use crate::domain::publication::{PublicationId, Words};
use crate::store::StoreError;
use crate::store::publications::{PageQuery, PublicationStore, Total};

pub(super) async fn check(store: &dyn PublicationStore) {
    knows_what_came_after(store).await;
    lists_nothing_that_is_unlisted(store).await;
}

fn id(text: &str) -> PublicationId {
    text.parse().unwrap()
}

async fn insert(store: &dyn PublicationStore, id: &str, particulars: Particulars) {
    let (mut publication, metainfo) = example(id, 50);
    publication.particulars = particulars;
    publication.description = "Of versions".to_owned();
    store.insert(&publication, &metainfo).await.unwrap();
}

fn replacing(older: &str) -> Particulars {
    Particulars {
        replaces: Some(id(older)),
        ..Particulars::default()
    }
}

/// What replaces a publication, and the newest version.
async fn newer(
    store: &dyn PublicationStore,
    of: &str,
) -> (Option<PublicationId>, Option<PublicationId>) {
    let newer = store.newer(id(of)).await.unwrap();
    (
        newer.next.map(|next| next.id),
        newer.latest.map(|latest| latest.id),
    )
}

async fn change(
    store: &dyn PublicationStore,
    of: &str,
    particulars: Particulars,
) -> Result<bool, StoreError> {
    let words = store.publication(id(of)).await.unwrap().unwrap().words();
    let changed = Words {
        particulars,
        ..words.clone()
    };
    store.reword(id(of), &words, &changed).await
}

async fn knows_what_came_after(store: &dyn PublicationStore) {
    let [a, b, c] = ["vaaaaaaaaa", "vbbbbbbbbb", "vccccccccc"];
    insert(store, a, Particulars::default()).await;
    assert_eq!(newer(store, a).await, (None, None));
    insert(store, b, replacing(a)).await;
    insert(store, c, replacing(b)).await;
    assert_eq!(newer(store, a).await, (Some(id(b)), Some(id(c))));
    assert_eq!(newer(store, b).await, (Some(id(c)), Some(id(c))));
    assert_eq!(newer(store, c).await, (None, None));

    for (of, older) in [(a, a), (a, b), (a, c), (b, c)] {
        let refusal = change(store, of, replacing(older)).await;
        assert!(matches!(refusal, Err(StoreError::Circular)), "{refusal:?}");
    }
    assert_eq!(newer(store, c).await, (None, None));

    // What is unlisted is told to those alone that are so too.
    let unlisted = Particulars {
        unlisted: true,
        ..replacing(b)
    };
    assert!(change(store, c, unlisted).await.unwrap());
    assert_eq!(newer(store, a).await, (Some(id(b)), Some(id(b))));
    assert_eq!(newer(store, b).await, (None, None));
    let unlisted = Particulars {
        unlisted: true,
        ..Particulars::default()
    };
    assert!(change(store, a, unlisted).await.unwrap());
    assert_eq!(newer(store, a).await, (Some(id(b)), Some(id(c))));
    assert!(change(store, a, Particulars::default()).await.unwrap());
    assert!(change(store, c, replacing(b)).await.unwrap());

    // A withdrawn version is passed over, and is no end of the line.
    assert!(store.withdraw(id(b), 60).await.unwrap());
    assert_eq!(newer(store, a).await, (Some(id(c)), Some(id(c))));
    assert_eq!(newer(store, b).await, (Some(id(c)), Some(id(c))));
    let refusal = change(store, a, replacing(c)).await;
    assert!(matches!(refusal, Err(StoreError::Circular)), "{refusal:?}");

    // Of two that replace the same, the last one is the newest.
    let d = "vddddddddd";
    insert(store, d, replacing(b)).await;
    assert_eq!(newer(store, b).await, (Some(id(d)), Some(id(d))));
    for left in [a, c, d] {
        assert!(store.withdraw(id(left), 60).await.unwrap());
    }
}

async fn lists_nothing_that_is_unlisted(store: &dyn PublicationStore) {
    let hidden = "vuuuuuuuuu";
    let query = |text: &str| PageQuery {
        text: text.to_owned(),
        limit: 100,
        ..PageQuery::default()
    };
    let listed = store.page(&query("")).await.unwrap();
    let unlisted = Particulars {
        unlisted: true,
        ..Particulars::default()
    };
    insert(store, hidden, unlisted.clone()).await;
    let is_listed = |shown: bool| {
        let listed = &listed;
        async move {
            let Total::Exactly(before) = listed.total else {
                panic!("the catalogue is not counted");
            };
            let all = store.page(&query("")).await.unwrap();
            assert_eq!(all.total, Total::Exactly(before + u64::from(shown)));
            let found = store.page(&query("versions")).await.unwrap();
            assert_eq!(found.total, Total::Exactly(shown.into()));
            let told = store.oldest_first(0, 10_000).await.unwrap();
            assert_eq!(told.len() as u64, before + u64::from(shown));
            assert_eq!(told.iter().any(|(told, _)| *told == id(hidden)), shown);
        }
    };
    is_listed(false).await;
    assert!(change(store, hidden, Particulars::default()).await.unwrap());
    is_listed(true).await;
    assert!(change(store, hidden, unlisted).await.unwrap());
    is_listed(false).await;
    // It is there for those who have its link, and served.
    assert!(store.publication(id(hidden)).await.unwrap().is_some());
    let (index, _) = store.index(0).await.unwrap();
    assert!(index.iter().any(|entry| entry.id == id(hidden)));
    assert!(store.withdraw(id(hidden), 60).await.unwrap());
}

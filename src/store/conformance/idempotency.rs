//! The suite for idempotency keys.

use super::drafts::draft;
use super::example;
use crate::domain::account::Role;
use crate::store::accounts::AccountStore;
use crate::store::drafts::DraftStore;
use crate::store::idempotency::{IdempotencyStore, KeyedRequest, Made};
use crate::store::publications::PublicationStore;

const MOST: u32 = 3;

/// Runs the suite on an empty store.
pub(crate) async fn check(store: &(impl DraftStore + PublicationStore + AccountStore)) {
    let ada = account(store, "ada").await;
    let bob = account(store, "bob").await;
    a_key_has_made_what_is_there_or_was(store, ada).await;
    a_key_is_one_accounts_alone(store, ada, bob).await;
    old_keys_go_but_for_those_of_drafts(store, bob).await;
}

async fn account(store: &impl AccountStore, name: &str) -> i64 {
    let added = store.add_account(name, Role::Publisher, "$argon2id$1", 1);
    added.await.unwrap().id
}

fn request(account: i64, key: &str, mark: u8) -> KeyedRequest {
    KeyedRequest {
        account,
        key: key.to_owned(),
        fingerprint: [mark; 32],
    }
}

fn made(id: &str, mark: u8) -> Made {
    Made {
        fingerprint: [mark; 32],
        publication: id.parse().unwrap(),
    }
}

async fn note(store: &impl IdempotencyStore, request: &KeyedRequest, id: &str, now: i64) {
    let id = id.parse().unwrap();
    store.note_key(request, id, now, MOST).await.unwrap();
}

async fn a_key_has_made_what_is_there_or_was(
    store: &(impl DraftStore + PublicationStore),
    ada: i64,
) {
    assert_eq!(store.made(ada, "k").await.unwrap(), None);
    note(store, &request(ada, "k", 1), "nnnnnnnnnn", 1).await;
    assert_eq!(store.made(ada, "k").await.unwrap(), None);

    note(store, &request(ada, "k", 2), "bbbbbbbbbb", 2).await;
    store.keep_draft(&draft("bbbbbbbbbb")).await.unwrap();
    assert_eq!(
        store.made(ada, "k").await.unwrap(),
        Some(made("bbbbbbbbbb", 2))
    );
    let (publication, metainfo) = example("bbbbbbbbbb", 2);
    store.insert(&publication, &metainfo).await.unwrap();
    assert_eq!(
        store.made(ada, "k").await.unwrap(),
        Some(made("bbbbbbbbbb", 2))
    );
    store.withdraw(publication.id, 3).await.unwrap();
    assert_eq!(
        store.made(ada, "k").await.unwrap(),
        Some(made("bbbbbbbbbb", 2))
    );

    note(store, &request(ada, "d", 3), "dddddddddd", 3).await;
    store.keep_draft(&draft("dddddddddd")).await.unwrap();
    let id = "dddddddddd".parse().unwrap();
    store.forget_draft(id).await.unwrap();
    assert_eq!(store.made(ada, "d").await.unwrap(), None);
}

async fn a_key_is_one_accounts_alone(store: &impl IdempotencyStore, ada: i64, bob: i64) {
    assert_eq!(store.made(bob, "k").await.unwrap(), None);
    note(store, &request(bob, "k", 9), "nnnnnnnnnn", 3).await;
    assert_eq!(
        store.made(ada, "k").await.unwrap(),
        Some(made("bbbbbbbbbb", 2))
    );
}

async fn old_keys_go_but_for_those_of_drafts(
    store: &(impl DraftStore + PublicationStore),
    bob: i64,
) {
    store.keep_draft(&draft("eeeeeeeeee")).await.unwrap();
    note(store, &request(bob, "draft", 1), "eeeeeeeeee", 4).await;
    let ids = ["ffffffffff", "gggggggggg", "hhhhhhhhhh", "iiiiiiiiii"];
    for (id, mark) in ids.into_iter().zip(10..) {
        let (publication, metainfo) = example(id, mark);
        store.insert(&publication, &metainfo).await.unwrap();
        // All within one second.
        note(store, &request(bob, id, 7), id, 5).await;
    }
    let mut kept = 0;
    for id in ids {
        kept += u32::from(store.made(bob, id).await.unwrap().is_some());
    }
    assert_eq!(kept, MOST);
    let newest = store.made(bob, "iiiiiiiiii").await.unwrap();
    assert_eq!(newest, Some(made("iiiiiiiiii", 7)));

    let (publication, metainfo) = example("jjjjjjjjjj", 20);
    store.insert(&publication, &metainfo).await.unwrap();
    note(store, &request(bob, "new", 20), "jjjjjjjjjj", 6).await;
    store.forget_keys(5).await.unwrap();
    assert_eq!(store.made(bob, "iiiiiiiiii").await.unwrap(), None);
    assert_eq!(
        store.made(bob, "new").await.unwrap(),
        Some(made("jjjjjjjjjj", 20))
    );
    let of_draft = store.made(bob, "draft").await.unwrap();
    assert_eq!(of_draft, Some(made("eeeeeeeeee", 1)));
}

//! The suite for passkeys.

use crate::domain::account::Role;
use crate::domain::passkey::Passkey;
use crate::store::accounts::AccountStore;
use crate::store::passkeys::PasskeyStore;

/// Runs the suite.
pub(crate) async fn check(store: &(impl AccountStore + PasskeyStore)) {
    let ada = store.add_first_account("Ada", "$argon2id$1", 7).await;
    let ada = ada.unwrap().unwrap().id;
    let bob = store.add_account("Bob", Role::Publisher, "$argon2id$2", 8);
    let bob = bob.await.unwrap().id;
    every_account_has_one_of_its_own(store, ada, bob).await;
    another_one_takes_its_place(store, ada).await;
    those_of_disabled_accounts_do_not_work(store, bob).await;
    writes_change_the_version(store, ada).await;
}

async fn every_account_has_one_of_its_own(store: &impl PasskeyStore, ada: i64, bob: i64) {
    let hers = store.passkey(ada).await.unwrap().unwrap();
    let his = store.passkey(bob).await.unwrap().unwrap();
    assert_ne!(hers, his);
    assert_eq!(store.passkey(ada).await.unwrap(), Some(hers));
    assert_eq!(store.passkey(bob + 1).await.unwrap(), None);
    let all = store.passkeys().await.unwrap();
    assert!(all.len() == 2 && all.contains(&hers) && all.contains(&his));
}

async fn another_one_takes_its_place(store: &impl PasskeyStore, ada: i64) {
    let before = store.passkey(ada).await.unwrap().unwrap();
    let after = Passkey::from([7; Passkey::LENGTH]);
    assert!(store.replace_passkey(ada, after).await.unwrap());
    assert_eq!(store.passkey(ada).await.unwrap(), Some(after));
    assert!(!store.passkeys().await.unwrap().contains(&before));
    let nobodys = Passkey::from([8; Passkey::LENGTH]);
    assert!(!store.replace_passkey(ada + 1_000, nobodys).await.unwrap());
}

async fn those_of_disabled_accounts_do_not_work(
    store: &(impl AccountStore + PasskeyStore),
    bob: i64,
) {
    let his = store.passkey(bob).await.unwrap().unwrap();
    assert!(store.disable_account("BOB").await.unwrap());
    assert!(!store.passkeys().await.unwrap().contains(&his));
    assert!(!store.disable_account("nobody").await.unwrap());
    let (account, _) = store.account("bob").await.unwrap().unwrap();
    assert!(account.is_disabled);
}

async fn writes_change_the_version(store: &impl PasskeyStore, ada: i64) {
    let before = store.version().await.unwrap();
    assert_eq!(store.version().await.unwrap(), before);
    let another = Passkey::from([9; Passkey::LENGTH]);
    store.replace_passkey(ada, another).await.unwrap();
    assert_ne!(store.version().await.unwrap(), before);
}

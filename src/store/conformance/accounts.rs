//! The suite for accounts, tokens and web sessions.

use crate::domain::account::Role;
use crate::store::StoreError;
use crate::store::accounts::{AccountStore, NewToken};

/// Runs the suite.
pub(crate) async fn check(store: &dyn AccountStore) {
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

//! The tracker addresses in torrents, magnet links and answers: the same for everybody, or on a private tracker with the passkey of
//! whoever asks (BEP 27).
//!
//! What has a passkey in it is for one person: it is never kept by a cache, and there is none for those who are not logged in.

use std::sync::Arc;

use axum::extract::FromRef;
use axum::response::Response;
use http::HeaderValue;
use http::header::CACHE_CONTROL;

use super::error::WebError;
use super::links::Links;
use super::state::WebState;
use crate::ambient;
use crate::domain::account::Account;
use crate::domain::passkey::Passkey;
use crate::store::passkeys::PasskeyStore;
use crate::tracker::{Mode, Tracker};

/// Knows whose torrents name which trackers.
#[derive(Clone)]
pub(super) struct Personal {
    links: Arc<Links>,
    passkeys: Arc<dyn PasskeyStore>,
    tracker: Arc<Tracker>,
}

impl FromRef<WebState> for Personal {
    fn from_ref(state: &WebState) -> Self {
        Self {
            links: Arc::clone(&state.links),
            passkeys: Arc::clone(&state.passkeys),
            tracker: Arc::clone(&state.tracker),
        }
    }
}

impl Personal {
    /// Whether the tracker is a private one, so that addresses differ from person to person.
    pub(super) fn is_needed(&self) -> bool {
        self.tracker.admission().mode() == Mode::Private
    }

    /// The announce addresses for somebody, tier by tier; `None` where they must log in first.
    pub(super) async fn trackers(
        &self,
        viewer: Option<&Account>,
    ) -> Result<Option<Vec<Vec<String>>>, WebError> {
        if !self.is_needed() {
            return Ok(Some(self.links.trackers()));
        }
        let Some(viewer) = viewer else {
            return Ok(None);
        };
        let passkey = self.passkeys.passkey(viewer.id).await?;
        Ok(passkey.map(|passkey| self.links.personal_trackers(&passkey)))
    }

    /// The announce addresses, tier by tier, for somebody who must be logged in for them.
    ///
    /// # Errors
    /// [`WebError::NotLoggedIn`].
    pub(super) async fn trackers_or_log_in(
        &self,
        viewer: Option<&Account>,
    ) -> Result<Vec<Vec<String>>, WebError> {
        self.trackers(viewer).await?.ok_or_else(|| {
            WebError::NotLoggedIn(
                "This tracker is private, so each person's torrents are their own. Log in first; a program sends \"Authorization: Bearer \" and an API token.".to_owned(),
            )
        })
    }

    /// Gives an account another passkey, and has the tracker refuse the one before at once.
    pub(super) async fn replace_passkey(&self, account: &Account) -> Result<(), WebError> {
        let fresh = Passkey::generate(&mut ambient::rng());
        self.passkeys.replace_passkey(account.id, fresh).await?;
        let valid = self.passkeys.passkeys().await?;
        self.tracker.admission().passkeys().replace(valid);
        tracing::info!(account = %account.name, "the passkey was replaced");
        Ok(())
    }

    /// An answer that may have a passkey in it, kept out of caches.
    pub(super) fn keep(&self, mut response: Response) -> Response {
        if self.is_needed() {
            let value = HeaderValue::from_static("private, no-store");
            response.headers_mut().insert(CACHE_CONTROL, value);
        }
        response
    }
}

//! Who asks: web sessions in a cookie for people, bearer tokens for programs, and the first administrator's one-time link.
//!
//! The cookie holds a random id of 256 bits and nothing else; it is `HttpOnly`, `SameSite=Lax`, and `Secure` where
//! `public_url` is https. A fresh id is drawn at every log-in and the old session ends. Passwords are checked on
//! threads that may block, a few at a time, and an unknown name takes as long as a wrong password. A bearer token never
//! travels in a cookie, so other sites cannot make a browser send one.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{FromRef, FromRequestParts};
use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use tokio::sync::Semaphore;

use super::backoff::Backoff;
use super::credentials::{hash_password, hash_secret, is_password, new_secret};
use super::error::WebError;
use super::links::Links;
use super::state::Options;
use crate::ambient;
use crate::domain::account::{
    Account, CredentialError, MAX_NAME_LENGTH, MAX_PASSWORD_LENGTH, check_name, check_password,
};
use crate::store::StoreError;
use crate::store::accounts::{AccountStore, SecretHash};

/// Passwords that are hashed at the same time, at most: each takes a processor and 19 MiB.
const HASHINGS: usize = 2;

/// How long a log-in waits for its turn to be hashed.
const HASHING_PATIENCE: Duration = Duration::from_secs(10);

/// What an unknown name's password is held against. It costs what a real one costs, and no password fits.
const NOBODYS_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c293ZXItbm9ib2R5LXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The address that a request came from: the peer's, or the one that a trusted proxy names. The app inserts it into
/// every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceAddress(pub SocketAddr);

/// Why somebody is not logged in.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginError {
    /// The name or the password is wrong; which one is not said.
    #[error("The name or the password is wrong. Check both and try again.")]
    Wrong,
    /// Too many wrong tries.
    #[error("Too many wrong tries. Wait {} and try again.", in_words(*.0))]
    Wait(Duration),
    /// The server cannot check now.
    #[error(transparent)]
    Failed(#[from] WebError),
}

/// Why the first administrator is not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    /// The link is not the one that was printed, or it was used.
    #[error("this set-up link is not valid any more")]
    BadLink,
    /// The name or the password is refused.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The server cannot do it now.
    #[error(transparent)]
    Failed(#[from] WebError),
}

/// Knows who asks.
pub struct Auth {
    accounts: Arc<dyn AccountStore>,
    hashing: Semaphore,
    backoff: Backoff,
    /// The hash of the one-time token while there is no account. Never held over an await.
    setup: Mutex<Option<SecretHash>>,
    session_lifetime: Duration,
    cookie: CookieKind,
}

/// How the session cookie is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CookieKind {
    /// Over TLS: browsers take it from this host alone (RFC 6265bis, section 4.1.3).
    Secure,
    /// On a plain network.
    Plain,
}

impl CookieKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Secure => "__Host-sower",
            Self::Plain => "sower",
        }
    }

    const fn attributes(self) -> &'static str {
        match self {
            Self::Secure => "Path=/; HttpOnly; SameSite=Lax; Secure",
            Self::Plain => "Path=/; HttpOnly; SameSite=Lax",
        }
    }
}

impl Auth {
    /// Knows the accounts of a store.
    pub fn new(accounts: Arc<dyn AccountStore>, links: &Links, options: &Options) -> Self {
        Self {
            accounts,
            hashing: Semaphore::new(HASHINGS),
            backoff: Backoff::new(Duration::from_secs(options.longest_login_wait)),
            setup: Mutex::default(),
            session_lifetime: Duration::from_secs(options.session_lifetime),
            cookie: if links.is_https() {
                CookieKind::Secure
            } else {
                CookieKind::Plain
            },
        }
    }

    /// Opens the first administrator's set-up, and gives the one-time token for [`Links::setup`]. To be called while
    /// there is no account.
    pub fn open_setup(&self) -> String {
        let token = new_secret();
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = Some(hash_secret(&token));
        token
    }

    /// Whether the server still waits for its first administrator.
    pub(super) fn is_setup_open(&self) -> bool {
        self.setup
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// Whether this is the one-time token.
    pub(super) fn is_setup_token(&self, token: &str) -> bool {
        // Hashes are compared, so the time that it takes tells nothing of the token.
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) == Some(hash_secret(token))
    }

    /// Makes the first administrator and logs them in: gives the `Set-Cookie` value.
    pub(super) async fn set_up(
        &self,
        token: &str,
        name: &str,
        password: &str,
    ) -> Result<HeaderValue, SetupError> {
        if !self.is_setup_token(token) {
            return Err(SetupError::BadLink);
        }
        check_name(name)?;
        check_password(password)?;
        let password = password.to_owned();
        let hash = self
            .hashing(move || hash_password(&password))
            .await?
            .map_err(|error| WebError::Internal(Box::new(error)))?;
        let now = ambient::unix_now();
        let made = self
            .accounts
            .add_first_account(name, &hash, now)
            .await
            .map_err(WebError::from)?;
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let account = made.ok_or(SetupError::BadLink)?;
        tracing::info!(account = %account.name, "the first administrator is made");
        Ok(self.begin_session(&account, now).await?)
    }

    /// Checks a name and password, and begins a session: gives the `Set-Cookie` value.
    pub(super) async fn log_in(
        &self,
        name: &str,
        password: &str,
        from: IpAddr,
    ) -> Result<HeaderValue, LoginError> {
        if name.len() > MAX_NAME_LENGTH || password.len() > MAX_PASSWORD_LENGTH {
            return Err(LoginError::Wrong);
        }
        self.backoff
            .begin(name, from, ambient::now())
            .map_err(LoginError::Wait)?;
        let found = self.accounts.account(name).await.map_err(WebError::from)?;
        let (account, hash) = match found {
            Some((account, hash)) if !account.is_disabled => (Some(account), hash),
            _ => (None, NOBODYS_HASH.to_owned()),
        };
        let password = password.to_owned();
        let is_right = self.hashing(move || is_password(&password, &hash)).await?;
        let Some(account) = account.filter(|_| is_right) else {
            tracing::info!(%from, "a log-in failed");
            return Err(LoginError::Wrong);
        };
        self.backoff.succeeded(name, from);
        Ok(self.begin_session(&account, ambient::unix_now()).await?)
    }

    /// Ends the session that a request carries, if any, and gives the `Set-Cookie` value that forgets it.
    pub(super) async fn log_out(&self, headers: &HeaderMap) -> Result<HeaderValue, WebError> {
        self.end_session(headers).await?;
        let (name, attributes) = (self.cookie.name(), self.cookie.attributes());
        cookie_value(&format!("{name}=; Max-Age=0; {attributes}"))
    }

    /// Ends the session that a request carries, if any: a log-in never goes on with an id that was there before.
    pub(super) async fn end_session(&self, headers: &HeaderMap) -> Result<(), WebError> {
        if let Some(id) = self.session_id(headers) {
            self.accounts.end_session(&hash_secret(id)).await?;
        }
        Ok(())
    }

    async fn begin_session(&self, account: &Account, now: i64) -> Result<HeaderValue, WebError> {
        let id = new_secret();
        let seconds = self.session_lifetime.as_secs();
        let expires_at = now.saturating_add_unsigned(seconds);
        self.accounts
            .add_session(&hash_secret(&id), account.id, expires_at, now)
            .await?;
        let (name, attributes) = (self.cookie.name(), self.cookie.attributes());
        cookie_value(&format!("{name}={id}; Max-Age={seconds}; {attributes}"))
    }

    /// Whoever looks at a page; nobody where a session cannot be looked up.
    pub(super) async fn viewer(&self, headers: &HeaderMap) -> Option<Account> {
        self.account_by_any(headers).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a session could not be looked up");
            None
        })
    }

    async fn account_by_session(&self, headers: &HeaderMap) -> Result<Option<Account>, StoreError> {
        let Some(id) = self.session_id(headers) else {
            return Ok(None);
        };
        self.accounts
            .account_by_session(&hash_secret(id), ambient::unix_now())
            .await
    }

    async fn account_by_any(&self, headers: &HeaderMap) -> Result<Option<Account>, StoreError> {
        if let Some(account) = self.account_by_session(headers).await? {
            return Ok(Some(account));
        }
        let authorization = headers.get(AUTHORIZATION).map(HeaderValue::to_str);
        let Some(Ok(authorization)) = authorization else {
            return Ok(None);
        };
        match bearer_token(authorization) {
            Some(token) => self.account_by_token(token).await,
            None => Ok(None),
        }
    }

    async fn account_by_token(&self, token: &str) -> Result<Option<Account>, StoreError> {
        self.accounts
            .account_by_token(&hash_secret(token), ambient::unix_now())
            .await
    }

    fn session_id<'h>(&self, headers: &'h HeaderMap) -> Option<&'h str> {
        headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(name, id)| (name == self.cookie.name() && !id.is_empty()).then_some(id))
    }

    /// Does one thing that takes a processor for long, on a thread that may, when it is its turn.
    async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WebError> {
        let turn = tokio::time::timeout(HASHING_PATIENCE, self.hashing.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(WebError::Unavailable {
                detail: "Many people are logging in at this moment. Try again in a few seconds."
                    .to_owned(),
                after: HASHING_PATIENCE,
            });
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| WebError::Internal(Box::new(error)))
    }
}

fn cookie_value(text: &str) -> Result<HeaderValue, WebError> {
    HeaderValue::from_str(text).map_err(|error| WebError::Internal(Box::new(error)))
}

/// Who looks at a page or reads what everybody may: the account of the session cookie or of a bearer token, or nobody. A token that
/// is not known is nobody's, as is the password for a proxy in front; and a store that fails is nobody too: what needs no
/// account stays readable.
#[derive(Clone, Debug)]
pub(super) struct Viewer(pub(super) Option<Account>);

impl<S> FromRequestParts<S> for Viewer
where
    S: Send + Sync,
    Arc<Auth>: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self(
            Arc::<Auth>::from_ref(state).viewer(&parts.headers).await,
        ))
    }
}

/// Who calls the API: the account of the bearer token or, without one, of the session cookie. A token that is not known
/// is refused.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Option<Account>);

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Arc<Auth>: FromRef<S>,
{
    type Rejection = WebError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, WebError> {
        let auth = Arc::<Auth>::from_ref(state);
        let Some(authorization) = parts.headers.get(AUTHORIZATION) else {
            return Ok(Self(auth.account_by_session(&parts.headers).await?));
        };
        let token = authorization.to_str().ok().and_then(bearer_token);
        let Some(token) = token else {
            return Err(WebError::NotLoggedIn(
                "The Authorization header is not understood. Send \"Authorization: Bearer \" and an API token.".to_owned(),
            ));
        };
        let account = auth.account_by_token(token).await?;
        if account.is_none() {
            return Err(WebError::NotLoggedIn(
                "This API token is not known, has expired or was revoked. Make a new one with `sower token create`.".to_owned(),
            ));
        }
        Ok(Self(account))
    }
}

/// The token in the value of an `Authorization` header; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A wait as people say it.
pub(super) fn in_words(wait: Duration) -> String {
    let seconds = wait
        .as_secs()
        .saturating_add(u64::from(wait.subsec_nanos() > 0));
    match seconds {
        0 | 1 => "a second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobodys_hash_costs_what_a_real_one_costs() {
        let cost = |hash: &str| hash.split('$').take(4).collect::<Vec<_>>().join("$");
        assert_eq!(cost(NOBODYS_HASH), cost(&hash_password("any").unwrap()));
        assert!(
            argon2::password_hash::phc::PasswordHash::new(NOBODYS_HASH)
                .is_ok_and(|hash| hash.hash.is_some())
        );
        assert!(!is_password("any", NOBODYS_HASH));
    }

    #[test]
    fn reads_bearer_tokens_whatever_the_schemes_case() {
        assert_eq!(bearer_token("Bearer sower_x"), Some("sower_x"));
        assert_eq!(bearer_token("bearer sower_x"), Some("sower_x"));
        assert_eq!(bearer_token("Basic dTpw"), None);
        assert_eq!(bearer_token("Bearer"), None);
    }

    #[test]
    fn waits_are_said_in_words() {
        for (wait, words) in [
            (0, "a second"),
            (12, "12 seconds"),
            (91, "2 minutes"),
            (300, "5 minutes"),
        ] {
            assert_eq!(in_words(Duration::from_secs(wait)), words);
        }
    }
}

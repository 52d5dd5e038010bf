//! Log in, log out, the first administrator, and everybody's account.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Extension, Form, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;
use http::header::SET_COOKIE;
use serde::Deserialize;

use super::Frame;
use super::takedowns::may_take_down;
use crate::domain::account::{MIN_PASSWORD_LENGTH, WhoMayPublish};
use crate::web::auth::{Auth, LoginError, SetupError, SourceAddress, Viewer};
use crate::web::error::{WebError, page, sentence, with_refusal};
use crate::web::guard::safe_next;
use crate::web::personal::Personal;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    frame: Frame,
    next: &'a str,
    name: &'a str,
    error: Option<String>,
    /// Whether there is no account yet that could log in.
    awaits_setup: bool,
}

#[derive(Template)]
#[template(path = "setup.html")]
struct SetupPage<'a> {
    frame: Frame,
    token: &'a str,
    name: &'a str,
    error: Option<String>,
    min_password: usize,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage<'a> {
    frame: Frame,
    name: &'a str,
    role: &'static str,
    may_take_down: bool,
    /// Where the account's own torrents announce; `None` where all announce at one address.
    announce: Option<String>,
}

/// Where to go on after a log-in.
#[derive(Deserialize)]
pub(in crate::web) struct Next {
    next: Option<String>,
}

/// `GET /login`
pub(in crate::web) async fn login_page(
    State(auth): State<Arc<Auth>>,
    Viewer(viewer): Viewer,
    Query(query): Query<Next>,
) -> Result<Response, WebError> {
    let next = safe_next(query.next.as_deref());
    if viewer.is_some() {
        return Ok(Redirect::to(next).into_response());
    }
    let login = LoginPage {
        frame: Frame::anonymous(),
        next,
        name: "",
        error: None,
        awaits_setup: auth.is_setup_open(),
    };
    Ok(page(&login)?.into_response())
}

/// The log-in form.
#[derive(Deserialize)]
pub(in crate::web) struct Login {
    name: String,
    password: String,
    next: Option<String>,
}

/// `POST /login`
pub(in crate::web) async fn log_in(
    State(auth): State<Arc<Auth>>,
    Extension(SourceAddress(source)): Extension<SourceAddress>,
    headers: HeaderMap,
    Form(login): Form<Login>,
) -> Result<Response, WebError> {
    let next = safe_next(login.next.as_deref());
    let name = login.name.trim();
    let error = match auth.log_in(name, &login.password, source.ip()).await {
        Ok(cookie) => {
            auth.end_session(&headers).await?;
            return Ok(([(SET_COOKIE, cookie)], Redirect::to(next)).into_response());
        }
        Err(LoginError::Failed(error)) => return Err(error),
        Err(error) => error,
    };
    let form = LoginPage {
        frame: Frame::anonymous(),
        next,
        name,
        error: Some(error.to_string()),
        awaits_setup: auth.is_setup_open(),
    };
    // The form comes again with its words; the status and the wait are a refusal's.
    let status = match &error {
        LoginError::Wait(after) => WebError::TooMany {
            detail: String::new(),
            after: *after,
        },
        _ => WebError::Forbidden(String::new()),
    };
    with_refusal(status, &form)
}

/// `POST /logout`
pub(in crate::web) async fn log_out(
    State(auth): State<Arc<Auth>>,
    headers: HeaderMap,
) -> Result<Response, WebError> {
    let cookie = auth.log_out(&headers).await?;
    Ok(([(SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

/// `GET /account`
pub(in crate::web) async fn account_page(
    State(who_may_publish): State<WhoMayPublish>,
    State(personal): State<Personal>,
    Viewer(viewer): Viewer,
) -> Result<Response, WebError> {
    let Some(account) = viewer else {
        return Ok(log_in_for_account());
    };
    let trackers = personal.trackers(Some(&account)).await?;
    let account_page = AccountPage {
        frame: Frame::new(Some(&account), who_may_publish),
        name: &account.name,
        role: account.role.as_str(),
        may_take_down: may_take_down(Some(&account)),
        announce: trackers
            .filter(|_| personal.is_needed())
            .and_then(|trackers| trackers.into_iter().flatten().next()),
    };
    Ok(personal.keep(page(&account_page)?.into_response()))
}

/// `POST /account/passkey`
pub(in crate::web) async fn replace_passkey(
    State(personal): State<Personal>,
    Viewer(viewer): Viewer,
) -> Result<Response, WebError> {
    let Some(account) = viewer else {
        return Ok(log_in_for_account());
    };
    personal.replace_passkey(&account).await?;
    Ok(Redirect::to("/account").into_response())
}

fn log_in_for_account() -> Response {
    Redirect::to("/login?next=/account").into_response()
}

/// The one-time token of the set-up link.
#[derive(Deserialize)]
pub(in crate::web) struct Token {
    #[serde(default)]
    token: String,
}

/// `GET /setup`
pub(in crate::web) async fn setup_page(
    State(auth): State<Arc<Auth>>,
    Query(Token { token }): Query<Token>,
) -> Result<Response, WebError> {
    if !auth.is_setup_token(&token) {
        return Err(bad_link(&auth));
    }
    let setup = SetupPage {
        frame: Frame::anonymous(),
        token: &token,
        name: "",
        error: None,
        min_password: MIN_PASSWORD_LENGTH,
    };
    Ok(page(&setup)?.into_response())
}

/// The set-up form.
#[derive(Deserialize)]
pub(in crate::web) struct SetUp {
    token: String,
    name: String,
    password: String,
}

/// `POST /setup`
pub(in crate::web) async fn set_up(
    State(auth): State<Arc<Auth>>,
    Form(form): Form<SetUp>,
) -> Result<Response, WebError> {
    let name = form.name.trim();
    let error = match auth.set_up(&form.token, name, &form.password).await {
        Ok(cookie) => {
            return Ok(([(SET_COOKIE, cookie)], Redirect::to("/publish")).into_response());
        }
        Err(SetupError::BadLink) => return Err(bad_link(&auth)),
        Err(SetupError::Failed(error)) => return Err(error),
        Err(SetupError::Credentials(error)) => error,
    };
    let again = SetupPage {
        frame: Frame::anonymous(),
        token: &form.token,
        name,
        error: Some(sentence(&error.to_string())),
        min_password: MIN_PASSWORD_LENGTH,
    };
    with_refusal(WebError::Invalid(String::new()), &again)
}

fn bad_link(auth: &Auth) -> WebError {
    WebError::Forbidden(if auth.is_setup_open() {
        "This set-up link is not the right one. Open the link that the server printed when it started.".to_owned()
    } else {
        "This server has its administrator already, so set-up links no longer work. Log in instead."
            .to_owned()
    })
}

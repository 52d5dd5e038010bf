//! The site's URL map on one page.
//!
//! `/announce` and `/scrape` never come here: the app answers them before. What comes here passes, from the outside in: headers that every
//! answer carries, errors made readable, panics caught, the host and the origin checked. Web seeds pass none of it:
//! they answer under any name, for torrents carry their address for ever, and their path is kept lean.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state, map_request_with_state};
use axum::routing::{get, options, post};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::WebError;
use super::guard::{self, Names};
use super::patience::{Limits, hold_to_pace};
use super::state::WebState;
use super::{api, archive, assets, content, crawlers, edits, error, feed, health, metrics, pages};

/// Bytes in a form without files, at most.
const MAX_FORM: usize = 16 * 1024;

/// Everything that this server answers over HTTP, but for the tracker.
pub fn router(state: WebState) -> Router {
    let forms = Router::new()
        .route(
            "/login",
            get(pages::account::login_page).post(pages::account::log_in),
        )
        .route("/logout", post(pages::account::log_out))
        .route(
            "/setup",
            get(pages::account::setup_page).post(pages::account::set_up),
        )
        .route("/account", get(pages::account::account_page))
        .route("/account/passkey", post(pages::account::replace_passkey))
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(map_request_with_state(form_limits(&state), hold_to_pace));

    let uploads = OpenApiRouter::new()
        .routes(routes!(api::uploads::create, api::uploads::options))
        .routes(routes!(
            api::uploads::patch,
            api::uploads::overridden,
            api::uploads::head,
            api::uploads::delete
        ))
        .route("/api/v1/uploads/{id}", options(api::uploads::options))
        // What no upload takes is refused as such, whatever version it speaks.
        .route_layer(from_fn(api::uploads::speak_tus));

    let max_edit = edits::max_body(state.ingest.options());
    let edits = OpenApiRouter::new()
        .route(
            "/p/{name}/edit",
            get(pages::edit::page).post(pages::edit::save),
        )
        .route("/markdown", post(pages::markdown::page))
        .route(
            "/p/{name}/withdraw",
            get(pages::withdraw::page).post(pages::withdraw::withdraw),
        )
        .merge(takedowns())
        .routes(routes!(
            api::publications::one,
            api::edit::patch,
            api::edit::delete
        ))
        .layer(DefaultBodyLimit::max(max_edit))
        .layer(map_request_with_state(form_limits(&state), hold_to_pace));

    let (api, document) = OpenApiRouter::with_openapi(api::openapi::document(&state.links))
        .routes(routes!(api::publications::list, api::publications::publish))
        .routes(routes!(api::events::events))
        .merge(edits)
        .merge(uploads)
        .split_for_parts();

    let mut site = Router::new()
        .route("/", get(pages::browse::page))
        .route(
            "/publish",
            get(pages::publish::page).post(pages::publish::publish),
        )
        // A publication's page, `{id}.torrent`, `{id}.magnet` and `{id}.bib`.
        .route("/p/{name}", get(pages::publication::page_or_torrent))
        .route("/p/{name}/latest", get(pages::versions::latest))
        .route("/p/{name}/preview/{*path}", get(pages::preview::page))
        .route("/files/{name}", get(archive::archive))
        .route("/files/{id}/{*path}", get(content::file))
        .route("/feed.xml", get(feed::rss))
        .route("/feed.json", get(feed::json))
        .route("/stats", get(pages::stats::page))
        .route("/static/{name}", get(assets::asset))
        .route("/favicon.ico", get(assets::favicon))
        .route("/robots.txt", get(crawlers::robots))
        .route("/sitemap.xml", get(crawlers::sitemap))
        .merge(pages::reference::routes(&document, &state.links))
        .merge(api)
        .merge(forms)
        .fallback(nothing_here)
        .layer(guard::csrf_layer(&state.links))
        .layer(from_fn_with_state(
            Names::new(&state.links, &state.options.hosts),
            guard::check_host,
        ))
        .layer(CatchPanicLayer::custom(error::answer_panic))
        .layer(from_fn_with_state(state.clone(), error::render))
        // Supervisors ask under any name, and want few words.
        .route("/healthz", get(health::alive))
        .route("/metrics", get(metrics::metrics))
        .route("/readyz", get(health::ready));
    for layer in guard::security_headers() {
        site = site.layer(layer);
    }

    Router::new()
        .route(
            "/web-seed/{id}/{*path}",
            get(content::web_seed).options(content::web_seed_preflight),
        )
        .merge(site)
        .with_state(state)
}

/// What administrators take down and put back.
fn takedowns() -> OpenApiRouter<WebState> {
    OpenApiRouter::new()
        .route(
            "/p/{name}/takedown",
            get(pages::takedowns::page).post(pages::takedowns::take_down),
        )
        .route("/p/{name}/put-back", post(pages::takedowns::put_back))
        .route("/takedowns", get(pages::takedowns::list))
        .routes(routes!(api::takedowns::list))
        .routes(routes!(api::takedowns::take_down, api::takedowns::put_back))
}

fn form_limits(state: &WebState) -> Limits {
    Limits {
        patience: Duration::from_secs(state.options.body_timeout),
        bytes_per_second: state.options.min_body_rate,
        // The size is bounded where forms are read.
        bytes: u64::MAX,
    }
}

async fn nothing_here() -> WebError {
    WebError::NotFound("There is nothing at this address. It may have been mistyped.".to_owned())
}

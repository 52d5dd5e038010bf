//! Which version of something a publication is, and the way to the newest one.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};

use crate::domain::publication::{Publication, PublicationId};
use crate::store::publications::Version;
use crate::web::error::WebError;
use crate::web::state::WebState;
use crate::web::text::shown;

/// What a publication's page says of its versions.
pub(super) struct Versions {
    /// The newest, where it is another one.
    pub(super) latest: Option<VersionLink>,
    /// The one that it replaces, if that is still there.
    pub(super) older: Option<VersionLink>,
}

pub(super) struct VersionLink {
    pub(super) href: String,
    pub(super) title: String,
}

impl VersionLink {
    fn new(id: PublicationId, title: &str) -> Self {
        Self {
            href: format!("/p/{id}"),
            title: shown(title),
        }
    }
}

impl Versions {
    pub(super) async fn of(state: &WebState, publication: &Publication) -> Result<Self, WebError> {
        let newer = state.catalog.store().newer(publication.id).await?;
        let latest = newer
            .latest
            .map(|Version { id, title }| VersionLink::new(id, &title));
        let older = match publication.particulars.replaces {
            Some(older) => state.shelf.get(older).await?,
            None => None,
        };
        let older =
            older.map(|older| VersionLink::new(older.publication.id, &older.publication.title));
        Ok(Self { latest, older })
    }
}

/// `GET /p/{id}/latest`
pub(in crate::web) async fn latest(
    State(state): State<WebState>,
    Path(id): Path<String>,
) -> Result<Response, WebError> {
    let id: PublicationId = id.parse().map_err(|_| WebError::no_publication())?;
    let latest = match state.catalog.store().newer(id).await?.latest {
        Some(latest) => latest.id,
        // Also what says whether there is, or was, anything at all.
        None => state.shelf.find(id.as_str()).await?.publication.id,
    };
    // Temporary: tomorrow there may be a newer one.
    Ok(Redirect::temporary(&format!("/p/{latest}")).into_response())
}

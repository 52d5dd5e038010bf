//! Whether the server lives, and whether it can serve: for supervisors and load balancers.

use axum::extract::State;
use http::StatusCode;
use tokio_util::sync::CancellationToken;

use crate::catalog::Catalog;
use crate::store::publications::PageQuery;

/// The process answers.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// The database answers, and the server is not about to stop.
pub(super) async fn ready(
    State(catalog): State<Catalog>,
    State(shutdown): State<CancellationToken>,
) -> (StatusCode, &'static str) {
    if shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
    }
    let first = PageQuery {
        limit: 1,
        ..PageQuery::default()
    };
    match catalog.store().page(&first).await {
        Ok(_) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(%error, "not ready: the database does not answer");
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "the database does not answer\n",
            )
        }
    }
}

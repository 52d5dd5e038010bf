//! The publication that has the same files as what was sent, as answers name it.

use serde::Serialize;
use utoipa::ToSchema;

use super::links::Links;
use crate::domain::publication::PublicationId;

/// A publication that has the same files.
#[derive(Serialize, ToSchema)]
#[schema(as = Twin)]
pub(super) struct TwinJson {
    id: String,
    page_url: String,
}

impl TwinJson {
    pub(super) fn new(twin: PublicationId, links: &Links) -> Self {
        Self {
            id: twin.to_string(),
            page_url: links.page(twin),
        }
    }
}

//! What programs ask: the JSON API under `/api/v1/`.

pub(super) mod drafts;
pub(super) mod edit;
pub(super) mod events;
pub(super) mod openapi;
pub(super) mod publications;
pub(super) mod takedowns;
pub(super) mod uploads;

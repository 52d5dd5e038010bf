//! What programs ask: the JSON API under `/api/v1/`.

pub(super) mod edit;
pub(super) mod publications;

//! A server that was built without the feature `nat` speaks with no router.

use super::{Options, Router};

/// The protocols to ask a router in; `None` where this server was built without them.
pub fn routers(_: &Options) -> Option<Vec<Box<dyn Router>>> {
    None
}

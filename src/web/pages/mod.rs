//! What people see: one file a page, its template's struct inside.

mod about;
pub(super) mod account;
pub(super) mod browse;
mod details;
mod draft;
pub(super) mod edit;
pub(super) mod markdown;
pub(super) mod preview;
pub(super) mod publication;
pub(super) mod publish;
pub(super) mod reference;
mod report;
pub(super) mod stats;
pub(super) mod takedowns;
pub(super) mod versions;
pub(super) mod withdraw;

use crate::domain::account::{Account, WhoMayPublish};

use super::assets::{ICON, SCRIPT, STYLE};

/// What stands around every page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// The name of whoever is logged in.
    pub(super) account: Option<String>,
    /// Whether to offer the publish page.
    pub(super) may_publish: bool,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) icon: &'static str,
    pub(super) version: &'static str,
}

impl Frame {
    /// Around a page for `viewer`.
    pub(super) fn new(viewer: Option<&Account>, who_may_publish: WhoMayPublish) -> Self {
        Self {
            account: viewer.map(|account| account.name.clone()),
            may_publish: who_may_publish.allows(viewer.map(|account| account.role)),
            ..Self::anonymous()
        }
    }

    /// Around a page that does not know who looks at it.
    pub(super) fn anonymous() -> Self {
        Self {
            account: None,
            may_publish: false,
            style: &STYLE.path,
            script: &SCRIPT.path,
            icon: &ICON.path,
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

//! What every adapter of a store must do, one suite a port. An adapter's tests run the suite on an empty store of its own.

#[cfg(feature = "sqlite")]
pub(crate) mod accounts;
#[cfg(feature = "sqlite")]
mod catalogue;
pub(crate) mod content;
#[cfg(feature = "sqlite")]
pub(crate) mod drafts;
#[cfg(feature = "sqlite")]
pub(crate) mod idempotency;
#[cfg(feature = "sqlite")]
pub(crate) mod passkeys;
#[cfg(feature = "sqlite")]
pub(crate) mod publications;
#[cfg(feature = "sqlite")]
mod takedowns;
#[cfg(feature = "sqlite")]
mod versions;
#[cfg(feature = "sqlite")]
pub(crate) mod watched;

#[cfg(feature = "sqlite")]
pub(crate) use publications::example;

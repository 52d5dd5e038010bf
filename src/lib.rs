//! Sower: an all-in-one BitTorrent publishing server, and the library it is made of.
//!
//! *Bytes become types in [`proto`], types become decisions in [`domain`], and only the edge waits.*

pub mod domain;
pub mod proto;

pub mod ambient;
#[cfg(feature = "cli")]
pub mod app;
#[cfg(feature = "server")]
pub mod catalog;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod config;
#[cfg(feature = "server")]
pub mod discovery;
#[cfg(feature = "server")]
pub mod door;
#[cfg(feature = "server")]
pub mod engine;
#[cfg(feature = "server")]
pub mod publish;
#[cfg(feature = "server")]
pub mod reader;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
pub mod tracker;
#[cfg(feature = "server")]
pub mod web;

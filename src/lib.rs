//! Sower: an all-in-one BitTorrent publishing server, and the library that it is made of.
//!
//! *Bytes become types in [`proto`], types become decisions in [`domain`], and only the edge waits.*
//!
//! Modules stand on floors and import lower floors only; a test holds them to it.
//!
//! | floor | modules | what |
//! |---|---|---|
//! | 8, 7, 6 | `cli`, `app`, `config` | the program: arguments, composition, configuration |
//! | 5 | `web`, `door` | pages, API and web seed · the one port |
//! | 4 | `publish`, `tracker`, `engine`, `discovery` | the services; they never import each other |
//! | 4 | `offline` | torrents made of files of this machine, and files checked against torrents, without a network |
//! | 3 | `catalog`, `reader` | what is published · its bytes, vouched for |
//! | 2 | `store` | what lasts, behind small traits |
//! | 1 | [`domain`] | decisions, without clocks, sockets or files |
//! | 0 | [`proto`], [`ambient`], `telemetry` | the protocols as functions on bytes · clocks and randomness · the log |
//!
//! # How things flow
//!
//! 1. **An upload becomes a publication.** `web` hands each buffer to `publish::Upload`, which writes and hashes it once. At the last
//!    byte the content is sealed, the `info` dictionary is built ([`proto::metainfo::build`]), and one transaction enters it into the `catalog`.
//!    No "start seeding" exists: tracker, engine and web seed answer from the catalogue, so the entry is the start.
//! 2. **An announce** is decoded ([`proto::tracker`]), decided ([`domain::swarm`]) and encoded in one synchronous call, in memory.
//! 3. **A peer asks for a block.** The `engine` feeds its messages to a [`domain::session::Session`], which asks for content by
//!    name; `reader` vouches for the piece and reads it beside its header, and one write sends many.
//! 4. **A web client asks for a range.** `web` reads through the same `reader`.
//! 5. **A download** runs the same session the other way round, with a [`domain::picker`] in place of the choker.
//!
//! # The protocol alone
//!
//! Without default features the library is [`proto`], [`domain`] and [`ambient`]: no runtime, few crates.
//!
//! ```
//! use sower::proto::metainfo::build::InfoOptions;
//! use sower::proto::metainfo::hash::TorrentHasher;
//! use sower::proto::metainfo::info::{Format, Layout};
//! use sower::proto::metainfo::path::FilePath;
//! use sower::proto::metainfo::piece_length::PieceLength;
//!
//! let content = b"give this to the world";
//! let mut hasher = TorrentHasher::new(Format::V1, PieceLength::for_total(content.len() as u64));
//! hasher.begin_file(FilePath::parse("gift.txt")?);
//! hasher.update(content);
//! hasher.end_file();
//! let built = hasher.finish().into_info(InfoOptions {
//!     name: "gift.txt".to_owned(),
//!     layout: Layout::SingleFile,
//!     private: false,
//!     source: None,
//! })?;
//! assert_eq!(built.info.files.total_length(), 22);
//! println!("info-hash {}", built.info.hashes.primary());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! `cli` (default) is the program; `server` the services and faces for those who embed them; `sqlite` the embedded database;
//! `offline` makes torrents of files on disk and checks files against torrents, without a runtime.

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
#[cfg(feature = "offline")]
pub mod offline;
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

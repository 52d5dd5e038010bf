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
//! | 5 | `watch` | the watch folder: what has been still in it for a while is published |
//! | 4 | `publish`, `tracker`, `engine`, `discovery` | the services; they never import each other |
//! | 4 | `client` | a client of a server like this one: publishes there |
//! | 4 | `scrub` | everything that is published, read again and held against its hashes |
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
//!    An upload in many requests is a [draft](domain::draft): its list of files comes first, its bytes in any order of files, and its last
//!    byte does the same. No "start seeding" exists: tracker, engine and web seed answer from the catalogue, so the entry is the start.
//! 2. **An announce** is decoded ([`proto::tracker`]), decided ([`domain::swarm`]) and encoded in one synchronous call, in memory.
//! 3. **A peer asks for a block.** The `engine` feeds its messages to a [`domain::session::Session`], which asks for content by
//!    name; `reader` vouches for the piece and reads it beside its header, and one write sends many.
//! 4. **A web client asks for a range.** `web` reads through the same `reader`.
//! 5. **A download** runs the same session the other way round, with a [`domain::picker`] in place of the choker.
//!
//! # The protocol alone
//!
//! Without default features the library is [`proto`], [`domain`] and [`ambient`]: no runtime, few crates. The way through it
//! begins with bytes and ends with peers:
//!
//! | to | begin at | example |
//! |---|---|---|
//! | read bencode that a stranger wrote, without a tree and within bounds | [`proto::bencode`] | |
//! | read a torrent file, v1, v2 or hybrid | [`proto::metainfo::torrent_file`] | `examples/read_torrent.rs` |
//! | know which bytes of which file a piece is | [`proto::geometry`], [`proto::metainfo::files`] | `examples/read_torrent.rs` |
//! | make a torrent from bytes as they pass | [`proto::metainfo::hash`], [`proto::metainfo::build`] | `examples/make_torrent.rs` |
//! | make one from files, and check files against one | `offline`, with the feature of that name | `examples/verify_folder.rs` |
//! | change trackers or web seeds of a torrent that is out | [`proto::metainfo::edit`] | |
//! | read and write magnet links | [`proto::metainfo::magnet`] | `examples/walk_magnet.rs` |
//! | prove hashes of a v2 torrent, or check a proof | [`proto::metainfo::merkle`], [`proto::metainfo::proof`] | |
//! | speak with a tracker, or be one | [`proto::tracker`], [`domain::swarm`] | |
//! | speak with peers | [`proto::wire`], [`domain::session`] | |
//! | answer a web client's range | [`proto::range`] | |
//!
//! Two rules hold all the way. Bytes from strangers meet a bound before they cost anything, and the bound is an argument:
//! [`Limits`](proto::bencode::Limits) for bencode, [`InfoLimits`](proto::metainfo::info::InfoLimits) for torrents. And a type
//! is a proof: a [`FilePath`](proto::metainfo::path::FilePath) is safe to create, a
//! [`PieceIndex`](proto::geometry::PieceIndex) exists, an [`Info`](proto::metainfo::info::Info) obeys its BEPs.
//!
//! A torrent made from bytes:
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
//! A torrent read from a stranger's bytes, and refused where it breaks a rule:
//!
//! ```
//! use sower::proto::metainfo::info::{InfoError, InfoLimits};
//! use sower::proto::metainfo::torrent_file::{TorrentFile, TorrentFileError};
//!
//! let good = b"d4:infod6:lengthi3e4:name5:a.txt12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee";
//! let torrent = TorrentFile::parse(good, &InfoLimits::default())?;
//! assert_eq!(torrent.info.files.content_length(), 3);
//!
//! let bad = b"d4:infod6:lengthi3e4:name5:a.txt12:piece lengthi16384e6:pieces3:abcee";
//! let refused = TorrentFile::parse(bad, &InfoLimits::default());
//! let rule = InfoError::PiecesNotWhole { length: 3 };
//! assert_eq!(refused, Err(TorrentFileError::Info(rule)));
//! # Ok::<(), TorrentFileError>(())
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
#[cfg(feature = "server")]
pub mod client;
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
pub mod scrub;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(feature = "server")]
pub mod tracker;
#[cfg(feature = "cli")]
pub mod watch;
#[cfg(feature = "server")]
pub mod web;

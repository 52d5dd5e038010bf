//! Torrents made of files of this machine, and files checked against torrents, without a network.
//!
//! | module | what |
//! |---|---|
//! | [`selection`] | which files of a folder are taken, and in which order |
//! | [`globs`] | patterns that include and exclude |
//! | [`sizing`] | how long the pieces are, and why |
//! | [`choices`] | what a person chooses, by flags or in a preset |
//! | [`limits`] | what can be configured: bounds, and presets |
//! | [`hashing`] | files on disk become the hashes of a torrent, or are held against them |
//! | [`create`] | from a plan to a torrent file |
//! | [`output`] | a torrent file written whole or not at all |
//! | [`spot_check`] | a piece of a new torrent hashed once more, by simpler means |
//! | `places` | where the files of a torrent lie |
//! | [`verify`] | what is right, bad or missing of a torrent's files |
//!
//! Everything here blocks, on threads of its own where that helps.
//!
//! ```
//! use sower::offline::choices::Choices;
//! use sower::offline::create::Plan;
//! use sower::offline::hashing::HashOptions;
//! use sower::offline::selection::Selection;
//! use sower::offline::verify::verify;
//! use sower::proto::metainfo::info::{Format, InfoLimits};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("gift.txt");
//! # std::fs::write(&path, "give this to the world")?;
//! let choices = Choices {
//!     format: Some(Format::Hybrid),
//!     announce: vec!["https://tracker.example/announce".to_owned()],
//!     ..Choices::default()
//! };
//! let limits = InfoLimits::default();
//! let selection = Selection::of(&path, &choices.selection_options(limits.files, None, None))?;
//! let plan = Plan::new(selection, choices.recipe(sower::ambient::unix_now())?, limits)?;
//! let made = plan.make(&HashOptions::default(), &|bytes| println!("{bytes} bytes more"))?;
//! let torrent = made.check(&made.bytes)?;
//!
//! let report = verify(&torrent, &path, &HashOptions::default(), &|_| {})?;
//! assert!(report.is_right());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod choices;
pub mod create;
pub mod globs;
pub mod hashing;
pub mod limits;
pub mod output;
mod places;
pub mod selection;
pub mod sizing;
pub mod spot_check;
pub mod verify;

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

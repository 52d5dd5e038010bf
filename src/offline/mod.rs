//! Torrents made of files of this machine, and files checked against torrents, without a network.
//!
//! | module | what |
//! |---|---|
//! | [`hashing`] | files on disk become the hashes of a torrent, or are held against them |
//!
//! Everything here blocks, on threads of its own where that helps.

pub mod hashing;

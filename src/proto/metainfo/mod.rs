//! Torrent files: what they say, how they are read, and how they are made (BEP 3, 12, 19, 27, 47, 52).
//!
//! | module | what |
//! |---|---|
//! | [`path`] | names of files: which are safe |
//! | [`files`] | the files end to end, and which bytes of which file a piece is |
//! | [`info`] | the `info` dictionary: read, checked, kept as raw bytes |
//! | `format` | v1, v2, hybrid |
//! | `file_list`, `file_tree` | its files as v1 and as v2 list them |
//! | `listing`, `joined` | the files so far, and the text that their paths share |
//! | [`layers`] | the piece layers of v2, beside `info` |
//! | [`torrent_file`] | the dictionary around it: trackers, web seeds, comment; put together and read |
//! | [`edit`] | the same changed, without touching `info` |
//! | [`review`] | what is sound in it and still worth a word |
//! | [`piece_length`] | how long the pieces of a new torrent are |
//! | [`hash`] | pieces and merkle leaves hashed while bytes pass |
//! | [`apart`] | the same, of files that come in any order |
//! | [`original`] | a torrent that exists already: files are hashed as it has them, and held against it |
//! | [`merkle`], [`proof`] | the trees of BEP 52 · proofs that hashes belong to one |
//! | [`build`] | hashed content becomes an `info` dictionary |
//! | [`magnet`] | magnet links |
//! | `url` | which URLs of both are kept, and the warnings |

pub mod apart;
pub mod build;
pub mod edit;
mod file_list;
mod file_tree;
pub mod files;
mod format;
pub mod hash;
pub mod info;
mod joined;
pub mod layers;
mod listing;
pub mod magnet;
pub mod merkle;
pub mod original;
pub mod path;
pub mod piece_length;
pub mod proof;
pub mod review;
pub mod torrent_file;
mod url;

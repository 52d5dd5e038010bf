//! Bounds for torrents that we make and read, and for the work on them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::choices::Choices;
use super::hashing::HashOptions;
use crate::proto::metainfo::info::InfoLimits;

/// Bounds for a torrent that is read or made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TorrentOptions {
    /// Bytes in a torrent file, at most.
    pub max_bytes: usize,
    /// Files in a torrent, at most, and folders to look for them in.
    pub max_files: usize,
}

/// How much of the machine hashing may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HashingOptions {
    /// Threads that hash; 0 for one for each core.
    pub threads: usize,
    /// Bytes of files that are in memory at once, about.
    pub memory_bytes: usize,
}

/// What torrents are made by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CreateOptions {
    /// Choices under a name.
    pub presets: BTreeMap<String, Choices>,
}

impl Default for TorrentOptions {
    fn default() -> Self {
        Self {
            max_bytes: 48 << 20,
            max_files: 200_000,
        }
    }
}

impl Default for HashingOptions {
    fn default() -> Self {
        Self {
            threads: 0,
            memory_bytes: HashOptions::default().memory,
        }
    }
}

impl TorrentOptions {
    /// The same as bounds for an `info` dictionary and what stands around it.
    pub fn info_limits(&self) -> InfoLimits {
        InfoLimits::of(self.max_bytes, self.max_files)
    }
}

impl HashingOptions {
    /// The same with the number of threads settled.
    pub fn hash_options(&self) -> HashOptions {
        let usual = HashOptions::default();
        HashOptions {
            threads: NonZeroUsize::new(self.threads).unwrap_or(usual.threads),
            memory: self.memory_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_library() {
        assert_eq!(
            TorrentOptions::default().info_limits(),
            InfoLimits::default()
        );
    }

    #[test]
    fn one_thread_for_each_core_unless_a_number_is_given() {
        let threads = |threads| {
            let options = HashingOptions {
                threads,
                ..HashingOptions::default()
            };
            options.hash_options().threads
        };
        assert_eq!(threads(3).get(), 3);
        assert_eq!(threads(0), HashOptions::default().threads);
    }
}

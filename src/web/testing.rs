//! Made-up publications for the tests beside the code.

use crate::domain::particulars::Particulars;
use crate::domain::publication::{Publication, PublishedFile};
use crate::proto::id::{InfoHash, InfoHashes};
use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::path::FilePath;

/// A publication of one file.
pub(super) fn single_file(name: &str, length: u64) -> Publication {
    publication(name, &[(name, length)])
}

/// A publication of a folder.
pub(super) fn folder(name: &str, files: &[(&str, u64)]) -> Publication {
    publication(name, files)
}

fn publication(name: &str, files: &[(&str, u64)]) -> Publication {
    let files = files
        .iter()
        .zip(0..)
        .map(|((path, length), stored_as)| PublishedFile {
            path: FilePath::parse(path).unwrap(),
            length: *length,
            sha256: [7; 32],
            crc32: Some(7),
            stored_as,
        });
    let files: Vec<_> = files.collect();
    Publication {
        id: "abcdefghij".parse().unwrap(),
        title: name.to_owned(),
        description: String::new(),
        creator: String::new(),
        licence: None,
        tags: Vec::new(),
        particulars: Particulars::default(),
        format: Format::V1,
        private: false,
        name: name.to_owned(),
        info_hashes: InfoHashes::V1(InfoHash::from([1; 20])),
        piece_length: 16_384,
        total_length: files.iter().map(|file| file.length).sum(),
        files,
        publisher: "ada".to_owned(),
        created_at: 0,
        published_at: 0,
    }
}

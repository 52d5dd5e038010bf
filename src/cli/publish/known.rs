//! Files that have a torrent already: nothing is published of them before all are found right.

use std::path::{Path, PathBuf};

use anyhow::bail;
use bytes::Bytes;

use super::Sent;
use crate::cli::progress::bar_of_bytes;
use crate::cli::show::printable;
use crate::cli::source;
use crate::cli::verify::in_words;
use crate::client::ManifestFile;
use crate::offline::hashing::HashOptions;
use crate::offline::limits::TorrentOptions;
use crate::offline::verify::verify;
use crate::proto::metainfo::info::Layout;
use crate::proto::metainfo::torrent_file::TorrentFile;

/// A torrent, and the place of its content.
pub(super) struct Known {
    name: String,
    pub(super) torrent: TorrentFile,
    /// It as it lies on the disk.
    pub(super) bytes: Bytes,
    path: PathBuf,
}

impl Known {
    pub(super) fn read(
        torrent: &Path,
        path: &Path,
        bounds: &TorrentOptions,
    ) -> anyhow::Result<Self> {
        let bytes = source::read_file(torrent, bounds)?;
        let name = torrent.display().to_string();
        Ok(Self {
            torrent: source::parse(&bytes, &name, bounds)?,
            bytes,
            name,
            path: path.to_owned(),
        })
    }

    /// The files of the torrent in its order, if all of them are right.
    pub(super) fn verify(&self, hashing: &HashOptions) -> anyhow::Result<Vec<Sent>> {
        let info = &self.torrent.info;
        let bar = bar_of_bytes(info.files.total_length(), printable(&info.name));
        let report = verify(&self.torrent, &self.path, hashing, &|bytes| bar.inc(bytes));
        bar.finish_and_clear();
        let report = report?;
        if !report.is_right() {
            bail!("nothing was published: {}", in_words(&self.name, &report));
        }
        let files = report.files.into_iter().map(|file| Sent {
            disk: file.place,
            file: ManifestFile {
                path: match info.layout {
                    Layout::SingleFile => info.name.clone(),
                    Layout::Folder => format!("{}/{}", info.name, file.path),
                },
                length: file.length,
            },
        });
        Ok(files.collect())
    }
}

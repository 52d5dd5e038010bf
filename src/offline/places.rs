//! Where a torrent's files lie: in the path that was named, or in the folder of the torrent's name below it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::proto::metainfo::files::{File, FileKind};
use crate::proto::metainfo::info::{Info, Layout};

/// The content of a torrent on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Places {
    /// The file or folder that the torrent describes, whether it is there or not.
    pub(super) root: PathBuf,
    /// The place of each file of the torrent, pads counted; `None` for those.
    pub(super) files: Vec<Option<PathBuf>>,
}

impl Places {
    /// Looks for the content of `info` at `path`: the content itself, or a folder that holds it under the torrent's name.
    ///
    /// Where both can be, it is the one where more of the torrent's files have their length.
    pub(super) fn find(info: &Info, path: &Path) -> io::Result<Self> {
        let is_folder = fs::metadata(path)?.is_dir();
        let below = path.join(&info.name);
        match (info.layout, is_folder) {
            (Layout::SingleFile, true) => Ok(Self::single(info, below)),
            (Layout::SingleFile, false) => Ok(Self::single(info, path.to_owned())),
            (Layout::Folder, false) => Err(io::ErrorKind::NotADirectory.into()),
            (Layout::Folder, true) => {
                let (here, below) = (
                    Self::folder(info, path.to_owned()),
                    Self::folder(info, below),
                );
                Ok(here.or_better(below, info))
            }
        }
    }

    fn single(info: &Info, root: PathBuf) -> Self {
        let files = info
            .files
            .iter()
            .map(|file| is_content(file).then(|| root.clone()));
        Self {
            files: files.collect(),
            root,
        }
    }

    fn folder(info: &Info, root: PathBuf) -> Self {
        let place = |file: &File| {
            let mut place = root.clone();
            place.extend(file.path.components());
            place
        };
        let files = info
            .files
            .iter()
            .map(|file| is_content(file).then(|| place(file)));
        Self {
            files: files.collect(),
            root,
        }
    }

    /// `below`, unless more files are here. With nothing in either, the one that is called like the torrent.
    fn or_better(self, below: Self, info: &Info) -> Self {
        let found_below = if below.root.is_dir() {
            below.count(info)
        } else {
            0
        };
        // Nearly always it is below, and whole.
        if found_below == info.files.content().count() {
            return below;
        }
        let found_here = self.count(info);
        let is_named_here = self
            .root
            .file_name()
            .is_some_and(|name| *name == *info.name);
        let is_here = found_here > found_below
            || (found_here == found_below && is_named_here && !below.root.exists());
        if is_here { self } else { below }
    }

    /// How many files are there in full length.
    fn count(&self, info: &Info) -> usize {
        let there = info.files.iter().zip(&self.files).filter(|(file, place)| {
            let found = place.as_deref().map(fs::metadata);
            matches!(found, Some(Ok(found)) if found.is_file() && found.len() == file.length)
        });
        there.count()
    }
}

fn is_content(file: &File) -> bool {
    file.kind == FileKind::Content
}

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
    /// Where both can be, it is the one where more of the torrent's files have their length, or are there at all.
    pub(super) fn find(info: &Info, path: &Path) -> io::Result<Self> {
        let is_folder = fs::metadata(path)?.is_dir();
        let below = path.join(&info.name);
        match (info.layout, is_folder) {
            (Layout::SingleFile, true) => Ok(Self::single(info, below)),
            (Layout::SingleFile, false) => Ok(Self::single(info, path.to_owned())),
            (Layout::Folder, false) => Err(io::ErrorKind::NotADirectory.into()),
            (Layout::Folder, true) if is_below(info, path, &below) => Ok(Self::folder(info, below)),
            (Layout::Folder, true) => Ok(Self::folder(info, path.to_owned())),
        }
    }

    fn single(info: &Info, root: PathBuf) -> Self {
        let files = info.files.iter();
        let files = files.map(|file| is_content(file).then(|| root.clone()));
        Self {
            files: files.collect(),
            root,
        }
    }

    fn folder(info: &Info, root: PathBuf) -> Self {
        let files = info.files.iter();
        let files = files.map(|file| is_content(file).then(|| place(&root, file)));
        Self {
            files: files.collect(),
            root,
        }
    }
}

/// Whether a folder's content is to be looked for at `below` rather than at `here`, where both could be.
fn is_below(info: &Info, here: &Path, below: &Path) -> bool {
    if !below.is_dir() {
        let is_named_here = here.file_name().is_some_and(|name| *name == *info.name);
        return !is_named_here && Count::of(info, here) == Count::default();
    }
    // Nearly always it is below, and whole.
    let found = Count::of(info, below);
    found.whole == info.files.content().count() || found >= Count::of(info, here)
}

/// How many of a torrent's files lie in a folder. What has more whole files is more.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Count {
    /// Files of full length.
    whole: usize,
    /// Files of any length.
    there: usize,
}

impl Count {
    fn of(info: &Info, root: &Path) -> Self {
        let mut count = Self::default();
        for (_, file) in info.files.content() {
            if let Ok(found) = fs::metadata(place(root, file))
                && found.is_file()
            {
                count.there += 1;
                count.whole += usize::from(found.len() == file.length);
            }
        }
        count
    }
}

fn place(root: &Path, file: &File) -> PathBuf {
    let mut place = root.to_owned();
    place.extend(file.path.components());
    place
}

fn is_content(file: &File) -> bool {
    file.kind == FileKind::Content
}

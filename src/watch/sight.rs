//! What lies in the watch folder, and how it looks.
//!
//! Content looks as names, lengths and times of change say. Inodes do not count: on some file systems every mount gives new ones.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::names::{PASSED_OVER, is_unfinished, whole};
use crate::offline::globs::Patterns;
use crate::offline::hashing::SourceFile;
use crate::offline::selection::{Hidden, Selection, SelectionError, SelectionOptions, Symlinks};
use crate::proto::metainfo::info::Layout;
use crate::proto::metainfo::path::FilePath;
use crate::publish::Placed;

/// A SHA-256 over how files look, which another look at the same files gives again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(pub(super) [u8; 32]);

/// A file or folder in the watch folder.
#[derive(Debug)]
pub(super) struct Sight {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// How all of it looks, what is hidden too (rsync writes to hidden files first), and whose it is.
    pub(super) all: Fingerprint,
    /// How the files look that would be published, or why nothing can be.
    pub(super) content: Result<Fingerprint, Obstacle>,
}

/// Why a file or folder cannot be published.
#[derive(Debug, thiserror::Error)]
pub(super) enum Obstacle {
    /// It is not there any more.
    #[error("{} is not there any more", .0.display())]
    Missing(PathBuf),
    /// There is nothing in it.
    #[error("there are no files in {}", .0.display())]
    Empty(PathBuf),
    /// A file in it is still being downloaded.
    #[error("{} looks as if it was still being downloaded; when that file is gone, the rest is published", .0.display())]
    Unfinished(PathBuf),
    /// Its files make no torrent.
    #[error(transparent)]
    Unfit(#[from] SelectionError),
}

/// Why the watch folder cannot be looked into. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum FolderError {
    /// It cannot be read.
    #[error("the watch folder {} cannot be read; make it readable, or set publish.watch to another", .path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// It is a part of the data directory.
    #[error(
        "the watch folder {} lies in the data directory, which is the server's own; set publish.watch to another", .0.display()
    )]
    Own(PathBuf),
    /// It is empty, and it was not: another folder has its name, as where a disk is not mounted.
    #[error(
        "the watch folder {} is empty, though {missing} files and folders were published from it; mount its disk, or put them back", .path.display()
    )]
    Bare {
        /// The folder.
        path: PathBuf,
        /// What was published from it.
        missing: usize,
    },
    /// There is too much in it.
    #[error("more than {limit} files and folders lie in the watch folder {}; raise publish.watch_entries", .path.display())]
    TooMuch {
        /// The folder.
        path: PathBuf,
        /// `publish.watch_entries`.
        limit: usize,
    },
}

/// Which folder it is that has the name of the watch folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// What bounds a look.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// The data directory.
    pub(super) data_dir: PathBuf,
    /// Files and folders in the watch folder, at most.
    pub(super) max_entries: usize,
    /// Files in one of its folders, at most.
    pub(super) max_files: usize,
}

/// Which folder it is, what lies in it, and what of `noted` lay there and is missing. `known` is the folder that was looked into before. Symbolic links are passed over: who may write to the folder may not read
/// everything that the server reads.
///
/// # Errors
/// [`FolderError`]; then nothing is known of what lies there.
pub(super) fn look_into(
    folder: &Path,
    noted: &[PathBuf],
    known: Option<Identity>,
    bounds: &Bounds,
) -> Result<(Identity, Vec<Sight>), FolderError> {
    let unreadable = |source| FolderError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let folder = folder.canonicalize().map_err(unreadable)?;
    let data_dir = bounds.data_dir.canonicalize().map_err(unreadable)?;
    if folder.starts_with(&data_dir) {
        return Err(FolderError::Own(folder));
    }
    let metadata = fs::metadata(&folder).map_err(unreadable)?;
    let identity = Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
    };
    let names = names_in(&folder, bounds.max_entries).map_err(unreadable)?;
    if names.len() > bounds.max_entries {
        return Err(FolderError::TooMuch {
            path: folder,
            limit: bounds.max_entries,
        });
    }
    let noted = noted.iter();
    let missing = noted.filter(|path| path.parent() == Some(&*folder) && is_missing(path));
    let missing: Vec<&PathBuf> = missing.collect();
    if names.is_empty() && !missing.is_empty() && known != Some(identity) {
        let missing = missing.len();
        return Err(FolderError::Bare {
            path: folder,
            missing,
        });
    }
    let paths = whole(names).into_iter().map(|name| folder.join(name));
    let paths = paths.filter(|path| !data_dir.starts_with(path));
    let there = paths.map(|path| look_at(&path, bounds.max_files).0);
    let missing = missing
        .into_iter()
        .map(|path| Sight::obstructed(path, Obstacle::Missing(path.clone())));
    Ok((identity, there.chain(missing).collect()))
}

/// Whether there is nothing to publish at a path. What is passed over for now, while something beside it is unfinished, is not missing.
fn is_missing(path: &Path) -> bool {
    let there = fs::symlink_metadata(path);
    !there.is_ok_and(|there| there.is_file() || there.is_dir())
}

/// The names of files and folders, one more than the limit at most.
fn names_in(folder: &Path, limit: usize) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_file() || kind.is_dir() {
            names.push(entry.file_name());
        }
        if names.len() > limit {
            break;
        }
    }
    Ok(names)
}

/// Looks at a file or folder: how it looks, and its files if they can be published.
pub(super) fn look_at(path: &Path, max_files: usize) -> (Sight, Vec<Placed>) {
    match files_of(path, max_files) {
        Ok(files) => {
            let all = fingerprint(&files, |file| [file.modified, file.status_changed]);
            let (content, placed) = content_of(path, files);
            let path = path.to_owned();
            (Sight { path, all, content }, placed)
        }
        Err(obstacle) => (Sight::obstructed(path, obstacle), Vec::new()),
    }
}

impl Sight {
    /// What cannot be looked at any closer. It looks otherwise when something else stands in the way.
    pub(super) fn obstructed(path: &Path, obstacle: Obstacle) -> Self {
        Self {
            path: path.to_owned(),
            all: Fingerprint(Sha256::digest(explain(&obstacle)).into()),
            content: Err(obstacle),
        }
    }
}

/// An error and what it comes from, on one line of the log.
pub(super) fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    on_one_line(&text)
}

/// A path for the log. Whoever may write to the folder may name files as they like.
pub(super) fn show(path: &Path) -> String {
    on_one_line(&path.to_string_lossy())
}

fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Seconds and nanoseconds.
type Time = (i64, i64);

/// A file, and how it looks.
struct Seen {
    file: SourceFile,
    layout: Layout,
    modified: Time,
    /// When its owner, its rights or anything else of it changed: what could not be read may be readable now.
    status_changed: Time,
}

/// Every file, hidden ones too.
fn files_of(path: &Path, max_files: usize) -> Result<Vec<Seen>, Obstacle> {
    let options = SelectionOptions {
        name: None,
        patterns: Patterns {
            exclude: vec![PASSED_OVER.to_owned()],
            ..Patterns::default()
        },
        hidden: Hidden::Take,
        symlinks: Symlinks::LeaveOut,
        max_files,
        output: None,
    };
    let found = match Selection::of(path, &options) {
        Err(SelectionError::NoFiles { .. }) => return Err(Obstacle::Empty(path.to_owned())),
        found => found?,
    };
    let layout = found.layout;
    let files = found.files.into_iter().map(|file| {
        let metadata = fs::symlink_metadata(&file.disk);
        let metadata = metadata.map_err(|source| SelectionError::Unreadable {
            path: file.disk.clone(),
            source,
        })?;
        Ok(Seen {
            file: SourceFile {
                length: metadata.len(),
                ..file
            },
            layout,
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            status_changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    });
    files.collect()
}

/// How the files look that are to be published, and where they lie; the fingerprint leaves hidden ones out, which come and go by themselves.
fn content_of(path: &Path, mut files: Vec<Seen>) -> (Result<Fingerprint, Obstacle>, Vec<Placed>) {
    files.retain(|seen| !is_hidden(&seen.file.path));
    let unfinished = |seen: &&Seen| {
        let mut components = seen.file.path.components();
        components.any(|component| is_unfinished(OsStr::new(component)))
    };
    if let Some(unfinished) = files.iter().find(unfinished) {
        let unfinished = unfinished.file.disk.clone();
        return (Err(Obstacle::Unfinished(unfinished)), Vec::new());
    }
    if files.is_empty() {
        return (Err(Obstacle::Empty(path.to_owned())), Vec::new());
    }
    let content = fingerprint(&files, |file| [file.modified]);
    let placed = files.into_iter().map(|seen| place(path, seen));
    match placed.collect() {
        Ok(placed) => (Ok(content), placed),
        Err(obstacle) => (Err(obstacle), Vec::new()),
    }
}

fn is_hidden(path: &FilePath) -> bool {
    path.components()
        .any(|component| component.starts_with('.'))
}

/// A file as an upload would have it: under the folder that was put into the watch folder, if it was one.
fn place(root: &Path, seen: Seen) -> Result<Placed, Obstacle> {
    let SourceFile { disk, path, length } = seen.file;
    let path = match (seen.layout, root.file_name().and_then(OsStr::to_str)) {
        (Layout::Folder, Some(name)) => {
            let components = [name].into_iter().chain(path.components());
            FilePath::from_components(components).map_err(|source| SelectionError::Name {
                path: disk.clone(),
                source,
            })?
        }
        _ => path,
    };
    Ok(Placed {
        path,
        place: disk,
        length,
    })
}

fn fingerprint<const N: usize>(files: &[Seen], times: fn(&Seen) -> [Time; N]) -> Fingerprint {
    let mut hasher = Sha256::new();
    for seen in files {
        // No path has a zero byte in it.
        hasher.update(seen.file.path.as_str());
        hasher.update([0]);
        hasher.update(seen.file.length.to_be_bytes());
        for (seconds, nanoseconds) in times(seen) {
            hasher.update(seconds.to_be_bytes());
            hasher.update(nanoseconds.to_be_bytes());
        }
    }
    Fingerprint(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn folder(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().canonicalize().unwrap();
        for file in files {
            let path = root.join("watch").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        fs::create_dir_all(root.join("data")).unwrap();
        (around, root)
    }

    fn look(folder: &Path, noted: &[PathBuf], bounds: &Bounds) -> Result<Vec<Sight>, FolderError> {
        look_into(folder, noted, None, bounds).map(|(_, sights)| sights)
    }

    fn bounds(root: &Path, max_entries: usize) -> Bounds {
        Bounds {
            data_dir: root.join("data"),
            max_entries,
            max_files: 10,
        }
    }

    fn paths(placed: &[Placed]) -> Vec<&str> {
        placed.iter().map(|placed| placed.path.as_str()).collect()
    }

    #[test]
    fn files_and_folders_are_seen_and_links_are_not() {
        let (_around, root) = folder(&["b", "a/x", ".c", "d.part"]);
        let watch = root.join("watch");
        symlink("/etc/passwd", watch.join("link")).unwrap();
        symlink("/etc", watch.join("folder of links")).unwrap();
        let sights = look(&root.join("watch/../watch"), &[], &bounds(&root, 6)).unwrap();
        assert!(sights.iter().all(|sight| sight.content.is_ok()));
        assert_eq!(sorted(sights), [watch.join("a"), watch.join("b")]);
    }

    fn sorted(sights: Vec<Sight>) -> Vec<PathBuf> {
        let mut paths: Vec<_> = sights.into_iter().map(|sight| sight.path).collect();
        paths.sort();
        paths
    }

    #[test]
    fn what_is_gone_is_missing_and_what_is_passed_over_for_now_is_not() {
        let (_around, root) = folder(&["a", "b", "b.aria2", "link"]);
        let watch = root.join("watch");
        fs::remove_file(watch.join("link")).unwrap();
        symlink("a", watch.join("link")).unwrap();
        let noted = ["a", "b", "gone", "link"].map(|name| watch.join(name));
        let elsewhere = [root.join("gone"), watch.join("folder/gone")];
        let noted = [&noted[..], &elsewhere].concat();
        let mut sights = look(&watch, &noted, &bounds(&root, 9)).unwrap();
        sights.retain(|sight| matches!(sight.content, Err(Obstacle::Missing(_))));
        assert_eq!(sorted(sights), [watch.join("gone"), watch.join("link")]);
    }

    #[test]
    fn too_much_is_refused_as_a_whole() {
        let (_around, root) = folder(&["a", "b", "c"]);
        let watch = root.join("watch");
        assert!(look(&watch, &[], &bounds(&root, 3)).is_ok());
        let refusal = look(&watch, &[], &bounds(&root, 2)).unwrap_err();
        assert!(refusal.to_string().contains("watch_entries"), "{refusal}");
    }

    #[test]
    fn the_data_directory_is_never_seen() {
        let (_around, root) = folder(&["a"]);
        let sights = look(&root, &[], &bounds(&root, 9)).unwrap();
        assert_eq!(sorted(sights), [root.join("watch")]);
        let refusal = look(&root.join("data"), &[], &bounds(&root, 9));
        assert!(matches!(refusal, Err(FolderError::Own(_))), "{refusal:?}");
        let refusal = look(&root.join("nowhere"), &[], &bounds(&root, 9));
        assert!(
            matches!(refusal, Err(FolderError::Unreadable { .. })),
            "{refusal:?}"
        );
    }

    #[test]
    fn a_file_is_placed_under_its_name_and_those_of_a_folder_under_the_folders() {
        let (_around, root) = folder(&["a/x/y", "a/.hidden", "a/.git/x", "a/copy~", "b"]);
        let (_, placed) = look_at(&root.join("watch/a"), 10);
        assert_eq!(paths(&placed), ["a/x/y"]);
        assert_eq!(placed[0].place, root.join("watch/a/x/y"));
        assert_eq!(placed[0].length, 5);
        let (_, placed) = look_at(&root.join("watch/b"), 10);
        assert_eq!(paths(&placed), ["b"]);
    }

    #[test]
    fn a_hidden_file_stirs_the_folder_but_not_its_content() {
        let (_around, root) = folder(&["a/x"]);
        let look = || look_at(&root.join("watch/a"), 10).0;
        let before = look();
        assert_eq!(before.all, look().all);
        fs::write(root.join("watch/a/.y.AbC123"), "").unwrap();
        let stirred = look();
        assert_ne!(stirred.all, before.all);
        let content = before.content.unwrap();
        assert_eq!(stirred.content.unwrap(), content);
        fs::rename(root.join("watch/a/.y.AbC123"), root.join("watch/a/y")).unwrap();
        assert_ne!(look().content.unwrap(), content);
    }

    #[test]
    fn a_name_is_one_line_of_the_log() {
        let (_around, root) = folder(&["a/x\ny"]);
        let path = root.join("watch/a");
        let obstacle = look_at(&path, 10).0.content.unwrap_err();
        assert!(explain(&obstacle).contains("/a/x y "), "{obstacle}");
        assert!(show(&path.join("x\ny")).ends_with("/a/x y"));
    }

    #[test]
    fn another_time_of_change_is_another_look() {
        let (_around, root) = folder(&["a"]);
        let path = root.join("watch/a");
        let before = look_at(&path, 10).0;
        let file = fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        let touched = look_at(&path, 10).0;
        assert_ne!(touched.all, before.all);
        assert_ne!(touched.content.unwrap(), before.content.unwrap());
    }

    #[test]
    fn other_rights_are_another_look_at_the_same_content() {
        let (_around, root) = folder(&["a"]);
        let path = root.join("watch/a");
        let before = look_at(&path, 10).0;
        let status_changed = || fs::metadata(&path).unwrap().ctime_nsec();
        let at_first = status_changed();
        // The file system's clock may take milliseconds to go on.
        while status_changed() == at_first {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let after = look_at(&path, 10).0;
        assert_ne!(after.all, before.all);
        assert_eq!(after.content.unwrap(), before.content.unwrap());
    }

    #[test]
    fn what_stands_in_the_way_is_said_and_looks_the_same_until_it_changes() {
        let (_around, root) = folder(&["a/x", "a/y.aria2", "c/.x", "d/back\\slash", "e/1"]);
        fs::create_dir(root.join("watch/b")).unwrap();
        let look = |name: &str| look_at(&root.join("watch").join(name), 10).0;
        let obstacle = |name: &str| look(name).content.unwrap_err();
        assert!(matches!(obstacle("a"), Obstacle::Unfinished(path) if path.ends_with("a/y.aria2")));
        assert!(matches!(obstacle("b"), Obstacle::Empty(_)));
        assert!(matches!(obstacle("c"), Obstacle::Empty(_)));
        assert!(explain(&obstacle("d")).contains("rename it"));
        assert!(matches!(obstacle("z"), Obstacle::Unfit(_)));
        for name in ["a", "b", "c", "d", "z"] {
            assert_eq!(look(name).all, look(name).all, "{name}");
        }
        let before = look("d").all;
        fs::remove_file(root.join("watch/d/back\\slash")).unwrap();
        assert_ne!(look("d").all, before);
        assert!(look_at(&root.join("watch/e"), 0).0.content.is_err());
    }

    #[test]
    fn a_folder_that_was_emptied_is_told_from_another_that_is_empty() {
        let (_around, root) = folder(&["a"]);
        let watch = root.join("watch");
        let noted = [watch.join("a")];
        let (home, _) = look_into(&watch, &noted, None, &bounds(&root, 9)).unwrap();
        fs::remove_file(watch.join("a")).unwrap();
        let emptied = look_into(&watch, &noted, Some(home), &bounds(&root, 9)).unwrap();
        assert_eq!(emptied.1.len(), 1);
        let another = Identity {
            inode: home.inode + 1,
            ..home
        };
        for known in [None, Some(another)] {
            let refusal = look_into(&watch, &noted, known, &bounds(&root, 9));
            assert!(
                matches!(refusal, Err(FolderError::Bare { missing: 1, .. })),
                "{refusal:?}"
            );
        }
        assert!(look_into(&watch, &[], None, &bounds(&root, 9)).is_ok());
    }
}

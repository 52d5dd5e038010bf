//! Which files become a torrent: a file, or a folder walked by rules, in an order that is the same on every machine.
//!
//! The order is that of the raw bytes of each path component, folders among files by their names: what BEP 52 wants of a
//! file tree, for v1 too. Memory is bounded by [`SelectionOptions::max_files`], whatever a folder holds.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, DirEntry, FileType, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::globs::{Globs, PatternError, Patterns};
use super::hashing::SourceFile;
use crate::proto::metainfo::info::Layout;
use crate::proto::metainfo::path::{
    FilePath, MAX_DEPTH, PathError, check_component, check_distinct,
};

/// The rules by which files are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectionOptions {
    /// The torrent's name; else it is that of the file or folder.
    pub name: Option<String>,
    /// What to include and exclude by pattern.
    pub patterns: Patterns,
    /// Files and folders whose name begins with a dot.
    pub hidden: Hidden,
    /// Symbolic links inside the folder. The path that is named itself is always followed.
    pub symlinks: Symlinks,
    /// Files to take, at most, and folders to enter.
    pub max_files: usize,
    /// A file that is never part of it: the torrent file that is about to be written, which may lie in the folder.
    pub output: Option<PathBuf>,
}

/// What becomes of files and folders whose name begins with a dot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hidden {
    /// They are left out.
    #[default]
    LeaveOut,
    /// They are like others.
    Take,
}

/// What becomes of symbolic links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Symlinks {
    /// They are left out.
    #[default]
    LeaveOut,
    /// The file or folder that they lead to is taken in their place.
    Follow,
}

/// The files of a torrent to be, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The name of the torrent: that of the file or folder, where no other is wanted.
    pub name: String,
    /// Whether it is one or the other.
    pub layout: Layout,
    /// The files, in the order in which they are hashed.
    pub files: Vec<SourceFile>,
    /// What was passed over.
    pub left_out: LeftOut,
}

/// How many files and folders were passed over, by reason. A folder counts once, whatever is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    /// By a pattern to exclude, or in a file of patterns.
    pub excluded: u64,
    /// Files that match none of the patterns to include.
    pub not_included: u64,
    /// For a dot at the beginning of the name.
    pub hidden: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Sockets, pipes and devices.
    pub special: u64,
}

/// Why no torrent can be made of a path.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// A pattern cannot be used.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// A file or folder cannot be looked at.
    #[error("{path} cannot be read", path = .path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The path itself is a socket, a pipe or a device.
    #[error("{path} is neither a file nor a folder", path = .path.display())]
    Special {
        /// The path.
        path: PathBuf,
    },
    /// The path has no name, as `/` has none, and no other was given.
    #[error("{path} has no name that the torrent could take over; give it one", path = .path.display())]
    NoName {
        /// The path.
        path: PathBuf,
    },
    /// A name is not UTF-8, which torrents are written in.
    #[error("the name {path:?} is not UTF-8, as names in a torrent are; rename it, or exclude it")]
    NotUtf8 {
        /// The file or folder.
        path: PathBuf,
    },
    /// A name is not safe everywhere, or two get in each other's way.
    #[error("{path} cannot be named in a torrent; rename it, or exclude it", path = .path.display())]
    Name {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: PathError,
    },
    /// A symbolic link that is to be followed leads to nothing.
    #[error("the symbolic link {path} leads to nothing; exclude it", path = .path.display())]
    BrokenLink {
        /// The link.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A symbolic link that is to be followed leads back to a folder that it lies in.
    #[error("a symbolic link leads back to a folder that it lies in, at {path}; exclude it", path = .path.display())]
    Loop {
        /// Where the walk came to the folder again.
        path: PathBuf,
    },
    /// Over [`SelectionOptions::max_files`].
    #[error("{path} holds more than {limit} files or folders, which is the limit", path = .path.display())]
    TooManyFiles {
        /// The folder.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// Nothing is left to make a torrent of.
    #[error("there are no files to take in {path}{left_out}", path = .path.display(), left_out = explain(left_out))]
    NoFiles {
        /// The folder.
        path: PathBuf,
        /// What was passed over.
        left_out: LeftOut,
    },
}

impl Selection {
    /// Finds the files of `path`: itself, or what is in it by the rules.
    ///
    /// # Errors
    /// [`SelectionError`], which names the file or folder.
    pub fn of(path: &Path, options: &SelectionOptions) -> Result<Self, SelectionError> {
        let globs = Globs::new(&options.patterns)?;
        let metadata = fs::metadata(path).map_err(unreadable(path))?;
        let name = match &options.name {
            Some(name) => name.clone(),
            None => name_of(path)?,
        };
        check_component(&name).map_err(name_error(path))?;
        if metadata.is_file() {
            return Self::of_file(path, name, &metadata);
        }
        if !metadata.is_dir() {
            return Err(SelectionError::Special {
                path: path.to_owned(),
            });
        }
        let mut walk = Walk {
            root: path,
            globs,
            options,
            output: options.output.as_deref().and_then(identity_at),
            around: vec![identity(&metadata)],
            folders: 0,
            files: Vec::new(),
            left_out: LeftOut::default(),
        };
        walk.enter(path, &mut Vec::new())?;
        let Walk {
            mut files,
            left_out,
            ..
        } = walk;
        if files.is_empty() {
            let path = path.to_owned();
            return Err(SelectionError::NoFiles { path, left_out });
        }
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        check_distinct(files.iter().map(|file| &file.path)).map_err(name_error(path))?;
        Ok(Self {
            name,
            layout: Layout::Folder,
            files,
            left_out,
        })
    }

    fn of_file(path: &Path, name: String, metadata: &Metadata) -> Result<Self, SelectionError> {
        let in_torrent = FilePath::from_components([&name]).map_err(name_error(path))?;
        Ok(Self {
            name,
            layout: Layout::SingleFile,
            files: vec![SourceFile {
                disk: path.to_owned(),
                path: in_torrent,
                length: metadata.len(),
            }],
            left_out: LeftOut::default(),
        })
    }

    /// The lengths of the files, in order.
    pub fn lengths(&self) -> Vec<u64> {
        self.files.iter().map(|file| file.length).collect()
    }

    /// Bytes in all files together.
    pub fn total_length(&self) -> u64 {
        let lengths = self.files.iter().map(|file| file.length);
        lengths.fold(0, u64::saturating_add)
    }
}

impl LeftOut {
    /// Whether nothing was passed over.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.excluded, "excluded", "excluded"),
            (self.not_included, "not included", "not included"),
            (self.hidden, "hidden", "hidden"),
            (self.symlinks, "symbolic link", "symbolic links"),
            (
                self.special,
                "socket, pipe or device",
                "sockets, pipes or devices",
            ),
        ];
        let words = counts.into_iter().filter(|(count, ..)| *count > 0);
        let words: Vec<String> = words
            .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
            .collect();
        f.write_str(&words.join(", "))
    }
}

/// A folder being walked. It recurses: a path has at most [`MAX_DEPTH`] components.
struct Walk<'a> {
    root: &'a Path,
    globs: Globs,
    options: &'a SelectionOptions,
    /// The file that is never taken, if it is there.
    output: Option<Identity>,
    /// The folders around the current place, from the root on.
    around: Vec<Identity>,
    folders: usize,
    files: Vec<SourceFile>,
    left_out: LeftOut,
}

/// What tells a file or folder from every other: device and inode.
type Identity = (u64, u64);

impl Walk<'_> {
    fn enter(&mut self, folder: &Path, names: &mut Vec<String>) -> Result<(), SelectionError> {
        self.folders = self.folders.saturating_add(1);
        self.check_room(self.folders)?;
        for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
            let entry = entry.map_err(unreadable(folder))?;
            self.visit(&entry, names)?;
        }
        Ok(())
    }

    fn visit(&mut self, entry: &DirEntry, names: &mut Vec<String>) -> Result<(), SelectionError> {
        let disk = entry.path();
        let own_type = entry.file_type().map_err(unreadable(&disk))?;
        if !self.is_wanted(entry, &disk, own_type) {
            return Ok(());
        }
        let metadata = look(entry, &disk, own_type)?;
        if metadata.is_file() {
            return self.take(entry, disk, &metadata, names);
        }
        if !metadata.is_dir() {
            self.left_out.special += 1;
            return Ok(());
        }
        // The link may lead to a folder whose pattern was not asked about yet.
        if own_type.is_symlink() && self.globs.exclude(self.relative(&disk), true) {
            self.left_out.excluded += 1;
            return Ok(());
        }
        if self.around.contains(&identity(&metadata)) {
            return Err(SelectionError::Loop { path: disk });
        }
        names.push(component(entry)?);
        if names.len() >= MAX_DEPTH {
            return Err(name_error(&disk)(PathError::TooDeep { limit: MAX_DEPTH }));
        }
        self.around.push(identity(&metadata));
        self.enter(&disk, names)?;
        self.around.pop();
        names.pop();
        Ok(())
    }

    /// Whether the rules let an entry through; it is counted where they do not.
    fn is_wanted(&mut self, entry: &DirEntry, disk: &Path, own_type: FileType) -> bool {
        let count = if self.globs.exclude(self.relative(disk), own_type.is_dir()) {
            &mut self.left_out.excluded
        } else if self.options.hidden == Hidden::LeaveOut && is_hidden(entry) {
            &mut self.left_out.hidden
        } else if self.options.symlinks == Symlinks::LeaveOut && own_type.is_symlink() {
            &mut self.left_out.symlinks
        } else {
            return true;
        };
        *count += 1;
        false
    }

    fn take(
        &mut self,
        entry: &DirEntry,
        disk: PathBuf,
        metadata: &Metadata,
        names: &[String],
    ) -> Result<(), SelectionError> {
        if self.output == Some(identity(metadata)) {
            return Ok(());
        }
        if !self.globs.include(self.relative(&disk)) {
            self.left_out.not_included += 1;
            return Ok(());
        }
        self.check_room(self.files.len().saturating_add(1))?;
        let name = component(entry)?;
        let names = names.iter().chain([&name]);
        let path = FilePath::from_components(names).map_err(name_error(&disk))?;
        self.files.push(SourceFile {
            disk,
            path,
            length: metadata.len(),
        });
        Ok(())
    }

    fn check_room(&self, wanted: usize) -> Result<(), SelectionError> {
        let limit = self.options.max_files;
        if wanted <= limit {
            return Ok(());
        }
        Err(SelectionError::TooManyFiles {
            path: self.root.to_owned(),
            limit,
        })
    }

    fn relative<'p>(&self, disk: &'p Path) -> &'p Path {
        disk.strip_prefix(self.root).unwrap_or(disk)
    }
}

/// The name of the file or folder at `path`, though it be written as `.` or `x/..`: what a torrent of it is called.
///
/// # Errors
/// [`SelectionError`] where it has none, or the name is not UTF-8.
pub fn name_of(path: &Path) -> Result<String, SelectionError> {
    let named = if path.file_name().is_some() {
        path.to_owned()
    } else {
        path.canonicalize().map_err(unreadable(path))?
    };
    let path = path.to_owned();
    match named.file_name().map(OsStr::to_str) {
        Some(Some(name)) => Ok(name.to_owned()),
        Some(None) => Err(SelectionError::NotUtf8 { path }),
        None => Err(SelectionError::NoName { path }),
    }
}

/// What an entry is, or what the link leads to.
fn look(entry: &DirEntry, disk: &Path, own_type: FileType) -> Result<Metadata, SelectionError> {
    if !own_type.is_symlink() {
        return entry.metadata().map_err(unreadable(disk));
    }
    fs::metadata(disk).map_err(|source| {
        let path = disk.to_owned();
        match source.raw_os_error() {
            Some(errno) if errno == rustix::io::Errno::LOOP.raw_os_error() => {
                SelectionError::Loop { path }
            }
            _ => SelectionError::BrokenLink { path, source },
        }
    })
}

fn component(entry: &DirEntry) -> Result<String, SelectionError> {
    let name = entry.file_name().into_string();
    name.map_err(|_| SelectionError::NotUtf8 { path: entry.path() })
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

fn identity_at(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().as_ref().map(identity)
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> SelectionError {
    let path = path.to_owned();
    |source| SelectionError::Unreadable { path, source }
}

fn name_error(path: &Path) -> impl FnOnce(PathError) -> SelectionError {
    let path = path.to_owned();
    |source| SelectionError::Name { path, source }
}

fn explain(left_out: &LeftOut) -> String {
    if left_out.is_nothing() {
        String::new()
    } else {
        format!("; left out: {left_out}")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    fn options() -> SelectionOptions {
        SelectionOptions {
            name: None,
            patterns: Patterns::default(),
            hidden: Hidden::LeaveOut,
            symlinks: Symlinks::LeaveOut,
            max_files: 100,
            output: None,
        }
    }

    fn following() -> SelectionOptions {
        SelectionOptions {
            symlinks: Symlinks::Follow,
            ..options()
        }
    }

    /// A folder named `content` with these files, each of which holds its own path.
    fn folder(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().join("content");
        fs::create_dir(&root).unwrap();
        for file in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        (around, root)
    }

    fn paths(selection: &Selection) -> Vec<String> {
        let paths = selection.files.iter().map(|file| file.path.to_string());
        paths.collect()
    }

    #[test]
    fn files_come_in_the_order_of_the_bytes_of_their_components() {
        let (_around, root) = folder(&["b", "a/z", "a/b/c", "a!", "a.b/x", "C", "\u{e9}", "f"]);
        let selection = Selection::of(&root, &options()).unwrap();
        assert_eq!(
            (&*selection.name, selection.layout),
            ("content", Layout::Folder)
        );
        // The folder `a` before `a!` and `a.b`: its name is the shorter, and no slash is compared.
        let expected = ["C", "a/b/c", "a/z", "a!", "a.b/x", "b", "f", "\u{e9}"];
        assert_eq!(paths(&selection), expected);
        assert_eq!(selection.total_length(), expected.concat().len() as u64);
        for file in &selection.files {
            assert_eq!(
                fs::read_to_string(&file.disk).unwrap(),
                file.path.to_string()
            );
        }
    }

    #[test]
    fn a_file_is_taken_whatever_the_rules_say() {
        let (_around, root) = folder(&[".hidden"]);
        let mut options = options();
        options.patterns.exclude = vec!["*".to_owned()];
        let selection = Selection::of(&root.join(".hidden"), &options).unwrap();
        assert_eq!(
            (&*selection.name, selection.layout),
            (".hidden", Layout::SingleFile)
        );
        assert_eq!(paths(&selection), [".hidden"]);
    }

    #[test]
    fn a_torrent_may_have_another_name_than_its_folder() {
        let (_around, root) = folder(&["a"]);
        let named = |name: &str| SelectionOptions {
            name: Some(name.to_owned()),
            ..options()
        };
        let selection = Selection::of(&root, &named("other")).unwrap();
        assert_eq!(selection.name, "other");
        let error = Selection::of(&root, &named("a/b")).unwrap_err();
        assert!(matches!(error, SelectionError::Name { .. }), "{error}");
        let error = Selection::of(Path::new("/"), &options()).unwrap_err();
        assert!(matches!(error, SelectionError::NoName { .. }), "{error}");
        let dotted = root.join("..").join("content").join(".");
        assert_eq!(Selection::of(&dotted, &options()).unwrap().name, "content");
    }

    #[test]
    fn what_is_passed_over_is_counted() {
        let (_around, root) = folder(&[
            "a.iso",
            "b.txt",
            "c.tmp",
            ".git/x",
            ".git/y",
            "x/.hidden",
            "d/c.tmp",
        ]);
        symlink("a.iso", root.join("link")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        let mut options = options();
        options.patterns.include = vec!["*.iso".to_owned()];
        options.patterns.exclude = vec!["*.tmp".to_owned()];
        let selection = Selection::of(&root, &options).unwrap();
        assert_eq!(paths(&selection), ["a.iso"]);
        let left_out = LeftOut {
            excluded: 2,
            not_included: 1,
            hidden: 2,
            symlinks: 1,
            special: 1,
        };
        assert_eq!(selection.left_out, left_out);
        assert_eq!(
            left_out.to_string(),
            "2 excluded, 1 not included, 2 hidden, 1 symbolic link, 1 socket, pipe or device"
        );
        options.hidden = Hidden::Take;
        options.patterns.include = Vec::new();
        let selection = Selection::of(&root, &options).unwrap();
        assert_eq!(
            paths(&selection),
            [".git/x", ".git/y", "a.iso", "b.txt", "x/.hidden"]
        );
    }

    #[test]
    fn a_folder_of_nothing_to_take_says_why() {
        let (_around, root) = folder(&[".hidden"]);
        let error = Selection::of(&root, &options()).unwrap_err().to_string();
        assert!(error.ends_with("; left out: 1 hidden"), "{error}");
    }

    #[test]
    fn the_torrent_file_itself_is_no_part_of_what_it_describes() {
        let (_around, root) = folder(&["a", "content.torrent"]);
        let options = SelectionOptions {
            output: Some(root.join("content.torrent")),
            ..options()
        };
        assert_eq!(paths(&Selection::of(&root, &options).unwrap()), ["a"]);
    }

    #[test]
    fn links_are_followed_where_that_is_wanted() {
        let (around, root) = folder(&["a", "sub/b"]);
        fs::write(around.path().join("outside"), "12345").unwrap();
        symlink("../outside", root.join("file")).unwrap();
        symlink("sub", root.join("folder")).unwrap();
        let selection = Selection::of(&root, &following()).unwrap();
        assert_eq!(paths(&selection), ["a", "file", "folder/b", "sub/b"]);
        assert_eq!(selection.files[1].length, 5);
    }

    #[test]
    fn a_link_that_leads_back_or_nowhere_is_named() {
        for (target, is_loop) in [
            ("..", true),
            ("../..", true),
            (".", true),
            ("link", true),
            ("absent", false),
        ] {
            let (_around, root) = folder(&["a", "sub/b"]);
            symlink(target, root.join("sub/link")).unwrap();
            let error = Selection::of(&root, &following());
            let error = error.unwrap_err();
            assert!(error.to_string().contains("/link"), "{error}");
            assert_eq!(
                matches!(error, SelectionError::Loop { .. }),
                is_loop,
                "{target}"
            );
            assert_eq!(
                paths(&Selection::of(&root, &options()).unwrap()),
                ["a", "sub/b"]
            );
        }
    }

    #[test]
    fn names_that_no_torrent_holds_are_refused_unless_they_are_excluded() {
        for name in [&b"caf\xe9"[..], b"back\\slash", b"NUL", b"a\nb"] {
            let (_around, root) = folder(&["a"]);
            fs::write(root.join(OsStr::from_bytes(name)), "x").unwrap();
            let error = Selection::of(&root, &options()).unwrap_err();
            assert!(
                matches!(
                    error,
                    SelectionError::NotUtf8 { .. } | SelectionError::Name { .. }
                ),
                "{error}"
            );
            let mut options = options();
            options.patterns.include = vec!["a".to_owned()];
            assert_eq!(paths(&Selection::of(&root, &options).unwrap()), ["a"]);
        }
        let (_around, root) = folder(&["Readme", "README"]);
        let error = Selection::of(&root, &options()).unwrap_err();
        assert!(matches!(error, SelectionError::Name { .. }), "{error}");
    }

    #[test]
    fn folders_deeper_than_a_torrent_holds_are_refused() {
        let deep = vec!["x"; MAX_DEPTH].join("/");
        let (_around, root) = folder(&[&deep]);
        assert_eq!(paths(&Selection::of(&root, &options()).unwrap()), [&*deep]);
        let (_around, root) = folder(&[&format!("{deep}/x")]);
        let error = Selection::of(&root, &options()).unwrap_err();
        assert!(matches!(error, SelectionError::Name { .. }), "{error}");
    }

    #[test]
    fn files_and_folders_over_the_limit_are_refused() {
        let names: Vec<String> = (0..6).map(|number| format!("{number}/x")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let at_most = |max_files| SelectionOptions {
            max_files,
            ..options()
        };
        let (_around, root) = folder(&names);
        assert!(
            Selection::of(&root, &at_most(7)).is_ok(),
            "six folders and the root"
        );
        for limit in [5, 6] {
            let error = Selection::of(&root, &at_most(limit)).unwrap_err();
            assert!(
                matches!(error, SelectionError::TooManyFiles { .. }),
                "{error}"
            );
        }
    }
}

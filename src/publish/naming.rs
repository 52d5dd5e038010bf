//! What a torrent is called, and what its files are called in it, from the names that an upload came with.

use crate::proto::metainfo::info::{Info, Layout};
use crate::proto::metainfo::path::{
    FilePath, MAX_COMPONENT_LENGTH, PathError, check_component, check_distinct,
};

/// The names of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// The torrent's own: that of the only file, or of the folder.
    pub(super) name: String,
    pub(super) layout: Layout,
    /// The files in the order of the upload, without the folder that `name` is.
    pub(super) paths: Vec<FilePath>,
}

impl Names {
    /// Those that a torrent has already.
    pub(super) fn of(info: &Info) -> Self {
        let files = info.files.content();
        Self {
            name: info.name.clone(),
            layout: info.layout,
            paths: files.map(|(_, file)| file.path.clone()).collect(),
        }
    }
}

/// Names a torrent of the files at `paths`, of which there is at least one.
///
/// A folder around all files gives its name. A file alone gives its own. Files side by side get a folder named by the
/// title, or else by the first of them.
pub(super) fn name_torrent(paths: Vec<FilePath>, title: &str) -> Result<Names, PathError> {
    check_distinct(&paths)?;
    if let [only] = paths.as_slice()
        && only.is_bare()
    {
        return Ok(Names {
            name: only.file_name().to_owned(),
            layout: Layout::SingleFile,
            paths,
        });
    }
    let (name, paths) = match strip_common_folder(&paths) {
        Some((folder, stripped)) => (folder, stripped),
        None => (folder_name(title, &paths), paths),
    };
    Ok(Names {
        name,
        layout: Layout::Folder,
        paths,
    })
}

fn strip_common_folder(paths: &[FilePath]) -> Option<(String, Vec<FilePath>)> {
    let (folder, _) = paths.first()?.split_first()?;
    let stripped = paths.iter().map(|path| {
        let (first, rest) = path.split_first()?;
        (first == folder).then_some(rest)
    });
    Some((folder.to_owned(), stripped.collect::<Option<_>>()?))
}

fn folder_name(title: &str, paths: &[FilePath]) -> String {
    let first = paths.first().map_or("", FilePath::file_name);
    let stem = first.rsplit_once('.').map_or(first, |(stem, _)| stem);
    [title, stem]
        .into_iter()
        .find_map(safe_component)
        .unwrap_or_else(|| "files".to_owned())
}

/// A text made fit for a folder's name; `None` where nothing fit is left of it.
fn safe_component(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.trim().chars() {
        let c = match c {
            '/' | '\\' | ':' => '-',
            c if c.is_control() => ' ',
            c => c,
        };
        if name.len().saturating_add(c.len_utf8()) > MAX_COMPONENT_LENGTH {
            break;
        }
        name.push(c);
    }
    // Windows drops dots and spaces at the end of a name, and then does not find it again.
    let name = name.trim_end_matches(['.', ' ']);
    check_component(name).ok().map(|()| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(paths: &[&str], title: &str) -> (String, Layout, Vec<String>) {
        let paths = paths.iter().map(|path| FilePath::parse(path).unwrap());
        let names = name_torrent(paths.collect(), title).unwrap();
        let paths = names.paths.iter().map(ToString::to_string).collect();
        (names.name, names.layout, paths)
    }

    #[test]
    fn a_file_alone_is_the_torrent() {
        assert_eq!(
            names(&["debian.iso"], "Debian"),
            (
                "debian.iso".to_owned(),
                Layout::SingleFile,
                vec!["debian.iso".to_owned()]
            )
        );
    }

    #[test]
    fn a_folder_around_all_files_is_the_torrent() {
        for (paths, stripped) in [
            (&["a/x", "a/b/y"][..], &["x", "b/y"][..]),
            (&["a/x"], &["x"]),
            (&["a/b/x", "a/b/y"], &["b/x", "b/y"]),
        ] {
            let (name, layout, paths) = names(paths, "Title");
            assert_eq!((name.as_str(), layout), ("a", Layout::Folder));
            assert_eq!(paths, stripped);
        }
    }

    #[test]
    fn files_side_by_side_get_a_folder() {
        for (paths, title, expected) in [
            (&["x.txt", "y"][..], "My / title: 1", "My - title- 1"),
            (&["x.tar.gz", "y"], "", "x.tar"),
            (&["a/x.txt", "b/y"], "  ", "x"),
            (&["a/x", "b"], "NUL", "x"),
            (&["..a", "b"], "..", "files"),
            (&["x", "y"], "ends in dots. . ", "ends in dots"),
            (&["x", "y"], "two\nlines", "two lines"),
        ] {
            let (name, layout, kept) = names(paths, title);
            assert_eq!((name.as_str(), layout), (expected, Layout::Folder));
            assert_eq!(kept, paths);
        }
    }

    #[test]
    fn a_long_title_is_cut_between_characters() {
        let (name, ..) = names(&["x", "y"], &"é".repeat(200));
        assert_eq!(name, "é".repeat(127));
    }

    #[test]
    fn refuses_names_that_get_in_each_others_way() {
        for paths in [["Readme", "README"], ["a", "a/b"]] {
            let paths = paths.iter().map(|path| FilePath::parse(path).unwrap());
            assert!(name_torrent(paths.collect(), "").is_err());
        }
    }
}

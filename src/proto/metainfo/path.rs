//! Names of files in a torrent or an upload: which are safe, and which get in each other's way.
//!
//! A name comes from a stranger and ends on somebody's disk. So every component is checked here, once, and a
//! [`FilePath`] is the proof that it was.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// Bytes in one component, at most: what common file systems hold.
pub const MAX_COMPONENT_LENGTH: usize = 255;

/// Bytes in a whole path, separators included, at most.
pub const MAX_PATH_LENGTH: usize = 4096;

/// Components in a path, at most. In v2 each is a level of bencode, of which the scanner lets 64 through.
pub const MAX_DEPTH: usize = 48;

/// Names that mean a device, not a file, on Windows, whatever their extension and case.
const RESERVED: [&str; 22] = [
    "CON", "PRN", "AUX", "NUL", "COM1", "COM2", "COM3", "COM4", "COM5", "COM6", "COM7", "COM8",
    "COM9", "LPT1", "LPT2", "LPT3", "LPT4", "LPT5", "LPT6", "LPT7", "LPT8", "LPT9",
];

/// A relative path of one or more safe components. Displays with `/` between them. Unicode is kept as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilePath(Vec<String>);

/// Why a name is not safe to use. Each message says what the name may not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// There is no name at all, or nothing between two slashes.
    #[error("a file name is empty")]
    Empty,
    /// `.` or `..`, which would leave the folder.
    #[error("the name {0:?} would lead out of its folder")]
    Dots(String),
    /// A slash, backslash, NUL or other control character inside a component.
    #[error("the name {0:?} has a slash, a backslash or a control character in it")]
    ForbiddenCharacter(String),
    /// A drive letter, an absolute path or a device name.
    #[error("the name {0:?} is absolute, or means a device on some systems")]
    Reserved(String),
    /// A component over [`MAX_COMPONENT_LENGTH`] or a path over [`MAX_PATH_LENGTH`].
    #[error("a name of {length} bytes where {limit} are allowed")]
    TooLong {
        /// Bytes in the name.
        length: usize,
        /// Bytes that are allowed.
        limit: usize,
    },
    /// A path of more than [`MAX_DEPTH`] components.
    #[error("a path of more than {limit} folders")]
    TooDeep {
        /// Components that are allowed.
        limit: usize,
    },
    /// Two files whose names differ only by case or Unicode normal form: many systems hold only one of them.
    #[error("{first} and {second} are the same name on many systems")]
    Collision {
        /// The one that came first.
        first: FilePath,
        /// The one that came later.
        second: FilePath,
    },
    /// One path is a file, and another wants it as a folder.
    #[error("{file} is a file, and a folder of the same name is needed for {other}")]
    FileIsFolder {
        /// The file.
        file: FilePath,
        /// The path below it.
        other: FilePath,
    },
}

impl FilePath {
    /// Checks every component of a path that came as a list (a torrent's `path`).
    ///
    /// # Errors
    /// [`PathError`], but for the two variants that concern several files.
    pub fn from_components<S: Into<String>>(
        components: impl IntoIterator<Item = S>,
    ) -> Result<Self, PathError> {
        let components: Vec<String> = components
            .into_iter()
            .take(MAX_DEPTH.saturating_add(1))
            .map(Into::into)
            .collect();
        if components.is_empty() {
            return Err(PathError::Empty);
        }
        if components.len() > MAX_DEPTH {
            return Err(PathError::TooDeep { limit: MAX_DEPTH });
        }
        components
            .iter()
            .try_for_each(|component| check_component(component))?;
        let separators = components.len().saturating_sub(1);
        let length = components
            .iter()
            .map(String::len)
            .fold(separators, usize::saturating_add);
        if length > MAX_PATH_LENGTH {
            return Err(PathError::TooLong {
                length,
                limit: MAX_PATH_LENGTH,
            });
        }
        Ok(Self(components))
    }

    /// Checks a path written with `/` between its components (an upload's file name).
    ///
    /// # Errors
    /// [`PathError`], but for the two variants that concern several files.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        if path.starts_with('/') {
            return Err(PathError::Reserved(path.to_owned()));
        }
        Self::from_components(path.split('/'))
    }

    /// The components from the outermost folder to the file's own name. Never empty.
    pub fn components(&self) -> &[String] {
        &self.0
    }

    /// The last component: the file's own name.
    pub fn file_name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// The path without its outermost folder, and that folder's name; `None` where there is no folder.
    pub fn split_first(&self) -> Option<(&str, Self)> {
        match self.0.as_slice() {
            [first, rest @ ..] if !rest.is_empty() => Some((first, Self(rest.to_vec()))),
            _ => None,
        }
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// Checks one component by itself: a torrent's `name`, or one step of a path.
///
/// # Errors
/// [`PathError`], but for the two variants that concern several files.
pub fn check_component(name: &str) -> Result<(), PathError> {
    if name.is_empty() {
        return Err(PathError::Empty);
    }
    if name.len() > MAX_COMPONENT_LENGTH {
        return Err(PathError::TooLong {
            length: name.len(),
            limit: MAX_COMPONENT_LENGTH,
        });
    }
    if name == "." || name == ".." {
        return Err(PathError::Dots(name.to_owned()));
    }
    if name
        .chars()
        .any(|c| matches!(c, '/' | '\\') || c.is_control())
    {
        return Err(PathError::ForbiddenCharacter(name.to_owned()));
    }
    if has_drive_letter(name) || is_device(name) {
        return Err(PathError::Reserved(name.to_owned()));
    }
    Ok(())
}

/// Checks that no two paths are one file on systems that fold case or normal form, and that no file is also a folder.
///
/// # Errors
/// [`PathError::Collision`] or [`PathError::FileIsFolder`], naming both paths.
pub fn check_distinct<'a>(paths: impl IntoIterator<Item = &'a FilePath>) -> Result<(), PathError> {
    // A separator that sorts before all that a name may hold: then what lies in a folder stands right behind a file of
    // the folder's name, and one look at neighbours finds every conflict.
    let mut folded: Vec<(String, &FilePath)> = paths
        .into_iter()
        .map(|path| (fold(&path.components().join("\0")), path))
        .collect();
    folded.sort_by(|(a, _), (b, _)| a.cmp(b));
    for pair in folded.windows(2) {
        let [(file, first), (other, second)] = pair else {
            continue;
        };
        match other.strip_prefix(file) {
            Some("") => {
                return Err(PathError::Collision {
                    first: (*first).clone(),
                    second: (*second).clone(),
                });
            }
            Some(below) if below.starts_with('\0') => {
                return Err(PathError::FileIsFolder {
                    file: (*first).clone(),
                    other: (*second).clone(),
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// What case-folding, normalising file systems take for the same name.
fn fold(name: &str) -> String {
    name.nfc().flat_map(char::to_lowercase).nfc().collect()
}

fn has_drive_letter(name: &str) -> bool {
    matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    RESERVED
        .iter()
        .any(|device| device.eq_ignore_ascii_case(stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<FilePath> {
        names
            .iter()
            .map(|name| FilePath::parse(name).unwrap())
            .collect()
    }

    #[test]
    fn keeps_unicode_and_spaces() {
        for name in [
            "Übergröße.txt",
            "日本語/ファイル 1.bin",
            "naïve café",
            "-rf",
            "ab:c",
            "\u{202e}txt.exe",
            ".hidden",
        ] {
            assert_eq!(FilePath::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn refuses_what_leads_out_of_the_folder() {
        for name in ["..", ".", "a/../b", "a/./b", "../a"] {
            assert!(
                matches!(FilePath::parse(name), Err(PathError::Dots(_))),
                "{name}"
            );
        }
        for name in ["/etc/passwd", "C:", "c:evil", "C:/x"] {
            assert!(
                matches!(FilePath::parse(name), Err(PathError::Reserved(_))),
                "{name}"
            );
        }
    }

    #[test]
    fn refuses_empty_names_and_control_characters() {
        for name in ["", "a//b", "a/"] {
            assert_eq!(FilePath::parse(name), Err(PathError::Empty), "{name}");
        }
        for name in ["a\0b", "a\nb", "a\\b", "\u{7f}", "a\u{85}b"] {
            assert!(
                matches!(FilePath::parse(name), Err(PathError::ForbiddenCharacter(_))),
                "{name:?}"
            );
        }
    }

    #[test]
    fn refuses_device_names_whatever_their_case_and_extension() {
        for name in ["NUL", "con.txt", "folder/Lpt1", "aux .c"] {
            assert!(
                matches!(FilePath::parse(name), Err(PathError::Reserved(_))),
                "{name}"
            );
        }
        assert!(FilePath::parse("console.txt").is_ok());
    }

    #[test]
    fn refuses_names_that_no_disk_holds() {
        assert!(FilePath::parse(&"x".repeat(255)).is_ok());
        assert!(matches!(
            FilePath::parse(&"x".repeat(256)),
            Err(PathError::TooLong { length: 256, .. })
        ));
        assert!(FilePath::parse(&vec!["x"; MAX_DEPTH].join("/")).is_ok());
        assert_eq!(
            FilePath::parse(&vec!["x"; MAX_DEPTH + 1].join("/")),
            Err(PathError::TooDeep { limit: MAX_DEPTH })
        );
        let deep = vec!["x".repeat(200); 21].join("/");
        assert!(matches!(
            FilePath::parse(&deep),
            Err(PathError::TooLong { .. })
        ));
    }

    #[test]
    fn finds_names_that_are_one_file_elsewhere() {
        assert!(check_distinct(&paths(&["a", "b", "c/a", "c/b", "c!", "c !/a"])).is_ok());
        for pair in [
            ["Readme", "README"],
            ["caf\u{e9}", "cafe\u{301}"],
            ["x/A", "X/a"],
        ] {
            assert!(
                matches!(
                    check_distinct(&paths(&pair)),
                    Err(PathError::Collision { .. })
                ),
                "{pair:?}"
            );
        }
    }

    #[test]
    fn finds_a_file_that_is_also_a_folder() {
        for three in [
            ["a", "a!", "a/b"],
            ["a/b", "a b", "A"],
            ["x/y/z", "x/y.z", "x/y"],
        ] {
            assert!(
                matches!(
                    check_distinct(&paths(&three)),
                    Err(PathError::FileIsFolder { .. })
                ),
                "{three:?}"
            );
        }
    }
}

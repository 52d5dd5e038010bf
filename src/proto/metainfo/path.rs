//! Names of files in a torrent or an upload: which are safe, and which get in each other's way.
//!
//! A name comes from a stranger and ends on somebody's disk. So every component is checked here, once, and a
//! [`FilePath`] is the proof that it was.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

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
///
/// Paths compare component by component, as BEP 52 orders a file tree: `a/b` stands before `a!`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilePath(
    /// The components with `/` between them, which none of them holds. A torrent may have hundreds of thousands of these.
    Box<str>,
);

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
    pub fn from_components<S: AsRef<str>>(
        components: impl IntoIterator<Item = S>,
    ) -> Result<Self, PathError> {
        let mut path = String::new();
        let mut depth = 0_usize;
        for component in components {
            let component = component.as_ref();
            depth = depth.saturating_add(1);
            if depth > MAX_DEPTH {
                return Err(PathError::TooDeep { limit: MAX_DEPTH });
            }
            check_component(component)?;
            if depth > 1 {
                path.push('/');
            }
            path.push_str(component);
        }
        if depth == 0 {
            return Err(PathError::Empty);
        }
        if path.len() > MAX_PATH_LENGTH {
            return Err(PathError::TooLong {
                length: path.len(),
                limit: MAX_PATH_LENGTH,
            });
        }
        Ok(Self(path.into_boxed_str()))
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

    /// The path with `/` between its components.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components from the outermost folder to the file's own name. There is always one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.0.split('/')
    }

    /// The last component: the file's own name.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// Whether the path is a name alone, in no folder.
    pub fn is_bare(&self) -> bool {
        !self.0.contains('/')
    }

    /// The path without its outermost folder, and that folder's name; `None` where there is no folder.
    pub fn split_first(&self) -> Option<(&str, Self)> {
        let (first, rest) = self.0.split_once('/')?;
        Some((first, Self(rest.into())))
    }
}

impl Ord for FilePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.components().cmp(other.components())
    }
}

impl PartialOrd for FilePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
pub fn check_distinct<'a, I>(paths: I) -> Result<(), PathError>
where
    I: IntoIterator<Item = &'a FilePath, IntoIter: Clone>,
{
    let paths = paths.into_iter();
    if is_ascending(paths.clone()) {
        return Ok(());
    }
    // The folded paths one behind another, and where each ends: a string for each would weigh more than the paths do.
    let mut folded = String::new();
    let mut places = Vec::new();
    for path in paths {
        let begin = folded.len();
        fold(path, &mut folded);
        places.push((begin..folded.len(), path));
    }
    let text = |range: &Range<usize>| folded.get(range.clone()).unwrap_or_default();
    places.sort_by(|(a, _), (b, _)| text(a).cmp(text(b)));
    for pair in places.windows(2) {
        if let [(file, first), (other, second)] = pair
            && let Some(below) = text(other).strip_prefix(text(file))
        {
            let (first, second) = ((*first).clone(), (*second).clone());
            if below.is_empty() {
                return Err(PathError::Collision { first, second });
            }
            if below.starts_with(FOLDED_SEPARATOR) {
                return Err(PathError::FileIsFolder {
                    file: first,
                    other: second,
                });
            }
        }
    }
    Ok(())
}

/// Whether the paths stand in an order in which neighbours show that they are distinct, as those of most torrents do.
fn is_ascending<'a>(paths: impl Iterator<Item = &'a FilePath>) -> bool {
    let (mut last, mut next) = (String::new(), String::new());
    for path in paths {
        next.clear();
        fold(path, &mut next);
        let is_below = next
            .strip_prefix(&last)
            .is_some_and(|below| below.starts_with(FOLDED_SEPARATOR));
        if next <= last || is_below {
            return false;
        }
        std::mem::swap(&mut last, &mut next);
    }
    true
}

/// Stands between the components of a folded path. It sorts before all that a name may hold: then what lies in a folder
/// stands right behind a file of the folder's name, and one look at neighbours finds every conflict.
const FOLDED_SEPARATOR: char = '\0';

/// Appends what case-folding, normalising file systems take for the same path.
fn fold(path: &FilePath, out: &mut String) {
    let separated = |c| if c == '/' { FOLDED_SEPARATOR } else { c };
    if path.0.is_ascii() {
        out.extend(path.0.chars().map(|c| separated(c.to_ascii_lowercase())));
    } else {
        out.extend(
            path.0
                .nfc()
                .flat_map(char::to_lowercase)
                .nfc()
                .map(separated),
        );
    }
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

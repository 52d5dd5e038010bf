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
        let mut path = Joined::default();
        for component in components {
            path.push(component.as_ref().as_bytes())?;
        }
        // The bytes are those of texts.
        path.check().unwrap_or(Err(PathError::Empty))
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

/// A path that is put together from components, in room that serves the next path too.
#[derive(Debug, Default)]
pub(super) struct Joined {
    path: Vec<u8>,
    depth: usize,
}

impl Joined {
    /// Forgets the path, and keeps the room.
    pub(super) fn clear(&mut self) {
        self.path.clear();
        self.depth = 0;
    }

    pub(super) fn push(&mut self, component: &[u8]) -> Result<(), PathError> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return Err(PathError::TooDeep { limit: MAX_DEPTH });
        }
        check_shape(component)?;
        if self.depth > 1 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(component);
        Ok(())
    }

    /// The path, if it is safe; `None` where it is no UTF-8.
    pub(super) fn check(&self) -> Option<Result<FilePath, PathError>> {
        let path = std::str::from_utf8(&self.path).ok()?;
        Some(self.check_text(path).map(|()| FilePath(path.into())))
    }

    fn check_text(&self, path: &str) -> Result<(), PathError> {
        let separators = self.depth.checked_sub(1).ok_or(PathError::Empty)?;
        if has_forbidden(path, separators) {
            let is_bad = |component: &&str| has_forbidden(component, 0);
            let bad = path.split('/').find(is_bad).unwrap_or(path);
            return Err(PathError::ForbiddenCharacter(bad.to_owned()));
        }
        if path.len() > MAX_PATH_LENGTH {
            return Err(PathError::TooLong {
                length: path.len(),
                limit: MAX_PATH_LENGTH,
            });
        }
        Ok(())
    }
}

/// Checks one component by itself: a torrent's `name`, or one step of a path.
///
/// # Errors
/// [`PathError`], but for the two variants that concern several files.
pub fn check_component(name: &str) -> Result<(), PathError> {
    check_shape(name.as_bytes())?;
    if has_forbidden(name, 0) {
        return Err(PathError::ForbiddenCharacter(name.to_owned()));
    }
    Ok(())
}

/// Whether a control character or a backslash is in a path, or other than so many slashes.
///
/// Every byte is looked at, so that the machine looks at many at once.
fn has_forbidden(path: &str, slashes: usize) -> bool {
    let (mut bad, mut found) = (0_u8, 0_u16);
    for byte in path.bytes() {
        bad |= u8::from(byte.is_ascii_control()) | u8::from(byte == b'\\');
        // No path is long enough for this to begin anew.
        found = found.wrapping_add(u16::from(byte == b'/'));
    }
    bad != 0
        || usize::from(found) != slashes
        || (!path.is_ascii() && path.chars().any(char::is_control))
}

/// All that [`check_component`] checks but the single characters.
fn check_shape(name: &[u8]) -> Result<(), PathError> {
    let text = || String::from_utf8_lossy(name).into_owned();
    if name.len() > MAX_COMPONENT_LENGTH {
        return Err(PathError::TooLong {
            length: name.len(),
            limit: MAX_COMPONENT_LENGTH,
        });
    }
    match name {
        [] => Err(PathError::Empty),
        b"." | b".." => Err(PathError::Dots(text())),
        [letter, b':', ..] if letter.is_ascii_alphabetic() => Err(PathError::Reserved(text())),
        // How every device's name begins.
        [
            b'a' | b'c' | b'l' | b'n' | b'p' | b'A' | b'C' | b'L' | b'N' | b'P',
            ..,
        ] if is_device(name) => Err(PathError::Reserved(text())),
        _ => Ok(()),
    }
}

fn is_device(name: &[u8]) -> bool {
    let stem = name.split(|byte| *byte == b'.').next().unwrap_or(name);
    let stem = stem.trim_ascii_end();
    RESERVED
        .iter()
        .any(|device| device.as_bytes().eq_ignore_ascii_case(stem))
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
    let mut folded = Vec::new();
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
            if below.first() == Some(&FOLDED_SEPARATOR) {
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
fn is_ascending<'a>(mut paths: impl Iterator<Item = &'a FilePath>) -> bool {
    let Some(mut last) = paths.next() else {
        return true;
    };
    paths.all(|path| {
        let is_above = last.0.is_ascii() && path.0.is_ascii() && is_below(&last.0, &path.0);
        last = path;
        is_above
    })
}

/// Whether one ASCII path, folded, sorts before another that does not lie in a folder of its name.
fn is_below(first: &str, second: &str) -> bool {
    let differ = |(a, b): (u8, u8)| (a != b).then_some((a, b));
    match first.bytes().zip(second.bytes()).find_map(differ) {
        Some((a, b)) => fold_byte(a) < fold_byte(b),
        // One begins with the other.
        None => second
            .as_bytes()
            .get(first.len())
            .is_some_and(|next| *next != b'/'),
    }
}

/// Stands between the components of a folded path. It sorts before all that a name may hold: then what lies in a folder
/// stands right behind a file of the folder's name, and one look at neighbours finds every conflict.
const FOLDED_SEPARATOR: u8 = 0;

/// Appends what case-folding, normalising file systems take for the same path.
fn fold(path: &FilePath, out: &mut Vec<u8>) {
    if path.0.is_ascii() {
        out.extend(path.0.bytes().map(fold_byte));
    } else {
        let folded: String = path.0.nfc().flat_map(char::to_lowercase).nfc().collect();
        out.extend(folded.bytes().map(fold_byte));
    }
}

const fn fold_byte(byte: u8) -> u8 {
    match byte {
        b'/' => FOLDED_SEPARATOR,
        other => other.to_ascii_lowercase(),
    }
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
    fn no_order_of_the_paths_hides_a_conflict() {
        let names = ["A", "a!", "a/b", "b", "B/c", "ä", "Ä", "c", "c/d/e", "C/d"];
        let folded = |path: &FilePath| {
            let mut out = Vec::new();
            fold(path, &mut out);
            out
        };
        let lies_in = |folder: &[u8], path: &[u8]| {
            let below = path.strip_prefix(folder);
            below.is_some_and(|below| below.first() == Some(&FOLDED_SEPARATOR))
        };
        for first in names {
            for second in names {
                let pair = paths(&[first, second]);
                let (a, b) = (folded(&pair[0]), folded(&pair[1]));
                let conflicts = a == b || lies_in(&a, &b) || lies_in(&b, &a);
                assert_eq!(
                    check_distinct(&pair).is_err(),
                    conflicts,
                    "{first} {second}"
                );
            }
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

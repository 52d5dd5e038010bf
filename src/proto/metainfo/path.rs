//! Names of files in a torrent or an upload: which are safe, and which get in each other's way.
//!
//! A name comes from a stranger and ends on somebody's disk. So every component is checked here, once, and a
//! [`FilePath`] is the proof that it was.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;

use super::joined::Joined;

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
#[derive(Clone)]
pub struct FilePath {
    /// Holds the components with `/` between them, which none of them holds, and perhaps other paths around them.
    text: Arc<String>,
    /// Where the path begins. It and the length are short, for a torrent may have hundreds of thousands of paths.
    begin: u32,
    length: u32,
}

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
        let place = path.end()?;
        Ok(Self::within(&path.take_text(), place))
    }

    /// A path that was checked, within a text of many.
    pub(super) fn within(text: &Arc<String>, place: Range<usize>) -> Self {
        let short = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            text: Arc::clone(text),
            begin: short(place.start),
            length: short(place.len()),
        }
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
        // u32 fits usize on every platform that has sockets.
        let (begin, length) = (self.begin as usize, self.length as usize);
        let place = begin..begin.saturating_add(length);
        self.text.get(place).unwrap_or_default()
    }

    /// The components from the outermost folder to the file's own name. There is always one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> + Clone {
        self.as_str().split('/')
    }

    /// The last component: the file's own name.
    pub fn file_name(&self) -> &str {
        let path = self.as_str();
        path.rsplit_once('/').map_or(path, |(_, name)| name)
    }

    /// Whether the path is a name alone, in no folder.
    pub fn is_bare(&self) -> bool {
        !self.as_str().contains('/')
    }

    /// The path without its outermost folder, and that folder's name; `None` where there is no folder.
    pub fn split_first(&self) -> Option<(&str, Self)> {
        let (first, rest) = self.as_str().split_once('/')?;
        let length = u32::try_from(rest.len()).ok()?;
        let rest = Self {
            text: Arc::clone(&self.text),
            begin: self
                .begin
                .saturating_add(self.length.saturating_sub(length)),
            length,
        };
        Some((first, rest))
    }
}

impl PartialEq for FilePath {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for FilePath {}

impl Hash for FilePath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
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
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Checks one component by itself: a torrent's `name`, or one step of a path.
///
/// # Errors
/// [`PathError`], but for the two variants that concern several files.
pub fn check_component(name: &str) -> Result<(), PathError> {
    if check_bytes(name.as_bytes())? {
        refuse_controls(name)?;
    }
    Ok(())
}

/// All that [`check_component`] checks but control characters beyond ASCII. Tells whether there is anything beyond ASCII.
pub(super) fn check_bytes(name: &[u8]) -> Result<bool, PathError> {
    check_shape(name)?;
    if is_plain(name) {
        return Ok(false);
    }
    if name.iter().any(|byte| !may_stand_in_name(*byte)) {
        let name = String::from_utf8_lossy(name).into_owned();
        return Err(PathError::ForbiddenCharacter(name));
    }
    Ok(!name.is_ascii())
}

/// Whether a name is of harmless ASCII alone: a large torrent has millions of bytes in names, and nearly all are.
fn is_plain(name: &[u8]) -> bool {
    let (words, _) = name.as_chunks();
    match name.last_chunk() {
        // It looks once more at what the words before it have looked at, and at what they have left.
        Some(last) => words.iter().all(|word| is_plain_word(*word)) && is_plain_word(*last),
        None => name
            .iter()
            .all(|byte| byte.is_ascii() && may_stand_in_name(*byte)),
    }
}

/// The same of eight bytes at once.
fn is_plain_word(bytes: [u8; 8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(bytes);
    let all = |byte: u8| EACH.wrapping_mul(u64::from(byte));
    // If any byte is below the limit, the subtraction sets a high bit that was not set.
    let has_below = |word: u64, limit: u8| word.wrapping_sub(all(limit)) & !word;
    let has = |byte: u8| has_below(word ^ all(byte), 1);
    let odd = word | has_below(word, b' ') | has(b'/') | has(b'\\') | has(0x7f);
    odd & HIGH_BITS == 0
}

const fn may_stand_in_name(byte: u8) -> bool {
    // None of these is a part of a character beyond ASCII.
    !(byte.is_ascii_control() || byte == b'/' || byte == b'\\')
}

/// Refuses a name with control characters beyond ASCII.
pub(super) fn refuse_controls(name: &str) -> Result<(), PathError> {
    if name.contains(char::is_control) {
        return Err(PathError::ForbiddenCharacter(name.to_owned()));
    }
    Ok(())
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
    let Some(first) = paths.next() else {
        return true;
    };
    let mut last = first.as_str();
    last.is_ascii()
        && paths.all(|path| {
            let path = path.as_str();
            let is_above = path.is_ascii() && is_below(last, path);
            last = path;
            is_above
        })
}

/// Whether one ASCII path, folded, sorts before another that does not lie in a folder of its name.
fn is_below(first: &str, second: &str) -> bool {
    let (first, second) = (first.as_bytes(), second.as_bytes());
    let same = same_beginning(first, second);
    match (first.get(same), second.get(same)) {
        (Some(a), Some(b)) => fold_byte(*a) < fold_byte(*b),
        // One begins with the other.
        (None, Some(next)) => *next != b'/',
        (_, None) => false,
    }
}

/// How many bytes two paths begin with that are the same.
fn same_beginning(first: &[u8], second: &[u8]) -> usize {
    /// Bytes that are compared at once.
    const WORD: usize = 8;
    let (words, _) = first.as_chunks::<WORD>();
    let (others, _) = second.as_chunks::<WORD>();
    let same = words.iter().zip(others).take_while(|(a, b)| a == b).count();
    let same = same.saturating_mul(WORD);
    let ends = first.iter().zip(second).skip(same);
    same.saturating_add(ends.take_while(|(a, b)| a == b).count())
}

/// Stands between the components of a folded path. It sorts before all that a name may hold: then what lies in a folder
/// stands right behind a file of the folder's name, and one look at neighbours finds every conflict.
const FOLDED_SEPARATOR: u8 = 0;

/// Appends what case-folding, normalising file systems take for the same path.
fn fold(path: &FilePath, out: &mut Vec<u8>) {
    let path = path.as_str();
    if path.is_ascii() {
        out.extend(path.bytes().map(fold_byte));
    } else {
        let folded: String = path.nfc().flat_map(char::to_lowercase).nfc().collect();
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
    fn finds_a_bad_byte_wherever_it_stands() {
        for length in 1..30 {
            for at in 0..length {
                for byte in 0..=255_u8 {
                    let mut name = vec![b'x'; length];
                    name[at] = byte;
                    let is_bad = byte < b' ' || [b'/', b'\\', 0x7f].contains(&byte);
                    match check_bytes(&name) {
                        Ok(beyond) => assert_eq!((is_bad, beyond), (false, byte > 0x7f)),
                        // A letter and a colon are a drive.
                        Err(PathError::Reserved(_)) => assert_eq!((at, byte), (1, b':')),
                        Err(PathError::Dots(_)) => assert_eq!(name, b"."),
                        Err(error) => {
                            assert!(is_bad && matches!(error, PathError::ForbiddenCharacter(_)));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn names_the_component_that_is_bad_not_the_whole_path() {
        let bad = |name: &str| Err(PathError::ForbiddenCharacter(name.to_owned()));
        for name in ["b/c", "b\\c", "b\u{85}"] {
            assert_eq!(FilePath::from_components(["a", name, "d"]), bad(name));
        }
    }

    #[test]
    fn a_path_without_its_first_folder_is_the_rest() {
        let path = FilePath::parse("ä/b/c").unwrap();
        let (first, rest) = path.split_first().unwrap();
        assert_eq!((first, rest.as_str()), ("ä", "b/c"));
        assert_eq!(rest, FilePath::parse("b/c").unwrap());
        let (second, last) = rest.split_first().unwrap();
        assert_eq!((second, last.as_str()), ("b", "c"));
        assert_eq!(last.split_first(), None);
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
        let names = [
            "A",
            "a!",
            "a/b",
            "b",
            "B/c",
            "ä",
            "Ä",
            "c",
            "c/d/e",
            "C/d",
            "long folder",
            "long folder/a",
            "long folder/b",
            "Long folder!",
            "long foldeR/B",
            "long folder/b/c",
        ];
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

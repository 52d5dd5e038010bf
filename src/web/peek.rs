//! The beginning of a published text, to be read on a page.

use super::content::Whole;
use super::text::shown;
use crate::domain::publication::Publication;
use crate::reader::ReadError;

/// Bytes that are read in one go.
const STRIDE: usize = 64 * 1024;

/// The names of a README, whatever their case, the best first.
const READMES: [&str; 4] = ["readme.md", "readme.markdown", "readme.txt", "readme"];

/// The beginning of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Beginning {
    /// Its words, in which nothing turns the reading direction; `None` where it is no text.
    pub(super) text: Option<String>,
    /// Whether there is more.
    pub(super) is_cut: bool,
}

/// Reads the file at `place` of a publication, `most` bytes of it. They are not counted as downloaded.
pub(super) async fn beginning(
    whole: &Whole,
    place: usize,
    most: u64,
) -> Result<Beginning, ReadError> {
    let file = whole.shelved.publication.files.get(place);
    let length = file.map_or(0, |file| file.length);
    let mut rest = whole.stretch(place, 0..length.min(most)).await?.uncounted();
    let mut bytes = Vec::new();
    while let Some(length) = rest.next(STRIDE) {
        bytes.extend_from_slice(&rest.take(length).await?);
    }
    let is_cut = length > most;
    Ok(Beginning {
        text: to_text(&bytes, is_cut),
        is_cut,
    })
}

/// A text that may be cut in the middle of a letter.
fn to_text(bytes: &[u8], is_cut: bool) -> Option<String> {
    if bytes.contains(&0) {
        return None;
    }
    let text = String::from_utf8_lossy(bytes);
    let text = if is_cut {
        text.trim_end_matches(char::REPLACEMENT_CHARACTER)
    } else {
        &text
    };
    Some(shown(text.trim_start_matches('\u{feff}')))
}

/// The place of a publication's README among its files.
pub(super) fn readme(publication: &Publication) -> Option<usize> {
    let files = publication.files.iter().enumerate();
    let readmes = files.filter_map(|(place, file)| {
        let name = file.path.as_str();
        let rank = READMES
            .iter()
            .position(|readme| name.eq_ignore_ascii_case(readme))?;
        Some((rank, place))
    });
    readmes.min().map(|(_, place)| place)
}

/// Whether a name is that of a text in Markdown.
pub(super) fn is_markdown(name: &str) -> bool {
    let end = name.rsplit_once('.').map_or("", |(_, end)| end);
    ["md", "markdown"]
        .iter()
        .any(|markdown| end.eq_ignore_ascii_case(markdown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::testing::folder;

    #[test]
    fn the_best_readme_of_the_outermost_folder_is_taken() {
        let named = |names: &[&str]| {
            let files: Vec<_> = names.iter().map(|name| (*name, 1)).collect();
            readme(&folder("box", &files))
        };
        assert_eq!(named(&["README", "a", "ReadMe.md"]), Some(2));
        assert_eq!(named(&["a", "sub/README.md", "readme.txt"]), Some(2));
        assert_eq!(named(&["sub/README.md", "xREADME"]), None);
    }

    #[test]
    fn a_text_that_is_cut_ends_with_a_whole_letter() {
        let text = "größe".as_bytes();
        assert_eq!(to_text(&text[..3], true).unwrap(), "gr");
        assert_eq!(to_text(text, true).unwrap(), "größe");
        assert_eq!(to_text(&[0xef, 0xbb, 0xbf, b'a'], false).unwrap(), "a");
        assert_eq!(to_text(&[0xff, b'a'], false).unwrap(), "\u{fffd}a");
        assert_eq!(
            to_text("gpj\u{202e}".as_bytes(), false).unwrap(),
            "gpj[U+202E]"
        );
        assert_eq!(to_text(b"a\0b", false), None);
    }
}

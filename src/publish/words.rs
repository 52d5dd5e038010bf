//! What people are told of a publication, brought into one form and held against the limits.

use super::Options;
use crate::domain::publication::Words;

/// Why words are refused. Each message says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// The title is too long.
    #[error("the title is longer than {limit} characters; shorten it")]
    LongTitle {
        /// `publish.max_title_length`.
        limit: usize,
    },
    /// The description is too long.
    #[error("the description is longer than {limit} bytes; shorten it")]
    LongDescription {
        /// `publish.max_description_bytes`.
        limit: usize,
    },
}

impl Options {
    /// Brings what a person typed into one form, and holds it against the limits.
    pub(super) fn tidy(&self, words: &Words) -> Result<Words, WordsError> {
        let title = words.title.split(|c: char| c.is_control() || c == ' ');
        let title: Vec<&str> = title.filter(|word| !word.is_empty()).collect();
        let title = title.join(" ");
        if title.chars().count() > self.max_title_length {
            let limit = self.max_title_length;
            return Err(WordsError::LongTitle { limit });
        }
        // Forms send line ends as CRLF (RFC 7578).
        let description = words.description.replace("\r\n", "\n");
        let description = description.trim().to_owned();
        if description.len() > self.max_description_bytes {
            let limit = self.max_description_bytes;
            return Err(WordsError::LongDescription { limit });
        }
        Ok(Words { title, description })
    }
}

/// The words of a torrent called `name`: without a title, the name is one.
pub(super) fn name_if_untitled(words: Words, name: &str) -> Words {
    match words.title.as_str() {
        "" => Words {
            title: name.to_owned(),
            ..words
        },
        _ => words,
    }
}

//! What people are told of a publication, brought into one form and held against the limits.

use super::Options;
use super::particulars::ParticularsError;
use crate::domain::licence::{Licence, NotALicence};
use crate::domain::publication::Words;
use crate::domain::tag;

/// Why words are refused. Each message says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    /// The creator's name is too long.
    #[error("the creator's name is longer than {limit} characters; shorten it")]
    LongCreator {
        /// `publish.max_creator_length`.
        limit: usize,
    },
    /// There are too many tags.
    #[error("there are more than {limit} tags; keep those that matter most")]
    ManyTags {
        /// `publish.max_tags`.
        limit: usize,
    },
    /// A tag is too long.
    #[error("a tag is longer than {limit} characters; shorten it, or put commas between tags")]
    LongTag {
        /// `publish.max_tag_length`.
        limit: usize,
    },
    /// The licence has no SPDX identifier's form.
    #[error(transparent)]
    Licence(#[from] NotALicence),
    /// What is said beside is refused.
    #[error(transparent)]
    Particulars(#[from] ParticularsError),
}

impl WordsError {
    /// Whether there is too much of something good.
    pub const fn is_about_size(&self) -> bool {
        match self {
            Self::Licence(_) => false,
            Self::Particulars(error) => error.is_about_size(),
            _ => true,
        }
    }
}

impl Options {
    /// Brings what a person typed of a publication, which is private or not, into one form, and holds it against the limits.
    pub(super) fn tidy(&self, words: &Words, is_private: bool) -> Result<Words, WordsError> {
        let title = in_one_line(&words.title);
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
        let creator = in_one_line(&words.creator);
        if creator.chars().count() > self.max_creator_length {
            let limit = self.max_creator_length;
            return Err(WordsError::LongCreator { limit });
        }
        let licence = match words.licence.trim() {
            "" => String::new(),
            licence => licence.parse::<Licence>()?.to_string(),
        };
        Ok(Words {
            title,
            description,
            creator,
            licence,
            tags: self.tidy_tags(&words.tags)?,
            particulars: self.tidy_particulars(&words.particulars, is_private)?,
        })
    }

    fn tidy_tags(&self, typed: &[String]) -> Result<Vec<String>, WordsError> {
        let mut tags: Vec<String> = Vec::new();
        for tag in typed.iter().flat_map(|tag| tag::split(tag)) {
            let tag = tag::tidy(&tag);
            if tag.is_empty() || tags.contains(&tag) {
                continue;
            }
            if tag.chars().count() > self.max_tag_length {
                let limit = self.max_tag_length;
                return Err(WordsError::LongTag { limit });
            }
            if tags.len() >= self.max_tags {
                let limit = self.max_tags;
                return Err(WordsError::ManyTags { limit });
            }
            tags.push(tag);
        }
        Ok(tags)
    }
}

pub(super) fn in_one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_control() || c == ' ');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(typed: &[&str]) -> Result<Vec<String>, WordsError> {
        let words = Words {
            tags: typed.iter().map(|&tag| tag.to_owned()).collect(),
            ..Words::default()
        };
        let options = Options {
            max_tags: 3,
            max_tag_length: 5,
            ..Options::default()
        };
        Ok(options.tidy(&words, false)?.tags)
    }

    #[test]
    fn a_tag_is_kept_once_and_in_its_form() {
        assert_eq!(
            tags(&["Soil, SOIL", " #soil", "b", "", "a"]).unwrap(),
            ["soil", "b", "a"]
        );
        assert_eq!(tags(&["a,b,c,d"]), Err(WordsError::ManyTags { limit: 3 }));
        assert_eq!(tags(&["sixsix"]), Err(WordsError::LongTag { limit: 5 }));
        assert_eq!(tags(&["ééééé"]).unwrap(), ["ééééé"]);
    }

    #[test]
    fn a_licence_is_an_identifier_or_nothing() {
        let licence = |text: &str| {
            let words = Words {
                licence: text.to_owned(),
                ..Words::default()
            };
            Options::default()
                .tidy(&words, false)
                .map(|words| words.licence)
        };
        assert_eq!(licence(" mit "), Ok("MIT".to_owned()));
        assert_eq!(licence("  "), Ok(String::new()));
        assert_eq!(licence("do what you want"), Err(NotALicence.into()));
    }
}

//! A publication: files that somebody gave to the world, with the torrent that carries them.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::account::{Account, Role};
use super::licence::Licence;
use super::particulars::Particulars;
use crate::proto::id::InfoHashes;
use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::path::FilePath;

/// Names a publication in addresses and on disk: ten characters of `a`–`z` and `2`–`7`, drawn at random (50 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicationId([u8; Self::LENGTH]);

impl PublicationId {
    const LENGTH: usize = 10;

    /// A fresh id. The database refuses the one in 10¹⁵ that is taken already.
    pub fn generate(rng: &mut impl Rng) -> Self {
        let mut random = [0; 7];
        rng.fill_bytes(&mut random);
        let text = BASE32_NOPAD.encode(&random).to_ascii_lowercase();
        let mut id = [b'a'; Self::LENGTH];
        for (to, from) in id.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        Self(id)
    }

    /// The id that a text is, or that the address of a publication's page ends with.
    ///
    /// # Errors
    /// [`NotAPublicationId`] where it is neither.
    pub fn in_address(text: &str) -> Result<Self, NotAPublicationId> {
        let text = text.trim().trim_end_matches('/');
        text.rsplit('/').next().unwrap_or(text).parse()
    }

    /// The ten characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A text is not the id of any publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a publication's id is ten characters of a-z and 2-7")]
pub struct NotAPublicationId;

impl FromStr for PublicationId {
    type Err = NotAPublicationId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id: [u8; Self::LENGTH] = text.as_bytes().try_into().map_err(|_| NotAPublicationId)?;
        let is_base32 = id.iter().all(|c| matches!(c, b'a'..=b'z' | b'2'..=b'7'));
        if is_base32 {
            Ok(Self(id))
        } else {
            Err(NotAPublicationId)
        }
    }
}

impl TryFrom<String> for PublicationId {
    type Error = NotAPublicationId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PublicationId> for String {
    fn from(id: PublicationId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for PublicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What people are told of a publication: the one part of it that may change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// What people call it; empty for the torrent's name, until it is published.
    pub title: String,
    /// What the publisher says of it; may be empty.
    pub description: String,
    /// Who made it, in their own words; may be empty.
    pub creator: String,
    /// The SPDX identifier of its licence; may be empty.
    pub licence: String,
    /// Its tags, in the form that [`tag::tidy`](super::tag::tidy) gives them.
    pub tags: Vec<String>,
    /// What is said beside.
    pub particulars: Particulars,
}

/// A published set of files. Its content never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Its name in addresses.
    pub id: PublicationId,
    /// What people call it; never empty.
    pub title: String,
    /// What the publisher says of it; may be empty.
    pub description: String,
    /// Who made it; may be empty.
    pub creator: String,
    /// The licence that it is given under, if the publisher has named one.
    pub licence: Option<Licence>,
    /// What it is found under, together with others.
    pub tags: Vec<String>,
    /// What is said of it beside.
    pub particulars: Particulars,
    /// The torrent's format.
    pub format: Format,
    /// Whether peers may only come from our tracker (BEP 27).
    pub private: bool,
    /// The torrent's `name`: the single file, or the folder that holds the files.
    pub name: String,
    /// The torrent's info-hashes.
    pub info_hashes: InfoHashes,
    /// Bytes in a piece.
    pub piece_length: u32,
    /// Bytes in all files together, without pads.
    pub total_length: u64,
    /// The files in the torrent's order, without pads.
    pub files: Vec<PublishedFile>,
    /// The account that published it, by name.
    pub publisher: String,
    /// When the upload began, in seconds since 1970.
    pub created_at: i64,
    /// When it became visible, in seconds since 1970.
    pub published_at: i64,
}

impl Publication {
    /// Whether the torrent is one file without a folder around it.
    pub fn is_single_file(&self) -> bool {
        matches!(self.files.as_slice(), [only] if only.path.as_str() == self.name)
    }

    /// What people are told of it.
    pub fn words(&self) -> Words {
        Words {
            title: self.title.clone(),
            description: self.description.clone(),
            creator: self.creator.clone(),
            licence: self
                .licence
                .as_ref()
                .map_or_else(String::new, ToString::to_string),
            tags: self.tags.clone(),
            particulars: self.particulars.clone(),
        }
    }

    /// Whether an account may change what is said of it: that which published it, and every administrator. What was published
    /// without an account is the administrators' alone.
    pub fn may_be_edited_by(&self, account: &Account) -> bool {
        account.role == Role::Admin || account.name == self.publisher
    }
}

/// One file of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedFile {
    /// Its path below the torrent's name; in a publication of a single file, that name itself.
    pub path: FilePath,
    /// Bytes in the file.
    pub length: u64,
    /// The SHA-256 of the whole file.
    pub sha256: [u8; 32],
    /// Its CRC-32; `None` where it was published before that was taken down, and nobody has asked since.
    pub crc32: Option<u32>,
    /// The number under which the content store keeps it.
    pub stored_as: u32,
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn ids_read_what_they_display() {
        let id = PublicationId::generate(&mut StdRng::seed_from_u64(7));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_publication_is_its_publishers_and_the_administrators() {
        let account = |name: &str, role| Account {
            id: 1,
            name: name.to_owned(),
            role,
            is_disabled: false,
            created_at: 0,
        };
        let (bob, eve, ada) = (
            account("bob", Role::Publisher),
            account("eve", Role::Publisher),
            account("ada", Role::Admin),
        );
        let mut publication = example();
        publication.publisher = "bob".to_owned();
        assert!(publication.may_be_edited_by(&bob));
        assert!(publication.may_be_edited_by(&ada));
        assert!(!publication.may_be_edited_by(&eve));
        publication.publisher = String::new();
        assert!(publication.may_be_edited_by(&ada));
        assert!(!publication.may_be_edited_by(&bob));
    }

    fn example() -> Publication {
        Publication {
            id: "abcdefghij".parse().unwrap(),
            title: "a".to_owned(),
            description: String::new(),
            creator: String::new(),
            licence: None,
            tags: Vec::new(),
            particulars: Particulars::default(),
            format: Format::V1,
            private: false,
            name: "a".to_owned(),
            info_hashes: InfoHashes::V1([1; 20].into()),
            piece_length: 16_384,
            total_length: 0,
            files: Vec::new(),
            publisher: String::new(),
            created_at: 0,
            published_at: 0,
        }
    }

    #[test]
    fn an_id_stands_in_the_address_of_its_page() {
        let id = "abcdefghij".parse::<PublicationId>();
        for text in [
            "abcdefghij",
            " https://example.org/p/abcdefghij/ ",
            "/p/abcdefghij",
        ] {
            assert_eq!(PublicationId::in_address(text), id, "{text}");
        }
        for text in ["", "2.0", "https://example.org/", "abcdefghij.torrent"] {
            assert!(PublicationId::in_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_ids_that_could_be_paths() {
        for text in [
            "",
            "../../etc/",
            "abcdefghi",
            "ABCDEFGHIJ",
            "abcdefghi1",
            "abcdefghijk",
        ] {
            assert_eq!(
                text.parse::<PublicationId>(),
                Err(NotAPublicationId),
                "{text}"
            );
        }
    }
}

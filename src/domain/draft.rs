//! Drafts: publications whose files are still coming.
//!
//! A draft knows the names and lengths of its files before their first byte, so the torrent's layout and the space that it takes are
//! settled when it is made.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::account::{Account, Role};
use super::publication::{PublicationId, Words};
use crate::proto::metainfo::apart::Spread;
use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::original::Original;
use crate::proto::metainfo::path::FilePath;
use crate::proto::metainfo::piece_length::PieceLength;

/// A publication in the making. Its files are settled; what is missing is bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The id that the publication will have.
    pub id: PublicationId,
    /// What people will be told of it.
    pub words: Words,
    /// The torrent's format.
    pub format: Format,
    /// Whether peers may only come from our tracker (BEP 27).
    pub private: bool,
    /// The account that made it, by name; empty where nobody was logged in.
    pub publisher: String,
    /// The files as they were listed. A file's place is the number of its upload, and that under which its content is kept.
    pub files: Vec<DraftFile>,
    /// The torrent that it has to become again, if there is one already. The files are that torrent's, in its order.
    pub original: Option<Arc<Original>>,
    /// When it was made, in seconds since 1970.
    pub created_at: i64,
}

/// A file of a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftFile {
    /// Its path, with the folder around all files if there is one.
    pub path: FilePath,
    /// Bytes that it will have.
    pub length: u64,
}

impl Draft {
    /// Bytes in all files together.
    pub fn total_length(&self) -> u64 {
        let lengths = self.files.iter().map(|file| file.length);
        lengths.fold(0, u64::saturating_add)
    }

    /// The places of the files in the torrent's order: that of their paths, so that the same files are the same torrent however they
    /// were listed.
    pub fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.files.len()).collect();
        if self.original.is_none() {
            order.sort_by_key(|place| self.files.get(*place).map(|file| &file.path));
        }
        order
    }

    /// How long the torrent's pieces are.
    pub fn piece_length(&self) -> PieceLength {
        if let Some(original) = &self.original {
            return original.piece_length();
        }
        let lengths: Vec<u64> = self.files.iter().map(|file| file.length).collect();
        PieceLength::for_files(self.format, &lengths)
    }

    /// How the files lie in the torrent, in its order.
    pub fn spread(&self) -> Spread {
        if let Some(original) = &self.original {
            return original.spread();
        }
        let order = self.order().into_iter();
        let lengths = order.filter_map(|place| Some(self.files.get(place)?.length));
        Spread::new(self.format, self.piece_length(), lengths)
    }

    /// Whether somebody may see and fill it: the account that made it, and administrators. One that was made without an account
    /// is open to whoever knows its id, which is told to nobody else.
    pub fn is_open_to(&self, account: Option<&Account>) -> bool {
        self.publisher.is_empty()
            || account.is_some_and(|account| {
                account.role == Role::Admin || account.name == self.publisher
            })
    }
}

/// Names the upload of one file of a draft: the draft's id, a dash, and the file's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UploadId {
    /// The draft.
    pub draft: PublicationId,
    /// The place of the file among the draft's.
    pub file: u32,
}

/// A text is not the id of any upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an upload's id is that of its draft, a dash and a number")]
pub struct NotAnUploadId;

impl FromStr for UploadId {
    type Err = NotAnUploadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (draft, file) = text.split_once('-').ok_or(NotAnUploadId)?;
        // One name each: `+1` and `01` are no numbers here.
        let is_plain = file == "0" || file.starts_with(|c: char| matches!(c, '1'..='9'));
        Ok(Self {
            draft: draft.parse().map_err(|_| NotAnUploadId)?,
            file: file
                .parse()
                .ok()
                .filter(|_| is_plain)
                .ok_or(NotAnUploadId)?,
        })
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.draft, self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(id: &str, publisher: &str, lengths: &[u64]) -> Draft {
        let files = lengths
            .iter()
            .enumerate()
            .map(|(number, length)| DraftFile {
                path: FilePath::parse(&format!("box/{}", 9 - number)).unwrap(),
                length: *length,
            });
        Draft {
            id: id.parse().unwrap(),
            words: Words::default(),
            format: Format::V1,
            private: false,
            publisher: publisher.to_owned(),
            files: files.collect(),
            original: None,
            created_at: 0,
        }
    }

    #[test]
    fn files_lie_in_the_order_of_their_paths() {
        let draft = draft("aaaaaaaaaa", "ada", &[1, 2, 3]);
        assert_eq!(draft.order(), [2, 1, 0]);
        assert_eq!(draft.total_length(), 6);
        let bare = Spread::new(Format::V1, PieceLength::MIN, [3, 2, 1]);
        assert_eq!(draft.spread(), bare);
    }

    #[test]
    fn a_draft_is_open_to_its_maker_and_administrators() {
        let account = |name: &str, role| Account {
            id: 1,
            name: name.to_owned(),
            role,
            is_disabled: false,
            created_at: 0,
        };
        let (ada, bob) = (
            account("ada", Role::Publisher),
            account("bob", Role::Publisher),
        );
        let of_ada = draft("aaaaaaaaaa", "ada", &[1]);
        assert!(of_ada.is_open_to(Some(&ada)));
        assert!(of_ada.is_open_to(Some(&account("root", Role::Admin))));
        assert!(!of_ada.is_open_to(Some(&bob)));
        assert!(!of_ada.is_open_to(None));
        assert!(draft("aaaaaaaaaa", "", &[1]).is_open_to(None));
    }

    #[test]
    fn upload_ids_read_what_they_display() {
        let id: UploadId = "abcdefghij-17".parse().unwrap();
        assert_eq!((id.to_string().as_str(), id.file), ("abcdefghij-17", 17));
        for text in [
            "",
            "abcdefghij",
            "abcdefghij-",
            "abcdefghij-01",
            "abcdefghij-+1",
            "abcdefghij--1",
            "abcdefghij-4294967296",
            "ABCDEFGHIJ-1",
            "../../etc/-1",
        ] {
            assert_eq!(text.parse::<UploadId>(), Err(NotAnUploadId), "{text}");
        }
    }
}

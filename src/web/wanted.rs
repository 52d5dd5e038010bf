//! What part of the catalogue is wanted: words, filters, order and place, as they stand in the addresses of pages, the API and feeds.

use std::fmt::Write as _;

use serde::Deserialize;
use utoipa::IntoParams;

use super::error::WebError;
use super::links::encode_segment;
use super::text::shown;
use crate::domain::licence::Licence;
use crate::domain::tag;
use crate::store::publications::{Cursor, Filters, Order, PageQuery};

/// The query of an address. What is empty is not asked for, as forms send it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Words in titles, descriptions, tags and names of files; the beginning of a word will do, and a phrase stands in quotation marks.
    pub(super) q: String,
    /// Those that have this tag.
    pub(super) tag: String,
    /// Those under this licence, by its SPDX identifier.
    pub(super) licence: String,
    /// Those by this creator.
    pub(super) creator: String,
    /// `newest` (as where nothing is said), `oldest`, `largest` or `wanted`.
    pub(super) sort: String,
    /// Where to go on: the `next_cursor` of the page before.
    pub(super) cursor: Option<String>,
    /// How many, from 1 to 100.
    #[param(minimum = 1, maximum = 100)]
    pub(super) limit: Option<u32>,
}

impl Wanted {
    /// The page of so many publications that is wanted.
    ///
    /// # Errors
    /// [`WebError::Invalid`] where the order or the cursor is none.
    pub(super) fn page(&self, limit: u32) -> Result<PageQuery, WebError> {
        Ok(PageQuery {
            text: self.q.trim().to_owned(),
            filters: self.filters(),
            order: self.order()?,
            after: self.cursor.as_deref().map(read_cursor).transpose()?,
            limit,
        })
    }

    /// The newest of what is wanted.
    pub(super) fn newest(&self, limit: u32) -> PageQuery {
        PageQuery {
            text: self.q.trim().to_owned(),
            filters: self.filters(),
            limit,
            ..PageQuery::default()
        }
    }

    fn filters(&self) -> Filters {
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        let licence = self.licence.trim();
        Filters {
            tag: given(tag::tidy(&self.tag)),
            licence: given(
                licence
                    .parse::<Licence>()
                    .map_or_else(|_| licence.to_owned(), |licence| licence.to_string()),
            ),
            creator: given(self.creator.trim().to_owned()),
        }
    }

    /// Which publications come first.
    ///
    /// # Errors
    /// [`WebError::Invalid`] where it is no order.
    pub(super) fn order(&self) -> Result<Order, WebError> {
        let known = ORDERS.iter().find(|(_, name)| *name == self.sort);
        known.map(|(order, _)| *order).ok_or_else(|| {
            WebError::Invalid("sort is newest, oldest, largest or wanted.".to_owned())
        })
    }

    /// In which way the catalogue is narrowed, in words that follow "publications"; empty for all of it.
    pub(super) fn in_words(&self) -> Vec<String> {
        let PageQuery { text, filters, .. } = self.newest(1);
        let licence = filters.licence.map(|licence| {
            let name = licence.parse::<Licence>().ok();
            let name = name.and_then(|licence| Some(licence.known()?.name));
            format!("under {}", name.unwrap_or(&licence))
        });
        let words = [
            Some(text)
                .filter(|text| !text.is_empty())
                .map(|text| format!("matching “{text}”")),
            filters.tag.map(|tag| format!("tagged “{}”", shown(&tag))),
            licence,
            filters
                .creator
                .map(|creator| format!("by {}", shown(&creator))),
        ];
        words.into_iter().flatten().collect()
    }

    /// The same, from its first page on.
    pub(super) fn first_page(&self) -> Self {
        Self {
            cursor: None,
            limit: None,
            ..self.clone()
        }
    }

    /// The address at which `path` gives this.
    pub(super) fn address(&self, path: &str) -> String {
        let fields = [
            ("q", self.q.trim()),
            ("tag", &self.tag),
            ("licence", &self.licence),
            ("creator", &self.creator),
            ("sort", &self.sort),
            ("cursor", self.cursor.as_deref().unwrap_or_default()),
        ];
        let mut address = path.to_owned();
        let fields = fields.into_iter().filter(|(_, value)| !value.is_empty());
        for ((name, value), sign) in fields.zip(std::iter::once('?').chain(std::iter::repeat('&')))
        {
            // Writing to a string cannot fail.
            let _ = write!(address, "{sign}{name}={}", encode_segment(value));
        }
        address
    }
}

/// Orders, as addresses name them; the first of a kind is what is written.
const ORDERS: [(Order, &str); 5] = [
    (Order::Newest, "newest"),
    (Order::Newest, ""),
    (Order::Oldest, "oldest"),
    (Order::Largest, "largest"),
    (Order::MostWanted, "wanted"),
];

/// A cursor as it stands in addresses.
pub(super) fn cursor_text(cursor: Cursor) -> String {
    if cursor.key == cursor.number {
        return cursor.number.to_string();
    }
    format!("{}-{}", cursor.key, cursor.number)
}

/// Reads a cursor back.
fn read_cursor(text: &str) -> Result<Cursor, WebError> {
    let read = || {
        let (key, number) = text.split_once('-').unwrap_or((text, text));
        Some(Cursor {
            key: key.parse().ok()?,
            number: number.parse().ok()?,
        })
    };
    read().ok_or_else(|| {
        WebError::Invalid(
            "The cursor is not one that this server gave. Begin without a cursor.".to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_what_it_writes() {
        for (key, number) in [(i64::MAX, i64::MAX), (0, 5), (5, 5), (1 << 40, 7)] {
            let cursor = Cursor { key, number };
            assert_eq!(read_cursor(&cursor_text(cursor)).unwrap(), cursor);
        }
        for text in [
            "",
            "x",
            "1.5",
            "5-abcdefghij",
            "1-2-3",
            "9223372036854775808",
        ] {
            assert!(read_cursor(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_says_what_is_wanted_and_no_more() {
        assert_eq!(Wanted::default().address("/"), "/");
        let wanted = Wanted {
            q: " a&b ".to_owned(),
            tag: "soil survey".to_owned(),
            sort: "largest".to_owned(),
            cursor: Some("9-3".to_owned()),
            ..Wanted::default()
        };
        assert_eq!(
            wanted.address("/"),
            "/?q=a%26b&tag=soil%20survey&sort=largest&cursor=9-3"
        );
        assert_eq!(
            wanted.first_page().address("/feed.xml"),
            "/feed.xml?q=a%26b&tag=soil%20survey&sort=largest"
        );
    }

    #[test]
    fn what_is_wanted_is_said_in_words() {
        let wanted = Wanted {
            q: "maps".to_owned(),
            tag: "#Soil".to_owned(),
            licence: "cc-by-4.0".to_owned(),
            creator: " Ada".to_owned(),
            ..Wanted::default()
        };
        let words = [
            "matching “maps”",
            "tagged “soil”",
            "under CC BY 4.0",
            "by Ada",
        ];
        assert_eq!(wanted.in_words(), words);
        let sorted = Wanted {
            sort: "oldest".to_owned(),
            ..Wanted::default()
        };
        assert_eq!(sorted.in_words(), [""; 0]);
    }

    #[test]
    fn refuses_an_unknown_order() {
        for sort in ["Newest", "size", "largest "] {
            let wanted = Wanted {
                sort: sort.to_owned(),
                ..Wanted::default()
            };
            assert!(wanted.order().is_err(), "{sort}");
        }
    }
}

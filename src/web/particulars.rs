//! Particulars of a publication as people type them into forms, and what has to be true of the publication that it replaces.

use std::collections::BTreeMap;

use super::error::WebError;
use super::shelf::Shelf;
use super::upload::read_yes;
use crate::domain::account::Account;
use crate::domain::particulars::{Link, Particulars};
use crate::domain::publication::PublicationId;
use crate::publish::Options as Rules;

/// Bytes in an address, at most.
const MAX_ADDRESS: usize = 2048;

/// The name of a field, and the bytes that it may have.
type Field = (&'static str, fn(&Rules) -> usize);

const FIELDS: [Field; 6] = [
    ("unlisted", |_| 16),
    ("replaces", |_| MAX_ADDRESS),
    ("doi", |_| MAX_ADDRESS),
    ("links", |rules| {
        let link = rules
            .max_title_length
            .saturating_mul(4)
            .saturating_add(MAX_ADDRESS + 4);
        link.saturating_mul(rules.max_links)
    }),
    ("trackers", max_sources),
    ("web_seeds", max_sources),
];

const fn max_sources(rules: &Rules) -> usize {
    rules.max_sources.saturating_mul(MAX_ADDRESS + 2)
}

/// Bytes in a field of particulars, at most; `None` where there is no such field.
pub(super) fn max_bytes(field: &str, rules: &Rules) -> Option<usize> {
    let known = FIELDS.iter().find(|(name, _)| *name == field);
    known.map(|(_, most)| most(rules))
}

/// Bytes in all particulars together, at most.
pub(super) fn max_bytes_in_all(rules: &Rules) -> usize {
    let all = FIELDS.iter().map(|(_, most)| most(rules));
    all.fold(0, usize::saturating_add)
}

/// What stands in the fields of a form. Lists have an entry a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Typed(BTreeMap<&'static str, String>);

impl Typed {
    /// The fields of particulars that are known.
    pub(super) fn of(known: &Particulars) -> Self {
        let links: Vec<String> = known.links.iter().map(Link::to_line).collect();
        let replaces = known.replaces.map(String::from);
        Self(BTreeMap::from([
            ("unlisted", known.unlisted.to_string()),
            ("replaces", replaces.unwrap_or_default()),
            ("doi", known.doi.clone()),
            ("links", links.join("\n")),
            ("trackers", known.trackers.join("\n")),
            ("web_seeds", known.web_seeds.join("\n")),
        ]))
    }

    /// Takes what was typed into a field, and says whether it came for the first time. What is no field is passed over.
    pub(super) fn take(&mut self, field: &str, text: String) -> bool {
        match FIELDS.iter().find(|(name, _)| *name == field) {
            Some((name, _)) => self.0.insert(name, text).is_none(),
            None => true,
        }
    }

    /// What stands in a field.
    pub(super) fn get(&self, field: &str) -> &str {
        self.0.get(field).map_or("", String::as_str)
    }

    /// Whether anything stands in the fields that are folded away.
    pub(super) fn says_more(&self) -> bool {
        let folded = self.0.iter().filter(|(field, _)| **field != "unlisted");
        folded.into_iter().any(|(_, text)| !text.is_empty())
    }

    /// Whether the choice is for those alone who have the link.
    pub(super) fn is_unlisted(&self) -> bool {
        read_yes("unlisted", self.get("unlisted")).unwrap_or_default()
    }

    /// The particulars that were typed.
    ///
    /// # Errors
    /// [`WebError::Invalid`], with what to type.
    pub(super) fn read(&self) -> Result<Particulars, WebError> {
        let lines = |field| {
            let lines = self.get(field).lines().map(str::trim);
            lines.filter(|line| !line.is_empty())
        };
        Ok(Particulars {
            unlisted: read_yes("unlisted", self.get("unlisted"))?,
            replaces: read_replaced(self.get("replaces"))?,
            doi: self.get("doi").to_owned(),
            links: lines("links").map(Link::from_line).collect(),
            trackers: lines("trackers").map(str::to_owned).collect(),
            web_seeds: lines("web_seeds").map(str::to_owned).collect(),
        })
    }
}

/// Reads which publication is replaced: its id, or the address of its page.
///
/// # Errors
/// [`WebError::Invalid`] where it is neither.
pub(super) fn read_replaced(text: &str) -> Result<Option<PublicationId>, WebError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    PublicationId::in_address(text).map(Some).map_err(|error| {
        let text: String = text.chars().take(80).collect();
        WebError::Invalid(format!(
            "{text:?} names no publication: {error}. Give the address of the older version's page, or the id at its end."
        ))
    })
}

/// Whether an account may say that a publication replaces another one, where it did not say so `before`.
///
/// # Errors
/// [`WebError::Invalid`] where that is not there, [`WebError::Forbidden`] where it is somebody else's.
pub(super) async fn check_replaced(
    shelf: &Shelf,
    account: Option<&Account>,
    before: Option<PublicationId>,
    now: &Particulars,
) -> Result<(), WebError> {
    let Some(older) = now.replaces.filter(|older| Some(*older) != before) else {
        return Ok(());
    };
    let Some(shelved) = shelf.get(older).await? else {
        return Err(WebError::Invalid(format!(
            "There is no publication {older} here that a newer version could replace. Give the address of the older version's page, or leave it out."
        )));
    };
    if account.is_some_and(|account| shelved.publication.may_be_edited_by(account)) {
        return Ok(());
    }
    Err(WebError::Forbidden(format!(
        "Only who published {older}, and administrators, say which publication replaces it. Name one of your own, or leave it out."
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_reads_what_it_shows() {
        let link = |title: &str, url: &str| Link {
            title: title.to_owned(),
            url: url.to_owned(),
        };
        let known = Particulars {
            unlisted: true,
            replaces: Some("abcdefghij".parse().unwrap()),
            doi: "10.5281/zenodo.1".to_owned(),
            links: vec![
                link("The paper, in full", "https://example.org/paper"),
                link("", "https://example.org/"),
            ],
            trackers: vec!["wss://a".to_owned(), "udp://b:1".to_owned()],
            web_seeds: vec!["https://example.org/data/".to_owned()],
        };
        assert_eq!(Typed::of(&known).read().unwrap(), known);
        assert_eq!(Typed::default().read().unwrap(), Particulars::default());
    }

    #[test]
    fn an_older_version_may_be_left_out() {
        assert_eq!(read_replaced(" ").unwrap(), None);
        let id = "abcdefghij".parse().unwrap();
        assert_eq!(read_replaced("/p/abcdefghij").unwrap(), Some(id));
        assert!(read_replaced("2.0").is_err());
    }

    #[test]
    fn a_field_comes_once() {
        let mut typed = Typed::default();
        assert!(typed.take("doi", "10.1234/x".to_owned()));
        assert!(!typed.take("doi", "10.1234/y".to_owned()));
        assert!(typed.take("no field", String::new()));
        assert_eq!(max_bytes("no field", &Rules::default()), None);
    }
}

//! The fields for a publication's creator, licence, tags and particulars, which the forms to publish and to edit have in common.

use crate::domain::licence::{KNOWN, Licence};
use crate::domain::publication::Words;
use crate::publish::Options as Rules;
use crate::web::particulars::Typed;

/// What people call a licence.
pub(super) fn name_in_words(licence: &Licence) -> String {
    match licence.known() {
        Some(known) => known.name.to_owned(),
        None => licence.to_string(),
    }
}

/// What stands in the fields.
pub(super) struct DetailFields {
    pub(super) creator: String,
    pub(super) max_creator: usize,
    pub(super) licences: Vec<LicenceChoice>,
    pub(super) tags: String,
    pub(super) max_tags: usize,
    pub(super) typed: Typed,
}

/// A licence that can be chosen.
pub(super) struct LicenceChoice {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) is_chosen: bool,
}

impl DetailFields {
    /// The fields with what is known, and in those of particulars what was typed.
    pub(super) fn new(words: &Words, typed: Typed, rules: &Rules) -> Self {
        let known = KNOWN.iter().map(|known| LicenceChoice {
            id: known.id.to_owned(),
            label: format!("{}: {}", known.name, known.meaning),
            is_chosen: known.id == words.licence,
        });
        let mut licences: Vec<LicenceChoice> = known.collect();
        // One that came by the API is not lost by the form.
        if !words.licence.is_empty() && !licences.iter().any(|licence| licence.is_chosen) {
            licences.push(LicenceChoice {
                id: words.licence.clone(),
                label: words.licence.clone(),
                is_chosen: true,
            });
        }
        Self {
            creator: words.creator.clone(),
            max_creator: rules.max_creator_length,
            licences,
            tags: words.tags.join(", "),
            max_tags: rules.max_tags,
            typed,
        }
    }
}

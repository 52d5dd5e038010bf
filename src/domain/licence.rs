//! Licences, by their SPDX identifiers.

use std::fmt;
use std::str::FromStr;

/// Characters in an identifier, at most; the longest of SPDX's own list has 36.
const MAX_LENGTH: usize = 64;

/// A licence that people choose by its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its SPDX identifier.
    pub id: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// What it allows, in a few words.
    pub meaning: &'static str,
}

const fn known(id: &'static str, name: &'static str, meaning: &'static str) -> Known {
    Known { id, name, meaning }
}

/// The licences that forms offer, the freest of each kind first: works, then data, then programs.
pub const KNOWN: [Known; 13] = [
    known("CC0-1.0", "CC0", "no rights reserved, for any use"),
    known("CC-PDM-1.0", "Public domain", "free of known rights"),
    known("CC-BY-4.0", "CC BY 4.0", "any use, if you name the creator"),
    known(
        "CC-BY-SA-4.0",
        "CC BY-SA 4.0",
        "name the creator, share changes alike",
    ),
    known(
        "CC-BY-NC-4.0",
        "CC BY-NC 4.0",
        "name the creator, nothing commercial",
    ),
    known("PDDL-1.0", "PDDL", "data in the public domain"),
    known(
        "ODC-By-1.0",
        "ODC-By",
        "data for any use, if you name the source",
    ),
    known(
        "ODbL-1.0",
        "ODbL",
        "data, name the source, share databases alike",
    ),
    known("MIT", "MIT", "software for any use, keep the notice"),
    known(
        "Apache-2.0",
        "Apache 2.0",
        "software for any use, with patents, keep the notice",
    ),
    known(
        "BSD-3-Clause",
        "BSD",
        "software for any use, keep the notice",
    ),
    known(
        "GPL-3.0-or-later",
        "GPL 3",
        "software, share changes and their source alike",
    ),
    known(
        "AGPL-3.0-or-later",
        "AGPL 3",
        "as the GPL, over a network too",
    ),
];

/// An SPDX identifier, well formed: letters, digits, `.`, `-` and `+`. One of [`KNOWN`] is written as there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Licence(String);

impl Licence {
    /// The identifier.
    pub fn id(&self) -> &str {
        &self.0
    }

    /// Its words, where it is one of those that forms offer.
    pub fn known(&self) -> Option<&'static Known> {
        KNOWN.iter().find(|known| known.id == self.0)
    }

    /// Where SPDX keeps its text; `None` for one that is nobody's but the publisher's (`LicenseRef-…`).
    pub fn address(&self) -> Option<String> {
        let is_own = self.0.starts_with("LicenseRef-");
        (!is_own).then(|| format!("https://spdx.org/licenses/{}.html", self.0))
    }
}

impl fmt::Display for Licence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not an SPDX identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a licence is named by its SPDX identifier, such as CC-BY-4.0 or MIT (https://spdx.org/licenses)"
)]
pub struct NotALicence;

impl FromStr for Licence {
    type Err = NotALicence;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        if text.is_empty() || text.len() > MAX_LENGTH || !text.chars().all(is_sign) {
            return Err(NotALicence);
        }
        let known = KNOWN
            .iter()
            .find(|known| known.id.eq_ignore_ascii_case(text));
        Ok(Self(known.map_or(text, |known| known.id).to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_licences_are_written_as_spdx_does() {
        for (text, id) in [
            ("cc-by-4.0", "CC-BY-4.0"),
            ("odbl-1.0", "ODbL-1.0"),
            ("EUPL-1.2", "EUPL-1.2"),
            ("LicenseRef-Ours", "LicenseRef-Ours"),
        ] {
            assert_eq!(text.parse::<Licence>().unwrap().id(), id);
        }
        for known in KNOWN {
            let licence: Licence = known.id.parse().unwrap();
            assert_eq!(licence.known(), Some(&known));
            assert!(licence.address().unwrap().contains(known.id));
        }
        let own: Licence = "LicenseRef-Ours".parse().unwrap();
        assert_eq!((own.known(), own.address()), (None, None));
    }

    #[test]
    fn refuses_what_is_no_identifier() {
        let long = "x".repeat(MAX_LENGTH + 1);
        for text in ["", "CC BY", "MIT OR Apache-2.0", "../x", "é", "<b>", &long] {
            assert_eq!(text.parse::<Licence>(), Err(NotALicence), "{text}");
        }
    }
}

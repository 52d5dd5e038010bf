//! Digital object identifiers (ISO 26324): `10.`, the number of a registrant, a slash, and what the registrant chose.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// Bytes in an identifier, at most. The standard has no bound, and those in use are far below.
const MAX_LENGTH: usize = 256;

/// Where an identifier leads.
const RESOLVER: &str = "https://doi.org/";

/// How people write the resolver in front.
const RESOLVERS: [&str; 5] = [
    "https://doi.org/",
    "http://doi.org/",
    "https://dx.doi.org/",
    "http://dx.doi.org/",
    "https://www.doi.org/",
];

/// What does not stand as itself in an address (the DOI Handbook, section 2.5.2.4).
const IN_ADDRESS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'|');

/// Brings an identifier into its form: bare, without `doi:` or the resolver in front. `None` for what is none.
pub fn tidy(text: &str) -> Option<String> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let doi = match RESOLVERS.iter().find(|start| lower.starts_with(**start)) {
        Some(start) => percent_decode_str(text.get(start.len()..)?)
            .decode_utf8()
            .ok()?
            .into_owned(),
        None if lower.starts_with("doi:") => text.get(4..)?.trim().to_owned(),
        None => text.to_owned(),
    };
    let (registrant, suffix) = doi.strip_prefix("10.")?.split_once('/')?;
    let mut numbers = registrant.split('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    let is_registrant = numbers
        .next()
        .is_some_and(|first| (4..=9).contains(&first.len()) && is_number(first))
        && numbers.all(is_number);
    // Braces and backslashes are in no identifier that is in use, and would mean something where citations are written.
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "{}\\".contains(c);
    let is_suffix = !suffix.is_empty() && !suffix.contains(is_odd);
    (is_registrant && is_suffix && doi.len() <= MAX_LENGTH).then_some(doi)
}

/// The address that an identifier leads to.
pub fn address(doi: &str) -> String {
    format!("{RESOLVER}{}", utf8_percent_encode(doi, IN_ADDRESS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_has_one_form() {
        for text in [
            "10.5281/zenodo.1234",
            " doi:10.5281/zenodo.1234 ",
            "DOI: 10.5281/zenodo.1234",
            "https://doi.org/10.5281/zenodo.1234",
            "HTTP://dx.doi.org/10.5281%2Fzenodo.1234",
        ] {
            let tidy = tidy(text);
            assert_eq!(tidy.as_deref(), Some("10.5281/zenodo.1234"), "{text}");
        }
        let old = "10.1002/(SICI)1097-4571(1999)50:1<1::AID-ASI1>3.0.CO;2-M";
        assert_eq!(tidy(old).as_deref(), Some(old));
        assert_eq!(tidy(&address(old)).as_deref(), Some(old));
        assert_eq!(tidy("10.1000.10/123").as_deref(), Some("10.1000.10/123"));
    }

    #[test]
    fn refuses_what_is_no_identifier() {
        let long = format!("10.1234/{}", "x".repeat(MAX_LENGTH));
        for text in [
            "",
            "10.5281",
            "10.5281/",
            "10./x",
            "10.12/x",
            "10.12345678901/x",
            "11.5281/x",
            "10.5281/a b",
            "10.5281/{x}",
            "10.5281/a\u{7}",
            "https://example.org/10.5281/x",
            "https://doi.org/10.5281/%ff",
            "doi:",
            &long,
        ] {
            assert_eq!(tidy(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_has_nothing_that_ends_it() {
        assert_eq!(
            address("10.1234/a<b>#c?d%e"),
            "https://doi.org/10.1234/a%3Cb%3E%23c%3Fd%25e"
        );
    }
}

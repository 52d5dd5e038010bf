//! A publication as an entry of BibTeX, for who cites it.
//!
//! Names stand in double braces: they are read as they are, for nobody knows whether a creator is a person, several, or an institute.

use std::fmt::Write as _;

use super::links::Links;
use super::text::{shown, year_and_month};
use crate::domain::publication::Publication;

/// The entry, with a line end behind it.
pub(super) fn bibtex(links: &Links, publication: &Publication) -> String {
    let particulars = &publication.particulars;
    let (year, month) = year_and_month(publication.published_at);
    let hash = publication.info_hashes.primary();
    let licence = publication.licence.as_ref();
    let licence = licence.map_or_else(String::new, |licence| format!("Licence: {licence}. "));
    let fields = [
        ("title", format!("{{{}}}", escape(&publication.title))),
        (
            "author",
            match publication.creator.as_str() {
                "" => String::new(),
                creator => format!("{{{}}}", escape(creator)),
            },
        ),
        ("year", year.to_string()),
        ("month", month.to_string()),
        ("publisher", escape(&links.host().to_string())),
        // Styles set these two as they are.
        ("doi", particulars.doi.clone()),
        ("url", links.page(publication.id)),
        (
            "note",
            format!("{}BitTorrent info-hash {hash}", escape(&licence)),
        ),
    ];
    let mut entry = format!("@misc{{sower-{},\n", publication.id);
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a string cannot fail.
        let _ = writeln!(entry, "  {name} = {{{value}}},");
    }
    entry.push_str("}\n");
    entry
}

/// A text that means itself to TeX. Braces become commands: BibTeX counts them even behind a backslash.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in shown(text).chars() {
        match c {
            '\\' => escaped.push_str("\\textbackslash{}"),
            '{' => escaped.push_str("\\textbraceleft{}"),
            '}' => escaped.push_str("\\textbraceright{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '|' => escaped.push_str("\\textbar{}"),
            '"' => escaped.push_str("\\textquotedbl{}"),
            '%' | '&' | '$' | '#' | '_' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::testing::single_file;

    fn entry(publication: &Publication) -> String {
        let links = Links::new(&"https://data.example.org".parse().unwrap()).unwrap();
        bibtex(&links, publication)
    }

    #[test]
    fn an_entry_says_who_what_when_and_where() {
        let mut publication = single_file("a.txt", 5);
        publication.title = "Soil of the Elbe".to_owned();
        publication.creator = "Größe Institute".to_owned();
        publication.published_at = 1_795_000_000;
        publication.licence = Some("CC-BY-4.0".parse().unwrap());
        publication.particulars.doi = "10.5281/zenodo.1_2".to_owned();
        assert_eq!(
            entry(&publication),
            "@misc{sower-abcdefghij,
  title = {{Soil of the Elbe}},
  author = {{Größe Institute}},
  year = {2026},
  month = {11},
  publisher = {data.example.org},
  doi = {10.5281/zenodo.1_2},
  url = {https://data.example.org/p/abcdefghij},
  note = {Licence: CC-BY-4.0. BitTorrent info-hash 0101010101010101010101010101010101010101},
}
"
        );
    }

    #[test]
    fn nothing_that_a_publisher_writes_leaves_its_field() {
        let mut publication = single_file("a.txt", 5);
        publication.title = "}}, evil = {\\input{x} 100% & $5_#1 ~^ \"q\" <b> {".to_owned();
        publication.creator = "}".to_owned();
        let entry = entry(&publication);
        assert!(entry.contains("title = {{\\textbraceright{}\\textbraceright{}, evil = \\textbraceleft{}\\textbackslash{}input\\textbraceleft{}x\\textbraceright{} 100\\% \\& \\$5\\_\\#1 "), "{entry}");
        assert!(
            entry.contains("author = {{\\textbraceright{}}},"),
            "{entry}"
        );
        assert!(!entry.contains("doi"), "{entry}");
        // Every field ends where it began: BibTeX sees braces alone.
        let mut depth = 0;
        for c in entry.chars() {
            depth += match c {
                '{' => 1,
                '}' => -1,
                _ => 0,
            };
            assert!(depth >= 0 && (c != '\n' || depth <= 1), "{entry}");
        }
        assert_eq!(depth, 0, "{entry}");
    }
}

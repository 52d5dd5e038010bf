//! Full-text search by SQLite's FTS5: which words of a publication are indexed, and how a person's search becomes a query.
//!
//! The tokenizer (`unicode61`) takes letters and digits for words and everything else for what stands between them, so a path falls into
//! its words; it folds case and diacritics. What a person types never has a meaning in FTS5's own language: each word and phrase
//! of it stands there as a string, in which nothing but a quote is special, and quotes do not come that far.

use sqlx::SqliteConnection;

use crate::domain::publication::PublicationId;

/// Bytes of paths of one publication that are indexed. The migration that makes the index has the same bound.
const MAX_PATH_BYTES: i64 = 1024 * 1024;

/// Words and phrases of a search that count, and characters of each: every one costs time.
const MAX_TERMS: usize = 16;
const MAX_TERM_LENGTH: usize = 128;

/// Indexes the words of the publication `$1`, which is listed, in place of those that it had.
const INDEX_WORDS: &str = "INSERT OR REPLACE INTO search (rowid, title, creator, description, tags, names)
    SELECT listing.number, publication.title, publication.creator, publication.description, publication.tags,
        publication.name || char(10) || coalesce((
            SELECT group_concat(path, char(10))
            FROM (SELECT path, sum(octet_length(path)) OVER (ORDER BY ordinal) AS bytes
                  FROM published_file WHERE published_file.publication = listing.publication)
            WHERE bytes <= $2), '')
    FROM listing JOIN publication ON publication.id = listing.publication
    WHERE listing.publication = $1";

/// Indexes the words of a listed publication, in place of those that it had.
pub(super) async fn index_words(
    connection: &mut SqliteConnection,
    id: PublicationId,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(INDEX_WORDS);
    let query = query.bind(id.as_str().to_owned()).bind(MAX_PATH_BYTES);
    query.execute(connection).await?;
    Ok(())
}

/// A part of a search.
#[derive(Debug, PartialEq, Eq)]
enum Term {
    /// A word, which may go on: `deb` finds Debian.
    Word(String),
    /// Words in this order, each of them whole.
    Phrase(String),
}

/// A search in the language of FTS5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// Words may go on.
    pub(super) words: String,
    /// Words are whole. It finds a part of the same, and sooner: where many words begin alike, FTS5 has to bring their matches together.
    pub(super) whole_words: String,
}

/// A person's search: every word and every phrase has to be there. `None` where nothing is asked for; what is asked for without a word
/// matches nothing.
pub(super) fn to_match(text: &str) -> Option<Match> {
    if text.trim().is_empty() {
        return None;
    }
    let mut strings: Vec<String> = Vec::new();
    let mut whole: Vec<String> = Vec::new();
    for term in terms(text).take(MAX_TERMS) {
        let (text, may_go_on) = match &term {
            Term::Word(text) => (text, text.ends_with(char::is_alphanumeric)),
            Term::Phrase(text) => (text, false),
        };
        let text: String = text.chars().take(MAX_TERM_LENGTH).collect();
        let string = format!("\"{text}\"{}", if may_go_on { "*" } else { "" });
        if !strings.contains(&string) {
            strings.push(string);
            whole.push(format!("\"{text}\""));
        }
    }
    if strings.is_empty() {
        let nothing = "\"\"".to_owned();
        (strings, whole) = (vec![nothing.clone()], vec![nothing]);
    }
    Some(Match {
        words: strings.join(" "),
        whole_words: whole.join(" "),
    })
}

/// The terms of a search. What stands between quotes is a phrase; one that nobody has closed yet is words still.
fn terms(text: &str) -> impl Iterator<Item = Term> {
    // FTS5 reads a query up to the first NUL, and no word has control characters.
    let text = text.replace(char::is_control, " ");
    let parts: Vec<String> = text.split(is_quote).map(str::to_owned).collect();
    let last = parts.len().saturating_sub(1);
    let terms = parts
        .into_iter()
        .enumerate()
        .flat_map(move |(place, part)| {
            if place % 2 == 1 && place < last {
                return vec![Term::Phrase(part)];
            }
            let words = part.split_whitespace();
            words.map(|word| Term::Word(word.to_owned())).collect()
        });
    terms.filter(|term| match term {
        Term::Word(text) | Term::Phrase(text) => !text.trim().is_empty(),
    })
}

/// Quotes of a keyboard, and those that phones and word processors make of them.
const fn is_quote(c: char) -> bool {
    matches!(c, '"' | '“' | '”' | '„')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Option<String> {
        to_match(text).map(|query| query.words)
    }

    #[test]
    fn words_may_go_on_and_phrases_are_whole() {
        for (text, expected) in [
            ("soil", r#""soil"*"#),
            ("  soil   elbe ", r#""soil"* "elbe"*"#),
            ("soil soil", r#""soil"*"#),
            (r#""soil of the" elbe"#, r#""soil of the" "elbe"*"#),
            ("“soil of„ elbe", r#""soil of" "elbe"*"#),
            (r#""soil of"#, r#""soil"* "of"*"#),
            (r#"a"b c"d"#, r#""a"* "b c" "d"*"#),
            ("c++", r#""c++""#),
            ("a\0b", r#""a"* "b"*"#),
            ("title:x* OR (NOT y)", r#""title:x*" "OR"* "(NOT"* "y)""#),
        ] {
            assert_eq!(words(text).as_deref(), Some(expected), "{text}");
            let whole = to_match(text).unwrap().whole_words;
            assert_eq!(whole, expected.replace("\"*", "\""), "{text}");
        }
        for nothing in ["", " ", "\n\u{a0}"] {
            assert_eq!(words(nothing), None, "{nothing:?}");
        }
        for no_word in ["\"\"", "\" \"", "\"", "\0"] {
            assert_eq!(words(no_word).as_deref(), Some("\"\""), "{no_word:?}");
        }
    }

    #[test]
    fn what_counts_of_a_search_is_bounded() {
        let long = words(&"x".repeat(100_000)).unwrap();
        assert_eq!(long.len(), MAX_TERM_LENGTH + 3);
        let many: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        assert_eq!(
            words(&many.join(" ")).unwrap().split(' ').count(),
            MAX_TERMS
        );
    }
}

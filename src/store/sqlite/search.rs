//! Full-text search by SQLite's FTS5: which words of a publication are indexed, and how a person's search becomes a query.
//!
//! The tokenizer (`unicode61`) takes letters and digits for words and everything else for what stands between them, so a path falls into
//! its words; it folds case and diacritics. What a person types never has a meaning in FTS5's own language: each word and phrase
//! of it stands there as a string, in which nothing but a quote is special, and quotes do not come that far.

use sqlx::{Executor, SqliteConnection};

use crate::domain::publication::PublicationId;

/// Bytes of paths of one publication that are indexed. The migration that makes the index has the same bound.
const MAX_PATH_BYTES: i64 = 1024 * 1024;

/// The words of the index in their order, a row for each place where one stands.
const VOCABULARY: &str =
    "CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, search, instance)";

/// The first `$3` words of the index from `$1` on and before `$2`. It skips from word to word: what follows a word at once is the word with
/// the least character that words have.
const WORDS_BETWEEN: &str = "WITH RECURSIVE word (term) AS (
        SELECT (SELECT term FROM temp.vocabulary WHERE term >= $1 AND term < $2 LIMIT 1)
        UNION ALL
        SELECT (SELECT term FROM temp.vocabulary WHERE term >= word.term || '0' AND term < $2 LIMIT 1)
        FROM word WHERE word.term IS NOT NULL
    )
    SELECT term FROM word WHERE term IS NOT NULL LIMIT $3";

/// Characters of beginnings that the index keeps. Matches of a longer one FTS5 gathers word by word, all of them before it gives the first.
const MAX_INDEXED_BEGINNING: usize = 3;

/// Words that are put in the place of one that may go on, at most; each costs a look into the index.
const MAX_ALTERNATIVES: u8 = 16;

/// Words of a search for which others are looked up, at most.
const MAX_LOOKUPS: usize = 4;

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

/// Prepares a connection for searches.
pub(super) async fn open_vocabulary(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    connection.execute(VOCABULARY).await?;
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
    /// Whether it gathers all matches of a word that may go on before it gives the first, so that even to ask about one publication is dear.
    pub(super) gathers: bool,
}

/// A word or a phrase as FTS5 reads it.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    /// Without quotes.
    text: String,
    may_go_on: bool,
}

impl Part {
    fn whole(&self) -> String {
        format!("\"{}\"", self.text)
    }

    fn query(&self) -> String {
        format!("{}{}", self.whole(), if self.may_go_on { "*" } else { "" })
    }

    /// Whether FTS5 gathers its matches, where no words stand in its place.
    fn gathers(&self) -> bool {
        self.may_go_on && self.text.chars().count() > MAX_INDEXED_BEGINNING
    }

    /// Whether words are worth looking up for it, and can be: what the tokenizer makes of letters beyond ASCII it alone knows.
    fn is_long_beginning(&self) -> bool {
        self.may_go_on
            && self.text.len() > MAX_INDEXED_BEGINNING
            && self.text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }

    /// The words of the index that begin like it, as FTS5 reads them; none where there are too many.
    async fn alternatives(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Vec<String>, sqlx::Error> {
        let first = self.text.to_ascii_lowercase();
        let end = format!("{first}{}", char::MAX);
        let words = sqlx::query_scalar(WORDS_BETWEEN).bind(first).bind(end);
        let words = words.bind(i64::from(MAX_ALTERNATIVES).saturating_add(1));
        let words: Vec<String> = words.fetch_all(connection).await?;
        if words.len() > usize::from(MAX_ALTERNATIVES) {
            return Ok(Vec::new());
        }
        Ok(words.iter().map(|word| format!("\"{word}\"")).collect())
    }
}

/// A person's search: every word and every phrase has to be there. `None` where nothing is asked for.
///
/// A few words of the index stand in the place of one that may go on: of whole words FTS5 gives the first matches at once.
pub(super) async fn to_match(
    connection: &mut SqliteConnection,
    text: &str,
) -> Result<Option<Match>, sqlx::Error> {
    let Some(parts) = parts(text) else {
        return Ok(None);
    };
    let mut lookups = 0..MAX_LOOKUPS;
    let (mut strings, mut choices) = (Vec::new(), Vec::new());
    let mut gathers = false;
    for part in &parts {
        let mut words = Vec::new();
        if part.is_long_beginning() && lookups.next().is_some() {
            words = part.alternatives(connection).await?;
        }
        match words.len() {
            0 => {
                gathers |= part.gathers();
                strings.push(part.query());
            }
            1 => strings.append(&mut words),
            _ => choices.push(format!("({})", words.join(" OR "))),
        }
    }
    let queries: Vec<String> = parts.iter().map(Part::query).collect();
    let whole_words: Vec<String> = parts.iter().map(Part::whole).collect();
    // FTS5 passes over strings without a word where they stand beside others. Before an AND they would match nothing.
    let has_word = |string: &String| string.contains(|c: char| c.is_ascii_alphanumeric());
    let words = if strings.is_empty() || strings.iter().any(has_word) {
        let strings = Some(strings.join(" ")).filter(|strings| !strings.is_empty());
        let all: Vec<String> = strings.into_iter().chain(choices).collect();
        all.join(" AND ")
    } else {
        gathers = parts.iter().any(Part::gathers);
        queries.join(" ")
    };
    Ok(Some(Match {
        gathers,
        words,
        whole_words: whole_words.join(" "),
    }))
}

/// What a search asks for, each part once. `None` where it asks for nothing; what asks without a word matches nothing.
fn parts(text: &str) -> Option<Vec<Part>> {
    if text.trim().is_empty() {
        return None;
    }
    let mut parts: Vec<Part> = Vec::new();
    for term in terms(text).take(MAX_TERMS) {
        let (text, may_go_on) = match &term {
            Term::Word(text) => (text, text.ends_with(char::is_alphanumeric)),
            Term::Phrase(text) => (text, false),
        };
        let text = text.chars().take(MAX_TERM_LENGTH).collect();
        let part = Part { text, may_go_on };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    if parts.is_empty() {
        parts.push(Part {
            text: String::new(),
            may_go_on: false,
        });
    }
    Some(parts)
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

    fn joined(text: &str, write: fn(&Part) -> String) -> Option<String> {
        let parts: Vec<String> = parts(text)?.iter().map(write).collect();
        Some(parts.join(" "))
    }

    fn words(text: &str) -> Option<String> {
        joined(text, Part::query)
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
            let whole = joined(text, Part::whole).unwrap();
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

//! Pages of the catalogue.
//!
//! Every publication that is listed has a number, which grows in the order in which they came out. A page begins after a number, so the
//! hundredth costs what the first does, and full-text search gives its matches in the same order. No page counts the catalogue: its size
//! is kept by triggers, and matches are counted up to a bound.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use super::SqliteStore;
use super::publications::{PublicationRow, from_integer, to_integer};
use super::search::to_match;
use crate::store::StoreError;
use crate::store::publications::{Cursor, MAX_COUNTED, MAX_PAGE, Page, PageQuery, Total};

/// Up to `$2` publications that came out before the number `$1`.
const LISTED: &str = "SELECT publication.*, listing.number
    FROM listing CROSS JOIN publication ON publication.id = listing.publication
    WHERE listing.number < $1
    ORDER BY listing.number DESC
    LIMIT $2";

/// The same, of those that match `$3`.
const FOUND: &str = "SELECT publication.*, listing.number
    FROM search
    CROSS JOIN listing ON listing.number = search.rowid
    CROSS JOIN publication ON publication.id = listing.publication
    WHERE search MATCH $3 AND search.rowid < $1
    ORDER BY search.rowid DESC
    LIMIT $2";

/// How many are listed.
const COUNT_LISTED: &str = "SELECT publications FROM catalogue_size";

/// How many match `$1`, counted up to `$2`.
const COUNT_FOUND: &str =
    "SELECT count(*) FROM (SELECT 1 FROM search WHERE search MATCH $1 LIMIT $2)";

impl SqliteStore {
    pub(super) async fn catalogue_page(&self, query: &PageQuery) -> Result<Page, StoreError> {
        let text = to_match(&query.text);
        let before = query.after.map_or(i64::MAX, |cursor| cursor.0);
        let limit = query.limit.clamp(1, MAX_PAGE);
        // One more than the page holds tells whether another page follows.
        let rows = match &text {
            None => sqlx::query_as(LISTED),
            Some(_) => sqlx::query_as(FOUND),
        };
        let rows = rows.bind(before).bind(i64::from(limit).saturating_add(1));
        let rows = match &text {
            None => rows,
            Some(text) => rows.bind(text),
        };
        let mut rows: Vec<ListedRow> = rows.fetch_all(&self.readers).await?;
        let total = self.total(text.as_deref()).await?;

        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map(|row| Cursor(row.number));
        let publications = rows.into_iter().map(|row| row.publication.into_summary());
        Ok(Page {
            publications: publications.collect::<Result<_, _>>()?,
            next: last.filter(|_| has_more),
            total,
        })
    }

    async fn total(&self, text: Option<&str>) -> Result<Total, StoreError> {
        let Some(text) = text else {
            let listed = sqlx::query_scalar(COUNT_LISTED);
            let listed = listed.fetch_one(&self.readers).await?;
            return Ok(Total::Exactly(from_integer(listed)));
        };
        let found = sqlx::query_scalar(COUNT_FOUND);
        let found = found.bind(text).bind(to_integer(MAX_COUNTED + 1));
        let found = from_integer(found.fetch_one(&self.readers).await?);
        Ok(match found {
            0..=MAX_COUNTED => Total::Exactly(found),
            _ => Total::Many,
        })
    }
}

/// A publication and its number.
struct ListedRow {
    number: i64,
    publication: PublicationRow,
}

impl FromRow<'_, SqliteRow> for ListedRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            number: row.try_get("number")?,
            publication: PublicationRow::from_row(row)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
    use sqlx::{AssertSqlSafe, Executor};

    use super::super::{MIGRATIONS, Options, migrator};
    use super::*;
    use crate::store::conformance;
    use crate::store::publications::PublicationStore;

    async fn open(folder: &tempfile::TempDir) -> SqliteStore {
        let path = folder.path().join("sower.db");
        SqliteStore::open(&path, &Options::default()).await.unwrap()
    }

    async fn plan(store: &SqliteStore, sql: &str) -> Vec<String> {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = sqlx::query(explain).fetch_all(&store.readers).await;
        let rows = rows.unwrap();
        rows.iter().map(|row| row.get("detail")).collect()
    }

    #[tokio::test]
    async fn no_page_walks_over_the_catalogue() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        let publications = "SEARCH publication USING PRIMARY KEY (id=?)";
        assert_eq!(
            plan(&store, LISTED).await,
            [
                "SEARCH listing USING INTEGER PRIMARY KEY (rowid<?)",
                publications
            ]
        );
        // So SQLite calls a look-up in the full-text index: 192 for its own order backwards, `M` for MATCH, `<` for the number.
        assert_eq!(
            plan(&store, FOUND).await,
            [
                "SCAN search VIRTUAL TABLE INDEX 192:M5<",
                "SEARCH listing USING INTEGER PRIMARY KEY (rowid=?)",
                publications
            ]
        );
        let counted = plan(&store, COUNT_FOUND).await;
        assert!(
            counted.contains(&"SCAN search VIRTUAL TABLE INDEX 0:M5".to_owned()),
            "{counted:?}"
        );
        for step in counted {
            assert!(!step.contains("TEMP B-TREE"), "{step}");
        }
        assert_eq!(plan(&store, COUNT_LISTED).await, ["SCAN catalogue_size"]);
    }

    #[tokio::test]
    async fn publications_of_an_old_database_are_listed_and_found() {
        let folder = tempfile::tempdir().unwrap();
        let connect = SqliteConnectOptions::new()
            .filename(folder.path().join("sower.db"))
            .create_if_missing(true);
        let old = SqlitePool::connect_with(connect).await.unwrap();
        migrator(&MIGRATIONS[..5]).run(&old).await.unwrap();
        old.execute(
            "INSERT INTO publication (id, title, description, private, name, info_hash_v1, piece_length, total_length,
                 file_count, publisher, created_at, published_at)
             VALUES ('bbbbbbbbbb', 'Later', 'Of the marshes', FALSE, 'folder', x'0101010101010101010101010101010101010101', 1, 1, 2, '', 2, 2),
                    ('aaaaaaaaaa', 'Earlier', '', FALSE, 'folder', x'0202020202020202020202020202020202020202', 1, 0, 0, '', 1, 1);
             INSERT INTO published_file VALUES ('bbbbbbbbbb', 0, 'maps/elbe.tif', 1, zeroblob(32), 0),
                    ('bbbbbbbbbb', 1, 'readme', 0, zeroblob(32), 1)",
        )
        .await
        .unwrap();
        old.close().await;
        let store = open(&folder).await;
        for (text, titles) in [
            ("", vec!["Later", "Earlier"]),
            ("folder", vec!["Later", "Earlier"]),
            ("marsh ELBE readme", vec!["Later"]),
        ] {
            let query = PageQuery {
                text: text.to_owned(),
                limit: 10,
                ..PageQuery::default()
            };
            let page = store.page(&query).await.unwrap();
            assert_eq!(page.total, Total::Exactly(titles.len() as u64), "{text}");
            let found = page.publications.iter();
            let found: Vec<_> = found.map(|it| it.publication.title.as_str()).collect();
            assert_eq!(found, titles, "{text}");
        }
        let (newest, metainfo) = conformance::example("cccccccccc", 0);
        store.insert(&newest, &metainfo).await.unwrap();
        let page = store.page(&PageQuery::default()).await.unwrap();
        assert_eq!(page.publications[0].publication.id, newest.id);
        assert_eq!(page.total, Total::Exactly(3));
    }

    #[test]
    fn whatever_is_typed_is_a_search_for_its_own_words() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = runtime.block_on(open(&folder));
        let find = |text: &str| {
            let query = PageQuery {
                text: text.to_owned(),
                ..PageQuery::default()
            };
            runtime.block_on(store.page(&query)).unwrap()
        };
        let (publication, metainfo) = conformance::example("aaaaaaaaaa", 1);
        let inserted = store.insert(&publication, &metainfo);
        runtime.block_on(inserted).unwrap();
        // Of words, and of all that FTS5 gives a meaning.
        let typed = "([a-zA-Zà-ÿ0-9]{1,4}|[ \"“„*^:(){}+.,-]|AND|OR|NOT|NEAR){1,12}";
        proptest!(ProptestConfig::with_cases(64), |(typed in typed, anything in any::<String>())| {
            find(&anything);
            let (from, mut to) = (runtime.block_on(store.publication(publication.id)).unwrap().unwrap().words(), publication.words());
            to.title.clone_from(&typed);
            let reworded = store.reword(publication.id, &from, &to);
            prop_assert!(runtime.block_on(reworded).unwrap());
            if typed.contains(char::is_alphanumeric) {
                prop_assert_eq!(find(&typed).total, Total::Exactly(1));
                prop_assert_eq!(find(&typed.to_uppercase()).total, Total::Exactly(1));
            }
            prop_assert_eq!(find(&format!("{typed} nowhere")).total, Total::Exactly(0));
        });
    }
}

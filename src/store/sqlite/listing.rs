//! Pages of the catalogue.
//!
//! Every publication has a number, which grows in the order in which they came out, and is filed under facets: one for all, and one for each
//! tag, its licence and its creator. What is filed under a facet is indexed in every order, so a page is a walk over one index from where
//! the last page ended, and the hundredth costs what the first does. Of several facets the rarest is walked along. Full-text search
//! gives its matches by number; in another order few are sorted, all of them, and where many match, the index in that order is walked along
//! and each publication held against the search. No page counts the catalogue: facets know how many they have, and other matches are
//! counted up to a bound.

use std::fmt::Write as _;

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, FromRow, Row, SqliteConnection};

use super::SqliteStore;
use super::publications::{PublicationRow, from_integer, to_integer};
use super::search::{Match, to_match};
use crate::domain::publication::PublicationId;
use crate::store::StoreError;
use crate::store::publications::{
    Cursor, Facet, FacetKind, Filters, MAX_COUNTED, MAX_PAGE, Order, Page, PageQuery, Total,
};

/// What a publication is filed under, entered where it is new; what it was filed under, removed; and then filed. `$1` is its id.
const FILE: [&str; 3] = [
    "INSERT OR IGNORE INTO facet (kind, name) SELECT kind, name FROM filing WHERE publication = $1",
    "DELETE FROM filed WHERE number = (SELECT number FROM listing WHERE publication = $1)",
    "INSERT INTO filed (facet, number, total_length, completed)
     SELECT facet.id, filing.number, publication.total_length, coalesce(tally.completed, 0)
     FROM filing
     JOIN facet ON facet.kind = filing.kind AND facet.name = filing.name
     JOIN publication ON publication.id = filing.publication
     LEFT JOIN tally ON tally.publication = filing.publication
     WHERE filing.publication = $1",
];

/// The facet of a kind `$1` and a name `$2`.
const FACET: &str = "SELECT id, publications FROM facet WHERE kind = $1 AND name = $2";

/// The `$2` facets of the kind `$1` that have most publications.
const LARGEST_FACETS: &str = "SELECT name, publications FROM facet
    WHERE kind = $1 AND publications > 0
    ORDER BY publications DESC, name DESC
    LIMIT $2";

/// Publications on a page's way that are held against a search, at most, for each on the page. Where that is not enough the matches are sorted.
const HELD_FOR_EACH: i64 = 8;

/// One in so many publications has to match for that to be tried. To hold one against a search takes as long as to sort some hundred matches.
const ONE_IN: i64 = 4;

/// What is filed under the facet `$1` up to the number `$2`, counted up to `$3`.
const FILED_SO_FAR: &str =
    "SELECT count(*) FROM (SELECT 1 FROM filed WHERE facet = $1 AND number <= $2 LIMIT $3)";

/// Files a publication under its facets, in place of those that it had.
pub(super) async fn file(
    connection: &mut SqliteConnection,
    id: PublicationId,
) -> Result<(), sqlx::Error> {
    for step in FILE {
        let query = sqlx::query(step).bind(id.as_str().to_owned());
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// The way to a page: over the index of what is filed under one facet, or over the matches of a search.
#[derive(Clone, Copy, Debug)]
struct Walk {
    order: Order,
    is_search: bool,
    /// Facets beside the one that is walked along.
    others: usize,
}

impl Walk {
    /// The column that orders by more than the number.
    const fn key(self) -> Option<&'static str> {
        match self.order {
            Order::Newest | Order::Oldest => None,
            Order::Largest => Some("filed.total_length"),
            Order::MostWanted => Some("filed.completed"),
        }
    }

    /// What the walk goes over: all under the facet `$1` that match `$5` and are under the facets `$6` and on.
    fn source(self) -> String {
        self.filtered(if self.is_search {
            "FROM search CROSS JOIN filed
             WHERE search MATCH $5 AND filed.facet = $1 AND filed.number = search.rowid"
        } else {
            "FROM filed WHERE filed.facet = $1"
        })
    }

    /// Those of a source that are under the facets `$6` and on.
    fn filtered(self, source: &str) -> String {
        let mut sql = source.to_owned();
        for other in 0..self.others {
            // Writing to a string cannot fail.
            let _ = write!(
                sql,
                " AND EXISTS (SELECT 1 FROM filed AS other WHERE other.facet = ${} AND other.number = filed.number)",
                other + 6
            );
        }
        sql
    }

    /// The order, and what lies beyond the place that `$2`, its key, and `$3`, its number, say; `key` and `number` are what is ordered by.
    fn beyond(self, number: &str) -> (&str, String, String) {
        match (self.key(), self.order) {
            (Some(key), _) => (
                key,
                format!("({key}, filed.number) < ($2, $3)"),
                format!("{key} DESC, filed.number DESC"),
            ),
            (None, Order::Oldest) => (number, format!("{number} > $3"), format!("{number} ASC")),
            (None, _) => (number, format!("{number} < $3"), format!("{number} DESC")),
        }
    }

    /// `$4` publications beyond that place.
    fn page(self) -> String {
        let number = if self.is_search {
            "search.rowid"
        } else {
            "filed.number"
        };
        let (key, beyond, order) = self.beyond(number);
        let source = self.source();
        read(&format!(
            "SELECT filed.number AS number, {key} AS key {source} AND {beyond} ORDER BY {order} LIMIT $4"
        ))
    }

    /// The same in the order of its key, or fewer where not enough of the first on the way match `$5`.
    fn page_along_key(self) -> String {
        let (key, beyond, order) = self.beyond("filed.number");
        let source = self.filtered("FROM filed WHERE filed.facet = $1");
        // Not EXISTS, of which SQLite may make a join, in an order of its own.
        read(&format!(
            "SELECT number, key FROM (
                 SELECT filed.number AS number, {key} AS key {source} AND {beyond} ORDER BY {order} LIMIT $4 * {HELD_FOR_EACH}
             ) AS candidate
             WHERE (SELECT 1 FROM search WHERE search MATCH $5 AND search.rowid = candidate.number) IS NOT NULL
             LIMIT $4"
        ))
    }

    /// How many there are, counted up to `$4`, and the greatest number among them.
    fn count(self) -> String {
        let source = self.source();
        format!(
            "SELECT count(*), max(number) FROM (SELECT filed.number AS number {source} LIMIT $4)"
        )
    }
}

/// Reads a page of numbers. It is found before its publications are read, and comes as it was found; whoever reads it puts it in order nevertheless.
fn read(page: &str) -> String {
    format!(
        "WITH page AS MATERIALIZED ({page})
         SELECT publication.*, page.number, page.key
         FROM page
         CROSS JOIN listing ON listing.number = page.number
         CROSS JOIN publication ON publication.id = listing.publication"
    )
}

impl SqliteStore {
    pub(super) async fn catalogue_page(&self, query: &PageQuery) -> Result<Page, StoreError> {
        let Some(facets) = self.facets_of(&query.filters).await? else {
            return Ok(Page::default());
        };
        let search = to_match(&mut *self.readers.acquire().await?, &query.text).await?;
        let walk = Walk {
            order: query.order,
            is_search: search.is_some(),
            others: facets.len().saturating_sub(1),
        };
        let limit = query.limit.clamp(1, MAX_PAGE);
        let text = search.as_ref().map(|search| search.words.as_str());
        let after = query.after.unwrap_or_else(|| start(query.order));
        // One more than the page holds tells whether another page follows.
        let wanted = i64::from(limit).saturating_add(1);
        let (total, is_common) = self.total(walk, &facets, search.as_ref()).await?;
        let mut rows = Vec::new();
        if is_common {
            let page = walk.page_along_key();
            rows = self.rows(page, &facets, after, wanted, text).await?;
        }
        if i64::try_from(rows.len()) != Ok(wanted) {
            let page = walk.page();
            rows = self.rows(page, &facets, after, wanted, text).await?;
        }
        rows.sort_by_key(|row| (row.key, row.number));
        if query.order != Order::Oldest {
            rows.reverse();
        }

        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().map(|row| Cursor {
            key: row.key,
            number: row.number,
        });
        let publications = rows.into_iter().map(|row| row.publication.into_summary());
        Ok(Page {
            publications: publications.collect::<Result<_, _>>()?,
            next: last.filter(|_| has_more),
            total,
        })
    }

    /// The facets that filters name, the rarest first; that of all publications where they name none. `None` where nothing is filed under
    /// one of them.
    async fn facets_of(&self, filters: &Filters) -> Result<Option<Vec<FacetRow>>, StoreError> {
        let named = [
            ("tag", &filters.tag),
            ("licence", &filters.licence),
            ("creator", &filters.creator),
        ];
        let named = named.into_iter();
        let mut named: Vec<(&str, &str)> = named
            .filter_map(|(kind, name)| Some((kind, name.as_deref()?)))
            .collect();
        if named.is_empty() {
            named.push(("all", ""));
        }
        let mut facets = Vec::with_capacity(named.len());
        for (kind, name) in named {
            let facet = sqlx::query_as(FACET).bind(kind).bind(name);
            let facet: Option<(i64, i64)> = facet.fetch_optional(&self.readers).await?;
            let Some((id, publications)) = facet else {
                return Ok(None);
            };
            facets.push(FacetRow { id, publications });
        }
        facets.sort_by_key(|facet| facet.publications);
        Ok(Some(facets))
    }

    /// The rows of a page, as SQL finds them.
    async fn rows(
        &self,
        page: String,
        facets: &[FacetRow],
        after: Cursor,
        wanted: i64,
        text: Option<&str>,
    ) -> Result<Vec<ListedRow>, StoreError> {
        let page = sqlx::query_as(AssertSqlSafe(page))
            .bind(facets.first().map(|facet| facet.id))
            .bind(after.key)
            .bind(after.number)
            .bind(wanted)
            .bind(text);
        let others = facets.iter().skip(1);
        let page = others.fold(page, |page, facet| page.bind(facet.id));
        Ok(page.fetch_all(&self.readers).await?)
    }

    /// How many there are, and whether a search in the order of a key matches so many that it is best walked along that.
    async fn total(
        &self,
        walk: Walk,
        facets: &[FacetRow],
        search: Option<&Match>,
    ) -> Result<(Total, bool), StoreError> {
        if let ([only], None) = (facets, search) {
            let total = Total::Exactly(from_integer(only.publications));
            return Ok((total, false));
        }
        let text = search.map(|search| search.words.as_str());
        // Whole words are the smaller part, and found at once. Where they are many already, so is all of it.
        let whole_words = search.filter(|search| search.whole_words != search.words);
        let mut counted = Counted::default();
        if let Some(search) = whole_words {
            counted = self.count(walk, facets, Some(&search.whole_words)).await?;
        }
        if counted.total() != Total::Many {
            counted = self.count(walk, facets, text).await?;
        }
        let may_walk = walk.key().is_some() && search.is_some_and(|search| !search.gathers);
        let is_common =
            may_walk && counted.total() == Total::Many && self.is_common(facets, &counted).await?;
        Ok((counted.total(), is_common))
    }

    async fn count(
        &self,
        walk: Walk,
        facets: &[FacetRow],
        text: Option<&str>,
    ) -> Result<Counted, StoreError> {
        let nowhere: Option<i64> = None;
        let count = sqlx::query_as(AssertSqlSafe(walk.count()))
            .bind(facets.first().map(|facet| facet.id))
            .bind(nowhere)
            .bind(nowhere)
            .bind(to_integer(MAX_COUNTED + 1))
            .bind(text);
        let others = facets.iter().skip(1);
        let count = others.fold(count, |count, facet| count.bind(facet.id));
        let (found, last) = count.fetch_one(&self.readers).await?;
        Ok(Counted { found, last })
    }

    /// Whether what was counted is one in [`ONE_IN`] of what is filed so far.
    async fn is_common(&self, facets: &[FacetRow], counted: &Counted) -> Result<bool, StoreError> {
        let most = counted.found.saturating_mul(ONE_IN);
        let filed = sqlx::query_scalar(FILED_SO_FAR)
            .bind(facets.first().map(|facet| facet.id))
            .bind(counted.last)
            .bind(most.saturating_add(1));
        let filed: i64 = filed.fetch_one(&self.readers).await?;
        Ok(filed <= most)
    }

    pub(super) async fn largest_facets(
        &self,
        kind: FacetKind,
        limit: u32,
    ) -> Result<Vec<Facet>, StoreError> {
        let kind = match kind {
            FacetKind::Tag => "tag",
            FacetKind::Licence => "licence",
        };
        let rows = sqlx::query_as(LARGEST_FACETS).bind(kind).bind(limit);
        let rows: Vec<(String, i64)> = rows.fetch_all(&self.readers).await?;
        let facets = rows.into_iter().map(|(name, publications)| Facet {
            name,
            publications: from_integer(publications),
        });
        Ok(facets.collect())
    }
}

/// Where the first page begins.
const fn start(order: Order) -> Cursor {
    let end = match order {
        Order::Oldest => i64::MIN,
        Order::Newest | Order::Largest | Order::MostWanted => i64::MAX,
    };
    Cursor {
        key: end,
        number: end,
    }
}

/// Matches that were counted up to a bound.
#[derive(Default)]
struct Counted {
    found: i64,
    /// The greatest number among them.
    last: Option<i64>,
}

impl Counted {
    fn total(&self) -> Total {
        match from_integer(self.found) {
            found @ 0..=MAX_COUNTED => Total::Exactly(found),
            _ => Total::Many,
        }
    }
}

struct FacetRow {
    id: i64,
    publications: i64,
}

/// A publication, and its place in the order.
struct ListedRow {
    number: i64,
    key: i64,
    publication: PublicationRow,
}

impl FromRow<'_, SqliteRow> for ListedRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            number: row.try_get("number")?,
            key: row.try_get("key")?,
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

    const ORDERS: [Order; 4] = [
        Order::Newest,
        Order::Oldest,
        Order::Largest,
        Order::MostWanted,
    ];

    #[tokio::test]
    async fn no_page_walks_over_the_catalogue() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        for order in ORDERS {
            let walked = match order {
                Order::Newest => "SEARCH filed USING PRIMARY KEY (facet=? AND number<?)",
                Order::Oldest => "SEARCH filed USING PRIMARY KEY (facet=? AND number>?)",
                Order::Largest => {
                    "SEARCH filed USING COVERING INDEX filed_by_length (facet=? AND (total_length,number)<(?,?))"
                }
                Order::MostWanted => {
                    "SEARCH filed USING COVERING INDEX filed_by_downloads (facet=? AND (completed,number)<(?,?))"
                }
            };
            for others in 0..=2 {
                let walk = Walk {
                    order,
                    is_search: false,
                    others,
                };
                let plan = plan(&store, &walk.page()).await;
                let filter = "SEARCH other EXISTS USING COVERING INDEX filed_of_number (number=? AND facet=?)";
                let mut expected = vec!["MATERIALIZE page", walked];
                expected.extend(std::iter::repeat_n(filter, others));
                expected.extend([
                    "SCAN page",
                    "SEARCH listing USING INTEGER PRIMARY KEY (rowid=?)",
                    "SEARCH publication USING PRIMARY KEY (id=?)",
                ]);
                assert_eq!(plan, expected, "{walk:?}");
            }
        }
        assert_eq!(
            plan(&store, FACET).await,
            ["SEARCH facet USING INDEX sqlite_autoindex_facet_1 (kind=? AND name=?)"]
        );
        assert_eq!(
            plan(&store, LARGEST_FACETS).await,
            ["SEARCH facet USING COVERING INDEX facet_by_size (kind=? AND publications>?)"]
        );
    }

    #[tokio::test]
    async fn a_search_goes_along_its_matches() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        for order in ORDERS {
            let walk = Walk {
                order,
                is_search: true,
                others: 1,
            };
            // So SQLite calls a look-up in the full-text index: `M` stands for MATCH, `<` and `>` for the number, and the figure in front
            // for the order in which it gives its rows: 64 for its own, 192 for that backwards.
            let (found, is_sorted) = match order {
                Order::Newest => ("SCAN search VIRTUAL TABLE INDEX 192:M5<", false),
                Order::Oldest => ("SCAN search VIRTUAL TABLE INDEX 64:M5>", false),
                Order::Largest | Order::MostWanted => {
                    ("SCAN search VIRTUAL TABLE INDEX 0:M5", true)
                }
            };
            let plan = plan(&store, &walk.page()).await;
            assert_eq!(plan[1], found, "{plan:?}");
            assert!(plan[2].starts_with("SEARCH filed USING "), "{plan:?}");
            assert!(
                plan[2].ends_with(" (facet=? AND number=?)")
                    || plan[2].ends_with(" (number=? AND facet=?)"),
                "{plan:?}"
            );
            let sorts = plan.iter().filter(|step| step.contains("TEMP B-TREE"));
            assert_eq!(sorts.count(), usize::from(is_sorted), "{plan:?}");
        }
    }

    #[tokio::test]
    async fn a_search_for_what_many_have_goes_along_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        for (order, walked) in [
            (
                Order::Largest,
                "SEARCH filed USING COVERING INDEX filed_by_length (facet=? AND (total_length,number)<(?,?))",
            ),
            (
                Order::MostWanted,
                "SEARCH filed USING COVERING INDEX filed_by_downloads (facet=? AND (completed,number)<(?,?))",
            ),
        ] {
            let walk = Walk {
                order,
                is_search: true,
                others: 0,
            };
            let plan = plan(&store, &walk.page_along_key()).await;
            let expected = [
                "MATERIALIZE page",
                "CO-ROUTINE candidate",
                walked,
                "SCAN candidate",
                "CORRELATED SCALAR SUBQUERY 2",
                // `=` stands for the number.
                "SCAN search VIRTUAL TABLE INDEX 0:=M5",
                "SCAN page",
                "SEARCH listing USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH publication USING PRIMARY KEY (id=?)",
            ];
            assert_eq!(plan, expected, "{walk:?}");
        }
        assert_eq!(
            plan(&store, FILED_SO_FAR).await,
            [
                "CO-ROUTINE (subquery-1)",
                "SEARCH filed USING PRIMARY KEY (facet=? AND number<?)",
                "SCAN (subquery-1)"
            ]
        );
    }

    /// All are of the fen, the smaller ones of loam, and a few large ones of turf.
    #[tokio::test]
    async fn however_many_match_they_come_in_the_order_of_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        let mut all = Vec::new();
        for number in 0..1_500_u64 {
            let letters = b"abcdefghijklmnopqrstuvwxyz";
            let digit = |place: u32| {
                char::from(letters[usize::try_from(number / 26_u64.pow(place) % 26).unwrap()])
            };
            let id = format!("aaaaaa{}{}{}{}", digit(3), digit(2), digit(1), digit(0));
            let (mut publication, metainfo) = conformance::example(&id, 1);
            publication.total_length = number * 7_919 % 1_501 / 3;
            let loam = if publication.total_length < 400 {
                " loam"
            } else {
                ""
            };
            let turf = if publication.total_length > 475 {
                " turf"
            } else {
                ""
            };
            publication.title = format!("fen{loam}{turf}");
            store.insert(&publication, &metainfo).await.unwrap();
            all.push((publication.total_length, number, publication.title));
        }
        all.sort_unstable();
        all.reverse();
        for word in ["fen", "loam", "turf", "fe"] {
            let expected: Vec<_> = all
                .iter()
                .filter(|(_, _, title)| title.contains(word))
                .map(|(length, _, _)| *length)
                .collect();
            let mut query = PageQuery {
                text: word.to_owned(),
                order: Order::Largest,
                limit: 90,
                ..PageQuery::default()
            };
            let mut found = Vec::new();
            loop {
                let page = store.page(&query).await.unwrap();
                found.extend(
                    page.publications
                        .iter()
                        .map(|it| it.publication.total_length),
                );
                query.after = page.next;
                if page.next.is_none() {
                    break;
                }
            }
            assert_eq!(found, expected, "{word}");
        }
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

    #[tokio::test]
    async fn a_long_beginning_is_searched_by_the_words_of_the_index() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await;
        let titles = [
            "archive", "Archives", "archivé", "ARCHIVE0", "arch", "archers",
        ];
        let many = (0..30).map(|number| format!("many{number:02}"));
        let titles: Vec<String> = titles.into_iter().map(str::to_owned).chain(many).collect();
        for (number, title) in titles.iter().enumerate() {
            let letters = "abcdefghijklmnopqrstuvwxyz";
            let id = format!(
                "aaaaaaaa{}{}",
                &letters[number / 10..][..1],
                &letters[number % 10..][..1]
            );
            let (mut publication, metainfo) = conformance::example(&id, 1);
            publication.title.clone_from(title);
            store.insert(&publication, &metainfo).await.unwrap();
        }
        let reader = &mut *store.readers.acquire().await.unwrap();
        for (text, expected, found) in [
            ("archive", r#"("archive" OR "archive0" OR "archives")"#, 4),
            ("ARCHIVES", r#""archives""#, 1),
            ("archer many07", r#""archers" "many07""#, 0),
            (
                "archive many",
                r#""many"* AND ("archive" OR "archive0" OR "archives")"#,
                0,
            ),
            // What has no word is passed over.
            ("} → archive", r#""}" "→" "archive"*"#, 4),
            ("→ archives", r#""→" "archives""#, 1),
            // The index has the first three letters; and it is not asked about more words than it is cheap to ask about.
            ("arc", r#""arc"*"#, 6),
            ("many", r#""many"*"#, 30),
            ("archivé", r#""archivé"*"#, 4),
            ("nothing", r#""nothing"*"#, 0),
        ] {
            let query = to_match(reader, text).await.unwrap().unwrap();
            assert_eq!(query.words, expected, "{text}");
            let page = PageQuery {
                text: text.to_owned(),
                ..PageQuery::default()
            };
            let page = store.page(&page).await.unwrap();
            assert_eq!(page.total, Total::Exactly(found), "{text}");
        }
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

//! Versions in SQLite: each publication names the one that it replaces, and withdrawn ones stay in the line.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::SqliteStore;
use super::publications::to_id;
use crate::domain::publication::PublicationId;
use crate::store::StoreError;
use crate::store::publications::{Newer, Version, VersionStore};

/// What came after the publication `$1`, the nearest first. `UNION` drops what was seen, and the bound ends even a line that bites its own
/// tail, which no database should have.
const NEWER: &str = "WITH RECURSIVE line (id, steps) AS (
        SELECT $1, 0
        UNION
        SELECT publication.id, steps + 1
        FROM line JOIN publication ON publication.replaces = line.id WHERE steps < 1000
        UNION
        SELECT withdrawal.publication, steps + 1
        FROM line JOIN withdrawal ON withdrawal.replaces = line.id WHERE steps < 1000
    )
    SELECT publication.id, publication.title, line.steps
    FROM line
    CROSS JOIN publication ON publication.id = line.id
    CROSS JOIN listing ON listing.publication = line.id
    WHERE line.steps > 0 AND line.id NOT IN (SELECT publication FROM takedown)
        AND (NOT publication.unlisted OR coalesce((SELECT unlisted FROM publication WHERE id = $1), 0))
    ORDER BY line.steps, listing.number";

/// Whether the line of older versions from `$1` on has `$2` in it.
const LEADS_BACK: &str = "WITH RECURSIVE line (id) AS (
        SELECT $1
        UNION
        SELECT publication.replaces
        FROM line JOIN publication ON publication.id = line.id WHERE publication.replaces IS NOT NULL
        UNION
        SELECT withdrawal.replaces
        FROM line JOIN withdrawal ON withdrawal.publication = line.id WHERE withdrawal.replaces IS NOT NULL
    )
    SELECT EXISTS (SELECT 1 FROM line WHERE id = $2)";

/// Whether `older` is `id`, or a newer version of it.
pub(super) async fn leads_back(
    connection: &mut SqliteConnection,
    older: PublicationId,
    id: PublicationId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(LEADS_BACK)
        .bind(older.as_str().to_owned())
        .bind(id.as_str().to_owned())
        .fetch_one(connection)
        .await
}

#[async_trait]
impl VersionStore for SqliteStore {
    async fn newer(&self, id: PublicationId) -> Result<Newer, StoreError> {
        let rows = sqlx::query_as(NEWER).bind(id.as_str());
        let rows: Vec<(String, String, i64)> = rows.fetch_all(&self.readers).await?;
        let version = |(id, title, _): &(String, String, i64)| {
            let id = to_id(id)?;
            let title = title.clone();
            Ok::<_, StoreError>(Version { id, title })
        };
        let nearest = rows.first().map(|(.., steps)| *steps);
        let next = rows.iter().rfind(|(.., steps)| Some(*steps) == nearest);
        Ok(Newer {
            next: next.map(version).transpose()?,
            latest: rows.last().map(version).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Row;

    use super::super::Options;
    use super::*;

    #[tokio::test]
    async fn no_line_walks_over_the_catalogue() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sower.db");
        let store = SqliteStore::open(&path, &Options::default()).await.unwrap();
        for sql in [NEWER, LEADS_BACK] {
            let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let rows = sqlx::query(explain).fetch_all(&store.readers).await;
            let plan: Vec<String> = rows.unwrap().iter().map(|row| row.get("detail")).collect();
            assert!(plan.len() > 4, "{plan:?}");
            let walks = |step: &&String| {
                step.starts_with("SCAN ")
                    && !["SCAN line", "SCAN CONSTANT ROW"].contains(&step.as_str())
            };
            assert_eq!(plan.iter().find(walks), None, "{plan:?}");
        }
    }
}

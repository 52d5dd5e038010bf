//! What publications gave and how their swarms were, in SQLite.

use async_trait::async_trait;
use sqlx::Row;

use super::SqliteStore;
use super::publications::{to_counts, to_integer, to_json};
use crate::domain::history::{Day, History, Hour, SwarmSize};
use crate::domain::publication::PublicationId;
use crate::domain::tally::Counts;
use crate::store::StoreError;
use crate::store::publications::HistoryStore;

#[async_trait]
impl HistoryStore for SqliteStore {
    async fn add_counts(
        &self,
        batch: &[(PublicationId, Counts)],
        day: Day,
    ) -> Result<(), StoreError> {
        let gains: Vec<_> = batch
            .iter()
            .map(|(id, counts)| {
                (
                    id.as_str(),
                    to_integer(counts.completed),
                    to_integer(counts.peer_bytes),
                    to_integer(counts.web_seed_bytes),
                    to_integer(counts.file_bytes),
                    to_integer(counts.delivered_bytes),
                )
            })
            .collect();
        let gains = to_json(&gains)?;
        let mut transaction = self.write().await?;
        sqlx::query(
            "INSERT INTO tally (publication, completed, peer_bytes, web_seed_bytes, file_bytes, delivered_bytes)
             SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
             FROM json_each($1)
             WHERE value ->> 0 IN (SELECT id FROM publication)
             ON CONFLICT (publication) DO UPDATE SET
                 completed = completed + excluded.completed,
                 peer_bytes = peer_bytes + excluded.peer_bytes,
                 web_seed_bytes = web_seed_bytes + excluded.web_seed_bytes,
                 file_bytes = file_bytes + excluded.file_bytes,
                 delivered_bytes = delivered_bytes + excluded.delivered_bytes",
        )
        .bind(&gains)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO swarm_day (publication, day, completed, peer_bytes, web_seed_bytes, file_bytes, delivered_bytes)
             SELECT value ->> 0, $2, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
             FROM json_each($1)
             WHERE value ->> 0 IN (SELECT id FROM publication)
             ON CONFLICT (publication, day) DO UPDATE SET
                 completed = completed + excluded.completed,
                 peer_bytes = peer_bytes + excluded.peer_bytes,
                 web_seed_bytes = web_seed_bytes + excluded.web_seed_bytes,
                 file_bytes = file_bytes + excluded.file_bytes,
                 delivered_bytes = delivered_bytes + excluded.delivered_bytes",
        )
        .bind(&gains)
        .bind(day.0)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn note_swarms(
        &self,
        batch: &[(PublicationId, SwarmSize)],
        hour: Hour,
    ) -> Result<(), StoreError> {
        let sizes: Vec<_> = batch
            .iter()
            .map(|(id, size)| (id.as_str(), size.seeders, size.leechers))
            .collect();
        let sizes = to_json(&sizes)?;
        let mut transaction = self.write().await?;
        sqlx::query(
            "INSERT INTO swarm_hour (publication, hour, seeders, leechers)
             SELECT value ->> 0, $2, value ->> 1, value ->> 2
             FROM json_each($1)
             WHERE value ->> 0 IN (SELECT id FROM publication)
             ON CONFLICT (publication, hour) DO UPDATE SET
                 seeders = max(seeders, excluded.seeders),
                 leechers = max(leechers, excluded.leechers)",
        )
        .bind(&sizes)
        .bind(hour.0)
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO swarm_day (publication, day, seeders, leechers)
             SELECT value ->> 0, $2, value ->> 1, value ->> 2
             FROM json_each($1)
             WHERE value ->> 0 IN (SELECT id FROM publication)
             ON CONFLICT (publication, day) DO UPDATE SET
                 seeders = max(seeders, excluded.seeders),
                 leechers = max(leechers, excluded.leechers)",
        )
        .bind(&sizes)
        .bind(Day::of(hour.start()).0)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn forget_before(&self, hour: Hour, day: Day) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM swarm_hour WHERE hour < $1")
            .bind(hour.0)
            .execute(&mut *transaction)
            .await?;
        sqlx::query("DELETE FROM swarm_day WHERE day < $1")
            .bind(day.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn history(&self, id: PublicationId) -> Result<History, StoreError> {
        let hours: Vec<(i64, u32, u32)> = sqlx::query_as(
            "SELECT hour, seeders, leechers FROM swarm_hour WHERE publication = $1 ORDER BY hour",
        )
        .bind(id.as_str())
        .fetch_all(&self.readers)
        .await?;
        let days = sqlx::query("SELECT * FROM swarm_day WHERE publication = $1 ORDER BY day")
            .bind(id.as_str())
            .fetch_all(&self.readers)
            .await?;
        Ok(History {
            hours: hours
                .into_iter()
                .map(|(hour, seeders, leechers)| (Hour(hour), SwarmSize { seeders, leechers }))
                .collect(),
            days: days
                .iter()
                .map(|row| {
                    let size = SwarmSize {
                        seeders: row.try_get("seeders")?,
                        leechers: row.try_get("leechers")?,
                    };
                    Ok((Day(row.try_get("day")?), size, to_counts(row)?))
                })
                .collect::<Result<_, StoreError>>()?,
        })
    }

    async fn counts_since(&self, day: Day) -> Result<Counts, StoreError> {
        let row = sqlx::query(
            "SELECT coalesce(sum(completed), 0) AS completed, coalesce(sum(peer_bytes), 0) AS peer_bytes,
                    coalesce(sum(web_seed_bytes), 0) AS web_seed_bytes, coalesce(sum(file_bytes), 0) AS file_bytes,
                    coalesce(sum(delivered_bytes), 0) AS delivered_bytes
             FROM swarm_day WHERE day >= $1",
        )
        .bind(day.0)
        .fetch_one(&self.readers)
        .await?;
        to_counts(&row)
    }
}

//! Drafts in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use sqlx::Row;

use super::SqliteStore;
use super::publications::{from_integer, to_id, to_integer, to_json};
use crate::domain::draft::{Draft, DraftFile};
use crate::domain::publication::{PublicationId, Words};
use crate::proto::metainfo::info::Info;
use crate::proto::metainfo::layers::PieceLayers;
use crate::proto::metainfo::original::Original;
use crate::proto::metainfo::path::FilePath;
use crate::store::StoreError;
use crate::store::drafts::{DraftFailure, DraftLine, DraftStore, KeptDraft};

#[async_trait]
impl DraftStore for SqliteStore {
    async fn keep_draft(&self, draft: &Draft) -> Result<(), StoreError> {
        let files: Vec<FileToKeep> = draft.files.iter().map(FileToKeep::from).collect();
        let mut transaction = self.write().await?;
        sqlx::query(
            "INSERT INTO draft (id, title, description, creator, licence, tags, particulars, format, private, publisher, total_length,
                 created_at, touched_at)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12 WHERE NOT EXISTS (SELECT 1 FROM publication WHERE id = $1)",
        )
        .bind(draft.id.as_str())
        .bind(&draft.words.title)
        .bind(&draft.words.description)
        .bind(&draft.words.creator)
        .bind(&draft.words.licence)
        .bind(to_json(&draft.words.tags)?)
        .bind(to_json(&draft.words.particulars)?)
        .bind(draft.format.as_str())
        .bind(draft.private)
        .bind(&draft.publisher)
        .bind(to_integer(draft.total_length()))
        .bind(draft.created_at)
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::from)
        .and_then(|done| match done.rows_affected() {
            0 => Err(StoreError::Conflict("this id".to_owned())),
            _ => Ok(()),
        })?;
        sqlx::query(
            "INSERT INTO draft_file (draft, ordinal, path, length)
             SELECT $1, key, value ->> 'path', value ->> 'length' FROM json_each($2)",
        )
        .bind(draft.id.as_str())
        .bind(to_json(&files)?)
        .execute(&mut *transaction)
        .await?;
        if let Some(original) = &draft.original {
            sqlx::query(
                "INSERT INTO draft_torrent (draft, info, piece_layers) VALUES ($1, $2, $3)",
            )
            .bind(draft.id.as_str())
            .bind(&original.info.raw[..])
            .bind(&original.layers.raw()[..])
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn draft(&self, id: PublicationId) -> Result<Option<KeptDraft>, StoreError> {
        let row = sqlx::query(
            "SELECT title, description, creator, licence, tags, particulars, format, private, publisher, created_at, failure, twin
             FROM draft WHERE id = $1",
        )
        .bind(id.as_str())
        .fetch_optional(&self.readers)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let damaged = || StoreError::Damaged(format!("the draft {id} cannot be read"));
        let rows: Vec<(String, i64)> =
            sqlx::query_as("SELECT path, length FROM draft_file WHERE draft = $1 ORDER BY ordinal")
                .bind(id.as_str())
                .fetch_all(&self.readers)
                .await?;
        let files = rows.into_iter().map(|(path, length)| {
            Ok(DraftFile {
                path: FilePath::parse(&path).map_err(|_| damaged())?,
                length: from_integer(length),
            })
        });
        let torrent: Option<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as("SELECT info, piece_layers FROM draft_torrent WHERE draft = $1")
                .bind(id.as_str())
                .fetch_optional(&self.readers)
                .await?;
        let original = torrent.map(|(info, piece_layers)| {
            Ok::<_, StoreError>(Arc::new(Original {
                info: Info::parse(info.into()).map_err(|_| damaged())?,
                layers: PieceLayers::new(piece_layers.into()),
            }))
        });
        let draft = Draft {
            id,
            words: Words {
                title: row.try_get("title")?,
                description: row.try_get("description")?,
                creator: row.try_get("creator")?,
                licence: row.try_get("licence")?,
                tags: serde_json::from_str(row.try_get("tags")?).map_err(|_| damaged())?,
                particulars: serde_json::from_str(row.try_get("particulars")?)
                    .map_err(|_| damaged())?,
            },
            format: row
                .try_get::<&str, _>("format")?
                .parse()
                .map_err(|_| damaged())?,
            private: row.try_get("private")?,
            publisher: row.try_get("publisher")?,
            files: files.collect::<Result<_, StoreError>>()?,
            original: original.transpose()?,
            created_at: row.try_get("created_at")?,
        };
        let reason: Option<String> = row.try_get("failure")?;
        let twin: Option<String> = row.try_get("twin")?;
        let twin = twin.map(|twin| to_id(&twin)).transpose()?;
        let failure = reason.map(|reason| DraftFailure { reason, twin });
        Ok(Some(KeptDraft { draft, failure }))
    }

    async fn drafts(&self) -> Result<Vec<DraftLine>, StoreError> {
        let rows: Vec<(String, String, i64, bool, i64)> = sqlx::query_as(
            "SELECT id, publisher, total_length, failure IS NOT NULL, touched_at FROM draft",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter()
            .map(|(id, publisher, total_length, has_failed, touched_at)| {
                Ok(DraftLine {
                    id: to_id(&id)?,
                    publisher,
                    total_length: from_integer(total_length),
                    has_failed,
                    touched_at,
                })
            })
            .collect()
    }

    async fn touch_drafts(&self, ids: &[PublicationId], now: i64) -> Result<(), StoreError> {
        let ids: Vec<&str> = ids.iter().map(PublicationId::as_str).collect();
        let mut transaction = self.write().await?;
        sqlx::query(
            "UPDATE draft SET touched_at = $2 WHERE id IN (SELECT value FROM json_each($1))",
        )
        .bind(to_json(&ids)?)
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn fail_draft(&self, id: PublicationId, why: &DraftFailure) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("UPDATE draft SET failure = $2, twin = $3 WHERE id = $1")
            .bind(id.as_str())
            .bind(&why.reason)
            .bind(why.twin.as_ref().map(PublicationId::as_str))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn forget_draft(&self, id: PublicationId) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let forgotten = sqlx::query("DELETE FROM draft WHERE id = $1")
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(forgotten.rows_affected() > 0)
    }
}

#[derive(Serialize)]
struct FileToKeep<'a> {
    path: &'a str,
    length: i64,
}

impl<'a> From<&'a DraftFile> for FileToKeep<'a> {
    fn from(file: &'a DraftFile) -> Self {
        Self {
            path: file.path.as_str(),
            length: to_integer(file.length),
        }
    }
}

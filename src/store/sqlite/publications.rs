//! Publications, their torrents and their totals in SQLite.

use async_trait::async_trait;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use serde::Serialize;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

use super::SqliteStore;
use super::listing::file;
use super::search::index_words;
use super::versions::leads_back;
use crate::domain::licence::Licence;
use crate::domain::publication::{Publication, PublicationId, PublishedFile, Words};
use crate::domain::tally::Counts;
use crate::proto::id::{InfoHash, InfoHashV2, InfoHashes};
use crate::proto::metainfo::info::Format;
use crate::proto::metainfo::path::FilePath;
use crate::store::StoreError;
use crate::store::publications::{
    Facet, FacetKind, IndexEntry, Page, PageQuery, PublicationStore, PublicationSummary,
    StoredMetainfo,
};

/// The publication `$1`, but for what was taken down.
const PUBLICATION: &str =
    "SELECT * FROM publication WHERE id = $1 AND id NOT IN (SELECT publication FROM takedown)";

#[async_trait]
impl PublicationStore for SqliteStore {
    async fn insert(
        &self,
        publication: &Publication,
        metainfo: &StoredMetainfo,
    ) -> Result<(), StoreError> {
        let v1 = publication.info_hashes.v1();
        let v2 = publication.info_hashes.v2();
        let files: Vec<FileToInsert> = publication.files.iter().map(FileToInsert::from).collect();
        let mut transaction = self.write().await?;
        sqlx::query(
            "INSERT INTO publication (id, title, description, creator, licence, tags, particulars, private, name, info_hash_v1,
                 info_hash_v2, piece_length, total_length, file_count, publisher, created_at, published_at, verified_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17)",
        )
        .bind(publication.id.as_str())
        .bind(&publication.title)
        .bind(&publication.description)
        .bind(&publication.creator)
        .bind(publication.licence.as_ref().map_or("", Licence::id))
        .bind(to_json(&publication.tags)?)
        .bind(to_json(&publication.particulars)?)
        .bind(publication.private)
        .bind(&publication.name)
        .bind(v1.as_ref().map(|hash| hash.as_bytes().as_slice()))
        .bind(v2.as_ref().map(|hash| hash.as_bytes().as_slice()))
        .bind(publication.piece_length)
        .bind(to_integer(publication.total_length))
        .bind(to_integer(publication.files.len()))
        .bind(&publication.publisher)
        .bind(publication.created_at)
        .bind(publication.published_at)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("INSERT INTO metainfo (publication, info, piece_layers) VALUES ($1, $2, $3)")
            .bind(publication.id.as_str())
            .bind(&metainfo.info[..])
            .bind(&metainfo.piece_layers[..])
            .execute(&mut *transaction)
            .await?;
        // One statement for all files: a hundred thousand round trips to the writer would hold the lock for seconds.
        sqlx::query(
            "INSERT INTO published_file (publication, ordinal, path, length, sha256, crc32, stored_as)
             SELECT $1, key, value ->> 'path', value ->> 'length', unhex(value ->> 'sha256'), value ->> 'crc32', value ->> 'stored_as'
             FROM json_each($2)",
        )
        .bind(publication.id.as_str())
        .bind(to_json(&files)?)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("INSERT INTO listing (publication) VALUES ($1)")
            .bind(publication.id.as_str())
            .execute(&mut *transaction)
            .await?;
        file(&mut transaction, publication.id).await?;
        index_words(&mut transaction, publication.id).await?;
        sqlx::query("DELETE FROM draft WHERE id = $1")
            .bind(publication.id.as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn publication(&self, id: PublicationId) -> Result<Option<Publication>, StoreError> {
        let row: Option<PublicationRow> = sqlx::query_as(PUBLICATION)
            .bind(id.as_str())
            .fetch_optional(&self.readers)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let files: Vec<FileRow> = sqlx::query_as(
            "SELECT path, length, sha256, crc32, stored_as FROM published_file WHERE publication = $1 ORDER BY ordinal",
        )
        .bind(id.as_str())
        .fetch_all(&self.readers)
        .await?;
        let mut publication = row.into_summary()?.publication;
        publication.files = files
            .into_iter()
            .map(|file| file.into_file(id))
            .collect::<Result<_, _>>()?;
        Ok(Some(publication))
    }

    async fn metainfo(&self, id: PublicationId) -> Result<Option<StoredMetainfo>, StoreError> {
        let row: Option<(Vec<u8>, Vec<u8>)> =
            sqlx::query_as("SELECT info, piece_layers FROM metainfo WHERE publication = $1")
                .bind(id.as_str())
                .fetch_optional(&self.readers)
                .await?;
        Ok(row.map(|(info, piece_layers)| StoredMetainfo {
            info: Bytes::from(info),
            piece_layers: Bytes::from(piece_layers),
        }))
    }

    async fn reword(
        &self,
        id: PublicationId,
        from: &Words,
        to: &Words,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let row: Option<PublicationRow> = sqlx::query_as(PUBLICATION)
            .bind(id.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
        let now = row.map(PublicationRow::into_summary).transpose()?;
        if now.is_none_or(|now| now.publication.words() != *from) {
            return Ok(false);
        }
        if let Some(older) = to.particulars.replaces
            && leads_back(&mut transaction, older, id).await?
        {
            return Err(StoreError::Circular);
        }
        sqlx::query(
            "UPDATE publication SET title = $2, description = $3, creator = $4, licence = $5, tags = $6, particulars = $7
             WHERE id = $1",
        )
        .bind(id.as_str())
        .bind(&to.title)
        .bind(&to.description)
        .bind(&to.creator)
        .bind(&to.licence)
        .bind(to_json(&to.tags)?)
        .bind(to_json(&to.particulars)?)
        .execute(&mut *transaction)
        .await?;
        file(&mut transaction, id).await?;
        index_words(&mut transaction, id).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn note_crc32(
        &self,
        id: PublicationId,
        stored_as: u32,
        crc32: u32,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "UPDATE published_file SET crc32 = $3 WHERE publication = $1 AND stored_as = $2",
        )
        .bind(id.as_str())
        .bind(stored_as)
        .bind(crc32)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn page(&self, query: &PageQuery) -> Result<Page, StoreError> {
        self.catalogue_page(query).await
    }

    async fn facets(&self, kind: FacetKind, limit: u32) -> Result<Vec<Facet>, StoreError> {
        self.largest_facets(kind, limit).await
    }

    async fn oldest_first(
        &self,
        skip: u64,
        limit: u32,
    ) -> Result<Vec<(PublicationId, i64)>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT publication.id, published_at
             FROM filed
             CROSS JOIN listing ON listing.number = filed.number
             CROSS JOIN publication ON publication.id = listing.publication
             WHERE filed.facet = (SELECT id FROM facet WHERE kind = 'all' AND name = '')
             ORDER BY filed.number LIMIT $1 OFFSET $2",
        )
        .bind(i64::from(limit))
        .bind(to_integer(skip))
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter()
            .map(|(id, published_at)| Ok((to_id(&id)?, published_at)))
            .collect()
    }

    async fn index(&self, after: i64) -> Result<(Vec<IndexEntry>, i64), StoreError> {
        let rows = sqlx::query(
            "SELECT number, id, info_hash_v1, info_hash_v2, total_length
             FROM listing JOIN publication ON publication.id = listing.publication
             WHERE number > $1 AND id NOT IN (SELECT publication FROM takedown) ORDER BY number",
        )
        .bind(after)
        .fetch_all(&self.readers)
        .await?;
        let last = rows.last().map(|row| row.try_get("number")).transpose()?;
        let entries = rows.iter().map(to_index_entry);
        Ok((entries.collect::<Result<_, _>>()?, last.unwrap_or(after)))
    }

    async fn counts(&self) -> Result<Vec<(PublicationId, Counts)>, StoreError> {
        let rows = sqlx::query(
            "SELECT publication, completed, peer_bytes, web_seed_bytes, file_bytes, delivered_bytes FROM tally",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| Ok((to_id(row.try_get("publication")?)?, to_counts(row)?)))
            .collect()
    }
}

/// The line of the index in a row that has its columns by name.
pub(super) fn to_index_entry(row: &SqliteRow) -> Result<IndexEntry, StoreError> {
    let id = to_id(row.try_get("id")?)?;
    let v1: Option<&[u8]> = row.try_get("info_hash_v1")?;
    Ok(IndexEntry {
        id,
        info_hashes: to_info_hashes(id, v1, row.try_get("info_hash_v2")?)?,
        total_length: from_integer(row.try_get("total_length")?),
    })
}

/// The counts in a row that has them all by name.
pub(super) fn to_counts(row: &SqliteRow) -> Result<Counts, StoreError> {
    let count = |name| Ok::<_, StoreError>(from_integer(row.try_get(name)?));
    Ok(Counts {
        completed: count("completed")?,
        peer_bytes: count("peer_bytes")?,
        web_seed_bytes: count("web_seed_bytes")?,
        file_bytes: count("file_bytes")?,
        delivered_bytes: count("delivered_bytes")?,
    })
}

pub(super) struct PublicationRow {
    id: String,
    title: String,
    description: String,
    creator: String,
    licence: String,
    tags: String,
    particulars: String,
    private: bool,
    name: String,
    info_hash_v1: Option<Vec<u8>>,
    info_hash_v2: Option<Vec<u8>>,
    piece_length: u32,
    total_length: i64,
    file_count: i64,
    publisher: String,
    created_at: i64,
    published_at: i64,
}

impl FromRow<'_, SqliteRow> for PublicationRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            title: row.try_get("title")?,
            description: row.try_get("description")?,
            creator: row.try_get("creator")?,
            licence: row.try_get("licence")?,
            tags: row.try_get("tags")?,
            particulars: row.try_get("particulars")?,
            private: row.try_get("private")?,
            name: row.try_get("name")?,
            info_hash_v1: row.try_get("info_hash_v1")?,
            info_hash_v2: row.try_get("info_hash_v2")?,
            piece_length: row.try_get("piece_length")?,
            total_length: row.try_get("total_length")?,
            file_count: row.try_get("file_count")?,
            publisher: row.try_get("publisher")?,
            created_at: row.try_get("created_at")?,
            published_at: row.try_get("published_at")?,
        })
    }
}

impl PublicationRow {
    pub(super) fn into_summary(self) -> Result<PublicationSummary, StoreError> {
        let id = to_id(&self.id)?;
        let info_hashes = to_info_hashes(
            id,
            self.info_hash_v1.as_deref(),
            self.info_hash_v2.as_deref(),
        )?;
        let damaged = |what| StoreError::Damaged(format!("publication {id} has {what}"));
        let licence = match self.licence.as_str() {
            "" => None,
            licence => Some(
                licence
                    .parse()
                    .map_err(|_| damaged("a licence without form"))?,
            ),
        };
        let tags = serde_json::from_str(&self.tags);
        let tags = tags.map_err(|_| damaged("tags that are no list"))?;
        let particulars = serde_json::from_str(&self.particulars);
        let particulars = particulars.map_err(|_| damaged("particulars without form"))?;
        let format = match info_hashes {
            InfoHashes::V1(_) => Format::V1,
            InfoHashes::V2(_) => Format::V2,
            InfoHashes::Hybrid(..) => Format::Hybrid,
        };
        Ok(PublicationSummary {
            publication: Publication {
                id,
                title: self.title,
                description: self.description,
                creator: self.creator,
                licence,
                tags,
                particulars,
                format,
                private: self.private,
                name: self.name,
                info_hashes,
                piece_length: self.piece_length,
                total_length: from_integer(self.total_length),
                files: Vec::new(),
                publisher: self.publisher,
                created_at: self.created_at,
                published_at: self.published_at,
            },
            file_count: from_integer(self.file_count),
        })
    }
}

#[derive(Serialize)]
struct FileToInsert {
    path: String,
    length: i64,
    sha256: String,
    crc32: Option<u32>,
    stored_as: u32,
}

impl From<&PublishedFile> for FileToInsert {
    fn from(file: &PublishedFile) -> Self {
        Self {
            path: file.path.to_string(),
            length: to_integer(file.length),
            sha256: HEXLOWER.encode(&file.sha256),
            crc32: file.crc32,
            stored_as: file.stored_as,
        }
    }
}

struct FileRow {
    path: String,
    length: i64,
    sha256: Vec<u8>,
    crc32: Option<u32>,
    stored_as: u32,
}

impl FromRow<'_, SqliteRow> for FileRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            path: row.try_get("path")?,
            length: row.try_get("length")?,
            sha256: row.try_get("sha256")?,
            crc32: row.try_get("crc32")?,
            stored_as: row.try_get("stored_as")?,
        })
    }
}

impl FileRow {
    fn into_file(self, publication: PublicationId) -> Result<PublishedFile, StoreError> {
        let damaged = || {
            StoreError::Damaged(format!(
                "the file {:?} of publication {publication} cannot be read",
                self.path
            ))
        };
        Ok(PublishedFile {
            path: FilePath::parse(&self.path).map_err(|_| damaged())?,
            length: from_integer(self.length),
            sha256: self.sha256.as_slice().try_into().map_err(|_| damaged())?,
            crc32: self.crc32,
            stored_as: self.stored_as,
        })
    }
}

pub(super) fn to_id(text: &str) -> Result<PublicationId, StoreError> {
    text.parse()
        .map_err(|_| StoreError::Damaged(format!("{text:?} is the id of a publication")))
}

fn to_info_hashes(
    id: PublicationId,
    v1: Option<&[u8]>,
    v2: Option<&[u8]>,
) -> Result<InfoHashes, StoreError> {
    let damaged =
        || StoreError::Damaged(format!("publication {id} has an info-hash of wrong length"));
    let v1 = v1.map(InfoHash::try_from).transpose();
    let v2 = v2
        .map(<[u8; InfoHashV2::LENGTH]>::try_from)
        .transpose()
        .map(|bytes| bytes.map(InfoHashV2::from));
    match (v1.map_err(|_| damaged())?, v2.map_err(|_| damaged())?) {
        (Some(v1), Some(v2)) => Ok(InfoHashes::Hybrid(v1, v2)),
        (Some(v1), None) => Ok(InfoHashes::V1(v1)),
        (None, Some(v2)) => Ok(InfoHashes::V2(v2)),
        (None, None) => Err(damaged()),
    }
}

pub(super) fn to_json(rows: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(|error| StoreError::Database(error.into()))
}

/// SQLite's integers have a sign; no disk holds 2⁶³ bytes.
pub(super) fn to_integer(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

pub(super) fn from_integer(integer: i64) -> u64 {
    integer.try_into().unwrap_or(0)
}

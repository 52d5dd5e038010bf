//! Publications and accounts in SQLite, embedded in the program.
//!
//! The journal is a write-ahead log and every commit is synced (`synchronous = FULL`), so an acknowledged commit
//! survives a power cut. One connection writes, in `BEGIN IMMEDIATE` transactions; a few read beside it. A damaged
//! database is refused, never replaced by an empty one.

mod accounts;
mod drafts;
mod history;
mod idempotency;
mod listing;
mod passkeys;
mod publications;
mod search;
mod takedowns;
mod verification;
mod versions;
mod watched;
mod withdrawals;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Sqlite, Transaction};

use super::StoreError;

/// The changes to the tables, oldest first. One that has been released is never edited.
const MIGRATIONS: [(i64, &str, &str); 15] = [
    (
        1,
        "publications and accounts",
        include_str!("../../../migrations/sqlite/0001_publications_and_accounts.sql"),
    ),
    (
        2,
        "swarm history",
        include_str!("../../../migrations/sqlite/0002_swarm_history.sql"),
    ),
    (
        3,
        "passkeys",
        include_str!("../../../migrations/sqlite/0003_passkeys.sql"),
    ),
    (
        4,
        "verification",
        include_str!("../../../migrations/sqlite/0004_verification.sql"),
    ),
    (
        5,
        "withdrawals",
        include_str!("../../../migrations/sqlite/0005_withdrawals.sql"),
    ),
    (
        6,
        "drafts",
        include_str!("../../../migrations/sqlite/0006_drafts.sql"),
    ),
    (
        7,
        "search",
        include_str!("../../../migrations/sqlite/0007_search.sql"),
    ),
    (
        8,
        "details",
        include_str!("../../../migrations/sqlite/0008_details.sql"),
    ),
    (
        9,
        "filters",
        include_str!("../../../migrations/sqlite/0009_filters.sql"),
    ),
    (
        10,
        "particulars",
        include_str!("../../../migrations/sqlite/0010_particulars.sql"),
    ),
    (
        11,
        "takedowns",
        include_str!("../../../migrations/sqlite/0011_takedowns.sql"),
    ),
    (
        12,
        "archives",
        include_str!("../../../migrations/sqlite/0012_archives.sql"),
    ),
    (
        13,
        "watched",
        include_str!("../../../migrations/sqlite/0013_watched.sql"),
    ),
    (
        14,
        "draft torrents",
        include_str!("../../../migrations/sqlite/0014_draft_torrents.sql"),
    ),
    (
        15,
        "idempotency",
        include_str!("../../../migrations/sqlite/0015_idempotency.sql"),
    ),
];

/// How the database is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Connections that read beside the one that writes.
    pub readers: u32,
    /// How long a write waits for another program's write, in milliseconds.
    pub busy_timeout_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: 4,
            busy_timeout_ms: 5_000,
        }
    }
}

/// The database. Cheap to clone: all clones are one database.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    /// One connection, so that writers queue here and not in SQLite's busy handler.
    writer: SqlitePool,
    readers: SqlitePool,
    /// One connection that is never replaced, and only notices what others write.
    watcher: SqlitePool,
}

impl SqliteStore {
    /// Opens the database at `path`, checks it, and brings its tables up to date; makes it where there is none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where the file is no sound database; [`StoreError::TooNew`] where a newer version wrote
    /// it; [`StoreError::Busy`] where another program holds it locked.
    pub async fn open(path: &Path, options: &Options) -> Result<Self, StoreError> {
        let is_new = prepare_file(path)?;
        let timeout = Duration::from_millis(options.busy_timeout_ms);
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .foreign_keys(true)
            .busy_timeout(timeout)
            .synchronous(SqliteSynchronous::Full);
        let pool = SqlitePoolOptions::new().acquire_timeout(timeout);

        let writer = pool
            .clone()
            .max_connections(1)
            // On a full disk SQLite rolls back by itself, which the driver does not notice: it would begin no transaction on such a connection ever again.
            .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }))
            .connect_with(connect.clone().journal_mode(SqliteJournalMode::Wal))
            .await
            .map_err(|error| at_path(path, error))?;
        if !is_new {
            check(&writer).await.map_err(|error| at_path(path, error))?;
        }
        migrator(&MIGRATIONS)
            .run(&writer)
            .await
            .map_err(not_migrated)?;
        let connect = connect.read_only(true);
        let watcher = pool
            .clone()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(connect.clone());
        let readers = pool
            .max_connections(options.readers.max(1))
            .after_connect(|reader, _| Box::pin(search::open_vocabulary(reader)))
            .connect_with(connect.pragma("temp_store", "memory"))
            .await?;
        Ok(Self {
            writer,
            readers,
            watcher,
        })
    }

    /// Closes the database, with its write-ahead log folded into it.
    pub async fn close(&self) {
        self.watcher.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Begins a transaction that holds the write lock from its start, so that it cannot fail half-way for want of it.
    async fn write(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }
}

/// Brings the tables up to date. Put together by hand: the macro for it would have SQLite built a second time for the compiler's own use.
fn migrator(migrations: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = migrations.iter().map(|(version, description, sql)| {
        Migration::new(
            *version,
            (*description).into(),
            MigrationType::Simple,
            sqlx::SqlStr::from_static(sql),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
}

/// Makes a new file that only its owner may read (it will hold password hashes); says whether it did.
fn prepare_file(path: &Path) -> Result<bool, StoreError> {
    let mut new_file = std::fs::OpenOptions::new();
    new_file.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut new_file, 0o600);
    match std::fs::metadata(path) {
        Ok(file) if file.len() > 0 => Ok(false),
        // SQLite would take an empty file for a new database and hide that a full one was lost.
        Ok(_) => Err(StoreError::Damaged(format!(
            "the database {} is an empty file (if this is a fresh installation, remove the file)",
            path.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let log = PathBuf::from(format!("{}-wal", path.display()));
            if log.exists() {
                return Err(StoreError::Damaged(format!(
                    "the database {} is gone, though its log {} is there",
                    path.display(),
                    log.display()
                )));
            }
            new_file.open(path)?;
            Ok(true)
        }
        Err(error) => Err(error.into()),
    }
}

/// Walks over every page once: an unsound database must not be written to.
async fn check(pool: &SqlitePool) -> Result<(), StoreError> {
    let verdict: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(pool)
        .await?;
    match verdict.as_str() {
        "ok" => Ok(()),
        _ => Err(StoreError::Damaged(verdict)),
    }
}

/// Names the file in errors that come from opening it.
fn at_path(path: &Path, error: impl Into<StoreError>) -> StoreError {
    match error.into() {
        StoreError::Damaged(what) => StoreError::Damaged(format!("{}: {what}", path.display())),
        other => other,
    }
}

fn not_migrated(error: MigrateError) -> StoreError {
    match error {
        MigrateError::VersionMissing(_) => StoreError::TooNew,
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => StoreError::Database(other.into()),
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        /// Primary result codes of <https://www.sqlite.org/rescode.html>; extended codes carry them in the low byte.
        const BUSY: i32 = 5;
        const LOCKED: i32 = 6;
        const CORRUPT: i32 = 11;
        const FULL: i32 = 13;
        const NOT_A_DATABASE: i32 = 26;

        let database = match &error {
            sqlx::Error::PoolTimedOut => return Self::Busy(error.into()),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                return Self::Damaged(error.to_string());
            }
            sqlx::Error::Database(database) => database,
            _ => return Self::Database(error.into()),
        };
        if database.is_unique_violation() {
            return Self::Conflict(taken(database.message()).to_owned());
        }
        let code = database.code().and_then(|code| code.parse::<i32>().ok());
        match code.map(|code| code & 0xff) {
            Some(BUSY | LOCKED) => Self::Busy(error.into()),
            Some(CORRUPT | NOT_A_DATABASE) => Self::Damaged(database.message().to_owned()),
            Some(FULL) => Self::Full(io::Error::new(io::ErrorKind::StorageFull, error)),
            _ => Self::Database(error.into()),
        }
    }
}

/// What a person calls the thing that SQLite names by its column.
fn taken(message: &str) -> &'static str {
    if message.contains("account.folded_name") {
        "this account name"
    } else if message.contains("info_hash") {
        "this info-hash"
    } else {
        "this id"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    async fn open(folder: &tempfile::TempDir) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&folder.path().join("sower.db"), &Options::default()).await
    }

    #[tokio::test]
    async fn keeps_publications_as_the_port_says() {
        let folder = tempfile::tempdir().unwrap();
        conformance::publications::check(&open(&folder).await.unwrap()).await;
    }

    #[tokio::test]
    async fn keeps_drafts_as_the_port_says() {
        let folder = tempfile::tempdir().unwrap();
        conformance::drafts::check(&open(&folder).await.unwrap()).await;
    }

    #[tokio::test]
    async fn keeps_idempotency_keys_as_the_port_says() {
        let folder = tempfile::tempdir().unwrap();
        conformance::idempotency::check(&open(&folder).await.unwrap()).await;
    }

    #[tokio::test]
    async fn keeps_accounts_as_the_port_says() {
        let folder = tempfile::tempdir().unwrap();
        conformance::accounts::check(&open(&folder).await.unwrap()).await;
    }

    #[tokio::test]
    async fn keeps_passkeys_as_the_port_says() {
        let folder = tempfile::tempdir().unwrap();
        conformance::passkeys::check(&open(&folder).await.unwrap()).await;
    }

    #[tokio::test]
    async fn keeps_what_was_published_from_the_watch_folder_as_the_port_says() {
        let folder = tempfile::tempdir().unwrap();
        conformance::watched::check(&open(&folder).await.unwrap()).await;
    }

    #[tokio::test]
    async fn accounts_of_an_old_database_get_a_passkey_each() {
        use crate::store::passkeys::PasskeyStore;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sower.db");
        let connect = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true);
        let old = SqlitePool::connect_with(connect).await.unwrap();
        migrator(&MIGRATIONS[..2]).run(&old).await.unwrap();
        sqlx::query(
            "INSERT INTO account (name, folded_name, role, password, created_at)
             VALUES ('Ada', 'ada', 'admin', 'x', 1), ('Bob', 'bob', 'publisher', 'x', 1)",
        )
        .execute(&old)
        .await
        .unwrap();
        old.close().await;
        let passkeys = open(&folder).await.unwrap().passkeys().await.unwrap();
        assert!(passkeys.len() == 2 && passkeys[0] != passkeys[1]);
    }

    #[tokio::test]
    async fn what_was_committed_is_there_after_opening_again() {
        use crate::store::publications::PublicationStore;

        let folder = tempfile::tempdir().unwrap();
        let (publication, metainfo) = conformance::example("abcdefghij", 1);
        let store = open(&folder).await.unwrap();
        store.insert(&publication, &metainfo).await.unwrap();
        store.close().await;
        let again = open(&folder).await.unwrap();
        assert_eq!(
            again.publication(publication.id).await.unwrap(),
            Some(publication)
        );
    }

    #[tokio::test]
    async fn every_commit_is_synced_and_only_the_owner_reads_the_file() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await.unwrap();
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
            .fetch_one(&store.writer)
            .await
            .unwrap();
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(&store.writer)
            .await
            .unwrap();
        assert_eq!((synchronous, journal.as_str()), (2, "wal"));
        let mode = |name: &str| {
            let file = folder.path().join(name).metadata().unwrap();
            file.permissions().mode() & 0o777
        };
        assert_eq!((mode("sower.db"), mode("sower.db-wal")), (0o600, 0o600));
    }

    #[tokio::test]
    async fn refuses_a_damaged_database_and_leaves_it_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sower.db");
        open(&folder).await.unwrap().close().await;
        let sound = std::fs::read(&path).unwrap();

        let mut flipped = sound.clone();
        flipped[4096..].fill(0xa5);
        let mut not_a_database = sound.clone();
        not_a_database[..16].fill(b'x');
        let cut_short = sound[..sound.len() / 2].to_vec();
        for damaged in [flipped, not_a_database, cut_short, Vec::new()] {
            std::fs::write(&path, &damaged).unwrap();
            let refusal = open(&folder).await.unwrap_err();
            assert!(matches!(refusal, StoreError::Damaged(_)), "{refusal:?}");
            assert!(refusal.to_string().contains("backup"), "{refusal}");
            assert!(refusal.to_string().contains("sower.db"), "{refusal}");
            assert_eq!(std::fs::read(&path).unwrap(), damaged);
        }
    }

    #[tokio::test]
    async fn refuses_to_start_empty_where_only_the_log_is_left() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("sower.db-wal"), b"log").unwrap();
        assert!(matches!(open(&folder).await, Err(StoreError::Damaged(_))));
        assert!(!folder.path().join("sower.db").exists());
    }

    #[tokio::test]
    async fn refuses_a_database_from_the_future() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await.unwrap();
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'later', TRUE, x'00', 0)",
        )
        .execute(&store.writer)
        .await
        .unwrap();
        store.close().await;
        assert!(matches!(open(&folder).await, Err(StoreError::TooNew)));
    }

    #[tokio::test]
    async fn reads_go_on_and_writes_give_up_while_another_program_writes() {
        use crate::store::publications::PublicationStore;

        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            // Enough for a busy machine to hand a connection over.
            busy_timeout_ms: 500,
            ..Options::default()
        };
        let path = folder.path().join("sower.db");
        let ours = SqliteStore::open(&path, &options).await.unwrap();
        let theirs = SqliteStore::open(&path, &options).await.unwrap();
        let lock = theirs.write().await.unwrap();

        let (publication, metainfo) = conformance::example("abcdefghij", 1);
        let refusal = ours.insert(&publication, &metainfo).await.unwrap_err();
        assert!(matches!(refusal, StoreError::Busy(_)), "{refusal:?}");
        assert_eq!(ours.index(0).await.unwrap(), (vec![], 0));

        lock.rollback().await.unwrap();
        ours.insert(&publication, &metainfo).await.unwrap();
    }

    #[tokio::test]
    async fn says_so_when_the_disk_is_full() {
        use crate::store::publications::PublicationStore;

        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder).await.unwrap();
        // SQLite answers a limit on its pages as it answers a full disk.
        sqlx::query("PRAGMA max_page_count = 1")
            .execute(&store.writer)
            .await
            .unwrap();
        let (publication, mut metainfo) = conformance::example("abcdefghij", 1);
        metainfo.info = vec![0; 1 << 20].into();
        let refusal = store.insert(&publication, &metainfo).await.unwrap_err();
        assert!(matches!(refusal, StoreError::Full(_)), "{refusal:?}");
        assert_eq!(store.index(0).await.unwrap(), (vec![], 0));
    }
}

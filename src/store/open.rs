//! Opening: recognises what a file is before anything is changed in it, takes the lock, brings the schema up to date.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection, query_scalar};

use super::error::{At, BUSY_TIMEOUT_MS, REVIEW_BUSY_TIMEOUT_MS, StoreError, cannot_open, parent, translate};
use super::{Store, Told, sealed};

/// What a log is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// By a run: reads and writes, alone.
    ReadWrite,
    /// By a reviewer: while a run writes, too.
    ReadOnly,
    /// By a reviewer who decides: while a run writes, too, whose transactions are waited for. The log must be there.
    Review,
}

/// `FNPT` in the header of the file: a database with another number, or with tables and none, is not ours.
const APPLICATION_ID: u32 = 0x464e_5054;

/// Connections for reading at most: one for each core of a small machine, and each costs a thread.
const READERS_MAX: u32 = 4;

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

pub(super) async fn open(path: &Path, access: Access) -> Result<Store, StoreError> {
    let path = resolve(path, access)?;
    let busy_ms = if access == Access::Review { REVIEW_BUSY_TIMEOUT_MS } else { BUSY_TIMEOUT_MS };
    let mut options = SqliteConnectOptions::new()
        .filename(&path)
        .busy_timeout(Duration::from_millis(busy_ms))
        .foreign_keys(true)
        .disable_statement_logging();
    let (mut writer, lock) = match access {
        Access::ReadWrite => {
            let lock = lock(&path)?;
            (Some(writer(&path, options.clone().create_if_missing(true)).await?), Some(lock))
        }
        Access::Review => {
            // Where a log lies still nobody writes, closed or not.
            if lies_still(&path, &options).await.unwrap_or(true) {
                return Err(StoreError::ReadOnly { path });
            }
            let mut conn = options.clone().read_only(true).connect().await.at("open", &path)?;
            recognise(&path, &mut conn).await?;
            let (found, known) = (schema(&path, &mut conn).await?, latest());
            conn.close().await.at("open", &path)?;
            // An empty file is nobody's log, and is left so. A run of an earlier release must not find another schema
            // under its feet.
            let alone = match found {
                0 => return Err(StoreError::OlderSchema { path, found, known }),
                _ if found < known => Some(lock(&path)?),
                _ => None,
            };
            let writer = writer(&path, options.clone()).await?;
            drop(alone);
            (Some(writer), None)
        }
        Access::ReadOnly => {
            let still = lies_still(&path, &options).await?;
            options = options.immutable(still);
            let mut conn = options.clone().read_only(true).connect().await.at("open", &path)?;
            recognise(&path, &mut conn).await?;
            let (found, known) = (schema(&path, &mut conn).await?, latest());
            if found < known {
                return Err(StoreError::OlderSchema { path, found, known });
            }
            (None, None)
        }
    };
    let readers = SqlitePoolOptions::new().max_connections(READERS_MAX).connect_lazy_with(options.read_only(true));
    let signer = match writer.as_mut() {
        Some(writer) => sealed::take_up(&path, writer).await?,
        None => None,
    };
    Ok(Store { path, readers, writer, begun: false, busy_ms, signer, told: Told::default(), _lock: lock })
}

/// Whether a log lies where nothing can be written, such as on a read-only medium. SQLite keeps two files beside a log to
/// read it while it is written; where they cannot be made nobody writes, and a log that was closed needs neither.
async fn lies_still(path: &Path, options: &SqliteConnectOptions) -> Result<bool, StoreError> {
    let readable = async {
        let mut conn = options.clone().read_only(true).connect().await?;
        query_scalar::<_, i64>("SELECT count(*) FROM sqlite_schema").fetch_one(&mut conn).await
    };
    match readable.await {
        Err(e) if cannot_open(&e) && path.is_file() => {}
        _ => return Ok(false),
    }
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    let closed = PathBuf::from(wal).metadata().map_or(true, |m| m.len() == 0);
    if closed { Ok(true) } else { Err(StoreError::NotClosed { path: path.to_owned() }) }
}

/// The real path: a log reached through a link has one lock file all the same.
fn resolve(path: &Path, access: Access) -> Result<PathBuf, StoreError> {
    match path.canonicalize() {
        Ok(real) if real.is_dir() => Err(StoreError::NotADatabase { path: real }),
        Ok(real) => Ok(real),
        Err(e) if !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(StoreError::Io { doing: "open", path: path.to_owned(), source: e })
        }
        Err(_) if access != Access::ReadWrite => Err(StoreError::Missing { path: path.to_owned() }),
        Err(_) => match (parent(path).canonicalize(), path.file_name()) {
            (Ok(dir), Some(name)) if dir.is_dir() => Ok(dir.join(name)),
            _ => Err(StoreError::NoDirectory { path: path.to_owned() }),
        },
    }
}

/// Takes the lock file. It stays when the run has ended: removing it would race with the next one.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = PathBuf::from(name);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock);
    let file = file.map_err(|e| match e.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { path: path.to_owned() }
        }
        _ => StoreError::Io { doing: "create", path: lock.clone(), source: e },
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.to_owned(), lock }),
        Err(TryLockError::Error(source)) => Err(StoreError::Io { doing: "lock", path: lock, source }),
    }
}

async fn writer(path: &Path, options: SqliteConnectOptions) -> Result<SqliteConnection, StoreError> {
    // Nothing is set on this connection that would write: a foreign file must stay as it is.
    let mut conn = options.connect().await.at("open", path)?;
    if !recognise(path, &mut conn).await? {
        // By itself and first: a kill between this and the tables leaves an empty log, not a foreign database.
        let mark = sqlx::AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}"));
        conn.execute(mark).await.at("create", path)?;
    }
    // FULL and not NORMAL: a batch may have been read from a pipe that cannot be read again, and actions may follow from
    // it, so it must outlive a power cut. It costs one fsync a batch, not one a violation.
    // The journal of projections is synced before the batch that names its position.
    // Ids and accounts are random keys: a cache of 16 MiB instead of 2 keeps the inner pages of their trees in memory, and
    // folding the write-ahead log back at 64 MiB instead of 4 writes a page that many batches touched once.
    for pragma in [
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA cache_size = -16384",
        "PRAGMA wal_autocheckpoint = 16384",
    ] {
        conn.execute(pragma).await.at("open", path)?;
    }
    MIGRATIONS.run(&mut conn).await.map_err(|e| migration(path, e))?;
    Ok(conn)
}

/// Whether the file is a log already; `false` for an empty one, an error for anything else.
async fn recognise(path: &Path, conn: &mut SqliteConnection) -> Result<bool, StoreError> {
    let id: i64 = query_scalar("PRAGMA application_id").fetch_one(&mut *conn).await.at("open", path)?;
    // The pragma is a signed number of 32 bits.
    let application_id = id as u32;
    let n_tables: i64 =
        query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *conn).await.at("open", path)?;
    match (application_id, n_tables) {
        (APPLICATION_ID, _) => {}
        (0, 0) => return Ok(false),
        _ => return Err(StoreError::Foreign { path: path.to_owned(), application_id }),
    }
    let (found, known) = (schema(path, conn).await?, latest());
    if found > known {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, known });
    }
    Ok(true)
}

/// The schema of a file; 0 before the first migration.
async fn schema(path: &Path, conn: &mut SqliteConnection) -> Result<i64, StoreError> {
    let table: Option<i64> =
        query_scalar("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations'")
            .fetch_optional(&mut *conn)
            .await
            .at("open", path)?;
    if table.is_none() {
        return Ok(0);
    }
    let applied = conn.list_applied_migrations("_sqlx_migrations").await;
    let applied = applied.map_err(|e| migration(path, e))?;
    Ok(applied.iter().map(|m| m.version).max().unwrap_or(0))
}

fn migration(path: &Path, e: MigrateError) -> StoreError {
    match e {
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => translate("bring up to date", path, e),
        e => StoreError::Damaged { path: path.to_owned(), what: e.to_string() },
    }
}

fn latest() -> i64 {
    MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0)
}

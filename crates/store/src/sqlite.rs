//! SQLite: one file, shared by every daemon of a machine.

use std::fs::OpenOptions;
use std::io;
use std::num::NonZero;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use redtrove_engine::ports::StoreError;
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};
use tokio::time::{Instant, sleep};

use crate::backend::{Backend, SqlStore, drive};
use crate::connect::ConnectError;
use crate::passing::Passing;
use crate::schema::{self, SchemaState};

/// SQLite as a backend.
#[derive(Debug)]
pub struct SqliteBackend;

/// The Store on SQLite.
pub type SqliteStore = SqlStore<SqliteBackend>;

/// How long a writer waits for the writer of another process. Transactions take milliseconds; this is for a disk
/// that stalls.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a migration waits for others, migrations among them.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60);
/// The pause before a migration tries again to open the file.
const MIGRATION_PAUSE: Duration = Duration::from_millis(20);
/// How long to wait for a connection of the pool: the queue of writers in this process.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(20);
/// The most queries that run at a time.
const MOST_READERS: usize = 4;
/// How much of the database each connection keeps in memory, in KiB (which SQLite wants negative). SQLite's own 2 MB
/// for each make nothing faster: the system keeps the file in memory once for all, and what is read here is a few pages
/// from anywhere.
const PAGE_CACHE: &str = "-512";

impl Backend for SqliteBackend {
    type Db = Sqlite;

    // Longer than a writer waits for another one.
    const ANSWERS_WITHIN: Duration = Duration::from_secs(15);
    // A transaction that turns from reading to writing fails at once if another one wrote; one that says so at
    // its beginning waits.
    const BEGIN: &'static str = "BEGIN IMMEDIATE";
    const NOW: &'static str = "SELECT CAST(ROUND(unixepoch('now', 'subsec') * 1000) AS INTEGER) AS now";
    const FIND_MIGRATIONS: &'static str =
        "SELECT name AS found FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'";
    const KEEP_USAGE: &'static str = "INSERT INTO quota_usages (project_id, resource, in_use) VALUES (?, ?, 0) \
         ON CONFLICT (project_id, resource) DO NOTHING";
    const KEEP_ANSWER: &'static str = "INSERT INTO answers (id, body_hash, status, body, created) \
         VALUES (?, '', 0, '', ?) ON CONFLICT (id) DO NOTHING";
    const KEEP_DATASTORE: &'static str =
        "INSERT INTO datastores (id, name) VALUES (?, ?) ON CONFLICT (name) DO NOTHING";
    const KEEP_LEASE: &'static str =
        "INSERT INTO leases (name, owner, expires_at) VALUES (?, '', 0) ON CONFLICT (name) DO NOTHING";
    const KEEP_STEP: &'static str = "INSERT INTO task_steps (task_id, seq, name, subject, started) \
         VALUES (?, ?, ?, ?, ?) ON CONFLICT (task_id, seq) DO NOTHING";

    fn classify(error: sqlx::Error) -> StoreError {
        let passing = match &error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                true
            }
            sqlx::Error::Database(database) => database.code().is_some_and(|code| is_passing(&code)),
            _ => false,
        };
        if passing { Passing::Other(error).into() } else { StoreError::Broken(error.into()) }
    }

    drive!(statements Sqlite);
}

drive!(rows SqliteRow);

/// Whether an extended result code says that the same statement may succeed later.
fn is_passing(code: &str) -> bool {
    // The low byte is the primary code: BUSY, LOCKED, IOERR, FULL, CANTOPEN.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14))
}

/// How many queries run at a time: each keeps a processor busy, and while one hands its rows over another one reads.
/// More only cost memory, a thread and a cache each.
fn readers() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from((processors + 1).min(MOST_READERS)).unwrap_or(1)
}

/// Reads an address. SQLite's own log of statements is off: what a statement was for is logged by whoever asked.
fn options(connection: &str) -> Result<SqliteConnectOptions, ConnectError> {
    if connection.contains(":memory:") || connection.contains("mode=memory") {
        return Err(ConnectError::Address("a database in memory is lost with its first connection".to_owned()));
    }
    let options =
        SqliteConnectOptions::from_str(connection).map_err(|error| ConnectError::Address(error.to_string()))?;
    Ok(options
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("cache_size", PAGE_CACHE)
        .disable_statement_logging())
}

/// Makes an empty file that only this user may read, unless there is a file; SQLite gives the files beside it the
/// same mode.
fn ensure_file(path: &Path) -> Result<(), ConnectError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(ConnectError::File { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

impl SqliteStore {
    /// Opens the database of an address `sqlite:…`, whose schema has to be one that this program works with.
    pub async fn connect(connection: &str) -> Result<Self, ConnectError> {
        Self::schema_state(connection).await?.require_usable()?;
        let options = options(connection)?;
        let pool = || {
            SqlitePoolOptions::new()
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .acquire_slow_threshold(ACQUIRE_TIMEOUT)
                .test_before_acquire(false)
                .max_lifetime(None)
        };
        // SQLite has one writer at a time. Writers of this process queue for the one connection, in order, rather
        // than poll for the lock of the file.
        let writers = pool().max_connections(1).idle_timeout(None);
        let readers = pool().max_connections(readers());
        Ok(Self {
            writers: writers.connect_with(options.clone()).await.map_err(unreachable)?,
            readers: readers.connect_with(options.pragma("query_only", "ON")).await.map_err(unreachable)?,
        })
    }

    /// Brings the schema up to date; makes the file if there is none.
    pub async fn migrate(connection: &str) -> Result<(), ConnectError> {
        let options = options(connection)?;
        ensure_file(options.get_filename())?;
        let mut connection =
            connect_in_wal_mode(&options.busy_timeout(MIGRATION_TIMEOUT)).await.map_err(unreachable)?;
        // The transaction around all of it is the lock, and what makes a migration happen wholly or not at all.
        let mut tx = connection.begin_with(SqliteBackend::BEGIN).await.map_err(unreachable)?;
        schema::sqlite().run_direct(None, &mut *tx, false).await.map_err(ConnectError::Migration)?;
        tx.commit().await.map_err(unreachable)?;
        connection.close().await.map_err(unreachable)
    }

    /// Where the schema is.
    pub async fn schema_state(connection: &str) -> Result<SchemaState, ConnectError> {
        let options = options(connection)?;
        if !options.get_filename().exists() {
            return Ok(SchemaState::Absent);
        }
        let mut connection: SqliteConnection = options.connect().await.map_err(unreachable)?;
        let state = SchemaState::read::<SqliteBackend>(&mut connection, &schema::sqlite()).await?;
        connection.close().await.map_err(unreachable)?;
        Ok(state)
    }
}

/// Opens the file for a migration, in WAL mode, which the file keeps: daemons find it so.
///
/// Two that change the mode of a new file at the same time would wait for each other for ever, so SQLite answers one
/// of them "busy" at once, whatever the busy timeout is (`sqlite3_busy_handler`: "the presence of a busy handler does
/// not guarantee that it will be invoked").
async fn connect_in_wal_mode(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let options = options.clone().journal_mode(SqliteJournalMode::Wal);
    let begun = Instant::now();
    loop {
        match options.connect().await {
            Err(sqlx::Error::Database(error))
                if error.code().is_some_and(|code| is_passing(&code)) && begun.elapsed() < MIGRATION_TIMEOUT =>
            {
                sleep(MIGRATION_PAUSE).await;
            }
            result => return result,
        }
    }
}

fn unreachable(error: sqlx::Error) -> ConnectError {
    ConnectError::Database(SqliteBackend::classify(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_passes_and_a_broken_constraint_does_not() {
        for passing in ["5", "261", "517", "6", "10", "13"] {
            assert!(is_passing(passing), "{passing}");
        }
        for lasting in ["1", "19", "2067", "787", "", "x"] {
            assert!(!is_passing(lasting), "{lasting}");
        }
    }

    #[test]
    fn a_database_in_memory_is_refused() {
        assert!(matches!(options("sqlite::memory:"), Err(ConnectError::Address(_))));
        assert!(matches!(options("sqlite://?mode=memory"), Err(ConnectError::Address(_))));
    }
}

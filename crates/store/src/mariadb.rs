//! MariaDB: one server, shared by every daemon of an installation.

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use redtrove_engine::ports::StoreError;
use sqlx::mysql::{MySql, MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlPoolOptions, MySqlRow};
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::time::timeout;

use crate::backend::{Backend, Columns, SqlStore, drive, values, whole};
use crate::connect::ConnectError;
use crate::continuing;
use crate::passing::Passing;
use crate::schema::{self, SchemaState};

/// MariaDB as a backend.
#[derive(Debug)]
pub struct MariaDbBackend;

/// The Store on MariaDB.
pub type MariaDbStore = SqlStore<MariaDbBackend>;

/// How long to wait for a connection of the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// The most connections of one process.
const CONNECTIONS: u32 = 16;

/// How long a migration waits for another one.
const MIGRATION_TIMEOUT: Duration = Duration::from_mins(1);

/// One migration of a database at a time. The lock that sqlx would take waits for -1 seconds, which means for ever
/// to MySQL and not at all to MariaDB: there it is no lock. The names of locks are the whole server's.
const LOCK: &str = "SELECT GET_LOCK(CONCAT('redtrove.', MD5(DATABASE())), ?) AS locked";

/// What every session starts with. Strict: a value that does not fit is an error, not cut. The server's own wait for
/// a lock is 50 s. READ COMMITTED: no gap locks, and a condition is judged on what is committed.
const SESSION: [&str; 2] = [
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = 5",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
];

impl Backend for MariaDbBackend {
    type Db = MySql;

    const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
    const BEGIN: &'static str = "START TRANSACTION";
    const NOW: &'static str = "SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) AS now";
    const FIND_MIGRATIONS: &'static str = "SELECT table_name AS found FROM information_schema.tables \
         WHERE table_schema = DATABASE() AND table_name = '_sqlx_migrations'";
    // A change that changes nothing locks the row for writing; IGNORE would lock it for reading, and two readers
    // that both want to write next are a deadlock.
    const KEEP_USAGE: &'static str = "INSERT INTO quota_usages (project_id, resource, in_use) VALUES (?, ?, 0) \
         ON DUPLICATE KEY UPDATE in_use = in_use";
    const KEEP_ANSWER: &'static str = "INSERT INTO answers (id, body_hash, status, body, created) \
         VALUES (?, '', 0, '', ?) ON DUPLICATE KEY UPDATE id = id";
    const KEEP_DATASTORE: &'static str =
        "INSERT INTO datastores (id, name) VALUES (?, ?) ON DUPLICATE KEY UPDATE name = name";
    const KEEP_LEASE: &'static str =
        "INSERT INTO leases (name, owner, expires_at) VALUES (?, '', 0) ON DUPLICATE KEY UPDATE name = name";
    const KEEP_STEP: &'static str = "INSERT INTO task_steps (task_id, seq, name, subject, started) \
         VALUES (?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE seq = seq";

    fn classify(error: sqlx::Error) -> StoreError {
        let meaning = match &error {
            sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => Meaning::Lost,
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Meaning::Passing,
            sqlx::Error::Database(database) => database
                .try_downcast_ref::<MySqlDatabaseError>()
                .map_or(Meaning::Lasting, |error| meaning(error.number())),
            _ => Meaning::Lasting,
        };
        match meaning {
            Meaning::Clash => Passing::Clash(error).into(),
            Meaning::Blocked => Passing::Blocked(error).into(),
            Meaning::Lost => Passing::Lost(error).into(),
            Meaning::Passing => Passing::Other(error).into(),
            Meaning::Lasting => StoreError::Broken(error.into()),
        }
    }

    drive!(statements MySql);
}

drive!(rows MySqlRow);

#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Clash,
    Blocked,
    Lost,
    Passing,
    Lasting,
}

/// What an error number says.
fn meaning(number: u16) -> Meaning {
    match number {
        // Deadlock, record changed since it was read; a table changed by a migration.
        1213 | 1020 | 1412 | 1615 => Meaning::Clash,
        // Lock wait timeout.
        1205 => Meaning::Blocked,
        // Shutting down, aborted, killed (the connection, the statement), trouble on the network.
        1053 | 1152 | 1184 | 1927 | 1317 | 1158..=1161 => Meaning::Lost,
        // Too many connections (of all, of this user), this host blocked after too many errors; no room: the disk, a
        // file, a table; what the engine or a file says (5 and 28 among it); a COMMIT or ROLLBACK that failed;
        // read-only; a Galera node that is not ready.
        1040 | 1203 | 1129 | 1021 | 3 | 1026 | 1114 | 1030 | 1180 | 1181 | 1290 | 1836 | 1047 => Meaning::Passing,
        _ => Meaning::Lasting,
    }
}

/// Reads an address. The driver's own log of statements is off: what a statement was for is logged by whoever asked.
fn options(connection: &str) -> Result<MySqlConnectOptions, ConnectError> {
    let options =
        MySqlConnectOptions::from_str(connection).map_err(|error| ConnectError::Address(error.to_string()))?;
    Ok(options.disable_statement_logging())
}

impl MariaDbStore {
    /// Connects to the database of an address `mysql:…`, whose schema has to be one that this program works with.
    pub async fn connect(connection: &str) -> Result<Self, ConnectError> {
        Self::schema_state(connection).await?.require_usable()?;
        let pool = MySqlPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .acquire_slow_threshold(ACQUIRE_TIMEOUT)
            .after_connect(|session, _| {
                Box::pin(async move {
                    for statement in SESSION {
                        session.execute(statement).await?;
                    }
                    Ok(())
                })
            })
            .connect_with(options(connection)?)
            .await
            .map_err(unreachable)?;
        Ok(Self { readers: pool.clone(), writers: pool })
    }

    /// Brings the schema up to date, holding a lock of the server.
    pub async fn migrate(connection: &str) -> Result<(), ConnectError> {
        let mut connection = open(connection).await?;
        // It is given back when the session ends, whichever way that is.
        let wait = values![whole(MIGRATION_TIMEOUT.as_secs()).map_err(ConnectError::Database)?];
        let lock = async { MariaDbBackend::fetch(&mut connection, LOCK, wait).await.map_err(unreachable) };
        let locked = answered(MIGRATION_TIMEOUT + MariaDbBackend::ANSWERS_WITHIN, lock).await?;
        if locked.first().map(|row| row.integer("locked")).transpose().map_err(unreachable)?.flatten() != Some(1) {
            return Err(ConnectError::Locked);
        }
        let mut migrator = schema::mariadb();
        migrator.set_locking(false);
        continuing::finish(&mut connection, &migrator).await?;
        migrator.run_direct(None, &mut connection, false).await.map_err(ConnectError::Migration)?;
        connection.close().await.map_err(unreachable)
    }

    /// Where the schema is.
    pub async fn schema_state(connection: &str) -> Result<SchemaState, ConnectError> {
        let mut connection = open(connection).await?;
        let state = async {
            let state = SchemaState::read::<MariaDbBackend>(&mut connection, &schema::mariadb()).await?;
            connection.close().await.map_err(unreachable)?;
            Ok(state)
        };
        answered(MariaDbBackend::ANSWERS_WITHIN, state).await
    }
}

/// A connection outside of any pool.
async fn open(connection: &str) -> Result<MySqlConnection, ConnectError> {
    let options = options(connection)?;
    let opened = async { options.connect().await.map_err(unreachable) };
    answered(MariaDbBackend::ANSWERS_WITHIN, opened).await
}

/// What comes within this time.
pub(crate) async fn answered<T>(
    within: Duration,
    answer: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let silence = |_| Err(ConnectError::Database(Passing::Silent(within).into()));
    timeout(within, answer).await.unwrap_or_else(silence)
}

pub(crate) fn unreachable(error: sqlx::Error) -> ConnectError {
    ConnectError::Database(MariaDbBackend::classify(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadlock_is_run_again_and_a_duplicate_is_not() {
        assert_eq!([1213, 1020].map(meaning), [Meaning::Clash, Meaning::Clash]);
        assert_eq!(meaning(1205), Meaning::Blocked);
        assert_eq!([1927, 1053, 1160].map(meaning), [Meaning::Lost, Meaning::Lost, Meaning::Lost]);
        assert_eq!([1040, 1114].map(meaning), [Meaning::Passing, Meaning::Passing]);
        assert_eq!(meaning(1062), Meaning::Lasting);
    }
}

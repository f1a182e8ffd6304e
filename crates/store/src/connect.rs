//! From an address to a Store.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use redtrove_engine::Store;
use redtrove_engine::ports::StoreError;
use sqlx::migrate::MigrateError;

use crate::mariadb::MariaDbStore;
use crate::schema::SchemaState;
use crate::sqlite::SqliteStore;

/// Why there is no Store. No text of it holds the address, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is none of a database.
    #[error("the database's address cannot be used: {0}")]
    Address(String),
    /// The database's file cannot be made.
    #[error("{} cannot be made", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The database does not answer, or refuses.
    #[error("the database cannot be opened")]
    Database(#[source] StoreError),
    /// Its schema is not the one that this program works with.
    #[error("{0}")]
    Schema(SchemaState),
    /// Another migration has been under way for too long to wait for it.
    #[error("another migration of the database is under way")]
    Locked,
    /// A migration broke off half way that this program does not know, or knows otherwise.
    #[error(
        "migration {at} of the database's schema broke off half way, and it is another release's: run \
         `redtrove-taskmanager db migrate` of that release, which goes on where it stopped"
    )]
    Unfinished {
        /// The migration.
        at: i64,
    },
    /// A migration failed.
    #[error("the database's schema cannot be brought up to date")]
    Migration(#[source] MigrateError),
}

/// Whether the database answers, for a daemon's /healthz. Nothing else counts there: a broker that is away costs
/// time only, and guests may be away.
pub async fn health(store: Arc<dyn Store>) -> Result<(), String> {
    store.now().await.map(drop).map_err(|error| error.to_string())
}

enum Kind {
    Sqlite,
    MariaDb,
}

fn kind(connection: &str) -> Result<Kind, ConnectError> {
    match connection.split_once(':').map(|(scheme, _)| scheme) {
        Some("sqlite") => Ok(Kind::Sqlite),
        Some("mysql" | "mariadb") => Ok(Kind::MariaDb),
        _ => Err(ConnectError::Address("it has to begin with sqlite: or mysql:".to_owned())),
    }
}

/// Opens the database of an address: `sqlite:///var/lib/redtrove/redtrove.db`, `mysql://user:password@host/name`.
///
/// Never changes the schema: where this program cannot work with it, the error names the command that helps.
pub async fn connect(connection: &str) -> Result<Arc<dyn Store>, ConnectError> {
    Ok(match kind(connection)? {
        Kind::Sqlite => Arc::new(SqliteStore::connect(connection).await?),
        Kind::MariaDb => Arc::new(MariaDbStore::connect(connection).await?),
    })
}

/// Brings the schema up to date, and what broke off before to its end. May run at any time and any number of times, several
/// at once included, and while daemons run.
pub async fn migrate(connection: &str) -> Result<(), ConnectError> {
    match kind(connection)? {
        Kind::Sqlite => SqliteStore::migrate(connection).await,
        Kind::MariaDb => MariaDbStore::migrate(connection).await,
    }
}

/// Where the schema is.
pub async fn schema_state(connection: &str) -> Result<SchemaState, ConnectError> {
    match kind(connection)? {
        Kind::Sqlite => SqliteStore::schema_state(connection).await,
        Kind::MariaDb => MariaDbStore::schema_state(connection).await,
    }
}

//! The schema: its migrations, one folder a database with the same files in each, and where a database is in them.

use std::fmt;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Database, SqlSafeStr};

use crate::backend::{Backend, Columns, values};
use crate::connect::ConnectError;

macro_rules! migrations {
    ($folder:literal, $($version:literal $file:literal),+ $(,)?) => {
        Migrator::with_migrations(vec![$(Migration::new(
            $version,
            $file.into(),
            MigrationType::Simple,
            include_str!(concat!("../schema/", $folder, "/", $file, ".sql")).into_sql_str(),
            false,
        )),+])
    };
}

/// SQLite's migrations.
pub(crate) fn sqlite() -> Migrator {
    migrations!("sqlite", 1 "0001_first", 2 "0002_projects", 3 "0003_grow_and_shrink", 4 "0004_upkeep")
}

/// MariaDB's migrations.
pub(crate) fn mariadb() -> Migrator {
    migrations!("mariadb", 1 "0001_first", 2 "0002_projects", 3 "0003_grow_and_shrink", 4 "0004_upkeep")
}

/// Where the schema of a database is, seen from this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaState {
    /// There is none.
    Absent,
    /// It is the one this program works with.
    Current(i64),
    /// Migrations are missing.
    Old {
        /// The newest migration of the database.
        found: i64,
        /// The newest migration of this program.
        wanted: i64,
    },
    /// A newer program migrated it.
    New {
        /// The newest migration of the database.
        found: i64,
        /// The newest migration of this program.
        wanted: i64,
    },
    /// A migration broke off half way, which only happens where changes of tables cannot be rolled back (MariaDB).
    Broken {
        /// The migration.
        at: i64,
    },
}

impl SchemaState {
    /// Reads it through a connection.
    pub(crate) async fn read<B: Backend>(
        connection: &mut <B::Db as Database>::Connection,
        migrator: &Migrator,
    ) -> Result<Self, ConnectError> {
        let failed = |error| ConnectError::Database(B::classify(error));
        if B::fetch(connection, B::FIND_MIGRATIONS, values![]).await.map_err(failed)?.is_empty() {
            return Ok(Self::Absent);
        }
        let sql = "SELECT version, CASE WHEN success THEN 1 ELSE 0 END AS succeeded \
                   FROM _sqlx_migrations ORDER BY version";
        let mut found = None;
        for row in B::fetch(connection, sql, values![]).await.map_err(failed)? {
            let version = row.integer("version").map_err(failed)?.unwrap_or_default();
            if row.integer("succeeded").map_err(failed)? != Some(1) {
                return Ok(Self::Broken { at: version });
            }
            found = Some(version);
        }
        let wanted = migrator.iter().map(|migration| migration.version).max().unwrap_or_default();
        Ok(match found {
            None => Self::Absent,
            Some(found) if found < wanted => Self::Old { found, wanted },
            Some(found) if found > wanted => Self::New { found, wanted },
            Some(found) => Self::Current(found),
        })
    }

    /// An error unless it is the one this program works with.
    pub(crate) fn require_current(self) -> Result<(), ConnectError> {
        if matches!(self, Self::Current(_)) { Ok(()) } else { Err(ConnectError::Schema(self)) }
    }
}

/// One sentence that says what to do.
impl fmt::Display for SchemaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(f, "the database has no schema yet: run `redtrove-taskmanager db migrate`"),
            Self::Current(version) => write!(f, "the database's schema is at version {version}, as it should be"),
            Self::Old { found, wanted } => write!(
                f,
                "the database's schema is at version {found}, this program needs {wanted}: \
                 run `redtrove-taskmanager db migrate`"
            ),
            Self::New { found, wanted } => write!(
                f,
                "the database's schema is at version {found}, this program knows {wanted}: install the release whose \
                 `redtrove-taskmanager db migrate` made it"
            ),
            Self::Broken { at } => write!(
                f,
                "migration {at} of the database's schema broke off half way: restore the database from a backup, \
                 then run `redtrove-taskmanager db migrate`"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn files(folder: &str) -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(folder);
        let names = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    fn embedded(migrator: &Migrator) -> BTreeSet<String> {
        migrator.iter().map(|migration| format!("{}.sql", migration.description)).collect()
    }

    #[test]
    fn both_databases_have_the_same_migrations_and_all_are_embedded() {
        assert_eq!(files("sqlite"), files("mariadb"));
        assert_eq!(files("sqlite"), embedded(&sqlite()));
        assert_eq!(files("mariadb"), embedded(&mariadb()));
    }

    #[test]
    fn a_migration_has_the_number_of_its_file() {
        for migration in sqlite().iter().chain(mariadb().iter()) {
            assert!(migration.description.starts_with(&format!("{:04}_", migration.version)), "{migration:?}");
        }
    }
}

//! The schema: its migrations, one folder a database with the same files in each, and where a database is in them.
//!
//! A migration **expands** the schema: what daemons of the release before read and write stays as it is, so they go on
//! while it runs and after it, and may even start. One that takes something away **contracts** it, says so in its name
//! (`0009_contract_…`), and comes a release after the last one that used what goes.

use std::collections::BTreeSet;
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
    migrations!(
        "sqlite",
        1 "0001_first",
        2 "0002_projects",
        3 "0003_grow_and_shrink",
        4 "0004_upkeep",
        5 "0005_live_clusters",
    )
}

/// MariaDB's migrations.
pub(crate) fn mariadb() -> Migrator {
    migrations!(
        "mariadb",
        1 "0001_first",
        2 "0002_projects",
        3 "0003_grow_and_shrink",
        4 "0004_upkeep",
        5 "0005_live_clusters",
    )
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
    /// A newer program migrated it, or is about to, and took nothing away that this program needs.
    Expanded {
        /// The newest migration of the database.
        found: i64,
        /// The newest migration of this program.
        wanted: i64,
    },
    /// A newer program migrated it, so that this program cannot work with it any more.
    New {
        /// The newest migration of the database.
        found: i64,
        /// The newest migration of this program.
        wanted: i64,
    },
    /// A migration is under way or broke off half way, which only shows where changes of tables cannot be rolled back
    /// (MariaDB). One of a newer release that takes nothing away is no reason not to work: see `Expanded`.
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
        let sql = "SELECT version, description, CASE WHEN success THEN 1 ELSE 0 END AS succeeded \
                   FROM _sqlx_migrations ORDER BY version";
        let (mut there, mut contracted) = (BTreeSet::new(), false);
        let wanted = migrator.iter().map(|migration| migration.version).max().unwrap_or_default();
        for row in B::fetch(connection, sql, values![]).await.map_err(failed)? {
            let version = row.integer("version").map_err(failed)?.unwrap_or_default();
            let name = row.text("description").map_err(failed)?.unwrap_or_default();
            let newer = version > wanted;
            contracted |= newer && contracts(&name);
            // One of a newer release, under way or broken off half way, leaves all that this program needs.
            if row.integer("succeeded").map_err(failed)? != Some(1) && (!newer || contracts(&name)) {
                return Ok(Self::Broken { at: version });
            }
            there.insert(version);
        }
        let missing = migrator.iter().any(|migration| !there.contains(&migration.version));
        Ok(match there.last().copied() {
            None => Self::Absent,
            Some(found) if found > wanted && (contracted || missing) => Self::New { found, wanted },
            Some(found) if found > wanted => Self::Expanded { found, wanted },
            Some(found) if missing => Self::Old { found, wanted },
            Some(found) => Self::Current(found),
        })
    }

    /// Whether this program works with it.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Current(_) | Self::Expanded { .. })
    }

    /// An error unless this program works with it.
    pub(crate) fn require_usable(self) -> Result<(), ConnectError> {
        if let Self::Expanded { .. } = self {
            tracing::info!("{self}");
        }
        if self.is_usable() { Ok(()) } else { Err(ConnectError::Schema(self)) }
    }
}

/// Whether a migration takes something away, by its name.
fn contracts(name: &str) -> bool {
    name.split('_').nth(1) == Some("contract")
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
            Self::Expanded { found, wanted } => write!(
                f,
                "the database's schema is at version {found}, this program knows {wanted}: it works with that, until \
                 this daemon is upgraded, too"
            ),
            Self::New { found, wanted } => write!(
                f,
                "the database's schema is at version {found}, this program knows {wanted}: install the release whose \
                 `redtrove-taskmanager db migrate` made it"
            ),
            Self::Broken { at } => write!(
                f,
                "migration {at} of the database's schema broke off half way: run `redtrove-taskmanager db migrate`, \
                 which goes on where it stopped"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::continuing::statements;

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

    /// What is wrong with a statement of a migration that is to leave everything to the release before.
    fn takes_away(statement: &str) -> Option<&'static str> {
        let words: Vec<String> = statement.split_whitespace().map(str::to_uppercase).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["CREATE", "TABLE" | "INDEX", ..] | ["UPDATE", ..] | ["INSERT", ..] => None,
            ["ALTER", "TABLE", _, ref changes @ ..] => {
                let text = changes.join(" ");
                let mut added = text.trim_end_matches(';').split(", ");
                let fits = |part: &str| {
                    part.starts_with("ADD COLUMN ") && (part.ends_with(" NULL") && !part.ends_with("NOT NULL"))
                        || part.starts_with("ADD COLUMN ") && part.contains(" DEFAULT ")
                };
                (!added.all(fits)).then_some("a column is added that the release before does not fill, or changed")
            }
            _ => Some("only tables, indexes and columns are added"),
        }
    }

    #[test]
    fn what_the_release_before_uses_stays() {
        for migration in sqlite().iter().chain(mariadb().iter()).filter(|one| !contracts(&one.description)) {
            for statement in statements(migration.sql.as_str()) {
                assert_eq!(takes_away(&statement), None, "{}: {statement}", migration.description);
            }
        }
        for bad in [
            "ALTER TABLE tasks DROP COLUMN step;",
            "ALTER TABLE tasks ADD COLUMN size BIGINT NOT NULL;",
            "ALTER TABLE tasks ADD COLUMN a TEXT NULL,\n    MODIFY step TEXT NULL;",
            "ALTER TABLE tasks ADD CONSTRAINT one UNIQUE (cluster_id);",
            "CREATE UNIQUE INDEX one ON tasks (cluster_id);",
            "DROP TABLE tasks;",
            "RENAME TABLE tasks TO works;",
            "DELETE FROM tasks;",
        ] {
            assert!(takes_away(bad).is_some(), "{bad}");
        }
        assert_eq!(takes_away("ALTER TABLE tasks ADD COLUMN size BIGINT NOT NULL DEFAULT 0;"), None);
        assert!(contracts("0009_contract_steps") && !contracts("0009_contracts"));
    }
}

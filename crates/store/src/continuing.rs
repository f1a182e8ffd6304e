//! A migration of MariaDB that broke off half way, as its changes of tables cannot be rolled back: it is continued.
//!
//! Each statement takes place wholly or not at all (MariaDB has been so since 10.6). So the migration is run once more,
//! statement by statement, and what is there already is passed over.

use sqlx::migrate::{Migration, Migrator};
use sqlx::mysql::{MySqlConnection, MySqlDatabaseError};
use sqlx::{AssertSqlSafe, Executor};

use crate::backend::{Backend, Columns, values};
use crate::connect::ConnectError;
use crate::mariadb::{MariaDbBackend, answered, unreachable};
use crate::schema::SchemaState;

const UNFINISHED: &str = "SELECT version, HEX(checksum) AS checksum FROM _sqlx_migrations WHERE NOT success";

const FINISHED: &str = "UPDATE _sqlx_migrations SET success = TRUE WHERE version = ?";

/// Brings a migration that broke off to its end, if there is one. Whoever calls it holds the lock of migrations.
pub(crate) async fn finish(connection: &mut MySqlConnection, migrator: &Migrator) -> Result<(), ConnectError> {
    let unfinished = async {
        if SchemaState::read::<MariaDbBackend>(connection, migrator).await? == SchemaState::Absent {
            return Ok(Vec::new());
        }
        MariaDbBackend::fetch(connection, UNFINISHED, values![]).await.map_err(unreachable)
    };
    let rows = answered(MariaDbBackend::ANSWERS_WITHIN, unfinished).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let at = row.integer("version").map_err(unreachable)?.unwrap_or_default();
    let checksum = row.text("checksum").map_err(unreachable)?;
    let same = |migration: &&Migration| migration.version == at && checksum == Some(hexadecimal(&migration.checksum));
    let migration = migrator.iter().find(same).ok_or(ConnectError::Unfinished { at })?;
    for statement in statements(migration.sql.as_str()) {
        match connection.execute(AssertSqlSafe(statement)).await {
            Err(error) if !is_there(&error) => return Err(unreachable(error)),
            _ => {}
        }
    }
    let finished = sqlx::query(FINISHED).bind(at).execute(connection).await;
    finished.map(drop).map_err(unreachable)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The statements of a migration: each ends with a line that ends with a semicolon, and comments are lines of their own.
pub(crate) fn statements(sql: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for line in sql.lines().map(str::trim_end).filter(|line| !line.trim_start().starts_with("--")) {
        if let Some(last) = found.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
        if line.ends_with(';') {
            found.push(String::new());
        }
    }
    found.retain(|statement| !statement.trim().is_empty());
    found
}

/// Whether a statement failed because it has been carried out before.
fn is_there(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    // The table, column or index is there; so is the foreign key. The table, column or index to be dropped is gone.
    let number = error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
    number.is_some_and(|number| matches!(number, 1050 | 1060 | 1061 | 1826 | 1051 | 1091))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_where_lines_do() {
        let sql = "-- One; two.\nCREATE TABLE a (\n    b TEXT NULL\n);\n\n-- more\nCREATE INDEX c ON a (b);\n";
        assert_eq!(statements(sql), ["CREATE TABLE a (\n    b TEXT NULL\n);\n", "\nCREATE INDEX c ON a (b);\n"]);
    }
}

//! A look into the database, for what no interface shows.

use std::path::Path;

use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use tokio::runtime::Runtime;

/// The stack's database.
pub(crate) struct Database {
    runtime: Runtime,
    pool: SqlitePool,
}

impl Database {
    pub(crate) fn open(path: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
        let connect = SqlitePoolOptions::new().max_connections(1).connect_with(options);
        let pool = runtime.block_on(connect).unwrap();
        Self { runtime, pool }
    }

    /// One number.
    pub(crate) fn number(&self, question: &'static str) -> i64 {
        let row = self.runtime.block_on(sqlx::query(question).fetch_one(&self.pool)).unwrap();
        row.get(0)
    }

    /// The rows of a question with two columns of text.
    pub(crate) fn pairs(&self, question: &'static str) -> Vec<(String, Option<String>)> {
        let rows = self.runtime.block_on(sqlx::query(question).fetch_all(&self.pool)).unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// How many rows the tables have that a request can write to.
    pub(crate) fn row_counts(&self) -> Vec<i64> {
        [
            "SELECT COUNT(*) FROM clusters",
            "SELECT COUNT(*) FROM instances",
            "SELECT COUNT(*) FROM tasks",
            "SELECT COUNT(*) FROM task_steps",
            "SELECT COUNT(*) FROM quota_usages",
            "SELECT COALESCE(SUM(in_use), 0) FROM quota_usages",
        ]
        .map(|question| self.number(question))
        .to_vec()
    }
}

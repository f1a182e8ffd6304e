//! A look into the database, for what no interface shows.

use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Row as _};
use tokio::runtime::Runtime;

/// The stack's database.
pub(crate) struct Database {
    runtime: Runtime,
    pool: Pool,
}

enum Pool {
    Sqlite(SqlitePool),
    MariaDb(MySqlPool),
}

impl Database {
    /// The one of this address: `sqlite:…` or `mysql:…`.
    pub(crate) fn open(address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let open = async {
            if address.starts_with("sqlite:") {
                Pool::Sqlite(SqlitePoolOptions::new().max_connections(1).connect(address).await.unwrap())
            } else {
                Pool::MariaDb(MySqlPoolOptions::new().max_connections(1).connect(address).await.unwrap())
            }
        };
        let pool = runtime.block_on(open);
        Self { runtime, pool }
    }

    /// One number.
    pub(crate) fn number(&self, question: &'static str) -> i64 {
        self.runtime.block_on(async {
            match &self.pool {
                Pool::Sqlite(pool) => sqlx::query(question).fetch_one(pool).await.unwrap().get(0),
                Pool::MariaDb(pool) => {
                    // Sums are decimals there.
                    let whole = AssertSqlSafe(format!("SELECT CAST(({question}) AS SIGNED)"));
                    sqlx::query(whole).fetch_one(pool).await.unwrap().get(0)
                }
            }
        })
    }

    /// The rows of a question with two columns of text.
    pub(crate) fn pairs(&self, question: &'static str) -> Vec<(String, Option<String>)> {
        self.runtime.block_on(async {
            match &self.pool {
                Pool::Sqlite(pool) => {
                    let rows = sqlx::query(question).fetch_all(pool).await.unwrap();
                    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
                }
                Pool::MariaDb(pool) => {
                    let rows = sqlx::query(question).fetch_all(pool).await.unwrap();
                    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
                }
            }
        })
    }

    /// One text, of the row that a text leads to.
    pub(crate) fn text(&self, question: &'static str, of: &str) -> Option<String> {
        self.runtime.block_on(async {
            match &self.pool {
                Pool::Sqlite(pool) => {
                    sqlx::query(question).bind(of).fetch_optional(pool).await.unwrap().and_then(|row| row.get(0))
                }
                Pool::MariaDb(pool) => {
                    sqlx::query(question).bind(of).fetch_optional(pool).await.unwrap().and_then(|row| row.get(0))
                }
            }
        })
    }

    /// Changes something that has to do with the row that a text leads to; whether the database did.
    pub(crate) fn change(&self, statement: &'static str, of: &str) -> Result<(), sqlx::Error> {
        self.runtime.block_on(async {
            match &self.pool {
                Pool::Sqlite(pool) => sqlx::query(statement).bind(of).execute(pool).await.map(drop),
                Pool::MariaDb(pool) => sqlx::query(statement).bind(of).execute(pool).await.map(drop),
            }
        })
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

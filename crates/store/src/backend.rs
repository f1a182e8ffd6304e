//! What the statements stand on: a store generic over its database, values in and rows out.
//!
//! Every statement is written once, with `?` placeholders and columns of text and integers, which both databases
//! read alike. What differs between them is what [`Backend`] asks for.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use redtrove_core::Timestamp;
use redtrove_engine::ports::StoreError;
use sqlx::{Database, Pool, SqlStr};

use crate::passing::retried;
use crate::session::{Session, Tx};

/// One kind of database.
pub trait Backend: Send + Sync + 'static {
    /// The driver.
    type Db: Database<Row: Columns>;

    /// How long the answer to a statement may take: longer than one of ours ever waits for a lock.
    const ANSWERS_WITHIN: Duration;
    /// Begins a transaction that writes.
    const BEGIN: &'static str;
    /// Reads the database's clock: `now`, in milliseconds.
    const NOW: &'static str;
    /// Finds the table of migrations, if there is one.
    const FIND_MIGRATIONS: &'static str;
    /// Inserts a usage of quota (project, resource) unless there is one, and holds its row either way.
    const KEEP_USAGE: &'static str;
    /// Inserts an answer (id, created) that is not given yet unless there is one, and holds its row either way.
    const KEEP_ANSWER: &'static str;
    /// Inserts a datastore (id, name) unless there is one of the name, and holds its row either way.
    const KEEP_DATASTORE: &'static str;
    /// Inserts a lease (name) that nobody has unless there is one, and holds its row either way.
    const KEEP_LEASE: &'static str;
    /// Inserts a step (task, seq, name, subject, started) unless there is one of that number.
    const KEEP_STEP: &'static str;

    /// What an error means for whoever waits for the answer.
    fn classify(error: sqlx::Error) -> StoreError;

    /// Runs what begins or ends a transaction.
    fn run(
        connection: &mut <Self::Db as Database>::Connection,
        sql: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Runs a statement; the number of rows that it matched.
    fn execute(
        connection: &mut <Self::Db as Database>::Connection,
        sql: SqlStr,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Runs a query; all its rows.
    fn fetch(
        connection: &mut <Self::Db as Database>::Connection,
        sql: &'static str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<<Self::Db as Database>::Row>, sqlx::Error>> + Send;
}

/// A row of a database.
pub(crate) type RowOf<B> = <<B as Backend>::Db as Database>::Row;

/// The columns of a row, by name.
pub trait Columns: Send {
    /// A text or NULL.
    fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error>;
    /// A number or NULL.
    fn integer(&self, column: &str) -> Result<Option<i64>, sqlx::Error>;
}

/// `execute` and `fetch` of a [`Backend`], and [`Columns`] of its rows: the same words for every driver, which
/// its generics cannot say.
macro_rules! drive {
    (rows $Row:ty) => {
        impl $crate::backend::Columns for $Row {
            fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
                sqlx::Row::try_get(self, column)
            }

            fn integer(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
                sqlx::Row::try_get(self, column)
            }
        }
    };
    (statements $Db:ty) => {
        async fn run(
            connection: &mut <$Db as sqlx::Database>::Connection,
            sql: &'static str,
        ) -> Result<(), sqlx::Error> {
            sqlx::Executor::execute(connection, sqlx::raw_sql(sql)).await.map(drop)
        }

        async fn execute(
            connection: &mut <$Db as sqlx::Database>::Connection,
            sql: sqlx::SqlStr,
            values: Vec<$crate::backend::Value>,
        ) -> Result<u64, sqlx::Error> {
            let query = drive!(bind sqlx::query::<$Db>(sql), values);
            Ok(query.execute(connection).await?.rows_affected())
        }

        async fn fetch(
            connection: &mut <$Db as sqlx::Database>::Connection,
            sql: &'static str,
            values: Vec<$crate::backend::Value>,
        ) -> Result<Vec<<$Db as sqlx::Database>::Row>, sqlx::Error> {
            drive!(bind sqlx::query::<$Db>(sql), values).fetch_all(connection).await
        }
    };
    (bind $query:expr, $values:expr) => {
        $values.into_iter().fold($query, |query, value| match value {
            $crate::backend::Value::Null => query.bind(None::<String>),
            $crate::backend::Value::Integer(number) => query.bind(number),
            $crate::backend::Value::Text(text) => query.bind(text),
        })
    };
}
pub(crate) use drive;

/// A value of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// A number.
    Integer(i64),
    /// A text.
    Text(String),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Integer(i64::from(yes))
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::Integer(time.0)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// An id, a name of an enum: whatever is kept as it prints.
pub(crate) fn printed(value: impl fmt::Display) -> Value {
    Value::Text(value.to_string())
}

/// A number that has to fit the database's.
pub(crate) fn whole(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|error| StoreError::Broken(error.into()))
}

/// The longest text for people that is kept, in bytes.
const LONGEST_TEXT: usize = 4_000;

/// A text for people, cut to what is kept of it.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

/// Values of a statement, in the order of its placeholders.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::backend::Value::from($value)),*] };
}
pub(crate) use values;

/// The Store on one kind of database.
#[derive(Debug)]
pub struct SqlStore<B: Backend> {
    pub(crate) readers: Pool<B::Db>,
    pub(crate) writers: Pool<B::Db>,
}

impl<B: Backend> SqlStore<B> {
    /// Begins a transaction.
    pub(crate) async fn begin(&self) -> Result<Tx<B>, StoreError> {
        Tx::begin(&self.writers).await
    }

    /// The rows of one query, which sees one state of the database.
    pub(crate) async fn rows(&self, sql: &'static str, values: Vec<Value>) -> Result<Vec<RowOf<B>>, StoreError> {
        tracing::trace!(sql, "a query");
        retried!(async { Session::<B>::acquire(&self.readers).await?.rows(sql, values.clone()).await })
    }

    /// The first row of a query.
    pub(crate) async fn row(&self, sql: &'static str, values: Vec<Value>) -> Result<Option<RowOf<B>>, StoreError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// The time by the database's clock.
    pub(crate) async fn clock(&self) -> Result<Timestamp, StoreError> {
        clock_of(self.row(B::NOW, values![]).await?.as_ref())
    }
}

/// The time that a row of [`Backend::NOW`] says.
pub(crate) fn clock_of(row: Option<&impl Columns>) -> Result<Timestamp, StoreError> {
    match row.map(|row| row.integer("now")) {
        Some(Ok(Some(now))) => Ok(Timestamp(now)),
        other => Err(StoreError::Corrupt { what: "clock", value: format!("{other:?}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = format!("x{}", "🦀".repeat(2_000));
        let kept = cut(&long);
        assert_eq!(kept.len(), 3_997, "1 + 999 × 4, the next crab would be past 4000");
        assert!(long.starts_with(kept));
    }

    #[test]
    fn numbers_past_the_databases_range_are_refused() {
        assert_eq!(whole(7).unwrap(), 7);
        assert!(matches!(whole(u64::MAX), Err(StoreError::Broken(_))));
    }
}

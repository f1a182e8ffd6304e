//! A connection at work: every question to the database is bounded in time, and a connection goes back to the pool
//! only if it has answered all that it was asked.
//!
//! The driver waits for an answer for ever, and its pool tests what comes back to it with a question of its own: a
//! database that takes connections and says nothing would hold every connection of the pool.

use redtrove_core::Timestamp;
use redtrove_engine::ports::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::{Database, Pool, SqlSafeStr};
use tokio::runtime::Handle;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::backend::{Backend, RowOf, Value, clock_of, values};
use crate::passing::Passing;

type ConnectionOf<B> = <<B as Backend>::Db as Database>::Connection;

/// A connection of a pool.
pub(crate) struct Session<B: Backend> {
    /// Some, until it is dropped.
    connection: Option<PoolConnection<B::Db>>,
    /// It has not answered, or in a way after which nobody knows what it will answer next.
    unsure: bool,
    /// A transaction has begun and has not ended.
    open: bool,
}

impl<B: Backend> Session<B> {
    /// Takes one out of the pool, which waits for so long as the pool says.
    pub(crate) async fn acquire(pool: &Pool<B::Db>) -> Result<Self, StoreError> {
        let connection = pool.acquire().await.map_err(B::classify)?;
        Ok(Self { connection: Some(connection), unsure: false, open: false })
    }

    /// The connection, to be asked one question.
    fn ask(&mut self) -> Result<&mut ConnectionOf<B>, StoreError> {
        self.unsure = true;
        self.connection.as_deref_mut().ok_or_else(|| StoreError::Broken("the connection was given back".into()))
    }

    /// What came of the question.
    fn hear<T>(&mut self, answer: Result<Result<T, sqlx::Error>, Elapsed>) -> Result<T, StoreError> {
        match answer {
            Ok(Ok(answer)) => {
                self.unsure = false;
                Ok(answer)
            }
            Ok(Err(error)) => {
                let refused = matches!(error, sqlx::Error::Database(_));
                let error = B::classify(error);
                // A statement that was refused, or was in another one's way, leaves the connection as it was.
                self.unsure =
                    !refused || (matches!(error, StoreError::Unavailable(_)) && !Passing::is_anothers(&error));
                Err(error)
            }
            Err(_) => Err(Passing::Silent(B::ANSWERS_WITHIN).into()),
        }
    }

    /// Begins or ends a transaction.
    async fn run(&mut self, sql: &'static str) -> Result<(), StoreError> {
        let answer = timeout(B::ANSWERS_WITHIN, B::run(self.ask()?, sql)).await;
        self.hear(answer)
    }

    /// All rows of a query.
    pub(crate) async fn rows(&mut self, sql: &'static str, values: Vec<Value>) -> Result<Vec<RowOf<B>>, StoreError> {
        let answer = timeout(B::ANSWERS_WITHIN, B::fetch(self.ask()?, sql, values)).await;
        self.hear(answer)
    }
}

impl<B: Backend> Drop for Session<B> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match Handle::try_current() {
            Ok(runtime) if !self.unsure => {
                runtime.spawn(give_back::<B>(connection, self.open));
            }
            // The server rolls back what is open on a connection that ends.
            _ => drop(connection.detach()),
        }
    }
}

/// Gives a connection back to its pool, as the pool would do it; but this may be given up, and the connection with it.
/// One that is dropped without being detached would go back by itself, through the pool's own test.
async fn give_back<B: Backend>(mut connection: PoolConnection<B::Db>, open: bool) {
    if open && !matches!(timeout(B::ANSWERS_WITHIN, B::run(&mut connection, "ROLLBACK")).await, Ok(Ok(()))) {
        drop(connection.detach());
        return;
    }
    // Given up or not, it is no longer ours.
    let _ = timeout(B::ANSWERS_WITHIN, connection.return_to_pool()).await;
}

/// A transaction that writes. It is rolled back unless it is committed.
pub(crate) struct Tx<B: Backend> {
    session: Session<B>,
    /// The database's time when it began: every time it writes or compares with. A wait for a lock makes it late,
    /// which only makes leases shorter and claims rarer.
    pub(crate) now: Timestamp,
}

impl<B: Backend> Tx<B> {
    /// Begins one on a connection of the pool.
    pub(crate) async fn begin(pool: &Pool<B::Db>) -> Result<Self, StoreError> {
        let mut session = Session::acquire(pool).await?;
        session.run(B::BEGIN).await?;
        session.open = true;
        let now = clock_of(session.rows(B::NOW, values![]).await?.first())?;
        Ok(Self { session, now })
    }

    /// Runs a statement; the number of rows that it matched, whether or not they changed.
    pub(crate) async fn execute(&mut self, sql: impl SqlSafeStr + Send, values: Vec<Value>) -> Result<u64, StoreError> {
        let sql = sql.into_sql_str();
        tracing::trace!(sql = sql.as_str(), "a statement");
        let answer = timeout(B::ANSWERS_WITHIN, B::execute(self.session.ask()?, sql, values)).await;
        self.session.hear(answer)
    }

    /// All rows of a query.
    pub(crate) async fn rows(&mut self, sql: &'static str, values: Vec<Value>) -> Result<Vec<RowOf<B>>, StoreError> {
        tracing::trace!(sql, "a query of a transaction");
        self.session.rows(sql, values).await
    }

    /// The first row of a query.
    pub(crate) async fn one(&mut self, sql: &'static str, values: Vec<Value>) -> Result<Option<RowOf<B>>, StoreError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// Makes it last. Where the answer to that is lost, nobody knows whether it does.
    pub(crate) async fn commit(mut self) -> Result<(), StoreError> {
        self.session.run("COMMIT").await?;
        self.session.open = false;
        Ok(())
    }
}

//! The engine's Store on SQLite and MariaDB.
//!
//! [`connect`] opens a database by its address, [`migrate`] makes and changes its schema; daemons only ever do the
//! first. The statements are written once for both databases (`submit`, `quota`, `answers`, `tasks`, `log`, `debts`,
//! `reading`, `operators`, `catalogue`, `monitor`, `upkeep`), over the little that differs (`backend`, `sqlite`,
//! `mariadb`), on connections that may be lost at any moment (`session`, `passing`).
//!
//! Three rules keep it right with any number of processes. Every write of a task carries its lease's token, and a
//! write that matches no row undoes its whole transaction. Whoever locks several tables goes in the order answer,
//! cluster, task, instances, removed nodes with their debts, quota; only the cluster of a create, which nobody else can
//! lock, comes after its quota. Times that are compared come from the database's clock.

mod answers;
mod backend;
mod catalogue;
mod connect;
mod continuing;
#[cfg(feature = "contract")]
pub mod contract;
mod debts;
mod log;
mod mariadb;
mod monitor;
mod operators;
mod passing;
mod quota;
mod reading;
mod rows;
mod schema;
mod session;
mod sqlite;
mod store;
mod submit;
mod tasks;
mod upkeep;

pub use backend::SqlStore;
pub use connect::{ConnectError, connect, health, migrate, schema_state};
pub use mariadb::MariaDbStore;
pub use schema::SchemaState;
pub use sqlite::SqliteStore;

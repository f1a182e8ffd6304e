//! The Store on real databases.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod mariadb;
mod migration;
mod sqlite;

//! The Store on real databases.

mod sqlite;

//! The engine's Store on SQLite and MariaDB.

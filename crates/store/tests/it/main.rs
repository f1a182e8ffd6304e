//! The Store on real databases.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

// The attribute tells clippy that what is beside the tests is a test, too.
#[cfg(test)]
mod disk_full;
mod fire;
mod left_behind;
mod mariadb;
mod migration;
mod proxy;
mod server;
mod sqlite;
mod twice;

use std::path::Path;

/// The number of the newest migration: they are numbered from 1, and each is a file.
fn newest() -> i64 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/sqlite");
    i64::try_from(folder.read_dir().unwrap().count()).unwrap()
}

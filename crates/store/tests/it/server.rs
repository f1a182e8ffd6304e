//! A MariaDB of a test's own.

use redtrove_store::migrate;
use redtrove_testkit::Process;
use redtrove_testkit::mariadb::MariaDb;
use tempfile::TempDir;

/// The server, and the directory that it ends with.
pub(crate) struct Server {
    server: MariaDb,
    _dir: TempDir,
}

impl Server {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { server: MariaDb::start(dir.path()).unwrap(), _dir: dir }
    }

    /// An empty database.
    pub(crate) fn database(&self, name: &str) -> String {
        self.server.database(name).unwrap()
    }

    pub(crate) fn process(&self) -> Process {
        self.server.process()
    }

    /// A database with the current schema.
    pub(crate) async fn migrated(&self, name: &str) -> String {
        let address = self.database(name);
        migrate(&address).await.unwrap();
        address
    }
}

//! The operator's verbs: `db`, `datastore`, `task`, `pki`. Each says what it did, or in one sentence why it did not.

mod datastore;
mod db;
mod task;

use std::io::Write;

use anyhow::Context;
use clap::Subcommand;
use redtrove_engine::Clock;
use redtrove_service::config::load_checked;
use redtrove_service::{CommonArgs, DaemonConfig, SystemClock, tls};

use crate::config::Config;
use crate::pki::cli::PkiCommand;

/// What the operator asks for.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Run the taskmanager; so does no command at all.
    Run,
    /// The database's schema.
    #[command(subcommand)]
    Db(db::DbCommand),
    /// What tenants can choose from.
    #[command(subcommand)]
    Datastore(datastore::DatastoreCommand),
    /// Tasks and their step logs.
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// Certificates.
    #[command(subcommand)]
    Pki(PkiCommand),
}

impl Command {
    /// Whether it is a verb, which ends; running the daemon is none.
    pub fn is_verb(&self) -> bool {
        !matches!(self, Self::Run)
    }
}

/// Does what was asked, and says in `out` what came of it.
pub fn run(common: &CommonArgs, command: &Command, out: &mut dyn Write) -> anyhow::Result<()> {
    if let Command::Pki(pki) = command {
        return pki.run(SystemClock.now(), out);
    }
    let config: Config = load_checked(&common.config_path(Config::DAEMON))?;
    tls::install_crypto_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the runtime cannot be started")?.block_on(async {
        match command {
            Command::Db(db) => db::run(&config, db, out).await,
            Command::Datastore(datastore) => datastore::run(&config, datastore, out).await,
            Command::Task(task) => task::run(&config, task, out).await,
            Command::Run | Command::Pki(_) => Ok(()),
        }
    })
}

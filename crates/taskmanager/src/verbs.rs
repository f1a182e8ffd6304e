//! The operator's verbs: `db`, `datastore`, `task`, `doctor`, `pki`. Each says what it did, or in one sentence why it did not.

mod datastore;
mod db;
mod doctor;
mod task;

use std::io::Write;
use std::process::ExitCode;

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
    /// Show what is wrong that nothing running is about to put right. Exits with 0 if there is nothing, 1 if something is
    /// left, 2 if it cannot look.
    Doctor(doctor::DoctorArgs),
    /// Certificates.
    #[command(subcommand)]
    Pki(PkiCommand),
}

impl Command {
    /// The exit code of trouble: the doctor's 1 says that it has found something.
    pub fn exit_of_trouble(&self) -> u8 {
        if matches!(self, Self::Doctor(_)) { 2 } else { 1 }
    }

    /// Whether it is a verb, which ends; running the daemon is none.
    pub fn is_verb(&self) -> bool {
        !matches!(self, Self::Run)
    }
}

/// Does what was asked, and says in `out` what came of it.
pub fn run(common: &CommonArgs, command: &Command, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    if let Command::Pki(pki) = command {
        pki.run(SystemClock.now(), out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let config: Config = load_checked(&common.config_path(Config::DAEMON))?;
    tls::install_crypto_provider();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the runtime cannot be started")?.block_on(async {
        match command {
            Command::Db(db) => db::run(&config, db, out).await?,
            Command::Datastore(datastore) => datastore::run(&config, datastore, out).await?,
            Command::Task(task) => task::run(&config, task, out).await?,
            Command::Doctor(doctor) => return doctor::run(&config, doctor, out).await,
            Command::Run | Command::Pki(_) => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

//! `db migrate`.

use std::io::Write;

use clap::Subcommand;
use secrecy::ExposeSecret;

use crate::config::Config;

/// The database's schema.
#[derive(Debug, Clone, Subcommand)]
pub enum DbCommand {
    /// Make the schema, or bring it up to date. Daemons never do this by themselves.
    Migrate,
}

pub(super) async fn run(config: &Config, command: &DbCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    let url = config.database.url()?;
    match command {
        DbCommand::Migrate => {
            redtrove_store::migrate(url.expose_secret()).await?;
            writeln!(out, "the database's schema is up to date")?;
        }
    }
    Ok(())
}

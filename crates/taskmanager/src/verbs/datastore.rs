//! `datastore add` and `datastore list`.

use std::io::Write;

use anyhow::bail;
use clap::Subcommand;
use redtrove_core::ids::{DatastoreId, DatastoreVersionId};
use redtrove_core::settings::Settings;
use redtrove_core::topology::Engine;
use redtrove_engine::Clock;
use redtrove_engine::ports::NewVersion;
use redtrove_service::SystemClock;

use crate::config::Config;
use crate::daemon::open_store;

/// What tenants can choose from.
#[derive(Debug, Clone, Subcommand)]
pub enum DatastoreCommand {
    /// Add a version to a datastore, and the datastore if it is new.
    Add {
        /// The datastore's name, "redis". Horizon takes one whose name contains "redis" and no dash for Redis.
        #[arg(value_parser = name)]
        datastore: String,
        /// The version's name, a label of your choice: "7.0".
        #[arg(value_parser = name)]
        version: String,
        /// The server that its nodes run: redis or valkey.
        #[arg(long)]
        engine: Engine,
        /// Take it where a tenant names no version.
        #[arg(long)]
        default: bool,
        /// A redis.conf setting that replaces the product's default: --set maxmemory-policy=allkeys-lru
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
        settings: Vec<(String, String)>,
    },
    /// Show every datastore with its versions.
    List {
        /// One JSON document instead of a table.
        #[arg(long)]
        json: bool,
    },
}

fn name(text: &str) -> Result<String, String> {
    let fits = (1..=255).contains(&text.chars().count())
        && text.chars().any(char::is_alphanumeric)
        && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("1 to 255 characters, one of them a letter or digit".to_owned()) }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it has to be NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(super) async fn run(config: &Config, command: &DatastoreCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    match command {
        DatastoreCommand::Add { datastore, version, engine, default, settings } => {
            // What an agent would refuse would fail every cluster of this version.
            let settings = Settings::check(settings.iter().cloned().collect())?;
            let clock = SystemClock;
            let new = NewVersion {
                datastore: datastore.clone(),
                datastore_id: DatastoreId(clock.random_id()),
                version: version.clone(),
                version_id: DatastoreVersionId(clock.random_id()),
                engine: *engine,
                is_default: *default,
                settings: settings.pairs().clone(),
            };
            if !store.add_version(&new).await? {
                bail!("datastore {datastore} has a version {version} already; nothing was changed");
            }
            writeln!(out, "added version {version} to datastore {datastore}")?;
        }
        DatastoreCommand::List { json } => list(&store.datastores().await?, *json, out)?,
    }
    Ok(())
}

fn list(datastores: &[redtrove_core::catalogue::Datastore], json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let versions = datastores.iter().flat_map(|datastore| datastore.versions.iter().map(move |v| (datastore, v)));
    if json {
        let all: Vec<_> = versions
            .map(|(datastore, version)| {
                serde_json::json!({
                    "datastore": datastore.name, "datastore_id": datastore.id,
                    "version": version.name, "version_id": version.id, "engine": version.engine,
                    "active": version.active, "default": version.is_default, "settings": version.settings,
                })
            })
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    writeln!(out, "{:<20} {:<12} {:<8} {:<8} {:<8} ID", "DATASTORE", "VERSION", "ENGINE", "ACTIVE", "DEFAULT")?;
    for (datastore, version) in versions {
        let (active, default) = (yes_no(version.active), yes_no(version.is_default));
        let (name, label, engine, id) = (&datastore.name, &version.name, version.engine.name(), version.id);
        writeln!(out, "{name:<20} {label:<12} {engine:<8} {active:<8} {default:<8} {id}")?;
    }
    Ok(())
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

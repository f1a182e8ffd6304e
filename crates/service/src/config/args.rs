//! The flags every daemon takes.

use std::path::PathBuf;

use crate::config::default_path;

/// Flags to flatten into a daemon's own arguments.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CommonArgs {
    /// Configuration file [default: /etc/redtrove/<daemon>.toml]
    #[arg(long, env = "REDTROVE_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Check the configuration file and exit: 0 if it is good, 64 if not
    #[arg(long, global = true)]
    pub check_config: bool,

    /// Print the configuration with every default filled in and secrets masked, and exit
    #[arg(long, global = true, conflicts_with = "check_config")]
    pub dump_config: bool,
}

impl CommonArgs {
    /// The file to read: the one named, else the daemon's own in /etc/redtrove.
    pub fn config_path(&self, daemon: &str) -> PathBuf {
        self.config.clone().unwrap_or_else(|| default_path(daemon))
    }
}

//! `redtrove-taskmanager pki …`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use redtrove_core::Timestamp;
use redtrove_guest_rpc::role::Role;

use super::{init, issue, role_name};

/// Certificates: make the authority, issue the control plane's.
#[derive(Debug, Clone, Subcommand)]
pub enum PkiCommand {
    /// Make the certificate authority: ca.pem and ca.key. Never overwrites one.
    Init {
        /// Where it is kept; made if it is missing.
        #[arg(long)]
        directory: PathBuf,
    },
    /// Issue a client certificate for one year: <role>.pem and <role>.key. Replaces an earlier one.
    Issue {
        /// What its holder may do with guests: `control` everything, `reader` only look.
        #[arg(long, value_parser = PossibleValuesParser::new(["control", "reader"]).map(|name| role(&name)))]
        role: Role,
        /// Where the authority is kept.
        #[arg(long)]
        directory: PathBuf,
        /// Where the two files go; made if it is missing.
        #[arg(long)]
        out_dir: PathBuf,
    },
}

/// Of the names that clap lets through.
fn role(name: &str) -> Role {
    if name == role_name(Role::Control) { Role::Control } else { Role::Reader }
}

impl PkiCommand {
    /// Does it, and says in `out` what was made.
    ///
    /// # Errors
    /// It could not be done; nothing was overwritten.
    pub fn run(&self, now: Timestamp, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Init { directory } => {
                init(directory, now).context("no certificate authority was made")?;
                writeln!(out, "made a certificate authority in {}", directory.display())?;
            }
            Self::Issue { role, directory, out_dir } => {
                issue(directory, *role, out_dir, now).context("no certificate was issued")?;
                let name = role_name(*role);
                writeln!(out, "issued {name}.pem and {name}.key in {}", out_dir.display())?;
            }
        }
        Ok(())
    }
}

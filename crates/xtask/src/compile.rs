//! Calling cargo, and finding what it built.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use redtrove_testkit::stack::Binaries;
use serde_json::Value;

use crate::interrupt::Interrupt;

/// The directory of the workspace.
pub(crate) fn project_root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

/// cargo, in the workspace, as if it had been called by hand: a cargo tells what it runs which package it is, and with
/// other words in these variables build scripts (ring's) run again and everything above them is compiled anew.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command.current_dir(project_root());
    command
}

/// Runs a command to its end; what it prints is for the user.
pub(crate) fn run(command: &mut Command, interrupt: &Interrupt) -> Result<()> {
    let words = || {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    };
    let line = words();
    let status = command.status().with_context(|| format!("cannot run {line}"))?;
    interrupt.check()?;
    if !status.success() {
        bail!("{line} failed ({status})");
    }
    Ok(())
}

/// Builds the three daemons in the profile that xtask itself was built in, and says where they are.
pub(crate) fn daemons(interrupt: &Interrupt) -> Result<Binaries> {
    let me = std::env::current_exe().context("cannot tell where xtask was built")?;
    let dir = me.parent().context("xtask has no directory")?;
    build(dir.file_name().and_then(|name| name.to_str()), interrupt)?;
    Binaries::within(dir)
}

/// Builds the three daemons in the profile whose directory below target has this name, and says where they are.
pub(crate) fn daemons_in(profile: &str, interrupt: &Interrupt) -> Result<Binaries> {
    build(Some(profile), interrupt)?;
    let mut command = cargo();
    command.args(["metadata", "--format-version", "1", "--no-deps", "--locked"]);
    let output = command.output().context("cannot run cargo")?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata speaks another language")?;
    let target = metadata.get("target_directory").and_then(Value::as_str).context("cargo tells no target directory")?;
    Binaries::within(&Path::new(target).join(profile))
}

fn build(profile: Option<&str>, interrupt: &Interrupt) -> Result<()> {
    let mut command = cargo();
    command.arg("build");
    match profile {
        None | Some("debug") => {}
        Some(profile) => {
            command.args(["--profile", profile]);
        }
    }
    run(&mut command, interrupt)
}

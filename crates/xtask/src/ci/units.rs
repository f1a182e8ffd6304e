//! systemd's own opinion of the unit files in deploy/.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use redtrove_testkit::install::find_program;

use super::left_out;
use crate::compile::project_root;
use crate::say;

pub(super) fn check() -> Result<()> {
    let mut units = Vec::new();
    collect(&project_root().join("deploy"), &mut units)?;
    if units.is_empty() {
        say::note("there are no unit files yet");
        return Ok(());
    }
    let Some(analyze) = find_program("systemd-analyze") else {
        return left_out("systemd-analyze is missing (package systemd), so the unit files were not verified");
    };
    let dir = tempfile::tempdir().context("no temporary directory")?;
    let mut command = Command::new(analyze);
    command.args(["verify", "--man=no", "--recursive-errors=no"]);
    for unit in &units {
        let text = fs::read_to_string(unit).with_context(|| format!("cannot read {}", unit.display()))?;
        let copy = dir.path().join(unit.file_name().context("a unit without a name")?);
        fs::write(&copy, with_programs_that_exist(&text)).context("cannot copy a unit")?;
        command.arg(copy);
    }
    let output = command.output().context("cannot run systemd-analyze")?;
    let said = String::from_utf8_lossy(&output.stderr);
    // It warns about unknown keys and still exits 0.
    let about_ours: Vec<&str> = said.lines().filter(|line| names_one_of(line, &units)).collect();
    if !output.status.success() || !about_ours.is_empty() {
        bail!("systemd-analyze verify does not like the units:\n{}", said.trim_end());
    }
    say::note(&format!("{} units verified", units.len()));
    Ok(())
}

fn collect(dir: &Path, units: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry.context("cannot look into deploy")?.path();
        if path.is_dir() {
            collect(&path, units)?;
        } else if path.extension().is_some_and(|end| end == "service" || end == "target" || end == "socket") {
            units.push(path);
        }
    }
    units.sort();
    Ok(())
}

/// Our programs are not installed where units are verified, and verify refuses a program that is not there.
fn with_programs_that_exist(unit: &str) -> String {
    let line = |line: &str| match line.split_once('=') {
        Some((key, command)) if key.starts_with("Exec") => {
            let (program, rest) = command.split_once(' ').unwrap_or((command, ""));
            let path = program.trim_start_matches(['-', '+', '!', ':', '@']);
            if Path::new(path).is_file() { line.to_owned() } else { format!("{key}=/bin/true {rest}") }
        }
        _ => line.to_owned(),
    };
    unit.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

fn names_one_of(line: &str, units: &[PathBuf]) -> bool {
    let names = units.iter().filter_map(|unit| unit.file_name()?.to_str());
    names.into_iter().any(|name| line.contains(name))
}

#[cfg(test)]
mod tests {
    use super::with_programs_that_exist;

    #[test]
    fn only_programs_that_are_not_there_are_replaced() {
        let unit = "[Service]\nType=notify\nExecStartPre=-/bin/sh -c x\nExecStart=/usr/bin/redtrove-none --config a\n";
        let expected = "[Service]\nType=notify\nExecStartPre=-/bin/sh -c x\nExecStart=/bin/true --config a\n";
        assert_eq!(with_programs_that_exist(unit), expected);
    }
}

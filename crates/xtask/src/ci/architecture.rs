//! The direction of dependencies between our crates, checked from what cargo knows.
//!
//! core ← engine ← (store, bus, compute, guest-rpc) ← the daemons; nothing sideways between adapters.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::compile;

/// Which of ours a crate may depend on, directly and outside of tests, optional dependencies included.
const MAY_USE: [(&str, &[&str]); 13] = [
    ("redtrove-core", &[]),
    ("redtrove-engine", &["redtrove-core"]),
    ("redtrove-store", &["redtrove-core", "redtrove-engine"]),
    ("redtrove-bus", &["redtrove-core", "redtrove-engine"]),
    ("redtrove-compute", &["redtrove-core", "redtrove-engine"]),
    ("redtrove-guest-rpc", &["redtrove-core", "redtrove-engine"]),
    ("redtrove-service", &["redtrove-core"]),
    ("redtrove-api", &["redtrove-core", "redtrove-engine", "redtrove-store", "redtrove-bus", "redtrove-service"]),
    (
        "redtrove-taskmanager",
        &[
            "redtrove-core",
            "redtrove-engine",
            "redtrove-store",
            "redtrove-bus",
            "redtrove-compute",
            "redtrove-guest-rpc",
            "redtrove-service",
        ],
    ),
    ("redtrove-guestagent", &["redtrove-core", "redtrove-guest-rpc", "redtrove-service"]),
    ("redtrove-testkit", &[]),
    ("xtask", &["redtrove-testkit"]),
    ("redtrove-chaos", &["redtrove-core", "redtrove-engine", "redtrove-store", "redtrove-testkit"]),
];

/// What a crate must not reach by any way, built by itself with its default features.
const NEVER_REACHES: [(&str, &[&str]); 6] = [
    ("redtrove-core", &["tokio", "sqlx", "sqlx-core", "axum", "hyper", "reqwest"]),
    ("redtrove-engine", &["sqlx", "sqlx-core", "axum", "lapin", "tonic"]),
    ("redtrove-guestagent", &["redtrove-engine", "redtrove-store", "sqlx", "sqlx-core", "lapin"]),
    ("redtrove-api", &["redtrove-compute", "redtrove-guest-rpc"]),
    ("redtrove-testkit", &["tokio"]),
    ("xtask", &["tokio"]),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// None for a normal dependency, else "dev" or "build".
    kind: Option<String>,
}

pub(super) fn check() -> Result<()> {
    let mut wrong = sideways(&workspace()?);
    for (crate_name, banned) in NEVER_REACHES {
        wrong.extend(reaches(crate_name, &closure(crate_name)?, banned));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("the architecture is broken:\n  {}", wrong.join("\n  "))
}

fn workspace() -> Result<Metadata> {
    let mut command = compile::cargo();
    command.args(["metadata", "--format-version", "1", "--no-deps", "--locked"]);
    serde_json::from_slice(&output(command)?).context("cargo metadata speaks another language")
}

/// The names of all crates that go into a build of this one.
fn closure(crate_name: &str) -> Result<Vec<String>> {
    let mut command = compile::cargo();
    command.args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    command.args(["--package", crate_name]);
    let text = String::from_utf8(output(command)?).context("cargo tree speaks another language")?;
    Ok(text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

fn output(mut command: std::process::Command) -> Result<Vec<u8>> {
    let output = command.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo failed: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(output.stdout)
}

/// Direct dependencies between ours that the table does not allow.
fn sideways(metadata: &Metadata) -> Vec<String> {
    let rules: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    let ours: Vec<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        let used = package.dependencies.iter().filter(|used| used.kind.as_deref() != Some("dev"));
        for used in used.filter(|used| ours.contains(&used.name.as_str())) {
            let allowed = rules.get(package.name.as_str()).copied().unwrap_or_default();
            if !allowed.contains(&used.name.as_str()) {
                wrong.push(format!("{} depends on {}", package.name, used.name));
            }
        }
    }
    wrong
}

fn reaches(crate_name: &str, closure: &[String], banned: &[&str]) -> Vec<String> {
    let found = banned.iter().filter(|banned| closure.iter().any(|name| name == *banned));
    found.map(|banned| format!("{crate_name} reaches {banned}")).collect()
}

#[cfg(test)]
mod tests {
    use super::{MAY_USE, Metadata, NEVER_REACHES, check, reaches, sideways, workspace};

    fn metadata(text: &str) -> Metadata {
        serde_json::from_str(text).expect("metadata")
    }

    #[test]
    fn an_adapter_that_uses_another_is_found() {
        let found = sideways(&metadata(
            r#"{"packages": [
                {"name": "redtrove-core", "dependencies": [{"name": "serde", "kind": null}]},
                {"name": "redtrove-bus", "dependencies": []},
                {"name": "redtrove-store", "dependencies": [
                    {"name": "redtrove-core", "kind": null}, {"name": "redtrove-bus", "kind": null}]}
            ]}"#,
        ));
        assert_eq!(found, vec!["redtrove-store depends on redtrove-bus"]);
    }

    #[test]
    fn tests_may_use_what_they_like_and_build_scripts_may_not() {
        let found = sideways(&metadata(
            r#"{"packages": [
                {"name": "redtrove-testkit", "dependencies": []},
                {"name": "redtrove-core", "dependencies": [
                    {"name": "redtrove-testkit", "kind": "dev"}, {"name": "redtrove-testkit", "kind": "build"}]}
            ]}"#,
        ));
        assert_eq!(found, vec!["redtrove-core depends on redtrove-testkit"]);
    }

    #[test]
    fn a_crate_is_only_banned_by_its_whole_name() {
        let closure = ["redtrove-core".to_owned(), "tokio-util".to_owned()];
        assert!(reaches("redtrove-core", &closure, &["tokio"]).is_empty());
        assert_eq!(reaches("redtrove-core", &closure, &["tokio-util"]), vec!["redtrove-core reaches tokio-util"]);
    }

    #[test]
    fn this_workspace_keeps_to_the_rules() {
        check().expect("the direction of dependencies");
    }

    #[test]
    fn the_rules_speak_of_crates_that_exist() {
        let metadata = workspace().expect("this workspace");
        let names: Vec<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
        let subjects = MAY_USE.iter().chain(&NEVER_REACHES).map(|(name, _)| *name);
        let allowed = MAY_USE.iter().flat_map(|(_, used)| used.iter().copied());
        for name in subjects.chain(allowed) {
            assert!(names.contains(&name), "{name} is in a rule and not in the workspace");
        }
    }
}

//! `doctor`: what is wrong, and what is done about it.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use redtrove_engine::doctor::{Finding, Graces, examine, mend};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::config::Config;
use crate::daemon::open_world;

/// Something is wrong and was not put right.
const EXIT_FOUND: u8 = 1;

/// How the doctor is asked.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Put right what can be put right. Safe while daemons run.
    #[arg(long)]
    fix: bool,
    /// One JSON document instead of sentences.
    #[arg(long)]
    json: bool,
}

/// Looks, and with `--fix` puts right. Success if nothing is wrong any more.
pub(super) async fn run(config: &Config, args: &DoctorArgs, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let schema = redtrove_store::schema_state(config.database.url()?.expose_secret()).await?;
    if !schema.is_usable() {
        // Nothing else can be looked at.
        let would_do = "nothing: daemons do not start before that is done";
        let found = json!({
            "kind": "schema", "cluster_id": null, "instance_id": null, "task_id": null,
            "what": schema.to_string(), "would_do": would_do, "fixed": false, "error": null,
        });
        print(&[found], args, out)?;
        return Ok(ExitCode::from(EXIT_FOUND));
    }
    let world = open_world(config).await?;
    let graces = Graces {
        lease: config.taskmanager.lease_seconds.duration(),
        deleted_machine: config.taskmanager.deleted_machine_grace.duration(),
        unknown_machine: config.taskmanager.unknown_machine_grace(),
    };
    let mut told = Vec::new();
    let mut all_fixed = true;
    for finding in examine(&world, graces).await? {
        // One that cannot be put right does not keep the others.
        let mended = if args.fix { mend(&world, &finding).await.map_err(anyhow::Error::from) } else { Ok(false) };
        all_fixed &= matches!(mended, Ok(true));
        told.push(shown(&finding, &mended));
    }
    print(&told, args, out)?;
    Ok(if all_fixed { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FOUND) })
}

fn shown(finding: &Finding, mended: &anyhow::Result<bool>) -> Value {
    json!({
        "kind": finding.kind,
        "cluster_id": finding.cluster,
        "instance_id": finding.instance,
        "task_id": finding.task,
        "what": finding.what,
        "would_do": finding.would_do,
        "fixed": matches!(mended, Ok(true)),
        "error": mended.as_ref().err().map(|error| format!("{error:#}")),
    })
}

fn print(findings: &[Value], args: &DoctorArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&json!({ "findings": findings }))?)?;
        return Ok(());
    }
    if findings.is_empty() {
        writeln!(out, "nothing is wrong")?;
    }
    for finding in findings {
        let text = |key: &str| finding[key].as_str().unwrap_or_default();
        writeln!(out, "{}: {}", text("kind"), text("what"))?;
        for (name, key) in [("cluster", "cluster_id"), ("instance", "instance_id"), ("task", "task_id")] {
            if let Some(id) = finding[key].as_str() {
                writeln!(out, "    {name:<9} {id}")?;
            }
        }
        let done = if finding["fixed"] == true { "done" } else { "would do" };
        writeln!(out, "    {done:<9} {}", text("would_do"))?;
        if let Some(error) = finding["error"].as_str() {
            writeln!(out, "    {:<9} {error}", "failed")?;
        }
    }
    Ok(())
}

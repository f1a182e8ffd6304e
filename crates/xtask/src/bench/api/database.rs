//! The database of a stack, asked through its shell: filled in one go, and read for ids.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use redtrove_testkit::Stack;
use redtrove_testkit::install::find_program;

/// Clusters of three; a test of the API holds it to the schema and to what is shown of it.
const SEED: &str = include_str!("seed.sql");

/// Puts `clusters` ready clusters of three into the member's project.
pub(super) fn seed(stack: &Stack, clusters: u32) -> Result<()> {
    let project = &stack.tokens().member.project_id;
    let wanted = format!("CREATE TEMP TABLE wanted AS SELECT '{project}' AS project_id, {clusters} AS clusters;\n");
    ask(&stack.layout().database(), &(wanted + SEED)).map(drop).context("the database was not filled")
}

/// A ready cluster of the member's project and one of its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) cluster: String,
    pub(super) member: String,
}

/// All ready clusters of the member's project, in the order of lists.
pub(super) fn ready(stack: &Stack) -> Result<Vec<Ids>> {
    let project = &stack.tokens().member.project_id;
    let query = format!(
        "SELECT c.id, i.id FROM clusters c JOIN instances i ON i.cluster_id = c.id AND i.number = 2 \
         WHERE c.project_id = '{project}' AND c.deleted = 0 AND c.task = 'NONE' ORDER BY c.id;\n"
    );
    let read = |line: &str| {
        let (cluster, member) = line.split_once('|').with_context(|| format!("{line:?} is no row of two ids"))?;
        Ok(Ids { cluster: cluster.to_owned(), member: member.to_owned() })
    };
    ask(&stack.layout().database(), &query)?.lines().map(read).collect()
}

/// Runs statements; what they print.
fn ask(database: &Path, statements: &str) -> Result<String> {
    let program = find_program("sqlite3").context("no sqlite3 here; install the package sqlite3")?;
    let mut command = Command::new(program);
    command.args(["-batch", "-bail", "-cmd", ".timeout 20000"]).arg(database);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run sqlite3")?;
    let written = child.stdin.take().context("sqlite3 has no input")?.write_all(statements.as_bytes());
    let output = child.wait_with_output().context("sqlite3 is lost")?;
    if !output.status.success() {
        bail!("sqlite3 failed: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    written.context("sqlite3 did not listen")?;
    String::from_utf8(output.stdout).context("sqlite3 does not speak UTF-8")
}

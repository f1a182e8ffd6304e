//! The load: [wrk](https://github.com/wg/wrk) with a script of ours, one thread, a fixed number of connections.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use redtrove_testkit::Stack;
use redtrove_testkit::install::{Package, find_program};
use serde::{Deserialize, Serialize};

use crate::bench::Bench;

/// The load generator.
pub(super) const WRK: Package = Package { name: "wrk", proof: &["wrk"] };

const SCRIPT: &str = include_str!("load.lua");

/// How often a running load is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long wrk may take beyond what it was asked for.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// What is asked for: method, path below the API, perhaps a body, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Requests {
    /// In turn, over and over.
    Again(Vec<String>),
    /// Each once; with the last of them the load ends.
    Once(Vec<String>),
}

/// A load.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    pub(super) requests: Requests,
    pub(super) connections: u32,
    /// How long, at most.
    pub(super) length: Duration,
}

/// How it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Answers {
    pub(super) requests: u64,
    pub(super) seconds: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) most_ms: f64,
}

impl Answers {
    #[expect(clippy::cast_precision_loss, reason = "the requests of a few seconds")]
    pub(super) fn per_second(&self) -> f64 {
        self.requests as f64 / self.seconds.max(0.001)
    }
}

/// What the script prints.
#[derive(Debug, Deserialize)]
struct Printed {
    #[serde(flatten)]
    answers: Answers,
    refused: u64,
    unanswered: u64,
}

impl Calls {
    /// Puts the load on the API of `stack`; `look` is called again and again while it runs. Every request has to be
    /// answered well.
    pub(super) fn put_on(
        &self,
        bench: &Bench<'_>,
        stack: &Stack,
        mut look: impl FnMut() -> Result<()>,
    ) -> Result<Answers> {
        let mut wrk = self.start(bench, stack)?;
        bench.wait_for("wrk to end", self.length + ENDS_WITHIN, LOOK_EVERY, || {
            look()?;
            Ok(wrk.0.try_wait().context("wrk is lost")?.map(drop))
        })?;
        let output = wrk.output()?;
        read(&output)
    }

    fn start(&self, bench: &Bench<'_>, stack: &Stack) -> Result<Running> {
        let (lines, how) = match &self.requests {
            Requests::Again(lines) => (lines, "again"),
            Requests::Once(lines) => (lines, "once"),
        };
        ensure!(!lines.is_empty(), "there is nothing to ask for");
        let script = bench.dir.join("load.lua");
        fs::write(&script, SCRIPT).context("cannot write the script for wrk")?;
        let requests = write(bench, stack, lines)?;
        let program = find_program("wrk").context("no wrk here; install the package wrk")?;
        let mut command = Command::new(program);
        command.arg("--threads=1").arg(format!("--connections={}", self.connections));
        command.arg(format!("--duration={}s", self.length.as_secs())).args(["--timeout", "10s", "--script"]);
        command.arg(script).arg(&stack.description().api).arg("--").arg(requests).arg(how);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(Running(command.spawn().context("cannot run wrk")?))
    }
}

/// The file that the script reads. It has the token, so it is private.
fn write(bench: &Bench<'_>, stack: &Stack, lines: &[String]) -> Result<PathBuf> {
    let path = bench.dir.join("requests");
    let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&path);
    let text = format!("{}\n{}\n", stack.tokens().member.token, lines.join("\n"));
    file.and_then(|mut file| file.write_all(text.as_bytes())).context("cannot write the requests for wrk")?;
    Ok(path)
}

fn read(output: &str) -> Result<Answers> {
    let line = output.lines().rfind(|line| line.starts_with('{')).context("wrk has printed no result")?;
    let printed: Printed = serde_json::from_str(line).context("wrk's result is not as expected")?;
    let Printed { answers, refused, unanswered } = printed;
    ensure!(
        refused == 0 && unanswered == 0,
        "of {} requests {refused} were refused and {unanswered} not answered",
        answers.requests
    );
    ensure!(answers.requests > 0, "nothing was answered");
    Ok(answers)
}

/// A running wrk; it ends with this value.
struct Running(Child);

impl Running {
    /// What it has printed, once it has ended. Its complaints went to the terminal.
    fn output(&mut self) -> Result<String> {
        let mut printed = String::new();
        let mut stdout = self.0.stdout.take().context("wrk prints nowhere")?;
        stdout.read_to_string(&mut printed).context("wrk cannot be read")?;
        let status = self.0.wait().context("wrk is lost")?;
        ensure!(status.success(), "wrk failed ({status})");
        Ok(printed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, or nobody waits for its end any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::read;

    fn printed(refused: u64, unanswered: u64) -> String {
        format!(
            "Running 1s test @ http://127.20.0.1:8779\n  {{x}}\n{{\"requests\": 500, \"seconds\": 2.0, \
             \"p50_ms\": 1.5, \"p99_ms\": 4.0, \"most_ms\": 9.0, \"refused\": {refused}, \"unanswered\": {unanswered}}}\n"
        )
    }

    #[test]
    fn the_last_line_is_the_result() {
        let answers = read(&printed(0, 0)).expect("a result");
        assert_eq!((answers.per_second(), answers.p50_ms, answers.p99_ms), (250.0, 1.5, 4.0));
    }

    #[test]
    fn a_load_that_was_not_answered_well_is_no_result() {
        assert!(read(&printed(1, 0)).expect_err("refused").to_string().contains("of 500 requests 1 were refused"));
        assert!(read(&printed(0, 2)).is_err());
        assert!(read("Running 1s test\n").is_err());
    }
}

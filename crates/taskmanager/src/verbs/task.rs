//! `task list` and `task show`: the operator's best tool.

use std::io::Write;

use anyhow::bail;
use clap::Subcommand;
use redtrove_core::{ClusterId, TaskId, Timestamp};
use redtrove_engine::task::{StepRecord, Task};

use crate::config::Config;
use crate::daemon::open_store;

/// Tasks and their step logs.
#[derive(Debug, Clone, Subcommand)]
pub enum TaskCommand {
    /// Show the newest tasks first.
    List {
        /// Only those of one cluster.
        #[arg(long)]
        cluster: Option<ClusterId>,
        /// How many at most.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// One JSON document instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Show a task with every step it took.
    Show {
        /// The task.
        id: TaskId,
        /// One JSON document instead of a table.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(config: &Config, command: &TaskCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    match command {
        TaskCommand::List { cluster, limit, json } => list(&store.tasks(*cluster, *limit).await?, *json, out),
        TaskCommand::Show { id, json } => {
            let Some(task) = store.task(*id).await? else { bail!("there is no task {id}") };
            show(&task, &store.steps(*id).await?, *json, out)
        }
    }
}

fn list(tasks: &[Task], json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(tasks)?)?;
        return Ok(());
    }
    writeln!(out, "{:<36}  {:<36}  {:<14}  {:<9}  {:<19}  STEP", "TASK", "CLUSTER", "KIND", "STATE", "CREATED")?;
    for task in tasks {
        let (kind, state) = (task.kind.name(), task.state.name());
        let step = task.fault.as_ref().or(task.step.as_ref()).map_or_else(String::new, |text| plain(text));
        writeln!(out, "{}  {}  {kind:<14}  {state:<9}  {}  {step}", task.id, task.cluster, task.created)?;
    }
    Ok(())
}

fn show(task: &Task, steps: &[StepRecord], json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    if json {
        let all = serde_json::json!({"task": task, "steps": steps});
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    writeln!(out, "task      {}", task.id)?;
    writeln!(out, "cluster   {}", task.cluster)?;
    writeln!(out, "kind      {}", task.kind)?;
    writeln!(out, "state     {} (attempt {})", task.state, task.attempt)?;
    for member in &task.members {
        writeln!(out, "instance  {member}")?;
    }
    if let Some(verdict) = task.verdict {
        writeln!(out, "verdict   {}", verdict.name())?;
    }
    if let Some(owner) = &task.lease_owner {
        writeln!(out, "run by    {owner}")?;
    }
    if let Some(progress) = &task.progress {
        writeln!(out, "progress  {}", plain(progress))?;
    }
    if let Some(fault) = &task.fault {
        writeln!(out, "fault     {}", plain(fault))?;
    }
    writeln!(out, "request   {}", task.request)?;
    writeln!(out, "created   {}", task.created)?;
    writeln!(out, "deadline  {}", task.deadline)?;
    let Some(first) = steps.first() else {
        writeln!(out, "no step yet")?;
        return Ok(());
    };
    writeln!(out, "\n{:>5}  {:<18}  {:<36}  {:>9}  {:>9}  OUTCOME", "STEP", "NAME", "INSTANCE", "AT", "TOOK")?;
    for step in steps {
        let subject = step.subject.map_or_else(String::new, |id| id.to_string());
        let took = step.ended.map_or_else(|| "-".to_owned(), |ended| seconds(step.started, ended));
        let outcome = step.outcome.map_or("not ended", |outcome| outcome.name());
        let error = step.error.as_ref().map_or_else(String::new, |error| format!(": {}", plain(error)));
        let (seq, name, at) = (step.seq, &step.name, seconds(first.started, step.started));
        writeln!(out, "{seq:>5}  {name:<18}  {subject:<36}  {at:>9}  {took:>9}  {outcome}{error}")?;
    }
    Ok(())
}

fn seconds(from: Timestamp, to: Timestamp) -> String {
    format!("{:.3} s", to.since(from).as_secs_f64())
}

/// On one line, and nothing that a terminal would obey: some of these words came from a guest.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use redtrove_core::RequestId;
    use redtrove_engine::task::{StepOutcome, TaskKind, TaskState};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_a_guest_said_is_no_order_to_the_operators_terminal() {
        let said = Some("\u{1b}]0;owned\u{7}\r\nSTEP  NAME".to_owned());
        let id = Uuid::from_u128(1);
        let task = Task {
            id: TaskId(id),
            cluster: ClusterId(id),
            kind: TaskKind::CreateCluster,
            members: Vec::new(),
            state: TaskState::Failed,
            verdict: None,
            step: None,
            progress: said.clone(),
            attempt: 1,
            lease_owner: None,
            deadline: Timestamp(0),
            fault: said.clone(),
            request: RequestId::new(id),
            traceparent: None,
            created: Timestamp(0),
            started: None,
            ended: None,
        };
        let (name, outcome) = ("prepare".to_owned(), Some(StepOutcome::Failed));
        let step = StepRecord { seq: 1, name, subject: None, outcome, error: said, started: Timestamp(0), ended: None };
        let mut out = Vec::new();
        list(std::slice::from_ref(&task), false, &mut out).unwrap();
        show(&task, &[step], false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("owned").count(), 4, "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("STEP  NAME")), "{text}");
    }
}

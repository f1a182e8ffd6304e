//! Live progress of an operation: a line for the operation and one for each member, redrawn on a terminal, printed
//! when it changes elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;

use super::creation::text;
use crate::say;

/// Shows what `GET cluster` tells, again and again.
#[derive(Debug)]
pub(super) struct Progress {
    started: Instant,
    last: BTreeMap<String, String>,
    bars: Option<Bars>,
}

#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    lines: BTreeMap<String, ProgressBar>,
}

impl Progress {
    pub(super) fn new(started: Instant) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bars = terminal.then(|| Bars { all: MultiProgress::new(), lines: BTreeMap::new() });
        Self { started, last: BTreeMap::new(), bars }
    }

    pub(super) fn show(&mut self, shown: &Value) {
        for (name, state) in lines(shown) {
            if self.last.get(&name) == Some(&state) {
                continue;
            }
            match &mut self.bars {
                Some(bars) => bars.set(&name, &state),
                None => say::note(&format!("[{:5.1} s] {name}: {state}", self.started.elapsed().as_secs_f32())),
            }
            self.last.insert(name, state);
        }
    }

    pub(super) fn finish(&mut self) {
        for bar in self.bars.iter().flat_map(|bars| bars.lines.values()) {
            bar.finish();
        }
    }
}

impl Bars {
    fn set(&mut self, name: &str, state: &str) {
        let all = &self.all;
        let bar = self.lines.entry(name.to_owned()).or_insert_with(|| {
            let bar = all.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:22} {msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        bar.set_message(state.to_owned());
    }
}

/// One line for the operation, one for each member: a name and a state.
fn lines(shown: &Value) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    if let Some(task) = text(shown, "/cluster/task/name") {
        let operation = shown.pointer("/cluster/operation");
        let word = |at: &str| operation.and_then(|operation| operation.pointer(at)).and_then(plain);
        let parts = [Some(task), word("/step"), word("/progress")];
        lines.push(("cluster".to_owned(), parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")));
    }
    for member in shown.pointer("/cluster/instances").and_then(Value::as_array).into_iter().flatten() {
        let (Some(name), Some(status)) = (text(member, "/name"), text(member, "/status")) else { continue };
        let ip = text(member, "/ip/0").map(|ip| format!(" {ip}")).unwrap_or_default();
        lines.push((name, status + &ip));
    }
    lines
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::lines;

    #[test]
    fn the_operation_and_each_member_have_a_line() {
        let shown = json!({"cluster": {
            "task": {"name": "BUILDING"},
            "operation": {"id": "x", "kind": "create", "step": "cluster_meet", "progress": "2 of 3 guests are ready"},
            "instances": [{"name": "demo-member-1", "status": "BUILD", "ip": ["127.20.0.5"]},
                          {"name": "demo-member-2", "status": "BUILD", "ip": []}],
        }});
        let expected = [
            ("cluster", "BUILDING · cluster_meet · 2 of 3 guests are ready"),
            ("demo-member-1", "BUILD 127.20.0.5"),
            ("demo-member-2", "BUILD"),
        ];
        assert_eq!(lines(&shown), expected.map(|(name, state)| (name.to_owned(), state.to_owned())));
    }

    #[test]
    fn an_answer_without_an_operation_still_shows_the_task() {
        assert_eq!(
            lines(&json!({"cluster": {"task": {"name": "NONE"}}})),
            vec![("cluster".to_owned(), "NONE".to_owned())]
        );
        assert!(lines(&json!({})).is_empty());
    }
}

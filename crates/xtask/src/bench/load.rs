//! What else the machine does: printed with every run, since it decides what a time is worth.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use redtrove_testkit::pause;
use serde::{Deserialize, Serialize};

use super::Bench;

/// How long one look at the processors takes.
const LOOK: Duration = Duration::from_secs(1);
/// A machine that is less busy than this is quiet. Percent of all cores.
const QUIET: f64 = 15.0;
/// How many looks in a row have to be busy ones until a run begins all the same.
const PATIENCE: u32 = 4;

/// The load of the machine just before a run, when nothing of the benchmark runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Load {
    /// The load average of the last minute; earlier runs count in it.
    pub(super) average: f64,
    /// Percent of all cores that were busy in the second before.
    pub(super) busy: f64,
}

impl Load {
    /// Waits for a quiet moment, for a few seconds at most, and says how it is then.
    pub(super) fn when_quiet(bench: &Bench<'_>) -> Result<Self> {
        let mut looks = 1;
        loop {
            let load = Self::measure()?;
            if load.busy < QUIET || looks >= PATIENCE {
                return Ok(load);
            }
            bench.interrupt.check()?;
            looks += 1;
        }
    }

    fn measure() -> Result<Self> {
        let before = Ticks::now()?;
        pause(LOOK);
        let busy = Ticks::now()?.busy_since(before).round();
        let text = fs::read_to_string("/proc/loadavg").context("no load average")?;
        let average = text.split(' ').next().and_then(|word| word.parse().ok()).context("no load average")?;
        Ok(Self { average, busy })
    }
}

impl std::fmt::Display for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "load average {:.2}, cores {:.0} % busy before it", self.average, self.busy)
    }
}

/// Clock ticks of all cores since the machine came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    all: u64,
    idle: u64,
}

impl Ticks {
    fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("no times of the processors")?;
        Self::read(&text).context("no times of the processors in /proc/stat")
    }

    /// The line `cpu  user nice system idle iowait irq softirq steal …`; the guests' times are within user's.
    fn read(text: &str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let ticks: Vec<u64> = line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { all: ticks.iter().sum(), idle: ticks.get(3)? + ticks.get(4)? })
    }

    #[expect(clippy::cast_precision_loss, reason = "ticks of one second")]
    fn busy_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        let idle = self.idle.saturating_sub(before.idle).min(all);
        100.0 * (all - idle) as f64 / all as f64
    }
}

#[cfg(test)]
mod tests {
    use super::Ticks;

    #[test]
    fn idle_and_waiting_for_a_disk_are_not_busy() {
        let before = Ticks::read("cpu  100 0 50 1000 50 0 0 0 0 0\ncpu0 1 2 3\n").expect("a line");
        let after = Ticks::read("cpu  130 0 60 1140 70 0 0 0 30 0\ncpu0 1 2 3\n").expect("a line");
        assert_eq!(after.busy_since(before), 20.0);
        assert_eq!(before.busy_since(after), 100.0, "a clock that ran backwards is no division by nought");
        assert_eq!(Ticks::read("cpu0 1 2 3\n"), None);
        assert_eq!(Ticks::read("cpu  1 2\n"), None);
    }
}

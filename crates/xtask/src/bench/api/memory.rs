//! Resident memory of processes, as the kernel counts it.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use redtrove_testkit::Process;
use serde::{Deserialize, Serialize};

/// What a process holds in memory. MB of 1024 × 1024 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Resident {
    /// All of it: VmRSS.
    pub(super) rss_mb: f64,
    /// With what is shared with other processes, such as the program itself, divided among them.
    pub(super) pss_mb: f64,
}

impl Resident {
    pub(super) fn of(process: &Process) -> Result<Self> {
        let path = format!("/proc/{}/smaps_rollup", process.pid);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        ensure!(!process.is_gone(), "process {} has ended", process.pid);
        Self::read(&text).with_context(|| format!("{path} tells no sizes"))
    }

    /// Lines such as `Rss:    13824 kB`.
    fn read(text: &str) -> Option<Self> {
        let size = |name: &str| -> Option<f64> {
            let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
            let kilobytes: f64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kilobytes / 1024.0)
        };
        Some(Self { rss_mb: size("Rss:")?, pss_mb: size("Pss:")? })
    }

    /// The larger of two, of each number.
    pub(super) fn most(self, other: Self) -> Self {
        Self { rss_mb: self.rss_mb.max(other.rss_mb), pss_mb: self.pss_mb.max(other.pss_mb) }
    }
}

#[cfg(test)]
mod tests {
    use redtrove_testkit::Process;

    use super::Resident;

    #[test]
    fn sizes_are_read_by_their_names() {
        let text = "55d0-7ffd ---p 00000000 00:00 0 [rollup]\nRss:   2048 kB\nPss:    512 kB\nPss_Dirty:  1 kB\n";
        assert_eq!(Resident::read(text), Some(Resident { rss_mb: 2.0, pss_mb: 0.5 }));
        assert_eq!(Resident::read("Rss: 1 kB\n"), None);
    }

    #[test]
    fn a_running_process_has_a_size() {
        let me = Process::find(i32::try_from(std::process::id()).expect("a pid")).expect("this process");
        let size = Resident::of(&me).expect("a size");
        assert!(size.rss_mb >= size.pss_mb && size.pss_mb > 0.0, "{size:?}");
    }
}

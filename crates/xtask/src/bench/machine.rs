//! Where it was measured; nothing that names the machine.

use anyhow::{Context as _, Result};
use redtrove_testkit::install::find_program;
use serde::{Deserialize, Serialize};

use crate::cli::Profile;

/// What a number depends on besides the code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    pub(super) processor: String,
    pub(super) memory_gb: u64,
    pub(super) redis: String,
    pub(super) profile: String,
}

impl Machine {
    /// This machine, and how redtrove is built.
    pub(super) fn look(profile: Profile) -> Result<Self> {
        let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
        let field = |text: &str, name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.split_once(':').map(|(_, value)| value.trim().to_owned()))
        };
        let memory = field(&read("/proc/meminfo")?, "MemTotal").unwrap_or_default();
        let kilobytes: u64 = memory.trim_end_matches(" kB").parse().context("/proc/meminfo tells no size")?;
        let server = find_program("redis-server").context("no redis-server here")?;
        let said = std::process::Command::new(server).arg("--version").output().context("cannot run redis-server")?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        Ok(Self {
            cores: std::thread::available_parallelism().context("no number of cores")?.get(),
            processor: field(&read("/proc/cpuinfo")?, "model name").unwrap_or_else(|| "unknown processor".to_owned()),
            memory_gb: kilobytes.div_ceil(1 << 20),
            redis: said.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("unknown").to_owned(),
            profile: profile.name().to_owned(),
        })
    }

    /// The first sentence of a section.
    pub(super) fn sentence(&self) -> String {
        let Self { cores, processor, memory_gb, redis, profile } = self;
        format!("Measured on {cores} cores ({processor}), {memory_gb} GB of memory, Redis {redis}, {profile} build.")
    }

    #[cfg(test)]
    pub(super) fn sample() -> Self {
        Self {
            cores: 2,
            processor: "a processor".to_owned(),
            memory_gb: 8,
            redis: "7.0.15".to_owned(),
            profile: "release".to_owned(),
        }
    }
}

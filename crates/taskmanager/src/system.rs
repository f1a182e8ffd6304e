//! The machine's name.

use anyhow::Context;

/// The machine's host name.
pub(crate) fn host_name() -> anyhow::Result<String> {
    let path = "/proc/sys/kernel/hostname";
    let name = std::fs::read_to_string(path).with_context(|| format!("cannot read {path}; set [taskmanager] host"))?;
    Ok(name.trim().to_owned())
}

//! The text of redis.conf: what the agent owns, what the product sets and an operator may replace. Pure.

use std::fmt::Write;
use std::net::IpAddr;

use redtrove_core::instance::{BUS_PORT, REDIS_PORT};
use redtrove_core::settings::{NODE_TIMEOUT, Settings};

use crate::home::{SOCKET, USERS_ACL};

/// What an operator may replace: name, value, why. `maxmemory` is worked out and added to these.
const DEFAULTS: [(&str, &str, &str); 8] = [
    ("appendonly", "yes", "A restarted node has its keys again."),
    ("appendfsync", "everysec", "A killed server loses two seconds of writes at most; `always` loses none."),
    ("save", "\"\"", "The append-only file is enough; a snapshot beside it doubles memory and writes."),
    ("maxmemory-policy", "noeviction", "A store does not drop what was acknowledged."),
    (NODE_TIMEOUT, "15000", "Redis' own default, ms. A shorter one holds a slow peer for a dead one."),
    ("cluster-require-full-coverage", "yes", "Half a key space is no answer to a store's user."),
    ("cluster-allow-replica-migration", "no", "Otherwise a master that gave its last slot away turns into a replica."),
    ("sanitize-dump-payload", "clients", "A forged value in a tenant's RESTORE ends the server otherwise, or worse."),
];

/// What redis.conf depends on beside the settings.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    /// redis-server's own directory, absolute, without control characters.
    pub data: &'a str,
    /// The log file, relative to `data`; standard output where there is none.
    pub log: Option<&'a str>,
    /// The address that redis-server binds to and announces.
    pub ip: IpAddr,
    /// The memory of the machine's flavor, MB.
    pub ram_mb: u64,
}

/// The whole of redis.conf. Paths in it are relative to redis-server's own directory, below the agent's.
pub fn redis_conf(machine: Machine<'_>, settings: &Settings) -> String {
    let mut text = String::from("# Written by redtrove-guestagent. Changes made here are lost.\n\n");
    for (name, value) in owned(machine) {
        put(&mut text, name, &value);
    }
    let maxmemory = (machine.ram_mb.saturating_mul(1024 * 1024 / 4 * 3)).to_string();
    let defaults = DEFAULTS.into_iter().chain([(
        "maxmemory",
        maxmemory.as_str(),
        "75 % of the machine's memory, bytes: the rest is for fragments, buffers and a rewrite's copies.",
    )]);
    let mut rest = settings.pairs().clone();
    for (name, value, reason) in defaults {
        let replaced = rest.remove(name);
        let note = if replaced.is_some() { " (replaced by the datastore)" } else { "" };
        text.push_str(&format!("\n# {reason}{note}\n"));
        put(&mut text, name, replaced.as_deref().unwrap_or(value));
    }
    if !rest.is_empty() {
        text.push_str("\n# Added by the datastore.\n");
    }
    for (name, value) in &rest {
        put(&mut text, name, value);
    }
    text
}

/// The lines that the agent owns.
fn owned(machine: Machine<'_>) -> Vec<(&'static str, String)> {
    let plain = |name, value: &str| (name, value.to_owned());
    let ip = machine.ip;
    vec![
        // First, as the files named below are relative to it.
        ("dir", quoted(machine.data)),
        plain("logfile", machine.log.unwrap_or_default()),
        plain("bind", &ip.to_string()),
        // Links to other nodes leave from the address that they know.
        plain("bind-source-addr", &ip.to_string()),
        // With a user without password, protected mode answers DENIED to every other host.
        plain("protected-mode", "no"),
        plain("port", &REDIS_PORT.to_string()),
        // Relative to `data`, so that they fit however deep the agent's directory lies.
        plain("unixsocket", &format!("../{SOCKET}")),
        plain("unixsocketperm", "700"),
        plain("aclfile", &format!("../{USERS_ACL}")),
        plain("daemonize", "no"),
        // Tells systemd when it is ready, where systemd asks.
        plain("supervised", "auto"),
        // So that its command line keeps the path of this file.
        plain("set-proc-title", "no"),
        plain("enable-debug-command", "no"),
        plain("enable-module-command", "no"),
        plain("enable-protected-configs", "no"),
        plain("cluster-enabled", "yes"),
        plain("cluster-config-file", "nodes.conf"),
        plain("cluster-port", &BUS_PORT.to_string()),
        plain("cluster-announce-ip", &ip.to_string()),
        plain("cluster-announce-port", &REDIS_PORT.to_string()),
        plain("cluster-announce-tls-port", "0"),
        plain("cluster-announce-bus-port", &BUS_PORT.to_string()),
        plain("cluster-announce-hostname", "\"\""),
        plain("cluster-preferred-endpoint-type", "ip"),
    ]
}

/// A text as one word of redis.conf, whatever is in it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// One line. Values have no quotes but their own, so they stand as they are.
fn put(text: &mut String, name: &str, value: &str) {
    let value = if value.trim().is_empty() { "\"\"" } else { value.trim() };
    let _ = writeln!(text, "{name} {value}");
}

#[cfg(test)]
mod tests;

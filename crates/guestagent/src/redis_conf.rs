//! The text of redis.conf: what the agent owns, what the product sets and an operator may replace. Pure.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use redtrove_core::instance::{BUS_PORT, REDIS_PORT};
use redtrove_guest_rpc::InvalidField;

use crate::home::{SOCKET, USERS_ACL};

/// The most settings of a datastore.
const MAX_SETTINGS: usize = 100;
/// The longest value of a setting. Bytes.
const MAX_VALUE: usize = 1024;
/// The longest name of a setting. Bytes.
const MAX_NAME: usize = 64;

const NODE_TIMEOUT: &str = "cluster-node-timeout";

/// What an operator may replace: name, value, why. `maxmemory` is worked out and added to these.
const DEFAULTS: [(&str, &str, &str); 7] = [
    ("appendonly", "yes", "A restarted node has its keys again."),
    ("appendfsync", "everysec", "A killed server loses two seconds of writes at most; `always` loses none."),
    ("save", "\"\"", "The append-only file is enough; a snapshot beside it doubles memory and writes."),
    ("maxmemory-policy", "noeviction", "A store does not drop what was acknowledged."),
    (NODE_TIMEOUT, "15000", "Redis' own default, ms. A shorter one holds a slow peer for a dead one."),
    ("cluster-require-full-coverage", "yes", "Half a key space is no answer to a store's user."),
    ("cluster-allow-replica-migration", "no", "Otherwise a master that gave its last slot away turns into a replica."),
];

/// What belongs to the agent: a datastore may not set these, nor anything that begins as [`OWNED_PREFIXES`] say.
const OWNED: [&str; 32] = [
    "aclfile",
    "appenddirname",
    "appendfilename",
    "bind",
    "bind-source-addr",
    "cluster-config-file",
    "cluster-enabled",
    "cluster-port",
    "cluster-preferred-endpoint-type",
    "daemonize",
    "dbfilename",
    "dir",
    "enable-debug-command",
    "enable-module-command",
    "enable-protected-configs",
    "include",
    "loadmodule",
    "logfile",
    "masterauth",
    "masteruser",
    "pidfile",
    "port",
    "proc-title-template",
    "protected-mode",
    "rename-command",
    "requirepass",
    "set-proc-title",
    "supervised",
    "unixsocket",
    "unixsocketperm",
    "user",
    "replicaof",
];

/// How the names begin that belong to the agent, too.
const OWNED_PREFIXES: [&str; 7] =
    ["cluster-announce-", "replica-announce", "slave-announce", "slaveof", "syslog-", "tls-", "loadmodule"];

/// A datastore's settings, each of which may stand in redis.conf.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Checks every setting.
    pub fn check(settings: BTreeMap<String, String>) -> Result<Self, InvalidField> {
        if settings.len() > MAX_SETTINGS {
            return Err(InvalidField::new("settings", format!("{} are more than {MAX_SETTINGS}", settings.len())));
        }
        for (name, value) in &settings {
            check_name(name).and_then(|()| check_value(name, value)).map_err(|reason| {
                let shown: String = name.chars().take(MAX_NAME).collect();
                InvalidField::new(format!("settings[{shown:?}]"), reason)
            })?;
        }
        Ok(Self(settings))
    }

    /// The node timeout of a formed cluster. Milliseconds.
    pub fn node_timeout_ms(&self) -> u64 {
        // Both the setting and the default were checked to be numbers.
        self.0.get(NODE_TIMEOUT).and_then(|value| value.parse().ok()).unwrap_or(15_000)
    }
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
        return Err(format!("a name is 1 to {MAX_NAME} letters a to z and hyphens"));
    }
    if OWNED.contains(&name) || OWNED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Err("is set by the guest agent alone".to_owned());
    }
    Ok(())
}

fn check_value(name: &str, value: &str) -> Result<(), String> {
    if value.len() > MAX_VALUE {
        return Err(format!("a value of {} bytes is longer than {MAX_VALUE}", value.len()));
    }
    if value.chars().any(char::is_control) {
        return Err("a value has no line breaks and no other control characters".to_owned());
    }
    if !value.is_ascii() || (value != "\"\"" && value.contains(['"', '\'', '\\'])) {
        return Err("a value is ASCII without quotes and backslashes; \"\" alone is the empty one".to_owned());
    }
    let milliseconds = 100..=3_600_000;
    if name == NODE_TIMEOUT && !value.parse().is_ok_and(|ms: u64| milliseconds.contains(&ms)) {
        return Err("is not a number of milliseconds from 100 to 3600000".to_owned());
    }
    Ok(())
}

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
    let mut rest = settings.0.clone();
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

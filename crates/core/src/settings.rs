//! The redis.conf settings of a datastore: what an operator may set, and how it has to look to stand in the file.

use std::collections::BTreeMap;

/// The most settings of a datastore.
const MAX_SETTINGS: usize = 100;
/// The longest value of a setting. Bytes.
const MAX_VALUE: usize = 1024;
/// The longest name of a setting. Bytes.
const MAX_NAME: usize = 64;
/// The node timeout of a formed cluster, which the agent changes while one forms.
pub const NODE_TIMEOUT: &str = "cluster-node-timeout";

/// What belongs to the guest agent: a datastore may not set these, nor anything that begins as [`OWNED_PREFIXES`] say.
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

/// A setting that may not stand in redis.conf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("setting {}: {reason}", name.as_ref().map_or_else(String::new, |name| format!("{name:?}")))]
pub struct InvalidSetting {
    /// Its name, cut to 64 characters; absent where there are too many.
    pub name: Option<String>,
    /// What is wrong with it.
    pub reason: String,
}

/// A datastore's settings, each of which may stand in redis.conf.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Checks every setting.
    pub fn check(settings: BTreeMap<String, String>) -> Result<Self, InvalidSetting> {
        if settings.len() > MAX_SETTINGS {
            let reason = format!("{} are more than {MAX_SETTINGS}", settings.len());
            return Err(InvalidSetting { name: None, reason });
        }
        for (name, value) in &settings {
            check_name(name).and_then(|()| check_value(name, value)).map_err(|reason| {
                let name = Some(name.chars().take(MAX_NAME).collect());
                InvalidSetting { name, reason }
            })?;
        }
        Ok(Self(settings))
    }

    /// The settings, by name.
    pub fn pairs(&self) -> &BTreeMap<String, String> {
        &self.0
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings, InvalidSetting> {
        Settings::check(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[test]
    fn what_may_not_stand_there_is_refused_by_name() {
        for (name, value) in [
            ("", "x"),
            ("Appendonly", "yes"),
            ("append only", "yes"),
            ("appendonly\nport", "yes"),
            ("appendonly", "yes\nport 1"),
            ("appendonly", "yes\r"),
            ("appendonly", "yes\0"),
            ("appendonly", "\"yes"),
            ("appendonly", "'yes'"),
            ("appendonly", "y\\x65s"),
            ("appendonly", "jä"),
            ("cluster-node-timeout", "soon"),
            ("cluster-node-timeout", "99"),
            ("dir", "/"),
            ("bind", "0.0.0.0"),
            ("user", "default on nopass +@all ~*"),
            ("cluster-announce-ip", "10.0.0.1"),
            ("tls-port", "1"),
            ("loadmodule", "/tmp/x.so"),
            ("include", "/etc/passwd"),
            ("rename-command", "CONFIG x"),
        ] {
            let error = settings(&[(name, value)]).unwrap_err();
            assert!(
                error.name.as_deref() == Some(name) && !error.to_string().contains('\n'),
                "{name:?} {value:?}: {error}"
            );
        }
        assert!(settings(&[("appendonly", &"x".repeat(MAX_VALUE + 1))]).is_err());
        let many = (0..=MAX_SETTINGS).map(|n| ("a".repeat(n % 60 + 1) + &"-b".repeat(n / 60), String::new())).collect();
        assert_eq!(Settings::check(many).unwrap_err().name, None);
    }
}

//! Cutting the network between two addresses, in a network namespace of the harness' own.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use redtrove_testkit::install::find_program;

/// Why nothing can be cut here, if that is so. A lane asks before it promises anything.
pub(crate) fn obstacle() -> Option<String> {
    if find_program("iptables").is_none() {
        return Some("no iptables".to_owned());
    }
    let probe = ["--net", "sh", "-c", "ip link set lo up && iptables -w -A INPUT -s 127.0.0.2 -j DROP"];
    let output = Command::new("unshare").args(probe).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("no unshare: {error}")),
    }
}

/// Brings up loopback in a new network namespace.
pub(crate) fn bring_up_loopback() -> Result<()> {
    run("ip", &["link", "set", "lo", "up"])
}

/// Packets that are dropped; all of them pass again after [`Cut::heal`].
#[derive(Debug)]
pub(crate) struct Cut(Vec<Vec<String>>);

impl Cut {
    /// Between two nodes, in both directions: cluster bus, clients' port and all.
    pub(crate) fn between(one: &str, other: &str) -> Result<Self> {
        Self::make(vec![rule(&["-s", one, "-d", other]), rule(&["-s", other, "-d", one])])
    }

    /// Between everybody and one port of an address, in both directions.
    pub(crate) fn of_port(ip: &str, port: u16) -> Result<Self> {
        let port = port.to_string();
        let (to, from) = (["-d", ip, "-p", "tcp", "--dport", &port], ["-s", ip, "-p", "tcp", "--sport", &port]);
        Self::make(vec![rule(&to), rule(&from)])
    }

    fn make(rules: Vec<Vec<String>>) -> Result<Self> {
        for words in &rules {
            iptables("-I", words)?;
        }
        Ok(Self(rules))
    }

    pub(crate) fn heal(self) -> Result<()> {
        self.0.iter().try_for_each(|words| iptables("-D", words))
    }
}

fn rule(words: &[&str]) -> Vec<String> {
    [&["INPUT"], words, &["-j", "DROP"]].concat().iter().map(|word| (*word).to_owned()).collect()
}

fn iptables(what: &str, words: &[String]) -> Result<()> {
    let words: Vec<&str> = ["-w", what].into_iter().chain(words.iter().map(String::as_str)).collect();
    run("iptables", &words)
}

fn run(program: &str, words: &[&str]) -> Result<()> {
    let path = find_program(program).with_context(|| format!("no {program} here"))?;
    let output = Command::new(path).args(words).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

//! Who may do what on a node's redis-server: the text of users.acl. Pure.

use secrecy::{ExposeSecret, SecretString};

/// The agent's own user. Its password is random and its connection is the unix socket.
pub const AGENT_USER: &str = "redtrove-agent";

/// What tenants may not call: what would change the server under the control plane, copy it away or stop it.
const CLOSED_COMMANDS: [&str; 14] = [
    "acl",
    "config",
    "debug",
    "module",
    "shutdown",
    "replicaof",
    "slaveof",
    "failover",
    "sync",
    "psync",
    "monitor",
    "save",
    "bgsave",
    "bgrewriteaof",
];

/// Single subcommands that tenants may not call. A PAUSE of all clients is one of the agent, too, for as long as its
/// caller likes, and nobody can end it. DEBUG copies the whole server into one more process with every script.
const CLOSED_SUBCOMMANDS: [&str; 2] = ["client|pause", "script|debug"];

/// The CLUSTER subcommands that tenants may not call: what changes who is in the cluster or, without moving its
/// keys, who owns a slot. A MEET from a tenant can merge two clusters and destroy one of them. SETSLOT stays, as
/// `redis-cli --cluster reshard|rebalance|fix` needs it.
const CLOSED_CLUSTER_COMMANDS: [&str; 13] = [
    "meet",
    "forget",
    "reset",
    "replicate",
    "failover",
    "addslots",
    "addslotsrange",
    "delslots",
    "delslotsrange",
    "flushslots",
    "bumpepoch",
    "set-config-epoch",
    "saveconfig",
];

/// Whether tenants are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tenants {
    /// The cluster is not formed yet: nobody logs in, so no key arrives early.
    Closed,
    /// They are.
    Open,
}

/// The rules of the tenants' user, `default`, each an argument of `ACL SETUSER default`.
pub fn tenant_rules(tenants: Tenants) -> Vec<String> {
    // `reset` first: a rule adds to what the user has, and the built-in default user may do everything.
    let mut rules = vec!["reset".to_owned()];
    if tenants == Tenants::Open {
        rules.extend(["on", "nopass", "~*", "&*", "+@all"].map(str::to_owned));
        rules.extend(CLOSED_COMMANDS.iter().map(|name| format!("-{name}")));
        rules.extend(CLOSED_SUBCOMMANDS.iter().map(|name| format!("-{name}")));
        rules.extend(CLOSED_CLUSTER_COMMANDS.iter().map(|name| format!("-cluster|{name}")));
    }
    rules
}

/// The whole of users.acl.
pub fn users_acl(password: &SecretString, tenants: Tenants) -> String {
    format!(
        "user {AGENT_USER} reset on >{} ~* &* +@all\nuser default {}\n",
        password.expose_secret(),
        tenant_rules(tenants).join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_node_lets_nobody_in_but_the_agent() {
        let text = users_acl(&"secret".into(), Tenants::Closed);
        assert_eq!(text, "user redtrove-agent reset on >secret ~* &* +@all\nuser default reset\n");
    }

    #[test]
    fn an_open_node_closes_command_by_command() {
        let rules = tenant_rules(Tenants::Open);
        assert_eq!(rules[..6], ["reset", "on", "nopass", "~*", "&*", "+@all"]);
        assert!(rules.contains(&"-config".to_owned()) && rules.contains(&"-cluster|meet".to_owned()));
        assert!(!rules.iter().any(|rule| rule.contains("setslot")), "redis-cli reshard needs it");
        assert!(rules.iter().all(|rule| !rule.contains(char::is_whitespace)));
    }
}

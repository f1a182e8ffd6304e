//! The commands that the agent gives its redis-server, with typed answers.

use std::net::IpAddr;

use redis::{Cmd, Value, cmd, from_redis_value};
use redtrove_core::topology::{Engine, Info, NodeView, Version, parse_nodes};
use redtrove_core::{NodeId, SlotRange};

use crate::acl::{Tenants, tenant_rules};
use crate::connection::{Connection, NoAnswer, Refusal, Reply};
use crate::failure::Failure;

impl From<NoAnswer> for Failure {
    fn from(error: NoAnswer) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// A reply that is an error means that the node is not as the caller thinks; or that redis-server cannot write down what
/// it is asked to do, on a full disk.
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let message = format!("redis-server refused: {refusal}");
        if refusal.0.starts_with("MISCONF") { Self::Unavailable(message) } else { Self::WrongState(message) }
    }
}

/// What `INFO` says of a server.
#[derive(Debug)]
pub struct ServerInfo {
    /// Which server it is.
    pub engine: Engine,
    /// Its version.
    pub version: Version,
    /// It reads its data set.
    pub loading: bool,
    /// `used_memory`, bytes.
    pub used_memory: u64,
    /// Its last write to the append-only file failed: it refuses writes until one succeeds.
    pub cannot_write: bool,
}

impl ServerInfo {
    /// Whether this is a server of `wanted`, and not too old to be driven; otherwise a sentence that says what it is.
    pub fn fits(&self, wanted: Engine) -> Result<(), String> {
        let (found, version, oldest) = (self.engine, self.version, wanted.oldest());
        if found == wanted && version >= oldest {
            Ok(())
        } else {
            Err(format!("the node runs {found} {version}, and {wanted} {oldest} or newer is needed"))
        }
    }
}

fn command(words: &[&str]) -> Cmd {
    let mut words = words.iter();
    let mut command = cmd(words.next().unwrap_or(&"PING"));
    for word in words {
        command.arg(word);
    }
    command
}

fn text(reply: Reply) -> Result<String, Failure> {
    from_redis_value(reply?).map_err(|error| unreadable(&error))
}

fn number(reply: Reply) -> Result<u64, Failure> {
    from_redis_value(reply?).map_err(|error| unreadable(&error))
}

fn unreadable(error: &dyn std::fmt::Display) -> Failure {
    Failure::Internal(format!("redis-server's reply cannot be read: {error}"))
}

impl Connection {
    /// The node's view of its cluster, in one round trip, without what only the agent knows.
    pub async fn view(&self) -> Result<NodeView, Failure> {
        let asked = vec![
            command(&["CLUSTER", "NODES"]),
            command(&["CLUSTER", "INFO"]),
            cmd("DBSIZE"),
            command(&["INFO", "server"]),
        ];
        let replies = self.ask(asked).await?;
        let [nodes, cluster, keys, server]: [Reply; 4] =
            replies.try_into().map_err(|_| unreadable(&"the number of replies is not that of the commands"))?;
        let nodes = parse_nodes(&text(nodes)?).map_err(|error| unreadable(&error))?;
        let myself = nodes.iter().find(|node| node.myself).map(|node| node.id);
        let cluster = Info::parse(&text(cluster)?);
        let server = Info::parse(&text(server)?);
        Ok(NodeView {
            myself: myself.ok_or_else(|| unreadable(&"no line is flagged myself"))?,
            nodes,
            state_ok: cluster.text("cluster_state").map_err(|error| unreadable(&error))? == "ok",
            keys: number(keys)?,
            uptime_seconds: server.number("uptime_in_seconds").map_err(|error| unreadable(&error))?,
            complete: false,
            closed_for: None,
            left: None,
        })
    }

    /// What the server says of itself; answered while it loads, too.
    pub async fn server_info(&self) -> Result<ServerInfo, Failure> {
        let reply = self.ask_one(command(&["INFO", "server", "memory", "persistence"])).await?;
        let info = Info::parse(&text(reply)?);
        let (engine, version) = info.engine().map_err(|error| unreadable(&error))?;
        Ok(ServerInfo {
            engine,
            version,
            loading: info.number("loading").map_err(|error| unreadable(&error))? != 0,
            used_memory: info.number("used_memory").map_err(|error| unreadable(&error))?,
            cannot_write: info.text("aof_last_write_status").is_ok_and(|status| status != "ok"),
        })
    }

    /// Sets the node timeout if one is given (milliseconds), then starts a handshake with the node at `ip`.
    pub async fn meet(&self, ip: IpAddr, port: u16, timeout: Option<u32>) -> Result<(), Failure> {
        let meet = command(&["CLUSTER", "MEET", &ip.to_string(), &port.to_string()]);
        self.all(timeout.map(|timeout| node_timeout(timeout.into())).into_iter().chain([meet]).collect()).await
    }

    /// Sets what is given of node timeout (milliseconds) and configuration epoch, then takes slots.
    pub async fn add_slots(
        &self,
        range: Option<SlotRange>,
        epoch: Option<u64>,
        timeout: Option<u32>,
    ) -> Result<(), Failure> {
        let timeout = timeout.map(|timeout| node_timeout(timeout.into()));
        let epoch = epoch.map(|epoch| command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()]));
        let before: Vec<Cmd> = timeout.into_iter().chain(epoch).collect();
        if !before.is_empty() {
            self.all(before).await?;
        }
        let Some(range) = range else { return Ok(()) };
        let (first, last) = (range.first().to_string(), range.last().to_string());
        self.all(vec![command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last])]).await
    }

    /// Sends all commands at once; the first error that is replied is the answer.
    async fn all(&self, commands: Vec<Cmd>) -> Result<(), Failure> {
        self.ask(commands).await?.into_iter().collect::<Result<Vec<Value>, Refusal>>()?;
        Ok(())
    }

    /// Sets the product's node timeout (milliseconds).
    pub async fn set_node_timeout(&self, node_timeout_ms: u64) -> Result<(), Failure> {
        self.all(vec![node_timeout(node_timeout_ms)]).await
    }

    /// Gives the tenants' user of the running server its rules. Where they let nobody in, ends every connection of the
    /// user afterwards, those that wait in a blocking command or a subscription included: a rule does not reach what
    /// was allowed before. One that comes in between is not logged in.
    pub async fn set_tenants(&self, tenants: Tenants) -> Result<(), Failure> {
        let end = (tenants == Tenants::Closed).then(|| command(&["CLIENT", "KILL", "USER", "default"]));
        self.all([tenants_user(tenants)].into_iter().chain(end).collect()).await
    }

    /// Drops all keys, then the cluster, the node's id and its epochs. The second is refused while there are keys.
    pub async fn reset(&self) -> Result<(), Failure> {
        self.all(vec![command(&["FLUSHALL", "SYNC"])]).await?;
        self.all(vec![command(&["CLUSTER", "RESET", "HARD"])]).await
    }

    /// Forgets `nodes`; one that is not known is forgotten already.
    pub async fn forget(&self, nodes: &[NodeId]) -> Result<(), Failure> {
        let asked = nodes.iter().map(|id| command(&["CLUSTER", "FORGET", id.as_str()])).collect();
        for (id, reply) in nodes.iter().zip(self.ask(asked).await?) {
            match reply {
                Err(refusal) if !is_unknown_node(&refusal) => {
                    return Err(Failure::WrongState(format!("node {id} cannot be forgotten: {refusal}")));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes nodes.conf from what the server knows.
    pub async fn save_nodes_conf(&self) -> Result<(), Failure> {
        self.all(vec![command(&["CLUSTER", "SAVECONFIG"])]).await
    }

    /// This node's id.
    pub async fn node_id(&self) -> Result<NodeId, Failure> {
        text(self.ask_one(command(&["CLUSTER", "MYID"])).await?)?.parse().map_err(|error| unreadable(&error))
    }

    /// Ends the server without a snapshot. Its end is the answer, so none is waited for.
    pub async fn shut_down(&self) {
        let _ = self.ask_one(command(&["SHUTDOWN", "NOSAVE"])).await;
    }
}

fn tenants_user(tenants: Tenants) -> Cmd {
    let mut user = command(&["ACL", "SETUSER", "default"]);
    for rule in tenant_rules(tenants) {
        user.arg(rule);
    }
    user
}

fn node_timeout(milliseconds: u64) -> Cmd {
    command(&["CONFIG", "SET", "cluster-node-timeout", &milliseconds.to_string()])
}

/// Redis and Valkey both say `ERR Unknown node <id>`.
fn is_unknown_node(refusal: &Refusal) -> bool {
    refusal.0.to_ascii_lowercase().contains("unknown node")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_are_too_old_or_another_do_not_fit() {
        let fits = |engine, version: &str, wanted| {
            ServerInfo {
                engine,
                version: version.parse().unwrap(),
                loading: false,
                used_memory: 0,
                cannot_write: false,
            }
            .fits(wanted)
        };
        use Engine::{Redis, Valkey};
        assert!(fits(Redis, "7.0.0", Redis).is_ok() && fits(Redis, "8.2.1", Redis).is_ok());
        assert!(fits(Valkey, "7.2.0", Valkey).is_ok());
        assert!(fits(Valkey, "8.0.0", Redis).is_err() && fits(Redis, "7.2.4", Valkey).is_err());
        assert!(fits(Valkey, "7.1.0", Valkey).is_err());
        let error = fits(Redis, "6.2.14", Redis).unwrap_err();
        assert_eq!(error, "the node runs redis 6.2.14, and redis 7.0.0 or newer is needed");
    }

    #[test]
    fn an_unknown_node_is_told_from_other_refusals() {
        assert!(is_unknown_node(&Refusal("ERR Unknown node 07c3".into())));
        assert!(!is_unknown_node(&Refusal("ERR I tried hard but I can't forget myself...".into())));
    }
}

//! Creating the demo's cluster through REST and watching it come to life.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use redtrove_testkit::pause;
use redtrove_testkit::stack::Description;
use serde_json::{Value, json};

use super::progress::Progress;
use crate::interrupt::Interrupt;
use crate::say;

/// A cluster of three takes seconds; on a machine that is busy otherwise it may take longer.
const ACTIVE_WITHIN: Duration = Duration::from_secs(180);
/// How often the API is asked.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The port of every node.
const REDIS_PORT: u16 = 6379;

/// A finished cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) id: String,
    pub(super) addresses: Vec<SocketAddrV4>,
}

pub(super) fn create(description: &Description, interrupt: &Interrupt) -> Result<Cluster> {
    let client = description.client();
    let member = json!({"flavorRef": "1", "volume": {"size": 1}});
    let datastore = json!({"type": "redis", "version": "7.0"});
    let body = json!({"cluster": {"name": "demo", "datastore": datastore, "instances": [member, member, member]}});
    let started = Instant::now();
    let created = client.post("/clusters", &body)?.expect_status(202).context("the cluster was not accepted")?;
    let id = text(&created, "/cluster/id").context("the answer names no cluster")?;
    say::note(&format!("POST /v1.0/{}/clusters → 202, cluster {id}", description.project_id));

    let mut progress = Progress::new(started);
    let path = format!("/clusters/{id}");
    while started.elapsed() < ACTIVE_WITHIN {
        interrupt.check()?;
        let shown = client.get(&path)?.expect_status(200)?;
        progress.show(&shown);
        if text(&shown, "/cluster/task/name").as_deref() == Some("NONE") {
            progress.finish();
            let addresses = finished(&shown)?;
            say::note(&format!("ACTIVE after {:.1} s", started.elapsed().as_secs_f32()));
            return Ok(Cluster { id, addresses });
        }
        pause(LOOK_EVERY);
    }
    progress.finish();
    bail!("the cluster is not ACTIVE after {} s", ACTIVE_WITHIN.as_secs())
}

/// The addresses of a cluster whose task has ended, all members ACTIVE.
fn finished(shown: &Value) -> Result<Vec<SocketAddrV4>> {
    if let Some(fault) = shown.pointer("/cluster/fault").filter(|fault| !fault.is_null()) {
        bail!("the cluster was not made: {}", text(fault, "/message").unwrap_or_else(|| fault.to_string()));
    }
    let members = shown.pointer("/cluster/instances").and_then(Value::as_array).context("no members are shown")?;
    ensure!(members.len() == 3, "{} members are shown instead of three", members.len());
    let address = |member: &Value| {
        let name = text(member, "/name").unwrap_or_default();
        let status = text(member, "/status").unwrap_or_default();
        ensure!(status == "ACTIVE", "{name} is {status} although nothing is left to do");
        let ip: Ipv4Addr = text(member, "/ip/0").with_context(|| format!("{name} shows no address"))?.parse()?;
        Ok(SocketAddrV4::new(ip, REDIS_PORT))
    };
    members.iter().map(address).collect()
}

/// The string at a place in a JSON document.
pub(super) fn text(value: &Value, at: &str) -> Option<String> {
    value.pointer(at)?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::finished;

    fn shown(status: &str, fault: &Value) -> Value {
        let member =
            |n: u8| json!({"name": format!("demo-member-{n}"), "status": status, "ip": [format!("127.20.0.{n}")]});
        json!({"cluster": {"fault": fault, "instances": [member(5), member(6), member(7)]}})
    }

    #[test]
    fn an_active_cluster_has_addresses() {
        let addresses = finished(&shown("ACTIVE", &Value::Null)).expect("all is well");
        assert_eq!(addresses[2].to_string(), "127.20.0.7:6379");
    }

    #[test]
    fn a_fault_and_a_member_that_is_not_active_fail_the_demo() {
        let fault = finished(&shown("ACTIVE", &json!({"message": "no such image"}))).expect_err("a fault");
        assert!(fault.to_string().contains("no such image"), "{fault}");
        let status = finished(&shown("ERROR", &Value::Null)).expect_err("a member in error");
        assert_eq!(status.to_string(), "demo-member-5 is ERROR although nothing is left to do");
    }
}

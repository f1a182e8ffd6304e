//! A cluster as its tenant asks for it and sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use redtrove_core::topology::{NodeLine, Reach, parse_nodes};
use redtrove_core::{ClusterId, InstanceId, NodeId, SlotSet};
use redtrove_testkit::http::{Answer, Client};
use redtrove_testkit::redis::PORT;
use redtrove_testkit::{wait_for, wait_until_well};
use serde_json::{Value, json};

/// All slots of a cluster.
const SLOTS: u32 = 16_384;
/// How long a look at a node may take.
const NODE_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// A cluster, asked for and looked at through an API.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
}

fn member() -> Value {
    json!({"flavorRef": "1", "volume": {"size": 1}})
}

/// What `CLUSTER NODES` of each member says, by member in member order.
pub(crate) type Views = Vec<Vec<NodeLine>>;

impl Cluster {
    /// Asks for it.
    pub(crate) fn create(api: &Client, name: &str, version: &str, members: usize) -> Result<Self> {
        let body = json!({"cluster": {
            "name": name,
            "datastore": {"type": "redis", "version": version},
            "instances": vec![member(); members],
        }});
        let answer = api.post("/clusters", &body)?.expect_status(202)?;
        let id = answer.pointer("/cluster/id").and_then(Value::as_str).context("an answer without id")?;
        Ok(Self { id: id.parse()? })
    }

    /// The cluster of this name, if there is one.
    pub(crate) fn find(api: &Client, name: &str) -> Result<Option<Self>> {
        let list = api.get("/clusters?limit=1000")?.expect_status(200)?;
        let clusters = list.get("clusters").and_then(Value::as_array).context("a list without clusters")?;
        let found = clusters.iter().find(|cluster| cluster.get("name").and_then(Value::as_str) == Some(name));
        let id = found.and_then(|cluster| cluster.get("id")).and_then(Value::as_str);
        Ok(id.map(str::parse).transpose()?.map(|id| Self { id }))
    }

    fn path(&self) -> String {
        format!("/clusters/{}", self.id)
    }

    pub(crate) fn grow(&self, api: &Client, joiners: usize) -> Result<Answer> {
        api.post(&self.path(), &json!({"grow": vec![member(); joiners]}))
    }

    pub(crate) fn shrink(&self, api: &Client, leaver: InstanceId) -> Result<Answer> {
        api.post(&self.path(), &json!({"shrink": [{"id": leaver}]}))
    }

    pub(crate) fn delete(&self, api: &Client) -> Result<Answer> {
        api.delete(&self.path())
    }

    /// What `show` says, none if the cluster is gone.
    pub(crate) fn look(&self, api: &Client) -> Result<Option<Value>> {
        let answer = api.get(&self.path())?;
        match answer.status {
            200 => Ok(answer.body.get("cluster").cloned()),
            404 => Ok(None),
            _ => bail!("show answers {}: {}", answer.status, answer.body),
        }
    }

    /// As [`Cluster::look`], from a cluster that is there.
    pub(crate) fn show(&self, api: &Client) -> Result<Shown> {
        let shown = self.look(api)?.with_context(|| format!("cluster {} is gone", self.id))?;
        Shown::read(&shown)
    }

    /// Waits until it is whole, with so many members: no task and no fault, every member ACTIVE, and all nodes agree
    /// that every slot is served and that they are the members.
    pub(crate) fn wait_whole(&self, api: &Client, members: usize, within: Duration) -> Result<(Shown, Views)> {
        wait_until_well(&format!("cluster {} to be whole", self.id), within, || self.whole(api, members))
    }

    fn whole(&self, api: &Client, members: usize) -> Result<(Shown, Views)> {
        let shown = self.show(api)?;
        ensure!(shown.task == "NONE" && shown.fault.is_none(), "task {}, fault {:?}", shown.task, shown.fault);
        ensure!(shown.members.len() == members, "{} members, not {members}", shown.members.len());
        let inactive = shown.members.iter().find(|member| member.status != "ACTIVE");
        ensure!(inactive.is_none(), "{inactive:?}");
        let views = shown.views()?;
        check_agreement(&views)?;
        Ok((shown, views))
    }

    /// Waits until those who were there before an operation that failed are as they were: ACTIVE, within each other's
    /// reach, and of one mind that the slots are where they were.
    pub(crate) fn wait_as_before(&self, api: &Client, before: &Before, within: Duration) -> Result<Shown> {
        wait_until_well(&format!("cluster {} to be as it was", self.id), within, || self.as_before(api, before))
    }

    fn as_before(&self, api: &Client, before: &Before) -> Result<Shown> {
        let shown = self.show(api)?;
        for old in &before.shown.members {
            let now = shown.members.iter().find(|member| member.id == old.id);
            let is_same = now.is_some_and(|now| now.status == "ACTIVE" && now.ip == old.ip);
            ensure!(is_same, "{old:?} is {now:?}");
        }
        before.check(&before.shown.views()?)?;
        Ok(shown)
    }

    /// Waits until it is gone.
    pub(crate) fn wait_gone(&self, api: &Client, within: Duration) -> Result<()> {
        let gone = wait_for("the cluster to be gone", within, || {
            // An API may be dead for a moment.
            Ok(self.look(api).is_ok_and(|shown| shown.is_none()).then_some(()))
        });
        gone.with_context(|| format!("cluster {} after its delete", self.id))
    }
}

/// A member as `show` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: InstanceId,
    pub(crate) status: String,
    pub(crate) ip: Option<Ipv4Addr>,
    pub(crate) has_fault: bool,
}

/// A cluster as `show` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) task: String,
    pub(crate) fault: Option<String>,
    pub(crate) members: Vec<Member>,
}

impl Shown {
    fn read(shown: &Value) -> Result<Self> {
        let text = |at: &str| shown.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let members = shown.get("instances").and_then(Value::as_array).context("a cluster without instances")?;
        let member = |member: &Value| {
            let text = |at: &str| member.pointer(at).and_then(Value::as_str);
            Ok(Member {
                id: text("/id").context("a member without id")?.parse()?,
                status: text("/status").context("a member without status")?.to_owned(),
                ip: text("/ip/0").map(str::parse).transpose()?,
                has_fault: member.get("fault").is_some_and(|fault| !fault.is_null()),
            })
        };
        Ok(Self {
            task: text("/task/name").context("a cluster without task")?,
            fault: text("/fault/message").or_else(|| text("/fault")),
            members: members.iter().map(member).collect::<Result<_>>()?,
        })
    }

    /// Where the members listen, in member order.
    pub(crate) fn addresses(&self) -> Vec<SocketAddrV4> {
        self.members.iter().filter_map(|member| Some(SocketAddrV4::new(member.ip?, PORT))).collect()
    }

    /// What every member says of its cluster; each has to answer and to hold the cluster for served.
    pub(crate) fn views(&self) -> Result<Views> {
        ensure!(self.addresses().len() == self.members.len(), "a member without address");
        self.addresses().iter().map(|at| view(*at)).collect()
    }
}

/// A cluster as it was before an operation.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    pub(crate) shown: Shown,
    nodes: BTreeSet<NodeId>,
    pub(crate) slots: BTreeMap<NodeId, SlotSet>,
    /// The members that own slots, in member order.
    pub(crate) owners: Vec<InstanceId>,
}

impl Before {
    /// Of a whole cluster, whose members agree.
    pub(crate) fn of(shown: Shown, views: &Views) -> Self {
        let nodes = views.iter().flatten().map(|line| line.id).collect();
        let is_owner = |view: &[NodeLine]| view.iter().any(|line| line.myself && line.slots.count() > 0);
        let owners = shown.members.iter().zip(views).filter(|(_, view)| is_owner(view)).map(|(member, _)| member.id);
        let owners = owners.collect();
        Self { shown, nodes, slots: views.first().map(|view| slots(view)).unwrap_or_default(), owners }
    }

    /// What the same members say now. They may know others, whom a grow that failed left behind, but not as owners.
    fn check(&self, views: &Views) -> Result<()> {
        for view in views {
            let reached: BTreeSet<NodeId> =
                view.iter().filter(|line| line.reach == Reach::Fine).map(|line| line.id).collect();
            ensure!(reached.is_superset(&self.nodes), "a member reaches {reached:?}, before {:?}", self.nodes);
            let own = view.iter().find(|line| line.myself).map(|line| line.id);
            ensure!(own.is_some_and(|own| self.nodes.contains(&own)), "a member is {own:?}, none of those before");
            let moves = view.iter().any(|line| !line.migrating.is_empty() || !line.importing.is_empty());
            ensure!(!moves, "a slot is on the move");
            let now = slots(view);
            ensure!(now == self.slots, "slots moved: {now:?}, not {:?}", self.slots);
        }
        Ok(())
    }
}

fn view(at: SocketAddrV4) -> Result<Vec<NodeLine>> {
    let client = redis::Client::open(format!("redis://{at}"))?;
    let mut connection = client.get_connection_with_timeout(NODE_ANSWERS_WITHIN)?;
    connection.set_read_timeout(Some(NODE_ANSWERS_WITHIN))?;
    let ask = |what: &str, connection: &mut redis::Connection| -> Result<String> {
        redis::cmd("CLUSTER").arg(what).query(connection).with_context(|| format!("CLUSTER {what} at {at}"))
    };
    let info = ask("INFO", &mut connection)?;
    ensure!(info.lines().any(|line| line.trim() == "cluster_state:ok"), "{at} does not say cluster_state:ok");
    Ok(parse_nodes(&ask("NODES", &mut connection)?)?)
}

/// Who owns what, in one member's eyes.
pub(crate) fn slots(view: &[NodeLine]) -> BTreeMap<NodeId, SlotSet> {
    view.iter().filter(|line| line.slots.count() > 0).map(|line| (line.id, line.slots.clone())).collect()
}

/// All know the same nodes, which are themselves, none failed, and agree on who owns what; every slot is owned, and none
/// is on the move.
fn check_agreement(views: &Views) -> Result<()> {
    let own = |view: &Vec<NodeLine>| view.iter().find(|line| line.myself).map(|line| line.id);
    let members: BTreeSet<NodeId> = views.iter().filter_map(own).collect();
    ensure!(members.len() == views.len(), "{} nodes in {} members", members.len(), views.len());
    let first = views.first().map(|view| slots(view)).unwrap_or_default();
    for view in views {
        let known: BTreeSet<NodeId> = view.iter().map(|line| line.id).collect();
        ensure!(known == members, "a member knows {known:?}, not {members:?}");
        let unreachable = view.iter().find(|line| line.reach != Reach::Fine || line.handshake || line.noaddr);
        ensure!(unreachable.is_none(), "a member holds {unreachable:?} for unreachable");
        ensure!(
            view.iter().all(|line| line.migrating.is_empty() && line.importing.is_empty()),
            "a slot is on the move"
        );
        ensure!(slots(view) == first, "members disagree on who owns what");
    }
    let count: u32 = first.values().map(SlotSet::count).sum();
    ensure!(count == SLOTS, "{count} of {SLOTS} slots are owned");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What members that own the halves say, the last of them also of a joiner.
    fn views(halves: [&str; 2], joiner: &str) -> Views {
        let id = |n: u32| format!("{n:040x}");
        let line = |n: u32, me: u32, owned: &str| {
            let flags = if n == me { "myself,master" } else { "master" };
            format!("{} 127.0.0.{n}:6379@16379 {flags} - 0 0 {n} connected {owned}\n", id(n))
        };
        let view = |me| line(1, me, halves[0]) + &line(2, me, halves[1]);
        [view(1), view(2) + joiner].iter().map(|text| parse_nodes(text).unwrap()).collect()
    }

    #[test]
    fn an_owner_is_who_says_so_of_itself() {
        let member = |n| Member {
            id: format!("00000000-0000-0000-0000-{n:012}").parse().unwrap(),
            status: "ACTIVE".to_owned(),
            ip: None,
            has_fault: false,
        };
        let shown = Shown { task: "NONE".to_owned(), fault: None, members: vec![member(1), member(2)] };
        let owners = |halves| Before::of(shown.clone(), &views(halves, "")).owners;
        assert_eq!(owners(["0-8191", "8192-16383"]), [member(1).id, member(2).id]);
        assert_eq!(owners(["", "0-16383"]), [member(2).id]);
    }

    #[test]
    fn what_failed_leaves_slots_and_members_as_they_were() {
        let shown = Shown { task: "NONE".to_owned(), fault: None, members: Vec::new() };
        let halves = ["0-8191", "8192-16383"];
        let before = Before::of(shown, &views(halves, ""));
        let joiner = |owned| format!("{:040x} 127.0.0.3:6379@16379 master - 0 0 3 connected {owned}\n", 3);
        before.check(&views(halves, "")).unwrap();
        before.check(&views(halves, &joiner(""))).unwrap();
        let why = |views| before.check(&views).unwrap_err().to_string();
        assert!(why(views(["0-8190", "8192-16383"], &joiner("8191"))).contains("slots moved"));
        assert!(why(views(["0-8191", "8192-16382"], "")).contains("slots moved"));
        let mut forgotten = views(halves, "");
        forgotten[0].pop();
        assert!(why(forgotten).contains("reaches"));
    }
}

//! A cluster as its tenant sees it.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use redtrove_core::topology::{NodeLine, parse_nodes};
use redtrove_testkit::http::{Answer, Client};
use redtrove_testkit::{redis, wait_for};
use serde_json::{Value, json};

use super::{PATIENCE, until};

/// All slots of a cluster.
const SLOTS: u32 = 16_384;

/// A cluster and the client that asked for it.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    client: Client,
    pub(crate) id: String,
    pub(crate) request_id: String,
    /// The task that makes it.
    pub(crate) task: String,
}

/// The body of a request for a cluster.
pub(crate) fn ask(name: &str, members: usize) -> Value {
    let member = json!({"flavorRef": "1", "volume": {"size": 1}});
    let instances = vec![member; members];
    json!({"cluster": {"name": name, "datastore": {"type": "redis", "version": "7.0"}, "instances": instances}})
}

impl Cluster {
    /// Asks for it and checks the answer against the blueprint's.
    pub(crate) fn create(client: &Client, name: &str, members: usize) -> Self {
        Self::create_with(client, &ask(name, members))
    }

    /// As [`Cluster::create`], with a body of one's own.
    pub(crate) fn create_with(client: &Client, body: &Value) -> Self {
        let answer = client.post("/clusters", body).unwrap();
        let request_id = answer.request_id.clone().expect("every answer has its request's id");
        let answered = answer.expect_status(202).unwrap();
        let cluster = &answered["cluster"];
        let (name, wanted) = (&body["cluster"]["name"], body["cluster"]["instances"].as_array().unwrap().len());
        assert_eq!((&cluster["name"], &cluster["task"]["name"]), (name, &json!("BUILDING")));
        let members = cluster["instances"].as_array().unwrap();
        assert_eq!(members.len(), wanted);
        assert!(members.iter().all(|member| member["status"] == "BUILD" && member["ip"] == json!([])), "{cluster}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self { client: client.clone(), id: text(&cluster["id"]), request_id, task: text(&cluster["operation"]["id"]) }
    }

    pub(crate) fn path(&self) -> String {
        format!("/clusters/{}", self.id)
    }

    pub(crate) fn show(&self) -> Answer {
        self.client.get(&self.path()).unwrap()
    }

    /// What `show` says of the cluster, if there is an answer and the cluster is there.
    pub(crate) fn look(&self) -> Option<Value> {
        let answer = self.client.get(&self.path()).ok()?;
        (answer.status == 200).then(|| answer.body["cluster"].clone())
    }

    /// The members' statuses, in member order.
    pub(crate) fn statuses(&self) -> Vec<String> {
        let members = self.look().map(|cluster| cluster["instances"].clone()).unwrap_or_default();
        let members = members.as_array().cloned().unwrap_or_default();
        members.iter().filter_map(|member| member["status"].as_str().map(str::to_owned)).collect()
    }

    pub(crate) fn is_active(&self) -> bool {
        self.look().is_some_and(|cluster| is_active(&cluster))
    }

    /// Waits until the cluster has no task and all members are ACTIVE; a fault ends the wait.
    pub(crate) fn wait_active(&self) -> Value {
        self.wait_active_within(PATIENCE)
    }

    pub(crate) fn wait_active_within(&self, patience: Duration) -> Value {
        wait_for(&format!("cluster {} to be ACTIVE", self.id), patience, || {
            let Some(cluster) = self.look() else { return Ok(None) };
            assert!(cluster.get("fault").is_none_or(Value::is_null), "{cluster}");
            Ok(is_active(&cluster).then_some(cluster))
        })
        .unwrap()
    }

    /// Asks for more members; the answer.
    pub(crate) fn ask_grow(&self, joiners: usize) -> Answer {
        let member = json!({"flavorRef": "1", "volume": {"size": 1}});
        self.client.post(&self.path(), &json!({"grow": vec![member; joiners]})).unwrap()
    }

    /// Asks for more members, checks the answer against the blueprint's, and gives their names.
    pub(crate) fn grow(&self, joiners: usize) -> Vec<String> {
        let answered = self.ask_grow(joiners).expect_status(202).unwrap();
        let cluster = &answered["cluster"];
        assert_eq!((&cluster["id"], &cluster["task"]["name"]), (&json!(self.id), &json!("GROWING_CLUSTER")));
        let members = cluster["instances"].as_array().unwrap();
        assert_eq!(members.len(), joiners, "only the new members are listed: {cluster}");
        assert!(members.iter().all(|member| member["status"] == "BUILD" && member["ip"] == json!([])), "{cluster}");
        members.iter().map(|member| member["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Asks to remove these members; the answer.
    pub(crate) fn shrink(&self, leavers: &[String]) -> Answer {
        let leavers: Vec<Value> = leavers.iter().map(|id| json!({"id": id})).collect();
        self.client.post(&self.path(), &json!({"shrink": leavers})).unwrap()
    }

    /// The members' ids, in member order.
    pub(crate) fn member_ids(&self) -> Vec<String> {
        let cluster = self.look().expect("the cluster is there");
        let members = cluster["instances"].as_array().unwrap();
        members.iter().map(|member| member["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until the cluster has so many members, no task and no fault, and all are ACTIVE.
    pub(crate) fn wait_members(&self, count: usize) -> Value {
        wait_for(&format!("cluster {} to have {count} members", self.id), PATIENCE, || {
            let Some(cluster) = self.look() else { return Ok(None) };
            // A fault of an earlier operation is there until one succeeds.
            let whole = cluster.get("fault").is_none_or(Value::is_null);
            let here = cluster["instances"].as_array().is_some_and(|members| members.len() == count);
            Ok((whole && here && is_active(&cluster)).then_some(cluster))
        })
        .unwrap()
    }

    /// Waits until it is busy with nothing; how many members it has then.
    pub(crate) fn wait_calm(&self) -> usize {
        wait_for(&format!("cluster {} to be busy with nothing", self.id), PATIENCE, || {
            let calm = self.look().filter(|cluster| cluster["task"]["name"] == "NONE");
            Ok(calm.and_then(|cluster| cluster["instances"].as_array().map(Vec::len)))
        })
        .unwrap()
    }

    /// Has redis-cli move `slots` slots from one node to another, by their ids.
    pub(crate) fn reshard(&self, from: &str, to: &str, slots: u32) -> Result<String, String> {
        let at = self.addresses()[0].to_string();
        let slots = slots.to_string();
        let words =
            ["--cluster", "reshard", &at, "--cluster-from", from, "--cluster-to", to, "--cluster-slots", &slots];
        redis::cluster_tool(&[&words[..], &["--cluster-yes"]].concat()).map_err(|error| error.to_string())
    }

    /// Brings slot moves that were cut short to their end, as a tenant does it: the source's value of a key is the true
    /// one, and the target of a move gets the slot.
    pub(crate) fn finish_moves(&self) {
        self.wait_agreement();
        let members = self.addresses();
        let views: Vec<_> = members.iter().map(|at| (*at, own_line(*at))).collect();
        let at = |node| views.iter().find(|(_, own)| own.id == node).map(|(at, _)| *at);
        let ok = |at: SocketAddrV4, words: &[&str]| assert_eq!(redis::cli(at, &[], words).unwrap(), "OK", "{words:?}");
        for (source, own) in &views {
            for (slot, target_id) in &own.migrating {
                let (slot, id) = (slot.to_string(), target_id.to_string());
                let Some(target) = at(*target_id) else {
                    ok(*source, &["cluster", "setslot", &slot, "stable"]);
                    continue;
                };
                let keys = redis::cli(*source, &[], &["cluster", "getkeysinslot", &slot, "1000"]).unwrap();
                let keys: Vec<&str> = keys.lines().filter(|key| !key.is_empty()).collect();
                if !keys.is_empty() {
                    let ip = target.ip().to_string();
                    let move_all = ["migrate", &ip, "6379", "", "0", "5000", "replace", "keys"];
                    ok(*source, &[&move_all, &*keys].concat());
                }
                // The target first, and everybody: one that only hears of it by gossip may take the word of a former
                // owner whose epoch is as high.
                let others = members.iter().copied().filter(|at| *at != target && at != source);
                for at in [target, *source].into_iter().chain(others) {
                    ok(at, &["cluster", "setslot", &slot, "node", &id]);
                }
            }
        }
        for at in &members {
            for (slot, _) in own_line(*at).importing {
                ok(*at, &["cluster", "setslot", &slot.to_string(), "stable"]);
            }
        }
        self.wait_agreement();
    }

    /// Waits until every member has the same word on who owns what.
    pub(crate) fn wait_agreement(&self) {
        until("the members to agree on who owns what", || self.agrees());
    }

    /// Whether every member answers and has the same word on who owns what, and by which epoch. Slots that are moved back
    /// before can be lost: a new owner that has not heard of the former one's epoch takes them with a lower one, and
    /// some third member then tells it that they are not its own.
    pub(crate) fn agrees(&self) -> bool {
        let view = |at: &SocketAddrV4| {
            let mut nodes = parse_nodes(&redis::cli(*at, &[], &["cluster", "nodes"]).ok()?).ok()?;
            nodes.sort_by_key(|node| node.id);
            Some(nodes.into_iter().map(|node| (node.id, node.config_epoch, node.slots)).collect::<Vec<_>>())
        };
        let views: Vec<_> = self.addresses().iter().map(view).collect();
        // Of two with one epoch, one takes another soon, and with it what it just gave away.
        let epochs: BTreeSet<u64> = views.iter().flatten().flatten().map(|(_, epoch, _)| *epoch).collect();
        epochs.len() == views.len() && views.iter().all(|view| view.is_some() && *view == views[0])
    }

    /// Waits until every member answers and says that the cluster is well.
    pub(crate) fn wait_well(&self) {
        let well = |at: &SocketAddrV4| {
            let info = redis::cli(*at, &[], &["cluster", "info"]);
            info.is_ok_and(|info| info.lines().any(|line| line.trim() == "cluster_state:ok"))
        };
        until("every member to say that the cluster is well", || self.addresses().iter().all(well));
    }

    /// Moves every slot of the last member to the first.
    pub(crate) fn drain_last(&self) {
        let nodes = self.node_ids();
        let last = self.addresses().pop().unwrap();
        let owned: u32 = slot_map(last)
            .iter()
            .filter(|(_, _, ip)| *ip == last.ip().to_string())
            .map(|(first, end, _)| end - first + 1)
            .sum();
        if owned > 0 {
            self.reshard(nodes.last().unwrap(), &nodes[0], owned).unwrap();
            self.wait_agreement();
        }
    }

    /// Asks for the end of it: 202 with an empty body.
    pub(crate) fn delete(&self) {
        let answer = self.client.delete(&self.path()).unwrap();
        assert_eq!((answer.status, &answer.body), (202, &Value::Null), "{answer:?}");
    }

    /// Waits until it is no more.
    pub(crate) fn wait_gone(&self) {
        wait_for(&format!("cluster {} to be gone", self.id), PATIENCE, || {
            let answer = self.show();
            if answer.status == 404 {
                assert!(answer.body["itemNotFound"]["message"].is_string(), "{answer:?}");
                return Ok(Some(()));
            }
            assert_eq!((answer.status, &answer.body["cluster"]["task"]["name"]), (200, &json!("DELETING")));
            Ok(None)
        })
        .unwrap();
    }

    /// Where the members listen, in member order.
    pub(crate) fn addresses(&self) -> Vec<SocketAddrV4> {
        let cluster = self.look().expect("the cluster is there");
        let address = |member: &Value| {
            let ip: Ipv4Addr = member["ip"][0].as_str().expect("an address").parse().unwrap();
            SocketAddrV4::new(ip, redis::PORT)
        };
        cluster["instances"].as_array().unwrap().iter().map(address).collect()
    }

    /// The nodes' ids as they tell them themselves, in member order.
    pub(crate) fn node_ids(&self) -> Vec<String> {
        let ask = |at: &SocketAddrV4| redis::cli(*at, &[], &["cluster", "myid"]).unwrap();
        self.addresses().iter().map(ask).collect()
    }

    /// The slots as the first member sees them: first slot, last slot, address.
    pub(crate) fn slot_map(&self) -> Vec<(u32, u32, String)> {
        slot_map(self.addresses()[0])
    }

    /// Asks every member for its slot map: all agree, and the slots are shared evenly in member order, the remainder
    /// one each to the first.
    pub(crate) fn assert_slots_even(&self) {
        let members = self.addresses();
        let count = u32::try_from(members.len()).unwrap();
        let (share, more) = (SLOTS / count, SLOTS % count);
        let mut expected = Vec::new();
        let mut first = 0;
        for (n, member) in (0..).zip(&members) {
            let next = first + share + u32::from(n < more);
            expected.push((first, next - 1, member.ip().to_string()));
            first = next;
        }
        for member in &members {
            assert_eq!(slot_map(*member), expected, "as {member} sees it");
            let info = redis::cli(*member, &[], &["cluster", "info"]).unwrap();
            for line in ["cluster_state:ok".to_owned(), format!("cluster_known_nodes:{count}")] {
                assert!(info.lines().any(|shown| shown.trim() == line), "{member} does not say {line}: {info}");
            }
        }
    }
}

/// What one member says of itself.
fn own_line(at: SocketAddrV4) -> NodeLine {
    let nodes = parse_nodes(&redis::cli(at, &[], &["cluster", "nodes"]).unwrap()).unwrap();
    nodes.into_iter().find(|node| node.myself).expect("a node lists itself")
}

/// `CLUSTER SLOTS` of one member: first slot, last slot, address.
fn slot_map(at: SocketAddrV4) -> Vec<(u32, u32, String)> {
    type Node = (String, u16, String, ::redis::Value);
    let mut connection = ::redis::Client::open(format!("redis://{at}")).unwrap().get_connection().unwrap();
    let ranges: Vec<(u32, u32, Node)> = ::redis::cmd("CLUSTER").arg("SLOTS").query(&mut connection).unwrap();
    let mut map: Vec<_> = ranges.into_iter().map(|(first, last, node)| (first, last, node.0)).collect();
    map.sort();
    map
}

fn is_active(cluster: &Value) -> bool {
    let members = cluster["instances"].as_array().cloned().unwrap_or_default();
    cluster["task"]["name"] == "NONE"
        && !members.is_empty()
        && members.iter().all(|member| member["status"] == "ACTIVE")
}

//! Tenants are shut out of a node for a while, and let in again.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use redtrove_core::topology::NodeView;
use redtrove_guest_rpc::v1;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::forming::{agent_timeout, agreed, formed};
use crate::harness::{Agent, Client, LIMIT, World, at, wait_for};
use crate::scaling::join;

/// Two minutes, as the product has it.
const CLOSING_MS: u64 = 120_000;

/// A complete node with its id, alone in its cluster, that takes writes.
async fn alone(world: &World) -> (Agent, Client, String) {
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    let node = serving(&agent, &mut client).await;
    (agent, client, node)
}

async fn serving(agent: &Agent, client: &mut Client) -> String {
    client.form_alone(agent).await;
    wait_for("a write", || async { (agent.cli(&["set", "k", "v"]) == "OK").then_some(()) }).await;
    client.topology().await.node_id
}

async fn wait_open(agent: &Agent) {
    wait_for("the node to be open", || async { (agent.cli(&["get", "k"]) == "v").then_some(()) }).await;
}

fn code(result: Result<(), Status>) -> Code {
    result.unwrap_err().code()
}

/// A tenant's connection that has said `words` and has been answered.
async fn tenant(agent: &Agent, words: &str, answered: bool) -> TcpStream {
    let mut stream = TcpStream::connect((agent.ip, 6379)).await.unwrap();
    stream.write_all(words.as_bytes()).await.unwrap();
    if answered {
        assert_ne!(stream.read(&mut [0; 256]).await.unwrap(), 0);
    }
    stream
}

#[tokio::test]
async fn closing_ends_every_connection_of_tenants_and_reopening_lets_them_in() {
    let world = World::new();
    let (agent, mut client, node) = alone(&world).await;
    let mut tenants = [
        tenant(&agent, "PING\r\n", true).await,
        tenant(&agent, "BLPOP list 0\r\n", false).await,
        tenant(&agent, "SUBSCRIBE channel\r\n", true).await,
        tenant(&agent, "SSUBSCRIBE channel\r\n", true).await,
        tenant(&agent, "MULTI\r\nSET k other\r\n", true).await,
        tenant(&agent, "CLIENT TRACKING ON\r\n", true).await,
    ];
    let blocked = || async { agent.own_cli(&["client", "list"]).contains("cmd=blpop").then_some(()) };
    wait_for("the client that blocks", blocked).await;

    client.close(&node).await.unwrap();
    for (number, tenant) in tenants.iter_mut().enumerate() {
        let _ = tenant.write_all(b"EXEC\r\n").await;
        let mut rest = Vec::new();
        let ended = timeout(LIMIT, tenant.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "connection {number} is still there: {rest:?}");
    }
    assert!(!agent.own_cli(&["client", "list"]).contains("user=default"));
    assert!(agent.is_shut());
    assert_eq!(agent.own_cli(&["get", "k"]), "v", "what was not executed is not");
    let topology = client.topology().await;
    assert!(topology.complete && (1..=CLOSING_MS).contains(&topology.closed_for_ms.unwrap()), "{topology:?}");
    assert!(client.status().await.complete);

    let first = topology.closed_for_ms.unwrap();
    wait_for("time to go by", || async { (client.clone_topology().await.closed_for_ms? < first).then_some(()) }).await;
    client.close(&node).await.expect("repeated");
    assert!(client.topology().await.closed_for_ms.unwrap() + 5_000 > CLOSING_MS, "it counts anew");

    for _ in 0..2 {
        client.reopen(&node).await.unwrap();
        assert_eq!(agent.cli(&["get", "k"]), "v");
        assert_eq!(client.topology().await.closed_for_ms, None);
    }
}

#[tokio::test]
async fn only_the_complete_node_that_is_meant_is_closed() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    let other = "0".repeat(40);
    assert_eq!(code(client.close(&other).await), Code::FailedPrecondition, "not prepared");
    client.prepare(&agent).await;
    let node = client.topology().await.node_id;
    for result in [client.close(&node).await, client.reopen(&node).await] {
        let status = result.unwrap_err();
        assert_eq!((status.code(), status.message().contains("not complete")), (Code::FailedPrecondition, true));
    }
    serving(&agent, &mut client).await;
    for result in [client.close(&other).await, client.reopen(&other).await] {
        let status = result.unwrap_err();
        assert!(status.code() == Code::FailedPrecondition && status.message().contains(&node), "{status}");
    }
    assert_eq!(code(client.close("x").await), Code::InvalidArgument);
    assert_eq!(code(client.reopen("").await), Code::InvalidArgument);
    assert!(!agent.is_shut());
    let late = v1::CloseToTenantsRequest { expected_node_id: node.clone() };
    client.0.close_to_tenants(at(7, late.clone())).await.unwrap();
    let late = client.0.close_to_tenants(at(6, late)).await.unwrap_err();
    assert_eq!(late.code(), Code::FailedPrecondition, "{late}");
}

#[tokio::test]
async fn a_call_that_completes_the_node_again_does_not_open_it() {
    let world = World::new();
    let (agent, mut client, node) = alone(&world).await;
    client.close(&node).await.unwrap();
    client.complete().await;
    client.prepare(&agent).await;
    assert!(agent.is_shut());
    assert_eq!(agent_timeout(&agent).await, "15000");
}

#[tokio::test]
async fn a_closed_node_stays_shut_when_agent_or_server_are_killed() {
    let world = World::new();
    let (mut agent, mut client, node) = alone(&world).await;
    client.close(&node).await.unwrap();
    agent.kill_redis();
    client.wait_state(v1::RedisState::Running).await;
    assert!(agent.is_shut(), "another server");
    agent.end(Signal::KILL);
    assert!(agent.is_shut(), "no agent");
    agent.kill_redis();
    agent.start_again().await;
    let mut client = world.control(&agent).await;
    client.wait_state(v1::RedisState::Running).await;
    assert!(agent.is_shut(), "both were killed");
    assert!((1..CLOSING_MS).contains(&client.topology().await.closed_for_ms.unwrap()));
    client.reopen(&node).await.unwrap();
    wait_open(&agent).await;
    agent.kill_redis();
    client.wait_state(v1::RedisState::Running).await;
    wait_open(&agent).await;
}

#[tokio::test]
async fn a_closed_node_opens_by_itself_after_the_last_call() {
    let world = World::new();
    let closing = Duration::from_millis(1_000);
    let agent = world.agent_within(1, closing, "/usr/bin/redis-server".as_ref()).await;
    let mut client = world.control(&agent).await;
    let node = serving(&agent, &mut client).await;
    client.close(&node).await.unwrap();
    wait_for("half of the time", || async { (client.clone_topology().await.closed_for_ms? < 500).then_some(()) }).await;
    let renewed = Instant::now();
    client.close(&node).await.unwrap();
    assert!(agent.is_shut());
    wait_open(&agent).await;
    assert!(renewed.elapsed() >= closing, "it opened after {:?}", renewed.elapsed());
    assert_eq!(client.topology().await.closed_for_ms, None);
    assert_eq!(agent.state()["shut"], json!(null));
    agent.kill_redis();
    client.wait_state(v1::RedisState::Running).await;
    wait_open(&agent).await;
}

#[tokio::test]
async fn it_opens_also_when_redis_server_was_down_at_that_moment() {
    let world = World::new();
    let redis = world.place.path().join("redis-server");
    std::os::unix::fs::symlink("/usr/bin/redis-server", &redis).unwrap();
    let agent = world.agent_within(1, Duration::from_millis(600), &redis).await;
    let mut client = world.control(&agent).await;
    let node = serving(&agent, &mut client).await;
    client.close(&node).await.unwrap();
    std::fs::remove_file(&redis).unwrap();
    agent.kill_redis();
    assert_eq!(code(client.close(&node).await), Code::Unavailable);
    let opened = || async { agent.state()["shut"].is_null().then_some(()) };
    wait_for("the time to be over", opened).await;
    assert!(!agent.redis().unwrap().is_alive());
    std::os::unix::fs::symlink("/usr/bin/redis-server", &redis).unwrap();
    client.wait_state(v1::RedisState::Running).await;
    wait_open(&agent).await;
}

#[tokio::test]
async fn the_time_that_the_agent_was_away_counts() {
    let world = World::new();
    let (mut agent, mut client, node) = alone(&world).await;
    client.close(&node).await.unwrap();
    let until = agent.state()["shut"]["until"].as_i64().unwrap();
    agent.restart_shut(json!({ "until": until - 119_000 })).await;
    wait_open(&agent).await;

    let mut client = world.control(&agent).await;
    client.close(&node).await.unwrap();
    agent.restart_shut(json!({ "until": until - 10_000_000 })).await;
    wait_open(&agent).await;
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_keep_the_node_shut() {
    let world = World::new();
    let (mut agent, mut client, node) = alone(&world).await;
    client.close(&node).await.unwrap();
    let (before, year) = (agent.state()["shut"]["until"].as_i64().unwrap(), 365 * 86_400_000);
    agent.restart_shut(json!({ "until": before + year })).await;
    let mut client = world.control(&agent).await;
    client.wait_state(v1::RedisState::Running).await;
    assert!(agent.is_shut());
    assert!(client.topology().await.closed_for_ms.unwrap() <= CLOSING_MS);
    let after = agent.state()["shut"]["until"].as_i64().unwrap();
    assert!((before..before + 60_000).contains(&after), "a later restart begins from here: {before} {after}");
}

/// What a tenant is answered who sends `count` lines to a node.
pub(crate) fn send(agent: &Agent, count: usize, line: impl Fn(usize) -> String) -> Vec<String> {
    let mut cli = agent.redis_cli().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines: String = (0..count).map(|n| line(n) + "\n").collect();
    let mut stdin = cli.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let text = String::from_utf8(cli.wait_with_output().unwrap().stdout).unwrap();
    writer.join().unwrap();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// The keys below `count` that one of the nodes has as they were written.
fn read_keys(agents: &[Agent], count: usize) -> BTreeSet<usize> {
    let answers = agents.iter().flat_map(|agent| send(agent, count, |n| format!("GET key-{n}")));
    answers.filter_map(|answer| answer.parse().ok()).collect()
}

/// What a tenant does to bring slot moves to their end that were cut short. A key may be on both nodes then: clients were
/// served by the source, so its value is the true one. (`redis-cli --cluster fix` wants `CLUSTER DELSLOTS`, `ADDSLOTS`
/// and `BUMPEPOCH` for it, and `DEBUG` to compare values; all are closed.)
async fn finish_moves(agents: &[Agent], clients: &[Client]) {
    let mut views: Vec<NodeView> = Vec::new();
    for client in clients {
        views.push(client.clone_topology().await.try_into().unwrap());
    }
    let of = |node| &agents[views.iter().position(|view| view.myself == node).unwrap()];
    for (source, view) in agents.iter().zip(&views) {
        let own = view.own().unwrap();
        for (slot, target) in &own.migrating {
            let (slot, id, target) = (slot.to_string(), target.to_string(), of(*target));
            let listed = source.cli(&["cluster", "getkeysinslot", &slot, "1000"]);
            let keys: Vec<&str> = listed.lines().filter(|key| !key.is_empty()).collect();
            if !keys.is_empty() {
                let ip = target.ip.to_string();
                let words = ["migrate", &ip, "6379", "", "0", "5000", "replace", "keys"];
                assert_eq!(source.cli(&[&words, &*keys].concat()), "OK");
            }
            for node in [target, source] {
                assert_eq!(node.cli(&["cluster", "setslot", &slot, "node", &id]), "OK");
            }
        }
    }
    // Begun on the target only: nothing has moved.
    for (target, client) in agents.iter().zip(clients) {
        let view: NodeView = client.clone_topology().await.try_into().unwrap();
        for (slot, _) in &view.own().unwrap().importing {
            assert_eq!(target.cli(&["cluster", "setslot", &slot.to_string(), "stable"]), "OK");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reshard_that_aims_at_the_node_stops_and_loses_nothing() {
    const KEYS: usize = 3_000;
    let world = World::new();
    let (mut agents, mut clients) = formed(&world).await;
    join(&world, &mut agents, &mut clients, 1).await;
    clients[3].complete().await;
    // A key of another node is answered with its address.
    let written =
        send(&agents[0], KEYS, |n| format!("SET key-{n} {n}")).iter().filter(|answer| *answer == "OK").count();
    let keys = read_keys(&agents, KEYS);
    assert!(written > KEYS / 4 && keys.len() == written, "{written} {}", keys.len());

    let target = clients[3].topology().await.node_id;
    let source = clients[0].topology().await.node_id;
    let address = format!("{}:6379", agents[0].ip);
    let words =
        ["--cluster", "reshard", &address, "--cluster-slots", "5000", "--cluster-pipeline", "1", "--cluster-yes"];
    let mut reshard = agents[0].redis_cli();
    reshard.args(words).args(["--cluster-from", &source, "--cluster-to", &target]);
    let mut reshard = reshard.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let own = || async {
        let view: NodeView = clients[3].clone_topology().await.try_into().unwrap();
        (view.own_slots().count() > 20).then_some(())
    };
    wait_for("some slots to have moved", own).await;
    clients[3].close(&target).await.unwrap();
    let ended = wait_for("the reshard to end", || {
        let ended = reshard.try_wait().unwrap();
        async move { ended }
    });
    assert!(!ended.await.success(), "it was stopped");

    let status = clients[3].leave(&target).await.unwrap_err();
    assert!(status.code() == Code::FailedPrecondition && status.message().contains("owns slots"), "{status}");
    clients[3].reopen(&target).await.unwrap();
    finish_moves(&agents, &clients).await;
    agreed(&mut clients, 4).await;
    assert_eq!(read_keys(&agents, KEYS), keys);
}

//! redis-server's nodes.conf is lost, cut or damaged: the node comes back as the one that it was, or not at all.

use std::fs;
use std::path::Path;

use redtrove_guest_rpc::v1;
use rustix::process::Signal;

use crate::forming::{agreed, formed};
use crate::harness::{Agent, Client, World, wait_for};

/// What is done to a file, in words and in deed.
type Damage = (&'static str, fn(&Path));

async fn copied(agent: &Agent) {
    wait_for("the copy", || async { agent.has_copied().then_some(()) }).await;
}

async fn id_of(client: &Client) -> String {
    let client = &client.0;
    wait_for("the node's id", || async move {
        let answer = client.clone().get_topology(v1::GetTopologyRequest {}).await;
        answer.ok().map(|topology| topology.into_inner().node_id)
    })
    .await
}

/// Kills redis-server, whose file `damage` is done to in the same moment.
fn crash(agent: &Agent, damage: impl FnOnce(&Path)) {
    agent.signal_redis(Signal::STOP);
    damage(&agent.nodes_conf());
    agent.kill_redis();
}

fn cut(path: &Path, length: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// A tenant reads all that was written.
async fn assert_keys(agent: &Agent) {
    for n in 0..30 {
        let key = format!("key-{n}");
        wait_for("a key", || async { (agent.cli(&["-c", "get", &key]) == key).then_some(()) }).await;
    }
}

#[tokio::test]
async fn a_node_whose_file_is_gone_cut_or_damaged_is_the_same_node_with_its_slots_and_keys() {
    let world = World::new();
    let (agents, mut clients) = formed(&world).await;
    for n in 0..30 {
        let key = format!("key-{n}");
        wait_for("a write", || async { (agents[0].cli(&["-c", "set", &key, &key]) == "OK").then_some(()) }).await;
    }
    let damages: [Damage; 6] = [
        ("removed", |path| fs::remove_file(path).unwrap()),
        ("emptied", |path| cut(path, 0)),
        ("cut in its first line", |path| cut(path, 17)),
        ("without the line of epochs", |path| cut(path, length(path) - 40)),
        ("cut within its last number", |path| cut(path, length(path) - 1)),
        ("zeros in the middle", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[60..160].fill(0);
            fs::write(path, bytes).unwrap();
        }),
    ];
    for (round, (what, damage)) in damages.into_iter().enumerate() {
        let n = round % 3;
        let (agent, id) = (&agents[n], id_of(&clients[n]).await);
        copied(agent).await;
        crash(agent, damage);
        assert_eq!(id_of(&clients[n]).await, id, "{what}");
        agreed(&mut clients, 3).await;
        assert_keys(agent).await;
    }
    let log = fs::read_to_string(&agents[1].log).unwrap();
    assert!(log.contains("starts with the copy of it"), "the agent says what it did: {log}");
}

#[tokio::test]
async fn a_running_server_writes_a_lost_file_again() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.form_alone(&agent).await;
    copied(&agent).await;
    let path = agent.nodes_conf();
    let whole = fs::read_to_string(&path).unwrap();
    let damages: [fn(&Path); 2] = [|path| fs::remove_file(path).unwrap(), |path| cut(path, 50)];
    for damage in damages {
        damage(&path);
        let again = || fs::read_to_string(&path).is_ok_and(|text| text == whole);
        wait_for("the file", || async { again().then_some(()) }).await;
    }
    assert!(agent.redis().unwrap().is_alive(), "without a restart");
}

#[tokio::test]
async fn a_member_without_file_and_copy_is_down_and_says_why_until_the_file_is_put_back() {
    let world = World::new();
    let mut agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.form_alone(&agent).await;
    wait_for("a write", || async { (agent.cli(&["set", "k", "v"]) == "OK").then_some(()) }).await;
    let id = id_of(&client).await;
    copied(&agent).await;
    agent.end(Signal::KILL);
    agent.kill_redis();
    let whole = fs::read(agent.nodes_conf()).unwrap();
    cut(&agent.nodes_conf(), 100);
    cut(&agent.directory.join("nodes.conf.copy"), 90);
    agent.start_again().await;
    let mut client = world.control(&agent).await;
    let status = client.wait_state(v1::RedisState::Down).await;
    for words in ["nodes.conf cannot be used", "cut short", "no good copy", id.as_str(), "Put the file back"] {
        assert!(status.detail.contains(words), "{words}: {}", status.detail);
    }
    assert!(!agent.redis().unwrap().is_alive(), "no stranger runs");
    fs::write(agent.nodes_conf(), whole).unwrap();
    client.wait_state(v1::RedisState::Running).await;
    assert_eq!(id_of(&client).await, id);
    wait_for("a read", || async { (agent.cli(&["get", "k"]) == "v").then_some(()) }).await;
    copied(&agent).await;
}

#[tokio::test]
async fn the_id_is_on_the_disk_before_anybody_hears_of_it() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.prepare(&agent).await;
    let id = client.status().await.node_id.unwrap();
    assert_eq!(fs::read_to_string(agent.directory.join("node-id")).unwrap().trim(), id);
}

#[tokio::test]
async fn a_copy_that_is_older_than_a_move_of_slots_gives_way_to_it() {
    let world = World::new();
    let (mut agents, mut clients) = formed(&world).await;
    wait_for("a write", || async { (agents[0].cli(&["-c", "set", "key-1", "v"]) == "OK").then_some(()) }).await;
    let ids = [id_of(&clients[0]).await, id_of(&clients[1]).await];
    copied(&agents[0]).await;
    // Nobody copies the file while the slots move.
    agents[0].end(Signal::KILL);
    let at = format!("{}:6379", agents[0].ip);
    let words = ["--cluster", "reshard", &at, "--cluster-from", &ids[0], "--cluster-to", &ids[1]];
    let reshard = agents[0].redis_cli().args(words).args(["--cluster-slots", "100", "--cluster-yes"]).output().unwrap();
    assert!(reshard.status.success(), "{reshard:?}");
    crash(&agents[0], |path| fs::remove_file(path).unwrap());
    agents[0].start_again().await;
    clients[0] = world.control(&agents[0]).await;
    assert_eq!(id_of(&clients[0]).await, ids[0]);
    agreed(&mut clients, 3).await;
    let owned = |topology: &v1::GetTopologyResponse, id: &str| {
        let node = topology.nodes.iter().find(|node| node.node_id == id).unwrap();
        node.slots.iter().map(|range| range.last - range.first + 1).sum::<u32>()
    };
    let (clients, ids) = (&clients, &ids);
    wait_for("the older owner to take the newer one's word", || async move {
        let view = clients[0].clone_topology().await;
        (owned(&view, &ids[0]) == 5_362 && owned(&view, &ids[1]) == 5_561).then_some(())
    })
    .await;
    wait_for("the key", || async { (agents[0].cli(&["-c", "get", "key-1"]) == "v").then_some(()) }).await;
}

#[tokio::test]
async fn slots_that_a_copy_does_not_know_of_are_taken_up_again_by_hand() {
    let world = World::new();
    let (mut agents, mut clients) = formed(&world).await;
    let ids = [id_of(&clients[0]).await, id_of(&clients[1]).await];
    copied(&agents[0]).await;
    agents[0].end(Signal::KILL);
    let at = format!("{}:6379", agents[0].ip);
    let words = ["--cluster", "reshard", &at, "--cluster-from", &ids[1], "--cluster-to", &ids[0]];
    let reshard = agents[0].redis_cli().args(words).args(["--cluster-slots", "1", "--cluster-yes"]).output().unwrap();
    assert!(reshard.status.success(), "{reshard:?}");
    // Its slot is 5462, the one that moved.
    let key = "key-39391";
    wait_for("a write", || async { (agents[0].cli(&["set", key, "v"]) == "OK").then_some(()) }).await;
    crash(&agents[0], |path| fs::remove_file(path).unwrap());
    agents[0].start_again().await;
    clients[0] = world.control(&agents[0]).await;
    assert_eq!(id_of(&clients[0]).await, ids[0]);
    wait_for("it to send clients away", || async { agents[0].cli(&["get", key]).contains("MOVED").then_some(()) })
        .await;
    assert!(agents[1].cli(&["get", key]).contains(&agents[0].ip.to_string()), "who sends them back");

    assert_eq!(agents[0].cli(&["cluster", "setslot", "5462", "importing", &ids[1]]), "OK");
    assert_eq!(agents[0].cli(&["cluster", "setslot", "5462", "node", &ids[0]]), "OK");
    agreed(&mut clients, 3).await;
    wait_for("the key", || async { (agents[2].cli(&["-c", "get", key]) == "v").then_some(()) }).await;
}

#[tokio::test]
async fn a_node_that_has_left_comes_back_as_nobody() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.prepare(&agent).await;
    client.complete().await;
    let id = id_of(&client).await;
    copied(&agent).await;
    client.close(&id).await.unwrap();
    client.leave(&id).await.unwrap();
    let new = id_of(&client).await;
    assert_ne!(new, id);
    crash(&agent, |path| fs::remove_file(path).unwrap());
    let topology = {
        id_of(&client).await;
        client.topology().await
    };
    assert!(topology.node_id != id && topology.left_node_id == Some(id), "{topology:?}");
}

#[tokio::test]
async fn a_unit_that_systemd_starts_again_mends_the_file_itself() {
    let world = World::new();
    let mut agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.form_alone(&agent).await;
    copied(&agent).await;
    agent.end(Signal::KILL);
    agent.kill_redis();
    let whole = fs::read(agent.nodes_conf()).unwrap();
    let mend = |agent: &Agent| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_redtrove-guestagent"));
        let output = command.arg("--mend").arg(&agent.directory).output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(mend(&agent), (true, String::new()));
    cut(&agent.nodes_conf(), 0);
    let (done, said) = mend(&agent);
    assert!(done && said.contains("it is empty"), "{said}");
    assert_eq!(fs::read(agent.nodes_conf()).unwrap(), whole);
    cut(&agent.nodes_conf(), 0);
    fs::remove_file(agent.directory.join("nodes.conf.copy")).unwrap();
    let (done, said) = mend(&agent);
    assert!(!done && said.contains("no good copy"), "{said}");
}

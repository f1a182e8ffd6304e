//! What tenants may and may not do on a formed cluster.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::forming::{agreed, formed};
use crate::harness::{World, wait_for};

/// Each with arguments that would be right, so that only the ACL can refuse.
const REFUSED: &[&[&str]] = &[
    &["acl", "list"],
    &["acl", "whoami"],
    &["config", "get", "*"],
    &["config", "set", "maxmemory", "1"],
    &["debug", "sleep", "0"],
    &["module", "list"],
    &["shutdown", "nosave"],
    &["replicaof", "no", "one"],
    &["slaveof", "no", "one"],
    &["failover"],
    &["sync"],
    &["psync", "?", "-1"],
    &["monitor"],
    &["save"],
    &["bgsave"],
    &["bgrewriteaof"],
    &["cluster", "meet", "127.0.0.1", "6379"],
    &["cluster", "forget", "07c37dfeb235213a872192d90877d0cd55635b91"],
    &["cluster", "reset", "hard"],
    &["cluster", "replicate", "07c37dfeb235213a872192d90877d0cd55635b91"],
    &["cluster", "failover", "takeover"],
    &["cluster", "addslots", "1"],
    &["cluster", "addslotsrange", "1", "2"],
    &["cluster", "delslots", "1"],
    &["cluster", "delslotsrange", "1", "2"],
    &["cluster", "flushslots"],
    &["cluster", "bumpepoch"],
    &["cluster", "set-config-epoch", "9"],
    &["cluster", "saveconfig"],
    &["client", "pause", "1"],
    &["script", "debug", "yes"],
    &["eval", "return redis.call('cluster', 'meet', '127.0.0.1', '6379')", "0"],
];

const ALLOWED: &[&[&str]] = &[
    &["ping"],
    &["info"],
    &["dbsize"],
    &["cluster", "nodes"],
    &["cluster", "slots"],
    &["cluster", "shards"],
    &["cluster", "info"],
    &["cluster", "myid"],
    &["cluster", "countkeysinslot", "0"],
    &["cluster", "getkeysinslot", "0", "1"],
    &["cluster", "keyslot", "x"],
    &["client", "list"],
    &["client", "unpause"],
    &["script", "flush"],
    &["command", "count"],
    &["slowlog", "get"],
    &["latency", "latest"],
    &["memory", "usage", "x"],
    &["publish", "channel", "hello"],
    &["readonly"],
    &["eval", "return 1", "0"],
    &["flushall"],
];

#[tokio::test(flavor = "multi_thread")]
async fn each_command_is_allowed_or_refused_as_decided() {
    let world = World::new();
    let (agents, mut clients) = formed(&world).await;
    for words in REFUSED {
        let answer = agents[0].cli(words);
        // DEBUG and MODULE are closed twice: the server's own switch answers before the ACL.
        let switched_off = ["debug", "module"].contains(&words[0]) && answer.contains("command not allowed");
        let refused = answer.contains("NOPERM") || answer.contains("executing the script can't run this command");
        assert!(refused || switched_off, "{words:?}: {answer}");
    }
    for words in ALLOWED {
        let answer = agents[0].cli(words);
        let refused = ["NOPERM", "ERR", "NOAUTH", "DENIED"].iter().any(|word| answer.starts_with(word));
        assert!(!refused, "{words:?}: {answer}");
    }
    let nobody = agents[0].cli(&["--user", "redtrove-agent", "-a", "guess", "ping"]);
    assert!(nobody.contains("WRONGPASS") || nobody.contains("NOAUTH"), "{nobody}");

    // What tenants are told to administer their slots with.
    for n in 0..200 {
        assert_eq!(agents[0].cli(&["-c", "set", &format!("key-{n}"), "x"]), "OK");
    }
    let address = format!("{}:6379", agents[0].ip);
    let check = agents[0].cli(&["--cluster", "check", &address]);
    assert!(check.contains("All 16384 slots covered"), "{check}");
    let info = agents[0].cli(&["--cluster", "info", &address]);
    assert!(info.contains("200 keys in 3 masters"), "{info}");
    let ids: Vec<String> = [clients[0].topology().await.node_id, clients[1].topology().await.node_id].into();
    let reshard = agents[0].cli(&[
        "--cluster",
        "reshard",
        &address,
        "--cluster-from",
        &ids[0],
        "--cluster-to",
        &ids[1],
        "--cluster-slots",
        "300",
        "--cluster-yes",
    ]);
    assert!(!reshard.contains("NOPERM") && !reshard.contains("ERR"), "{reshard}");
    agreed(&mut clients, 3).await;
    let balance = agents[0].cli(&["--cluster", "rebalance", &address, "--cluster-threshold", "1"]);
    assert!(!balance.contains("NOPERM") && !balance.contains("ERR"), "{balance}");
    agreed(&mut clients, 3).await;
    let info = agents[0].cli(&["--cluster", "info", &address]);
    assert!(info.contains("200 keys in 3 masters"), "{info}");
}

#[tokio::test]
async fn a_server_that_an_older_agent_opened_gets_the_rules_of_this_one() {
    let world = World::new();
    let mut agent = world.agent(1).await;
    world.control(&agent).await.form_alone(&agent).await;
    assert_eq!(agent.own_cli(&["acl", "setuser", "default", "+monitor"]), "OK");
    let check = ["eval", "return redis.acl_check_cmd('monitor') and 'yes' or 'no'", "0"];
    assert_eq!(agent.cli(&check), "yes");
    agent.end(rustix::process::Signal::KILL);
    agent.start_again().await;
    wait_for("the rule to go", || async { (agent.cli(&check) == "no").then_some(()) }).await;
}

/// DUMP's form of a hash whose second element claims to be two gigabytes long; the checksum is right.
const FORGED: [u8; 35] = [
    0x10, 0x17, 0x17, 0x00, 0x00, 0x00, 0x02, 0x00, 0x01, 0x01, 0xf0, 0xff, 0xff, 0xff, 0x7f, 0x78, 0x78, 0x78, 0x78,
    0x78, 0x78, 0x78, 0x78, 0x01, 0xff, 0x0a, 0x00, 0x01, 0xc3, 0x0b, 0x33, 0x0b, 0x4f, 0xad, 0xce,
];

#[tokio::test]
async fn a_forged_value_does_not_bring_the_server_down() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.form_alone(&agent).await;
    wait_for("a write", || async { (agent.cli(&["set", "k", "v"]) == "OK").then_some(()) }).await;
    let mut tenant = tokio::net::TcpStream::connect((agent.ip, 6379)).await.unwrap();
    let head = format!("*4\r\n$7\r\nRESTORE\r\n$1\r\nf\r\n$1\r\n0\r\n${}\r\n", FORGED.len());
    tenant.write_all(&[head.as_bytes(), &FORGED, b"\r\n"].concat()).await.unwrap();
    let mut answer = [0; 64];
    let length = tenant.read(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer[..length]), "-ERR Bad data format\r\n");
    let first = agent.redis();
    agent.cli(&["hgetall", "f"]);
    assert_eq!(agent.cli(&["get", "k"]), "v");
    assert_eq!(agent.redis(), first, "the same process");
}

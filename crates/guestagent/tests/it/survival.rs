//! redis-server outlives its agent, and comes back when it ends.

use std::time::{Duration, Instant};

use redtrove_guest_rpc::v1;
use rustix::process::{Pid, Signal, kill_process};
use tonic::Code;

use crate::harness::{World, at, prepare_request, refused, wait_for};

#[tokio::test]
async fn an_agent_that_ends_leaves_redis_alone_and_adopts_it_later() {
    let world = World::new();
    let mut agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.form_alone(&agent).await;
    wait_for("a write", || async { (agent.cli(&["set", "k", "v"]) == "OK").then_some(()) }).await;
    let first = agent.redis().unwrap();
    let command_line = std::fs::read_to_string(format!("/proc/{}/cmdline", first.pid)).unwrap();
    assert!(command_line.contains(agent.directory.to_str().unwrap()), "it says whose it is: {command_line:?}");

    for signal in [Signal::KILL, Signal::TERM] {
        let asked = Instant::now();
        let status = agent.end(signal);
        // This test's own connection is open and does not answer meanwhile, as a paused taskmanager's would.
        assert!(asked.elapsed() < Duration::from_secs(10), "it ended after {:?}", asked.elapsed());
        assert_eq!(status.success(), signal == Signal::TERM, "SIGTERM is an orderly end");
        assert!(first.is_alive() && agent.cli(&["get", "k"]) == "v", "clients notice nothing");
        agent.start_again().await;
        let mut client = world.control(&agent).await;
        let status = client.wait_state(v1::RedisState::Running).await;
        assert!(status.complete);
        assert_eq!(agent.redis(), Some(first.clone()), "the same process");
        client.prepare(&agent).await;
        assert_eq!(agent.redis(), Some(first.clone()), "repeated, Prepare does nothing");
        assert_eq!(agent.cli(&["get", "k"]), "v");
    }

    // Killed before it wrote down whom it had started: the socket tells.
    agent.end(Signal::KILL);
    std::fs::remove_file(agent.directory.join("redis.pid")).unwrap();
    agent.start_again().await;
    world.control(&agent).await.wait_state(v1::RedisState::Running).await;
    assert_eq!(agent.redis(), Some(first));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_ends_answers_the_call_it_is_at() {
    let world = World::new();
    // Prepare waits for a server that never answers.
    let server = world.place.path().join("redis-server");
    std::fs::write(&server, "#!/bin/sh\ncase $1 in *.conf) exec sleep 600;; esac\nexec /usr/bin/redis-server \"$@\"\n")
        .unwrap();
    std::fs::set_permissions(&server, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut agent = world.agent_that_runs(1, &world.place.path().join("node-1"), &server).await;
    let mut client = world.control(&agent).await;
    let request = at(1, prepare_request(&agent));
    let mut calls = tokio::task::JoinSet::new();
    calls.spawn(async move { client.0.prepare(request).await });
    wait_for("a server to be waited for", || async { agent.redis() }).await;
    let asked = Instant::now();
    assert!(agent.end(Signal::TERM).success());
    // Its tasks have ten seconds after the last answer.
    assert!(asked.elapsed() < Duration::from_secs(20), "it ended after {:?}", asked.elapsed());
    let answer = refused(calls.join_next().await.unwrap().unwrap());
    assert_eq!(answer, (Code::Aborted, "the guest agent is being stopped".to_owned()));
}

#[tokio::test]
async fn a_killed_redis_comes_back_as_it_was() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.prepare(&agent).await;
    let first = agent.kill_redis();
    wait_for("another process", || async { agent.redis().filter(|mark| *mark != first) }).await;
    client.wait_state(v1::RedisState::Running).await;
    assert!(agent.cli(&["get", "k"]).contains("NOAUTH"), "killed before complete, it comes back closed");

    let id = client.topology().await.node_id;
    client.form_alone(&agent).await;
    wait_for("a write", || async { (agent.cli(&["set", "k", "v"]) == "OK").then_some(()) }).await;
    let second = agent.kill_redis();
    wait_for("another process", || async { agent.redis().filter(|mark| *mark != second) }).await;
    client.wait_state(v1::RedisState::Running).await;
    assert_eq!(client.topology().await.node_id, id, "the same node");
    let value = wait_for("a read", || async { Some(agent.cli(&["get", "k"])).filter(|v| !v.contains("DOWN")) }).await;
    assert_eq!(value, "v", "killed after complete, it comes back open, with its keys");
}

#[tokio::test]
async fn redis_killed_while_the_agent_is_away_is_started_again() {
    let world = World::new();
    let mut agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.prepare(&agent).await;
    agent.end(Signal::KILL);
    let first = agent.kill_redis();
    agent.start_again().await;
    wait_for("another process", || async { agent.redis().filter(|mark| *mark != first) }).await;
    world.control(&agent).await.wait_state(v1::RedisState::Running).await;
}

#[tokio::test]
async fn one_that_hangs_is_down() {
    let world = World::new();
    let mut agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.prepare(&agent).await;
    let pid = Pid::from_raw(agent.redis().unwrap().pid).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let (code, message) = refused(client.0.get_topology(v1::GetTopologyRequest {}).await);
    assert_eq!(code, Code::Unavailable, "{message}");
    client.wait_state(v1::RedisState::Down).await;
    agent.end(Signal::KILL);
    agent.start_again().await;
    kill_process(pid, Signal::CONT).unwrap();
    world.control(&agent).await.wait_state(v1::RedisState::Running).await;
}

#[tokio::test]
async fn one_that_does_not_start_says_why() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    let mut request = prepare_request(&agent);
    request.settings = [("maxmemory-policy".to_owned(), "sometimes".to_owned())].into();
    let (code, message) = refused(client.0.prepare(at(1, request)).await);
    assert_eq!(code, Code::Unavailable);
    assert!(message.contains("maxmemory-policy") && message.contains("must be one of"), "{message}");
    let status = client.wait_state(v1::RedisState::Down).await;
    assert!(status.detail.contains("maxmemory-policy"), "{status:?}");
    let (code, _) = refused(client.0.prepare(at(1, prepare_request(&agent))).await);
    assert_eq!(code, Code::FailedPrecondition, "prepared already, with another request");
}

#[tokio::test]
async fn another_engine_than_asked_for_is_refused_and_stopped() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    let request = v1::PrepareRequest { engine: "valkey".into(), ..prepare_request(&agent) };
    let (code, message) = refused(client.0.prepare(at(1, request)).await);
    assert_eq!(code, Code::FailedPrecondition, "{message}");
    assert!(message.contains("redis 7") && message.contains("valkey 7.2.0 or newer"), "{message}");
    assert!(!agent.redis().unwrap().is_alive());
    assert_eq!(client.status().await.state(), v1::RedisState::Unprepared);
    client.prepare(&agent).await;
    client.wait_state(v1::RedisState::Running).await;
}

#[tokio::test]
async fn a_directory_has_one_agent() {
    let world = World::new();
    let agent = world.agent(1).await;
    let status = agent.command().output().unwrap();
    assert!(status.status.success(), "{status:?}");
    world.reader(&agent).await.status().await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_leaves_nothing_half_done() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.status().await;
    let mut request = at(1, prepare_request(&agent));
    request.set_timeout(Duration::from_millis(5));
    let (code, _) = refused(client.0.prepare(request).await);
    assert!(matches!(code, Code::Cancelled | Code::DeadlineExceeded), "{code:?}");
    client.wait_state(v1::RedisState::Running).await;
    client.prepare(&agent).await;
}

#[tokio::test]
async fn one_that_is_busy_with_a_script_gives_no_answer() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    let mut request = prepare_request(&agent);
    request.settings.insert("busy-reply-threshold".to_owned(), "50".to_owned());
    client.0.prepare(at(1, request)).await.unwrap();
    client.add_slots(0, 16_383, 1).await.unwrap();
    client.complete().await;
    wait_for("a write", || async { (agent.cli(&["set", "k", "v"]) == "OK").then_some(()) }).await;
    let mut script = std::process::Command::new("redis-cli")
        .args(["-h", &agent.ip.to_string(), "eval", "while true do end", "0"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the script to be noticed", || async { agent.cli(&["ping"]).contains("BUSY").then_some(()) }).await;
    // FAILED_PRECONDITION would say that the node is not prepared.
    let (code, message) = refused(client.0.get_topology(v1::GetTopologyRequest {}).await);
    assert_eq!((code, message.contains("BUSY")), (Code::Unavailable, true), "{message}");
    assert_eq!(agent.cli(&["script", "kill"]), "OK");
    script.wait().unwrap();
    client.wait_state(v1::RedisState::Running).await;
    client.topology().await;
}

#[tokio::test]
async fn a_log_that_a_tenant_fills_stays_bounded() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.form_alone(&agent).await;
    let (log, old) = (agent.directory.join("redis.log"), agent.directory.join("redis.log.1"));
    let script = "for n = 1, 12000 do redis.log(redis.LOG_WARNING, string.rep('x', 1000)) end return 'done'";
    assert_eq!(agent.cli(&["eval", script, "0"]), "done");
    let length = || std::fs::metadata(&log).unwrap().len();
    wait_for("a shorter log", || async { (old.exists() && length() < 10 << 20).then_some(()) }).await;
    let line = "redis.log(redis.LOG_WARNING, 'one more') return 'done'";
    assert_eq!(agent.cli(&["eval", line, "0"]), "done");
    assert!(std::fs::read_to_string(&log).unwrap().ends_with("one more\n"), "it goes on in the same file");
    let before = std::fs::read_to_string(&old).unwrap();
    assert!((500_000..=1 << 20).contains(&before.len()) && before.contains("xxx\n"), "its end is kept");
}

#[tokio::test]
async fn the_agents_password_is_in_no_log_and_on_no_command_line() {
    let world = World::new();
    let mut agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.form_alone(&agent).await;
    agent.kill_redis();
    client
        .0
        .cluster_meet(at(1, v1::ClusterMeetRequest { ip: "127.0.0.9".into(), port: 1, ..Default::default() }))
        .await
        .ok();
    agent.end(Signal::KILL);
    agent.start_again().await;
    world.control(&agent).await.wait_state(v1::RedisState::Running).await;
    let password = std::fs::read_to_string(agent.directory.join("agent.password")).unwrap();
    assert_eq!(password.len(), 64);
    let proc = format!("/proc/{}", agent.redis().unwrap().pid);
    for path in [agent.log.clone(), agent.directory.join("redis.log")]
        .into_iter()
        .chain(["cmdline", "environ"].map(|name| std::path::Path::new(&proc).join(name)))
    {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        assert!(!text.is_empty() && !text.contains(&password), "{}", path.display());
    }
}

#[tokio::test]
async fn a_tenant_who_kills_the_agents_connection_changes_nothing() {
    let world = World::new();
    let agent = world.agent(1).await;
    let mut client = world.control(&agent).await;
    client.form_alone(&agent).await;
    for _ in 0..5 {
        client.topology().await;
        wait_for("the kill", || async {
            (agent.cli(&["client", "kill", "user", "redtrove-agent"]) == "1").then_some(())
        })
        .await;
        assert_eq!(client.topology().await.nodes.len(), 1);
    }
}

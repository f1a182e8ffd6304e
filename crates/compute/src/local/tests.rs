//! The whole provider with a small stand-in for the guest agent: repeated, raced, and cut short everywhere.

mod world;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use redtrove_core::topology::Engine;
use redtrove_engine::ports::{Compute as _, ComputeError, Destroyed, InstanceSpec, Keep};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::world::{World, agent_of, cut_short, ip, kill, lives, pids_in, spec, wait_for};

#[tokio::test]
async fn an_instance_is_made_once_and_removed_whole() {
    let world = World::new(1);
    let local = world.open(true);
    let spec = spec(11);
    let home = world.home(spec.id);
    let address = ip(local.ensure(&spec).await.unwrap());
    let agent = agent_of(&home).await;
    let server = pids_in(&home.join("node/server"))[0];
    assert_eq!(ip(local.ensure(&spec).await.unwrap()), address);
    assert_eq!(ip(world.open(true).ensure(&spec).await.unwrap()), address, "found again by the next taskmanager");
    assert_eq!(pids_in(&home.join("node/starts")), [agent]);
    assert_eq!(local.list().await.unwrap(), [spec.id]);

    let machine: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(home.join("machine.json")).unwrap()).unwrap();
    assert_eq!((&machine["ip"], &machine["volume_gb"]), (&address.clone().into(), &2.into()));
    let config: toml::Table = fs::read_to_string(home.join("agent.toml")).unwrap().parse().unwrap();
    assert_eq!(config["guestagent"]["bind_ip"].as_str(), Some(address.as_str()));
    assert_eq!(config["tls"]["key"].as_str(), home.join("pki/key.pem").to_str());
    assert_eq!(fs::read_to_string(home.join("pki/cert.pem")).unwrap(), format!("cert {}", spec.id));
    assert_eq!(fs::metadata(home.join("pki/key.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
    // Its own session: neither a Ctrl-C in a terminal nor our end touches it. Field 6 of stat is the session.
    let stat = fs::read_to_string(format!("/proc/{agent}/stat")).unwrap();
    assert_eq!(stat.rsplit(") ").next().unwrap().split(' ').nth(3), Some(agent.to_string().as_str()));

    assert_eq!(local.destroy(spec.id, Keep::Nothing).await.unwrap(), Destroyed::Gone);
    assert!(!lives(agent) && !lives(server), "agent {agent} and server {server} are gone");
    assert_eq!(local.list().await.unwrap(), []);
    world.assert_empty();
    assert_eq!(local.destroy(spec.id, Keep::Nothing).await.unwrap(), Destroyed::Gone, "removed again, nothing happens");
}

#[tokio::test]
async fn nothing_of_the_taskmanagers_environment_reaches_an_agent_but_what_is_named() {
    let world = World::new(2);
    let local = world.open(true);
    let spec = spec(21);
    local.ensure(&spec).await.unwrap();
    let read = || fs::read_to_string(world.home(spec.id).join("node/environment")).ok().filter(|text| !text.is_empty());
    let environment = wait_for("the agent's environment", read).await;
    let allowed = [
        "PATH",
        "TZ",
        "LANG",
        "TMPDIR",
        "RUST_BACKTRACE",
        "REDTROVE_STACK_DIR",
        "REDTROVE_INSTANCE_DIR",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
    ];
    for name in environment.lines().filter_map(|line| Some(line.split_once('=')?.0)) {
        assert!(allowed.contains(&name), "{name}");
    }
    local.destroy(spec.id, Keep::Nothing).await.unwrap();
}

#[tokio::test]
async fn what_can_never_be_made_is_refused_for_good_and_leaves_nothing() {
    let world = World::new(3);
    let local = world.open(true);
    let no_flavor = InstanceSpec { flavor_id: "7".to_owned(), ..spec(31) };
    let no_engine = InstanceSpec { engine: Engine::Valkey, ..spec(32) };
    for (spec, word) in [(no_flavor, "Flavor 7"), (no_engine, "valkey")] {
        match local.ensure(&spec).await {
            Err(ComputeError::Permanent(fault)) => assert!(fault.message.contains(word), "{fault}"),
            other => panic!("{other:?}"),
        }
    }
    world.assert_empty();
    assert_eq!(local.flavors().await.unwrap()[0].name, "small");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_taskmanagers_making_the_same_instances_at_once_make_each_once() {
    const COUNT: u128 = 20;
    let world = World::new(4);
    let (one, two) = (world.open(true), world.open(true));
    for round in 0..3u128 {
        let mut tasks = JoinSet::new();
        for n in 0..COUNT {
            for local in [one.clone(), two.clone()] {
                tasks.spawn(async move { ip(local.ensure(&spec(1000 * (round + 1) + n)).await.unwrap()) });
            }
        }
        let given = tasks.join_all().await;
        let distinct: BTreeSet<&String> = given.iter().collect();
        assert_eq!((given.len(), distinct.len()), (2 * COUNT as usize, COUNT as usize), "round {round}");
        for n in 0..COUNT {
            let home = world.home(spec(1000 * (round + 1) + n).id);
            agent_of(&home).await;
            assert_eq!(pids_in(&home.join("node/starts")).len(), 1);
        }
        let mut tasks = JoinSet::new();
        for n in 0..COUNT {
            for local in [one.clone(), two.clone()] {
                tasks
                    .spawn(async move { local.destroy(spec(1000 * (round + 1) + n).id, Keep::Nothing).await.unwrap() });
            }
        }
        assert!(tasks.join_all().await.into_iter().all(|done| done == Destroyed::Gone));
        world.assert_empty();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_against_a_making_leaves_nothing_that_a_second_one_does_not_remove() {
    let world = World::new(5);
    let (maker, remover) = (world.open(true), world.open(true));
    for n in 0..15u128 {
        let spec = spec(500 + n);
        let id = spec.id;
        let mut tasks = JoinSet::new();
        let making = maker.clone();
        tasks.spawn(async move {
            // May lose: then the error says so.
            let _ = making.ensure(&spec).await;
        });
        let removing = remover.clone();
        tasks.spawn(async move {
            removing.destroy(id, Keep::Nothing).await.unwrap();
        });
        tasks.join_all().await;
        let left = remover.list().await.unwrap();
        assert!(left.is_empty() || left == [id], "{left:?}");
        assert_eq!(remover.destroy(id, Keep::Nothing).await.unwrap(), Destroyed::Gone);
        assert_eq!(remover.list().await.unwrap(), []);
    }
    world.assert_empty();
}

#[tokio::test]
async fn a_making_that_was_cut_short_is_finished_or_removed() {
    let world = World::new(6);
    let local = world.open(true);
    for (n, point) in ["locked", "claimed", "directory begun"].into_iter().enumerate() {
        let spec = spec(600 + n as u128);
        cut_short(&world, spec.id, point);
        assert_eq!(local.list().await.unwrap(), [spec.id], "{point}");
        let address = ip(local.ensure(&spec).await.unwrap());
        assert_eq!(address == "127.248.6.77", point != "locked", "{point}: a claim is kept");
        agent_of(&world.home(spec.id)).await;
        local.destroy(spec.id, Keep::Nothing).await.unwrap();
        world.assert_empty();

        cut_short(&world, spec.id, point);
        assert_eq!(local.destroy(spec.id, Keep::Nothing).await.unwrap(), Destroyed::Gone);
        world.assert_empty();
    }
}

#[tokio::test]
async fn an_agent_that_nobody_noted_is_found_and_one_that_was_not_started_is_started() {
    let world = World::new(7);
    let local = world.open(false);
    let spec = spec(71);
    let home = world.home(spec.id);
    local.ensure(&spec).await.unwrap();
    let agent = agent_of(&home).await;
    // Killed between the start of the agent and the note.
    fs::remove_file(home.join("agent.json")).unwrap();
    local.ensure(&spec).await.unwrap();
    assert_eq!(pids_in(&home.join("node/starts")), [agent]);
    assert!(home.join("agent.json").exists());
    // Killed before the start of the agent.
    kill(agent);
    wait_for("the agent's end", || (!lives(agent)).then_some(())).await;
    fs::remove_file(home.join("agent.json")).unwrap();
    local.ensure(&spec).await.unwrap();
    wait_for("a second start", || (pids_in(&home.join("node/starts")).len() == 2).then_some(())).await;
    local.destroy(spec.id, Keep::Nothing).await.unwrap();
    world.assert_empty();
}

#[tokio::test]
async fn a_removal_that_was_cut_short_is_finished_and_blocks_a_late_making() {
    let world = World::new(8);
    let local = world.open(true);
    let spec = spec(81);
    let home = world.home(spec.id);
    local.ensure(&spec).await.unwrap();
    let agent = agent_of(&home).await;
    let server = pids_in(&home.join("node/server"))[0];
    // Killed after the directory was retired: all its processes live, and an older leftover is there as well.
    fs::create_dir_all(world.root().join(format!(".gone/{}.0/pki", spec.id))).unwrap();
    fs::rename(&home, world.root().join(format!(".gone/{}.1", spec.id))).unwrap();
    assert_eq!(local.list().await.unwrap(), [spec.id]);
    match local.ensure(&spec).await {
        Err(ComputeError::Transient(reason)) => assert!(reason.contains("being removed"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(lives(agent) && lives(server));
    assert_eq!(local.destroy(spec.id, Keep::Nothing).await.unwrap(), Destroyed::Gone);
    assert!(!lives(agent) && !lives(server));
    world.assert_empty();
}

#[tokio::test]
async fn an_address_that_is_kept_is_nobodys_until_it_is_let_go() {
    let world = World::new(10);
    let local = world.open(true);
    let leaver = spec(101);
    let kept = ip(local.ensure(&leaver).await.unwrap());
    for _ in 0..2 {
        assert_eq!(local.destroy(leaver.id, Keep::Address).await.unwrap(), Destroyed::Gone);
        assert_eq!(local.list().await.unwrap(), [leaver.id], "it is listed for its address");
        assert!(!world.home(leaver.id).exists());
    }
    let claimed = world.root().join(".address").join(&kept);
    assert_eq!(fs::read_link(&claimed).unwrap().to_str(), Some(&*leaver.id.to_string()));
    assert_eq!(local.destroy(leaver.id, Keep::Nothing).await.unwrap(), Destroyed::Gone);
    assert!(!claimed.exists());
    world.assert_empty();
}

#[tokio::test]
async fn a_taskmanager_that_sleeps_on_the_lock_does_not_stop_a_removal() {
    let world = World::new(9);
    let local = world.open(true);
    let spec = spec(91);
    local.ensure(&spec).await.unwrap();
    let lock = fs::File::open(world.root().join(format!(".lock/{}", spec.id))).unwrap();
    lock.lock().unwrap();
    assert!(matches!(local.ensure(&spec).await, Err(ComputeError::Transient(_))));
    assert_eq!(local.destroy(spec.id, Keep::Nothing).await.unwrap(), Destroyed::Gone);
    world.assert_empty();
}

#[tokio::test]
async fn an_agent_that_ends_is_started_again_if_that_is_wanted() {
    let world = World::new(10);
    let (watchful, idle) = (world.open(true), world.open(false));
    let spec = spec(101);
    let home = world.home(spec.id);
    watchful.ensure(&spec).await.unwrap();
    let first = agent_of(&home).await;
    let server = pids_in(&home.join("node/server"))[0];
    kill(first);
    wait_for("the agent's end", || (!lives(first)).then_some(())).await;

    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let (supervised, stopping) = (idle.clone(), stop.clone());
    tasks.spawn(async move { supervised.run_supervisor(stopping).await });
    idle.ensure(&spec).await.unwrap();
    assert_eq!(pids_in(&home.join("node/starts")), [first], "left dead without supervision");

    let (supervised, stopping) = (watchful.clone(), stop.clone());
    tasks.spawn(async move { supervised.run_supervisor(stopping).await });
    let mut last = first;
    for restarts in 1..=2 {
        let starts = || Some(pids_in(&home.join("node/starts"))).filter(|starts| starts.len() > restarts);
        last = *wait_for("the agent to be started again", starts).await.last().unwrap();
        assert!(lives(server), "the server outlives its agent");
        kill(last);
    }
    let entry = || (!Path::new(&format!("/proc/{last}")).exists()).then_some(());
    wait_for("the agent to be reaped", entry).await;
    stop.cancel();
    tasks.join_all().await;
    watchful.destroy(spec.id, Keep::Nothing).await.unwrap();
    world.assert_empty();
}

#[tokio::test]
async fn addresses_that_are_held_stay_so_when_a_taskmanager_starts() {
    let world = World::new(12);
    let local = world.open(true);
    let (stays, removed, begun) = (spec(121), spec(122), spec(123));
    local.ensure(&stays).await.unwrap();
    let address = ip(local.ensure(&removed).await.unwrap());
    assert_eq!(local.destroy(removed.id, Keep::Address).await.unwrap(), Destroyed::Gone);
    cut_short(&world, begun.id, "claimed");
    let home = world.home(stays.id);
    kill(agent_of(&home).await);

    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let (supervised, stopping) = (world.open(true), stop.clone());
    tasks.spawn(async move { supervised.run_supervisor(stopping).await });
    let looked = || (pids_in(&home.join("node/starts")).len() > 1).then_some(());
    wait_for("the other instance to be looked after", looked).await;
    stop.cancel();
    tasks.join_all().await;
    let held = |address: &str| fs::read_link(world.root().join(".address").join(address)).ok();
    assert_eq!(held(&address), Some(removed.id.to_string().into()), "whoever looks for its node there finds nobody");
    assert_eq!(held("127.248.12.77"), Some(begun.id.to_string().into()), "whoever goes on with it keeps its address");
    assert_eq!(local.list().await.unwrap(), [stays.id, removed.id, begun.id], "nothing is lost sight of");
    for spec in [stays, removed, begun] {
        local.destroy(spec.id, Keep::Nothing).await.unwrap();
    }
    world.assert_empty();
}

#[tokio::test]
async fn somebody_who_looks_at_an_instance_is_not_one_of_its_processes() {
    let world = World::new(13);
    let local = world.open(true);
    let spec = spec(131);
    let home = world.home(spec.id);
    local.ensure(&spec).await.unwrap();
    agent_of(&home).await;
    let mut reader = std::process::Command::new("tail")
        .args(["-f", "/dev/null"])
        .arg(home.join("agent.log"))
        .current_dir(&home)
        .spawn()
        .unwrap();
    local.destroy(spec.id, Keep::Nothing).await.unwrap();
    let still_there = reader.try_wait().unwrap().is_none();
    reader.kill().unwrap();
    reader.wait().unwrap();
    assert!(still_there);
    world.assert_empty();
}

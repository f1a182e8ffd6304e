//! What the taskmanager builds on, together: the authority, the local provider, the client, and
//! real guest agents with real redis-servers.

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::future::Future;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use redtrove_compute::{Local, LocalConfig};
    use redtrove_core::instance::RedisState;
    use redtrove_core::topology::Engine;
    use redtrove_core::{ClusterId, InstanceId, RequestId};
    use redtrove_engine::ports::{
        Clock, Compute as _, Destroyed, Guest, GuestError, Guests as _, InstanceSpec, Keep, Machine, Order,
        PrepareSpec, Seen,
    };
    use redtrove_guest_rpc::client::{Client, Options, Tls};
    use redtrove_guest_rpc::role::Role;
    use redtrove_service::SystemClock;
    use redtrove_taskmanager::pki::{self, Authority, GuestIssuer};
    use serde_json::json;
    use tempfile::TempDir;
    use tokio::task::JoinSet;
    use tokio_util::sync::CancellationToken;
    use uuid::Uuid;

    /// The agent that was built with this test.
    fn guestagent() -> PathBuf {
        let test = std::env::current_exe().unwrap();
        let path = test.ancestors().nth(2).unwrap().join("redtrove-guestagent");
        assert!(path.is_file(), "no {}: cargo build -p redtrove-guestagent", path.display());
        path
    }

    fn open(dir: &Path) -> (Local, Client) {
        let config: LocalConfig = serde_json::from_value(json!({
            "directory": dir.join("instances"),
            "address_block": "127.246.0.0/24",
            "guestagent": guestagent(),
            "engines": {"redis": "/usr/bin/redis-server"},
            "flavors": [{"id": "1", "name": "small", "ram": 128, "vcpus": 1}],
        }))
        .unwrap();
        let pki = dir.join("pki");
        if !pki.exists() {
            pki::init(&pki, SystemClock.now()).unwrap();
        }
        let local =
            Local::open(config, 8780, Arc::new(GuestIssuer::open(&pki, Arc::new(SystemClock)).unwrap())).unwrap();
        let authority = Authority::load(&pki, SystemClock.now()).unwrap();
        let issued = authority.issue_role(Role::Control, SystemClock.now()).unwrap();
        let ca_pem = authority.ca_pem().to_owned();
        let tls = Tls { ca_pem, cert_pem: issued.cert_pem, key_pem: issued.key_pem };
        (local, Client::new(&tls, Options::default()).unwrap())
    }

    /// Waits for a condition with a reason and a deadline.
    async fn wait_for<T, F: Future<Output = Option<T>>>(reason: &str, mut look: impl FnMut() -> F) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(Instant::now() < deadline, "waited too long for {reason}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn instance(n: u128) -> InstanceSpec {
        InstanceSpec {
            id: InstanceId(Uuid::from_u128(n)),
            cluster: ClusterId(Uuid::from_u128(1)),
            name: format!("mine-member-{n}"),
            flavor_id: "1".to_owned(),
            volume_gb: 1,
            engine: Engine::Redis,
        }
    }

    async fn make(local: &Local, n: u128) -> Guest {
        match local.ensure(&instance(n)).await.unwrap() {
            Machine::Ready { ip } => Guest { instance: instance(n).id, ip },
            Machine::Building => panic!("the local provider never builds for long"),
        }
    }

    async fn prepare(client: &Client, guest: &Guest) {
        let order = Order { generation: 1, request: RequestId::new(Uuid::from_u128(2)) };
        let cluster = ClusterId(Uuid::from_u128(1));
        let (ram_mb, volume_gb) = (128, 1);
        let spec = PrepareSpec { engine: Engine::Redis, cluster, ram_mb, volume_gb, settings: BTreeMap::new() };
        let prepare = || async {
            match client.prepare(guest, &order, &spec).await {
                Ok(()) => Some(()),
                // Its agent is still being started.
                Err(GuestError::Silent(_)) => None,
                Err(error) => panic!("{error}"),
            }
        };
        wait_for("the guest to be prepared", prepare).await;
    }

    /// The process that a file of the instance names.
    fn process(dir: &Path, guest: &Guest, file: &str) -> i32 {
        let path = dir.join("instances").join(guest.instance.to_string()).join(file);
        let noted: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        noted["pid"].as_i64().unwrap().try_into().unwrap()
    }

    fn lives(pid: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn guests_are_born_called_killed_found_again_and_removed() {
        let place = TempDir::new().unwrap();
        let (local, client) = open(place.path());
        let guests = [make(&local, 1).await, make(&local, 2).await];
        for guest in &guests {
            prepare(&client, guest).await;
            let status = client.status(guest).await.unwrap();
            assert!(matches!(status.redis, RedisState::Running), "{status:?}");
            assert!(matches!(client.topology(guest).await.unwrap(), Seen::View(_)));
        }
        let impostor = Guest { instance: guests[1].instance, ip: guests[0].ip.clone() };
        let error = client.status(&impostor).await.unwrap_err();
        assert!(matches!(error, GuestError::Silent(_)), "one guest at another's address: {error}");

        // The taskmanager and an agent are killed; the next taskmanager starts the agent, redis-server stays.
        let agents = guests.each_ref().map(|guest| process(place.path(), guest, "agent.json"));
        let servers = guests.each_ref().map(|guest| process(place.path(), guest, "node/redis.pid"));
        drop(local);
        kill(agents[0]);
        let (local, _) = open(place.path());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (supervised, stopping) = (local.clone(), stop.clone());
        tasks.spawn(async move { supervised.run_supervisor(stopping).await });
        wait_for("the agent to answer again", || async { client.status(&guests[0]).await.ok() }).await;
        assert_ne!(process(place.path(), &guests[0], "agent.json"), agents[0]);
        assert_eq!(process(place.path(), &guests[1], "agent.json"), agents[1]);
        assert!(servers.into_iter().all(lives));

        let begun = Instant::now();
        for guest in &guests {
            assert_eq!(local.destroy(guest.instance, Keep::Nothing).await.unwrap(), Destroyed::Gone);
        }
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        assert!(!servers.into_iter().chain([agents[1]]).any(lives), "no process is left");
        assert_eq!(local.list().await.unwrap(), []);
        stop.cancel();
        tasks.join_all().await;
    }

    fn kill(pid: i32) {
        let done = std::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
        assert!(done.success());
    }
}

//! Who may call a guest of a running stack, with the certificates that lie there: a reader reads, the control plane
//! changes with a generation that is not old, a guest's own certificate opens nothing.

use std::fs;
use std::path::Path;

use redtrove_core::RequestId;
use redtrove_core::instance::RedisState;
use redtrove_engine::Clock as _;
use redtrove_engine::ports::{Guest, GuestError, Guests as _, Order, Seen};
use redtrove_guest_rpc::client::{Client, Options, Tls};
use redtrove_taskmanager::SystemClock;

use crate::support::until;
use crate::support::world::World;

#[test]
fn a_guest_answers_to_roles_and_refuses_everybody_else() {
    let mut world = World::embedded(|_| ());
    let cluster = world.create("called", 2);
    cluster.wait_active();
    let nodes = cluster.node_ids();
    let found = world.guests();
    let guests: Vec<Guest> =
        found.iter().map(|guest| Guest { instance: guest.id.parse().unwrap(), ip: guest.ip.clone() }).collect();
    let grpc = world.stack().description().grpc.clone();
    let pki = world.layout().pki();
    let own = found[0].dir.join("pki");
    let order = |generation| Order { generation, request: RequestId::new(SystemClock.random_id()) };

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let reader = client(&grpc.ca, &grpc.cert, &grpc.key);
        for guest in &guests {
            let status = reader.status(guest).await.unwrap();
            assert_eq!(status.redis, RedisState::Running);
            assert!(nodes.contains(&status.node.unwrap().to_string()), "{status:?}");
            assert!(matches!(reader.topology(guest).await.unwrap(), Seen::View(_)));
        }
        let refused = reader.complete(&guests[0], &order(1_000)).await.unwrap_err();
        assert!(matches!(refused, GuestError::Refused(_)), "a reader that changes something: {refused}");

        let control = client(&grpc.ca, &pki.join("control.pem"), &pki.join("control.key"));
        control.complete(&guests[0], &order(1_000)).await.unwrap();
        let refused = control.complete(&guests[0], &order(999)).await.unwrap_err();
        assert_eq!(refused, GuestError::OldGeneration { seen: 1_000 });

        let stolen = client(&grpc.ca, &own.join("cert.pem"), &own.join("key.pem"));
        for guest in &guests {
            assert!(stolen.status(guest).await.is_err(), "a guest's certificate opens {}", guest.ip);
        }
        let moved = Guest { ip: guests[1].ip.clone(), ..guests[0].clone() };
        assert!(control.status(&moved).await.is_err(), "one guest passes for another");
    });
    until("all to be ACTIVE, as none of it did any harm", || cluster.is_active());
    world.end(&[
        ("was refused", "a reader tries to change something"),
        ("failed:", "the control plane comes with an old generation"),
    ]);
}

fn client(ca: &Path, cert: &Path, key: &Path) -> Client {
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let tls = Tls { ca_pem: read(ca), cert_pem: read(cert), key_pem: read(key).into() };
    Client::new(&tls, Options::default()).unwrap()
}

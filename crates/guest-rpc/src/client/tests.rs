//! Real connections with real certificates, to a guest that is told what to answer.

pub(crate) mod world;

use std::time::Duration;

use redtrove_core::instance::RedisState;
use redtrove_core::topology::Engine;
use redtrove_core::{ClusterId, RequestId};
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::ServerTlsConfig;
use uuid::Uuid;

use self::world::{Authority, FakeGuest, NODE, Says, Serving};
use super::*;
use crate::metadata::refuse_generation;

/// Much less than any deadline of these tests, much more than a call takes.
const AT_ONCE: Duration = Duration::from_secs(4);

fn guest() -> Guest {
    Guest { instance: InstanceId(Uuid::from_u128(7)), ip: "127.0.0.1".to_owned() }
}

fn order() -> Order {
    Order { generation: 5, request: RequestId::new(Uuid::from_u128(9)) }
}

fn client(tls: &Tls, port: u16) -> Client {
    let options = Options {
        port,
        connect_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(5),
        status_timeout: Duration::from_secs(5),
        change_timeout: Duration::from_secs(8),
    };
    Client::new(tls, options).unwrap()
}

/// A guest of the authority that is called as its certificate says.
async fn serve(authority: &Authority, fake: &FakeGuest) -> Serving {
    fake.serve(authority.guest(guest().instance, false), 0).await
}

async fn started() -> (Authority, FakeGuest, Serving, Client) {
    let (authority, fake) = (Authority::new(), FakeGuest::new());
    let serving = serve(&authority, &fake).await;
    let client = client(&authority.control(), serving.port);
    (authority, fake, serving, client)
}

#[tokio::test]
async fn what_a_guest_says_arrives_in_our_own_words() {
    let (_authority, fake, _serving, client) = started().await;
    let status = client.status(&guest()).await.unwrap();
    let other = NODE.replace('0', "1").parse().unwrap();
    let expected = GuestStatus {
        redis: RedisState::Running,
        volume_used_bytes: 4096,
        node: Some(NODE.parse().unwrap()),
        slots: SlotRange::new(0, 100).unwrap().into(),
        state_ok: false,
        failed: vec![other],
    };
    assert_eq!(status, expected);
    let Seen::View(view) = client.topology(&guest()).await.unwrap() else { panic!("a prepared node has a view") };
    assert_eq!((view.myself.as_str(), view.keys, view.nodes.len()), (NODE, 3, 1));
    assert_eq!((view.closed_for, view.left), (Some(Duration::from_millis(1500)), None));

    fake.say(Says::Nonsense);
    for error in [client.status(&guest()).await.unwrap_err(), client.topology(&guest()).await.unwrap_err()] {
        assert!(matches!(&error, GuestError::Refused(text) if text.contains("not valid")), "{error}");
    }
}

#[tokio::test]
async fn a_change_carries_generation_request_and_deadline_and_a_look_does_not_need_them() {
    let (_authority, fake, _serving, client) = started().await;
    let spec = PrepareSpec {
        engine: Engine::Valkey,
        cluster: ClusterId(Uuid::from_u128(3)),
        ram_mb: 512,
        volume_gb: 2,
        settings: [("appendfsync".to_owned(), "always".to_owned())].into(),
    };
    client.prepare(&guest(), &order(), &spec).await.unwrap();
    let (node, slots) = (NODE.parse().unwrap(), SlotRange::new(100, 200).unwrap());
    client.add_slots(&guest(), &order(), node, slots, 4, Duration::from_millis(500)).await.unwrap();
    let joining = Joining { node, forming_node_timeout: Duration::from_millis(700) };
    client.meet(&guest(), &order(), "127.0.0.2", 6379, None).await.unwrap();
    client.meet(&guest(), &order(), "127.0.0.3", 6379, Some(joining)).await.unwrap();
    client.close(&guest(), &order(), node).await.unwrap();
    client.reopen(&guest(), &order(), node).await.unwrap();
    client.leave(&guest(), &order(), node).await.unwrap();
    client.remove_nodes(&guest(), &order(), &[node, NODE.replace('0', "1").parse().unwrap()]).await.unwrap();
    client.complete(&guest(), &order()).await.unwrap();
    client.status(&guest()).await.unwrap();
    let heard = fake.heard();
    let (look, changes) = heard.split_last().unwrap();
    for call in changes {
        assert_eq!(metadata::generation(&call.metadata).unwrap().number(), 5);
        assert_eq!(metadata::request_id(&call.metadata).unwrap(), Some(order().request));
        assert!(call.metadata.contains_key("grpc-timeout"));
    }
    assert!(look.metadata.contains_key("grpc-timeout") && !look.metadata.contains_key(metadata::GENERATION));
    let said: [&[&str]; 9] = [
        &["PrepareRequest", "valkey", "00000000-0000-0000-0000-000000000007", "ram_mb: 512", "always"],
        &["first_slot: 100", "last_slot: 200", "config_epoch: Some(4)", "Some(500)", NODE],
        &["127.0.0.2", "6379", "forming_node_timeout_ms: None", "expected_node_id: None"],
        &["127.0.0.3", "forming_node_timeout_ms: Some(700)", NODE],
        &["CloseToTenantsRequest", NODE],
        &["ReopenToTenantsRequest", NODE],
        &["LeaveClusterRequest", NODE],
        &["RemoveNodesRequest", NODE, "17c37dfeb235213a872192d91877d1cd55635b91"],
        &["ClusterCompleteRequest"],
    ];
    assert_eq!(changes.len(), said.len());
    for (call, words) in changes.iter().zip(said) {
        assert!(words.iter().all(|word| call.message.contains(word)), "{}", call.message);
    }
    let nobodys = Order { generation: 0, ..order() };
    assert!(matches!(client.complete(&guest(), &nobodys).await, Err(GuestError::Refused(_))));
    assert_eq!(fake.heard().len(), heard.len(), "without a generation nothing is sent");
}

#[tokio::test]
async fn each_answer_of_a_guest_is_one_kind_of_error() {
    let (_authority, fake, _serving, client) = started().await;
    let generation = |number| Generation::new(number).unwrap();
    let is = |what: fn(String) -> GuestError| move |text: &str| what(text.to_owned());
    let (refused, down) = (is(GuestError::Refused), is(GuestError::RedisDown));
    for (status, expected) in [
        (refuse_generation(generation(5), generation(6)), GuestError::OldGeneration { seen: 6 }),
        (Status::failed_precondition("wrong state"), refused("wrong state")),
        (Status::invalid_argument("bad"), refused("bad")),
        (Status::permission_denied("no role"), refused("no role")),
        (Status::unimplemented("old agent"), refused("old agent")),
        (Status::unavailable("LOADING"), down("LOADING")),
    ] {
        fake.say(Says::Fails(status));
        assert_eq!(client.complete(&guest(), &order()).await, Err(expected));
    }
    for status in [Status::internal("disk full"), Status::deadline_exceeded("late"), Status::unknown("what")] {
        let words = status.message().to_owned();
        fake.say(Says::Fails(status));
        let error = client.complete(&guest(), &order()).await.unwrap_err();
        assert!(matches!(&error, GuestError::Silent(text) if text.contains(&words)), "{error}");
    }
    fake.say(Says::Fails(Status::failed_precondition("not prepared")));
    assert_eq!(client.topology(&guest()).await, Ok(Seen::Unprepared));
    fake.say(Says::Fails(Status::unavailable("down")));
    assert_eq!(client.topology(&guest()).await, Err(down("down")));
    assert_eq!(fake.heard().len(), 11, "an answer is an answer: nothing was asked twice");
}

/// How a call ends with a guest that has this side of TLS.
async fn silent_with(tls: ServerTlsConfig, control: &Tls) -> String {
    let serving = FakeGuest::new().serve(tls, 0).await;
    match client(control, serving.port).status(&guest()).await {
        Err(GuestError::Silent(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_guest_that_cannot_prove_who_it_is_is_not_talked_to() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    let (id, control) = (guest().instance, authority.control());
    let other = InstanceId(Uuid::from_u128(8));
    let reason = silent_with(authority.guest(other, false), &control).await;
    assert!(reason.contains(&id.to_string()), "the wrong name: {reason}");
    let reason = silent_with(authority.guest(id, true), &control).await;
    assert!(reason.contains("expired"), "{reason}");
    let reason = silent_with(foreign.guest(id, false), &control).await;
    assert!(reason.contains("certificate"), "a foreign authority: {reason}");
    // The other way round: the guest does not know our authority.
    let tls = Tls { ca_pem: foreign.control().ca_pem, ..authority.control() };
    let reason = silent_with(foreign.guest(id, false), &tls).await;
    assert!(!reason.is_empty());
}

#[tokio::test]
async fn credentials_that_cannot_be_used_are_refused_at_once() {
    let authority = Authority::new();
    for tls in [
        Tls { cert_pem: "nothing".to_owned(), ..authority.control() },
        Tls { key_pem: "nothing".into(), ..authority.control() },
        Tls { key_pem: authority.control().key_pem, ..authority.control() },
    ] {
        assert!(Client::new(&tls, Options::default()).is_err());
    }
    let shown = format!("{:?}", authority.control());
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
}

#[tokio::test]
async fn a_guest_that_takes_too_long_is_silent_and_the_next_call_works() {
    let (authority, fake, serving, _) = started().await;
    let options = Options { port: serving.port, read_timeout: Duration::from_secs(1), ..Options::default() };
    let client = Client::new(&authority.control(), options).unwrap();
    client.status(&guest()).await.unwrap();
    fake.say(Says::Sleeps(Duration::from_secs(60)));
    let begun = Instant::now();
    let error = client.status(&guest()).await.unwrap_err();
    assert!(matches!(error, GuestError::Silent(_)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    fake.say(Says::Fine);
    client.status(&guest()).await.unwrap();
}

#[tokio::test]
async fn a_guest_that_was_restarted_answers_the_next_call() {
    let (authority, fake, mut serving, client) = started().await;
    for _ in 0..3 {
        client.status(&guest()).await.unwrap();
        let port = serving.port;
        serving.stop().await;
        let error = client.status(&guest()).await.unwrap_err();
        assert!(matches!(&error, GuestError::Silent(text) if text.contains("refused")), "{error}");
        serving = fake.serve(authority.guest(guest().instance, false), port).await;
        let begun = Instant::now();
        client.complete(&guest(), &order()).await.unwrap();
        assert!(begun.elapsed() < AT_ONCE);
    }
    // Restarted between two calls: nothing is noticed at all.
    for _ in 0..3 {
        let port = serving.port;
        serving.stop().await;
        serving = fake.serve(authority.guest(guest().instance, false), port).await;
        client.complete(&guest(), &order()).await.unwrap();
    }
}

#[tokio::test]
async fn an_agent_that_is_stopped_is_silent_after_the_time_for_a_connection() {
    let authority = Authority::new();
    // The kernel takes the connection, nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(&authority.control(), listener.local_addr().unwrap().port());
    let begun = Instant::now();
    let error = client.status(&guest()).await.unwrap_err();
    assert!(matches!(error, GuestError::Silent(_)), "{error}");
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_address_that_is_none_is_an_error_of_the_call() {
    let (_authority, _fake, _serving, client) = started().await;
    let nowhere = Guest { ip: "no address".to_owned(), ..guest() };
    let error = client.status(&nowhere).await.unwrap_err();
    assert!(error.to_string().contains("not an IP address"), "{error}");
    client.forget(guest().instance);
    client.status(&guest()).await.unwrap();
}

/// Carries connections to `port` until `frozen`; those it has then stay open and carry nothing any more.
async fn relay(listener: TcpListener, port: u16, frozen: watch::Receiver<u32>) {
    let mut carried = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut frozen = frozen.clone();
        frozen.mark_unchanged();
        carried.spawn(async move {
            let mut far = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                _ = frozen.changed() => std::future::pending::<()>().await,
            }
        });
    }
}

#[tokio::test]
async fn a_connection_that_went_dead_without_a_word_is_not_kept() {
    let (authority, _fake, serving, _) = started().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (freeze, frozen) = watch::channel(0);
    let mut tasks = JoinSet::new();
    tasks.spawn(relay(listener, serving.port, frozen));
    let client =
        Client::new(&authority.control(), Options { port, read_timeout: Duration::from_secs(1), ..Options::default() });
    let client = client.unwrap();
    for round in 0..4 {
        client.status(&guest()).await.unwrap();
        freeze.send_modify(|times| *times += 1);
        let error = client.status(&guest()).await.unwrap_err();
        assert!(matches!(error, GuestError::Silent(_)), "{error}");
        client.status(&guest()).await.unwrap_or_else(|error| panic!("round {round}: the next call: {error}"));
    }
}

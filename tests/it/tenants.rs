//! Another project's token opens nothing, and no token is written down or shown.

use std::fs;
use std::path::{Path, PathBuf};

use redtrove_testkit::http::Client;
use redtrove_testkit::process::table::of_stack;
use serde_json::json;

use crate::support::until;
use crate::support::world::World;

#[test]
fn another_projects_token_neither_sees_nor_deletes_a_cluster() {
    let mut world = World::embedded(|_| ());
    let cluster = world.create("mine", 1);
    cluster.wait_active();
    // The monitor's first word on a new cluster changes what is shown of it.
    until("the monitor to have looked", || cluster.look().is_some_and(|shown| shown["slots_served"] == 16_384));
    let before = cluster.look().unwrap();
    let instance = format!("{}/instances/{}", cluster.path(), before["instances"][0]["id"].as_str().unwrap());
    let tokens = world.stack().tokens().clone();
    let description = world.stack().description().clone();
    let client = |token: &str, project: &str| description.client_with(token, project);

    // In its own project there is no such thing; in mine it has no business; without a good token nobody has.
    let cases: [(Client, u16, &str); 4] = [
        (client(&tokens.other.token, &tokens.other.project_id), 404, "itemNotFound"),
        (client(&tokens.other.token, &tokens.member.project_id), 403, "forbidden"),
        (client("no-token-of-anybody", &tokens.member.project_id), 401, "unauthorized"),
        (client("", &tokens.member.project_id), 401, "unauthorized"),
    ];
    for (client, status, fault) in cases {
        let answers = [client.get(&cluster.path()), client.get(&instance), client.delete(&cluster.path())];
        for answer in answers.map(Result::unwrap) {
            assert_eq!(
                (answer.status, answer.body[fault]["code"].as_u64()),
                (status, Some(status.into())),
                "{answer:?}"
            );
            assert!(!answer.body.to_string().contains("mine"), "no word about the cluster: {answer:?}");
        }
    }
    let others = world.stack().client_of(&tokens.other).get("/clusters").unwrap();
    assert_eq!((others.status, &others.body["clusters"]), (200, &json!([])));
    assert_eq!(cluster.look(), Some(before), "nothing happened to it");

    let secrets = [&tokens.member.token, &tokens.other.token, &tokens.admin.token];
    assert_secret(&world, &secrets.map(String::as_str));
    world.end(&[]);
}

/// No secret stands in a log or on a command line.
fn assert_secret(world: &World, tokens: &[&str]) {
    let mut secrets: Vec<String> = tokens.iter().map(|token| (*token).to_owned()).collect();
    for guest in world.guests() {
        let password = fs::read_to_string(guest.dir.join("node").join("agent.password")).unwrap();
        secrets.push(password.trim().to_owned());
    }
    assert!(secrets.iter().all(|secret| secret.len() > 15), "the secrets of a stack are long");

    // Whoever looks finds them where they belong.
    assert!(tokens.iter().all(|token| holds(&world.layout().tokens(), token)));
    let mut logs: Vec<PathBuf> = world.logs().into_iter().map(|log| log.path).collect();
    logs.extend(world.guests().iter().map(|guest| guest.dir.join("node").join("redis.log")));
    assert!(logs.len() >= 4 && logs.iter().all(|log| log.is_file()), "{logs:?}");
    for secret in &secrets {
        let found: Vec<&PathBuf> = logs.iter().filter(|log| holds(log, secret)).collect();
        assert!(found.is_empty(), "a secret stands in {found:?}");
    }
    let processes = of_stack(world.layout().dir());
    assert!(processes.len() >= 4, "api, taskmanager, agent, redis-server");
    for found in processes {
        let shown = secrets.iter().any(|secret| found.command_line.contains(secret));
        assert!(!shown, "a secret stands on the command line of {}", found.name);
    }
}

fn holds(file: &Path, secret: &str) -> bool {
    let text = fs::read(file).unwrap();
    text.windows(secret.len()).any(|window| window == secret.as_bytes())
}

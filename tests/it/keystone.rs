//! Callers with tokens of a real Keystone: who gets in, who does not, and what happens when tokens end or Keystone does.

use std::time::{Duration, Instant};

use redtrove_testkit::Stack;
use redtrove_testkit::keystone::{Credentials, Session};
use redtrove_testkit::stack::Token;
use serde_json::{Value, json};

use crate::support::clusters::ask;
use crate::support::raw_http::{exchange, status};
use crate::support::world::World;
use crate::support::{until, within};

/// What the API logs when Keystone does not answer.
const CANNOT_CHECK: (&str, &str) = ("tokens cannot be checked", "Keystone is stopped");
/// How long tokens live in the story that waits for the end of one. Long enough for a start on a busy machine.
const LIFE: u32 = 60;

/// An answer with its headers.
struct Seen {
    status: u16,
    head: String,
    body: Value,
}

impl Seen {
    fn header(&self, name: &str) -> Option<&str> {
        let of = |line: &'_ str| line.split_once(": ").is_some_and(|(found, _)| found.eq_ignore_ascii_case(name));
        self.head.lines().find(|line| of(line)).and_then(|line| Some(line.split_once(": ")?.1))
    }
}

/// Sends a request below `/v1.0`.
fn call(stack: &Stack, method: &str, path: &str, token: Option<&str>, body: &Value) -> Seen {
    let address = stack.description().api.trim_start_matches("http://");
    let token = token.map(|token| format!("x-auth-token: {token}\r\n")).unwrap_or_default();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} /v1.0/{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{token}content-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(address, request.as_bytes()).expect("the API answers");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Seen { status: status(&answer), head: head.to_owned(), body: serde_json::from_str(body).unwrap_or(Value::Null) }
}

/// GET of the clusters of a token's own project.
fn list(stack: &Stack, token: &Token) -> Seen {
    call(stack, "GET", &format!("{}/clusters", token.project_id), Some(&token.token), &Value::Null)
}

fn log_in(who: &Credentials) -> Token {
    let session = Session::log_in(who).unwrap();
    Token { token: session.token, project_id: session.project_id }
}

#[test]
fn roles_and_projects_of_keystone_decide_who_does_what() {
    let mut world = World::with_keystone(|_| ());
    let cluster = world.create("owned", 1);
    cluster.wait_active();
    let tokens = world.stack().tokens().clone();
    let cloud = world.stack().cloud().unwrap().clone();
    let project = tokens.member.project_id.clone();
    let (clusters, one) = (format!("{project}/clusters"), format!("{project}/clusters/{}", cluster.id));
    let unscoped = Session::log_in_unscoped(&cloud.member).unwrap().token;
    let foreign = format!("{}/clusters/{}", tokens.other.project_id, cluster.id);
    let body = ask("more", 1);

    let (member, reader, other) = (&*tokens.member.token, &*tokens.reader.token, &*tokens.other.token);
    let garbage = "gAAAAABnone-of-keystones";
    let cases: [(&str, &str, Option<&str>, u16, &str); 11] = [
        ("GET", &clusters, Some(member), 200, "clusters"),
        ("GET", &one, Some(reader), 200, "cluster"),
        ("GET", &one, Some(&tokens.admin.token), 200, "cluster"),
        ("POST", &clusters, Some(reader), 403, "forbidden"),
        ("DELETE", &one, Some(reader), 403, "forbidden"),
        ("GET", &clusters, Some(other), 403, "forbidden"),
        ("DELETE", &one, Some(other), 403, "forbidden"),
        ("GET", &foreign, Some(other), 404, "itemNotFound"),
        ("GET", &clusters, Some(&unscoped), 403, "forbidden"),
        ("GET", &clusters, Some(garbage), 401, "unauthorized"),
        ("GET", &clusters, None, 401, "unauthorized"),
    ];
    let challenge = format!("Keystone uri=\"{}\"", cloud.member.auth_url);
    for (method, path, token, status, name) in cases {
        let sent = if method == "POST" { &body } else { &Value::Null };
        let seen = call(world.stack(), method, path, token, sent);
        assert_eq!(seen.status, status, "{method} {path}: {}", seen.body);
        assert!(seen.body.get(name).is_some(), "{method} {path}: {}", seen.body);
        assert_eq!(seen.header("www-authenticate"), (status == 401).then_some(&*challenge), "{method} {path}");
    }

    let catalogue = Session::log_in(&cloud.member).unwrap().catalogue;
    let ours = catalogue.iter().find(|at| (&*at[0], &at[1], &*at[2]) == ("database", &cloud.member.region, "public"));
    assert_eq!(ours.expect("a client finds us")[3], format!("{}/v1.0/{project}", world.stack().description().api));

    let secrets = [member, reader, other, &tokens.admin.token, &unscoped, garbage, &cloud.service.password];
    for log in world.logs() {
        assert!(!secrets.iter().any(|secret| log.holds(secret)), "a secret stands in {}", log.path.display());
    }
    cluster.delete();
    cluster.wait_gone();
    world.end(&[]);
}

#[test]
fn a_revoked_token_stops_within_the_time_that_it_is_remembered() {
    let mut world = World::with_keystone(|options| {
        options.api = json!({"auth": {"keystone": {"cache_seconds": 2}}});
    });
    let member = world.stack().cloud().unwrap().member.clone();
    let session = Session::log_in(&member).unwrap();
    let token = Token { token: session.token.clone(), project_id: session.project_id.clone() };
    assert_eq!(list(world.stack(), &token).status, 200);
    session.revoke().unwrap();
    let revoked = Instant::now();
    until("the revoked token to be refused", || list(world.stack(), &token).status == 401);
    // Two seconds, and what a busy machine takes for a check; without a limit it would be five minutes.
    assert!(revoked.elapsed() < Duration::from_secs(30), "{:?}", revoked.elapsed());
    assert_eq!(list(world.stack(), &log_in(&member)).status, 200, "a new one works");
    world.end(&[]);
}

#[test]
fn keystone_goes_and_comes_back_and_tokens_end_when_they_say() {
    let mut world = World::with_own_keystone(LIFE, |options| {
        options.api = json!({"auth": {"keystone": {"cache_seconds": 3600, "timeout_seconds": 30}}});
    });
    let member = world.stack().cloud().unwrap().member.clone();
    let before = Instant::now();
    let (known, unknown) = (log_in(&member), log_in(&member));
    let born = Instant::now();
    assert_eq!(list(world.stack(), &known).status, 200);

    let keystone = world.stack().daemon("keystone").unwrap();
    keystone.terminate(Duration::from_secs(10)).unwrap();
    assert_eq!(list(world.stack(), &known).status, 200, "who is known still gets in");
    let refused = list(world.stack(), &unknown);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{}", refused.body);
    assert_eq!(refused.header("www-authenticate"), None, "nobody is told that his token is bad");
    assert_eq!(refused.body["serviceUnavailable"]["code"], 503);

    world.stack().start_again("keystone").unwrap();
    until("an unknown token to be checked again", || list(world.stack(), &unknown).status == 200);
    assert!(born.elapsed() < Duration::from_secs(LIFE.into()), "the machine was too slow for this story");

    // Remembered for an hour, the token ends all the same; the API's own has ended too by then, and is renewed.
    within("the token to end", Duration::from_secs((LIFE + 30).into()), || list(world.stack(), &known).status == 401);
    assert!(before.elapsed() >= Duration::from_secs((LIFE - 2).into()), "not before its time: {:?}", before.elapsed());
    assert_eq!(list(world.stack(), &log_in(&member)).status, 200, "a new one works");
    world.end(&[CANNOT_CHECK]);
}

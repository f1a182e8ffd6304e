//! A real Keystone, from its start to the last process.

use std::time::Duration;

use super::{Cloud, Names, Session, key};
use crate::process::table::of_stack;
use crate::wait_for;

#[test]
fn a_key_is_what_fernet_wants() {
    assert_eq!(key().len(), 44);
    assert_ne!(key(), key());
}

#[test]
fn two_clouds_live_in_one_keystone_and_nothing_is_left_of_it() {
    let keystone = super::SharedKeystone::start().expect("it starts");
    let dir = keystone.directory().canonicalize().expect("it is there");
    let access = super::shared::read(&dir).expect("readable");
    let (api, elsewhere) = ("http://127.0.0.1:1", "http://127.0.0.1:2");
    let plain = Cloud::seed(&access, api, &Names::plain()).expect("seeded");
    let unique = Cloud::seed(&access, elsewhere, &Names::unique()).expect("seeded beside it");

    let member = Session::log_in(&plain.member).expect("the member logs in");
    let endpoints = |region: &str, session: &Session| -> Vec<String> {
        let ours = session.catalogue.iter().filter(|at| at[0] == "database" && at[1] == region && at[2] == "public");
        ours.map(|at| at[3].clone()).collect()
    };
    let expected = |api: &str, session: &Session| vec![format!("{api}/v1.0/{}", session.project_id)];
    assert_eq!(endpoints("RegionOne", &member), expected(api, &member));
    let other = Session::log_in(&unique.member).expect("the other one, too");
    assert_eq!(endpoints(&unique.member.region, &other), expected(elsewhere, &other));
    assert_ne!(member.project_id, other.project_id);
    for who in [&plain.service, &plain.reader, &plain.admin, &plain.other, &unique.service] {
        Session::log_in(who).expect("everybody logs in");
    }
    assert_eq!(Session::log_in_unscoped(&plain.member).expect("without a project").project_id, "");
    member.revoke().expect("revoked");
    assert!(member.revoke().is_err(), "a revoked token revokes nothing");

    keystone.end().expect("it ends");
    keystone.end().expect("twice is fine");
    drop(keystone);
    wait_for("the workers to go", Duration::from_secs(10), || Ok(of_stack(&dir).is_empty().then_some(())))
        .expect("nothing is left");
    assert!(!dir.exists());
}

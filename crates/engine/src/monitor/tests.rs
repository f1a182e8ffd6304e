//! What the monitor makes of the answers.

use redtrove_core::instance::Lifecycle;

use super::*;

/// What is news in these answers.
fn news(
    instances: &[Instance],
    answers: &[Result<GuestStatus, GuestError>],
    last_heard: &HashMap<InstanceId, Timestamp>,
    now: Timestamp,
) -> Vec<(InstanceId, Heard)> {
    changes(instances, answers, &failed_of(instances, answers), last_heard, now)
}

fn node(n: u8) -> NodeId {
    format!("{n:040x}").parse().unwrap()
}

pub(super) fn instance(n: u8, cluster: u8) -> Instance {
    Instance {
        id: InstanceId(uuid::Uuid::from_u128(n.into())),
        cluster: ClusterId(uuid::Uuid::from_u128(cluster.into())),
        name: format!("c-member-{n}"),
        number: n.into(),
        flavor_id: "1".to_owned(),
        ram_mb: 512,
        volume_gb: 1,
        placement: Default::default(),
        lifecycle: Lifecycle::Complete,
        ip: Some("10.0.0.1".to_owned()),
        node_id: Some(node(n)),
        planned_slots: None,
        fault: None,
        heard: Heard::default(),
        created: Timestamp(0),
        updated: Timestamp(0),
    }
}

pub(super) fn running(failed: &[u8]) -> Result<GuestStatus, GuestError> {
    Ok(GuestStatus {
        redis: RedisState::Running,
        volume_used_bytes: 1024 * 1024 + 1,
        node: None,
        slots: Default::default(),
        state_ok: true,
        failed: failed.iter().map(|n| node(*n)).collect(),
    })
}

pub(super) fn silent() -> Result<GuestStatus, GuestError> {
    Err(GuestError::Silent("timeout".to_owned()))
}

#[test]
fn volumes_are_rounded_up_and_the_same_is_no_news() {
    let mut instances = [instance(1, 1)];
    let told = news(&instances, &[running(&[])], &HashMap::new(), Timestamp(5));
    assert_eq!(told[0].1.volume_used_mb, Some(2));
    instances[0].heard = told[0].1.clone();
    assert!(news(&instances, &[running(&[])], &HashMap::new(), Timestamp(9)).is_empty());
}

#[test]
fn a_node_is_failed_when_most_of_those_who_answer_say_so() {
    let instances = [instance(1, 1), instance(2, 1), instance(3, 1), instance(4, 2)];
    let held = |answers: [Result<GuestStatus, GuestError>; 4]| -> Vec<bool> {
        let told = news(&instances, &answers, &HashMap::new(), Timestamp(5));
        instances.iter().map(|i| told.iter().any(|(id, heard)| *id == i.id && heard.held_failed)).collect()
    };
    assert_eq!(held([running(&[3]), running(&[3]), silent(), running(&[])]), [false, false, true, false]);
    assert_eq!(held([running(&[3]), running(&[]), silent(), running(&[])]), [false; 4], "half is not most");
    assert_eq!(held([running(&[4]), running(&[4]), running(&[4]), running(&[])]), [false; 4], "another cluster's word");
}

#[test]
fn the_first_silence_counts_and_an_answer_ends_it() {
    let mut instances = [instance(1, 1)];
    let first = news(&instances, &[silent()], &HashMap::new(), Timestamp(5)).remove(0).1;
    assert_eq!(first.silent_since, Some(Timestamp(5)));
    instances[0].heard = first;
    assert!(news(&instances, &[silent()], &HashMap::new(), Timestamp(9)).is_empty());
    let back = news(&instances, &[running(&[])], &HashMap::new(), Timestamp(12)).remove(0).1;
    assert_eq!(back.silent_since, None);
}

#[test]
fn a_member_is_silent_since_it_was_last_heard() {
    let instances = [instance(1, 1), instance(2, 1)];
    let heard = HashMap::from([(instances[0].id, Timestamp(3))]);
    let told = news(&instances, &[silent(), silent()], &heard, Timestamp(5));
    let since: Vec<_> = told.iter().map(|(_, heard)| heard.silent_since).collect();
    assert_eq!(since, [Some(Timestamp(3)), Some(Timestamp(5))], "of the second nothing is known");
}

#[test]
fn an_agent_that_says_its_server_is_down_is_not_silent() {
    let down = Err(GuestError::RedisDown("refused".to_owned()));
    let heard = news(&[instance(1, 1)], &[down], &HashMap::new(), Timestamp(5)).remove(0).1;
    assert_eq!((heard.redis, heard.silent_since), (RedisState::Down, None));
}

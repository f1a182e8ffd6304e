//! Requests that come again.

use std::sync::Arc;

use redtrove_core::{ClusterId, TaskId};
use redtrove_engine::ports::{
    Body, Growth, KeptAnswer, LateAnswer, Limits, NewCluster, NewTask, RequestKey, SubmitError,
};
use redtrove_engine::task::TaskKind;
use tokio::task::JoinSet;

use super::Bed;

/// A cluster whose request has this key and says this.
fn keyed(bed: &Bed, key: u8, body: &str) -> NewCluster {
    let new = bed.new_cluster("once", 2);
    let key = RequestKey { id: format!("{key:064x}"), body: body.to_owned() };
    let answer =
        KeptAnswer { key, status: Some(202), body: format!("{{\"id\":\"{}\"}}", new.id), task: Some(new.task.id) };
    NewCluster { answer: Some(answer), ..new }
}

fn answered(error: SubmitError) -> KeptAnswer {
    let text = error.to_string();
    let answer = if let SubmitError::Answered(answer) = error { Some(*answer) } else { None };
    assert!(answer.is_some(), "{text}");
    answer.unwrap()
}

async fn clusters(bed: &Bed) -> Vec<ClusterId> {
    bed.store.clusters(&bed.project(), None, 100).await.unwrap().into_iter().map(|(cluster, _)| cluster.id).collect()
}

pub(super) async fn a_request_that_comes_again_finds_the_first_answer(bed: Bed) {
    let first = keyed(&bed, 7, "same");
    let id = first.answer.as_ref().unwrap().key.id.clone();
    assert_eq!(bed.store.answer(&id).await.unwrap(), None);
    bed.store.create_cluster(&first).await.unwrap();
    assert_eq!(bed.second.answer(&id).await.unwrap(), first.answer);
    for body in ["same", "other"] {
        let again = bed.second.create_cluster(&keyed(&bed, 7, body)).await.unwrap_err();
        assert_eq!(Some(answered(again)), first.answer, "{body}");
    }
    assert_eq!(clusters(&bed).await, [first.id]);
    let other = keyed(&bed, 8, "same");
    bed.store.create_cluster(&other).await.unwrap();
    assert_eq!(bed.store.answer(&id).await.unwrap(), first.answer);
    let long = "é".repeat(300_000);
    let mut large = keyed(&bed, 9, "same");
    large.answer.as_mut().unwrap().body.clone_from(&long);
    bed.store.create_cluster(&large).await.unwrap();
    assert_eq!(bed.store.answer(&format!("{:064x}", 9)).await.unwrap().unwrap().body, long);
}

pub(super) async fn racing_requests_of_one_key_have_one_effect(bed: Bed) {
    let mut race = JoinSet::new();
    for runner in 0..12 {
        let new = keyed(&bed, 7, "same");
        let store = if runner % 2 == 0 { bed.store.clone() } else { bed.second.clone() };
        race.spawn(async move { (new.clone(), store.create_cluster(&new).await) });
    }
    let results = race.join_all().await;
    let winners: Vec<_> = results.iter().filter(|(_, result)| result.is_ok()).map(|(new, _)| new.clone()).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(clusters(&bed).await, [winners[0].id]);
    for error in results.into_iter().filter_map(|(_, result)| result.err()) {
        assert_eq!(Some(answered(error)), winners[0].answer);
    }
}

pub(super) async fn a_request_that_was_refused_may_come_again(bed: Bed) {
    let limits = Limits { instances: 1, volumes_gb: -1 };
    let refused = NewCluster { limits, ..keyed(&bed, 7, "same") };
    assert!(matches!(bed.store.create_cluster(&refused).await, Err(SubmitError::Quota(_))));
    assert_eq!(bed.store.answer(&refused.answer.unwrap().key.id).await.unwrap(), None);
    bed.store.create_cluster(&keyed(&bed, 7, "same")).await.unwrap();
}

pub(super) async fn a_reset_is_answered_once_too(bed: Bed) {
    let new = bed.created(1).await;
    let key = RequestKey { id: format!("{:064x}", 5), body: "reset".to_owned() };
    let answer = KeptAnswer { key, status: Some(202), body: String::new(), task: None::<TaskId> };
    bed.store.reset_cluster(&bed.project(), new.id, Some(&answer)).await.unwrap();
    assert_eq!(bed.store.answer(&answer.key.id).await.unwrap().as_ref(), Some(&answer));
    let again = bed.store.reset_cluster(&bed.project(), new.id, Some(&answer)).await.unwrap_err();
    assert_eq!(answered(again), answer);
}

pub(super) async fn a_grow_keeps_an_answer_made_of_its_rows(bed: Bed) {
    let new = bed.ready(2).await;
    let key = RequestKey { id: format!("{:064x}", 3), body: "grow".to_owned() };
    let body: Body = Arc::new(|cluster, instances| {
        let names: Vec<_> = instances.iter().map(|instance| instance.name.as_str()).collect();
        format!("{} {}", cluster.task, names.join(" "))
    });
    let grown = |body: &Body| {
        let answer = LateAnswer { key: key.clone(), status: 202, body: Arc::clone(body) };
        Growth { answer: Some(answer), ..bed.growth(new.id, 2) }
    };
    let first = grown(&body);
    bed.store.grow_cluster(&first).await.unwrap();
    let kept = bed.second.answer(&key.id).await.unwrap().unwrap();
    assert_eq!((kept.status, kept.task), (Some(202), Some(first.task.id)));
    assert_eq!(kept.body, "GROWING_CLUSTER orders-member-3 orders-member-4");
    let never: Body = Arc::new(|_, _| "nobody makes this".to_owned());
    let again = bed.second.grow_cluster(&grown(&never)).await.unwrap_err();
    assert_eq!(answered(again), kept, "before anybody looks whether the cluster is busy");
}

pub(super) async fn a_shrinks_answer_is_open_until_it_is_settled(bed: Bed) {
    let new = bed.ready(2).await;
    let key = RequestKey { id: format!("{:064x}", 4), body: "shrink".to_owned() };
    let task = NewTask { members: vec![new.instances[1].id], ..bed.new_task(TaskKind::ShrinkCluster) };
    let open = KeptAnswer { key: key.clone(), status: None, body: String::new(), task: Some(task.id) };
    bed.store.shrink_cluster(&bed.project(), new.id, &task, Some(&open)).await.unwrap();
    assert_eq!(bed.second.answer(&key.id).await.unwrap().as_ref(), Some(&open));
    let again = bed.new_task(TaskKind::ShrinkCluster);
    let error = bed.second.shrink_cluster(&bed.project(), new.id, &again, Some(&open)).await.unwrap_err();
    assert_eq!(answered(error), open);
    bed.store.settle_answer(&key.id, 403, "no").await.unwrap();
    bed.second.settle_answer(&key.id, 202, "yes").await.unwrap();
    let settled = KeptAnswer { status: Some(403), body: "no".to_owned(), ..open };
    assert_eq!(bed.store.answer(&key.id).await.unwrap(), Some(settled), "the first word counts");
    bed.store.settle_answer("nobody's", 202, "").await.unwrap();
}

//! What is read, what is refused, and why.

use proptest::prelude::*;

use super::*;

const TASK: &str = "0198c2b0-7a4e-7c1b-9d53-0242ac120002";
const CLUSTER: &str = "416b0b16-ba55-4302-bbd3-ff566032e1c1";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn wake() -> WakeUp {
    WakeUp {
        task: TASK.parse().unwrap(),
        cluster: CLUSTER.parse().unwrap(),
        kind: TaskKind::CreateCluster,
        request: format!("req-{CLUSTER}").parse().unwrap(),
        traceparent: Some(TRACE.to_owned()),
    }
}

#[test]
fn the_body_is_what_the_operators_guide_says() {
    let body: serde_json::Value = serde_json::from_slice(&encode(&wake()).unwrap()).unwrap();
    let expected = serde_json::json!({
        "schema": "redtrove.task/1", "task_id": TASK, "cluster_id": CLUSTER, "kind": "create_cluster",
        "request_id": format!("req-{CLUSTER}"),
    });
    assert_eq!(body, expected);
    let properties = properties(&wake());
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), TASK);
    assert_eq!(*properties.delivery_mode(), Some(2));
    assert_eq!(routing_key(TaskKind::DeleteCluster).as_str(), "task.delete_cluster");
}

#[test]
fn what_is_written_is_read_back() {
    for traceparent in [Some(TRACE.to_owned()), None] {
        let wake = WakeUp { traceparent, ..wake() };
        let properties = properties(&wake);
        assert_eq!(decode(&encode(&wake).unwrap(), properties.headers().as_ref()), Ok(wake));
    }
}

#[test]
fn a_trace_context_that_is_none_is_left_out() {
    for text in ["", "x", "01-a-b-c", &TRACE.to_uppercase(), &format!("{TRACE}-00"), "00-é"] {
        let wake = WakeUp { traceparent: Some((*text).to_owned()), ..wake() };
        let headers = properties(&wake).headers().clone().unwrap();
        assert!(!headers.contains_key(TRACEPARENT), "{text}");
        let mut headers = FieldTable::default();
        headers.insert(TRACEPARENT.into(), AMQPValue::LongString((*text).into()));
        assert_eq!(decode(&encode(&wake).unwrap(), Some(&headers)).unwrap().traceparent, None, "{text}");
    }
}

#[test]
fn every_unreadable_message_has_its_reason() {
    let good = String::from_utf8(encode(&wake()).unwrap()).unwrap();
    for (body, reason) in [
        ("not json".to_owned(), "not a wake-up"),
        (String::new(), "not a wake-up"),
        ("[]".to_owned(), "not a wake-up"),
        ("[".repeat(10_000), "not a wake-up"),
        (good.replace("task/1", "task/2"), "schema 'redtrove.task/2'"),
        (good.replace(TASK, "17"), "task_id: '17' is not a task id"),
        (good.replace(&format!("\"{CLUSTER}\""), "null"), "not a wake-up: invalid type: null"),
        (good.replace("create_cluster", "explode"), "kind 'explode' is unknown"),
        (good.replace("req-", ""), "request_id: "),
        (good.replace("cluster_id", "cluster"), "missing field `cluster_id`"),
        ("x".repeat(1_000_000), "a body of 1000000 bytes"),
    ] {
        let error = decode(body.as_bytes(), None).unwrap_err();
        assert!(error.contains(reason), "{error} / {reason}");
        assert!(error.len() <= 300 && !error.contains('\n'), "{error:?}");
    }
}

#[test]
fn fields_added_by_a_newer_version_are_no_obstacle() {
    let body = String::from_utf8(encode(&wake()).unwrap()).unwrap().replace('{', "{\"later\": [1, {}],");
    assert!(decode(body.as_bytes(), None).is_ok());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Err(error) = decode(&body, None) {
            prop_assert!(error.chars().count() <= 300 && !error.contains('\n'), "{error:?}");
        }
    }
}

//! What goes through a broker in good health, and what it does with messages that are no good.

use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use redtrove_bus::topology::{DELIVERY_LIMIT, QUEUE};
use redtrove_engine::ports::BusError;
use redtrove_testkit::rabbitmq::test_vhost;

use crate::support::{Receiving, Sending, client, dead_letters, header, wake};

#[tokio::test(flavor = "multi_thread")]
async fn wake_ups_arrive_as_they_were_sent_whoever_comes_first() {
    let vhost = test_vhost().unwrap();
    // Published before there ever was a consumer: the publisher has declared the queue.
    let sending = Sending::start(&vhost.url);
    let first = wake();
    sending.publish_at_last(&first).await;
    assert!(sending.publisher.is_connected());
    let mut receiving = Receiving::start(&vhost.url, None);
    assert_eq!(receiving.next().await, first);
    let many: Vec<_> = (0..100).map(|_| wake()).collect();
    for wake in &many {
        sending.publish_at_last(wake).await;
    }
    let mut seen = Vec::new();
    while seen.len() < many.len() {
        let wake = receiving.next().await;
        // One whose confirmation came late was published again.
        if !seen.contains(&wake) {
            seen.push(wake);
        }
    }
    seen.sort_by_key(|wake| wake.task);
    assert_eq!(seen, many);
    assert_eq!(receiving.end().await, []);
    // What was acknowledged does not come again.
    let mut again = Receiving::start(&vhost.url, None);
    let last = wake();
    sending.publish_at_last(&last).await;
    assert_eq!(again.next().await, last);
    assert_eq!(again.end().await, []);
    sending.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_no_queue_takes_is_an_error_and_the_queue_comes_back() {
    let vhost = test_vhost().unwrap();
    let sending = Sending::start(&vhost.url);
    sending.publish_at_last(&wake()).await;
    let (_connection, channel) = client(&vhost.url).await;
    channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await.unwrap();
    assert_eq!(sending.publish(&wake()).await, Err(BusError::Unroutable));
    let after = wake();
    sending.publish_at_last(&after).await;
    let mut receiving = Receiving::start(&vhost.url, None);
    assert_eq!(receiving.next().await, after);
    // A consumer whose queue is deleted declares it again, too.
    channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await.unwrap();
    receiving.connected(false).await;
    receiving.connected(true).await;
    let last = wake();
    sending.publish_at_last(&last).await;
    assert_eq!(receiving.next().await, last);
    receiving.end().await;
    sending.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_the_broker_refuses_are_an_error_in_time() {
    let vhost = test_vhost().unwrap();
    let (before, after) = vhost.url.rsplit_once('@').unwrap();
    let (user, _) = before.rsplit_once(':').unwrap();
    for url in [format!("{user}:canary@{after}"), format!("{}-missing", vhost.url)] {
        let sending = Sending::start(&url);
        let error = sending.publish(&wake()).await.unwrap_err();
        assert!(matches!(error, BusError::Unavailable(_)), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
        sending.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_goes_to_the_dead_letters_with_its_reason_and_the_next_message_is_served() {
    let vhost = test_vhost().unwrap();
    let mut receiving = Receiving::start(&vhost.url, None);
    receiving.connected(true).await;
    let (_connection, channel) = client(&vhost.url).await;
    let id = "416b0b16-ba55-4302-bbd3-ff566032e1c1";
    let body = |schema: &str, task: &str| {
        format!(
            r#"{{"schema":"{schema}","task_id":"{task}","cluster_id":"{id}","kind":"create_cluster","request_id":"req-{id}"}}"#
        )
    };
    let poison = [
        ("not JSON".to_owned(), "not a wake-up"),
        (body("redtrove.task/9", id), "schema 'redtrove.task/9'"),
        (body("redtrove.task/1", "17"), "task_id: '17'"),
        (r#"{"schema":"redtrove.task/1"}"#.to_owned(), "missing field"),
        ("\u{1}".repeat(1024 * 1024), "a body of 1048576 bytes"),
    ];
    // What a broker acts upon in the copy, too, if it is left in.
    let mut headers = FieldTable::default();
    let copies = FieldArray::from(vec![AMQPValue::LongString("task.more".into())]);
    headers.insert("BCC".into(), AMQPValue::FieldArray(copies));
    headers.insert("x-kept".into(), AMQPValue::LongString("yes".into()));
    let properties = BasicProperties::default().with_headers(headers).with_expiration("60000".into());
    for (body, _) in &poison {
        let options = BasicPublishOptions::default();
        let key = "task.poison".into();
        channel.basic_publish("redtrove".into(), key, options, body.as_bytes(), properties.clone()).await.unwrap();
    }
    let sending = Sending::start(&vhost.url);
    let good = wake();
    sending.publish_at_last(&good).await;
    assert_eq!(receiving.next().await, good);
    let letters = dead_letters(&channel, poison.len()).await;
    for (body, reason) in &poison {
        let letter = letters.iter().find(|letter| letter.data == body.as_bytes()).expect("each is put aside");
        assert!(header(letter, "x-redtrove-reason").contains(reason), "{}", header(letter, "x-redtrove-reason"));
        assert_eq!(header(letter, "x-redtrove-routing-key"), "task.poison");
        assert_eq!(header(letter, "x-redtrove-time"), "2025-11-13T02:13:20");
        assert_eq!(header(letter, "x-kept"), "yes");
        assert_eq!(*letter.properties.expiration(), None);
        assert_eq!(*letter.properties.delivery_mode(), Some(2));
    }
    assert_eq!(receiving.dead_letters(), poison.len() as u64);
    assert_eq!(receiving.end().await, []);
    sending.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_makes_its_handler_panic_is_given_up_after_the_limit() {
    let vhost = test_vhost().unwrap();
    let (deadly, good) = (wake(), wake());
    let mut receiving = Receiving::start(&vhost.url, Some(deadly.clone()));
    let sending = Sending::start(&vhost.url);
    sending.publish_at_last(&deadly).await;
    for _ in 0..=DELIVERY_LIMIT {
        assert_eq!(receiving.next().await, deadly);
    }
    let (_connection, channel) = client(&vhost.url).await;
    let letters = dead_letters(&channel, 1).await;
    let headers = letters[0].properties.headers().clone().unwrap();
    assert!(headers.contains_key("x-death"), "the broker itself put it aside: {headers:?}");
    assert_eq!(letters[0].properties.message_id().as_ref().unwrap().as_str(), deadly.task.to_string());
    sending.publish_at_last(&good).await;
    assert_eq!(receiving.next().await, good);
    assert_eq!(receiving.end().await, []);
    sending.end().await;
}

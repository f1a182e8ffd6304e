//! The listener for metrics and health, asked over a real socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use redtrove_service::config::Monitoring;
use redtrove_service::{Metrics, Shutdown, metrics};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn metrics_and_health_are_served_until_the_end() {
    let shutdown = Shutdown::new();
    let metrics = Arc::new(Metrics::new("api", "0.1.0"));
    let requests = Counter::<u64>::default();
    metrics.register(|registry| registry.register("requests", "Requests", requests.clone()));
    let ready = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&ready);
    let readiness = move || if seen.load(Ordering::SeqCst) { Ok(()) } else { Err("no database".to_owned()) };
    let address = metrics::serve(&Monitoring::default(), metrics, readiness, &shutdown).await.unwrap();
    assert_ne!(address.port(), 0);

    requests.inc_by(7);
    let text = get(address, "/metrics").await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.contains("redtrove_requests_total 7"), "{text}");
    assert!(text.contains("redtrove_build_info{daemon=\"api\",version=\"0.1.0\"} 1"), "{text}");

    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    ready.store(false, Ordering::SeqCst);
    let sick = get(address, "/healthz").await;
    assert!(sick.starts_with("HTTP/1.1 503") && sick.contains("no database"), "{sick}");
    assert!(get(address, "/other").await.starts_with("HTTP/1.1 404"));

    assert_eq!(shutdown.drain(Duration::from_secs(5)).await, redtrove_service::shutdown::Drain::Complete);
    assert!(TcpStream::connect(address).await.is_err(), "the listener outlived the shutdown");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap();
    let metrics = Arc::new(Metrics::new("api", "0.1.0"));
    let error = metrics::serve(&Monitoring { bind }, metrics, || Ok(()), &Shutdown::new()).await.unwrap_err();
    assert!(error.to_string().contains(&bind.to_string()), "{error}");
}

//! The service on a real socket: what only a connection can show.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use redtrove_api::serve::serve;
use redtrove_service::Shutdown;
use redtrove_service::shutdown::Drain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{MEMBER, Service};

async fn listen(service: &Service) -> (SocketAddr, Shutdown) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, shutdown, router) = (listener.local_addr().unwrap(), Shutdown::new(), service.router());
    let of_server = shutdown.clone();
    shutdown.tasks().spawn(async move { serve(listener, router, &of_server).await.unwrap() });
    (address, shutdown)
}

/// Reads until the head and the body that it announces are there.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
            if body.len() >= length.parse::<usize>().unwrap() {
                return text;
            }
        }
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "the connection ended after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
}

#[tokio::test]
async fn a_client_that_sends_far_too_much_still_hears_413() {
    let service = Service::start().await;
    let (address, _shutdown) = listen(&service).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let size = 10 * 1024 * 1024;
    let head = format!(
        "POST /v1.0/p1/clusters HTTP/1.1\r\nhost: db.test\r\nx-auth-token: {MEMBER}\r\n\
         content-type: application/json\r\ncontent-length: {size}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; size]).await.unwrap();
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 413 ") && text.contains("overLimit"), "{text}");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: db.test\r\n\r\n").await.unwrap();
    let text = answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("http://db.test/v1.0/"), "{text}");
}

#[tokio::test]
async fn a_request_under_way_is_answered_by_a_daemon_that_stops() {
    let service = Service::start().await;
    let created = service.create("c", 2).await;
    service.sql("UPDATE tasks SET state = 'succeeded'").await;
    service.sql("UPDATE clusters SET task = 'NONE', operation = NULL").await;
    let (cluster, leaver) = (created["id"].as_str().unwrap(), created["instances"][0]["id"].as_str().unwrap());
    let (address, shutdown) = listen(&service).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = format!("{{\"shrink\": [{{\"id\": \"{leaver}\"}}]}}");
    let head = format!(
        "POST /v1.0/p1/clusters/{cluster} HTTP/1.1\r\nhost: db.test\r\nx-auth-token: {MEMBER}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // It waits for a verdict, for fifteen seconds, and nobody is there to give one.
    while service.store.claimable(1).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let stopped = Instant::now();
    service.stop.cancel();
    let drained = shutdown.drain(Duration::from_secs(10));
    let (text, drained) = tokio::join!(answer(&mut stream), drained);
    assert!(text.starts_with("HTTP/1.1 202 "), "{text}");
    assert_eq!(drained, Drain::Complete);
    assert!(stopped.elapsed() < Duration::from_secs(8), "{:?}", stopped.elapsed());
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_daemon() {
    let service = Service::start().await;
    let (address, shutdown) = listen(&service).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: db.test\r\n\r\n").await.unwrap();
    answer(&mut idle).await;
    assert_eq!(shutdown.drain(Duration::from_secs(10)).await, Drain::Complete);
    assert!(TcpStream::connect(address).await.is_err(), "nothing listens any more");
}

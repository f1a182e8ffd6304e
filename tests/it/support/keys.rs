//! A client of Redis Cluster that writes, and one that reads back.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use tokio::runtime::Runtime;

use super::until;

/// For one command, on a machine that may be busy with other stories.
const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn connect(members: &[SocketAddrV4], retries: u32) -> ClusterConnection {
    let nodes = members.iter().map(|at| format!("redis://{at}"));
    let builder = ClusterClientBuilder::new(nodes).retries(retries).response_timeout(ANSWERED_WITHIN);
    builder.build().unwrap().get_async_connection().await.unwrap()
}

/// Writes keys `<prefix>0` to `<prefix><count - 1>`, each with its own name as the value, and reads them back.
pub(crate) fn write_and_read(members: &[SocketAddrV4], prefix: &str, count: u64) {
    runtime().block_on(async {
        let mut connection = connect(members, 3).await;
        for n in 0..count {
            let key = format!("{prefix}{n}");
            let () = connection.set(&key, &key).await.unwrap();
        }
    });
    assert_eq!(missing(members, prefix, &(0..count).collect::<Vec<_>>()), Vec::<u64>::new());
}

/// Those of the keys that are not there, read through a client of its own.
pub(crate) fn missing(members: &[SocketAddrV4], prefix: &str, numbers: &[u64]) -> Vec<u64> {
    runtime().block_on(async {
        let mut connection = connect(members, 3).await;
        let mut missing = Vec::new();
        for n in numbers {
            let key = format!("{prefix}{n}");
            let value: Option<String> = connection.get(&key).await.unwrap();
            if value.as_deref() != Some(&key) {
                missing.push(*n);
            }
        }
        missing
    })
}

/// What a writer has seen.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The numbers of the keys whose write was acknowledged.
    pub(crate) acknowledged: Vec<u64>,
    /// What was answered to the other writes.
    pub(crate) errors: Vec<String>,
    /// The longest that a write took.
    pub(crate) slowest: Duration,
}

/// A client that writes one key after the other, each once and without trying again, until it is told to stop.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    thread: JoinHandle<Written>,
}

impl Writer {
    /// Starts, and returns when the first writes are acknowledged.
    pub(crate) fn start(members: Vec<SocketAddrV4>, prefix: &str) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (prefix, end, count) = (prefix.to_owned(), Arc::clone(&stop), Arc::clone(&acknowledged));
        let thread = std::thread::spawn(move || runtime().block_on(write(&members, &prefix, &end, &count)));
        let writer = Self { stop, acknowledged, thread };
        writer.wait_for_more(10);
        writer
    }

    /// Waits until so many more writes are acknowledged.
    pub(crate) fn wait_for_more(&self, count: u64) {
        let enough = self.acknowledged.load(Ordering::Relaxed) + count;
        until("more writes to be acknowledged", || self.acknowledged.load(Ordering::Relaxed) >= enough);
    }

    pub(crate) fn stop(self) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

async fn write(members: &[SocketAddrV4], prefix: &str, stop: &AtomicBool, count: &AtomicU64) -> Written {
    let mut connection = connect(members, 0).await;
    let mut written = Written::default();
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let (key, began) = (format!("{prefix}{n}"), Instant::now());
        match connection.set::<_, _, ()>(&key, &key).await {
            Ok(()) => {
                written.acknowledged.push(n);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => written.errors.push(error.to_string()),
        }
        written.slowest = written.slowest.max(began.elapsed());
        n += 1;
        // A few hundred writes a second are enough to notice any gap.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    written
}

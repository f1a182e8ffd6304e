//! A tenant's client that writes all the time, and one that reads back.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use redis::AsyncCommands as _;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redtrove_testkit::wait_for;
use tokio::runtime::Runtime;

/// For one command; a server may be stopped for eight seconds, and its writer then goes on to the next key.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// How long a client that reads goes on trying, and how much longer for each key.
const READ_WITHIN: Duration = Duration::from_secs(30);
const EACH_WITHIN: Duration = Duration::from_millis(10);
/// The pause between two writes: a few hundred a second notice any gap.
const BETWEEN_WRITES: Duration = Duration::from_millis(3);

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

async fn connect(members: &[SocketAddrV4], retries: u32) -> Result<ClusterConnection> {
    let nodes = members.iter().map(|at| format!("redis://{at}"));
    let builder = ClusterClientBuilder::new(nodes).retries(retries).response_timeout(ANSWERED_WITHIN);
    let client = builder.connection_timeout(ANSWERED_WITHIN).build()?;
    Ok(client.get_async_connection().await?)
}

/// Writes that were acknowledged: keys `<prefix><number>`, each with its own name as its value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acknowledged {
    prefix: String,
    numbers: Vec<u64>,
}

impl Acknowledged {
    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.numbers.len()
    }

    /// Reads all of them back, from the cluster of these members.
    pub(crate) fn check(&self, members: &[SocketAddrV4]) -> Result<()> {
        let lost = missing(members, &self.prefix, &self.numbers)?;
        ensure!(lost.is_empty(), "{} of {} acknowledged writes are lost: {lost:?}", lost.len(), self.count());
        Ok(())
    }
}

fn missing(members: &[SocketAddrV4], prefix: &str, numbers: &[u64]) -> Result<Vec<u64>> {
    runtime()?.block_on(async {
        let read = async {
            let mut connection = connect(members, 16).await?;
            let mut missing = Vec::new();
            for n in numbers {
                let key = format!("{prefix}{n}");
                let value: Option<String> = connection.get(&key).await?;
                if value.as_deref() != Some(&key) {
                    missing.push(*n);
                }
            }
            anyhow::Ok(missing)
        };
        let keys = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        tokio::time::timeout(READ_WITHIN + EACH_WITHIN * keys, read)
            .await
            .map_err(|_| anyhow!("keys cannot be read"))?
    })
}

/// A client that writes keys `<prefix>0`, `<prefix>1` and so on, each once and without trying again, until it is told to
/// stop.
pub(crate) struct Writer {
    prefix: String,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    /// Until it is waited for.
    thread: Option<JoinHandle<Result<Vec<u64>>>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Writer {
    /// Starts, and returns when the first writes are acknowledged.
    pub(crate) fn start(members: Vec<SocketAddrV4>, prefix: &str) -> Result<Self> {
        let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (name, end, counted) = (prefix.to_owned(), Arc::clone(&stop), Arc::clone(&count));
        let runtime = runtime()?;
        let thread = std::thread::spawn(move || runtime.block_on(write(&members, &name, &end, &counted)));
        let writer = Self { prefix: prefix.to_owned(), stop, count, thread: Some(thread) };
        writer.wait_for_more(100)?;
        Ok(writer)
    }

    /// How many writes were acknowledged.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until so many more writes are acknowledged.
    pub(crate) fn wait_for_more(&self, count: u64) -> Result<()> {
        let enough = self.count() + count;
        wait_for("more writes to be acknowledged", Duration::from_secs(30), || {
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                bail!("the writer has ended");
            }
            Ok((self.count() >= enough).then_some(()))
        })
    }

    /// Stops: every write that was acknowledged.
    pub(crate) fn stop(mut self) -> Result<Acknowledged> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the writer has been waited for")?;
        let numbers = thread.join().map_err(|_| anyhow!("the writer broke"))?.context("the writer")?;
        Ok(Acknowledged { prefix: std::mem::take(&mut self.prefix), numbers })
    }
}

async fn write(members: &[SocketAddrV4], prefix: &str, stop: &AtomicBool, count: &AtomicU64) -> Result<Vec<u64>> {
    let mut connection = connect(members, 0).await?;
    let mut acknowledged = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{prefix}{n}");
        if connection.set::<_, _, ()>(&key, &key).await.is_ok() {
            acknowledged.push(n);
            count.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(BETWEEN_WRITES).await;
    }
    Ok(acknowledged)
}

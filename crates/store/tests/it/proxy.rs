//! A proxy between a store and MariaDB that cuts connections at the worst moment: around a COMMIT.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Before the server gets the COMMIT: nothing was written.
    Before,
    /// After the server has answered the COMMIT, which nobody hears.
    After,
}

/// Cuts every second COMMIT. It ends with this value.
pub(crate) struct Proxy {
    at: SocketAddr,
    commits: Arc<AtomicU64>,
    _running: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port, in front of the server at this address.
    pub(crate) async fn start(server: SocketAddr, cut: Cut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, commits) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let counted = Arc::clone(&commits);
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                carried.spawn(carry(client, server, cut, Arc::clone(&counted)));
            }
        });
        Self { at, commits, _running: running }
    }

    /// The address of a database through this proxy.
    pub(crate) fn through(&self, address: &str) -> String {
        let (head, tail) = address.split_once('@').unwrap();
        format!("{head}@{}/{}", self.at, tail.split_once('/').unwrap().1)
    }

    /// How many COMMITs came by.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }
}

/// Carries packets both ways until a COMMIT is cut, or one side has had enough.
async fn carry(client: TcpStream, server: TcpStream, cut: Cut, commits: Arc<AtomicU64>) {
    let ((ask, reply), (answer, forward)) = (client.into_split(), server.into_split());
    let swallow = AtomicBool::new(false);
    let mut answers = pin!(carry_answers(answer, reply, &swallow));
    tokio::select! {
        open = carry_questions(ask, forward, cut, &commits, &swallow) => {
            if open.is_some() {
                answers.await;
            }
        }
        () = &mut answers => {}
    }
}

/// Until the server ends, or has said something that is to be swallowed.
async fn carry_answers(mut answer: OwnedReadHalf, mut reply: OwnedWriteHalf, swallow: &AtomicBool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = answer.read(&mut buffer).await {
        // Whoever asks waits for one answer before the next question, so this is the one to the COMMIT.
        if swallow.load(Ordering::SeqCst) || reply.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Until the client ends or a COMMIT is to be cut. If the server has got that one, its side stays open.
async fn carry_questions(
    mut ask: OwnedReadHalf,
    mut forward: OwnedWriteHalf,
    cut: Cut,
    commits: &AtomicU64,
    swallow: &AtomicBool,
) -> Option<OwnedWriteHalf> {
    // A packet: three bytes of length, a number, and that many bytes.
    let mut header = [0; 4];
    while ask.read_exact(&mut header).await.is_ok() {
        let length = usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
        let mut packet = header.to_vec();
        packet.resize(4 + length, 0);
        ask.read_exact(&mut packet[4..]).await.ok()?;
        let is_cut = &packet[4..] == b"\x03COMMIT" && commits.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
        if is_cut && cut == Cut::Before {
            return None;
        }
        swallow.store(is_cut, Ordering::SeqCst);
        forward.write_all(&packet).await.ok()?;
        if is_cut {
            return Some(forward);
        }
    }
    None
}

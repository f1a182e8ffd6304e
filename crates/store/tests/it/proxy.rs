//! A proxy between a store and MariaDB that cuts connections at the worst moment: around a COMMIT.

use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Where a connection is cut, at its next COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Before the server gets the COMMIT: nothing was written.
    Before,
    /// After the server has answered the COMMIT, which nobody hears.
    After,
    /// After it, and on all connections nothing is asked any more until somebody lets it pass.
    AfterAndHold,
}

/// Which COMMIT is cut where, by its number.
type Cuts = dyn Fn(u64) -> Option<Cut> + Send + Sync;

/// What the connections share.
struct Shared {
    cuts: Box<Cuts>,
    commits: AtomicU64,
    /// Nothing is heard of a connection from its first ROLLBACK on.
    mute: bool,
    held: watch::Sender<bool>,
}

/// It ends with this value.
pub(crate) struct Proxy {
    at: SocketAddr,
    shared: Arc<Shared>,
    _running: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port, in front of the server at this address. Cuts every second COMMIT.
    pub(crate) async fn start(server: SocketAddr, cut: Cut) -> Self {
        Self::listen(server, Box::new(move |number| number.is_multiple_of(2).then_some(cut)), false).await
    }

    /// Cuts the first COMMITs so, one after the other, and no more.
    pub(crate) async fn script(server: SocketAddr, cuts: &'static [Cut]) -> Self {
        let nth = |number| usize::try_from(number).ok().and_then(|number| cuts.get(number).copied());
        Self::listen(server, Box::new(nth), false).await
    }

    /// Cuts nothing, but answers no ROLLBACK, nor anything after it.
    pub(crate) async fn mute(server: SocketAddr) -> Self {
        Self::listen(server, Box::new(|_| None), true).await
    }

    async fn listen(server: SocketAddr, cuts: Box<Cuts>, mute: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { cuts, commits: AtomicU64::new(0), mute, held: watch::Sender::new(false) });
        let with = Arc::clone(&shared);
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut carried = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                carried.spawn(carry(client, server, Arc::clone(&with)));
            }
        });
        Self { at, shared, _running: running }
    }

    /// The address of a database through this proxy.
    pub(crate) fn through(&self, address: &str) -> String {
        let (head, tail) = address.split_once('@').unwrap();
        format!("{head}@{}/{}", self.at, tail.split_once('/').unwrap().1)
    }

    /// How many COMMITs came by.
    pub(crate) fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::SeqCst)
    }

    /// Lets pass what was held.
    pub(crate) fn let_pass(&self) {
        self.shared.held.send_replace(false);
    }
}

/// Carries packets both ways until a COMMIT is cut, or one side has had enough.
async fn carry(client: TcpStream, server: TcpStream, shared: Arc<Shared>) {
    let ((ask, reply), (answer, forward)) = (client.into_split(), server.into_split());
    let swallow = AtomicBool::new(false);
    let mut answers = pin!(carry_answers(answer, reply, &swallow));
    tokio::select! {
        open = carry_questions(ask, forward, &shared, &swallow) => {
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
    shared: &Shared,
    swallow: &AtomicBool,
) -> Option<OwnedWriteHalf> {
    // A packet: three bytes of length, a number, and that many bytes.
    let mut header = [0; 4];
    while ask.read_exact(&mut header).await.is_ok() {
        let length = usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
        let mut packet = header.to_vec();
        packet.resize(4 + length, 0);
        ask.read_exact(&mut packet[4..]).await.ok()?;
        shared.held.subscribe().wait_for(|held| !held).await.ok()?;
        if shared.mute && &packet[4..] == b"\x03ROLLBACK" {
            return pending().await;
        }
        let is_commit = &packet[4..] == b"\x03COMMIT";
        let cut = is_commit.then(|| (shared.cuts)(shared.commits.fetch_add(1, Ordering::SeqCst))).flatten();
        if cut == Some(Cut::Before) {
            return None;
        }
        swallow.store(cut.is_some(), Ordering::SeqCst);
        if cut == Some(Cut::AfterAndHold) {
            shared.held.send_replace(true);
        }
        forward.write_all(&packet).await.ok()?;
        if cut.is_some() {
            return Some(forward);
        }
    }
    None
}

//! The listener: from a bound address to an orderly end.

use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use redtrove_service::Shutdown;
use tokio::net::TcpListener;

/// How long requests that are under way have to end once the daemon stops.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// Serves until `shutdown` begins, and then until the requests that are under way have been answered.
pub async fn serve(listener: TcpListener, router: Router, shutdown: &Shutdown) -> io::Result<()> {
    let listener = listener.tap_io(|stream| {
        // Answers are small and whole: waiting for more to send only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("a connection keeps Nagle's algorithm: {error}");
        }
    });
    let stop = shutdown.token().clone().cancelled_owned();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(stop);
    // A client that holds its connection open must not hold the daemon.
    shutdown.work(LAST_REQUESTS, server.into_future()).await.unwrap_or(Ok(()))
}

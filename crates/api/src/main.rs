//! redtrove-api: the database API of OpenStack for Redis clusters.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use redtrove_api::config::Config;
use redtrove_api::{router, serve, start};
use redtrove_service::{CommonArgs, Shutdown, notify, run};
use tokio::net::TcpListener;

/// The database API of OpenStack, for Redis clusters.
#[derive(Debug, Parser)]
#[command(name = "redtrove-api", version)]
struct Args {
    #[command(flatten)]
    common: CommonArgs,
}

impl AsRef<CommonArgs> for Args {
    fn as_ref(&self) -> &CommonArgs {
        &self.common
    }
}

fn main() -> ExitCode {
    run(|_: Args, config: Config, shutdown| work(config, shutdown))
}

async fn work(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let bind = config.api.bind();
    let app = start::app(config, &shutdown).await?;
    let listener = TcpListener::bind(bind).await.with_context(|| format!("cannot listen on {bind}"))?;
    let address = listener.local_addr()?;
    tracing::info!(address = %address, "serving requests on http://{address}");
    notify::ready();
    serve::serve(listener, router(app), &shutdown).await.context("the listener failed")
}

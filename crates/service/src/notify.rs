//! What systemd is told (`Type=notify`). Without systemd each call does nothing.

use std::convert::Infallible;
use std::future::pending;

use sd_notify::NotifyState;

use crate::pulse::{Pulses, Stuck};

/// Tells systemd that the daemon serves. Called by the daemon's body once everything is bound.
pub fn ready() {
    tell(NotifyState::Ready);
}

/// Tells systemd that the daemon is on its way out.
pub fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd could not be told about a change of state: {error}");
    }
}

/// Pings systemd's watchdog at half of its period, for as long as this future is polled and every loop of `pulses`
/// turns; with no watchdog it waits for ever. A daemon that hangs stops pinging, and systemd restarts it.
pub async fn watchdog(pulses: &Pulses) -> Infallible {
    let Some(period) = sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|period| !period.is_zero()) else {
        return pending().await;
    };
    let mut ticks = tokio::time::interval(period);
    let mut stuck = None;
    loop {
        ticks.tick().await;
        let now = pulses.stuck();
        match &now {
            None => tell(NotifyState::Watchdog),
            Some(Stuck { name, silent }) if stuck.is_none() => {
                let seconds = silent.as_secs();
                tracing::error!("the {name} has not turned for {seconds} s: systemd's watchdog is told nothing");
            }
            Some(_) => {}
        }
        stuck = now;
    }
}

//! Ctrl-C as something to ask about, so that whoever started something also ends it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The command was interrupted and has tidied up.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// From its making on, SIGINT, SIGTERM and SIGHUP no longer end the process; they are noted here.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt {
    seen: Arc<AtomicBool>,
}

impl Interrupt {
    pub(crate) fn catch() -> Result<Self> {
        let seen = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&seen)).context("cannot catch signals")?;
        }
        Ok(Self { seen })
    }

    pub(crate) fn is_seen(&self) -> bool {
        self.seen.load(Ordering::SeqCst)
    }

    /// Fails with [`Interrupted`] once a signal came.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_seen() {
            bail!(Interrupted);
        }
        Ok(())
    }
}

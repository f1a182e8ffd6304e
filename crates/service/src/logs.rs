//! Log lines on standard error: text for people, JSON for machines.
//!
//! A JSON line has the event's own fields at its top and the enclosing spans, outermost first, under `spans`; so a
//! `request.id` or `task.id` set once on a span is on every line below it.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{Log, LogFormat};

/// What is said of libraries unless `[log] filter` says otherwise. lapin logs clean ends as errors and prints the
/// bodies of returned messages; sqlx logs each statement.
const LIBRARIES: &str = "lapin=off,sqlx=warn";

/// Starts logging for the whole process, panics included. A second call is an error.
pub fn init(log: &Log) -> Result<(), TryInitError> {
    let on_terminal = io::stderr().is_terminal();
    let json = match log.format {
        LogFormat::Auto => !on_terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    subscriber(log, json, on_terminal, io::stderr).try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let reason = panic.payload_as_str().unwrap_or("no reason given");
        tracing::error!(panic.place = place, "panicked at {place}: {reason}");
    }));
    Ok(())
}

fn subscriber<W>(log: &Log, json: bool, colours: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let directives = format!("{LIBRARIES},{}", log.filter);
    // The filter was parsed once when the configuration was read.
    let filter = EnvFilter::try_new(&directives).unwrap_or_else(|_| EnvFilter::new(LIBRARIES));
    // A line that cannot be written, on a full disk or without a reader, is lost. The library would complain of that
    // on standard error, which is where it could not be written, and panic.
    let base = fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    if json {
        Box::new(base.json().flatten_event(true).with_current_span(false).with_span_list(true).finish())
    } else {
        Box::new(base.with_ansi(colours).finish())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Lines {
        type Writer = Self;

        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    fn logged(filter: &str, json: bool, events: impl FnOnce()) -> String {
        let log: Log = toml::from_str(&format!("filter = \"{filter}\"")).unwrap();
        let lines = Lines::default();
        tracing::subscriber::with_default(subscriber(&log, json, false, lines.clone()), events);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_json_line_carries_the_fields_of_its_event_and_of_its_spans() {
        let text = logged("info", true, || {
            let _request = tracing::info_span!("request", request.id = "req-1").entered();
            let _task = tracing::info_span!("task", task.id = "t-1").entered();
            tracing::info!(cluster.id = "c-1", "cluster c-1 is there");
        });
        let line: Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!(line["message"], "cluster c-1 is there");
        assert_eq!(line["cluster.id"], "c-1");
        assert_eq!(line["spans"][0]["request.id"], "req-1");
        assert_eq!(line["spans"][1]["task.id"], "t-1");
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn libraries_are_quiet_unless_the_filter_names_them() {
        let noise = || {
            tracing::error!(target: "lapin::channel", "noise");
            tracing::info!(target: "sqlx::query", "noise");
        };
        assert_eq!(logged("debug", false, noise), "");
        let text = logged("info,lapin=error", false, noise);
        assert!(text.contains("lapin::channel") && !text.contains("sqlx"), "{text}");
    }
}

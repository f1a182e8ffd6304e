//! What every daemon shares: configuration, logs, metrics, health, shutdown.

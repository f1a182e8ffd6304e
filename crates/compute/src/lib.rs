//! The engine's Compute: local processes.

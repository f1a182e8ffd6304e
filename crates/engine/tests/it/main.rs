//! The engine in the simulated world: whatever goes wrong, every task ends and every end is a legal state.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod calm;
mod chaos;
mod contract;
mod doctor;
mod fence;
mod grow;
mod harness;
mod reclaim;
mod shrink;
mod trouble;
mod watch;
mod whole;

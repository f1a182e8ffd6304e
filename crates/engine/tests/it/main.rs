//! The engine in the simulated world: whatever goes wrong, every task ends and every end is a legal state.

mod calm;
mod chaos;
mod fence;
mod harness;
mod watch;

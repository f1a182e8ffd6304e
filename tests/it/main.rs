//! The whole system on one machine, one file a story: our three programs, redis-server, RabbitMQ, SQLite,
//! MariaDB, Keystone, OpenStack's own clients.
//!
//! The programs are those of the same build: `cargo build` makes them, and a story that does not find them says so.

// The attribute tells clippy that helpers beside the tests are tests too.
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod blueprint;
#[cfg(test)]
mod broker_away;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod database_away;
#[cfg(test)]
mod delete_during_build;
#[cfg(test)]
mod disks_full;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod embedded;
#[cfg(test)]
mod follow_a_request;
#[cfg(test)]
mod frozen;
#[cfg(test)]
mod grow;
#[cfg(test)]
mod keystone;
#[cfg(test)]
mod kill_nine_forming;
#[cfg(test)]
mod kill_nine_serving;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod namespaces;
#[cfg(test)]
mod node_killed;
#[cfg(test)]
mod orphans;
#[cfg(test)]
mod outside_callers;
#[cfg(test)]
mod paused_taskmanager;
#[cfg(test)]
mod poison;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod redis_killed;
#[cfg(test)]
mod shrink;
#[cfg(test)]
mod shrink_and_come_back;
#[cfg(test)]
mod shrink_under_reshard;
#[cfg(test)]
mod stale_messages;
#[cfg(test)]
mod status_in_time;
#[cfg(test)]
mod stopped_in_order;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod two_taskmanagers;

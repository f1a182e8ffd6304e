//! The whole service, in process, on a real SQLite database in a directory of its own.

// The attribute tells clippy that helpers beside the tests are tests too.
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod clusters;
#[cfg(test)]
mod cost;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod document;
#[cfg(test)]
mod error_rows;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod keystone;
#[cfg(test)]
mod listener;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod operators;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod scaling;
#[cfg(test)]
mod support;

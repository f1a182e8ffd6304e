//! The parts that need a socket or a signal.

// The attribute tells clippy that helpers beside the tests are tests too.
#[cfg(test)]
mod monitoring;
#[cfg(test)]
mod scaffold;
#[cfg(test)]
mod systemd;

//! The bus against a real RabbitMQ, and against things that only look like one.

// The attribute tells clippy that helpers beside the tests are tests too.
#[cfg(test)]
mod broker_trouble;
#[cfg(test)]
mod no_broker;
#[cfg(test)]
mod support;
#[cfg(test)]
mod wake_ups;

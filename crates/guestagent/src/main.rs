//! redtrove-guestagent: one on each node, wraps redis-server.

fn main() {}

//! redtrove-api: the database API of OpenStack for Redis clusters.

fn main() {}

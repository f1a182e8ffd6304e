//! The developer's one door: demo, up, down, test, bench, ci.

fn main() {}

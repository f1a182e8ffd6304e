//! Starts real servers and our binaries on private ports for the tests, the demo and the benchmarks.

//! redtrove-taskmanager: runs the tasks, and the operator's verbs.

pub mod pki;

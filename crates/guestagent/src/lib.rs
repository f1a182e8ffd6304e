//! redtrove-guestagent: one on each node, wraps redis-server.
//!
//! A call comes in at [`service`], is read by [`input`], and is done by [`node`], which keeps [`state`], the
//! fence of [`generation`]s and a [`connection`] to the redis-server that [`redis_server`] keeps running.

pub mod acl;
pub mod cluster;
pub mod config;
pub mod connection;
pub mod failure;
pub mod generation;
pub mod home;
pub mod input;
pub mod node;
pub mod nodes_file;
pub mod process;
pub mod redis_conf;
pub mod redis_server;
pub mod server;
pub mod service;
pub mod state;

pub use config::Config;
pub use server::run;

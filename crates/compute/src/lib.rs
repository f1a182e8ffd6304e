//! Where machines come from: implementations of the engine's `Compute` port.
//!
//! [`local`] makes every instance a directory, a loopback address and a guest agent on this machine.
//! [`Issuer`] is what every provider needs of the control plane: a certificate for each newborn guest.

mod credentials;
pub mod local;

pub use credentials::{Credentials, IssueError, Issuer};
pub use local::{Local, LocalConfig, OpenError};

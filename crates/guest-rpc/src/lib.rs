//! The guest contract: generated code, conversions to the words of `redtrove-core`, and the client.
//!
//! `proto/redtrove/guest/v1/guest.proto` is the contract; read its comments first. [`v1`] is generated from it,
//! [`convert`] turns its messages into domain types that cannot be invalid and back, [`metadata`] reads and
//! writes what travels beside a call, [`role`] says what a caller may do. The feature `client` adds the caller's
//! side.

#[cfg(feature = "client")]
pub mod client;
pub mod convert;
pub mod metadata;
pub mod role;

/// The generated messages, the client and the server trait.
#[expect(missing_docs, clippy::allow_attributes, reason = "generated from guest.proto, where the comments are")]
pub mod v1 {
    tonic::include_proto!("redtrove.guest.v1");
}

/// The encoded `FileDescriptorSet` of the contract, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The port that guest agents listen on unless told otherwise.
pub const DEFAULT_PORT: u16 = 8780;

/// A field of a message, or an entry of the metadata, that can never be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct InvalidField {
    /// The path of the field, as in the contract: `nodes[2].slots[0]`.
    pub field: String,
    /// What is wrong with it.
    pub reason: String,
}

impl InvalidField {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, reason: impl ToString) -> Self {
        Self { field: field.into(), reason: reason.to_string() }
    }

    /// The same error about a field inside of `parent`.
    #[must_use]
    pub fn within(self, parent: impl std::fmt::Display) -> Self {
        Self { field: format!("{parent}.{}", self.field), reason: self.reason }
    }
}

/// INVALID_ARGUMENT, naming the field.
impl From<InvalidField> for tonic::Status {
    fn from(error: InvalidField) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

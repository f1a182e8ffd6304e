//! Answers that are kept, so that a request which comes again is answered and not carried out again.

use std::time::Duration;

use redtrove_core::TaskId;

/// How long an answer is kept, by the database's clock.
pub const ANSWERS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Which request an answer belongs to. Both are SHA-256 in 64 hexadecimal digits, so that neither is too long for a
/// database's key, and nobody reads anything out of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// Whose request it is, what it is about and under which key it came: project, user, method, path, key.
    pub id: String,
    /// What it says.
    pub body: String,
}

/// An answer, with the key that it is kept under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The request.
    pub key: RequestKey,
    /// The HTTP status.
    pub status: u16,
    /// The body, perhaps empty.
    pub body: String,
    /// The task that the request began, if it did.
    pub task: Option<TaskId>,
}

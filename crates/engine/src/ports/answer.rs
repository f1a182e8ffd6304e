//! Answers that are kept, so that a request which comes again is answered and not carried out again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redtrove_core::TaskId;
use redtrove_core::cluster::Cluster;
use redtrove_core::instance::Instance;

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
    /// The HTTP status; absent while it hangs on the verdict of the task.
    pub status: Option<u16>,
    /// The body, perhaps empty.
    pub body: String,
    /// The task that the request began, if it did.
    pub task: Option<TaskId>,
}

/// An answer that shows rows which are known only while they are written.
#[derive(Clone)]
pub struct LateAnswer {
    /// The request.
    pub key: RequestKey,
    /// The HTTP status.
    pub status: u16,
    /// Makes the body of the cluster and the instances that the submission wrote.
    pub body: Body,
}

/// Makes a body.
pub type Body = Arc<dyn Fn(&Cluster, &[Instance]) -> String + Send + Sync>;

impl LateAnswer {
    /// The answer, now that the rows are known.
    pub fn made(&self, cluster: &Cluster, instances: &[Instance], task: TaskId) -> KeptAnswer {
        let body = (self.body)(cluster, instances);
        KeptAnswer { key: self.key.clone(), status: Some(self.status), body, task: Some(task) }
    }
}

impl fmt::Debug for LateAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateAnswer").field("key", &self.key).field("status", &self.status).finish_non_exhaustive()
    }
}

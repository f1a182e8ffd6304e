//! What only operators see.

use redtrove_core::Timestamp;
use redtrove_core::cluster::Cluster;
use redtrove_core::instance::Instance;

/// A cluster as operators see it: of any project, deleted or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorCluster {
    /// The cluster.
    pub cluster: Cluster,
    /// Its instances that are not deleted, in member order.
    pub instances: Vec<Instance>,
    /// When it was deleted, if it was.
    pub deleted_at: Option<Timestamp>,
}

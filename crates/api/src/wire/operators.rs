//! Bodies of the operators' routes: quotas, and clusters of all projects.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{ClusterItem, ClusterView, Link, MemberItem};
use super::ask::given;
use super::scalar::{Object, QuotaLimit};

/// What a project may have of a resource, and has.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuotaView {
    /// `instances`, or `volumes`: the sum of their sizes, GB.
    pub resource: &'static str,
    /// How much is in use.
    pub in_use: i64,
    /// Always 0: what is asked for is in use at once.
    pub reserved: i64,
    /// The limit; a negative number is none.
    pub limit: i64,
}

/// What a project may have, and has.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuotasBody {
    /// One entry a resource.
    pub quotas: Vec<QuotaView>,
}

/// The limits that are to change.
#[derive(Debug, Deserialize, ToSchema)]
pub struct QuotasAsk {
    /// The limits, one at least.
    #[schema(value_type = QuotaLimits, example = json!({"instances": 20}))]
    pub quotas: Object<QuotaLimits>,
}

/// Limits of a project's own. A negative number is no limit, null the installation's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub struct QuotaLimits {
    /// Instances.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<QuotaLimit>, required = false)]
    pub instances: Option<Option<QuotaLimit>>,
    /// The sum of the sizes of volumes, GB.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<QuotaLimit>, required = false)]
    pub volumes: Option<Option<QuotaLimit>>,
}

/// The limits that were changed, as they are now.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuotasSetBody {
    /// Limit by resource; a negative number is none.
    pub quotas: BTreeMap<&'static str, i64>,
}

/// A cluster as operators see it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Operators<C> {
    /// What its project sees.
    #[serde(flatten)]
    pub cluster: C,
    /// The project whose it is.
    pub tenant_id: String,
    /// Whether it is deleted.
    pub deleted: bool,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub deleted_at: Option<String>,
}

/// One cluster of any project.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperatorClusterBody {
    /// The cluster.
    pub cluster: Operators<ClusterView>,
}

/// A page of the clusters of all projects.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperatorClustersBody {
    /// The clusters, by id.
    pub clusters: Vec<Operators<ClusterItem<MemberItem>>>,
    /// The next page, if there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub links: Vec<Link>,
}

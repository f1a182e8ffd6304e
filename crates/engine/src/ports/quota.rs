//! What a project may have, and what it has.

/// What is counted of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Instances.
    Instances,
    /// The sum of its volumes, GB.
    Volumes,
}

impl Resource {
    /// Every resource, in the order of their names.
    pub const ALL: [Self; 2] = [Self::Instances, Self::Volumes];

    /// Trove's name, in the database, in faults and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Instances => "instances",
            Self::Volumes => "volumes",
        }
    }
}

/// What a project may have unless it has limits of its own; a negative number is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Instances.
    pub instances: i64,
    /// The sum of its volumes, GB.
    pub volumes_gb: i64,
}

impl Limits {
    /// The limit of one resource.
    pub fn of(self, resource: Resource) -> i64 {
        match resource {
            Resource::Instances => self.instances,
            Resource::Volumes => self.volumes_gb,
        }
    }
}

/// How much of a resource a project has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The resource.
    pub resource: Resource,
    /// How much is in use.
    pub in_use: i64,
    /// The project's own limit; absent where the installation's counts.
    pub own_limit: Option<i64>,
}

impl Usage {
    /// The limit that counts when the installation's are `limits`.
    pub fn limit(&self, limits: Limits) -> i64 {
        self.own_limit.unwrap_or(limits.of(self.resource))
    }
}

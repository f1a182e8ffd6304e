//! What operators do across projects.

pub(crate) mod clusters;
pub(crate) mod quotas;

//! Looking at a cluster that is being deleted: its rows say which machines are not known to be gone.

use redtrove_core::InstanceId;
use redtrove_core::instance::{Instance, Lifecycle};
use redtrove_core::plan::Next;
use redtrove_core::plan::delete::remaining;

pub(super) fn look(instances: &[Instance]) -> Next {
    let standing: Vec<InstanceId> =
        instances.iter().filter(|instance| instance.lifecycle != Lifecycle::Deleted).map(|i| i.id).collect();
    remaining(&standing)
}

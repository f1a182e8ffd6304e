//! From rows to the words of the domain. What no version of this program writes is an error, never a guess.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::str::FromStr;

use redtrove_core::catalogue::{DatastoreLabel, DatastoreVersion, Flavor};
use redtrove_core::cluster::Cluster;
use redtrove_core::instance::{Heard, Instance};
use redtrove_core::placement::Placement;
use redtrove_core::{InstanceId, SlotRange, Timestamp};
use redtrove_engine::ports::{RemovedNode, StoreError};
use redtrove_engine::task::{StepRecord, Task};
use serde::{Deserialize, Serialize};

use crate::backend::Columns;

/// The columns of a cluster `c` and its version `v` of the datastore `d`.
macro_rules! cluster_columns {
    () => {
        "c.id AS c_id, c.project_id AS c_project_id, c.name AS c_name, c.task AS c_task, c.operation AS c_operation, \
         c.version_id AS c_version_id, c.fault AS c_fault, c.slots_served AS c_slots_served, c.created AS c_created, c.updated AS c_updated, \
         c.locality AS c_locality, d.name AS d_name, v.name AS v_name"
    };
}
pub(crate) use cluster_columns;

/// The columns of an instance `i`.
macro_rules! instance_columns {
    () => {
        "i.id AS i_id, i.cluster_id AS i_cluster_id, i.name AS i_name, i.number AS i_number, \
         i.flavor_id AS i_flavor_id, i.ram_mb AS i_ram_mb, i.volume_gb AS i_volume_gb, i.lifecycle AS i_lifecycle, \
         i.ip AS i_ip, i.node_id AS i_node_id, i.first_slot AS i_first_slot, i.last_slot AS i_last_slot, \
         i.fault AS i_fault, i.redis AS i_redis, i.silent_since AS i_silent_since, i.held_failed AS i_held_failed, \
         i.volume_used_mb AS i_volume_used_mb, i.placement AS i_placement, i.created AS i_created, i.updated AS i_updated"
    };
}
pub(crate) use instance_columns;

/// The columns of a version `v`.
macro_rules! version_columns {
    () => {
        "v.id AS v_id, v.name AS v_name, v.engine AS v_engine, v.active AS v_active, v.is_default AS v_is_default, \
         v.settings AS v_settings"
    };
}
pub(crate) use version_columns;

/// What a task is about, as JSON: the column `params`, which is NULL where that is the whole cluster. Newer programs
/// may add fields; older ones do not read them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Params {
    /// The instances that it is about.
    #[serde(default)]
    pub(crate) members: Vec<InstanceId>,
}

fn corrupt(what: &'static str, value: &dyn Debug) -> StoreError {
    StoreError::Corrupt { what, value: format!("{value:?}").chars().take(200).collect() }
}

/// A text or NULL.
pub(crate) fn text(row: &impl Columns, column: &'static str) -> Result<Option<String>, StoreError> {
    row.text(column).map_err(|error| corrupt(column, &error))
}

/// A number or NULL.
pub(crate) fn integer(row: &impl Columns, column: &'static str) -> Result<Option<i64>, StoreError> {
    row.integer(column).map_err(|error| corrupt(column, &error))
}

/// A value that is never NULL.
pub(crate) fn present<T>(value: Option<T>, column: &'static str) -> Result<T, StoreError> {
    value.ok_or_else(|| corrupt(column, &"NULL"))
}

/// A text that is read by its type, or NULL.
pub(crate) fn parsed_or_null<T: FromStr>(row: &impl Columns, column: &'static str) -> Result<Option<T>, StoreError> {
    text(row, column)?.map(|text| text.parse().map_err(|_| corrupt(column, &text))).transpose()
}

/// A text that is read by its type.
pub(crate) fn parsed<T: FromStr>(row: &impl Columns, column: &'static str) -> Result<T, StoreError> {
    present(parsed_or_null(row, column)?, column)
}

fn words(row: &impl Columns, column: &'static str) -> Result<String, StoreError> {
    present(text(row, column)?, column)
}

/// A number that fits its type, or NULL.
pub(crate) fn number_or_null<T: TryFrom<i64>>(
    row: &impl Columns,
    column: &'static str,
) -> Result<Option<T>, StoreError> {
    integer(row, column)?.map(|number| number.try_into().map_err(|_| corrupt(column, &number))).transpose()
}

/// A number that fits its type.
pub(crate) fn number<T: TryFrom<i64>>(row: &impl Columns, column: &'static str) -> Result<T, StoreError> {
    present(number_or_null(row, column)?, column)
}

fn flag(row: &impl Columns, column: &'static str) -> Result<bool, StoreError> {
    match present(integer(row, column)?, column)? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(corrupt(column, &other)),
    }
}

/// A time that is never NULL.
pub(crate) fn time(row: &impl Columns, column: &'static str) -> Result<Timestamp, StoreError> {
    number(row, column).map(Timestamp)
}

/// A time or NULL.
pub(crate) fn time_or_null(row: &impl Columns, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    Ok(integer(row, column)?.map(Timestamp))
}

/// A cluster, from `cluster_columns!`.
pub(crate) fn cluster(row: &impl Columns) -> Result<Cluster, StoreError> {
    Ok(Cluster {
        id: parsed(row, "c_id")?,
        project: parsed(row, "c_project_id")?,
        name: words(row, "c_name")?,
        task: parsed(row, "c_task")?,
        operation: parsed_or_null(row, "c_operation")?,
        datastore: DatastoreLabel {
            version_id: parsed(row, "c_version_id")?,
            datastore: words(row, "d_name")?,
            version: words(row, "v_name")?,
        },
        locality: parsed_or_null(row, "c_locality")?,
        fault: text(row, "c_fault")?,
        slots_served: number_or_null(row, "c_slots_served")?,
        created: time(row, "c_created")?,
        updated: time(row, "c_updated")?,
    })
}

/// An instance, from `instance_columns!`.
pub(crate) fn instance(row: &impl Columns) -> Result<Instance, StoreError> {
    Ok(Instance {
        id: parsed(row, "i_id")?,
        cluster: parsed(row, "i_cluster_id")?,
        name: words(row, "i_name")?,
        number: number(row, "i_number")?,
        flavor_id: words(row, "i_flavor_id")?,
        ram_mb: number(row, "i_ram_mb")?,
        volume_gb: number(row, "i_volume_gb")?,
        placement: placement(row)?,
        lifecycle: parsed(row, "i_lifecycle")?,
        ip: text(row, "i_ip")?,
        node_id: parsed_or_null(row, "i_node_id")?,
        planned_slots: slots(row)?,
        fault: text(row, "i_fault")?,
        heard: Heard {
            redis: parsed(row, "i_redis")?,
            silent_since: time_or_null(row, "i_silent_since")?,
            held_failed: flag(row, "i_held_failed")?,
            volume_used_mb: number_or_null(row, "i_volume_used_mb")?,
        },
        created: time(row, "i_created")?,
        updated: time(row, "i_updated")?,
    })
}

fn placement(row: &impl Columns) -> Result<Placement, StoreError> {
    let Some(json) = text(row, "i_placement")? else { return Ok(Placement::default()) };
    serde_json::from_str(&json).map_err(|_| corrupt("i_placement", &json))
}

fn slots(row: &impl Columns) -> Result<Option<SlotRange>, StoreError> {
    match (number_or_null::<u32>(row, "i_first_slot")?, number_or_null::<u32>(row, "i_last_slot")?) {
        (None, None) => Ok(None),
        (Some(first), Some(last)) => SlotRange::new(first, last).map(Some).map_err(|error| corrupt("slots", &error)),
        half => Err(corrupt("slots", &half)),
    }
}

/// A task, from all columns of its table.
pub(crate) fn task(row: &impl Columns) -> Result<Task, StoreError> {
    Ok(Task {
        id: parsed(row, "id")?,
        cluster: parsed(row, "cluster_id")?,
        kind: parsed(row, "kind")?,
        members: members(row)?,
        state: parsed(row, "state")?,
        verdict: parsed_or_null(row, "verdict")?,
        step: text(row, "step")?,
        progress: text(row, "progress")?,
        attempt: number(row, "attempt")?,
        lease_owner: text(row, "lease_owner")?,
        deadline: time(row, "deadline")?,
        fault: text(row, "fault")?,
        request: parsed(row, "request_id")?,
        traceparent: text(row, "traceparent")?,
        created: time(row, "created")?,
        started: time_or_null(row, "started")?,
        ended: time_or_null(row, "ended")?,
    })
}

fn members(row: &impl Columns) -> Result<Vec<InstanceId>, StoreError> {
    let Some(params) = text(row, "params")? else { return Ok(Vec::new()) };
    let params: Params = serde_json::from_str(&params).map_err(|_| corrupt("params", &params))?;
    Ok(params.members)
}

/// A removed node without its debtors.
pub(crate) fn removed_node(row: &impl Columns) -> Result<RemovedNode, StoreError> {
    Ok(RemovedNode {
        node: parsed(row, "node_id")?,
        instance: parsed(row, "instance_id")?,
        cluster: parsed(row, "cluster_id")?,
        debtors: BTreeSet::new(),
        paid: time_or_null(row, "paid")?,
        generation: number(row, "lease_token")?,
        cluster_deleted: flag(row, "deleted")?,
    })
}

/// An entry of a step log, from all columns of its table.
pub(crate) fn step(row: &impl Columns) -> Result<StepRecord, StoreError> {
    Ok(StepRecord {
        seq: number(row, "seq")?,
        name: words(row, "name")?,
        subject: parsed_or_null(row, "subject")?,
        outcome: parsed_or_null(row, "outcome")?,
        error: text(row, "error")?,
        started: time(row, "started")?,
        ended: time_or_null(row, "ended")?,
    })
}

/// A version, from `version_columns!`.
pub(crate) fn version(row: &impl Columns) -> Result<DatastoreVersion, StoreError> {
    let settings = words(row, "v_settings")?;
    Ok(DatastoreVersion {
        id: parsed(row, "v_id")?,
        name: words(row, "v_name")?,
        engine: parsed(row, "v_engine")?,
        active: flag(row, "v_active")?,
        is_default: flag(row, "v_is_default")?,
        settings: serde_json::from_str(&settings).map_err(|_| corrupt("v_settings", &settings))?,
    })
}

/// A flavor, from all columns of its table.
pub(crate) fn flavor(row: &impl Columns) -> Result<Flavor, StoreError> {
    Ok(Flavor {
        id: words(row, "id")?,
        name: words(row, "name")?,
        ram: number(row, "ram")?,
        vcpus: number(row, "vcpus")?,
        disk: number(row, "disk")?,
        ephemeral: number(row, "ephemeral")?,
    })
}

//! The contract of the Store port as a suite of cases, for every implementation: each case gets an empty store.
//!
//! The cases read no clock and wait for nothing: a lease of no length has expired at once.

#![expect(clippy::unwrap_used, reason = "a case that cannot go on has failed")]

mod answers;
mod catalogue;
mod debts;
mod delete;
mod grow;
pub mod hammer;
mod leases;
mod log;
mod monitor;
mod operators;
mod quota;
mod shrink;
mod submit;
mod upkeep;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redtrove_core::ids::{DatastoreId, DatastoreVersionId};
use redtrove_core::placement::Placement;
use redtrove_core::slots::divide;
use redtrove_core::topology::Engine;
use redtrove_core::{ClusterId, Fault, InstanceId, NodeId, ProjectId, RequestId, TaskId, Timestamp};
use redtrove_engine::Store;
use redtrove_engine::ports::{
    Change, Claimed, Ending, Growth, Joiner, Lease, Limits, NewCluster, NewInstance, NewTask, NewVersion, Outcome,
    Record,
};
use redtrove_engine::task::TaskKind;
use uuid::Uuid;

/// Calls a macro with the names of all cases, such as one that makes a test of each.
#[macro_export]
macro_rules! for_each_case {
    ($macro:ident) => {
        $macro! {
            submit::a_cluster_reads_back_as_asked_for,
            submit::names_are_kept_to_the_letter,
            submit::pages_follow_the_order_of_ids,
            submit::instances_are_found_through_their_project,
            submit::racing_requests_never_exceed_a_quota,
            submit::every_exceeded_resource_is_named,
            submit::a_negative_limit_is_none,
            submit::a_submission_is_taken_whole_or_not_at_all,
            submit::projects_do_not_share_a_quota,
            submit::where_members_are_to_be_reads_back,
            quota::a_projects_own_limit_counts_before_the_installations,
            quota::what_is_in_use_and_allowed_reads_back,
            quota::fifty_creates_at_once_stay_within_a_projects_own_limit,
            answers::a_request_that_comes_again_finds_the_first_answer,
            answers::racing_requests_of_one_key_have_one_effect,
            answers::a_request_that_was_refused_may_come_again,
            answers::a_reset_is_answered_once_too,
            answers::a_grow_keeps_an_answer_made_of_its_rows,
            answers::a_shrinks_answer_is_open_until_it_is_settled,
            operators::a_reset_ends_a_build,
            operators::a_reset_of_a_cluster_that_is_not_busy_changes_nothing,
            operators::a_reset_of_a_delete_leaves_members_on_their_way_out,
            operators::only_the_projects_clusters_are_reset,
            operators::operators_see_every_cluster,
            delete::a_delete_takes_over_a_build,
            delete::a_delete_under_way_changes_nothing,
            delete::racing_deletes_are_taken_once,
            delete::a_failed_delete_may_be_asked_for_again,
            delete::only_the_project_deletes_its_clusters,
            delete::a_delete_takes_over_a_growth_and_a_shrink,
            grow::a_growth_reads_back_as_asked_for,
            grow::numbers_follow_the_highest_that_was_ever_used,
            grow::racing_growths_are_taken_once,
            grow::only_a_free_cluster_of_the_project_grows,
            grow::a_cluster_has_so_many_members_and_no_more,
            grow::a_growth_keeps_the_quota,
            grow::racing_growths_never_exceed_a_quota,
            grow::a_growth_is_taken_whole_or_not_at_all,
            shrink::a_shrink_reads_back_as_asked_for,
            shrink::only_members_that_are_there_leave,
            shrink::one_member_stays,
            shrink::only_a_free_cluster_of_the_project_shrinks,
            shrink::what_is_accepted_is_kept,
            shrink::a_refusal_that_is_awaited_leaves_no_fault,
            shrink::a_refusal_that_nobody_awaits_leaves_its_fault,
            shrink::a_verdict_is_waived_only_until_it_is_given,
            shrink::a_refusal_is_told_once_or_shown,
            debts::those_who_stay_owe,
            debts::a_node_that_nobody_knew_leaves_no_debt,
            debts::a_life_that_ends_is_left_once,
            debts::the_last_payment_is_dated,
            debts::those_who_leave_owe_no_longer,
            debts::racing_payments_are_all_seen,
            debts::those_who_remember_owe_again,
            debts::what_is_owed_again_is_owed_since_then,
            debts::a_held_back_machine_is_not_rubbish,
            debts::a_node_that_is_owed_for_again_is_not_dropped,
            debts::a_deleted_cluster_owes_nothing,
            debts::nobody_is_in_the_way_of_another,
            upkeep::when_members_were_last_looked_at_is_known,
            upkeep::the_slots_that_clusters_serve_are_kept,
            upkeep::what_has_not_ended_is_listed_with_its_lease,
            upkeep::a_sound_database_has_nothing_to_be_put_right,
            upkeep::orphans_keep_the_time_of_their_first_look,
            upkeep::racing_looks_at_orphans_agree,
            upkeep::instances_without_a_row_are_told_from_deleted_ones,
            leases::racing_claims_are_won_once,
            leases::a_valid_lease_keeps_others_out,
            leases::an_expired_lease_goes_to_the_next,
            leases::an_expired_lease_is_good_until_somebody_claims,
            leases::a_task_given_back_is_due_after_its_pause,
            leases::the_leases_of_an_owner_expire_together,
            leases::a_token_rises_past_what_was_seen,
            leases::tokens_grow_over_the_tasks_of_a_cluster,
            leases::claimable_tasks_come_oldest_first,
            leases::the_next_that_may_be_claimed_is_known_before,
            leases::a_task_past_its_deadline_is_claimable,
            log::a_record_keeps_all_that_belongs_to_it,
            log::a_record_that_comes_again_changes_nothing,
            log::a_lost_lease_writes_nothing,
            log::a_success_clears_the_fault,
            log::a_failure_is_kept_where_it_belongs,
            log::a_life_never_goes_back,
            log::long_texts_keep_their_beginning,
            log::an_instance_gone_frees_its_quota_once,
            log::a_deleted_cluster_is_never_shown_again,
            catalogue::a_version_is_added_once,
            catalogue::the_default_moves,
            catalogue::racing_additions_add_one,
            catalogue::flavors_are_replaced,
            monitor::one_monitor_at_a_time,
            monitor::what_was_heard_is_kept,
            monitor::deleted_instances_are_known_by_their_rows,
            monitor::the_clock_is_the_databases,
            hammer::sixteen_workers_at_once_keep_the_books,
        }
    };
}

/// One case.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name: `<topic>::<sentence>`.
    pub name: &'static str,
    /// Runs it. It panics where the contract is broken.
    pub run: fn(Bed) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! listed {
    ($($topic:ident::$case:ident),+ $(,)?) => {
        vec![$(Case {
            name: concat!(stringify!($topic), "::", stringify!($case)),
            run: |bed| Box::pin($topic::$case(bed)),
        }),+]
    };
}

/// Every case.
pub fn cases() -> Vec<Case> {
    for_each_case!(listed)
}

/// What a case works on.
#[derive(Clone)]
pub struct Bed {
    /// An empty store.
    store: Arc<dyn Store>,
    /// The same database through another store; where an implementation has only one, that one again.
    second: Arc<dyn Store>,
    ids: Arc<AtomicU64>,
    version: DatastoreVersionId,
}

impl fmt::Debug for Bed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bed").field("ids", &self.ids).finish_non_exhaustive()
    }
}

/// The limits of one who has none.
const UNLIMITED: Limits = Limits { instances: -1, volumes_gb: -1 };
/// When clusters are asked for: before every clock that a case is run by.
const CREATED: Timestamp = Timestamp(1_000);
/// Longer than any case takes.
const LONG: Duration = Duration::from_secs(3_600);

impl Bed {
    /// A bed of an empty store, and of another one on the same database.
    pub async fn new(store: Arc<dyn Store>, second: Arc<dyn Store>) -> Self {
        let bed = Self { store, second, ids: Arc::default(), version: DatastoreVersionId(Uuid::from_u128(7)) };
        let version = NewVersion { version_id: bed.version, ..bed.new_version("redis", "7.0") };
        assert!(bed.store.add_version(&version).await.unwrap(), "the store was not empty");
        bed
    }

    /// An id that sorts after all before it.
    fn ordered(&self) -> Uuid {
        Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(self.ids.fetch_add(1, Ordering::SeqCst)))
    }

    /// An id in no order.
    fn scattered(&self) -> Uuid {
        let number = self.ids.fetch_add(1, Ordering::SeqCst) + 1;
        Uuid::from_u128(u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }

    /// A number that was not used before.
    fn number(&self) -> u32 {
        u32::try_from(self.ids.fetch_add(1, Ordering::SeqCst)).unwrap()
    }

    fn project(&self) -> ProjectId {
        "project-a".parse().unwrap()
    }

    fn new_version(&self, datastore: &str, version: &str) -> NewVersion {
        NewVersion {
            datastore: datastore.to_owned(),
            datastore_id: DatastoreId(self.scattered()),
            version: version.to_owned(),
            version_id: DatastoreVersionId(self.scattered()),
            engine: Engine::Redis,
            is_default: false,
            settings: [("appendfsync".to_owned(), "always".to_owned())].into(),
        }
    }

    fn new_task(&self, kind: TaskKind) -> NewTask {
        NewTask {
            id: TaskId(self.ordered()),
            kind,
            request: RequestId::new(self.scattered()),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            time_limit: LONG,
            members: Vec::new(),
            verdict_within: None,
        }
    }

    /// A cluster of this many members with a volume of 2 GB each.
    fn new_cluster(&self, name: &str, members: u32) -> NewCluster {
        let slots = divide(members as usize).unwrap();
        let instances = (1..=members).zip(slots).map(|(number, slots)| NewInstance {
            id: InstanceId(self.scattered()),
            name: format!("{name}-member-{number}"),
            number,
            flavor_id: "7".to_owned(),
            ram_mb: 512,
            volume_gb: 2,
            placement: Placement::default(),
            planned_slots: Some(slots),
        });
        NewCluster {
            id: ClusterId(self.scattered()),
            project: self.project(),
            name: name.to_owned(),
            version: self.version,
            locality: None,
            instances: instances.collect(),
            created: CREATED,
            task: self.new_task(TaskKind::CreateCluster),
            limits: UNLIMITED,
            answer: None,
        }
    }

    /// Submits a cluster of this many members.
    async fn created(&self, members: u32) -> NewCluster {
        let new = self.new_cluster("orders", members);
        self.store.create_cluster(&new).await.unwrap();
        new
    }

    /// Claims a task that may be claimed.
    async fn claimed(&self, task: TaskId) -> Claimed {
        self.store.claim(task, "tm-1", LONG).await.unwrap().unwrap()
    }

    /// Submits a cluster and ends its build well: a cluster that is ready.
    async fn ready(&self, members: u32) -> NewCluster {
        let new = self.created(members).await;
        let lease = self.claimed(new.task.id).await.lease;
        let complete = |instance: &NewInstance| (instance.id, redtrove_core::instance::Lifecycle::Complete);
        let ending = Ending { lifecycles: new.instances.iter().map(complete).collect(), ..success() };
        self.store.finish(&lease, &ending).await.unwrap();
        new
    }

    /// Submits a delete and claims it.
    async fn deleting(&self, cluster: ClusterId) -> Claimed {
        let task = self.new_task(TaskKind::DeleteCluster);
        self.store.delete_cluster(&self.project(), cluster, &task).await.unwrap();
        self.claimed(task.id).await
    }

    /// A cluster to be grown by this many members with a volume of 2 GB each.
    fn growth(&self, cluster: ClusterId, joiners: u32) -> Growth {
        let joiner = |_| {
            let id = InstanceId(self.scattered());
            Joiner { id, flavor_id: "8".to_owned(), ram_mb: 1_024, volume_gb: 2, placement: Placement::default() }
        };
        let joiners: Vec<_> = (0..joiners).map(joiner).collect();
        let members = joiners.iter().map(|joiner| joiner.id).collect();
        let task = NewTask { members, ..self.new_task(TaskKind::GrowCluster) };
        Growth { cluster, project: self.project(), joiners, task, limits: UNLIMITED, answer: None }
    }

    /// The task of a shrink by these members.
    fn new_shrink(&self, members: &[InstanceId]) -> NewTask {
        NewTask { members: members.to_vec(), ..self.new_task(TaskKind::ShrinkCluster) }
    }

    /// Submits a shrink by these members and claims it.
    async fn shrinking(&self, cluster: ClusterId, members: &[InstanceId]) -> Lease {
        let task = self.new_shrink(members);
        self.store.shrink_cluster(&self.project(), cluster, &task, None).await.unwrap();
        self.claimed(task.id).await.lease
    }

    /// Writes what came of a step.
    async fn changed(&self, lease: &Lease, changes: &[Change]) {
        self.store.record(lease, &changed(changes)).await.unwrap();
    }

    /// Whether the project may have this many more instances and GB of volumes when it may have `limits` in all.
    /// What is asked for is taken if it fits.
    async fn fits(&self, instances: u32, limits: Limits) -> bool {
        let new = NewCluster { limits, ..self.new_cluster("more", instances) };
        match self.store.create_cluster(&new).await {
            Ok(()) => true,
            Err(error) => {
                assert!(matches!(error, redtrove_engine::ports::SubmitError::Quota(_)), "{error}");
                false
            }
        }
    }
}

/// The end of a task that did what was asked, and nothing else.
fn success() -> Ending {
    Ending {
        outcome: Outcome::Succeeded,
        cluster_deleted: false,
        lifecycles: Vec::new(),
        faults: Vec::new(),
        ended: Vec::new(),
    }
}

/// The end of a task that could not do what was asked.
fn failure(reason: &str) -> Ending {
    Ending { outcome: Outcome::Failed(Fault::internal(reason)), ..success() }
}

/// What came of a step.
fn changed(changes: &[Change]) -> Record {
    Record { changes: changes.to_vec(), ..Record::default() }
}

fn node_id(number: u32) -> NodeId {
    format!("{number:040x}").parse().unwrap()
}

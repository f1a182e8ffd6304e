//! The doctor: finds what is wrong with an installation that no task, monitor or sweeper is about to put right, and puts
//! right what can be put right without knowing why it is wrong.
//!
//! Looking writes nothing. What an operation under way brings about is gone a moment later, so only what two looks
//! find is a finding. Putting right is fenced like every other writer: each change holds its condition in itself, or
//! goes through a claim, so that all of it is safe beside daemons at work.

mod judge;
mod look;
#[cfg(test)]
mod tests;

use std::time::Duration;

use redtrove_core::{ClusterId, InstanceId, NodeId, TaskId};
use tokio::time::{Instant, sleep};

use crate::ports::{Amendment, ComputeError, StoreError};
use crate::{World, orphans, runner};

/// Between the two looks: longer than rows, machines and nodes take to agree after a step.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// How long the doctor has to end a task that it claimed.
const CLAIMED_FOR: Duration = Duration::from_secs(30);

/// How long things may be wrong before they are a finding.
#[derive(Debug, Clone, Copy)]
pub struct Graces {
    /// How long a lease lasts.
    pub lease: Duration,
    /// How long the machine of an instance that was deleted may stay.
    pub deleted_machine: Duration,
    /// How long a machine may stay that no row knows; absent if for ever.
    pub unknown_machine: Option<Duration>,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing, one word for programs.
    pub kind: &'static str,
    /// The cluster it is about.
    pub cluster: Option<ClusterId>,
    /// The instance it is about.
    pub instance: Option<InstanceId>,
    /// The task it is about.
    pub task: Option<TaskId>,
    /// What is wrong, in a sentence.
    pub what: String,
    /// What the doctor would do about it, or what a person can do.
    pub would_do: String,
    /// How it is put right; absent if the doctor cannot.
    pub(crate) cure: Option<Cure>,
}

/// How something is put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cure {
    /// By a change of rows.
    Amend(Amendment),
    /// By ending the task.
    End(TaskId),
    /// By removing the machine of an instance that is deleted.
    RemoveDeleted(InstanceId),
    /// By removing the machine of an instance that no row knows.
    RemoveUnknown(InstanceId),
    /// By removing the machine of an instance of a deleted cluster, and saying that it is gone.
    Bury(InstanceId),
    /// By taking a debt back that nobody can pay.
    Forgive(NodeId, InstanceId),
}

/// The doctor cannot see, or cannot help.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// The database does not say.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The provider does not say.
    #[error("the provider does not say what it holds")]
    Compute(#[from] ComputeError),
    /// The provider does not remove a machine.
    #[error("the machine cannot be removed")]
    Remove(#[source] ComputeError),
}

impl Finding {
    fn is_about_the_same(&self, other: &Self) -> bool {
        let about = |finding: &Self| (finding.kind, finding.cluster, finding.instance, finding.task);
        about(self) == about(other)
    }

    /// Whether [`mend`] can put it right.
    pub fn can_be_mended(&self) -> bool {
        self.cure.is_some()
    }
}

/// What is wrong now. Takes two seconds if something seems to be.
///
/// # Errors
/// Database or provider cannot be asked; guests that do not answer are no error.
pub async fn examine(world: &World, graces: Graces) -> Result<Vec<Finding>, DoctorError> {
    let first = judge::judge(&look::look(world).await?, graces);
    if first.is_empty() {
        return Ok(first);
    }
    sleep(AGAIN_AFTER).await;
    let second = judge::judge(&look::look(world).await?, graces);
    Ok(second.into_iter().filter(|finding| first.iter().any(|before| before.is_about_the_same(finding))).collect())
}

/// Puts a finding right, if it still is one; false if it is not, or cannot be put right.
///
/// # Errors
/// Database or provider cannot be asked, or refuse.
pub async fn mend(world: &World, finding: &Finding) -> Result<bool, DoctorError> {
    let store = &world.store;
    match &finding.cure {
        None => Ok(false),
        Some(Cure::Amend(amendment)) => Ok(store.amend(amendment).await?),
        Some(Cure::End(task)) => {
            let asked = Instant::now();
            let Some(claimed) = store.claim(*task, "doctor", CLAIMED_FOR).await? else { return Ok(false) };
            Ok(runner::end_overdue(world, claimed, asked).await?)
        }
        Some(Cure::RemoveDeleted(instance)) => {
            Ok(!store.deleted_among(&[*instance]).await?.is_empty() && remove(world, *instance).await?)
        }
        Some(Cure::RemoveUnknown(instance)) => {
            Ok(!store.unknown_among(&[*instance]).await?.is_empty() && remove(world, *instance).await?)
        }
        Some(Cure::Bury(instance)) => {
            let left = store.left_behind().await?.iter().any(|left| left.id == *instance);
            Ok(left && remove(world, *instance).await? && store.amend(&Amendment::Bury { instance: *instance }).await?)
        }
        Some(Cure::Forgive(node, debtor)) => {
            store.pay_debts(&[(*node, *debtor)]).await?;
            Ok(true)
        }
    }
}

async fn remove(world: &World, instance: InstanceId) -> Result<bool, DoctorError> {
    orphans::remove(world, instance).await.map_err(DoctorError::Remove)
}

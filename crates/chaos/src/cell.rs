//! A cell of the failure matrix: an operation, the step that it is in, and what happens to whom then.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Error, Result, bail};
use redtrove_engine::task::TaskKind;
use serde::{Deserialize, Serialize};

/// What a tenant asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Operation {
    Create,
    Grow,
    Shrink,
    Delete,
}

impl Operation {
    pub(crate) const ALL: [Self; 4] = [Self::Create, Self::Grow, Self::Shrink, Self::Delete];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Grow => "grow",
            Self::Shrink => "shrink",
            Self::Delete => "delete",
        }
    }

    /// The kind of its task.
    pub(crate) fn kind(self) -> TaskKind {
        match self {
            Self::Create => TaskKind::CreateCluster,
            Self::Grow => TaskKind::GrowCluster,
            Self::Shrink => TaskKind::ShrinkCluster,
            Self::Delete => TaskKind::DeleteCluster,
        }
    }
}

/// Which member it happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Member {
    /// The one that the step is about: one of those that join or leave, which own no slots, where some do.
    Subject,
    /// One that owns slots, and neither joins nor leaves.
    Owner,
}

/// Whom it happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Victim {
    /// The taskmanager that runs the task.
    Taskmanager,
    /// The API that took the request.
    Api,
    /// A member's guest agent.
    Agent(Member),
    /// A member's redis-server.
    Redis(Member),
    /// A member's agent and redis-server, at once.
    Node(Member),
    /// RabbitMQ.
    Broker,
    /// MariaDB.
    Database,
    /// The network between all taskmanagers and a member's agent.
    AgentLink(Member),
    /// The network between a member and another one, which owns slots where one of the two does.
    NodeLink(Member),
}

impl Victim {
    pub(crate) const ALL: [Self; 14] = [
        Self::Taskmanager,
        Self::Api,
        Self::Agent(Member::Subject),
        Self::Agent(Member::Owner),
        Self::Redis(Member::Subject),
        Self::Redis(Member::Owner),
        Self::Node(Member::Subject),
        Self::Node(Member::Owner),
        Self::Broker,
        Self::Database,
        Self::AgentLink(Member::Subject),
        Self::AgentLink(Member::Owner),
        Self::NodeLink(Member::Subject),
        Self::NodeLink(Member::Owner),
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Taskmanager => "taskmanager",
            Self::Api => "api",
            Self::Agent(Member::Subject) => "agent",
            Self::Agent(Member::Owner) => "owner-agent",
            Self::Redis(Member::Subject) => "redis",
            Self::Redis(Member::Owner) => "owner-redis",
            Self::Node(Member::Subject) => "node",
            Self::Node(Member::Owner) => "owner-node",
            Self::Broker => "rabbitmq",
            Self::Database => "mariadb",
            Self::AgentLink(Member::Subject) => "taskmanager-node",
            Self::AgentLink(Member::Owner) => "taskmanager-owner",
            Self::NodeLink(Member::Subject) => "node-node",
            Self::NodeLink(Member::Owner) => "owner-owner",
        }
    }

    /// Those whom something happens to in this operation.
    pub(crate) fn of(operation: Operation) -> impl Iterator<Item = Self> {
        // Nobody joins or leaves the others: whoever a step is about owns slots, or is to own some.
        let is_all_owners = matches!(operation, Operation::Create | Operation::Delete);
        Self::ALL.into_iter().filter(move |victim| !(is_all_owners && victim.member() == Some(Member::Owner)))
    }

    /// Which member it is a part of, if it is one of a member's.
    pub(crate) fn member(self) -> Option<Member> {
        match self {
            Self::Agent(member)
            | Self::Redis(member)
            | Self::Node(member)
            | Self::AgentLink(member)
            | Self::NodeLink(member) => Some(member),
            Self::Taskmanager | Self::Api | Self::Broker | Self::Database => None,
        }
    }

    /// What can happen to it.
    pub(crate) fn accidents(self) -> &'static [Accident] {
        match self {
            Self::Node(_) => &[Accident::Kill],
            Self::AgentLink(_) | Self::NodeLink(_) => &[Accident::Cut],
            _ => &[Accident::Kill, Accident::Stop, Accident::Restart],
        }
    }

    /// Whether it is a part of the network.
    pub(crate) fn is_link(self) -> bool {
        matches!(self, Self::AgentLink(_) | Self::NodeLink(_))
    }

    /// Whether a redis-server dies with it, so that only what was synced is promised to stay.
    pub(crate) fn takes_redis(self) -> bool {
        matches!(self, Self::Redis(_) | Self::Node(_))
    }
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Accident {
    /// SIGKILL. A daemon of the control plane stays dead until the operation has ended.
    Kill,
    /// SIGSTOP, and SIGCONT after eight seconds.
    Stop,
    /// SIGTERM, and a start as soon as it has ended.
    Restart,
    /// Every packet is dropped, for eight seconds.
    Cut,
}

impl Accident {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Cut => "cut",
        }
    }
}

/// One cell. Its name is `operation/step/victim/accident`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Cell {
    pub(crate) operation: Operation,
    /// As the step log names it.
    pub(crate) step: String,
    pub(crate) victim: Victim,
    pub(crate) accident: Accident,
}

impl Cell {
    /// Every cell of an operation that takes these steps.
    pub(crate) fn of(operation: Operation, steps: &[String]) -> Vec<Self> {
        let accidents =
            || Victim::of(operation).flat_map(|victim| victim.accidents().iter().map(move |a| (victim, *a)));
        let at = |step: &String| {
            let step = step.clone();
            accidents().map(move |(victim, accident)| Self { operation, step: step.clone(), victim, accident })
        };
        steps.iter().flat_map(at).collect()
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.operation.name(), self.step, self.victim.name(), self.accident.name())
    }
}

impl From<Cell> for String {
    fn from(cell: Cell) -> Self {
        cell.to_string()
    }
}

impl TryFrom<String> for Cell {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl FromStr for Cell {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let parts: Vec<&str> = name.split('/').collect();
        let [operation, step, victim, accident] = parts.as_slice() else {
            bail!("'{name}' is not operation/step/victim/accident");
        };
        let unknown = |what: &str| format!("no {what} of this name in '{name}'");
        let operation = Operation::ALL.into_iter().find(|known| known.name() == *operation);
        let operation = operation.with_context(|| unknown("operation"))?;
        let victim = Victim::of(operation).find(|known| known.name() == *victim);
        let victim = victim.with_context(|| unknown("victim"))?;
        let accident = victim.accidents().iter().copied().find(|known| known.name() == *accident);
        let accident = accident.with_context(|| unknown("accident"))?;
        Ok(Self { operation, step: (*step).to_owned(), victim, accident })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Operation};

    #[test]
    fn every_cell_reads_back_its_name() {
        let cells = Cell::of(Operation::Shrink, &["close_to_tenants".to_owned(), "leave_cluster".to_owned()]);
        assert_eq!(cells.len(), 2 * (4 * 3 + 2 * (2 * 3 + 1 + 2)));
        assert_eq!(Cell::of(Operation::Delete, &["destroy".to_owned()]).len(), 6 * 3 + 1 + 2);
        for cell in &cells {
            assert_eq!(&cell.to_string().parse::<Cell>().unwrap(), cell);
        }
        for name in [
            "",
            "shrink/x/node",
            "shrink/x/node/stop",
            "melt/x/node/kill",
            "grow/x/cat/kill",
            "create/x/owner-node/kill",
        ] {
            assert!(name.parse::<Cell>().is_err(), "{name}");
        }
    }
}

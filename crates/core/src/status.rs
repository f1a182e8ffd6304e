//! The status that tenants see of a member: one function, first match wins.
//!
//! | what holds | status |
//! |---|---|
//! | it is being deleted | SHUTDOWN |
//! | an operation failed on it | ERROR, with that fault |
//! | it is not complete yet | BUILD |
//! | nobody has looked for longer than `agent_heartbeat_expiry` | ERROR, with a fault that says since when |
//! | its agent has been silent longer than `agent_heartbeat_expiry` | ERROR, with a fault that says since when |
//! | its redis-server is down or being started | SHUTDOWN |
//! | its redis-server reads its data set | BLOCKED |
//! | a majority of the members that answer hold it for failed | ERROR |
//! | none of these | ACTIVE |

use std::fmt;
use std::time::Duration;

use crate::instance::{Instance, Lifecycle, RedisState};
use crate::time::Timestamp;

/// A member's status, in Trove's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberStatus {
    /// Serving.
    Active,
    /// Reading its data set after a start.
    Blocked,
    /// Not a part of a formed cluster yet.
    Build,
    /// Needs somebody's attention; a fault says why.
    Error,
    /// Its server does not run, or it is being deleted.
    Shutdown,
}

impl MemberStatus {
    /// Trove's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Blocked => "BLOCKED",
            Self::Build => "BUILD",
            Self::Error => "ERROR",
            Self::Shutdown => "SHUTDOWN",
        }
    }
}

impl fmt::Display for MemberStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a member is in ERROR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberFault {
    /// One sentence.
    pub message: String,
    /// Since when it is known.
    pub since: Timestamp,
}

/// The status of `instance` at `now`, and the fault that goes with it. `unwatched` says since when no monitor has looked at
/// anything, if that is too long to believe what was heard.
pub fn member_status(
    instance: &Instance,
    now: Timestamp,
    heartbeat_expiry: Duration,
    unwatched: Option<Timestamp>,
) -> (MemberStatus, Option<MemberFault>) {
    // An operation that fails, and a look that finds a member failed, are the last to change its row.
    let error = |message: String, since| (MemberStatus::Error, Some(MemberFault { message, since }));
    if matches!(instance.lifecycle, Lifecycle::Deleting | Lifecycle::Deleted) {
        return (MemberStatus::Shutdown, None);
    }
    if let Some(fault) = &instance.fault {
        return error(fault.clone(), instance.updated);
    }
    if instance.lifecycle == Lifecycle::Building {
        return (MemberStatus::Build, None);
    }
    if let Some(since) = unwatched {
        return error(format!("not watched since {since}: no taskmanager is at work"), since);
    }
    let heard = &instance.heard;
    if let Some(since) = heard.silent_since.filter(|since| now.since(*since) > heartbeat_expiry) {
        return error(format!("guest agent silent since {since}"), since);
    }
    match heard.redis {
        RedisState::Down | RedisState::Starting => (MemberStatus::Shutdown, None),
        RedisState::Loading => (MemberStatus::Blocked, None),
        RedisState::Unknown | RedisState::Running if heard.held_failed => {
            error("most other members cannot reach it".to_owned(), instance.updated)
        }
        RedisState::Unknown | RedisState::Running => (MemberStatus::Active, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::instance::Heard;
    use crate::placement::Placement;

    const EXPIRY: Duration = Duration::from_secs(90);

    fn instance(lifecycle: Lifecycle, fault: Option<&str>, heard: Heard) -> Instance {
        let id = "416b0b16-ba55-4302-bbd3-ff566032e1c1";
        Instance {
            id: id.parse().unwrap(),
            cluster: id.parse().unwrap(),
            name: "a-member-1".into(),
            number: 1,
            flavor_id: "1".into(),
            ram_mb: 512,
            volume_gb: 1,
            placement: Placement::default(),
            lifecycle,
            ip: None,
            node_id: None,
            planned_slots: None,
            fault: fault.map(Into::into),
            heard,
            created: Timestamp(0),
            updated: Timestamp(0),
        }
    }

    #[test]
    fn each_row_of_the_table() {
        let now = Timestamp(200_000);
        let running = Heard { redis: RedisState::Running, ..Heard::default() };
        let silent = |ms| Heard { silent_since: Some(Timestamp(ms)), ..running.clone() };
        let status = |lifecycle, fault, heard| member_status(&instance(lifecycle, fault, heard), now, EXPIRY, None).0;
        use MemberStatus as S;
        assert_eq!(status(Lifecycle::Deleting, Some("x"), silent(0)), S::Shutdown);
        assert_eq!(status(Lifecycle::Building, Some("x"), running.clone()), S::Error);
        assert_eq!(status(Lifecycle::Building, None, running.clone()), S::Build);
        assert_eq!(status(Lifecycle::Complete, None, silent(0)), S::Error);
        assert_eq!(status(Lifecycle::Complete, None, silent(150_000)), S::Active, "silent, but not for long");
        for (redis, want) in [
            (RedisState::Down, S::Shutdown),
            (RedisState::Starting, S::Shutdown),
            (RedisState::Loading, S::Blocked),
            (RedisState::Running, S::Active),
        ] {
            assert_eq!(status(Lifecycle::Complete, None, Heard { redis, ..running.clone() }), want);
        }
        assert_eq!(status(Lifecycle::Complete, None, Heard { held_failed: true, ..running.clone() }), S::Error);
        let (_, fault) = member_status(&instance(Lifecycle::Complete, None, silent(7_000)), now, EXPIRY, None);
        let silent =
            MemberFault { message: "guest agent silent since 1970-01-01T00:00:07".into(), since: Timestamp(7_000) };
        assert_eq!(fault, Some(silent));
        let unwatched =
            |lifecycle| member_status(&instance(lifecycle, None, running.clone()), now, EXPIRY, Some(Timestamp(9_000)));
        assert_eq!([Lifecycle::Complete, Lifecycle::Building].map(|life| unwatched(life).0), [S::Error, S::Build]);
        assert_eq!(unwatched(Lifecycle::Complete).1.unwrap().since, Timestamp(9_000));
    }

    proptest! {
        #[test]
        fn error_and_fault_come_together(
            lifecycle in prop::sample::select(Lifecycle::ALL.to_vec()),
            redis in prop::sample::select(RedisState::ALL.to_vec()),
            fault in prop::option::of("[a-z]{1,9}"),
            silent in prop::option::of(0i64..400_000),
            held_failed in any::<bool>(),
        ) {
            let heard = Heard { redis, silent_since: silent.map(Timestamp), held_failed, volume_used_mb: None };
            let (status, shown) = member_status(&instance(lifecycle, fault.as_deref(), heard), Timestamp(400_000), EXPIRY, None);
            prop_assert_eq!(status == MemberStatus::Error, shown.is_some());
            prop_assert!(status != MemberStatus::Active || lifecycle == Lifecycle::Complete);
        }
    }
}

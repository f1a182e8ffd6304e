//! Mistakes that the simulated world can be told to make, so that it is known that they would be noticed.

/// A mistake of a part of the world, or of the engine as the world sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// The database takes every write to a running task, whatever its token.
    TheDatabaseChecksNoToken,
    /// A claim succeeds although another's lease is valid.
    ClaimsIgnoreLeases,
    /// A claim does not take the next token of the cluster.
    ClaimsKeepTheToken,
    /// A task ends, and its cluster stays busy with it.
    EndedTasksKeepTheirClusterBusy,
    /// Instances go, and their share of the quota does not.
    QuotaIsNotGivenBack,
    /// The end of a task takes its verdict back.
    VerdictsChange,
    /// The step log of a task is begun anew when it is claimed again.
    StepLogsAreCutShort,
    /// A reset opens the cluster's first task, which has ended.
    EndedTasksAreOpenedAgain,
    /// An instance is a complete member once it was heard of, even if it was deleted meanwhile.
    DeletedInstancesComeBack,
    /// Tasks that no message brings are not found.
    SweepersFindNothing,
    /// Guests carry out orders of every generation.
    GuestsObeyAnyGeneration,
    /// A node that is away, or whose agent is silent, seems failed to all others, and seems to own nothing.
    AwayNodesSeemFailedAndEmpty,
    /// A node takes every slot as soon as it is complete.
    CompleteNodesTakeEverySlot,
    /// A node does not forget whom it is told to forget.
    NodesForgetNobody,
    /// The provider holds no address back.
    AddressesAreFreeAtOnce,
    /// The provider lists no machines.
    TheProviderListsNothing,
}

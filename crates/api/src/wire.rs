//! What goes over the wire: the bodies that are read and the bodies that are written. The OpenAPI document is made
//! from these types.

mod answer;
mod ask;
mod operators;
mod scalar;

pub use answer::{
    Absolute, ClusterBody, ClusterItem, ClusterView, ClustersBody, DatastoreBody, DatastoreRef, DatastoreView,
    DatastoresBody, FaultView, FlavorBody, FlavorRefView, FlavorView, FlavorsBody, InstanceBody, InstanceItem,
    InstanceView, InstancesBody, InstancesInDetailBody, LimitsBody, Link, LocalStorage, MemberItem, MemberView,
    ModulesBody, OperationView, TaskView, VersionBody, VersionInfo, VersionItem, VersionView, VersionsBody,
    VersionsInfo, Volume, VolumeTypesBody,
};
pub use ask::{
    Action, ActionAsk, ClusterAsk, CreateAsk, DatastoreAsk, GrowAsk, InstanceAsk, InstanceRef, LeaverAsk, ModuleAsk,
    NicAsk, OperatorAction, ShrinkAsk, VolumeAsk,
};
pub use operators::{
    OperatorClusterBody, OperatorClustersBody, Operators, QuotaLimits, QuotaView, QuotasAsk, QuotasBody, QuotasSetBody,
};
pub use scalar::{FlavorRef, Object, QuotaLimit, VolumeSize};

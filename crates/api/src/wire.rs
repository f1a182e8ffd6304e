//! What goes over the wire: the bodies that are read and the bodies that are written. The OpenAPI document is made
//! from these types.

mod answer;
mod ask;
mod scalar;

pub use answer::{
    Absolute, ClusterBody, ClusterItem, ClusterView, ClustersBody, DatastoreBody, DatastoreRef, DatastoreView,
    DatastoresBody, FaultView, FlavorBody, FlavorRefView, FlavorView, FlavorsBody, InstanceBody, InstanceItem,
    InstanceView, InstancesBody, LimitsBody, Link, LocalStorage, MemberItem, MemberView, OperationView, TaskView,
    VersionBody, VersionInfo, VersionItem, VersionView, VersionsBody, VersionsInfo, Volume,
};
pub use ask::{ActionAsk, ClusterAsk, CreateAsk, DatastoreAsk, InstanceAsk, ModuleAsk, NicAsk, VolumeAsk};
pub use scalar::{FlavorRef, Object, VolumeSize};

//! The bodies that are read. Bounds and forms are those of Trove's schema (`trove/common/apischema.py`); keys that
//! the schema does not know are ignored, as Trove does.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use redtrove_core::InstanceId;
use redtrove_core::placement::{Nic, Placement};
use redtrove_core::request::{Label, WantedCluster, WantedMember};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::scalar::{FlavorRef, Object, VolumeSize};

/// A key that may be left out, and is not null where it is there.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A name, or nothing at all: Trove's schema lets the type of a volume be null or empty.
fn label_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Label>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty());
    text.map(Label::try_from).transpose().map_err(serde::de::Error::custom)
}

/// The body of `POST /clusters`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateAsk {
    /// The cluster to be made.
    #[schema(value_type = ClusterAsk)]
    pub cluster: Object<ClusterAsk>,
}

/// A cluster to be made.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ClusterAsk {
    /// Its name; need not be unique. At least one letter or digit, no control characters.
    #[schema(value_type = String, min_length = 1, max_length = 255, example = "redis-clstr")]
    pub name: Label,
    /// What it is to run.
    #[schema(value_type = DatastoreAsk)]
    pub datastore: Object<DatastoreAsk>,
    /// Its members, all alike: each becomes a master with an even share of the slots.
    #[schema(value_type = Vec<InstanceAsk>, min_items = 1, max_items = 1000)]
    pub instances: Vec<Object<InstanceAsk>>,
    /// `affinity` or `anti-affinity`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, min_length = 1, max_length = 255, required = false)]
    pub locality: Option<Label>,
    /// Not supported: anything but null is refused.
    #[serde(default)]
    #[schema(value_type = Option<Object>, required = false)]
    pub configuration: Option<Value>,
    /// Taken and ignored: of use to other datastores only.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Object, required = false)]
    pub extended_properties: Option<BTreeMap<String, Value>>,
}

/// What belongs to the action `grow`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct GrowAsk {
    /// The members to be added, all alike.
    #[schema(value_type = Vec<InstanceAsk>, min_items = 1, max_items = 1000)]
    pub grow: Vec<Object<InstanceAsk>>,
}

/// What belongs to the action `shrink`.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ShrinkAsk {
    /// The members to be removed; one that is named twice is one.
    #[schema(value_type = Vec<LeaverAsk>, min_items = 1, max_items = 1000)]
    pub shrink: Vec<Object<LeaverAsk>>,
}

/// A member to be removed.
#[derive(Debug, Deserialize, ToSchema)]
pub struct LeaverAsk {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: InstanceRef,
}

/// The id of an instance, in the one form that ids have in URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstanceRef(pub InstanceId);

impl<'de> Deserialize<'de> for InstanceRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// The datastore of a cluster to be made.
#[derive(Debug, Deserialize, ToSchema)]
pub struct DatastoreAsk {
    /// The name or id of the datastore.
    #[serde(rename = "type")]
    #[schema(value_type = String, min_length = 1, max_length = 255, example = "redis")]
    pub kind: Label,
    /// The name or id of the version; the datastore's default if it is left out.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 255, example = "7.0")]
    pub version: Option<Label>,
}

/// A member of a cluster to be made.
#[derive(Debug, Deserialize, ToSchema)]
pub struct InstanceAsk {
    /// The id of a flavor, as string or integer, or a URL that ends with it. Without one the answer is 403.
    #[serde(rename = "flavorRef", default, deserialize_with = "given")]
    #[schema(value_type = FlavorRef, required = true)]
    pub flavor_ref: Option<FlavorRef>,
    /// Its volume; required where there are volumes, refused where there are none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = VolumeAsk, required = false)]
    pub volume: Option<Object<VolumeAsk>>,
    /// Its networks, one at most.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<NicAsk>, required = false, max_items = 1)]
    pub nics: Option<Nics>,
    /// Where its machine is to be.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, min_length = 1, max_length = 255, required = false)]
    pub availability_zone: Option<Label>,
    /// In which region its machine is to be.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, min_length = 1, max_length = 255, required = false)]
    pub region_name: Option<Label>,
    /// Modules to be applied.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Vec<ModuleAsk>, required = false)]
    pub modules: Option<Vec<Object<ModuleAsk>>>,
}

/// A volume.
#[derive(Debug, Deserialize, ToSchema)]
pub struct VolumeAsk {
    /// GB: an integer from 1, or the same as a string of digits.
    pub size: VolumeSize,
    /// The kind of volume; null or empty for any.
    #[serde(rename = "type", default, deserialize_with = "label_or_nothing")]
    #[schema(value_type = Option<String>, required = false, max_length = 255)]
    pub kind: Option<Label>,
}

/// A network, by one of the keys that Trove's schema knows.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NicAsk {
    /// The id of a network, as it was called first.
    #[serde(rename = "net-id", default, deserialize_with = "given")]
    #[schema(value_type = Uuid, required = false)]
    pub net_id: Option<Uuid>,
    /// The id of a network.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Uuid, required = false)]
    pub network_id: Option<Uuid>,
    /// The id of a subnet.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Uuid, required = false)]
    pub subnet_id: Option<Uuid>,
    /// The address to be taken.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = String, format = Ipv4, required = false)]
    pub ip_address: Option<Ipv4Addr>,
}

/// At most one network.
#[derive(Debug)]
pub struct Nics(pub Vec<NicAsk>);

impl<'de> Deserialize<'de> for Nics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let nics = Vec::<Object<NicAsk>>::deserialize(deserializer)?;
        if nics.len() > 1 {
            return Err(serde::de::Error::custom("must have at most 1 network"));
        }
        Ok(Self(nics.into_iter().map(|Object(nic)| nic).collect()))
    }
}

/// A module.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ModuleAsk {
    /// Its id.
    pub id: Uuid,
}

/// What the body of an action may be, for the document.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum Action {
    /// Add members.
    Grow(Vec<InstanceAsk>),
    /// Remove members.
    Shrink(Vec<LeaverAsk>),
    /// End what the cluster is busy with; what stands here does not matter.
    ResetStatus(Value),
}

/// What the body of an operator's action may be, for the document.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "kebab-case")]
pub enum OperatorAction {
    /// End what the cluster is busy with; what stands here does not matter.
    ResetTask(Value),
}

/// The body of an action: one key, the action, with what belongs to it.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct ActionAsk(pub BTreeMap<String, Value>);

impl From<CreateAsk> for WantedCluster {
    fn from(CreateAsk { cluster: Object(cluster) }: CreateAsk) -> Self {
        let Object(datastore) = cluster.datastore;
        let members = cluster.instances.into_iter().map(|Object(instance)| instance.into());
        Self {
            name: cluster.name,
            datastore: datastore.kind,
            version: datastore.version,
            members: members.collect(),
            locality: cluster.locality,
            configuration: cluster.configuration.is_some(),
        }
    }
}

impl From<InstanceAsk> for WantedMember {
    fn from(asked: InstanceAsk) -> Self {
        let nics = asked.nics.map(|Nics(nics)| nics).unwrap_or_default();
        let (volume_gb, kind) = match asked.volume {
            Some(Object(volume)) => (Some(volume.size.0), volume.kind),
            None => (None, None),
        };
        Self {
            flavor: asked.flavor_ref.map(|FlavorRef(id)| id),
            volume_gb,
            placement: Placement {
                availability_zone: asked.availability_zone.map(String::from),
                region: asked.region_name.map(String::from),
                nic: nics.into_iter().next().map(NicAsk::into),
                volume_type: kind.map(String::from),
            },
            modules: asked.modules.unwrap_or_default().into_iter().map(|Object(module)| module.id).collect(),
        }
    }
}

impl From<NicAsk> for Nic {
    fn from(asked: NicAsk) -> Self {
        Self { network: asked.network_id.or(asked.net_id), subnet: asked.subnet_id, address: asked.ip_address }
    }
}

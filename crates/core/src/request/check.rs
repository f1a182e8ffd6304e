//! From what is wanted to what can be carried out.
//!
//! The order of the checks is Trove's (`trove/cluster/service.py` and `models.py`), so that a request with several
//! mistakes gets the answer that its client knows.

use std::collections::BTreeSet;

use crate::catalogue::{Datastore, DatastoreLabel, DatastoreVersion, Flavor};
use crate::fault::{Fault, FaultKind};
use crate::ids::{DatastoreVersionId, InstanceId};
use crate::placement::Locality;
use crate::request::{
    CreateCluster, GrowCluster, Label, MOST_MEMBERS, MemberRequest, Offer, ShrinkCluster, WantedCluster, WantedMember,
};

/// The largest size that is taken where no limit is set, GB: two exabytes, which no sum of a request overflows.
const LARGEST_VOLUME_GB: u64 = i32::MAX as u64;

impl CreateCluster {
    /// Holds `wanted` against `offer`.
    ///
    /// The faults are those of Trove's contract and of the blueprint: 400 for what is malformed or inconsistent, 403
    /// for a missing flavor or one without local storage, 404 for an unknown datastore or flavor, 413 for a volume
    /// that is too large, 501 for what this installation does not do.
    pub fn check(wanted: WantedCluster, offer: &Offer<'_>) -> Result<Self, Fault> {
        check_member_count("cluster.instances", wanted.members.len())?;
        let datastore = choose_version(&wanted.datastore, wanted.version.as_ref(), offer)?;
        let locality = choose_locality(wanted.locality.as_ref())?;
        if wanted.configuration {
            return Err(Fault::bad_request("Configuration groups not supported by the datastore."));
        }
        let members = choose_members(wanted.members, offer)?;
        Ok(Self { name: wanted.name.into(), datastore, members, locality })
    }
}

impl GrowCluster {
    /// Holds `wanted` against `offer`. The new members have to be alike, not like the old ones.
    ///
    /// The faults are those of [`CreateCluster::check`] as far as they are about members.
    pub fn check(wanted: Vec<WantedMember>, offer: &Offer<'_>) -> Result<Self, Fault> {
        check_member_count("grow", wanted.len())?;
        let members = choose_members(wanted, offer)?;
        check_alike(&members)?;
        Ok(Self { members })
    }
}

impl ShrinkCluster {
    /// Takes the ids of the leavers; one that is named twice is one leaver. 400 for none and for more than a cluster
    /// can have.
    pub fn check(wanted: &[InstanceId]) -> Result<Self, Fault> {
        check_member_count("shrink", wanted.len())?;
        let mut seen = BTreeSet::new();
        Ok(Self { leavers: wanted.iter().filter(|id| seen.insert(**id)).copied().collect() })
    }
}

fn check_member_count(path: &str, count: usize) -> Result<(), Fault> {
    if (1..=MOST_MEMBERS).contains(&count) {
        return Ok(());
    }
    Err(Fault::bad_request(format!("Validation error: {path}: must have 1 to {MOST_MEMBERS} instances, not {count}")))
}

fn choose_version(datastore: &Label, version: Option<&Label>, offer: &Offer<'_>) -> Result<DatastoreLabel, Fault> {
    let wanted = datastore.as_str();
    let found = offer.datastores.iter().find(|d| d.name == wanted || d.id.to_string() == wanted);
    let found = found.ok_or_else(|| Fault::not_found(format!("Datastore '{wanted}' cannot be found.")))?;
    let chosen = match version {
        Some(version) => named_version(found, version)?,
        None => found.default_version().ok_or_else(|| {
            Fault::bad_request(format!("Datastore '{}' has no default version: name one.", found.name))
        })?,
    };
    if !chosen.active {
        return Err(Fault::bad_request(format!("Datastore version '{}' is not active.", chosen.name)));
    }
    if !offer.cluster_support {
        let message = format!("Clusters not supported for {}-{}.", found.name, chosen.name);
        return Err(Fault::new(FaultKind::NotImplemented, message));
    }
    Ok(DatastoreLabel { version_id: chosen.id, datastore: found.name.clone(), version: chosen.name.clone() })
}

/// Trove looks names and ids up in different places, and only an unknown id is "not found" (404) there.
fn named_version<'a>(datastore: &'a Datastore, wanted: &Label) -> Result<&'a DatastoreVersion, Fault> {
    datastore.version(wanted.as_str()).ok_or_else(|| {
        let kind = match wanted.as_str().parse::<DatastoreVersionId>() {
            Ok(_) => FaultKind::NotFound,
            Err(_) => FaultKind::BadRequest,
        };
        Fault::new(kind, format!("Datastore version '{wanted}' cannot be found."))
    })
}

fn choose_locality(wanted: Option<&Label>) -> Result<Option<Locality>, Fault> {
    let chosen = wanted.map(|locality| locality.as_str().parse::<Locality>()).transpose();
    chosen.map_err(|unknown| {
        let known = Locality::ALL.map(Locality::name).join("', '");
        Fault::bad_request(format!("Invalid locality '{}'. Must be one of ['{known}'].", unknown.0))
    })
}

/// What new members are to be made of, and that they are alike.
fn choose_members(wanted: Vec<WantedMember>, offer: &Offer<'_>) -> Result<Vec<MemberRequest>, Fault> {
    if wanted.iter().any(|member| member.flavor.is_none()) {
        return Err(Fault::forbidden("A flavor is required for each instance in the cluster."));
    }
    let choose = |member: WantedMember| {
        let flavor = choose_flavor(member.flavor.as_deref().unwrap_or_default(), offer)?;
        let volume_gb = choose_volume(member.volume_gb, flavor, offer)?;
        check_modules(&member)?;
        Ok(MemberRequest { flavor: flavor.clone(), volume_gb, placement: member.placement })
    };
    let members: Vec<_> = wanted.into_iter().map(choose).collect::<Result<_, Fault>>()?;
    check_alike(&members)?;
    Ok(members)
}

/// There are no modules here, so none that is named exists.
fn check_modules(member: &WantedMember) -> Result<(), Fault> {
    match member.modules.first() {
        Some(module) => Err(Fault::not_found(format!("Module {module} cannot be found."))),
        None => Ok(()),
    }
}

fn choose_flavor<'a>(wanted: &str, offer: &Offer<'a>) -> Result<&'a Flavor, Fault> {
    let found = offer.flavors.iter().find(|flavor| flavor.id == wanted);
    found.ok_or_else(|| {
        let shown: String = wanted.chars().take(64).collect();
        Fault::not_found(format!("Flavor not found: '{shown}'."))
    })
}

fn choose_volume(wanted: Option<u64>, flavor: &Flavor, offer: &Offer<'_>) -> Result<u64, Fault> {
    match wanted {
        Some(_) if !offer.volume_support => {
            Err(Fault::new(FaultKind::NotImplemented, "Volume support is not enabled."))
        }
        None if offer.volume_support => {
            Err(Fault::bad_request("A volume size is required for each instance in the cluster."))
        }
        None if flavor.ephemeral == 0 => {
            Err(Fault::forbidden(format!("Local storage not specified in flavor ID: {}.", flavor.id)))
        }
        None => Ok(flavor.ephemeral),
        Some(size) => check_size(size, offer.max_volume_gb).map(|()| size),
    }
}

fn check_size(size: u64, most: i64) -> Result<(), Fault> {
    if size == 0 {
        return Err(Fault::bad_request("Validation error: the size of a volume must be at least 1 Gb."));
    }
    // A negative limit is none, apart from what can be counted.
    let most = u64::try_from(most).unwrap_or(LARGEST_VOLUME_GB).min(LARGEST_VOLUME_GB);
    if size <= most {
        return Ok(());
    }
    let message = format!("Volume 'size' cannot exceed maximum of {most} Gb, {size} cannot be accepted.");
    Err(Fault::new(FaultKind::OverLimit, message))
}

/// Slots are divided evenly and nodes talk to each other directly, so members have to be alike.
fn check_alike(members: &[MemberRequest]) -> Result<(), Fault> {
    let differs = |differ: fn(&MemberRequest, &MemberRequest) -> bool| {
        members.first().is_some_and(|first| members.iter().any(|member| differ(first, member)))
    };
    if differs(|a, b| a.flavor.id != b.flavor.id) {
        return Err(Fault::bad_request("The flavor for each instance in a cluster must be the same."));
    }
    if differs(|a, b| a.volume_gb != b.volume_gb) {
        return Err(Fault::bad_request("The volume size for each instance in a cluster must be the same."));
    }
    let mut networks = members.iter().filter_map(|member| member.placement.nic.as_ref()?.network);
    let first = networks.next();
    if networks.any(|network| Some(network) != first) {
        return Err(Fault::bad_request("The network for each instance in a cluster must be the same."));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

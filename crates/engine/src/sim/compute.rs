//! A provider whose machines are entries of a map.

use std::collections::BTreeMap;

use async_trait::async_trait;
use redtrove_core::catalogue::Flavor;
use redtrove_core::{Fault, InstanceId};

use super::chaos::Trouble;
use super::{Incarnation, State};
use crate::ports::{Compute, ComputeError, Destroyed, InstanceSpec, Keep, Machine};

#[derive(Debug, Default)]
pub(super) struct Machines {
    ips: BTreeMap<InstanceId, String>,
    /// Addresses that are held back for instances whose machines are gone.
    held: BTreeMap<InstanceId, String>,
    made: u32,
}

impl Machines {
    pub(super) fn ids(&self) -> Vec<InstanceId> {
        self.ips.keys().copied().collect()
    }

    pub(super) fn held(&self) -> Vec<InstanceId> {
        self.held.keys().copied().collect()
    }

    fn destroy(&mut self, instance: InstanceId, keep: Keep) {
        let address = self.ips.remove(&instance);
        match keep {
            Keep::Nothing => self.held.retain(|held, _| *held != instance),
            Keep::Address => self.held.extend(address.map(|address| (instance, address))),
        }
    }

    pub(super) fn has(&self, instance: InstanceId, ip: &str) -> bool {
        self.ips.get(&instance).is_some_and(|own| own == ip)
    }

    pub(super) fn at(&self, ip: &str) -> Option<InstanceId> {
        self.ips.iter().find(|(_, own)| *own == ip).map(|(id, _)| *id)
    }

    fn ensure(&mut self, instance: InstanceId) -> String {
        let made = &mut self.made;
        let ip = self.ips.entry(instance).or_insert_with(|| {
            *made += 1;
            format!("10.0.{}.{}", *made / 250, *made % 250 + 1)
        });
        ip.clone()
    }
}

/// [`Compute`] of a simulated world.
#[derive(Debug, Clone)]
pub struct SimCompute(pub(super) Incarnation);

fn fail(trouble: Trouble) -> ComputeError {
    match trouble {
        Trouble::Transient => ComputeError::Transient("simulated".to_owned()),
        Trouble::Permanent => ComputeError::Permanent(Fault::forbidden("no room in the simulated world")),
    }
}

#[async_trait]
impl Compute for SimCompute {
    async fn ensure(&self, spec: &InstanceSpec) -> Result<Machine, ComputeError> {
        let effect = |state: &mut State, _| Ok(Machine::Ready { ip: state.machines.ensure(spec.id) });
        self.0.call("ensure", effect, |trouble| Err(fail(trouble))).await
    }

    async fn destroy(&self, id: InstanceId, keep: Keep) -> Result<Destroyed, ComputeError> {
        let effect = |state: &mut State, _| {
            state.machines.destroy(id, keep);
            state.nodes.remove(id);
            Ok(Destroyed::Gone)
        };
        self.0.call("destroy", effect, |trouble| Err(fail(trouble))).await
    }

    async fn list(&self) -> Result<Vec<InstanceId>, ComputeError> {
        self.0
            .call(
                "list",
                |state, _| Ok([state.machines.ids(), state.machines.held()].concat()),
                |trouble| Err(fail(trouble)),
            )
            .await
    }

    async fn flavors(&self) -> Result<Vec<Flavor>, ComputeError> {
        let flavor = Flavor { id: "1".to_owned(), name: "tiny".to_owned(), ram: 512, vcpus: 1, disk: 1, ephemeral: 0 };
        self.0.call("flavors", |_, _| Ok(vec![flavor.clone()]), |trouble| Err(fail(trouble))).await
    }
}

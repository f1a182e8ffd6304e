//! A provider whose machines are entries of a map.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use redtrove_core::catalogue::Flavor;
use redtrove_core::{Fault, InstanceId};

use super::chaos::Trouble;
use super::mutation::Mutation;
use super::{Call, Incarnation, State};
use crate::ports::{Compute, ComputeError, Destroyed, InstanceSpec, Keep, Machine};

#[derive(Debug, Clone)]
struct Server {
    ip: String,
    ready_at: Duration,
    gone_at: Option<Duration>,
}

#[derive(Debug, Default)]
pub(super) struct Machines {
    servers: BTreeMap<InstanceId, Server>,
    /// Addresses that are held back for instances whose machines are gone.
    held: BTreeMap<InstanceId, String>,
    /// How long the provider takes to make a machine, and to remove one.
    pub(super) takes: (Duration, Duration),
}

impl Machines {
    pub(super) fn ids(&self) -> Vec<InstanceId> {
        self.servers.keys().copied().collect()
    }

    pub(super) fn held(&self) -> Vec<InstanceId> {
        self.held.keys().copied().collect()
    }

    fn destroy(&mut self, instance: InstanceId, keep: Keep, now: Duration) -> Destroyed {
        let takes = self.takes.1;
        let gone_at = |server: &mut Server| *server.gone_at.get_or_insert(now + takes);
        if self.servers.get_mut(&instance).map(gone_at).is_some_and(|gone_at| now < gone_at) {
            return Destroyed::Going;
        }
        let server = self.servers.remove(&instance);
        match keep {
            Keep::Nothing => self.held.retain(|held, _| *held != instance),
            Keep::Address => self.held.extend(server.map(|server| (instance, server.ip))),
        }
        Destroyed::Gone
    }

    /// Whether the instance has a machine at the address, with an agent that runs.
    pub(super) fn has(&self, instance: InstanceId, ip: &str) -> bool {
        self.servers.get(&instance).is_some_and(|server| server.ip == ip && server.gone_at.is_none())
    }

    pub(super) fn at(&self, ip: &str) -> Option<InstanceId> {
        self.servers.iter().find(|(_, server)| server.ip == ip).map(|(id, _)| *id)
    }

    fn ensure(&mut self, instance: InstanceId, now: Duration) -> Result<Machine, ComputeError> {
        if !self.servers.contains_key(&instance) {
            let ip = self.held.get(&instance).cloned().unwrap_or_else(|| self.free_address());
            let ready_at = now + self.takes.0;
            self.servers.insert(instance, Server { ip, ready_at, gone_at: None });
        }
        match self.servers.get(&instance) {
            Some(server) if server.gone_at.is_some() => Err(ComputeError::Transient("it is being removed".to_owned())),
            Some(server) if server.ready_at <= now => Ok(Machine::Ready { ip: server.ip.clone() }),
            _ => Ok(Machine::Building),
        }
    }

    /// The lowest address that nobody has: one that became free is given at once, which is the worst that a provider
    /// may do.
    fn free_address(&self) -> String {
        let taken = |ip: &String| {
            self.servers.values().any(|server| server.ip == *ip) || self.held.values().any(|held| held == ip)
        };
        let mut addresses = (0u32..).map(|n| format!("10.0.{}.{}", n / 250, n % 250 + 1));
        addresses.find(|ip| !taken(ip)).unwrap_or_default()
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
        let id = spec.id;
        let call = Call::compute("ensure", Some(id));
        self.0.call(call, move |state: &mut State, now| state.machines.ensure(id, now), fail).await
    }

    async fn destroy(&self, id: InstanceId, keep: Keep) -> Result<Destroyed, ComputeError> {
        let effect = move |state: &mut State, now| {
            let keep = if state.mutation == Some(Mutation::AddressesAreFreeAtOnce) { Keep::Nothing } else { keep };
            state.nodes.remove(id);
            Ok(state.machines.destroy(id, keep, now))
        };
        self.0.call(Call::compute("destroy", Some(id)), effect, fail).await
    }

    async fn list(&self) -> Result<Vec<InstanceId>, ComputeError> {
        let effect = |state: &mut State, _| {
            let blind = state.mutation == Some(Mutation::TheProviderListsNothing);
            Ok(if blind { Vec::new() } else { [state.machines.ids(), state.machines.held()].concat() })
        };
        self.0.call(Call::compute("list", None), effect, fail).await
    }

    async fn flavors(&self) -> Result<Vec<Flavor>, ComputeError> {
        let flavor =
            || Flavor { id: "1".to_owned(), name: "tiny".to_owned(), ram: 512, vcpus: 1, disk: 1, ephemeral: 0 };
        self.0.call(Call::compute("flavors", None), move |_, _| Ok(vec![flavor()]), fail).await
    }
}

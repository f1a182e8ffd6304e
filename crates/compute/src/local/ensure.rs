//! Making an instance's machine.

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use redtrove_core::catalogue::Flavor;
use redtrove_core::{Fault, InstanceId};
use redtrove_engine::ports::{ComputeError, InstanceSpec};

use super::agent::Agents;
use super::machine::{self, MachineFile};
use super::process::{self, Does, Process};
use super::{Inner, transient};

impl Inner {
    /// The flavor that is asked for; what can never be made is refused here.
    pub(super) fn flavor_of(&self, spec: &InstanceSpec) -> Result<&Flavor, ComputeError> {
        if !self.config.engines.contains_key(&spec.engine) {
            let message = format!("no program is configured for engine {}", spec.engine);
            return Err(ComputeError::Permanent(Fault::unavailable(message)));
        }
        let flavor = self.config.flavors.iter().find(|flavor| flavor.id == spec.flavor_id);
        flavor.ok_or_else(|| {
            ComputeError::Permanent(Fault::not_found(format!("Flavor {} could not be found.", spec.flavor_id)))
        })
    }

    /// Makes the machine as far as it is not made. The caller has the instance's lock.
    pub(super) fn ensure(&self, spec: &InstanceSpec, flavor: &Flavor) -> Result<Ipv4Addr, ComputeError> {
        let id = spec.id;
        let home = self.layout.instance(id);
        let exists = fs::exists(&home).map_err(|error| transient("cannot look for the instance", error))?;
        if !exists {
            return self.make(spec, flavor);
        }
        let machine = MachineFile::read(&home)
            .map_err(|error| transient(&format!("cannot read machine.json of instance {id}"), error))?;
        self.hold(id, machine.ip)?;
        let started = self.adopt_or_start(id);
        started.map_err(|error| transient(&format!("cannot start the guest agent of instance {id}"), error))?;
        Ok(machine.ip)
    }

    fn make(&self, spec: &InstanceSpec, flavor: &Flavor) -> Result<Ipv4Addr, ComputeError> {
        let id = spec.id;
        let (fresh, home) = (self.layout.new_instance(id), self.layout.instance(id));
        let going = self.layout.retired(id).map_err(|error| transient("cannot look for the instance", error))?;
        if !going.is_empty() {
            return Err(ComputeError::Transient(format!("instance {id} is being removed")));
        }
        let ip = self.claims.claim(id).map_err(|error| ComputeError::Transient(error.to_string()))?;
        let credentials = self.issuer.issue(id).map_err(|error| transient(&error.to_string(), error.0))?;
        let file = machine::describe(spec, flavor, ip);
        machine::write(&fresh, &home, &self.config, self.agent_port, &file, &credentials)
            .and_then(|()| fs::rename(&fresh, &home))
            .map_err(|error| transient(&format!("cannot write the directory of instance {id}"), error))?;
        // A removal that would not wait for us may have freed the address in between.
        self.hold(id, ip)?;
        let started = self.agents.start(&self.layout, id);
        let agent =
            started.map_err(|error| transient(&format!("cannot start the guest agent of instance {id}"), error))?;
        tracing::info!(instance.id = %id, cluster.id = %spec.cluster, agent.pid = agent.pid, "made instance {id} at {ip}");
        Ok(ip)
    }

    /// Makes sure that the instance still has its address, or gives the whole instance up: two with one address
    /// would be worse than none.
    fn hold(&self, id: InstanceId, ip: Ipv4Addr) -> Result<(), ComputeError> {
        match self.claims.hold(id, ip) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let retired = self.layout.retire(id, &self.layout.instance(id));
                retired.map_err(|error| transient("cannot retire an instance without an address", error))?;
                Err(ComputeError::Transient(format!("instance {id} lost its address {ip} while it was made")))
            }
            Err(error) => Err(transient(&format!("cannot claim address {ip}"), error)),
        }
    }

    /// Finds the instance's agent or starts it. One that was started before and ended stays so if nobody is to
    /// supervise agents.
    fn adopt_or_start(&self, id: InstanceId) -> io::Result<Option<Process>> {
        if let Some(process) = Agents::noted(&self.layout, id) {
            return Ok(Some(process));
        }
        if let Some(process) = self.find_agent(id)? {
            return Ok(Some(process));
        }
        if !self.config.supervise && Agents::was_started(&self.layout, id) {
            return Ok(None);
        }
        self.agents.start(&self.layout, id).map(Some)
    }

    /// Looks for the agent among all processes and notes what it finds.
    fn find_agent(&self, id: InstanceId) -> io::Result<Option<Process>> {
        let found = process::scan(&self.layout, &self.servers)?;
        let agent = found.iter().find(|found| found.instance == id && found.does == Does::Agent);
        let Some(agent) = agent.map(|found| found.process) else { return Ok(None) };
        Agents::write_note(&self.layout, id, agent)?;
        Ok(Some(agent))
    }
}

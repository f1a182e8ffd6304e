//! The accident itself, and what mends it.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use redtrove_core::InstanceId;
use redtrove_testkit::Process;
use redtrove_testkit::stack::{Guest, release};
use rustix::process::Signal;

use crate::bed::Bed;
use crate::cell::{Accident, Victim};
use crate::network::Cut;

/// How long a stopped process stays stopped, and a cut link cut: longer than a lease, a call and the heartbeat's expiry.
const LASTS: Duration = Duration::from_secs(8);
/// The taskmanagers' way to a guest agent.
const AGENT_PORT: u16 = 8780;

/// What ends the accident.
#[derive(Debug)]
enum Mend {
    /// Nothing: the product, or the supervisor of daemons, does it.
    Nothing,
    /// A daemon that is held dead may start again.
    Release(String),
    /// The stopped processes go on.
    Continue(Vec<Process>),
    /// Packets pass again.
    Heal(Cut),
}

/// An accident that has happened.
#[derive(Debug)]
pub(crate) struct Struck {
    mend: Mend,
    /// When it is mended, unless the operation has to end first.
    due: Option<Instant>,
    /// When it happened.
    pub(crate) at: Instant,
}

/// Who is hit, in this trial.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) victim: Victim,
    pub(crate) accident: Accident,
    /// The taskmanager that runs the task, by its daemon's name.
    pub(crate) taskmanager: String,
    /// The member that is hit, or whose part is.
    pub(crate) member: Option<InstanceId>,
    /// Another member.
    pub(crate) other: Option<InstanceId>,
    /// The guests that were there before the operation. A look for those takes longer than the removal of one.
    pub(crate) known: Vec<Guest>,
}

impl Target {
    /// Does it, if whom it is meant for is there.
    pub(crate) fn strike(&self, bed: &Bed) -> Result<Option<Struck>> {
        let member = || self.guest(bed, self.member);
        match self.victim {
            Victim::Taskmanager => daemon(bed, &self.taskmanager, self.accident).map(Some),
            Victim::Api => daemon(bed, "api", self.accident).map(Some),
            Victim::Broker => daemon(bed, "rabbitmq", self.accident).map(Some),
            Victim::Database => daemon(bed, "mariadb", self.accident).map(Some),
            Victim::Agent(_) => guest(member()?.and_then(|guest| guest.agent).into_iter().collect(), self.accident),
            Victim::Redis(_) => guest(member()?.and_then(|guest| guest.redis).into_iter().collect(), self.accident),
            Victim::Node(_) => guest(both(member()?), self.accident),
            Victim::AgentLink(_) => match member()? {
                Some(guest) => cut(|| Cut::of_port(&guest.ip, AGENT_PORT), &[guest.agent]),
                None => Ok(None),
            },
            Victim::NodeLink(_) => match (member()?, self.guest(bed, self.other)?) {
                (Some(one), Some(other)) => cut(|| Cut::between(&one.ip, &other.ip), &[one.redis, other.redis]),
                _ => Ok(None),
            },
        }
    }

    fn guest(&self, bed: &Bed, instance: Option<InstanceId>) -> Result<Option<Guest>> {
        let Some(instance) = instance else { return Ok(None) };
        let id = instance.to_string();
        match self.known.iter().find(|guest| guest.id == id) {
            Some(guest) => Ok(Some(guest.clone())),
            None => bed.guest(instance),
        }
    }
}

/// Agent and server of a machine, if both are there.
fn both(guest: Option<Guest>) -> Vec<Process> {
    match guest {
        Some(Guest { agent: Some(agent), redis: Some(redis), .. }) => vec![agent, redis],
        _ => Vec::new(),
    }
}

/// Cuts a link; one whose ends have gone meanwhile is none.
fn cut(make: impl FnOnce() -> Result<Cut>, ends: &[Option<Process>]) -> Result<Option<Struck>> {
    let is_link = || ends.iter().flatten().all(|end| !end.is_gone());
    if !is_link() {
        return Ok(None);
    }
    let cut = make()?;
    if !is_link() {
        cut.heal()?;
        return Ok(None);
    }
    let at = Instant::now();
    Ok(Some(Struck { mend: Mend::Heal(cut), due: Some(at + LASTS), at }))
}

/// Hits processes that nobody but the product starts again, if all of them are there.
fn guest(processes: Vec<Process>, accident: Accident) -> Result<Option<Struck>> {
    if processes.is_empty() || processes.iter().any(Process::is_gone) {
        return Ok(None);
    }
    let signal = match accident {
        Accident::Kill => Signal::KILL,
        Accident::Stop => Signal::STOP,
        Accident::Restart | Accident::Cut => Signal::TERM,
    };
    let at = Instant::now();
    processes.iter().try_for_each(|process| process.signal(signal))?;
    Ok(Some(match accident {
        Accident::Stop => Struck { mend: Mend::Continue(processes), due: Some(at + LASTS), at },
        _ => Struck { mend: Mend::Nothing, due: None, at },
    }))
}

/// Hits a daemon of the control plane, which the supervisor starts again unless it is held.
fn daemon(bed: &Bed, name: &str, accident: Accident) -> Result<Struck> {
    let at = Instant::now();
    match accident {
        Accident::Kill => {
            fs::write(bed.layout().held(name), "").with_context(|| format!("cannot hold {name}"))?;
            bed.daemon(name)?.kill()?;
            // Without its database nothing ever ends, so that one is dead for a while only.
            let due = (name == "mariadb").then(|| at + LASTS);
            Ok(Struck { mend: Mend::Release(name.to_owned()), due, at })
        }
        Accident::Stop => {
            let process = bed.daemon(name)?;
            process.signal(Signal::STOP)?;
            Ok(Struck { mend: Mend::Continue(vec![process]), due: Some(at + LASTS), at })
        }
        Accident::Restart | Accident::Cut => {
            bed.daemon(name)?.signal(Signal::TERM)?;
            Ok(Struck { mend: Mend::Nothing, due: None, at })
        }
    }
}

impl Struck {
    /// Mends it if it is due.
    pub(crate) fn tick(&mut self, bed: &Bed) -> Result<()> {
        match self.due {
            Some(due) if Instant::now() >= due => self.mend(bed),
            _ => Ok(()),
        }
    }

    /// Whether nothing is left to be mended at a time.
    pub(crate) fn is_over(&self) -> bool {
        self.due.is_none()
    }

    /// Mends it, whatever the time.
    pub(crate) fn mend(&mut self, bed: &Bed) -> Result<()> {
        self.due = None;
        match std::mem::replace(&mut self.mend, Mend::Nothing) {
            Mend::Nothing => Ok(()),
            Mend::Release(name) => release(bed.layout().dir(), &name),
            Mend::Continue(processes) => processes.iter().try_for_each(|process| process.signal(Signal::CONT)),
            Mend::Heal(cut) => cut.heal(),
        }
    }
}

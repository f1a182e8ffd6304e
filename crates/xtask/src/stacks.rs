//! up, down and what belongs to a stack that stays.

use std::path::Path;

use anyhow::{Context as _, Result};
use redtrove_testkit::install::{Package, RABBITMQ, REDIS};
use redtrove_testkit::keystone::KEYSTONE;
use redtrove_testkit::mariadb::MARIADB;
use redtrove_testkit::stack::{self, Auth, Bus, Db, Description, Layout, Stack, StackOptions, State};
use redtrove_testkit::{Launch, wait_for};

use crate::cli::{self, KindOptions, UpOptions};
use crate::interrupt::Interrupt;
use crate::packages::{self, Consent};
use crate::{compile, say};

/// How long a supervisor may take until it is in charge.
const TAKES_OVER_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
/// How long tokens of a stack's own Keystone live, seconds.
const A_DAY: u32 = 86_400;

pub(crate) fn up(options: &UpOptions) -> Result<()> {
    let interrupt = Interrupt::catch()?;
    let bus = match options.bus {
        cli::Bus::Rabbitmq => Bus::RabbitMq,
        cli::Bus::None => Bus::None,
    };
    packages::provide(&needed(&bus, &options.kind), Consent::Ask, &interrupt)?;
    let mut wanted = StackOptions::new(&options.dir, compile::daemons(&interrupt)?);
    wanted.bus = bus;
    wanted.db = db(&options.kind);
    wanted.auth = auth(&options.kind);
    wanted.apis = options.apis.into();
    wanted.taskmanagers = options.taskmanagers.into();
    let description = start_and_leave(&wanted, options.supervise, &interrupt)?;
    if options.json {
        say::result(&serde_json::to_string(&description).context("cannot write the description")?);
    } else {
        show(&description);
    }
    Ok(())
}

/// The packages of a stack with this bus and of this kind.
pub(crate) fn needed(bus: &Bus, kind: &KindOptions) -> Vec<Package> {
    let mut packages = vec![REDIS];
    if *bus == Bus::RabbitMq {
        packages.push(RABBITMQ);
    }
    if kind.db == cli::Db::Mariadb {
        packages.push(MARIADB);
    }
    if kind.auth == cli::Auth::Keystone {
        packages.extend(KEYSTONE);
    }
    packages
}

/// Where a stack of this kind keeps its rows.
pub(crate) fn db(kind: &KindOptions) -> Db {
    match kind.db {
        cli::Db::Sqlite => Db::Sqlite,
        cli::Db::Mariadb => Db::MariaDb,
    }
}

/// Who checks the tokens of a stack of this kind.
pub(crate) fn auth(kind: &KindOptions) -> Auth {
    match kind.auth {
        cli::Auth::Static => Auth::Static,
        cli::Auth::Keystone => Auth::Keystone { token_seconds: A_DAY },
    }
}

/// Starts a stack and leaves it to a supervising process in a session of its own.
pub(crate) fn start_and_leave(options: &StackOptions, restart: bool, interrupt: &Interrupt) -> Result<Description> {
    let progress = |words: &str| {
        say::note(&format!("  {words}"));
        interrupt.check()
    };
    let me = std::env::current_exe().context("xtask does not know its own program")?;
    let mut options = options.clone();
    options.lister = stack::quoted(me.to_str().context("the path of xtask is not UTF-8")?);
    let stack = Stack::start(&options, &progress)?;
    interrupt.check()?;
    let dir = stack.layout().dir().to_owned();
    let mut launch = Launch::new(me, stack.layout().log("supervisor"), &dir).arg("supervise").arg("--dir");
    launch = launch.arg(dir.to_str().context("the path of the stack is not UTF-8")?);
    if restart {
        launch = launch.arg("--restart");
    }
    let described = stack.hand_over(&launch)?;
    let supervisor = described.pids.get("supervisor").copied();
    let in_charge = wait_for("the supervisor to take over", TAKES_OVER_WITHIN, || {
        let seen = Description::read(&dir)?;
        Ok((seen.pids.get("supervisor").copied() == supervisor).then_some(seen))
    });
    if in_charge.is_err() {
        // Nobody holds the block of addresses, so nothing may stay that uses it.
        stack::end_processes(&dir)?;
    }
    in_charge
}

fn show(description: &Description) {
    let dir = description.dir.display();
    say::result(&format!("The stack is up in {dir}."));
    say::result("");
    say::result(&format!("  export TOKEN={}", description.token));
    say::result(&format!("  export API={}/v1.0/{}", description.api, description.project_id));
    say::result("  curl -s -H \"X-Auth-Token: $TOKEN\" $API/clusters");
    say::result(&format!("  {}", description.guests));
    if let Some(keystone) = &description.keystone {
        say::result("");
        say::result(
            "With Keystone, for the openstack command line (pip install python-openstackclient python-troveclient):",
        );
        say::result("");
        keystone.exports().iter().for_each(|line| say::result(&format!("  {line}")));
        say::result("  openstack database cluster list");
    }
    say::result("");
    say::result(&format!("Logs are in {dir}/log; everything a client needs is in {dir}/stack.json."));
    say::result(&format!("It stays until: cargo xtask down --dir {dir}"));
}

pub(crate) fn down(dir: &Path) -> Result<()> {
    stack::end(dir)
}

pub(crate) fn supervise(dir: &Path, restart: bool) -> Result<()> {
    stack::supervise(dir, restart, &|words| say::note(words))
}

pub(crate) fn guests(dir: &Path) -> Result<()> {
    for guest in stack::guests(dir)? {
        let pid = |process: Option<redtrove_testkit::Process>| process.map(|process| process.pid);
        let line = serde_json::json!({
            "id": guest.id,
            "ip": guest.ip,
            "port": guest.port,
            "dir": guest.dir,
            "agent_pid": pid(guest.agent),
            "redis_pid": pid(guest.redis),
        });
        say::result(&line.to_string());
    }
    Ok(())
}

pub(crate) fn stop(dir: &Path, daemon: &str) -> Result<()> {
    stack::hold(dir, daemon)
}

pub(crate) fn start(dir: &Path, daemon: &str) -> Result<()> {
    stack::release(dir, daemon)?;
    wait_for(&format!("{daemon} to run; is the supervisor alive?"), TAKES_OVER_WITHIN, || {
        let state = State::read(&Layout::open(dir)?)?;
        Ok((!state.find(daemon)?.process.is_gone()).then_some(()))
    })
}

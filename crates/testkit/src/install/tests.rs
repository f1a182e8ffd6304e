//! The install script, run for real with an apt-get of the test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::{Package, SCRIPT, command_line, find_in, missing};
use crate::wait_for;

struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    /// A folder with an `apt-get` that notes how it was called and whether the policy was there, then runs `then`.
    fn new(known: bool, then: &str) -> Self {
        let machine = Self { dir: tempfile::tempdir().expect("a directory") };
        let calls = machine.path("calls");
        let policy = machine.path("policy-rc.d");
        let apt_get = format!(
            "#!/bin/sh\necho \"$* policy=$(test -x {} && sh {} >/dev/null; echo $?)\" >>{}\n{then}\n",
            policy.display(),
            policy.display(),
            calls.display()
        );
        machine.program("apt-get", &apt_get);
        machine.program("apt-cache", if known { "#!/bin/sh\nexit 0\n" } else { "#!/bin/sh\nexit 100\n" });
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("a script");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).expect("executable");
    }

    fn start(&self) -> Child {
        let path = format!("{}:/usr/bin:/bin", self.dir.path().display());
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "install"]).arg(self.path("policy-rc.d")).args(["one", "two"]).env("PATH", path);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        command.spawn().expect("sh starts")
    }

    fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.path("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

#[test]
fn services_are_forbidden_while_apt_runs_and_the_policy_is_gone_after_it() {
    let machine = Machine::new(true, "exit 0");
    assert!(machine.start().wait().expect("an end").success());
    let expected = "-o DPkg::Lock::Timeout=300 install --yes --no-install-recommends one two policy=101";
    assert_eq!(machine.calls(), vec![expected.to_owned()]);
    assert!(!machine.path("policy-rc.d").exists());
}

#[test]
fn a_policy_of_somebody_else_stays_as_it_is() {
    let machine = Machine::new(true, "exit 0");
    machine.program("policy-rc.d", "#!/bin/sh\nexit 7\n");
    assert!(machine.start().wait().expect("an end").success());
    assert!(machine.calls().iter().all(|call| call.ends_with("policy=7")), "{:?}", machine.calls());
    assert_eq!(fs::read_to_string(machine.path("policy-rc.d")).expect("still there"), "#!/bin/sh\nexit 7\n");
}

#[test]
fn an_unknown_package_asks_for_new_lists_first() {
    let machine = Machine::new(false, "exit 0");
    assert!(machine.start().wait().expect("an end").success());
    let calls = machine.calls();
    assert!(calls[0].contains(" update ") && calls[1].contains(" install "), "{calls:?}");
    assert_eq!(calls.len(), 2);
}

#[test]
fn a_failure_is_tried_again_once_with_new_lists_and_leaves_no_policy() {
    let machine = Machine::new(true, "exit 100");
    assert_eq!(machine.start().wait().expect("an end").code(), Some(1));
    assert_eq!(machine.calls().len(), 2, "install, update which fails too: {:?}", machine.calls());
    assert!(!machine.path("policy-rc.d").exists());
}

#[test]
fn a_signal_waits_for_apt_and_leaves_no_policy() {
    let machine = Machine::new(true, "while [ ! -e \"$(dirname \"$0\")/go\" ]; do sleep 0.02; done; exit 0");
    let mut script = machine.start();
    wait_for("apt-get to run", Duration::from_secs(20), || Ok((!machine.calls().is_empty()).then_some(())))
        .expect("it runs");
    assert!(machine.path("policy-rc.d").exists());

    let pid = Pid::from_raw(i32::try_from(script.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, Signal::TERM).expect("sent");
    assert!(script.try_wait().expect("a look").is_none(), "apt-get was left alone in the middle");
    fs::write(machine.path("go"), "").expect("go");
    assert_eq!(script.wait().expect("an end").code(), Some(143));
    assert!(!machine.path("policy-rc.d").exists());
    // Nothing of the group is left either.
    wait_for("the group to be empty", Duration::from_secs(20), || {
        Ok(kill_process_group(pid, Signal::TERM).is_err().then_some(()))
    })
    .expect("an empty group");
}

#[test]
fn a_machine_says_what_it_lacks() {
    let shell = Package { name: "dash", proof: &["sh"] };
    let fancy = Package { name: "fancy", proof: &["sh", "no-such-program-here"] };
    assert_eq!(missing(&[shell, fancy]), vec![fancy]);
    assert_eq!(command_line(&[shell, fancy]), "sudo apt-get install --no-install-recommends dash fancy");
}

#[test]
fn a_relative_entry_of_path_is_not_searched() {
    let folders = || [PathBuf::from("."), PathBuf::new(), PathBuf::from("/bin")].into_iter();
    assert_eq!(find_in("sh", folders()), Some(PathBuf::from("/bin/sh")));
    assert_eq!(find_in("/bin/sh", folders()), Some(PathBuf::from("/bin/sh")));
    assert_eq!(find_in("/bin", folders()), None, "a folder is no program");
    assert!(!Path::new("Cargo.toml").is_absolute() && find_in("Cargo.toml", folders()).is_none());
}

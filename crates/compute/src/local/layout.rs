//! Where things are below the provider's directory.
//!
//! ```text
//! <directory>/<instance>/    one instance: agent.toml, pki/, machine.json, agent.json, agent.log, node/
//! <directory>/.new/<instance>       one that is being made; renamed into place when it is whole
//! <directory>/.gone/<instance>.<n>  one that is being removed
//! <directory>/.address/<ip>         a symbolic link to the id of the instance that has the address
//! <directory>/.lock/<instance>      locked by whoever makes or removes the instance, in any process
//! ```

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use redtrove_core::InstanceId;

/// Absolute paths below one directory.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
    /// The same without symbolic links: how /proc names working directories.
    real_root: PathBuf,
}

impl Layout {
    /// Makes what is missing, for this user only.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let mut maker = DirBuilder::new();
        maker.recursive(true).mode(0o700);
        for part in [".new", ".gone", ".address", ".lock"] {
            maker.create(root.join(part))?;
        }
        Ok(Self { root: root.to_owned(), real_root: root.canonicalize()? })
    }

    pub(super) fn instance(&self, id: InstanceId) -> PathBuf {
        self.root.join(id.to_string())
    }

    /// The file that an agent is given on its command line: no other process has it there.
    pub(super) fn agent_config(&self, id: InstanceId) -> PathBuf {
        self.instance(id).join("agent.toml")
    }

    pub(super) fn new_instance(&self, id: InstanceId) -> PathBuf {
        self.root.join(".new").join(id.to_string())
    }

    pub(super) fn addresses(&self) -> PathBuf {
        self.root.join(".address")
    }

    pub(super) fn lock(&self, id: InstanceId) -> PathBuf {
        self.root.join(".lock").join(id.to_string())
    }

    /// Moves what is at `path` to where only removal looks; false if there is nothing.
    pub(super) fn retire(&self, id: InstanceId, path: &Path) -> io::Result<bool> {
        for n in 0u32.. {
            match fs::rename(path, self.root.join(format!(".gone/{id}.{n}"))) {
                Ok(()) => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                // Left behind by a removal that was cut short.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// What is left of the instance among the retired.
    pub(super) fn retired(&self, id: InstanceId) -> io::Result<Vec<PathBuf>> {
        let gone = self.root.join(".gone");
        Ok(names(&gone)?.into_iter().filter(|name| instance_in(name) == Some(id)).map(|name| gone.join(name)).collect())
    }

    /// The instances that have their directory in place.
    pub(super) fn placed(&self) -> io::Result<Vec<InstanceId>> {
        Ok(names(&self.root)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The instances that have anything at all, whole or half; without addresses.
    pub(super) fn all(&self) -> io::Result<BTreeSet<InstanceId>> {
        let mut all: BTreeSet<InstanceId> = self.placed()?.into_iter().collect();
        for part in [".new", ".gone", ".lock"] {
            all.extend(names(&self.root.join(part))?.iter().filter_map(|name| instance_in(name)));
        }
        Ok(all)
    }

    /// The instance in whose directory `path` lies, as a command line or an environment names it.
    pub(super) fn owner(&self, path: &Path) -> Option<InstanceId> {
        path.strip_prefix(&self.root).ok()?.iter().next()?.to_str()?.parse().ok()
    }

    /// The instance in whose directory a process works, also one that is being removed.
    pub(super) fn owner_of_cwd(&self, cwd: &Path) -> Option<InstanceId> {
        let mut parts = cwd.strip_prefix(&self.real_root).ok()?.iter();
        match parts.next()?.to_str()? {
            ".gone" => instance_in(parts.next()?.to_str()?),
            name => name.parse().ok(),
        }
    }
}

/// The instance of `<instance>` or `<instance>.<n>`.
fn instance_in(name: &str) -> Option<InstanceId> {
    name.split('.').next()?.parse().ok()
}

/// The names in a directory that are text; ours all are.
pub(super) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

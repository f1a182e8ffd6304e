//! A file system in memory that can be full.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// A file system of a few megabytes; it goes with this value.
#[derive(Debug)]
pub struct SmallDisk {
    place: PathBuf,
}

impl SmallDisk {
    /// Mounts one, which takes root; the directory is made if it is missing. None where nothing may be mounted, which is
    /// said; in CI nothing may be left out.
    ///
    /// # Errors
    /// In CI, if it cannot be mounted.
    #[expect(clippy::print_stderr, reason = "tests say what they leave out")]
    pub fn mount(at: &Path, megabytes: u32) -> Result<Option<Self>> {
        match Self::try_mount(at, megabytes) {
            Ok(disk) => Ok(Some(disk)),
            Err(reason) => {
                let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
                if is_ci {
                    return Err(reason.context("a small disk cannot be mounted, and nothing may be left out in CI"));
                }
                eprintln!("left out: what needs a disk that is full ({reason:#})");
                Ok(None)
            }
        }
    }

    fn try_mount(at: &Path, megabytes: u32) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "mounting takes root");
        fs::create_dir_all(at).context("no directory to mount it at")?;
        let size = format!("size={megabytes}m");
        let mut command = Command::new("mount");
        let output = command.args(["-t", "tmpfs", "-o", &size, "redtrove-test"]).arg(at).output();
        let output = output.context("cannot run mount")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(Self { place: at.to_owned() })
    }

    /// Where it is mounted.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Leaves no room.
    ///
    /// # Errors
    /// Not even a file of no length can be made.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.filler()).context("cannot fill the disk")?;
        let block = vec![0x5a; 64 * 1024];
        for size in [block.len(), 4096, 1] {
            while file.write_all(&block[..size]).is_ok() {}
        }
        Ok(())
    }

    /// Takes back what [`SmallDisk::fill`] did.
    ///
    /// # Errors
    /// It was not filled.
    pub fn make_room(&self) -> Result<()> {
        fs::remove_file(self.filler()).context("the disk was not filled")
    }

    fn filler(&self) -> PathBuf {
        self.place.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server may only just be gone.
        let _ = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}

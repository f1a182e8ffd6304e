//! The agent's directory: what is in it, how it is written so that a power cut leaves the old or the new, and how
//! its unix socket is reached however deep it lies.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// redis-server's configuration.
pub const REDIS_CONF: &str = "redis.conf";
/// redis-server's users.
pub const USERS_ACL: &str = "users.acl";
/// redis-server's output.
pub const REDIS_LOG: &str = "redis.log";
/// The unix socket of redis-server.
pub const SOCKET: &str = "redis.sock";
/// redis-server's own directory: append-only files and nodes.conf.
pub const DATA: &str = "data";
/// What redis-server keeps of its cluster.
pub const NODES_CONF: &str = "data/nodes.conf";

/// A log that is longer than this is put aside when redis-server starts, and emptied while it runs. Bytes.
const LOG_LIMIT: u64 = 10 << 20;
/// How much of the end of a log is kept that is emptied. Bytes.
const LOG_KEPT: u64 = 1 << 20;
/// Where a long log is put aside.
const OLD_LOG: &str = "redis.log.1";
/// How much of the end of the log is shown. Bytes.
const LOG_TAIL: u64 = 2048;

/// The agent's directory, held open.
#[derive(Debug)]
pub struct Home {
    directory: PathBuf,
    handle: OwnedFd,
}

/// The lock on a directory, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock is this open file")] File);

/// The directory is this process's until it is dropped; between threads it keeps nobody out.
#[derive(Debug)]
pub struct Alone<'a>(&'a OwnedFd);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        // Fails for no file that is open.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

impl Home {
    /// Opens `directory`, an absolute path, and makes it and its data directory if they do not exist.
    pub fn open(directory: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory.join(DATA))?;
        Ok(Self { directory: directory.to_owned(), handle: File::open(directory)?.into() })
    }

    /// The path of a file in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The directory itself.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A path of the unix socket that fits the 108 bytes of a socket address however deep the directory lies.
    pub fn socket(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", self.handle.as_raw_fd()))
    }

    /// Takes the lock; absent while another process has it.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        let file = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(self.path("lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until no other process is alone with the directory. Needs no space.
    pub fn alone(&self) -> io::Result<Alone<'_>> {
        flock(&self.handle, FlockOperation::LockExclusive)?;
        Ok(Alone(&self.handle))
    }

    /// Reads a file; absent if it does not exist.
    pub fn read(&self, name: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.path(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a file that may hold anything; absent if it does not exist.
    pub fn read_bytes(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file, for its owner's eyes only. When this returns, the new text is on the disk; if it fails or
    /// the power goes, the old one is there, whole. Takes no space where the file holds that text already.
    pub fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let (path, fresh) = (self.path(name), self.path(&format!("{name}.new")));
        if fs::read(&path).is_ok_and(|present| present == text.as_bytes()) {
            return sync_directory_of(&path);
        }
        let written = write_new(&fresh, text).and_then(|()| fs::rename(&fresh, &path));
        if let Err(error) = written {
            // On a full disk a part of a file is space that others need; that it stays is no worse than the error.
            let _ = fs::remove_file(fresh);
            return Err(error);
        }
        sync_directory_of(&path)
    }

    /// Moves a file out of the way, to where the last one was put; false if there is none.
    pub fn put_aside(&self, name: &str, aside: &str) -> io::Result<bool> {
        match fs::rename(self.path(name), self.path(aside)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a file; one that does not exist is removed already.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(rustix::fs::fsync(&self.handle)?),
        }
    }

    /// Opens redis-server's log for a new start. A long one is put aside as `redis.log.1` first.
    pub fn open_log(&self) -> io::Result<File> {
        let path = self.path(REDIS_LOG);
        if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_LIMIT) {
            fs::rename(&path, self.path(OLD_LOG))?;
        }
        OpenOptions::new().create(true).append(true).mode(0o600).open(path)
    }

    /// Empties the log of a running redis-server if it is long; its end is kept in `redis.log.1`. The server holds it
    /// open for appending and goes on at its new end.
    pub fn trim_log(&self) -> io::Result<()> {
        let path = self.path(REDIS_LOG);
        match fs::metadata(&path) {
            Ok(log) if log.len() > LOG_LIMIT => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => return Ok(()),
        }
        // Emptied in any case, as the disk may be full.
        let kept = tail(&path, LOG_KEPT).and_then(|end| self.write(OLD_LOG, &String::from_utf8_lossy(&end)));
        OpenOptions::new().write(true).open(path)?.set_len(0)?;
        kept
    }

    /// The last lines of redis-server's log, two kilobytes at most; empty if there are none.
    pub fn log_tail(&self) -> String {
        let bytes = tail(&self.path(REDIS_LOG), LOG_TAIL).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// How much space is left for the agent and its redis-server on their disk. Bytes.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let disk = rustix::fs::fstatvfs(&self.handle)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// How much space the data directory takes on its disk. Bytes.
    pub fn data_bytes(&self) -> u64 {
        used_bytes(&self.path(DATA))
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Names are on the disk when their directory is.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

/// The last `most` bytes of a file, without what is left of a line that begins before them.
fn tail(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(most);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    if start > 0 {
        let cut = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.drain(..cut);
    }
    Ok(bytes)
}

/// Files that vanish meanwhile, as Redis replaces its own, count nothing.
fn used_bytes(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => used_bytes(&entry.path()),
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_and_private() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::open(&place.path().join("node")).unwrap();
        assert_eq!(home.read("state").unwrap(), None);
        home.write("state", "one").unwrap();
        home.write("state", "two").unwrap();
        assert_eq!(home.read("state").unwrap().as_deref(), Some("two"));
        assert_eq!(fs::metadata(home.path("state")).unwrap().mode() & 0o777, 0o600);
        assert!(!home.path("state.new").exists());
        home.remove("state").unwrap();
        home.remove("state").unwrap();
        assert_eq!(home.read("state").unwrap(), None);
    }

    #[test]
    fn one_directory_has_one_agent() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::open(place.path()).unwrap();
        let held = home.lock().unwrap();
        assert!(held.is_some());
        assert!(Home::open(place.path()).unwrap().lock().unwrap().is_none());
        drop(held);
        assert!(home.lock().unwrap().is_some());
    }

    #[test]
    fn the_tail_of_a_long_log_begins_with_a_whole_line() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::open(place.path()).unwrap();
        assert_eq!(home.log_tail(), "");
        let lines: Vec<String> = (0..1000).map(|n| format!("line {n}")).collect();
        fs::write(home.path(REDIS_LOG), lines.join("\n")).unwrap();
        let tail = home.log_tail();
        assert!(tail.starts_with("line ") && tail.ends_with("line 999"), "{tail}");
        assert!(tail.len() <= 2048);
    }

    #[test]
    fn data_counts_in_subdirectories_too() {
        let place = tempfile::tempdir().unwrap();
        let home = Home::open(place.path()).unwrap();
        let before = home.data_bytes();
        fs::create_dir(home.path("data/deep")).unwrap();
        fs::write(home.path("data/deep/file"), vec![1; 100_000]).unwrap();
        assert!(home.data_bytes() >= before + 100_000);
    }
}

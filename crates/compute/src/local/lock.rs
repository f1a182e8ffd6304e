//! One maker or remover of an instance at a time, among all processes. The kernel frees the lock of a process that
//! dies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Locks the file at `path`, which is made if need be; none while somebody else has it. Dropping it unlocks.
pub(super) fn try_lock(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // A removal unlinks the file while it has the lock: a lock on an unlinked file keeps nobody out.
        let ours = file.metadata()?;
        match fs::metadata(path) {
            Ok(now) if (now.dev(), now.ino()) == (ours.dev(), ours.ino()) => return Ok(Some(file)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_again_after_the_file_was_unlinked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = try_lock(&path).unwrap().expect("a free lock");
        assert!(try_lock(&path).unwrap().is_none());
        fs::remove_file(&path).unwrap();
        let second = try_lock(&path).unwrap().expect("a new file, a new lock");
        drop(first);
        assert!(try_lock(&path).unwrap().is_none(), "the old lock's end does not open the new one");
        drop(second);
        assert!(try_lock(&path).unwrap().is_some());
    }
}

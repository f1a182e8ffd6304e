//! Writing certificates and keys so that nobody else reads a key and no file is ever half there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};

use super::PkiError;

const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;

fn about(path: &Path) -> impl FnOnce(io::Error) -> PkiError {
    let path = path.to_owned();
    |source| PkiError::File { path, source }
}

pub(super) fn exists(path: &Path) -> Result<bool, PkiError> {
    fs::exists(path).map_err(about(path))
}

pub(super) fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(about(path))
}

/// For this user only, since keys are in it; one that exists is left as it is.
pub(super) fn make_directory(path: &Path) -> Result<(), PkiError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(about(path))
}

pub(super) fn write_new(path: &Path, content: &str) -> Result<(), PkiError> {
    write(path, content, PUBLIC, false)
}

pub(super) fn write_new_secret(path: &Path, content: &SecretString) -> Result<(), PkiError> {
    write(path, content.expose_secret(), SECRET, false)
}

pub(super) fn replace(path: &Path, content: &str) -> Result<(), PkiError> {
    write(path, content, PUBLIC, true)
}

pub(super) fn replace_secret(path: &Path, content: &SecretString) -> Result<(), PkiError> {
    write(path, content.expose_secret(), SECRET, true)
}

/// Under another name first, on the disk, then into place at once.
fn write(path: &Path, content: &str, mode: u32, replace: bool) -> Result<(), PkiError> {
    let fresh = fresh_name(path);
    let placed = write_fresh(&fresh, content, mode).and_then(|()| {
        if replace {
            return fs::rename(&fresh, path);
        }
        // A link, unlike a rename, never takes the place of something.
        fs::hard_link(&fresh, path).and_then(|()| fs::remove_file(&fresh))
    });
    placed.map_err(|source| {
        // Whatever went wrong, a half written file is of no use; that it stays is not worth hiding the reason.
        let _ = fs::remove_file(&fresh);
        if source.kind() == io::ErrorKind::AlreadyExists {
            return PkiError::Exists(path.to_owned());
        }
        PkiError::File { path: path.to_owned(), source }
    })?;
    sync_directory(path)
}

/// Two processes that write the same file must not write the same fresh one.
fn fresh_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new.{}", std::process::id()));
    PathBuf::from(name)
}

fn write_fresh(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> Result<(), PkiError> {
    let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(about(directory))
}

//! Secrets that live in files: a systemd credential, a mounted secret, a file of mode 0600.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::mask::mask_credentials;

/// No secret is longer; a file that is longer was named by mistake.
const LONGEST: u64 = 64 * 1024;

/// Why a secret could not be read. Names the file, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be opened or read.
    #[error("cannot read the secret file {}: {source}", shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something that is no secret.
    #[error("the secret file {} {problem}", shown(path))]
    Unusable {
        /// The file.
        path: PathBuf,
        /// "is empty", "is not UTF-8" …
        problem: &'static str,
    },
}

/// The path, masked in case somebody put the secret itself in its place.
fn shown(path: &Path) -> String {
    mask_credentials(&path.display().to_string())
}

/// Reads the secret in `path`, without the line break at its end.
///
/// Warns if the file is open to everybody on the machine. An empty file, one longer than 64 KiB and one that is
/// not UTF-8 are refused.
pub fn read(path: &Path) -> Result<SecretString, SecretError> {
    let unreadable = |source| SecretError::Unreadable { path: path.to_owned(), source };
    let unusable = |problem| SecretError::Unusable { path: path.to_owned(), problem };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o007 != 0 {
        tracing::warn!(
            file = %path.display(),
            "secret file {} is open to every user of this machine (mode {:o})",
            path.display(),
            mode & 0o777
        );
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err(unusable("is longer than 64 KiB"));
    }
    let text = String::from_utf8(bytes).map_err(|_| unusable("is not UTF-8"))?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(unusable("is empty"));
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn file_with(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn the_line_break_at_the_end_is_no_part_of_a_secret() {
        for content in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            assert_eq!(read(file_with(content.as_bytes()).path()).unwrap().expose_secret(), "s3cret");
        }
        assert_eq!(read(file_with(b" two\nlines \n").path()).unwrap().expose_secret(), " two\nlines ");
    }

    #[test]
    fn what_is_no_secret_is_refused_with_its_path_and_without_its_content() {
        for content in [&b""[..], b"\n", b"canary\xff", &[b'a'; 65 * 1024]] {
            let file = file_with(content);
            let error = read(file.path()).unwrap_err().to_string();
            assert!(error.contains(&file.path().display().to_string()), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
        let error = read(Path::new("/nonexistent/secret")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/secret"), "{error}");
        let error = read(Path::new("amqp://u:canary@host/vhost")).unwrap_err().to_string();
        assert!(error.contains("amqp://***@host/vhost") && !error.contains("canary"), "{error}");
    }
}

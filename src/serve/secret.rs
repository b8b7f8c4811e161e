//! The secret of a log: 32 bytes of chance in `DB.secret`, made once. Ids of API keys and random delays are drawn from it, so it
//! stays the same as long as the log does.

use std::io::Write;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::store::sync_name;

/// Bytes of the secret.
const SECRET_BYTES: usize = 32;

/// A secret that could not be read or made.
#[derive(Debug, thiserror::Error)]
#[error("{what} `{}`: {source}\nhelp: the file holds 64 hexadecimal digits and lies beside the log; restore it from where the log was, or let it be made anew for a new log", path.display())]
pub struct SecretError {
    what: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

/// The secret of a log.
#[derive(Clone)]
pub(crate) struct LogSecret([u8; SECRET_BYTES]);

impl LogSecret {
    /// Reads the secret, or makes it where there is none.
    pub(crate) fn open(db: &Path) -> Result<LogSecret, SecretError> {
        let mut name = db.as_os_str().to_owned();
        name.push(".secret");
        let path = PathBuf::from(name);
        let fail = |what| {
            let path = path.clone();
            move |source| SecretError { what, path, source }
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                read(text.trim()).ok_or_else(|| fail("there is no secret in")(std::io::ErrorKind::InvalidData.into()))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => make(&path).map_err(fail("cannot make")),
            Err(e) => Err(fail("cannot read")(e)),
        }
    }

    /// Bytes for one purpose, which tell nothing of those for another.
    pub(crate) fn of(&self, purpose: &str) -> Vec<u8> {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return Vec::new() };
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }
}

fn read(text: &str) -> Option<LogSecret> {
    super::quantity::Digest::parse(text).map(|d| LogSecret(d.0))
}

fn make(path: &Path) -> std::io::Result<LogSecret> {
    let mut bytes = [0u8; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Under another name first: a kill in between must not leave half a secret.
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let mut file = options.open(&new)?;
    let hex: String = hex::encode(bytes);
    writeln!(file, "{hex}")?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    sync_name(path)?;
    Ok(LogSecret(bytes))
}

/// A text that no other start of a server has.
pub(crate) fn instance() -> std::io::Result<String> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
    Ok(hex::encode(bytes))
}

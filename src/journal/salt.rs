//! The secret of a journal, in a file of its own beside its directory: whoever gets the segments does not get it with them,
//! and without it their commitments say nothing.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::error::{At, JournalError};
use super::segments::sync_dir;
use super::{Position, hash_from_hex};

/// The file: that of the directory with `.salt` behind.
pub(super) fn salt_path(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".salt");
    PathBuf::from(name)
}

/// Reads the salt, or draws one where the journal is new. A journal that goes on without its salt could never be opened
/// as one, so a lost one is an error.
pub(super) fn open(dir: &Path, at: &Position) -> Result<[u8; 32], JournalError> {
    let path = salt_path(dir);
    let lost = |what: &str| JournalError::Salt { path: path.clone(), what: what.to_string() };
    match OpenOptions::new().read(true).open(&path) {
        Ok(mut file) => {
            let mut text = String::new();
            file.read_to_string(&mut text).at("read", &path)?;
            match hash_from_hex(text.trim_end()) {
                Some(salt) => Ok(salt),
                // Cut off in the first moment of a journal: nothing has been written under it.
                None if *at == Position::START && text.len() < 64 => draw(&path),
                None => Err(lost("is not what was written")),
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound && *at == Position::START => draw(&path),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Err(lost("is missing")),
        Err(e) => Err(e).at("read", &path),
    }
}

fn draw(path: &Path) -> Result<[u8; 32], JournalError> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(io::Error::from).at("draw a random salt for", path)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path).at("create", path)?;
    let text: String = hex::encode(salt);
    writeln!(file, "{text}").at("write to", path)?;
    file.sync_all().at("sync", path)?;
    sync_dir(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    Ok(salt)
}

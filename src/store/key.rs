//! The key by which a log signs: `DB.key` beside the database, made with the log, readable by its owner alone. Whoever holds
//! both can write another log; what stands against that is a checkpoint kept elsewhere.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::error::{StoreError, sync_name};
use crate::seal::Signer;

/// Where the key of a log lies.
pub fn key_path(db: &Path) -> PathBuf {
    let mut name = db.as_os_str().to_owned();
    name.push(".key");
    PathBuf::from(name)
}

/// The key of a log, `None` where there is no file, or it is not for us to read.
pub(super) fn read(db: &Path) -> Result<Option<Signer>, StoreError> {
    let path = key_path(db);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => return Ok(None),
        Err(source) => return Err(StoreError::Io { doing: "read", path, source }),
    };
    match Signer::from_secret(&text) {
        Ok(signer) => Ok(Some(signer)),
        Err(why) => Err(StoreError::BadKey { path, why }),
    }
}

/// A new key where there was none. Under another name first: a sudden end must not leave half a key.
pub(super) fn make(db: &Path) -> Result<Signer, StoreError> {
    let mut name = key_path(db).into_os_string();
    name.push(".new");
    let (new, path) = (PathBuf::from(name), key_path(db));
    remove(&new)?;
    let signer = write(new.clone())?;
    // A link does not take the place of a key that another process has made meanwhile.
    let placed = match fs::hard_link(&new, &path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => fs::rename(&new, &path),
        linked => linked.and_then(|()| fs::remove_file(&new)),
    };
    placed.and_then(|()| sync_name(&path)).map_err(|source| StoreError::Io { doing: "create", path, source })?;
    Ok(signer)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::Io { doing: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

fn next_path(db: &Path) -> PathBuf {
    let mut name = key_path(db).into_os_string();
    name.push(".next");
    PathBuf::from(name)
}

/// A new key, beside the one there is until [`put_in_place`].
pub(super) fn replace(db: &Path) -> Result<Signer, StoreError> {
    let path = next_path(db);
    remove(&path)?;
    write(path)
}

/// Lets the new key take the place of the old, which is gone then.
pub(super) fn put_in_place(db: &Path) -> Result<(), StoreError> {
    let (from, to) = (next_path(db), key_path(db));
    let moved = fs::rename(&from, &to).and_then(|()| sync_name(&to));
    moved.map_err(|source| StoreError::Io { doing: "put the new key into", path: to, source })
}

/// A new key in a new file.
fn write(path: PathBuf) -> Result<Signer, StoreError> {
    let io = |doing| {
        let path = path.clone();
        move |source| StoreError::Io { doing, path, source }
    };
    let mut random = [0; 36];
    getrandom::fill(&mut random).map_err(io::Error::from).map_err(io("draw random bytes for"))?;
    let (seed, name) = random.split_first_chunk::<32>().unwrap_or((&[0; 32], &[]));
    let name: String = hex::encode(name);
    let signer = Signer::new(&format!("fineprint.log/{name}"), seed)
        .map_err(|why| StoreError::BadKey { path: path.clone(), why })?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&path).map_err(io("create"))?;
    // A log that was signed by a key that a power cut took could not be signed any more.
    file.write_all(format!("{}\n", signer.to_secret()).as_bytes()).map_err(io("write"))?;
    file.sync_all().and_then(|()| sync_name(&path)).map_err(io("write"))?;
    Ok(signer)
}

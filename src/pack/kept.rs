//! A pack as it was read, kept in a directory of its own, so that what was judged under it can be judged again when the files
//! have changed since.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::{Pack, PackError, PackOptions, reference};
use crate::template::FingerprintKey;

/// Where the parts of a kept pack lie in its directory.
const RULES: &str = "rules";
const LISTS: &str = "lists";
const ACCOUNTS: &str = "accounts.jsonl";

impl Pack {
    /// Writes the files that the pack was read from into a new directory, from which [`load_kept`] reads the same rules.
    /// Returns once they are safe on the disk.
    ///
    /// # Errors
    /// Where a file cannot be read or written.
    pub fn keep(&self, options: &PackOptions<'_>, dir: &Path) -> Result<(), PackError> {
        for part in [RULES, LISTS] {
            let path = dir.join(part);
            fs::create_dir_all(&path).map_err(failed(&path))?;
        }
        for path in &self.paths {
            let place = path.strip_prefix(options.rules).ok().filter(|p| !p.as_os_str().is_empty());
            let place = place.map_or_else(|| PathBuf::from(path.file_name().unwrap_or_default()), Path::to_owned);
            keep_file(path, &dir.join(RULES).join(place), dir)?;
        }
        let found = reference::found(self, options);
        for (written, rule_file, path) in found {
            keep_file(&path, &self.place(options, dir, &written, rule_file, &path), dir)?;
        }
        if let Some(accounts) = options.accounts {
            keep_file(accounts, &dir.join(ACCOUNTS), dir)?;
        }
        // The names in a directory are safe once it is.
        let sync = |path: &Path| if cfg!(unix) { File::open(path).and_then(|d| d.sync_all()) } else { Ok(()) };
        sync(dir).map_err(failed(dir))
    }

    /// Where a list is found again: beside its rule file, where it was, else among the lists.
    fn place(
        &self,
        options: &PackOptions<'_>,
        dir: &Path,
        written: &str,
        rule_file: Option<&Path>,
        path: &Path,
    ) -> PathBuf {
        let is_plain = Path::new(written).components().all(|c| matches!(c, Component::Normal(_)));
        let lists = || {
            let name = Path::new(written).file_name().unwrap_or_default();
            dir.join(LISTS).join(if is_plain { Path::new(written) } else { Path::new(name) })
        };
        let beside = rule_file.and_then(Path::parent);
        match beside {
            Some(beside) if is_plain && path == beside.join(written) => {
                let place = beside.strip_prefix(options.rules).unwrap_or(Path::new(""));
                dir.join(RULES).join(place).join(written)
            }
            _ => lists(),
        }
    }
}

/// Reads a pack that was kept.
///
/// # Errors
/// Where it cannot be read.
pub fn load_kept(dir: &Path, key: FingerprintKey) -> Result<Pack, PackError> {
    let (rules, lists, accounts) = (dir.join(RULES), dir.join(LISTS), dir.join(ACCOUNTS));
    super::load(&PackOptions {
        rules: &rules,
        lists: Some(&lists),
        accounts: accounts.is_file().then_some(accounts.as_path()),
        as_of: None,
        fingerprint_key: key,
    })
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> PackError {
    let path = path.to_owned();
    move |source| PackError::Io { path, source }
}

/// Packs beside, in which a file is looked for before it is stored once more.
const PACKS_LOOKED_AT_MAX: usize = 64;

/// Copies a file, or gives one that a pack beside has under the same name another name: what does not change from pack to pack
/// takes no room again. Whoever changes a file of a pack makes a new one and puts it in place.
fn keep_file(from: &Path, to: &Path, dir: &Path) -> Result<(), PackError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(failed(parent))?;
    }
    let bytes = fs::metadata(from).map_err(failed(from))?.len();
    let name = to.strip_prefix(dir).unwrap_or(to);
    let beside = dir.parent().and_then(|packs| fs::read_dir(packs).ok()).into_iter().flatten().flatten();
    for pack in beside.map(|entry| entry.path()).filter(|pack| pack != dir).take(PACKS_LOOKED_AT_MAX) {
        let known = pack.join(name);
        let is_same = fs::metadata(&known).is_ok_and(|m| m.is_file() && m.len() == bytes)
            && fs::read(&known).ok().zip(fs::read(from).ok()).is_some_and(|(a, b)| a == b);
        if is_same && fs::hard_link(&known, to).is_ok() {
            return Ok(());
        }
    }
    copy(from, to)
}

fn copy(from: &Path, to: &Path) -> Result<(), PackError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(failed(parent))?;
    }
    fs::copy(from, to).map_err(failed(from))?;
    File::open(to).and_then(|f| f.sync_all()).map_err(failed(to))
}

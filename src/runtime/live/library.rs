//! The rule sets that a log was written under, by their hashes: a session that goes on may need those of before, and a run
//! over the journal needs all.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::pack::{Pack, PackError, PackOptions, load_kept};
use crate::plan::RuleSet;
use crate::template::FingerprintKey;

/// Where rule sets are found by their hashes.
pub trait Library: Debug + Send + Sync {
    /// The rule set of a bundle hash.
    ///
    /// # Errors
    /// A text that says why it cannot be had.
    fn find(&self, bundle: &str) -> Result<Arc<RuleSet>, String>;
}

/// Knows none: every session must be opened with the rules of the last, and rules that change lose what waits for them when
/// the process is killed.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLibrary;

impl Library for NoLibrary {
    fn find(&self, bundle: &str) -> Result<Arc<RuleSet>, String> {
        Err(format!("the rules `{}` are not kept", short(bundle)))
    }
}

/// Packs in a directory, each in one named by its bundle hash: rule files, lists and the registry as they were.
#[derive(Debug, Clone)]
pub struct KeptPacks {
    dir: PathBuf,
    key: FingerprintKey,
}

/// Why a pack cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// It has no rules that can be run.
    #[error("the pack has mistakes; there are no rules to keep")]
    NoRules,
    /// What was kept reads otherwise.
    #[error(
        "the rules cannot be kept: read from `{}` they are others. A list or table lies outside of the directory of rules, under \
         a name that another has too; put the lists into one directory and name it with `--lists`",
        .0.display()
    )]
    Differs(PathBuf),
}

impl KeptPacks {
    /// Packs in a directory; beside a log it is `DB.rules`. It is made when the first is kept. The key of fingerprints is
    /// not kept.
    pub fn new(dir: PathBuf, key: FingerprintKey) -> Self {
        KeptPacks { dir, key }
    }

    /// Keeps a pack, where it is not kept already; returns once it is safe.
    ///
    /// # Errors
    /// Where it cannot be written, or reads otherwise from there.
    pub fn keep(&self, pack: &Pack, options: &PackOptions<'_>) -> Result<(), KeepError> {
        let rules = pack.rules.as_ref().ok_or(KeepError::NoRules)?;
        let place = self.dir.join(rules.bundle_hash());
        if place.is_dir() {
            return Ok(());
        }
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| PackError::Io { path, source }
        };
        // Under another name until it is whole: what a kill leaves there is made again.
        let unfinished = self.dir.join(format!("{}.new", rules.bundle_hash()));
        if unfinished.is_dir() {
            fs::remove_dir_all(&unfinished).map_err(io(&unfinished))?;
        }
        fs::create_dir_all(&unfinished).map_err(io(&unfinished))?;
        pack.keep(options, &unfinished)?;
        let again = load_kept(&unfinished, self.key)?;
        if again.rules.as_ref().is_none_or(|again| again.bundle_hash() != rules.bundle_hash()) {
            return Err(KeepError::Differs(unfinished));
        }
        fs::rename(&unfinished, &place).map_err(io(&place))?;
        let sync = if cfg!(unix) { fs::File::open(&self.dir).and_then(|d| d.sync_all()) } else { Ok(()) };
        Ok(sync.map_err(io(&self.dir))?)
    }
}

impl KeptPacks {
    /// The whole pack of a bundle hash, with its texts.
    ///
    /// # Errors
    /// A text that says why it cannot be had.
    pub fn pack(&self, bundle: &str) -> Result<Pack, String> {
        let place = self.dir.join(bundle);
        if !place.is_dir() {
            return Err(format!("the rules `{}` are not kept in `{}`", short(bundle), self.dir.display()));
        }
        let pack = load_kept(&place, self.key).map_err(|e| e.to_string())?;
        match &pack.rules {
            Some(rules) if rules.bundle_hash() == bundle => Ok(pack),
            _ => Err(format!(
                "the rules in `{}` are not what was kept there, or the key of fingerprints is another",
                place.display()
            )),
        }
    }
}

impl Library for KeptPacks {
    fn find(&self, bundle: &str) -> Result<Arc<RuleSet>, String> {
        self.pack(bundle)?.rules.ok_or_else(|| format!("the rules `{}` cannot be used", short(bundle)))
    }
}

/// As much of a hash as people compare.
fn short(bundle: &str) -> &str {
    bundle.get(..12).unwrap_or(bundle)
}

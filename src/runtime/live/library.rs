//! The rule sets that a log was written under, by their hashes: a session that goes on may need those of before, and a run
//! over the journal needs all.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::feed::OTHER_KEY;
use crate::pack::{Pack, PackError, PackOptions, PackPins, load_kept};
use crate::plan::RuleSet;
use crate::store::sync_name;
use crate::template::FingerprintKey;

/// Where rule sets are found by their hashes.
pub trait Library: Debug + Send + Sync {
    /// The rule set of a bundle hash.
    ///
    /// # Errors
    /// A text that says why it cannot be had.
    fn find(&self, bundle: &str) -> Result<Arc<RuleSet>, String>;

    /// Hashes of what they stand on, as the log is to say them; `None` where they are not known.
    fn hashes(&self, _bundle: &str) -> Option<PackPins> {
        None
    }
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
        let is_new = !self.dir.is_dir();
        fs::create_dir_all(&unfinished).map_err(io(&unfinished))?;
        if is_new {
            sync_name(&self.dir).map_err(io(&self.dir))?;
        }
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

/// A kept pack as it reads now.
#[derive(Debug)]
pub(super) struct Looked {
    /// Its rules, where they are those of its name.
    pub(super) rules: Option<Arc<RuleSet>>,
    /// Hashes of what they stand on.
    pub(super) pins: PackPins,
    /// Whether rows of it went with an account that was forgotten.
    pub(super) is_erased: bool,
    /// Whether it may be right under another key of fingerprints.
    pub(super) needs_key: bool,
}

impl KeptPacks {
    /// Reads a kept pack.
    ///
    /// # Errors
    /// A text that says why it cannot be had: it is not there, or not to be read.
    pub(super) fn look(&self, bundle: &str) -> Result<Looked, String> {
        let place = self.dir.join(bundle);
        if !place.is_dir() {
            return Err(format!("the rules `{}` are not kept in `{}`", short(bundle), self.dir.display()));
        }
        let pack = load_kept(&place, self.key).map_err(|e| e.to_string())?;
        let is_erased = super::erased::is_as_erased(&place);
        let is_named = pack.rules.as_ref().is_some_and(|rules| rules.bundle_hash() == bundle);
        let other_key = pack.diagnostics.iter().any(|d| d.message.contains(OTHER_KEY));
        let needs_key = other_key || (pack.rules.is_some() && !is_named && !is_erased);
        let rules = match pack.rules {
            Some(rules) if is_erased && !is_named => Arc::try_unwrap(rules).ok().map(|r| Arc::new(r.known_as(bundle))),
            rules => rules.filter(|_| is_named),
        };
        Ok(Looked { rules, pins: pack.pins, is_erased, needs_key })
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
        let mut pack = load_kept(&place, self.key).map_err(|e| e.to_string())?;
        let rules = pack.rules.take();
        match rules {
            Some(rules) if rules.bundle_hash() == bundle => {
                pack.rules = Some(rules);
                Ok(pack)
            }
            // Rows of an account that was forgotten are not there any more; all else is what it was.
            Some(rules) if super::erased::is_as_erased(&place) => match Arc::try_unwrap(rules) {
                Ok(rules) => {
                    pack.rules = Some(Arc::new(rules.known_as(bundle)));
                    Ok(pack)
                }
                Err(_) => Err(format!("the rules in `{}` cannot be taken up", place.display())),
            },
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

    fn hashes(&self, bundle: &str) -> Option<PackPins> {
        self.pack(bundle).ok().map(|pack| pack.pins)
    }
}

/// As much of a hash as people compare.
fn short(bundle: &str) -> &str {
    bundle.get(..12).unwrap_or(bundle)
}

//! Kept packs that are believed only where the log seals what they mean.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::library::{KeptPacks, Library};
use crate::plan::RuleSet;
use crate::store::Pins;

/// Kept packs, each held against the hashes of rules, lists and registry that the log seals as in force at some time.
#[derive(Debug)]
pub struct SealedPacks {
    packs: KeptPacks,
    sealed: Vec<Pins>,
    known: Mutex<BTreeMap<String, Result<Arc<RuleSet>, String>>>,
    altered: Mutex<BTreeMap<String, String>>,
}

impl SealedPacks {
    /// Packs, and all that was in force by the log.
    pub fn new(packs: KeptPacks, sealed: Vec<Pins>) -> Self {
        SealedPacks { packs, sealed, known: Mutex::default(), altered: Mutex::default() }
    }

    /// Packs that were asked for and are not what the log seals, by hash, and what is wrong.
    pub fn altered(&self) -> BTreeMap<String, String> {
        self.altered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn load(&self, bundle: &str) -> Result<Arc<RuleSet>, String> {
        let kept = self.packs.look(bundle)?;
        let differ = |pins: &Pins| -> Vec<&'static str> {
            let parts = [
                ("rules", &pins.rules, &kept.pins.rules),
                ("lists", &pins.lists, &kept.pins.lists),
                ("registry", &pins.registry, &kept.pins.registry),
            ];
            parts.into_iter().filter(|(_, a, b)| a != b).map(|(name, ..)| name).collect()
        };
        let nearest = self.sealed.iter().map(differ).min_by_key(Vec::len);
        // Of lists and registry rows of a forgotten account may be gone.
        let fits = nearest.as_ref().is_some_and(|d| d.is_empty() || (kept.is_erased && !d.contains(&"rules")));
        let key = kept.needs_key.then_some("its lists need the key of fingerprints: name it with `--fingerprint-key`");
        match (fits, kept.rules, key) {
            (true, Some(rules), _) => Ok(rules),
            (_, _, Some(why)) if nearest.as_ref().is_none_or(|d| !d.contains(&"rules")) => Err(why.to_string()),
            (fits, ..) => {
                let parts = nearest.filter(|d| !d.is_empty()).map_or_else(|| "rules".to_string(), |d| d.join(" and "));
                let what = match fits {
                    true => "cannot be read as what was kept".to_string(),
                    false => format!("its {parts} are not what the log seals as in force at any time"),
                };
                self.altered.lock().unwrap_or_else(PoisonError::into_inner).insert(bundle.to_string(), what.clone());
                Err(what)
            }
        }
    }
}

impl Library for SealedPacks {
    fn find(&self, bundle: &str) -> Result<Arc<RuleSet>, String> {
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(bundle) {
            return known.clone();
        }
        let found = self.load(bundle);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(bundle.to_string(), found.clone());
        found
    }
}

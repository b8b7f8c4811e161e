//! Which fingerprints so many accounts of a benign sample show that they say nothing: prompts from books and web pages,
//! the defaults of frameworks, an operator's own harness.

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use smallvec::SmallVec;
use std::hash::BuildHasher;

/// The most different fingerprints that are held where nothing else is said. An entry is 56 bytes and a table at least
/// half empty after it grew, so this is about a gigabyte.
pub const PUBLIC_FINGERPRINTS_MAX: usize = 10_000_000;

/// There are more different fingerprints than may be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sample holds more than {max} different fingerprints: take a smaller sample")]
pub struct FingerprintsFull {
    /// How many may be held.
    pub max: usize,
}

/// A fingerprint that many accounts show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicTemplate {
    /// The fingerprint.
    pub fingerprint: u64,
    /// Words in its shingle.
    pub words: u8,
    /// Texts that show it.
    pub n_texts: u64,
}

#[derive(Debug, Default)]
struct Shown {
    words: u8,
    n_texts: u64,
    /// Different accounts, as far as they matter.
    accounts: SmallVec<[u32; 4]>,
}

/// Counts accounts per fingerprint.
#[derive(Debug)]
pub struct PublicTemplates {
    accounts_min: usize,
    fingerprints_max: usize,
    names: Vec<Box<str>>,
    numbers: HashTable<u32>,
    shown: HashMap<u64, Shown, FixedState>,
}

const HASHER: FixedState = FixedState::with_seed(0);

impl PublicTemplates {
    /// Public is what at least so many accounts show.
    pub fn new(accounts_min: usize) -> Self {
        PublicTemplates {
            accounts_min: accounts_min.max(1),
            fingerprints_max: PUBLIC_FINGERPRINTS_MAX,
            names: Vec::new(),
            numbers: HashTable::new(),
            shown: HashMap::with_hasher(HASHER),
        }
    }

    /// The same with another bound than [`PUBLIC_FINGERPRINTS_MAX`].
    pub fn holding_at_most(self, fingerprints_max: usize) -> Self {
        PublicTemplates { fingerprints_max, ..self }
    }

    /// Counts the fingerprints of one text of an account; each at most once a text.
    ///
    /// # Errors
    /// Where there are too many to hold; what was counted before stays.
    pub fn add(&mut self, account: &str, words: u8, fingerprints: &[u64]) -> Result<(), FingerprintsFull> {
        let account = self.number(account);
        for fingerprint in fingerprints {
            if self.shown.len() >= self.fingerprints_max && !self.shown.contains_key(fingerprint) {
                return Err(FingerprintsFull { max: self.fingerprints_max });
            }
            let shown = self.shown.entry(*fingerprint).or_default();
            shown.words = words;
            shown.n_texts += 1;
            if shown.accounts.len() < self.accounts_min && !shown.accounts.contains(&account) {
                shown.accounts.push(account);
            }
        }
        Ok(())
    }

    fn number(&mut self, account: &str) -> u32 {
        let names = &self.names;
        let hash_of = |at: &u32| names.get(*at as usize).map_or(0, |name| HASHER.hash_one(&**name));
        let same = |at: &u32| names.get(*at as usize).is_some_and(|name| **name == *account);
        let hash = HASHER.hash_one(account);
        if let Some(known) = self.numbers.find(hash, same) {
            return *known;
        }
        let number = u32::try_from(names.len()).unwrap_or(u32::MAX);
        self.numbers.insert_unique(hash, number, hash_of);
        self.names.push(account.into());
        number
    }

    /// How many accounts were seen.
    pub fn n_accounts(&self) -> usize {
        self.names.len()
    }

    /// The fingerprints that enough accounts show, ascending.
    pub fn public(&self) -> Vec<PublicTemplate> {
        let enough = self.shown.iter().filter(|(_, shown)| shown.accounts.len() >= self.accounts_min);
        let mut found: Vec<PublicTemplate> = enough
            .map(|(f, shown)| PublicTemplate { fingerprint: *f, words: shown.words, n_texts: shown.n_texts })
            .collect();
        found.sort_unstable();
        found
    }
}

//! Texts of one event as hashes: groups and values at arrival are told apart by them, in every process alike.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::eval::intern::Symbols;

/// The texts of an event by their hashes. The seed keeps callers from choosing names that fall together.
#[derive(Debug, Default)]
pub(crate) struct Hashed {
    pub(super) seed: u64,
    texts: Vec<u8>,
    /// Hash, and the range of the text.
    entries: Vec<(u64, u32, u32)>,
}

impl Hashed {
    pub(super) fn new(seed: u64) -> Hashed {
        Hashed { seed, ..Hashed::default() }
    }

    /// Before the next event.
    pub(super) fn clear(&mut self) {
        self.texts.clear();
        self.entries.clear();
    }
}

impl Symbols for Hashed {
    fn intern(&mut self, text: &[u8]) -> u64 {
        let hash = xxh3_64_with_seed(text, self.seed);
        if !self.entries.iter().any(|(known, ..)| *known == hash) {
            let from = self.texts.len() as u32;
            self.texts.extend_from_slice(text);
            self.entries.push((hash, from, self.texts.len() as u32));
        }
        hash
    }

    fn text(&self, n: u64) -> &[u8] {
        let entry = self.entries.iter().find(|(hash, ..)| *hash == n);
        entry.and_then(|(_, from, to)| self.texts.get(*from as usize..*to as usize)).unwrap_or_default()
    }
}

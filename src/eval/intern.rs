//! Texts as numbers. The state of the windows holds many copies of few texts (accounts, networks, agents); each is kept
//! once here and goes by a number. The numbers depend on the order of arrival and never reach a record.

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use std::hash::BuildHasher;

use super::footprint::HeapBytes;

/// Below this many texts nothing is swept.
const SWEEP_MIN: usize = 100_000;

/// The texts in use.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Interner {
    entries: Vec<Option<Box<[u8]>>>,
    free: Vec<u32>,
    /// Entries in use after the last sweep: the next is due at twice as many.
    kept: usize,
    #[serde(skip)]
    table: HashTable<u32>,
    #[serde(skip)]
    hasher: foldhash::fast::FixedState,
}

impl Interner {
    /// The number of a text.
    pub(crate) fn intern(&mut self, text: &[u8]) -> u64 {
        let hash = self.hasher.hash_one(text);
        let entries = &self.entries;
        let same = |n: &u32| entries.get(*n as usize).and_then(Option::as_deref) == Some(text);
        if let Some(n) = self.table.find(hash, same) {
            return u64::from(*n);
        }
        let n = match self.free.pop() {
            Some(n) => {
                if let Some(slot) = self.entries.get_mut(n as usize) {
                    *slot = Some(text.into());
                }
                n
            }
            None => {
                self.entries.push(Some(text.into()));
                u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX)
            }
        };
        let (entries, hasher) = (&self.entries, &self.hasher);
        let rehash = |n: &u32| hasher.hash_one(entries.get(*n as usize).and_then(Option::as_deref).unwrap_or(&[]));
        self.table.insert_unique(hash, n, rehash);
        u64::from(n)
    }

    /// The text of a number.
    pub(crate) fn get(&self, n: u64) -> &[u8] {
        usize::try_from(n).ok().and_then(|n| self.entries.get(n)).and_then(Option::as_deref).unwrap_or(&[])
    }

    /// Whether so many texts were added since the last sweep that another pays.
    pub(crate) fn wants_sweep(&self) -> bool {
        let used = self.entries.len() - self.free.len();
        used >= SWEEP_MIN && used >= self.kept.saturating_mul(2)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets every text whose number is not marked.
    pub(crate) fn sweep(&mut self, marked: &[bool]) {
        self.free.clear();
        for (n, entry) in self.entries.iter_mut().enumerate() {
            if !marked.get(n).copied().unwrap_or(false) {
                *entry = None;
            }
            if entry.is_none() {
                self.free.push(n as u32);
            }
        }
        self.kept = self.entries.len() - self.free.len();
        self.rebuild();
    }

    /// Call after reading a snapshot.
    pub(crate) fn rebuild(&mut self) {
        let (entries, hasher) = (&self.entries, &self.hasher);
        let rehash = |n: &u32| hasher.hash_one(entries.get(*n as usize).and_then(Option::as_deref).unwrap_or(&[]));
        let mut table = HashTable::with_capacity(entries.len());
        for (n, entry) in entries.iter().enumerate() {
            if let Some(text) = entry {
                table.insert_unique(hasher.hash_one(&**text), n as u32, rehash);
            }
        }
        self.table = table;
    }
}

impl HeapBytes for Interner {
    fn heap_bytes(&self) -> usize {
        let texts: usize = self.entries.iter().flatten().map(|t| t.len()).sum();
        texts + self.entries.heap_bytes() + self.free.heap_bytes() + self.table.allocation_size()
    }
}

//! Texts as numbers. The state of the windows holds many copies of few texts (accounts, networks, agents); each is kept
//! once here and goes by a number. The numbers depend on the order of arrival and never reach a record.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

use super::footprint::HeapBytes;

/// Gives texts their numbers.
pub(crate) trait Symbols {
    /// The number of a text.
    fn intern(&mut self, text: &[u8]) -> u64;

    /// The text of a number.
    fn text(&self, n: u64) -> &[u8];
}

/// Below this many texts nothing is swept.
const SWEEP_MIN: usize = 100_000;

/// Texts by their numbers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Texts {
    entries: Vec<Option<Box<[u8]>>>,
    free: Vec<u32>,
    /// Entries in use after the last sweep: the next is due at twice as many.
    kept: usize,
}

/// The texts in use.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    /// Shared with the snapshot under way, if there is one: nothing is added then.
    texts: Arc<Texts>,
    /// Texts that came since a snapshot began. Their numbers follow on those of all others.
    fresh: Vec<Box<[u8]>>,
    /// How often it was swept: a number that was handed out before may stand for another text since.
    sweeps: u64,
    /// Others than those who are asked at a sweep have numbers of it: nothing is swept.
    held: bool,
    table: HashTable<u32>,
    hasher: foldhash::fast::FixedState,
}

impl Symbols for Interner {
    fn intern(&mut self, text: &[u8]) -> u64 {
        self.intern_hashed(self.hasher.hash_one(text), text)
    }

    fn text(&self, n: u64) -> &[u8] {
        self.get(n)
    }
}

impl Interner {
    /// As it was when its texts were written down.
    pub(crate) fn of(texts: Texts) -> Self {
        let mut interner = Interner { texts: Arc::new(texts), ..Interner::default() };
        interner.rebuild();
        interner
    }

    /// The number of a text whose hash is known.
    fn intern_hashed(&mut self, hash: u64, text: &[u8]) -> u64 {
        let (texts, fresh) = (&*self.texts, &self.fresh);
        if let Some(n) = self.table.find(hash, |n| texts.get(fresh, *n as usize) == Some(text)) {
            return u64::from(*n);
        }
        self.settle();
        let n = match Arc::get_mut(&mut self.texts) {
            Some(texts) => texts.add(text),
            None => {
                self.fresh.push(text.into());
                self.len() - 1
            }
        };
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let (texts, fresh, hasher) = (&*self.texts, &self.fresh, &self.hasher);
        let rehash = |n: &u32| hasher.hash_one(texts.get(fresh, *n as usize).unwrap_or(&[]));
        self.table.insert_unique(hash, n, rehash);
        u64::from(n)
    }

    /// The text of a number.
    pub(crate) fn get(&self, n: u64) -> &[u8] {
        usize::try_from(n).ok().and_then(|n| self.texts.get(&self.fresh, n)).unwrap_or(&[])
    }

    /// Its texts, for a snapshot. Until they are let go of, those that come are kept apart.
    pub(crate) fn share(&mut self) -> Arc<Texts> {
        self.settle();
        Arc::clone(&self.texts)
    }

    /// The texts without those that came since [`Interner::share`].
    pub(crate) fn texts(&self) -> &Texts {
        &self.texts
    }

    /// Puts the texts that came during a snapshot to the others.
    pub(crate) fn settle(&mut self) {
        if !self.fresh.is_empty()
            && let Some(texts) = Arc::get_mut(&mut self.texts)
        {
            texts.entries.extend(self.fresh.drain(..).map(Some));
            self.fresh = Vec::new();
        }
    }

    /// Forgets nothing until it is let go of.
    pub(crate) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Whether so many texts were added since the last sweep that another pays.
    pub(crate) fn wants_sweep(&self) -> bool {
        let used = self.len() - self.texts.free.len();
        !self.held && used >= SWEEP_MIN && used >= self.texts.kept.saturating_mul(2)
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.entries.len() + self.fresh.len()
    }

    /// Forgets every text whose number is not marked; none during a snapshot.
    pub(crate) fn sweep(&mut self, marked: &[bool]) {
        self.settle();
        let Some(texts) = Arc::get_mut(&mut self.texts) else { return };
        self.sweeps += 1;
        texts.free.clear();
        for (n, entry) in texts.entries.iter_mut().enumerate() {
            if !marked.get(n).copied().unwrap_or(false) {
                *entry = None;
            }
            if entry.is_none() {
                texts.free.push(n as u32);
            }
        }
        texts.kept = texts.entries.len() - texts.free.len();
        self.rebuild();
    }

    fn rebuild(&mut self) {
        let (entries, hasher) = (&self.texts.entries, &self.hasher);
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

impl Texts {
    /// The text of a number, among these and those that came since.
    fn get<'a>(&'a self, fresh: &'a [Box<[u8]>], n: usize) -> Option<&'a [u8]> {
        match self.entries.get(n) {
            Some(entry) => entry.as_deref(),
            None => fresh.get(n - self.entries.len()).map(|text| &**text),
        }
    }

    /// A text goes by another name; its number stays. Whether it was there.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> bool {
        let found = self.entries.iter_mut().flatten().filter(|text| ***text == *from.as_bytes());
        found.map(|text| *text = to.as_bytes().into()).count() > 0
    }

    /// Adds a text; its number.
    fn add(&mut self, text: &[u8]) -> usize {
        match self.free.pop() {
            Some(n) => {
                if let Some(slot) = self.entries.get_mut(n as usize) {
                    *slot = Some(text.into());
                }
                n as usize
            }
            None => {
                self.entries.push(Some(text.into()));
                self.entries.len() - 1
            }
        }
    }
}

/// The texts of a few events that were routed apart from the state, with numbers of their own.
#[derive(Debug, Default)]
pub(crate) struct LocalSymbols {
    texts: Vec<u8>,
    /// Range of the text and its hash.
    entries: Vec<(u32, u32, u64)>,
    table: HashTable<u32>,
    hasher: foldhash::fast::FixedState,
    /// Their numbers in the interner, as far as they were asked for, and how often it had been swept then.
    known: Vec<Option<u64>>,
    sweeps: u64,
}

impl Symbols for LocalSymbols {
    fn intern(&mut self, text: &[u8]) -> u64 {
        let hash = self.hasher.hash_one(text);
        let (entries, texts) = (&self.entries, &self.texts);
        let same = |n: &u32| {
            let entry = entries.get(*n as usize);
            entry.is_some_and(|(from, to, h)| *h == hash && texts.get(*from as usize..*to as usize) == Some(text))
        };
        if let Some(n) = self.table.find(hash, same) {
            return u64::from(*n);
        }
        let (n, from) = (self.entries.len() as u32, self.texts.len() as u32);
        self.texts.extend_from_slice(text);
        self.entries.push((from, self.texts.len() as u32, hash));
        let entries = &self.entries;
        self.table.insert_unique(hash, n, |n| entries.get(*n as usize).map_or(0, |(_, _, hash)| *hash));
        u64::from(n)
    }

    fn text(&self, n: u64) -> &[u8] {
        let entry = usize::try_from(n).ok().and_then(|n| self.entries.get(n));
        let range = entry.map_or(0..0, |(from, to, _)| *from as usize..*to as usize);
        self.texts.get(range).unwrap_or_default()
    }
}

impl LocalSymbols {
    /// Forgets all texts, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.texts.clear();
        self.entries.clear();
        self.table.clear();
        self.known.clear();
    }

    /// The number in the interner of a text by its number here.
    pub(crate) fn in_state(&mut self, local: u64, interner: &mut Interner) -> u64 {
        if self.sweeps != interner.sweeps {
            self.sweeps = interner.sweeps;
            self.known.clear();
        }
        self.known.resize(self.entries.len(), None);
        let at = usize::try_from(local).unwrap_or(usize::MAX);
        if let Some(Some(n)) = self.known.get(at) {
            return *n;
        }
        let (from, to, hash) = self.entries.get(at).copied().unwrap_or_default();
        let text = self.texts.get(from as usize..to as usize).unwrap_or_default();
        // Both hash alike: their hashers have the same fixed seed.
        let n = interner.intern_hashed(hash, text);
        if let Some(known) = self.known.get_mut(at) {
            *known = Some(n);
        }
        n
    }
}

impl HeapBytes for Interner {
    fn heap_bytes(&self) -> usize {
        let Texts { entries, free, .. } = &*self.texts;
        let texts: usize = entries.iter().flatten().chain(&self.fresh).map(|t| t.len()).sum();
        texts + entries.heap_bytes() + free.heap_bytes() + self.fresh.heap_bytes() + self.table.allocation_size()
    }
}

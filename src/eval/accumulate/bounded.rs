//! Exact where that fits a bound, an estimate where it does not. The exact part is kept over as many of the newest steps as
//! fit the bound; once those are not the whole window, a coarse part is kept over all of it. So what is exact depends on
//! what the window holds and on nothing that came before it.

use serde::{Deserialize, Serialize};

use crate::eval::footprint::HeapBytes;

/// What is kept value by value.
pub(crate) trait Exact: Default {
    /// The bound on [`Exact::len`].
    const MAX: usize;

    fn add(&mut self, step: i64, word: u64);
    /// Adds it so often.
    fn add_many(&mut self, step: i64, word: u64, n: u32) {
        (0..n).for_each(|_| self.add(step, word));
    }
    /// Drops all steps before `first`.
    fn expire(&mut self, first: i64);
    fn len(&self) -> usize;
    fn first_step(&self) -> Option<i64>;
    /// All that was added, as (step, word, how often), steps in order.
    fn each(&self, f: &mut dyn FnMut(i64, u64, u32));
}

/// What is kept of codes that several values may share.
pub(crate) trait Coarse: Default {
    fn add(&mut self, step: i64, code: u64, n: u32);
    /// Adds all that another holds, under step 0.
    fn absorb(&mut self, other: &Self);
    /// Drops all steps before `first`.
    fn expire(&mut self, first: i64);
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Bounded<E, C> {
    exact: E,
    /// Only while the window holds steps that the exact part does not cover.
    whole: Option<Box<Whole<C>>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Whole<C> {
    coarse: C,
    /// The first step that the exact part covers.
    covered_from: i64,
}

/// The part that covers the window.
pub(crate) enum Part<'a, E, C> {
    Exact(&'a E),
    Coarse(&'a C),
}

impl<E: Exact, C: Coarse> Bounded<E, C> {
    /// Takes in a value of a step; `code` is what the coarse part keeps of a value.
    pub(crate) fn add(&mut self, step: i64, word: u64, code: impl Fn(u64) -> u64) {
        self.add_many(step, word, 1, code);
    }

    fn add_many(&mut self, step: i64, word: u64, n: u32, code: impl Fn(u64) -> u64) {
        if let Some(whole) = &mut self.whole {
            whole.coarse.add(step, code(word), n);
            if step < whole.covered_from {
                return;
            }
        }
        self.exact.add_many(step, word, n);
        while self.exact.len() > E::MAX {
            let exact = &self.exact;
            let whole = self.whole.get_or_insert_with(|| {
                let mut coarse = C::default();
                exact.each(&mut |step, word, n| coarse.add(step, code(word), n));
                Box::new(Whole { coarse, covered_from: i64::MIN })
            });
            let Some(oldest) = exact.first_step() else { break };
            whole.covered_from = oldest + 1;
            self.exact.expire(oldest + 1);
        }
    }

    /// Adds all that another holds, under step 0. It is exact just when what both hold fits the bound.
    pub(crate) fn absorb(&mut self, other: &Self, code: impl Fn(u64) -> u64) {
        let Some(theirs) = &other.whole else {
            return other.exact.each(&mut |_, word, n| self.add_many(0, word, n, &code));
        };
        let own = std::mem::take(&mut self.exact);
        let whole = self.whole.get_or_insert_with(|| {
            let mut coarse = C::default();
            own.each(&mut |_, word, n| coarse.add(0, code(word), n));
            Box::new(Whole { coarse, covered_from: i64::MAX })
        });
        whole.covered_from = i64::MAX;
        whole.coarse.absorb(&theirs.coarse);
    }

    pub(crate) fn expire(&mut self, first: i64) {
        self.exact.expire(first);
        match &mut self.whole {
            Some(whole) if whole.covered_from > first => whole.coarse.expire(first),
            _ => self.whole = None,
        }
    }

    pub(crate) fn part(&self) -> Part<'_, E, C> {
        match &self.whole {
            None => Part::Exact(&self.exact),
            Some(whole) => Part::Coarse(&whole.coarse),
        }
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.whole.is_none()
    }

    /// The values that are kept one by one.
    pub(crate) fn exact(&self) -> &E {
        &self.exact
    }
}

impl<E: HeapBytes, C: HeapBytes> HeapBytes for Bounded<E, C> {
    fn heap_bytes(&self) -> usize {
        let whole = self.whole.as_ref().map_or(0, |w| size_of::<Whole<C>>() + w.coarse.heap_bytes());
        self.exact.heap_bytes() + whole
    }
}

/// A value as a number that depends on nothing but the value: on its text, not on the symbol that stands for it here.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    /// Part of the meaning of every estimate in a record: never changed.
    const SEED: u64 = 0x0046_494e_4550_5249;
    xxhash_rust::xxh3::xxh3_64_with_seed(bytes, SEED)
}

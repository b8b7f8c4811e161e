//! How many different values: exactly up to a bound, by [`Registers`] above it.

use serde::{Deserialize, Serialize};

use super::bounded::{Bounded, Exact, Part};
use super::distinct::Distinct;
use super::registers::Registers;
use crate::eval::footprint::HeapBytes;
use crate::plan::rule::DISTINCT_EXACT_MAX;

impl Exact for Distinct {
    const MAX: usize = DISTINCT_EXACT_MAX;

    fn add(&mut self, step: i64, word: u64) {
        Distinct::add(self, step, word);
    }

    fn add_many(&mut self, step: i64, word: u64, _: u32) {
        Distinct::add(self, step, word);
    }

    fn expire(&mut self, first: i64) {
        Distinct::expire(self, first);
    }

    fn len(&self) -> usize {
        Distinct::len(self)
    }

    fn first_step(&self) -> Option<i64> {
        Distinct::first_step(self)
    }

    fn each(&self, f: &mut dyn FnMut(i64, u64, u32)) {
        self.sightings(&mut |step, word| f(step, word, 1));
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Cardinality(Bounded<Distinct, Registers>);

impl Cardinality {
    pub(crate) fn add(&mut self, step: i64, word: u64, code: impl Fn(u64) -> u64) {
        self.0.add(step, word, code);
    }

    pub(super) fn absorb(&mut self, other: &Cardinality, code: impl Fn(u64) -> u64) {
        self.0.absorb(&other.0, code);
    }

    pub(crate) fn expire(&mut self, first: i64) {
        self.0.expire(first);
    }

    pub(crate) fn value(&self) -> u64 {
        match self.0.part() {
            Part::Exact(distinct) => distinct.len() as u64,
            // There are certainly more than were told apart.
            Part::Coarse(registers) => registers.estimate().max(DISTINCT_EXACT_MAX as u64 + 1),
        }
    }

    /// How many values it keeps one by one.
    pub(super) fn kept(&self) -> usize {
        self.0.exact().len()
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.0.is_exact()
    }

    pub(crate) fn words(&self, mark: &mut impl FnMut(u64)) {
        self.0.exact().words(mark);
    }
}

impl HeapBytes for Cardinality {
    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

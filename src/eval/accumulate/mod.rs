//! Aggregates over a sliding window, each incremental: adding an event and dropping a step cost the same however full the
//! window is. Events come in order of time, so steps only ever begin at the right and end at the left.
//!
//! Totals keep their steps in the rows of the lane ([`total`]); the others keep their own.

mod count;
mod distinct;
mod extremum;
pub(crate) mod total;

use serde::{Deserialize, Serialize};

pub(crate) use count::Counts;
use distinct::Distinct;
use extremum::Extremum;
use total::{Count, Share, Sum};

use super::footprint::HeapBytes;
use crate::plan::rule::Fold;
use crate::plan::scalar::{Val, divide_rounded};
use crate::value::MICROS;

/// One aggregate of one group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Accumulator {
    Count(Count),
    Sum(Sum),
    Average(Sum, bool),
    Share(Share),
    Min(Box<Extremum>),
    Max(Box<Extremum>),
    Distinct(Box<Distinct>),
}

impl Accumulator {
    pub(crate) fn new(fold: Fold) -> Accumulator {
        match fold {
            Fold::Count => Accumulator::Count(Count::default()),
            Fold::Sum => Accumulator::Sum(Sum::default()),
            Fold::Average { micros } => Accumulator::Average(Sum::default(), micros),
            Fold::Share => Accumulator::Share(Share::default()),
            Fold::Min => Accumulator::Min(Box::default()),
            Fold::Max => Accumulator::Max(Box::default()),
            Fold::Distinct { .. } => Accumulator::Distinct(Box::default()),
        }
    }

    /// Takes an event into its columns of the row of its step; `word` is its input where known. False where a number of the
    /// row is full.
    pub(crate) fn add_to(&mut self, word: Option<u64>, row: &mut [u32]) -> bool {
        match (self, word) {
            (Accumulator::Count(c), _) => c.add(row),
            (Accumulator::Sum(s) | Accumulator::Average(s, _), Some(w)) => s.add(w as i64, row),
            (Accumulator::Share(s), Some(w)) => s.add(w != 0, row),
            _ => true,
        }
    }

    /// Takes back the columns of a step that is dropped.
    pub(crate) fn take_back(&mut self, row: &[u32]) {
        match self {
            Accumulator::Count(c) => c.take_back(row),
            Accumulator::Sum(s) | Accumulator::Average(s, _) => s.take_back(row),
            Accumulator::Share(s) => s.take_back(row),
            Accumulator::Min(_) | Accumulator::Max(_) | Accumulator::Distinct(_) => {}
        }
    }

    /// Takes in an event of a step, where the aggregate keeps its own steps.
    pub(crate) fn add(&mut self, pane: i64, word: Option<u64>) {
        match (self, word) {
            (Accumulator::Min(e), Some(w)) => e.add(pane, w as i64, false),
            (Accumulator::Max(e), Some(w)) => e.add(pane, w as i64, true),
            (Accumulator::Distinct(d), Some(w)) => d.add(pane, w),
            _ => {}
        }
    }

    /// Drops all steps before `first`, where the aggregate keeps its own.
    pub(crate) fn expire(&mut self, first: i64) {
        match self {
            Accumulator::Min(e) | Accumulator::Max(e) => e.expire(first),
            Accumulator::Distinct(d) => d.expire(first),
            Accumulator::Count(_) | Accumulator::Sum(_) | Accumulator::Average(..) | Accumulator::Share(_) => {}
        }
    }

    /// What it comes to now.
    pub(crate) fn value(&self) -> Val<'static> {
        let fit = |wide: Option<i128>| wide.and_then(|w| i64::try_from(w).ok()).map_or(Val::Unknown, Val::Num);
        match self {
            Accumulator::Count(c) => fit(Some(c.get())),
            Accumulator::Sum(s) => fit(Some(s.sum())),
            Accumulator::Average(s, micros) => {
                let scale = if *micros { i128::from(MICROS) } else { 1 };
                fit(s.sum().checked_mul(scale).and_then(|n| divide_rounded(n, s.count())))
            }
            Accumulator::Share(s) => fit(divide_rounded(s.hits() * i128::from(MICROS), s.known())),
            Accumulator::Min(e) | Accumulator::Max(e) => e.value().map_or(Val::Unknown, Val::Num),
            Accumulator::Distinct(d) => fit(Some(d.len() as i128)),
        }
    }

    /// Calls `mark` with every word it holds, where the words are symbols.
    pub(crate) fn words(&self, mut mark: impl FnMut(u64)) {
        if let Accumulator::Distinct(d) = self {
            d.words(&mut mark);
        }
    }
}

impl HeapBytes for Accumulator {
    fn heap_bytes(&self) -> usize {
        match self {
            Accumulator::Count(_) | Accumulator::Sum(_) | Accumulator::Average(..) | Accumulator::Share(_) => 0,
            Accumulator::Min(e) | Accumulator::Max(e) => size_of::<Extremum>() + e.heap_bytes(),
            Accumulator::Distinct(d) => size_of::<Distinct>() + d.heap_bytes(),
        }
    }
}

//! Aggregates over a sliding window, each incremental: adding an event and dropping a step cost the same however full the
//! window is. Events come in order of time, so steps only ever begin at the right and end at the left.

mod count;
mod distinct;
mod extremum;
mod sum;

use serde::{Deserialize, Serialize};

pub(crate) use count::Count;
use distinct::Distinct;
use extremum::Extremum;
use sum::Sum;

use crate::plan::rule::Fold;
use crate::plan::scalar::{Val, divide_rounded};
use crate::value::MICROS;

/// One aggregate of one group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Accumulator {
    Count(Count),
    Sum(Sum),
    Average(Sum, bool),
    Share(Sum),
    Min(Extremum),
    Max(Extremum),
    Distinct(Distinct),
}

impl Accumulator {
    pub(crate) fn new(fold: Fold) -> Accumulator {
        match fold {
            Fold::Count => Accumulator::Count(Count::default()),
            Fold::Sum => Accumulator::Sum(Sum::default()),
            Fold::Average { micros } => Accumulator::Average(Sum::default(), micros),
            Fold::Share => Accumulator::Share(Sum::default()),
            Fold::Min => Accumulator::Min(Extremum::default()),
            Fold::Max => Accumulator::Max(Extremum::default()),
            Fold::Distinct { .. } => Accumulator::Distinct(Distinct::default()),
        }
    }

    /// Takes in an event of a step; `word` is its input where known.
    pub(crate) fn add(&mut self, pane: i64, word: Option<u64>) {
        match (self, word) {
            (Accumulator::Count(c), _) => c.add(pane, 1),
            (_, None) => {}
            (Accumulator::Sum(s) | Accumulator::Average(s, _) | Accumulator::Share(s), Some(w)) => {
                s.add(pane, w as i64)
            }
            (Accumulator::Min(e), Some(w)) => e.add(pane, w as i64, false),
            (Accumulator::Max(e), Some(w)) => e.add(pane, w as i64, true),
            (Accumulator::Distinct(d), Some(w)) => d.add(pane, w),
        }
    }

    /// Drops all steps before `first`.
    pub(crate) fn expire(&mut self, first: i64) {
        match self {
            Accumulator::Count(c) => c.expire(first),
            Accumulator::Sum(s) | Accumulator::Average(s, _) | Accumulator::Share(s) => s.expire(first),
            Accumulator::Min(e) | Accumulator::Max(e) => e.expire(first),
            Accumulator::Distinct(d) => d.expire(first),
        }
    }

    /// What it comes to now.
    pub(crate) fn value(&self) -> Val<'static> {
        let fit = |wide: Option<i128>| wide.and_then(|w| i64::try_from(w).ok()).map_or(Val::Unknown, Val::Num);
        match self {
            Accumulator::Count(c) => fit(Some(i128::from(c.total()))),
            Accumulator::Sum(s) => fit(Some(s.sum())),
            Accumulator::Average(s, micros) => {
                let scale = if *micros { i128::from(MICROS) } else { 1 };
                fit(s.sum().checked_mul(scale).and_then(|n| divide_rounded(n, s.count())))
            }
            Accumulator::Share(s) => fit(divide_rounded(s.sum() * i128::from(MICROS), s.count())),
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

//! Aggregates over a sliding window, each incremental: adding an event and dropping a step cost the same however full the
//! window is. Events come in order of time, so steps only ever begin at the right and end at the left.
//!
//! Totals keep their steps in the rows of the lane ([`total`]); the others keep their own.

mod absorb;
mod bounded;
mod cardinality;
mod count;
mod distinct;
mod ends;
mod extremum;
mod kept;
mod pace;
mod quantile;
mod registers;
mod spread;
mod tally;
pub(crate) mod total;
mod wordings;

use serde::{Deserialize, Serialize};

pub(crate) use bounded::hash;
use cardinality::Cardinality;
pub(crate) use count::Counts;
use ends::{First, Last};
use extremum::Extremum;
use pace::{Idle, Speed};
pub(crate) use quantile::{Quantile, RELATIVE_ERROR};
use spread::Spread;
use tally::Tally;
use total::{Count, Share, Sum};
use wordings::Wordings;

use super::footprint::HeapBytes;
use super::intern::Interner;
use super::route::word_value;
use crate::place::Country;
use crate::plan::rule::{AggregatePlan, Fold, PROMPTS_MAX, WordingFold};
use crate::plan::scalar::{Val, divide_rounded};
use crate::time::MINUTE_NS;
use crate::value::MICROS;
use crate::violation::Bound;

/// The time that a window covers: `[start, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// One aggregate of one group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Accumulator {
    Count(Count),
    Sum(Sum),
    Average(Sum, bool),
    Share(Share),
    Min(Box<Extremum>),
    Max(Box<Extremum>),
    Distinct(Box<Cardinality>, bool),
    Quantile(Box<Quantile>, i64),
    Spread(Box<Spread>),
    TopShare(Box<Tally>, bool, u32),
    Entropy(Box<Tally>, bool),
    First(Box<First>),
    Last(Last),
    Rate(Box<Counts>, i64),
    LongestIdle(Box<Idle>),
    TopSpeed(Box<Speed>),
    /// Kept elsewhere: see [`super::history`] and [`super::cohort`].
    Baseline,
    Wordings(Box<Wordings>, WordingFold),
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
            Fold::Distinct { symbols } => Accumulator::Distinct(Box::default(), symbols),
            Fold::Quantile { share } => Accumulator::Quantile(Box::default(), share),
            Fold::Spread => Accumulator::Spread(Box::default()),
            Fold::TopShare { symbols, of } => Accumulator::TopShare(Box::default(), symbols, of),
            Fold::Entropy { symbols } => Accumulator::Entropy(Box::default(), symbols),
            Fold::First { .. } => Accumulator::First(Box::default()),
            Fold::Last { .. } => Accumulator::Last(Last::default()),
            Fold::Rate { least } => Accumulator::Rate(Box::default(), least),
            Fold::LongestIdle => Accumulator::LongestIdle(Box::default()),
            Fold::TopSpeed => Accumulator::TopSpeed(Box::default()),
            Fold::Baseline { .. } => Accumulator::Baseline,
            Fold::Wordings(fold) => Accumulator::Wordings(Box::default(), fold),
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
            _ => {}
        }
    }

    /// Takes in an event of a step, where the aggregate keeps its own steps: its time, and its input where known.
    pub(crate) fn add(&mut self, pane: i64, ts: i64, word: Option<u64>, interner: &Interner) {
        let hash = |symbols: bool, word: u64| match symbols {
            true => bounded::hash(interner.get(word)),
            false => bounded::hash(&word.to_be_bytes()),
        };
        match (self, word) {
            (Accumulator::Rate(c, _), _) => c.add(pane),
            (Accumulator::LongestIdle(i), _) => i.add(pane, ts),
            (_, None) => {}
            (Accumulator::Min(e), Some(w)) => e.add(pane, w as i64, false),
            (Accumulator::Max(e), Some(w)) => e.add(pane, w as i64, true),
            (Accumulator::Distinct(d, symbols), Some(w)) => d.add(pane, w, |w| hash(*symbols, w)),
            (Accumulator::Quantile(q, _), Some(w)) => q.add(pane, w as i64),
            (Accumulator::Spread(s), Some(w)) => s.add(pane, w as i64),
            (Accumulator::TopShare(t, symbols, _) | Accumulator::Entropy(t, symbols), Some(w)) => {
                t.add(pane, w, |w| hash(*symbols, w))
            }
            (Accumulator::Wordings(p, _), Some(w)) => p.add(pane, ts, w, interner),
            (Accumulator::First(f), Some(w)) => f.add(pane, w),
            (Accumulator::Last(l), Some(w)) => l.add(pane, w),
            (Accumulator::TopSpeed(s), Some(w)) => {
                let code = std::str::from_utf8(interner.get(w)).unwrap_or("");
                if let Some(place) = Country::from_code(code) {
                    s.add(pane, ts, place);
                }
            }
            _ => {}
        }
    }

    /// Drops all steps before `first`, where the aggregate keeps its own.
    pub(crate) fn expire(&mut self, first: i64) {
        match self {
            Accumulator::Min(e) | Accumulator::Max(e) => e.expire(first),
            Accumulator::Distinct(d, _) => d.expire(first),
            Accumulator::Quantile(q, _) => q.expire(first),
            Accumulator::Spread(s) => s.expire(first),
            Accumulator::TopShare(t, ..) | Accumulator::Entropy(t, _) => t.expire(first),
            Accumulator::Wordings(p, _) => p.expire(first),
            Accumulator::First(f) => f.expire(first),
            Accumulator::Last(l) => l.expire(first),
            Accumulator::Rate(c, _) => c.expire(first),
            Accumulator::LongestIdle(i) => i.expire(first),
            Accumulator::TopSpeed(s) => s.expire(first),
            Accumulator::Count(_)
            | Accumulator::Sum(_)
            | Accumulator::Average(..)
            | Accumulator::Share(_)
            | Accumulator::Baseline => {}
        }
    }

    /// What it comes to now over a window.
    pub(crate) fn value<'i>(&self, plan: &AggregatePlan, span: Span, interner: &'i Interner) -> Val<'i> {
        let fit = |wide: Option<i128>| wide.and_then(|w| i64::try_from(w).ok()).map_or(Val::Unknown, Val::Num);
        let known = |n: Option<i64>| n.map_or(Val::Unknown, Val::Num);
        let of_word = |word: Option<u64>| word.map_or(Val::Unknown, |w| word_value(w, &plan.ty, interner));
        match self {
            Accumulator::Count(c) => fit(Some(c.get())),
            Accumulator::Sum(s) => fit(Some(s.sum())),
            Accumulator::Average(s, micros) => {
                let scale = if *micros { i128::from(MICROS) } else { 1 };
                fit(s.sum().checked_mul(scale).and_then(|n| divide_rounded(n, s.count())))
            }
            Accumulator::Share(s) => fit(divide_rounded(s.hits() * i128::from(MICROS), s.known())),
            Accumulator::Min(e) | Accumulator::Max(e) => known(e.value()),
            Accumulator::Distinct(d, _) => fit(Some(d.value().into())),
            Accumulator::Quantile(q, share) => known(q.value(*share)),
            Accumulator::Spread(s) => known(s.value()),
            Accumulator::TopShare(t, _, of) => fit(t.top_share(*of)),
            Accumulator::Entropy(t, _) => fit(t.entropy()),
            Accumulator::Wordings(p, fold) => fit(p.value(*fold, interner)),
            Accumulator::First(f) => of_word(f.word()),
            Accumulator::Last(l) => of_word(l.word()),
            Accumulator::Rate(c, least) => {
                let time = span.end.saturating_sub(span.start).max(*least);
                let events = i128::from(c.total()) * i128::from(MINUTE_NS) * i128::from(MICROS);
                fit(divide_rounded(events, time.into()))
            }
            Accumulator::LongestIdle(i) => Val::Num(i.longest(span.start, span.end)),
            Accumulator::TopSpeed(s) => known(s.greatest()),
            Accumulator::Baseline => Val::Unknown,
        }
    }

    /// How far what it comes to now may be off; `None` where it is exact.
    pub(crate) fn bound(&self) -> Option<Bound> {
        let exact = match self {
            Accumulator::Distinct(d, _) => d.is_exact(),
            Accumulator::Quantile(q, _) => q.is_exact(),
            Accumulator::TopShare(t, ..) | Accumulator::Entropy(t, _) => t.is_exact(),
            Accumulator::Wordings(p, _) => p.is_exact(),
            _ => true,
        };
        if exact { None } else { self.bound_of_estimates() }
    }

    /// How far it may be off wherever it is an estimate.
    pub(crate) fn bound_of_estimates(&self) -> Option<Bound> {
        match self {
            Accumulator::Distinct(..) => Some(Bound::StandardError(registers::STANDARD_ERROR)),
            Accumulator::Quantile(..) => Some(Bound::Within(RELATIVE_ERROR)),
            Accumulator::TopShare(..) => Some(Bound::AtMost),
            Accumulator::Entropy(..) => Some(Bound::AtLeast),
            Accumulator::Wordings(..) => Some(Bound::Sample(PROMPTS_MAX as u32)),
            _ => None,
        }
    }

    /// Calls `mark` with every word it holds, where the words are symbols.
    pub(crate) fn words(&self, mut mark: impl FnMut(u64)) {
        match self {
            Accumulator::Distinct(d, _) => d.words(&mut mark),
            Accumulator::TopShare(t, ..) | Accumulator::Entropy(t, _) => t.words(&mut mark),
            Accumulator::Wordings(p, _) => p.words(&mut mark),
            Accumulator::First(f) => f.words(&mut mark),
            Accumulator::Last(l) => l.word().into_iter().for_each(mark),
            _ => {}
        }
    }
}

impl HeapBytes for Accumulator {
    fn heap_bytes(&self) -> usize {
        match self {
            Accumulator::Count(_) | Accumulator::Sum(_) | Accumulator::Average(..) | Accumulator::Share(_) => 0,
            Accumulator::Min(e) | Accumulator::Max(e) => size_of::<Extremum>() + e.heap_bytes(),
            Accumulator::Distinct(d, _) => size_of::<Cardinality>() + d.heap_bytes(),
            Accumulator::Quantile(q, _) => size_of::<Quantile>() + q.heap_bytes(),
            Accumulator::Spread(s) => size_of::<Spread>() + s.heap_bytes(),
            Accumulator::TopShare(t, ..) | Accumulator::Entropy(t, _) => size_of::<Tally>() + t.heap_bytes(),
            Accumulator::Wordings(p, _) => size_of::<Wordings>() + p.heap_bytes(),
            Accumulator::First(f) => size_of::<First>() + f.heap_bytes(),
            Accumulator::Last(_) | Accumulator::Baseline => 0,
            Accumulator::Rate(c, _) => size_of::<Counts>() + c.heap_bytes(),
            Accumulator::LongestIdle(i) => size_of::<Idle>() + i.heap_bytes(),
            Accumulator::TopSpeed(s) => size_of::<Speed>() + s.heap_bytes(),
        }
    }
}

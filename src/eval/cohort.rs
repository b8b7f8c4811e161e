//! What groups alike came to in earlier windows: for `cohort`. One state a baseline, over all groups of the rule. What a window
//! came to is handed in when it ends, and counts once windows that begin at its end are judged.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::accumulate::{Quantile, RELATIVE_ERROR};
use super::footprint::HeapBytes;
use super::history::newest;
use crate::hir::COHORTS_MAX;
use crate::plan::baseline::BaselinePlan;
use crate::plan::rule::WindowPlan;
use crate::violation::Bound;

/// What one group came to in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Hash of what its cohort has in common.
    pub(crate) cohort: u128,
    pub(crate) value: i64,
    /// Aggregates that were estimates in it, as bits.
    pub(crate) estimated: u64,
}

/// One window of a cohort.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Window {
    number: i64,
    /// How many groups were told.
    groups: u64,
    estimated: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Cohort {
    values: Quantile,
    windows: VecDeque<Window>,
}

/// All cohorts of a baseline.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cohorts {
    by: BTreeMap<u128, Cohort>,
    /// Windows that have ended and do not count yet.
    ended: BTreeMap<i64, Vec<Told>>,
    /// Values of cohorts that were not begun for want of room.
    dropped: u64,
}

impl Cohorts {
    /// Takes note of what a group came to in a window that has ended.
    pub(crate) fn tell(&mut self, window: i64, told: Told) {
        self.ended.entry(window).or_default().push(told);
    }

    /// Brings the cohorts to a step, before any group is judged at it.
    pub(crate) fn advance(&mut self, w: &WindowPlan, b: &BaselinePlan, step: i64) {
        let newest = newest(w, step);
        let oldest = newest - b.windows + 1;
        self.by.retain(|_, cohort| {
            cohort.values.expire(oldest);
            while cohort.windows.pop_front_if(|w| w.number < oldest).is_some() {}
            !cohort.windows.is_empty()
        });
        while let Some(window) = self.ended.first_entry().filter(|e| *e.key() <= newest) {
            let (number, mut told) = window.remove_entry();
            if number < oldest {
                continue;
            }
            // Groups are judged in no order that means anything: of too many cohorts the same are begun each time.
            told.sort_unstable();
            for t in told {
                self.add(number, t);
            }
        }
    }

    fn add(&mut self, number: i64, told: Told) {
        if self.by.len() >= COHORTS_MAX && !self.by.contains_key(&told.cohort) {
            self.dropped += 1;
            return;
        }
        let cohort = self.by.entry(told.cohort).or_default();
        cohort.values.add(number, told.value);
        match cohort.windows.back_mut() {
            Some(window) if window.number == number => {
                window.groups += 1;
                window.estimated |= told.estimated;
            }
            _ => cohort.windows.push_back(Window { number, groups: 1, estimated: told.estimated }),
        }
    }

    /// What the cohort comes to; unknown where too few groups were told in each of its windows.
    pub(crate) fn value(&self, b: &BaselinePlan, cohort: u128) -> Option<i64> {
        let cohort = self.by.get(&cohort)?;
        let enough = cohort.windows.iter().any(|w| w.groups >= b.least);
        enough.then(|| cohort.values.value(b.share)).flatten()
    }

    /// How many values a cohort holds.
    pub(crate) fn count(&self, cohort: u128) -> u64 {
        self.by.get(&cohort).map_or(0, |c| c.windows.iter().map(|w| w.groups).sum())
    }

    /// How far what it comes to may be off for itself, and the aggregates that were estimates in any of its windows.
    pub(crate) fn estimated(&self, cohort: u128) -> (Option<Bound>, u64) {
        let Some(cohort) = self.by.get(&cohort) else { return (None, 0) };
        let own = (!cohort.values.is_exact()).then_some(Bound::Within(RELATIVE_ERROR));
        (own, cohort.windows.iter().fold(0, |bits, w| bits | w.estimated))
    }

    /// Values of cohorts that were not begun for want of room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl HeapBytes for Cohorts {
    fn heap_bytes(&self) -> usize {
        let one = |c: &Cohort| size_of::<(u128, Cohort)>() + c.values.heap_bytes() + c.windows.heap_bytes();
        self.by.values().map(one).sum::<usize>() + self.ended.values().map(HeapBytes::heap_bytes).sum::<usize>()
    }
}

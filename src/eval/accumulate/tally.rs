//! How often each value occurs: the share of the commonest, and the entropy. Up to a bound each value has its own count;
//! above it, values whose hashes agree in their low bits share one, which can only make the commonest commoner and the whole
//! less mixed.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::bounded::{Bounded, Coarse, Exact, Part};
use crate::eval::footprint::HeapBytes;
use crate::plan::scalar::divide_rounded;
use crate::value::MICROS;

/// Different values of one window that have counts of their own; also the number of counts that are shared above it.
pub(crate) const VALUES_EXACT_MAX: usize = 1 << 16;

/// Binary digits behind the point of a logarithm.
const LOG_BITS: u32 = 40;

type Map<V> = HashMap<u64, V, foldhash::fast::FixedState>;

/// Counts per value.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    all: Map<u64>,
    /// How many values have each count.
    by_count: BTreeMap<u64, u64>,
    /// Events with a known value.
    known: u64,
    /// Sum of [`weighed`] over all counts.
    weight: i128,
    /// (step, value, how often) of the steps before the last.
    steps: VecDeque<(i64, u64, u32)>,
    /// The last step.
    last: i64,
    in_last: Map<u32>,
}

impl Counts {
    /// Moves the count of a value.
    fn change(&mut self, word: u64, by: i64) {
        let count = self.all.entry(word).or_insert(0);
        let (old, new) = (*count, count.saturating_add_signed(by));
        *count = new;
        if new == 0 {
            self.all.remove(&word);
        } else {
            *self.by_count.entry(new).or_insert(0) += 1;
        }
        if let Some(values) = self.by_count.get_mut(&old) {
            *values -= 1;
            if *values == 0 {
                self.by_count.remove(&old);
            }
        }
        self.known = self.known.saturating_add_signed(by);
        self.weight += weighed(new) - weighed(old);
    }

    fn take(&mut self, step: i64, word: u64, n: u32) {
        if step != self.last {
            self.close();
            self.last = step;
        }
        *self.in_last.entry(word).or_insert(0) += n;
        self.change(word, i64::from(n));
    }

    /// Moves the last step to those before it.
    fn close(&mut self) {
        let step = self.last;
        let mut counts: Vec<(u64, u32)> = self.in_last.drain().collect();
        counts.sort_unstable();
        self.steps.extend(counts.into_iter().map(|(word, n)| (step, word, n)));
    }

    fn drop_before(&mut self, first: i64) {
        if self.last < first {
            self.close();
        }
        while let Some((_, word, n)) = self.steps.front().copied().filter(|(step, ..)| *step < first) {
            self.steps.pop_front();
            self.change(word, -i64::from(n));
        }
        if self.all.is_empty() {
            *self = Counts::default();
        }
    }

    /// Of so many of the commonest values, in millionths; unknown over none.
    fn top_share(&self, of: u32) -> Option<i128> {
        let (mut top, mut left) = (0, u64::from(of));
        for (count, values) in self.by_count.iter().rev() {
            let taken = left.min(*values);
            top += count * taken;
            left -= taken;
            if left == 0 {
                break;
            }
        }
        divide_rounded(i128::from(top) * i128::from(MICROS), i128::from(self.known))
    }

    /// In millionths of a bit; unknown over none.
    fn entropy(&self) -> Option<i128> {
        entropy(self.known, self.weight)
    }
}

/// Of so many events, and the sum of [`weighed`] over the counts of all values, in millionths of a bit; unknown over none.
fn entropy(known: u64, weight: i128) -> Option<i128> {
    // H = Σ c/n · log(n/c) = (n log n - Σ c log c) / n
    let spread = (weighed(known) - weight).max(0);
    divide_rounded(spread * i128::from(MICROS), i128::from(known) << LOG_BITS)
}

/// The same of counts that come to so many events.
pub(super) fn entropy_of(known: u64, counts: impl Iterator<Item = u64>) -> Option<i128> {
    entropy(known, counts.map(weighed).sum())
}

impl Exact for Counts {
    const MAX: usize = VALUES_EXACT_MAX;

    fn add(&mut self, step: i64, word: u64) {
        self.take(step, word, 1);
    }

    fn add_many(&mut self, step: i64, word: u64, n: u32) {
        self.take(step, word, n);
    }

    fn expire(&mut self, first: i64) {
        self.drop_before(first);
    }

    fn len(&self) -> usize {
        self.all.len()
    }

    fn first_step(&self) -> Option<i64> {
        let in_last = (!self.in_last.is_empty()).then_some(self.last);
        self.steps.front().map(|(step, ..)| *step).or(in_last)
    }

    fn each(&self, f: &mut dyn FnMut(i64, u64, u32)) {
        self.steps.iter().for_each(|(step, word, n)| f(*step, *word, *n));
        self.in_last.iter().for_each(|(word, n)| f(self.last, *word, *n));
    }
}

impl Coarse for Counts {
    fn add(&mut self, step: i64, code: u64, n: u32) {
        self.take(step, code % VALUES_EXACT_MAX as u64, n);
    }

    fn absorb(&mut self, other: &Counts) {
        other.all.iter().for_each(|(word, n)| self.take(0, *word, u32::try_from(*n).unwrap_or(u32::MAX)));
    }

    fn expire(&mut self, first: i64) {
        self.drop_before(first);
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tally(Bounded<Counts, Counts>);

impl Tally {
    pub(crate) fn add(&mut self, step: i64, word: u64, code: impl Fn(u64) -> u64) {
        self.0.add(step, word, code);
    }

    pub(super) fn absorb(&mut self, other: &Tally, code: impl Fn(u64) -> u64) {
        self.0.absorb(&other.0, code);
    }

    pub(crate) fn expire(&mut self, first: i64) {
        self.0.expire(first);
    }

    fn counts(&self) -> &Counts {
        match self.0.part() {
            Part::Exact(counts) | Part::Coarse(counts) => counts,
        }
    }

    pub(crate) fn top_share(&self, of: u32) -> Option<i128> {
        self.counts().top_share(of)
    }

    pub(crate) fn entropy(&self) -> Option<i128> {
        self.counts().entropy()
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.0.is_exact()
    }

    /// How many values it keeps, and in how many steps they stand.
    pub(super) fn kept(&self) -> (usize, usize) {
        let of = |counts: &Counts| (counts.all.len(), counts.steps.len() + counts.in_last.len());
        let (values, in_steps) = of(self.counts());
        if self.is_exact() {
            return (values, in_steps);
        }
        let exact = of(self.0.exact());
        (values + exact.0, in_steps + exact.1)
    }

    pub(crate) fn words(&self, mark: &mut impl FnMut(u64)) {
        self.0.exact().all.keys().for_each(|w| mark(*w));
    }
}

/// A count times its logarithm to base 2, as a fraction of [`LOG_BITS`] binary digits.
fn weighed(count: u64) -> i128 {
    i128::from(count) * i128::from(log2(count))
}

/// The logarithm to base 2, rounded down, digit by digit: the square of a number has twice its logarithm.
fn log2(n: u64) -> u64 {
    let Some(whole) = n.checked_ilog2() else { return 0 };
    let mut log = u64::from(whole);
    // From 1 to 2, with 63 binary digits behind the point.
    let mut part = n << n.leading_zeros();
    for _ in 0..LOG_BITS {
        let square = (u128::from(part) * u128::from(part)) >> 63;
        let digit = (square >> 64) as u64;
        part = (square >> digit) as u64;
        log = log << 1 | digit;
    }
    log
}

impl HeapBytes for Counts {
    fn heap_bytes(&self) -> usize {
        let maps = self.all.allocation_size() + self.in_last.allocation_size();
        maps + self.by_count.len() * size_of::<(u64, u64)>() + self.steps.heap_bytes()
    }
}

impl HeapBytes for Tally {
    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

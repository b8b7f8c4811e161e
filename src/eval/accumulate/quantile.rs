//! The value that a share of all values does not exceed: exactly over few values, by buckets over many. A bucket holds the
//! numbers that agree in their sign and their seven leading binary digits, and stands for the middle one.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::bounded::{Bounded, Coarse, Exact, Part};
use crate::eval::footprint::HeapBytes;
use crate::value::MICROS;

/// Values of one window that are kept one by one.
pub(crate) const QUANTILE_EXACT_MAX: usize = 1 << 10;
/// Buckets of an octave. There are 58 octaves above the numbers that have a bucket each, on either side of zero.
const BUCKETS: u64 = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 6;
/// Half of a bucket by its lower end, in millionths, rounded up: the middle is never further from any number in it.
pub(crate) const RELATIVE_ERROR: u32 = 7_813;

/// Values by step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Values {
    steps: VecDeque<(i64, Vec<i64>)>,
    len: usize,
}

impl Exact for Values {
    const MAX: usize = QUANTILE_EXACT_MAX;

    fn add(&mut self, step: i64, word: u64) {
        self.len += 1;
        match self.steps.back_mut() {
            Some((last, values)) if *last == step => values.push(word as i64),
            _ => self.steps.push_back((step, vec![word as i64])),
        }
    }

    fn expire(&mut self, first: i64) {
        while let Some((_, values)) = self.steps.pop_front_if(|(step, _)| *step < first) {
            self.len -= values.len();
        }
    }

    fn len(&self) -> usize {
        self.len
    }

    fn first_step(&self) -> Option<i64> {
        self.steps.front().map(|(step, _)| *step)
    }

    fn each(&self, f: &mut dyn FnMut(i64, u64, u32)) {
        self.steps.iter().for_each(|(step, values)| values.iter().for_each(|n| f(*step, *n as u64, 1)));
    }
}

/// Values per bucket, and per step and bucket.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Buckets {
    all: BTreeMap<i16, u64>,
    steps: VecDeque<(i64, BTreeMap<i16, u32>)>,
    len: u64,
}

impl Coarse for Buckets {
    fn add(&mut self, step: i64, code: u64, n: u32) {
        let bucket = code as i16;
        if self.steps.back().is_none_or(|(last, _)| *last != step) {
            self.steps.push_back((step, BTreeMap::new()));
        }
        if let Some((_, buckets)) = self.steps.back_mut() {
            *buckets.entry(bucket).or_insert(0) += n;
        }
        *self.all.entry(bucket).or_insert(0) += u64::from(n);
        self.len += u64::from(n);
    }

    fn absorb(&mut self, other: &Buckets) {
        for (bucket, n) in &other.all {
            *self.all.entry(*bucket).or_insert(0) += n;
        }
        self.len += other.len;
    }

    fn expire(&mut self, first: i64) {
        while let Some((_, buckets)) = self.steps.pop_front_if(|(step, _)| *step < first) {
            for (bucket, n) in buckets {
                self.len -= u64::from(n);
                if let Some(all) = self.all.get_mut(&bucket) {
                    *all -= u64::from(n);
                    if *all == 0 {
                        self.all.remove(&bucket);
                    }
                }
            }
        }
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Quantile(Bounded<Values, Buckets>);

impl Quantile {
    pub(crate) fn add(&mut self, step: i64, n: i64) {
        self.0.add(step, n as u64, |word| bucket_of(word as i64) as u64);
    }

    pub(super) fn absorb(&mut self, other: &Quantile) {
        self.0.absorb(&other.0, |word| bucket_of(word as i64) as u64);
    }

    pub(crate) fn expire(&mut self, first: i64) {
        self.0.expire(first);
    }

    /// How many values it keeps one by one.
    pub(super) fn kept(&self) -> usize {
        self.0.exact().len()
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.0.is_exact()
    }

    /// The value at a share in millionths; unknown over none.
    pub(crate) fn value(&self, share: i64) -> Option<i64> {
        match self.0.part() {
            Part::Exact(values) => {
                let mut all: Vec<i64> = values.steps.iter().flat_map(|(_, values)| values).copied().collect();
                let at = usize::try_from(rank(all.len() as u64, share)?).ok()?;
                (at < all.len()).then(|| *all.select_nth_unstable(at).1)
            }
            Part::Coarse(buckets) => {
                let mut before = rank(buckets.len, share)?;
                for (bucket, n) in &buckets.all {
                    match before.checked_sub(*n) {
                        Some(rest) => before = rest,
                        None => return Some(middle(*bucket)),
                    }
                }
                None
            }
        }
    }
}

/// How many of `n` values in order stand before the one asked for: the first that the share does not exceed.
fn rank(n: u64, share: i64) -> Option<u64> {
    let enough = (u128::from(n) * u128::from(share.unsigned_abs())).div_ceil(MICROS.unsigned_abs().into());
    u64::try_from(enough).ok().map(|enough| enough.clamp(1, n.max(1)) - 1).filter(|_| n > 0)
}

/// The bucket of a number. Numbers below twice [`BUCKETS`] have one each.
fn bucket_of(n: i64) -> i16 {
    let size = n.unsigned_abs();
    let index = match size.checked_ilog2() {
        Some(octave) if octave > BUCKET_BITS => {
            let shift = octave - BUCKET_BITS;
            u64::from(shift) * BUCKETS + (size >> shift)
        }
        _ => size,
    };
    let index = index as i16;
    if n < 0 { -index } else { index }
}

/// The middle of a bucket.
fn middle(bucket: i16) -> i64 {
    let index = u64::from(bucket.unsigned_abs());
    let size = if index < 2 * BUCKETS {
        index
    } else {
        let shift = index / BUCKETS - 1;
        let low = (index % BUCKETS + BUCKETS) << shift;
        low + ((1 << shift) - 1) / 2
    };
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    if bucket < 0 { -size } else { size }
}

impl HeapBytes for Values {
    fn heap_bytes(&self) -> usize {
        self.steps.heap_bytes() + self.steps.iter().map(|(_, values)| values.heap_bytes()).sum::<usize>()
    }
}

impl HeapBytes for Buckets {
    fn heap_bytes(&self) -> usize {
        let steps: usize = self.steps.iter().map(|(_, buckets)| buckets.len() * size_of::<(i16, u32)>()).sum();
        self.steps.heap_bytes() + steps + self.all.len() * size_of::<(i16, u64)>()
    }
}

impl HeapBytes for Quantile {
    fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_a_bucket_is_near_every_number_in_it() {
        let mut numbers: Vec<i64> = (0..1_000).chain([i64::MAX, i64::MIN, i64::MIN + 1]).collect();
        for shift in 6..63 {
            numbers.extend((-2..3).flat_map(|by| [(1i64 << shift) + by, (1i64 << shift) + (1 << (shift - 6)) + by]));
        }
        for n in numbers.iter().flat_map(|n| [*n, n.wrapping_neg()]) {
            let off = i128::from(middle(bucket_of(n))) - i128::from(n);
            let most = i128::from(n).abs() * i128::from(RELATIVE_ERROR) / i128::from(MICROS);
            assert!(off.abs() <= most, "{n} is told as {}", middle(bucket_of(n)));
        }
    }

    #[test]
    fn buckets_are_in_order() {
        let numbers = (0..63).flat_map(|shift| [(1i64 << shift) - 1, 1 << shift, (1 << shift) + (1 << shift) / 3]);
        let buckets: Vec<i16> = numbers.map(bucket_of).collect();
        assert!(buckets.is_sorted(), "{buckets:?}");
    }
}

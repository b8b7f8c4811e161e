//! How far values scatter around their mean: their standard deviation by the size of the mean. Number, sum and sum of squares
//! are exact, and so is the result but for its last digit.

use std::cmp::Ordering;
use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::eval::footprint::HeapBytes;
use crate::value::MICROS;

/// Number, sum and sum of squares of values. 2^64 squares of 2^126 fit.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Moments {
    count: u64,
    sum: i128,
    squares: (u64, u128),
}

impl Moments {
    fn add(&mut self, n: i64) {
        self.count += 1;
        self.sum += i128::from(n);
        let square = u128::from(n.unsigned_abs()) * u128::from(n.unsigned_abs());
        let (low, carry) = self.squares.1.overflowing_add(square);
        self.squares = (self.squares.0 + u64::from(carry), low);
    }

    fn join(&mut self, other: &Moments) {
        self.count += other.count;
        self.sum += other.sum;
        let (low, carry) = self.squares.1.overflowing_add(other.squares.1);
        self.squares = (self.squares.0 + other.squares.0 + u64::from(carry), low);
    }

    fn subtract(&mut self, other: &Moments) {
        self.count -= other.count;
        self.sum -= other.sum;
        let (low, borrow) = self.squares.1.overflowing_sub(other.squares.1);
        self.squares = (self.squares.0 - other.squares.0 - u64::from(borrow), low);
    }

    /// In millionths, rounded down; unknown over none, where the mean is zero, and where numbers grow too large.
    fn spread(&self) -> Option<i64> {
        let (0, squares) = self.squares else { return None };
        // Count times both: n²σ² = n Σx² - (Σx)², and the mean is Σx / n, so that n falls out of σ / mean.
        let total = self.sum.unsigned_abs();
        let variance = u128::from(self.count).checked_mul(squares)?.checked_sub(total.checked_mul(total)?)?;
        if total == 0 {
            return None;
        }
        // The greatest result whose square by that of the mean does not exceed the variance.
        let scale = u128::from(MICROS.unsigned_abs());
        let wanted = product(variance, scale * scale);
        let holds = |root: u128| {
            // Beyond 128 bits the product is larger than all that is looked for.
            root.checked_mul(total).is_some_and(|n| product(n, n).cmp(&wanted) != Ordering::Greater)
        };
        let (mut at_most, mut beyond) = (0u128, 1u128 << 64);
        while beyond - at_most > 1 {
            let middle = at_most + (beyond - at_most) / 2;
            if holds(middle) { at_most = middle } else { beyond = middle }
        }
        i64::try_from(at_most).ok()
    }
}

/// The product of two numbers in 256 bits: high half, low half.
fn product(a: u128, b: u128) -> (u128, u128) {
    const LOW: u128 = u64::MAX as u128;
    let (a_high, a_low, b_high, b_low) = (a >> 64, a & LOW, b >> 64, b & LOW);
    let low = a_low * b_low;
    let (middle, carry) = (a_high * b_low).overflowing_add(a_low * b_high);
    let (low, carried) = low.overflowing_add(middle << 64);
    (a_high * b_high + (middle >> 64) + (u128::from(carry) << 64) + u128::from(carried), low)
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Spread {
    steps: VecDeque<(i64, Moments)>,
    all: Moments,
}

impl Spread {
    pub(crate) fn add(&mut self, step: i64, n: i64) {
        self.all.add(n);
        match self.steps.back_mut() {
            Some((last, moments)) if *last == step => moments.add(n),
            _ => {
                let mut moments = Moments::default();
                moments.add(n);
                self.steps.push_back((step, moments));
            }
        }
    }

    pub(crate) fn expire(&mut self, first: i64) {
        while let Some((_, moments)) = self.steps.pop_front_if(|(step, _)| *step < first) {
            self.all.subtract(&moments);
        }
    }

    pub(super) fn absorb(&mut self, other: &Spread) {
        self.all.join(&other.all);
    }

    pub(crate) fn value(&self) -> Option<i64> {
        self.all.spread()
    }
}

impl HeapBytes for Spread {
    fn heap_bytes(&self) -> usize {
        self.steps.heap_bytes()
    }
}

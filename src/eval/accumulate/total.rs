//! Totals whose steps are kept in the rows of a lane: how many, sums, shares. A total is the sum of its column over all rows,
//! so a step is dropped by taking its row back. Wide integers: the order of additions never shows.

use serde::{Deserialize, Serialize};

/// An integer of 128 bits in two words: half the alignment, so that the state of a group stays small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wide {
    high: i64,
    low: u64,
}

impl Wide {
    pub(crate) fn get(self) -> i128 {
        (i128::from(self.high) << 64) | i128::from(self.low)
    }

    fn add(&mut self, n: i128) {
        let sum = self.get() + n;
        *self = Wide { high: (sum >> 64) as i64, low: sum as u64 };
    }
}

/// Sum and number of known values. In a row: low and high word of the sum, the number of values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sum {
    sum: Wide,
    count: u64,
}

impl Sum {
    /// Adds a value; false where the row cannot take it.
    pub(crate) fn add(&mut self, n: i64, row: &mut [u32]) -> bool {
        let Some([low, high, count]) = row.first_chunk_mut::<3>() else { return false };
        let Some(sum) = joined(*low, *high).checked_add(n) else { return false };
        (*low, *high) = (sum as u32, (sum >> 32) as u32);
        *count += 1;
        self.sum.add(i128::from(n));
        self.count += 1;
        true
    }

    pub(crate) fn take_back(&mut self, row: &[u32]) {
        let Some([low, high, count]) = row.first_chunk::<3>() else { return };
        self.sum.add(-i128::from(joined(*low, *high)));
        self.count -= u64::from(*count);
    }

    pub(super) fn absorb(&mut self, other: &Sum) {
        self.sum.add(other.sum.get());
        self.count += other.count;
    }

    pub(crate) fn sum(&self) -> i128 {
        self.sum.get()
    }

    pub(crate) fn count(&self) -> i128 {
        i128::from(self.count)
    }
}

fn joined(low: u32, high: u32) -> i64 {
    ((u64::from(high) << 32) | u64::from(low)) as i64
}

/// How many of the known are true. In a row: those that are true, all that are known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    hits: u64,
    known: u64,
}

impl Share {
    pub(crate) fn add(&mut self, holds: bool, row: &mut [u32]) -> bool {
        let Some([hits, known]) = row.first_chunk_mut::<2>() else { return false };
        *known += 1;
        *hits += u32::from(holds);
        self.known += 1;
        self.hits += u64::from(holds);
        true
    }

    pub(crate) fn take_back(&mut self, row: &[u32]) {
        let Some([hits, known]) = row.first_chunk::<2>() else { return };
        self.hits -= u64::from(*hits);
        self.known -= u64::from(*known);
    }

    pub(super) fn absorb(&mut self, other: &Share) {
        self.hits += other.hits;
        self.known += other.known;
    }

    pub(crate) fn hits(&self) -> i128 {
        i128::from(self.hits)
    }

    pub(crate) fn known(&self) -> i128 {
        i128::from(self.known)
    }
}

/// How many events, behind a `where`. In a row: the number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count(u64);

impl Count {
    pub(crate) fn add(&mut self, row: &mut [u32]) -> bool {
        let Some(n) = row.first_mut() else { return false };
        *n += 1;
        self.0 += 1;
        true
    }

    pub(crate) fn take_back(&mut self, row: &[u32]) {
        self.0 -= u64::from(row.first().copied().unwrap_or(0));
    }

    pub(super) fn absorb(&mut self, other: Count) {
        self.0 += other.0;
    }

    pub(crate) fn get(self) -> i128 {
        i128::from(self.0)
    }
}

//! Sum and number of known values: sums, averages and shares. Wide integers, so that the order of additions never shows.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Sum and number per step and in all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sum {
    panes: VecDeque<(i64, i128, u32)>,
    sum: i128,
    count: u64,
}

impl Sum {
    pub(crate) fn add(&mut self, pane: i64, n: i64) {
        self.sum += i128::from(n);
        self.count += 1;
        match self.panes.back_mut() {
            Some((last, sum, count)) if *last == pane && *count < u32::MAX => {
                *sum += i128::from(n);
                *count += 1;
            }
            _ => self.panes.push_back((pane, i128::from(n), 1)),
        }
    }

    pub(crate) fn expire(&mut self, first: i64) {
        while let Some((_, sum, count)) = self.panes.front().copied().filter(|(pane, ..)| *pane < first) {
            self.sum -= sum;
            self.count -= u64::from(count);
            self.panes.pop_front();
        }
    }

    pub(crate) fn sum(&self) -> i128 {
        self.sum
    }

    pub(crate) fn count(&self) -> i128 {
        i128::from(self.count)
    }
}

//! How many events by step, where a list of steps is kept apart from the rows of a lane: what exceptions took out.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::eval::footprint::HeapBytes;

/// Events per step and in all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    panes: VecDeque<(i64, u32)>,
    total: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, pane: i64) {
        self.total += 1;
        match self.panes.back_mut() {
            Some((last, count)) if *last == pane && *count < u32::MAX => *count += 1,
            _ => self.panes.push_back((pane, 1)),
        }
    }

    pub(crate) fn expire(&mut self, first: i64) {
        while let Some((_, n)) = self.panes.front().copied().filter(|(pane, _)| *pane < first) {
            self.total -= u64::from(n);
            self.panes.pop_front();
        }
    }

    pub(super) fn absorb(&mut self, other: &Counts) {
        self.total += other.total;
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

impl HeapBytes for Counts {
    fn heap_bytes(&self) -> usize {
        self.panes.heap_bytes()
    }
}

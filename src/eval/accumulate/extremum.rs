//! Least or greatest known value: a queue of candidates, each better than all that come after it will ever need.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::eval::footprint::HeapBytes;

/// Candidates by step, the best in front.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Extremum {
    candidates: VecDeque<(i64, i64)>,
}

impl Extremum {
    pub(crate) fn add(&mut self, pane: i64, n: i64, greatest: bool) {
        // A later value that is at least as good outlives an earlier one.
        while self.candidates.back().is_some_and(|(_, old)| if greatest { *old <= n } else { *old >= n }) {
            self.candidates.pop_back();
        }
        // One that is left is better: of the same step, it outlives this one too.
        if self.candidates.back().is_none_or(|(last, _)| *last != pane) {
            self.candidates.push_back((pane, n));
        }
    }

    pub(crate) fn expire(&mut self, first: i64) {
        while self.candidates.front().is_some_and(|(pane, _)| *pane < first) {
            self.candidates.pop_front();
        }
    }

    pub(crate) fn value(&self) -> Option<i64> {
        self.candidates.front().map(|(_, n)| *n)
    }
}

impl HeapBytes for Extremum {
    fn heap_bytes(&self) -> usize {
        self.candidates.heap_bytes()
    }
}

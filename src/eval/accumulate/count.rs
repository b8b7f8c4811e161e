//! How many events.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Events per step and in all.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Count {
    panes: VecDeque<(i64, u32)>,
    total: u64,
}

impl Count {
    pub(crate) fn add(&mut self, pane: i64, n: u32) {
        self.total += u64::from(n);
        match self.panes.back_mut() {
            Some((last, count)) if *last == pane && *count < u32::MAX - n => *count += n,
            _ => self.panes.push_back((pane, n)),
        }
    }

    pub(crate) fn expire(&mut self, first: i64) {
        while let Some((_, n)) = self.panes.front().copied().filter(|(pane, _)| *pane < first) {
            self.total -= u64::from(n);
            self.panes.pop_front();
        }
    }

    /// The first and the last step with events.
    pub(crate) fn first_pane(&self) -> Option<i64> {
        self.panes.front().map(|(pane, _)| *pane)
    }

    pub(crate) fn last_pane(&self) -> Option<i64> {
        self.panes.back().map(|(pane, _)| *pane)
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

//! The earliest and the latest known value. Events come in order of (time, id), so within a step too.

use std::collections::VecDeque;

use crate::eval::footprint::HeapBytes;
use serde::{Deserialize, Serialize};

/// The first word of each step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct First {
    steps: VecDeque<(i64, u64)>,
}

impl First {
    pub(crate) fn add(&mut self, step: i64, word: u64) {
        if self.steps.back().is_none_or(|(last, _)| *last != step) {
            self.steps.push_back((step, word));
        }
    }

    pub(crate) fn expire(&mut self, first: i64) {
        while self.steps.pop_front_if(|(step, _)| *step < first).is_some() {}
    }

    pub(crate) fn word(&self) -> Option<u64> {
        self.steps.front().map(|(_, word)| *word)
    }

    pub(crate) fn words(&self, mark: &mut impl FnMut(u64)) {
        self.steps.iter().for_each(|(_, word)| mark(*word));
    }
}

/// The last word, and its step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Last(Option<(i64, u64)>);

impl Last {
    pub(crate) fn add(&mut self, step: i64, word: u64) {
        self.0 = Some((step, word));
    }

    pub(crate) fn expire(&mut self, first: i64) {
        self.0 = self.0.filter(|(step, _)| *step >= first);
    }

    pub(crate) fn word(&self) -> Option<u64> {
        self.0.map(|(_, word)| word)
    }
}

impl HeapBytes for First {
    fn heap_bytes(&self) -> usize {
        self.steps.heap_bytes()
    }
}

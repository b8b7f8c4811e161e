//! How many different values, exactly. Each value knows the last step it was seen in; each step knows the values it saw
//! first or again, so that dropping a step touches only its own.

use std::collections::VecDeque;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// Below this many values a list is searched: most groups hold few, and a map of few costs more than a list.
const LIST_MAX: usize = 8;

/// Values in the window.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Distinct {
    last_seen: LastSeen,
    /// Per step, the values seen in it that were not yet seen in it.
    panes: VecDeque<(i64, Vec<u64>)>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum LastSeen {
    List(Vec<(u64, i64)>),
    Map(HashMap<u64, i64, foldhash::fast::FixedState>),
}

impl Default for LastSeen {
    fn default() -> Self {
        LastSeen::List(Vec::new())
    }
}

impl LastSeen {
    /// Notes a value in a step; the step it was last seen in.
    fn note(&mut self, word: u64, pane: i64) -> Option<i64> {
        match self {
            LastSeen::List(list) => match list.iter_mut().find(|(w, _)| *w == word) {
                Some((_, last)) => Some(std::mem::replace(last, pane)),
                None => {
                    list.push((word, pane));
                    if list.len() > LIST_MAX {
                        *self = LastSeen::Map(list.iter().copied().collect());
                    }
                    None
                }
            },
            LastSeen::Map(map) => map.insert(word, pane),
        }
    }

    /// Drops a value that was last seen in a step.
    fn forget(&mut self, word: u64, pane: i64) {
        match self {
            LastSeen::List(list) => list.retain(|entry| *entry != (word, pane)),
            LastSeen::Map(map) => {
                if map.get(&word) == Some(&pane) {
                    map.remove(&word);
                }
            }
        }
    }
}

impl Distinct {
    pub(crate) fn add(&mut self, pane: i64, word: u64) {
        if self.last_seen.note(word, pane) == Some(pane) {
            return;
        }
        match self.panes.back_mut() {
            Some((last, words)) if *last == pane => words.push(word),
            _ => self.panes.push_back((pane, vec![word])),
        }
    }

    pub(crate) fn expire(&mut self, first: i64) {
        while self.panes.front().is_some_and(|(pane, _)| *pane < first) {
            if let Some((pane, words)) = self.panes.pop_front() {
                words.iter().for_each(|w| self.last_seen.forget(*w, pane));
            }
        }
        if self.panes.is_empty() {
            self.last_seen = LastSeen::default();
        }
    }

    pub(crate) fn len(&self) -> usize {
        match &self.last_seen {
            LastSeen::List(list) => list.len(),
            LastSeen::Map(map) => map.len(),
        }
    }

    pub(crate) fn words(&self, mark: &mut impl FnMut(u64)) {
        self.panes.iter().flat_map(|(_, words)| words).for_each(|w| mark(*w));
    }
}

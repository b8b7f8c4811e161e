//! How many different values, exactly. Few values are a list of when each was last seen. Many are a map of the same, beside
//! the sightings in order, one per value and step: dropping a step touches only its own.

use std::collections::VecDeque;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::eval::footprint::HeapBytes;

/// Up to this many values a list is searched: most groups hold few, and a map of few costs more than a list.
const LIST_MAX: usize = 8;

/// Values in the window.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Distinct {
    /// Each value with the last step it was seen in.
    Few(Vec<(u64, i64)>),
    Many(Many),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Many {
    last_seen: HashMap<u64, i64, foldhash::fast::FixedState>,
    /// (step, value), each the first sighting in its step.
    sightings: VecDeque<(i64, u64)>,
}

impl Default for Distinct {
    fn default() -> Self {
        Distinct::Few(Vec::new())
    }
}

impl Distinct {
    pub(crate) fn add(&mut self, pane: i64, word: u64) {
        match self {
            Distinct::Few(list) => {
                if let Some((_, last)) = list.iter_mut().find(|(w, _)| *w == word) {
                    *last = pane;
                    return;
                }
                if list.len() == list.capacity() {
                    list.reserve_exact(1.max(list.len()));
                }
                list.push((word, pane));
                if list.len() > LIST_MAX {
                    let mut sightings: Vec<(i64, u64)> = list.iter().map(|(w, pane)| (*pane, *w)).collect();
                    sightings.sort_unstable();
                    let (last_seen, sightings) = (list.iter().copied().collect(), sightings.into());
                    *self = Distinct::Many(Many { last_seen, sightings });
                }
            }
            Distinct::Many(Many { last_seen, sightings }) => {
                if last_seen.insert(word, pane) != Some(pane) {
                    sightings.push_back((pane, word));
                }
            }
        }
    }

    pub(crate) fn expire(&mut self, first: i64) {
        match self {
            Distinct::Few(list) => list.retain(|(_, last)| *last >= first),
            Distinct::Many(Many { last_seen, sightings }) => {
                while let Some((pane, word)) = sightings.front().copied().filter(|(pane, _)| *pane < first) {
                    sightings.pop_front();
                    if last_seen.get(&word) == Some(&pane) {
                        last_seen.remove(&word);
                    }
                }
                if last_seen.is_empty() {
                    *self = Distinct::default();
                }
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Distinct::Few(list) => list.len(),
            Distinct::Many(many) => many.last_seen.len(),
        }
    }

    /// The first step with a value; the first sighting where there are many, even if its value was seen again.
    pub(crate) fn first_step(&self) -> Option<i64> {
        match self {
            Distinct::Few(list) => list.iter().map(|(_, last)| *last).min(),
            Distinct::Many(many) => many.sightings.front().map(|(step, _)| *step),
        }
    }

    /// Each value with the steps it was seen in, the last of each at least; in order of steps where there are many.
    pub(crate) fn sightings(&self, f: &mut dyn FnMut(i64, u64)) {
        match self {
            Distinct::Few(list) => list.iter().for_each(|(word, last)| f(*last, *word)),
            Distinct::Many(many) => many.sightings.iter().for_each(|(step, word)| f(*step, *word)),
        }
    }

    pub(crate) fn words(&self, mark: &mut impl FnMut(u64)) {
        match self {
            Distinct::Few(list) => list.iter().for_each(|(w, _)| mark(*w)),
            Distinct::Many(many) => many.last_seen.keys().for_each(|w| mark(*w)),
        }
    }
}

impl HeapBytes for Distinct {
    fn heap_bytes(&self) -> usize {
        match self {
            Distinct::Few(list) => list.heap_bytes(),
            Distinct::Many(many) => many.last_seen.allocation_size() + many.sightings.heap_bytes(),
        }
    }
}

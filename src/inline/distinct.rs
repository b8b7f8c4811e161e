//! Different values of a group, by the steps in which they were seen. A condition asks for so many at most, so no more are
//! kept than tell whether there are that many in any window that can still be asked for.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::plan::WindowAnswer;

/// So many sightings are looked through; more have an index.
const LIST_MAX: usize = 32;

type Map<V> = HashMap<u64, V, foldhash::fast::FixedState>;

/// Sightings: a value once in each step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Sightings {
    /// (step, value), in the order of steps.
    queue: VecDeque<(i64, u64)>,
    /// The first of the newest window.
    head: u32,
    /// How many are of the newest step.
    in_newest: u32,
    /// So many may there be before those that no answer needs go.
    limit: u32,
    /// The last step of each value of the newest window; only where there are many.
    last: Option<Box<Map<i64>>>,
}

impl Sightings {
    fn head(&self) -> usize {
        self.head as usize
    }

    /// Makes a step the newest: what lies before its window is not of it, what no late event can ask for any more goes.
    pub(super) fn advance(&mut self, w: &WindowAnswer, newest: i64) {
        self.in_newest = 0;
        let (first, oldest) = (newest - w.panes + 1, newest - w.panes - w.late + 1);
        while let Some((step, value)) = self.queue.get(self.head()).copied().filter(|(step, _)| *step < first) {
            if let Some(last) = &mut self.last
                && last.get(&value) == Some(&step)
            {
                last.remove(&value);
            }
            self.head += 1;
        }
        while self.head > 0 && self.queue.front().is_some_and(|(step, _)| *step < oldest) {
            self.queue.pop_front();
            self.head -= 1;
        }
        if self.queue.is_empty() {
            *self = Sightings::default();
        }
    }

    /// Takes in a value seen in a step that is not after the newest. `needed` is how many the condition asks for.
    pub(super) fn add(&mut self, w: &WindowAnswer, newest: i64, step: i64, value: u64, needed: usize) {
        let mut at = self.queue.len();
        if step == newest {
            // A step with enough values by itself: every window with it holds enough.
            if self.in_newest as usize >= needed {
                return;
            }
            let seen = match &self.last {
                Some(last) => last.get(&value) == Some(&step),
                None => self.queue.iter().rev().take_while(|(s, _)| *s == step).any(|(_, v)| *v == value),
            };
            if seen {
                return;
            }
            self.in_newest += 1;
        } else {
            while at > 0 && self.queue.get(at - 1).is_some_and(|(s, _)| *s > step) {
                at -= 1;
            }
            let of_step = self.queue.range(..at).rev().take_while(|(s, _)| *s == step);
            let (mut n, mut seen) = (0, false);
            of_step.for_each(|(_, v)| {
                n += 1;
                seen |= *v == value;
            });
            if seen || n >= needed {
                return;
            }
        }
        self.queue.insert(at, (step, value));
        if step <= newest - w.panes {
            self.head += 1;
        } else if let Some(last) = &mut self.last {
            let known = last.entry(value).or_insert(step);
            *known = (*known).max(step);
        }
        if self.queue.len() > LIST_MAX && self.last.is_none() {
            self.index();
        }
        if self.queue.len() > self.limit.max(LIST_MAX as u32) as usize {
            self.thin(w, newest, needed);
        }
    }

    fn index(&mut self) {
        let mut last = Map::default();
        for (step, value) in self.queue.iter().skip(self.head as usize) {
            last.insert(*value, *step);
        }
        self.last = Some(Box::new(last));
    }

    /// Lets go of what tells no answer: of the steps that no late event can reach any more, all but the last sighting of
    /// each value, and of these all but the latest so many as are asked for.
    fn thin(&mut self, w: &WindowAnswer, newest: i64, needed: usize) {
        let settled = newest - w.late;
        let open = self.queue.iter().rev().take_while(|(step, _)| *step > settled).count();
        let kept_open: Vec<(i64, u64)> = self.queue.iter().skip(self.queue.len() - open).copied().collect();
        let mut known: HashSet<u64, foldhash::fast::FixedState> = HashSet::default();
        let mut kept: VecDeque<(i64, u64)> = VecDeque::new();
        for (step, value) in self.queue.iter().rev().skip(open) {
            if known.len() >= needed {
                break;
            }
            if known.insert(*value) {
                kept.push_front((*step, *value));
            }
        }
        kept.extend(kept_open);
        let first = newest - w.panes + 1;
        self.head = kept.iter().take_while(|(step, _)| *step < first).count() as u32;
        self.queue = kept;
        self.limit = u32::try_from(self.queue.len().saturating_mul(2)).unwrap_or(u32::MAX);
        if self.queue.len() > LIST_MAX {
            self.index();
        } else {
            self.last = None;
        }
    }

    /// How many different values the window of a step holds, with further ones; at least so many as are needed where there
    /// are that many.
    pub(super) fn count(&self, w: &WindowAnswer, newest: i64, step: i64, further: &[u64]) -> usize {
        if let Some(last) = self.last.as_ref().filter(|_| step == newest) {
            let mut more: SmallVec<[u64; 8]> = SmallVec::new();
            for value in further {
                if !last.contains_key(value) && !more.contains(value) {
                    more.push(*value);
                }
            }
            return last.len() + more.len();
        }
        let within = self.queue.iter().filter(|(s, _)| *s > step - w.panes && *s <= step).map(|(_, v)| *v);
        let mut seen: SmallVec<[u64; LIST_MAX]> = SmallVec::new();
        let mut many: HashSet<u64, foldhash::fast::FixedState> = HashSet::default();
        for value in within.chain(further.iter().copied()) {
            if seen.len() < LIST_MAX {
                if !seen.contains(&value) {
                    seen.push(value);
                }
            } else if !seen.contains(&value) {
                many.insert(value);
            }
        }
        seen.len() + many.len()
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let last = self.last.as_ref().map_or(0, |last| size_of::<Map<i64>>() + last.allocation_size());
        self.queue.capacity() * size_of::<(i64, u64)>() + last
    }
}

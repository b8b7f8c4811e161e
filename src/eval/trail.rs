//! Which events each group counted: one entry per event and rule in order, each knowing how far back the entry before it of
//! the same group lies. Groups hold no lists of their own: there are many of them, and few are ever asked.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::footprint::HeapBytes;

/// Marks an entry whose event an exception takes out.
const EXCEPTED: u32 = 1 << 31;

/// One event that one group counted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Mark {
    /// Low bits of the event's number: fewer events than they can tell apart are held at a time.
    event: u32,
    /// Distance to the group's entry before, 0 for none; [`EXCEPTED`].
    back: u32,
}

/// The entries of one rule.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Trail {
    first: u64,
    marks: VecDeque<Mark>,
}

/// A group's last entry: its index plus one; 0 for none.
pub(crate) type End = u64;

impl Trail {
    /// Notes that a group whose last entry is `end` counted an event; its new last entry.
    pub(crate) fn push(&mut self, event: u64, end: End, excepted: bool) -> End {
        let index = self.first + self.marks.len() as u64;
        let distance = if end > self.first { u32::try_from(index + 1 - end).unwrap_or(0) } else { 0 };
        let back = if distance < EXCEPTED { distance } else { 0 };
        // By an eighth: doubling would hold room for as many entries again.
        if self.marks.len() == self.marks.capacity() {
            self.marks.reserve_exact(256.max(self.marks.len() / 8));
        }
        self.marks.push_back(Mark { event: event as u32, back: back | if excepted { EXCEPTED } else { 0 } });
        index + 1
    }

    /// Gives events other numbers, in the same order; `first_event` is the first event held, and what lay before it stays
    /// before all.
    pub(crate) fn renumber(&mut self, first_event: u64, number: &dyn Fn(u64) -> u64) {
        for mark in &mut self.marks {
            let ahead = mark.event.wrapping_sub(first_event as u32);
            let known = if (ahead as i32) >= 0 { first_event + u64::from(ahead) } else { first_event.wrapping_sub(1) };
            mark.event = number(known) as u32;
        }
    }

    /// Drops the entries of events before a number.
    pub(crate) fn forget_before(&mut self, number: u64) {
        while self.marks.front().is_some_and(|m| (m.event.wrapping_sub(number as u32) as i32) < 0) {
            self.marks.pop_front();
            self.first += 1;
        }
        if self.marks.len() * 4 < self.marks.capacity() {
            self.marks.shrink_to(self.marks.len() * 2);
        }
    }

    /// A group's entries from its last one back, as (event number, excepted); `first_event` is the first event held.
    pub(crate) fn walk(&self, end: End, first_event: u64) -> impl Iterator<Item = (u64, bool)> {
        let mut end = end;
        std::iter::from_fn(move || {
            let at = end.checked_sub(1)?.checked_sub(self.first)?;
            let mark = self.marks.get(usize::try_from(at).ok()?)?;
            let back = u64::from(mark.back & !EXCEPTED);
            end = if back == 0 { 0 } else { end - back };
            let ahead = mark.event.wrapping_sub(first_event as u32);
            // An event that is held no more ends the trail.
            ((ahead as i32) >= 0).then(|| (first_event + u64::from(ahead), mark.back & EXCEPTED != 0))
        })
    }
}

impl HeapBytes for Trail {
    fn heap_bytes(&self) -> usize {
        self.marks.heap_bytes()
    }
}

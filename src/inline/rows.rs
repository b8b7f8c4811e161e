//! Numbers of one group by step, in the order of steps, and their totals over the newest window.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::plan::{Kept, WindowAnswer};

/// Rows of a step and the plan's words each.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Rows {
    words: Vec<i64>,
    /// The first row of the newest window.
    head: u32,
    /// What the rows from there on come to.
    totals: SmallVec<[i64; 2]>,
}

/// A number where none is known.
const NONE: i64 = i64::MIN;

/// Puts a value to the words of a row.
fn put(kept: Kept, value: Option<i64>, row: &mut [i64]) {
    let one = |row: &mut [i64], at: usize, f: &dyn Fn(i64) -> i64| {
        if let Some(word) = row.get_mut(at) {
            *word = f(*word);
        }
    };
    match (kept, value) {
        (Kept::Count(at), _) => one(row, at, &|n| n.saturating_add(1)),
        (Kept::Max(at), Some(value)) => one(row, at, &|n| n.max(value)),
        (Kept::Sum(at), Some(value)) => add_wide(row, at, i128::from(value)),
        _ => {}
    }
}

fn wide(row: &[i64], at: usize) -> i128 {
    match (row.get(at), row.get(at + 1)) {
        (Some(low), Some(high)) => i128::from(*high) << 64 | i128::from(*low as u64),
        _ => 0,
    }
}

fn add_wide(row: &mut [i64], at: usize, n: i128) {
    let sum = wide(row, at).saturating_add(n);
    for (word, value) in row.iter_mut().skip(at).zip([sum as i64, (sum >> 64) as i64]) {
        *word = value;
    }
}

/// Puts the words of one row to those of another.
fn join(w: &WindowAnswer, row: &[i64], into: &mut [i64]) {
    let of = |at: usize| row.get(at).copied().unwrap_or(0);
    if let Some(events) = into.first_mut() {
        *events = events.saturating_add(of(0));
    }
    for slot in &w.slots {
        match slot.kept {
            Kept::Count(at) => {
                if let Some(word) = into.get_mut(at) {
                    *word = word.saturating_add(of(at));
                }
            }
            Kept::Sum(at) => add_wide(into, at, wide(row, at)),
            Kept::Max(at) => {
                if let Some(word) = into.get_mut(at) {
                    *word = (*word).max(of(at));
                }
            }
            Kept::Events | Kept::Distinct(..) => {}
        }
    }
}

/// A row of nothing.
pub(super) fn blank(w: &WindowAnswer) -> SmallVec<[i64; 2]> {
    let mut row = SmallVec::from_elem(0, w.words);
    for slot in &w.slots {
        if let Kept::Max(at) = slot.kept
            && let Some(word) = row.get_mut(at)
        {
            *word = NONE;
        }
    }
    row
}

/// Counts an event in a row; `value` gives the known value of a slot's input, where its filter lets the event through.
pub(super) fn count(w: &WindowAnswer, row: &mut [i64], value: impl Fn(usize) -> Option<Option<i64>>) {
    if let Some(events) = row.first_mut() {
        *events = events.saturating_add(1);
    }
    for (number, slot) in w.slots.iter().enumerate() {
        if let Some(value) = value(number) {
            put(slot.kept, value, row);
        }
    }
}

/// What a slot comes to in a row; its sightings apart.
pub(super) fn value(kept: Kept, row: &[i64]) -> Option<i64> {
    match kept {
        Kept::Events => row.first().copied(),
        Kept::Count(at) => row.get(at).copied(),
        Kept::Max(at) => row.get(at).copied().filter(|n| *n != NONE),
        Kept::Sum(at) => i64::try_from(wide(row, at)).ok(),
        Kept::Distinct(..) => None,
    }
}

impl Rows {
    fn step(&self, w: &WindowAnswer, row: usize) -> Option<i64> {
        self.words.get(row * (w.words + 1)).copied()
    }

    fn row(&self, w: &WindowAnswer, row: usize) -> &[i64] {
        let from = row * (w.words + 1) + 1;
        self.words.get(from..from + w.words).unwrap_or_default()
    }

    fn len(&self, w: &WindowAnswer) -> usize {
        self.words.len() / (w.words + 1)
    }

    /// Makes a step the newest: what lies before its window leaves the totals, what no late event can ask for any more goes.
    pub(super) fn advance(&mut self, w: &WindowAnswer, newest: i64) {
        let (first, oldest) = (newest - w.panes + 1, newest - w.panes - w.late + 1);
        let mut again = false;
        while let Some(step) = self.step(w, self.head as usize).filter(|step| *step < first) {
            let _ = step;
            let row: SmallVec<[i64; 8]> = SmallVec::from_slice(self.row(w, self.head as usize));
            again |= self.take_back(w, &row);
            self.head += 1;
        }
        if again {
            self.recount(w);
        }
        let gone = (0..self.head as usize).take_while(|row| self.step(w, *row).is_some_and(|s| s < oldest)).count();
        // A few at a time, so that the others are not moved for each.
        if gone >= 16 || gone == self.len(w) {
            self.words.drain(..gone * (w.words + 1));
            self.head -= gone as u32;
        }
    }

    /// Takes a row out of the totals; whether they must be made anew, since its greatest may have been theirs.
    fn take_back(&mut self, w: &WindowAnswer, row: &[i64]) -> bool {
        let mut again = false;
        let of = |at: usize| row.get(at).copied().unwrap_or(0);
        if let Some(events) = self.totals.first_mut() {
            *events = events.saturating_sub(of(0));
        }
        for slot in &w.slots {
            match slot.kept {
                Kept::Count(at) => {
                    if let Some(word) = self.totals.get_mut(at) {
                        *word = word.saturating_sub(of(at));
                    }
                }
                Kept::Sum(at) => add_wide(&mut self.totals, at, wide(row, at).saturating_neg()),
                Kept::Max(at) => again |= of(at) != NONE && self.totals.get(at) == Some(&of(at)),
                Kept::Events | Kept::Distinct(..) => {}
            }
        }
        again
    }

    fn recount(&mut self, w: &WindowAnswer) {
        let mut totals = blank(w);
        (self.head as usize..self.len(w)).for_each(|row| join(w, self.row(w, row), &mut totals));
        self.totals = totals;
    }

    /// Counts an event in a step that is not after the newest.
    pub(super) fn add(
        &mut self,
        w: &WindowAnswer,
        newest: i64,
        step: i64,
        value: impl Fn(usize) -> Option<Option<i64>>,
    ) {
        if self.totals.len() != w.words {
            self.totals = blank(w);
        }
        let mut at = self.len(w);
        while at > 0 && self.step(w, at - 1).is_some_and(|s| s > step) {
            at -= 1;
        }
        let stride = w.words + 1;
        let row = match at.checked_sub(1).filter(|row| self.step(w, *row) == Some(step)) {
            Some(row) => row,
            None => {
                let fresh = std::iter::once(step).chain(blank(w));
                self.words.splice(at * stride..at * stride, fresh);
                if step <= newest - w.panes {
                    self.head += 1;
                }
                at
            }
        };
        // A row that lies before the window of the newest is in no total.
        let within = row >= self.head as usize;
        let from = row * stride + 1;
        if let Some(row) = self.words.get_mut(from..from + w.words) {
            count(w, row, &value);
        }
        if within {
            count(w, &mut self.totals, &value);
        }
    }

    /// What the window of a step comes to.
    pub(super) fn window(&self, w: &WindowAnswer, step: i64, newest: i64) -> SmallVec<[i64; 2]> {
        if step == newest && self.totals.len() == w.words {
            return self.totals.clone();
        }
        let mut sum = blank(w);
        for row in 0..self.len(w) {
            if self.step(w, row).is_some_and(|s| s > step - w.panes && s <= step) {
                join(w, self.row(w, row), &mut sum);
            }
        }
        sum
    }

    /// Events of the newest window.
    pub(super) fn events(&self) -> i64 {
        self.totals.first().copied().unwrap_or(0)
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let totals = if self.totals.spilled() { self.totals.capacity() * size_of::<i64>() } else { 0 };
        self.words.capacity() * size_of::<i64>() + totals
    }
}

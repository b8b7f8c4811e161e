//! What one group counted in its window, step by step: one row of numbers per step with events, and the totals over all rows.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::accumulate::{Accumulator, Span};
use super::footprint::HeapBytes;
use super::history::{Earlier, History};
use super::intern::Interner;
use super::items;
use super::route::HEADER;
use super::session::ONE_STEP;
use crate::plan::rule::{Column, WindowPlan};
use crate::plan::scalar::Val;

/// Events of one group: those that no exception takes out, or all. Rows that lie behind are packed: most numbers are small,
/// and most of the state is rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lane {
    /// The step of the first row.
    first: i64,
    /// The step of the open row.
    last: i64,
    /// The row that events still go into; of [`WindowPlan::row`] words, or none.
    open: Box<[u32]>,
    /// Rows before it, packed, each with its distance from the one before. A step may have several: the next begins when a
    /// number is full.
    closed: Packed,
    /// Events in all rows.
    events: u64,
    accumulators: Box<[Accumulator]>,
    /// Earlier windows, in a rule that looks back to them.
    history: Option<Box<History>>,
}

impl Lane {
    pub(crate) fn new(w: &WindowPlan) -> Lane {
        Lane {
            first: 0,
            last: 0,
            open: Box::default(),
            closed: Packed::default(),
            events: 0,
            accumulators: w.aggregates.iter().map(|a| Accumulator::new(a.fold)).collect(),
            history: (w.baselines.kept > 0).then(Box::default),
        }
    }

    /// Takes in a record of an event at `ts`; whether any aggregate counts it.
    pub(crate) fn add(&mut self, w: &WindowPlan, ts: i64, record: &[u64], interner: &Interner) -> bool {
        let pane = ts.div_euclid(w.step);
        let own = if w.gap.is_some() { ONE_STEP } else { pane };
        let (filters, known) = (record.get(1).copied().unwrap_or(0), record.get(2).copied().unwrap_or(0));
        let inputs = record.get(HEADER + w.per.len()..).unwrap_or(&[]);
        self.open_row(w, pane);
        let mut counted = false;
        for i in 0..w.aggregates.len() {
            let (Some(plan), Some(accumulator)) = (w.aggregates.get(i), self.accumulators.get_mut(i)) else { continue };
            if plan.filter.is_some_and(|f| filters & (1 << f) == 0) {
                continue;
            }
            counted |= plan.counts;
            let input = usize::from(plan.input);
            let word = inputs.get(input).copied().filter(|_| known & (1 << input) != 0);
            if plan.items {
                let set = word.map_or(&[] as &[u8], |word| interner.get(word));
                items::words(set).for_each(|item| accumulator.add(own, ts, Some(item), interner));
                continue;
            }
            let Column::At(column) = plan.column else {
                accumulator.add(own, ts, word, interner);
                continue;
            };
            let column = usize::from(column);
            if !accumulator.add_to(word, self.open.get_mut(column..).unwrap_or(&mut [])) {
                // The number is full: it goes on in a new row of the step.
                self.close();
                self.fresh_row(w);
                if let Some(accumulator) = self.accumulators.get_mut(i) {
                    accumulator.add_to(word, self.open.get_mut(column..).unwrap_or(&mut []));
                }
            }
        }
        self.events += 1;
        if let Some(events) = self.open.get_mut(1) {
            *events += 1;
        }
        if counted && let Some(contributed) = w.contributed.and_then(|c| self.open.get_mut(usize::from(c))) {
            *contributed += 1;
        }
        counted
    }

    /// Adds what another lane of the same rule holds. What aggregates come to can then be asked; steps are not kept.
    pub(crate) fn absorb(&mut self, other: &Lane, interner: &Interner) {
        self.events += other.events;
        for (own, other) in self.accumulators.iter_mut().zip(&other.accumulators) {
            own.absorb(other, interner);
        }
    }

    /// What it holds, to be put together with others later on: without steps, and without earlier windows.
    pub(crate) fn counted(&self, w: &WindowPlan, interner: &Interner) -> Lane {
        let mut counted = Lane { history: None, ..Lane::new(w) };
        counted.absorb(self, interner);
        counted
    }

    /// Accounted bytes of the values that its aggregates keep.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.accumulators.iter().map(Accumulator::kept_bytes).fold(0, u64::saturating_add)
    }

    /// Makes the open row that of a step.
    fn open_row(&mut self, w: &WindowPlan, pane: i64) {
        let full = self.open.get(1).is_none_or(|n| *n == u32::MAX);
        if self.open.is_empty() {
            (self.first, self.last) = (pane, pane);
            self.fresh_row(w);
        } else if self.last != pane || full {
            self.close();
            let distance = u32::try_from(pane - self.last).unwrap_or(u32::MAX);
            self.last = pane;
            self.fresh_row(w);
            if let Some(step) = self.open.first_mut() {
                *step = distance;
            }
        }
    }

    fn fresh_row(&mut self, w: &WindowPlan) {
        if self.open.len() == w.row {
            self.open.fill(0);
        } else {
            self.open = vec![0; w.row].into();
        }
    }

    fn close(&mut self) {
        self.closed.push(&self.open);
    }

    /// Drops all steps before `first`.
    pub(crate) fn expire(&mut self, w: &WindowPlan, first: i64) {
        // No aggregate knows a step that the rows do not.
        if self.open.is_empty() || self.first >= first {
            return;
        }
        let mut row: SmallVec<[u32; 16]> = SmallVec::from_elem(0, w.row);
        while self.first < first {
            if self.closed.pop(&mut row) {
                self.take_back(w, &row);
                let next = self.closed.first().or(self.open.first().copied()).unwrap_or(0);
                self.first += i64::from(next);
            } else {
                let open = std::mem::take(&mut self.open);
                self.take_back(w, &open);
                break;
            }
        }
        for (plan, accumulator) in w.aggregates.iter().zip(&mut self.accumulators) {
            if plan.column == Column::Own {
                accumulator.expire(first);
            }
        }
    }

    fn take_back(&mut self, w: &WindowPlan, row: &[u32]) {
        self.events -= u64::from(row.get(1).copied().unwrap_or(0));
        for (plan, accumulator) in w.aggregates.iter().zip(&mut self.accumulators) {
            if let Column::At(column) = plan.column {
                accumulator.take_back(row.get(usize::from(column)..).unwrap_or(&[]));
            }
        }
    }

    /// Events in the window.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The first and the last step with events.
    pub(crate) fn first_pane(&self) -> Option<i64> {
        (!self.open.is_empty()).then_some(self.first)
    }

    pub(crate) fn last_pane(&self) -> Option<i64> {
        (!self.open.is_empty()).then_some(self.last)
    }

    /// How many events any aggregate counts in the steps of a range.
    pub(crate) fn contributed(&self, w: &WindowPlan, steps: std::ops::Range<i64>) -> u64 {
        let column = w.contributed.map_or(1, usize::from);
        let number = |row: &[u32]| u64::from(row.get(column).copied().unwrap_or(0));
        let (mut step, mut sum, mut at) = (self.first, 0, self.closed.start as usize);
        let mut row: SmallVec<[u32; 16]> = SmallVec::from_elem(0, w.row);
        while self.closed.read(&mut at, &mut row) {
            sum += if steps.contains(&step) { number(&row) } else { 0 };
            let next = self.closed.number(&mut at.clone()).or(self.open.first().copied());
            step += i64::from(next.unwrap_or(0));
        }
        sum + if steps.contains(&self.last) { number(&self.open) } else { 0 }
    }

    /// What an aggregate comes to now.
    pub(crate) fn value<'i>(&self, w: &WindowPlan, index: u16, span: Span, interner: &'i Interner) -> Val<'i> {
        let at = usize::from(index);
        match (w.aggregates.get(at), self.accumulators.get(at)) {
            (Some(plan), _) if plan.column == Column::Events => {
                i64::try_from(self.events).map_or(Val::Unknown, Val::Num)
            }
            (Some(plan), Some(accumulator)) => accumulator.value(plan, span, interner),
            _ => Val::Unknown,
        }
    }

    pub(crate) fn accumulators(&self) -> &[Accumulator] {
        &self.accumulators
    }

    /// Earlier windows.
    pub(crate) fn history(&self) -> Option<&History> {
        self.history.as_deref()
    }

    /// Takes note of what the window came to, at a step with which one ends.
    pub(crate) fn remember(&mut self, w: &WindowPlan, earlier: Earlier) {
        if let Some(history) = &mut self.history {
            history.push(w, earlier);
        }
    }

    /// Drops earlier windows that are not looked back to any more at a step.
    pub(crate) fn forget(&mut self, w: &WindowPlan, step: i64) {
        if let Some(history) = &mut self.history {
            history.expire(w, step);
        }
    }

    /// Whether it has neither events nor earlier windows.
    pub(crate) fn is_empty(&self) -> bool {
        self.events == 0 && self.history.as_ref().is_none_or(|h| h.is_empty())
    }

    /// Whether it holds as many events as another, and earlier windows alike.
    pub(crate) fn is_like(&self, other: &Lane) -> bool {
        self.events == other.events && self.history == other.history
    }
}

impl HeapBytes for Lane {
    fn heap_bytes(&self) -> usize {
        let own: usize = self.accumulators.iter().map(HeapBytes::heap_bytes).sum();
        let history = self.history.as_ref().map_or(0, |h| size_of::<History>() + h.heap_bytes());
        self.closed.bytes.heap_bytes() + size_of_val(&*self.open) + size_of_val(&*self.accumulators) + own + history
    }
}

/// Rows of numbers in seven bits a byte, the low ones first; first in, first out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Packed {
    bytes: Vec<u8>,
    /// Where the first row begins.
    start: u32,
}

impl Packed {
    fn push(&mut self, row: &[u32]) {
        for number in row {
            let mut n = *number;
            while n >= 0x80 {
                self.grow();
                self.bytes.push((n as u8) | 0x80);
                n >>= 7;
            }
            self.grow();
            self.bytes.push(n as u8);
        }
    }

    /// Makes room for a byte. Most groups hold few rows: doubling from the start would waste more than it saves.
    fn grow(&mut self) {
        if self.bytes.len() == self.bytes.capacity() {
            self.bytes.reserve_exact(16.max(self.bytes.len() / 4));
        }
    }

    /// The first number of the first row.
    fn first(&self) -> Option<u32> {
        let mut at = self.start as usize;
        self.number(&mut at)
    }

    fn number(&self, at: &mut usize) -> Option<u32> {
        let (mut n, mut shift) = (0u32, 0);
        loop {
            let byte = *self.bytes.get(*at)?;
            *at += 1;
            n |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Some(n);
            }
            shift += 7;
        }
    }

    /// Reads the row that begins at `at` and moves on behind it; false where there is none.
    fn read(&self, at: &mut usize, row: &mut [u32]) -> bool {
        if *at >= self.bytes.len() {
            return false;
        }
        for number in row {
            *number = self.number(at).unwrap_or(0);
        }
        true
    }

    /// Takes out the first row; false where there is none.
    fn pop(&mut self, row: &mut [u32]) -> bool {
        let mut at = self.start as usize;
        if !self.read(&mut at, row) {
            return false;
        }
        if at >= self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        } else if at * 2 >= self.bytes.len() {
            self.bytes.drain(..at);
            self.start = 0;
        } else {
            self.start = at as u32;
        }
        true
    }
}

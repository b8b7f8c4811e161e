//! What one group counted in its window, step by step: one row of numbers per step with events, and the totals over all rows.

use serde::{Deserialize, Serialize};

use super::accumulate::Accumulator;
use super::footprint::HeapBytes;
use super::route::HEADER;
use crate::plan::rule::{Column, ROW_HEADER, WindowPlan};
use crate::plan::scalar::Val;

/// Events of one group: those that no exception takes out, or all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lane {
    /// The step from which rows count theirs.
    base: i64,
    /// Rows of [`WindowPlan::row`] words, by step. A step may have several: the next begins when a number is full.
    rows: Vec<u32>,
    /// Where the first row in use begins.
    start: u32,
    /// Events in all rows.
    events: u64,
    accumulators: Box<[Accumulator]>,
}

impl Lane {
    pub(crate) fn new(w: &WindowPlan) -> Lane {
        Lane {
            base: 0,
            rows: Vec::new(),
            start: 0,
            events: 0,
            accumulators: w.aggregates.iter().map(|a| Accumulator::new(a.fold)).collect(),
        }
    }

    /// Takes in a record of a step; whether any aggregate counts it.
    pub(crate) fn add(&mut self, w: &WindowPlan, pane: i64, record: &[u64]) -> bool {
        let (filters, known) = (record.get(1).copied().unwrap_or(0), record.get(2).copied().unwrap_or(0));
        let inputs = record.get(HEADER + w.per.len()..).unwrap_or(&[]);
        let mut at = self.row(w, pane);
        let mut counted = false;
        for (i, (plan, accumulator)) in w.aggregates.iter().zip(&mut self.accumulators).enumerate() {
            if plan.filter.is_some_and(|f| filters & (1 << f) == 0) {
                continue;
            }
            counted = true;
            let input = usize::from(plan.input);
            let word = inputs.get(input).copied().filter(|_| known & (1 << input) != 0);
            let added = match (plan.column, self.rows.get_mut(at..)) {
                (Column::At(column), Some(row)) => {
                    accumulator.add_to(word, row.get_mut(usize::from(column)..).unwrap_or(&mut []))
                }
                _ => {
                    accumulator.add(pane, word);
                    true
                }
            };
            if !added {
                // The number is full: it goes on in a new row of the step.
                at = push_row(&mut self.rows, w, (pane - self.base) as u32);
                let column = if let Column::At(c) = plan.column { usize::from(c) } else { 0 };
                let full = self.rows.get_mut(at + column..).is_none_or(|row| !accumulator.add_to(word, row));
                debug_assert!(!full, "aggregate {i} does not fit an empty row");
            }
        }
        self.events += 1;
        if let Some(row) = self.rows.get_mut(at..at + w.row) {
            if let Some(events) = row.get_mut(1) {
                *events += 1;
            }
            if counted && let Some(contributed) = w.contributed.and_then(|c| row.get_mut(usize::from(c))) {
                *contributed += 1;
            }
        }
        counted
    }

    /// Where the row of a step begins, made where it is missing.
    fn row(&mut self, w: &WindowPlan, pane: i64) -> usize {
        if self.start as usize >= self.rows.len() {
            self.rows.clear();
            self.start = 0;
            self.base = pane;
        } else if u32::try_from(pane - self.base).is_err() {
            self.compact(w);
        }
        let step = (pane - self.base) as u32;
        match self.rows.len().checked_sub(w.row) {
            Some(last)
                if self.rows.get(last) == Some(&step) && self.rows.get(last + 1).is_some_and(|n| *n < u32::MAX) =>
            {
                last
            }
            _ => push_row(&mut self.rows, w, step),
        }
    }

    /// Drops all steps before `first`.
    pub(crate) fn expire(&mut self, w: &WindowPlan, first: i64) {
        // No aggregate knows a step that the rows do not.
        if self.first_pane().is_none_or(|pane| pane >= first) {
            return;
        }
        while let Some(row) = self.rows.get(self.start as usize..self.start as usize + w.row) {
            let [step, events] = *row.first_chunk::<ROW_HEADER>().unwrap_or(&[0; ROW_HEADER]);
            if self.base + i64::from(step) >= first {
                break;
            }
            self.events -= u64::from(events);
            for (plan, accumulator) in w.aggregates.iter().zip(&mut self.accumulators) {
                if let Column::At(column) = plan.column {
                    accumulator.take_back(row.get(usize::from(column)..).unwrap_or(&[]));
                }
            }
            self.start += w.row as u32;
        }
        for (plan, accumulator) in w.aggregates.iter().zip(&mut self.accumulators) {
            if plan.column == Column::Own {
                accumulator.expire(first);
            }
        }
        let start = self.start as usize;
        if start >= self.rows.len() {
            self.rows.clear();
            self.start = 0;
        } else if start * 2 >= self.rows.len() {
            self.compact(w);
        }
    }

    /// Moves the rows in use to the front and counts their steps from the first.
    fn compact(&mut self, w: &WindowPlan) {
        self.rows.drain(..self.start as usize);
        self.start = 0;
        let shift = self.rows.first().copied().unwrap_or(0);
        self.base += i64::from(shift);
        self.rows.iter_mut().step_by(w.row).for_each(|step| *step -= shift);
        if self.rows.capacity() > self.rows.len() * 4 {
            self.rows.shrink_to(self.rows.len() * 2);
        }
    }

    /// Events in the window.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// The first and the last step with events.
    pub(crate) fn first_pane(&self) -> Option<i64> {
        self.rows.get(self.start as usize).map(|step| self.base + i64::from(*step))
    }

    pub(crate) fn last_pane(&self, w: &WindowPlan) -> Option<i64> {
        let last = self.rows.len().checked_sub(w.row)?;
        self.rows.get(last).map(|step| self.base + i64::from(*step))
    }

    /// How many events any aggregate counts in the steps of a range.
    pub(crate) fn contributed(&self, w: &WindowPlan, steps: std::ops::Range<i64>) -> u64 {
        let rows = self.rows.get(self.start as usize..).unwrap_or(&[]);
        let column = w.contributed.map_or(1, usize::from);
        rows.chunks_exact(w.row)
            .filter(|row| row.first().is_some_and(|step| steps.contains(&(self.base + i64::from(*step)))))
            .filter_map(|row| row.get(column))
            .map(|n| u64::from(*n))
            .sum()
    }

    /// What an aggregate comes to now.
    pub(crate) fn value(&self, w: &WindowPlan, index: u16) -> Val<'_> {
        let at = usize::from(index);
        match w.aggregates.get(at).map(|a| a.column) {
            Some(Column::Events) => i64::try_from(self.events).map_or(Val::Unknown, Val::Num),
            _ => self.accumulators.get(at).map_or(Val::Unknown, Accumulator::value),
        }
    }

    pub(crate) fn accumulators(&self) -> &[Accumulator] {
        &self.accumulators
    }
}

impl HeapBytes for Lane {
    fn heap_bytes(&self) -> usize {
        let own: usize = self.accumulators.iter().map(HeapBytes::heap_bytes).sum();
        self.rows.heap_bytes() + size_of_val(&*self.accumulators) + own
    }
}

fn push_row(rows: &mut Vec<u32>, w: &WindowPlan, step: u32) -> usize {
    let at = rows.len();
    // Most groups hold few rows: growing by doubling from the start would waste more than it saves.
    if rows.capacity() < at + w.row {
        rows.reserve_exact(w.row.max(at / 2));
    }
    rows.push(step);
    rows.resize(at + w.row, 0);
    at
}

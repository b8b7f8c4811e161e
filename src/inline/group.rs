//! What one group of one rule holds at arrival.

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::distinct::Sightings;
use super::plan::{Kept, WindowAnswer};
use super::rows::{self, Rows};
use crate::eval::route::HEADER;
use crate::time::Duration;

/// Calls under way that count ahead in one group; more are judged, and the oldest count when their completion comes.
pub const AHEAD_MAX: usize = 256;

/// How long a call counts ahead whose completion does not come: as long as limits hold for it.
pub const AHEAD_LIFE: Duration = super::quota::RESERVATION_LIFE;

/// What a rule took from an event: its filters that are true, its inputs that are known, and the inputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken<'a> {
    filters: u64,
    known: u64,
    inputs: &'a [u64],
}

impl<'a> Taken<'a> {
    /// Of a routed record with so many parts of a key.
    pub(crate) fn of(record: &'a [u64], parts: usize) -> Taken<'a> {
        Taken {
            filters: record.get(1).copied().unwrap_or(0),
            known: record.get(2).copied().unwrap_or(0),
            inputs: record.get(HEADER + parts..).unwrap_or_default(),
        }
    }

    /// The known value for a slot, where its filter lets the event through.
    fn value(&self, w: &WindowAnswer, slot: usize) -> Option<Option<i64>> {
        let slot = w.slots.get(slot)?;
        let bit = |n: u8| 1u64.checked_shl(u32::from(n)).unwrap_or(0);
        if slot.filter.is_some_and(|f| self.filters & bit(f) == 0) {
            return None;
        }
        let known = self.known & bit(slot.input) != 0;
        Some(self.inputs.get(usize::from(slot.input)).filter(|_| known).map(|word| *word as i64))
    }
}

/// A call that was asked about and is under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ahead {
    call: u64,
    step: i64,
    /// Event time from which on it counts no more.
    until: i64,
    filters: u64,
    known: u64,
    inputs: SmallVec<[u64; 1]>,
}

impl Ahead {
    fn taken(&self) -> Taken<'_> {
        Taken { filters: self.filters, known: self.known, inputs: &self.inputs }
    }
}

/// One group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Group {
    /// The latest step with an event.
    newest: i64,
    /// From this event time on nothing of it counts.
    ends: i64,
    rows: Rows,
    distinct: Box<[Sightings]>,
    ahead: Vec<Ahead>,
}

/// What a condition needs to know of a window: per slot its value, and how many events there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Values {
    pub(super) slots: SmallVec<[Option<i64>; 4]>,
    pub(super) events: i64,
}

impl Group {
    pub(super) fn new(w: &WindowAnswer, step: i64) -> Group {
        let mut group = Group {
            newest: step,
            ends: 0,
            rows: Rows::default(),
            distinct: (0..w.n_distinct).map(|_| Sightings::default()).collect(),
            ahead: Vec::new(),
        };
        group.ends = group.end(w);
        group
    }

    fn end(&self, w: &WindowAnswer) -> i64 {
        w.end_of(self.newest.saturating_add(w.panes).saturating_add(w.late))
    }

    /// From which event time on nothing of it counts.
    pub(super) fn ends(&self) -> i64 {
        self.ends
    }

    /// How promising it is: the least goes first.
    pub(super) fn promise(&self) -> (i64, i64) {
        (self.rows.events().saturating_add(self.ahead.len() as i64), self.newest)
    }

    /// Whether an event of a step comes too late to be counted.
    pub(super) fn is_late(&self, w: &WindowAnswer, step: i64) -> bool {
        step < self.newest.saturating_sub(w.late)
    }

    fn advance(&mut self, w: &WindowAnswer, step: i64) {
        if step > self.newest {
            self.newest = step;
            self.ends = self.end(w);
            self.rows.advance(w, step);
            self.distinct.iter_mut().for_each(|sightings| sightings.advance(w, step));
            let oldest = step - w.panes - w.late;
            self.ahead.retain(|a| a.step > oldest);
            self.spare();
        }
    }

    /// Counts an event.
    pub(super) fn add(&mut self, w: &WindowAnswer, step: i64, taken: Taken<'_>) {
        self.advance(w, step);
        self.rows.add(w, self.newest, step, |slot| taken.value(w, slot));
        for (number, slot) in w.slots.iter().enumerate() {
            if let Kept::Distinct(at, needed) = slot.kept
                && let Some(Some(value)) = taken.value(w, number)
                && let Some(sightings) = self.distinct.get_mut(at)
            {
                sightings.add(w, self.newest, step, value as u64, needed);
            }
        }
    }

    /// Lets a call count ahead; false where the oldest had to go for it.
    pub(super) fn add_ahead(&mut self, w: &WindowAnswer, ts: i64, call: u64, taken: Taken<'_>) -> bool {
        let step = w.step_of(ts);
        self.advance(w, step);
        let ahead = &mut self.ahead;
        ahead.retain(|a| a.until > ts);
        if ahead.iter().any(|a| a.call == call) {
            return true;
        }
        let full = ahead.len() >= AHEAD_MAX;
        if full {
            ahead.remove(0);
        }
        let Taken { filters, known, inputs } = taken;
        let until = ts.saturating_add(AHEAD_LIFE.0);
        ahead.push(Ahead { call, step, until, filters, known, inputs: inputs.into() });
        !full
    }

    /// Takes back what a call counted ahead.
    pub(super) fn take_ahead(&mut self, call: u64) {
        self.ahead.retain(|a| a.call != call);
        self.spare();
    }

    /// Most groups have no call under way most of the time.
    fn spare(&mut self) {
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
    }

    /// What the window of an event's step comes to; `with` that event where it is not counted.
    pub(super) fn values(&self, w: &WindowAnswer, ts: i64, with: Option<Taken<'_>>) -> Values {
        let step = w.step_of(ts);
        let mut row = self.rows.window(w, step, self.newest);
        if row.len() != w.words {
            row = rows::blank(w);
        }
        let within = |a: &&Ahead| a.step > step - w.panes && a.step <= step && a.until > ts;
        let ahead = self.ahead.iter().filter(within).map(Ahead::taken);
        let further: SmallVec<[Taken<'_>; 4]> = ahead.chain(with).collect();
        further.iter().for_each(|taken| rows::count(w, &mut row, |slot| taken.value(w, slot)));
        let slots = w.slots.iter().enumerate().map(|(number, slot)| match slot.kept {
            Kept::Distinct(at, _) => {
                let values = further.iter().filter_map(|taken| taken.value(w, number).flatten());
                let values: SmallVec<[u64; 4]> = values.map(|value| value as u64).collect();
                let sightings = self.distinct.get(at)?;
                i64::try_from(sightings.count(w, self.newest, step, &values)).ok()
            }
            kept => rows::value(kept, &row),
        });
        Values { slots: slots.collect(), events: row.first().copied().unwrap_or(0) }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let distinct: usize = self.distinct.iter().map(Sightings::heap_bytes).sum();
        let ahead = self.ahead.capacity() * size_of::<Ahead>();
        self.rows.heap_bytes() + distinct + size_of_val(&*self.distinct) + ahead
    }
}

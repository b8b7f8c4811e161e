//! What a group came to in earlier windows that end on multiples of the window's length: for `usual`. Windows without an
//! event of the group are not kept; what they came to is known without.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::footprint::HeapBytes;
use super::lane::Lane;
use crate::plan::baseline::BaselinePlan;
use crate::plan::rule::WindowPlan;
use crate::value::MICROS;

/// The number of the window that ends with a step, where one does.
pub(crate) fn block_of(w: &WindowPlan, step: i64) -> Option<i64> {
    (step.rem_euclid(w.panes) == 0).then(|| step.div_euclid(w.panes) - 1)
}

/// The newest window that ends at or before the beginning of the one that is judged at a step.
pub(crate) fn newest(w: &WindowPlan, step: i64) -> i64 {
    step.div_euclid(w.panes) - 2
}

/// The next step after one (or after the step that an event at it belongs to) at which a window ends.
pub(crate) fn next_end(w: &WindowPlan, step: i64) -> i64 {
    (step.div_euclid(w.panes) + 1).saturating_mul(w.panes)
}

/// An earlier window with an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Earlier {
    /// Which: it ends at one more than this many lengths since 1970.
    pub(crate) number: i64,
    /// What it came to, by the number of the baseline.
    pub(crate) values: SmallVec<[Option<i64>; 2]>,
    /// Aggregates that were estimates in it, as bits.
    pub(crate) estimated: u64,
    /// What it counted, in a rule that groups by a link: who belongs together is known only when a later window is judged.
    pub(crate) counted: Option<Box<Lane>>,
}

impl PartialEq for Earlier {
    /// Of one group, one window: which events it counted shows in their number, for one of the two holds all of the other.
    fn eq(&self, other: &Earlier) -> bool {
        let events = |e: &Earlier| e.counted.as_ref().map(|lane| lane.events());
        let own = (self.number, &self.values, self.estimated, events(self));
        own == (other.number, &other.values, other.estimated, events(other))
    }
}

/// Earlier windows in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    all: VecDeque<Earlier>,
    /// Accounted bytes of what they counted.
    bytes: u64,
}

impl History {
    pub(crate) fn push(&mut self, w: &WindowPlan, earlier: Earlier) {
        self.bytes = self.bytes.saturating_add(counted_bytes(w, &earlier));
        self.all.push_back(earlier);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Earlier> {
        self.all.iter()
    }

    /// Accounted bytes of what earlier windows counted.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Drops windows that no step from this one on looks back to.
    pub(crate) fn expire(&mut self, w: &WindowPlan, step: i64) {
        let oldest = newest(w, step) - w.baselines.kept + 1;
        while let Some(gone) = self.all.pop_front_if(|e| e.number < oldest) {
            self.bytes = self.bytes.saturating_sub(counted_bytes(w, &gone));
        }
    }

    /// The step at which nothing is left.
    pub(crate) fn gone_at(&self, w: &WindowPlan) -> Option<i64> {
        self.all.back().map(|e| (e.number + w.baselines.kept + 2).saturating_mul(w.panes))
    }

    /// The windows that a baseline looks back to at a step.
    fn seen<'h>(&'h self, w: &WindowPlan, b: &BaselinePlan, step: i64) -> impl Iterator<Item = &'h Earlier> + 'h {
        let newest = newest(w, step);
        let oldest = newest - b.windows + 1;
        self.all.iter().filter(move |e| (oldest..=newest).contains(&e.number))
    }

    /// The known values that a baseline rests on at a step, in no order; `empty` is what a window without events comes to.
    pub(crate) fn values(
        &self,
        w: &WindowPlan,
        (number, b): (usize, &BaselinePlan),
        step: i64,
        empty: Option<i64>,
    ) -> Vec<i64> {
        let Some(first) = self.seen(w, b, step).next().map(|e| e.number) else { return Vec::new() };
        let mut all: Vec<i64> = Vec::new();
        let mut with_events = 0;
        for earlier in self.seen(w, b, step) {
            with_events += 1;
            all.extend(earlier.values.get(number).copied().flatten());
        }
        let without = usize::try_from(newest(w, step) - first + 1 - with_events).unwrap_or(0);
        all.extend(empty.into_iter().flat_map(|n| std::iter::repeat_n(n, without)));
        all
    }

    /// What is usual at a step; unknown over too few values.
    pub(crate) fn usual(
        &self,
        w: &WindowPlan,
        (number, b): (usize, &BaselinePlan),
        step: i64,
        empty: Option<i64>,
    ) -> Option<i64> {
        let mut all = self.values(w, (number, b), step, empty);
        if (all.len() as u64) < b.least.max(1) {
            return None;
        }
        // The first that the share does not exceed, as with `quantile`.
        let enough = (all.len() as u128 * u128::from(b.share.unsigned_abs())).div_ceil(MICROS.unsigned_abs().into());
        let at = usize::try_from(enough).unwrap_or(usize::MAX).clamp(1, all.len()) - 1;
        Some(*all.select_nth_unstable(at).1)
    }

    /// Aggregates that were estimates in any of the windows, as bits.
    pub(crate) fn estimated(&self, w: &WindowPlan, b: &BaselinePlan, step: i64) -> u64 {
        self.seen(w, b, step).fold(0, |bits, e| bits | (e.estimated & b.made_of))
    }
}

/// Accounted bytes of what a window counted.
fn counted_bytes(w: &WindowPlan, earlier: &Earlier) -> u64 {
    earlier.counted.as_ref().map_or(0, |lane| w.room.earlier_bytes(lane.events()).saturating_add(lane.kept_bytes()))
}

impl HeapBytes for History {
    fn heap_bytes(&self) -> usize {
        let spilled = |e: &Earlier| if e.values.spilled() { e.values.capacity() * size_of::<Option<i64>>() } else { 0 };
        let counted = |e: &Earlier| e.counted.as_ref().map_or(0, |lane| size_of::<Lane>() + lane.heap_bytes());
        self.all.heap_bytes() + self.all.iter().map(|e| spilled(e) + counted(e)).sum::<usize>()
    }
}

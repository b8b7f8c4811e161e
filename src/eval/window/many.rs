//! Rules by a part of which an event has several values: an event counts in a group for each, and groups of one campaign are
//! judged together.

use super::cluster::{Clusters, Court};
use super::{Bench, Ended, Windows};
use crate::eval::back::Back;
use crate::eval::intern::Interner;
use crate::eval::route::HEADER;
use crate::plan::many::ManyPlan;
use crate::plan::rule::{Key, RulePlan, WindowPlan, words};

impl Windows {
    /// Since when events had to be forgotten before they had left their windows.
    pub(crate) fn lost_since(&self) -> Option<i64> {
        self.sparse.lost_since()
    }

    /// How many values of events were forgotten so.
    pub(crate) fn lost(&self) -> u64 {
        self.sparse.lost()
    }

    /// Takes in a record of an event for each of its values. A key has a group once its window holds enough events.
    pub(super) fn apply_many(
        &mut self,
        w: &WindowPlan,
        many: &ManyPlan,
        n_exceptions: usize,
        record: &[u64],
        (ts, number): (i64, u64),
        interner: &Interner,
    ) {
        let Some((fixed, values)) = record.split_at_checked(HEADER + words(w)) else { return };
        let (pane, mut key) =
            (ts.div_euclid(w.step), Key::from_slice(fixed.get(HEADER..HEADER + w.per.len()).unwrap_or(&[])));
        let first = pane + 1 - w.panes;
        self.sparse.expire(w, first);
        for value in values {
            if let Some(part) = key.get_mut(many.at) {
                *part = *value;
            }
            if let Some(slot) = self.find(&key) {
                self.count(slot, w, n_exceptions, fixed, (ts, number), interner);
                self.schedule(slot, w, pane);
            } else if w.events_needed <= 1 || !w.baselines.is_empty() {
                // What looks back needs every window of the key.
                let slot = self.insert(w, &key, interner);
                self.count(slot, w, n_exceptions, fixed, (ts, number), interner);
                self.schedule(slot, w, pane);
            } else if self.sparse.add(w, many, fixed, (ts, number), *value) >= w.events_needed {
                let own = self.sparse.of(w, many, &key, first);
                if own.len() as u64 >= w.events_needed {
                    let slot = self.insert(w, &key, interner);
                    for e in &own {
                        self.count(slot, w, n_exceptions, &e.record, (e.ts, e.number), interner);
                    }
                    self.schedule(slot, w, pane);
                }
            }
        }
    }

    /// The same in a rule that merges groups: which hold, then what becomes of them together.
    #[expect(clippy::too_many_arguments, reason = "the step, the rule in its three forms, and where to read and write")]
    pub(super) fn judge_merging(
        &mut self,
        step: i64,
        slots: &[u32],
        many: &ManyPlan,
        plan: &RulePlan,
        w: &WindowPlan,
        bench: &Bench<'_>,
        ended: &mut Vec<Ended>,
    ) {
        // The checker refuses what looks back in such a rule; outages may be asked for.
        let back = Back { step, series: bench.series, ..Back::nothing() };
        let mut touched = self.clusters.take_due(step);
        for slot in slots {
            let Some(Some(group)) = self.groups.get_mut(*slot as usize) else { continue };
            if group.due != step {
                continue;
            }
            let holds = group.holds(w, bench, back);
            group.watched(w, bench, back);
            group.holding = holds.contains(&true);
            let next = group.changes(w, step).map_or(step + 1, |next| next.max(step + 1));
            let next = if w.clocked && group.is_hot(w) { step + 1 } else { next };
            self.clusters.note(many.at, &group.key, *slot, holds, &mut touched);
            if group.is_empty() {
                self.clusters.leave(many.at, &group.key);
                self.remove(*slot);
            } else {
                group.due = next;
                self.due.entry(next).or_default().push(*slot);
            }
        }
        let court = Court { plan, w, bench, groups: &self.groups, trail: &self.trail };
        self.clusters.judge(step, touched, &court, ended);
    }

    /// All merged violations under way.
    pub(crate) fn clusters(&mut self) -> &mut Clusters {
        &mut self.clusters
    }
}

//! The evaluator's part in sequences: what it hands to them, and what it hands out of them.

use std::sync::Arc;

use super::{Applied, Sequences};
use crate::eval::Evaluator;
use crate::eval::finding::Subject;
use crate::eval::route::records;
use crate::plan::RuleSet;
use crate::plan::rule::ShapePlan;
use crate::violation::Violation;

impl Evaluator {
    /// Sequences take in the events of the last moment of a file, which windows leave waiting: a file whose last event makes
    /// a sequence whole shows it.
    pub(in crate::eval) fn follow_last_moment(&mut self) {
        if self.sequences.is_empty() {
            return;
        }
        let rules = Arc::clone(&self.rules);
        for (e, id, words) in self.stage.untold() {
            let answered = e.pending.as_ref().map_or(&[][..], |pending| pending.words());
            for (rule, record) in records(&rules, words).chain(records(&rules, answered)) {
                let Some(plan) = rules.rules.get(rule as usize) else { continue };
                let ShapePlan::Sequence(s) = &plan.shape else { continue };
                let applied = Applied { ts: e.ts, id, content: e.content, account: e.account, record };
                if let Some(sequences) = self.sequences.get_mut(s.number as usize) {
                    sequences.apply(plan, s, &applied, &self.interner);
                    self.next_due = self.next_due.min(sequences.next_due().unwrap_or(i64::MAX));
                }
            }
        }
    }

    /// Judges what is due of sequences at or before `until`; when something is due next.
    pub(in crate::eval) fn judge_sequences(&mut self, rules: &RuleSet, until: i64) -> i64 {
        let mut next = i64::MAX;
        let mut ended = Vec::new();
        for (leader, plan, s) in rules.sequences() {
            let Some(sequences) = self.sequences.get_mut(s.number as usize) else { continue };
            while let Some(at) = sequences.next_due() {
                if at > until {
                    next = next.min(at);
                    break;
                }
                sequences.judge_next(plan, s, &self.interner, &mut ended);
            }
            for e in ended.drain(..) {
                for (rule, plan) in rules.members(leader) {
                    let subject = Subject { program: rules.program(), rule, plan };
                    let v = subject.sequence(s, &e.key, &e.found, e.exempted, Some(e.closed), &self.interner);
                    self.finished.push(v);
                }
            }
        }
        next
    }

    /// Adds the violations under way that changed since they were handed out.
    pub(in crate::eval) fn hand_out_sequences(&mut self, rules: &RuleSet, out: &mut Vec<Violation>) {
        for (leader, _, s) in rules.sequences() {
            let Some(sequences) = self.sequences.get_mut(s.number as usize).filter(|s| s.has_violations()) else {
                continue;
            };
            let interner = &self.interner;
            sequences.with_violations(|key, found, exempted| {
                if std::mem::take(&mut found.fresh) {
                    for (rule, plan) in rules.members(leader) {
                        let subject = Subject { program: rules.program(), rule, plan };
                        out.push(subject.sequence(s, key, found, exempted, None, interner));
                    }
                }
            });
        }
    }

    /// Adds the events of which it was unknown whether they are a step, per rule.
    pub(in crate::eval) fn undecided_steps(&self, counts: &mut Vec<u64>) {
        for (leader, _, s) in self.rules.sequences() {
            let steps = self.sequences.get(s.number as usize).map_or(0, Sequences::undecided);
            if counts.len() <= leader as usize {
                counts.resize(leader as usize + 1, 0);
            }
            if let Some(n) = counts.get_mut(leader as usize) {
                *n += steps;
            }
        }
    }

    /// Per rule on sequences, how many partial matches were dropped for want of room; rules without any are left out.
    pub fn dropped(&self) -> Vec<(String, u64)> {
        let counted = self.rules.sequences().filter_map(|(leader, _, s)| {
            let n = self.sequences.get(s.number as usize).map_or(0, Sequences::dropped);
            (n > 0).then_some((leader, n))
        });
        let named =
            counted.flat_map(|(leader, n)| self.rules.members(leader).map(move |(rule, _)| (rule.name.clone(), n)));
        named.collect()
    }
}

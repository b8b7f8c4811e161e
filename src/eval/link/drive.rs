//! The evaluator's part in links: what it hands to them, and what it hands out of the rules that group by them.

use super::record::Told;
use super::{Changes, Room, of_link};
use crate::eval::Evaluator;
use crate::eval::finding::Subject;
use crate::eval::window::{Bench, Judging, Linked};
use crate::plan::RuleSet;
use crate::plan::link::{LinkPlan, ViewPlan};
use crate::plan::rule::{RulePlan, WindowPlan};
use crate::violation::Violation;

/// The plan of a view and of its link.
fn plan_of(rules: &RuleSet, number: usize) -> Option<(&ViewPlan, &LinkPlan)> {
    let view = rules.links.views.get(number)?;
    Some((view, rules.links.all.get(view.link as usize)?))
}

/// The rules that group by a view and lead their definition.
fn of_view(rules: &RuleSet, number: usize) -> impl Iterator<Item = (u32, &RulePlan, &WindowPlan)> {
    rules.leaders().filter(move |(_, _, w)| w.view == Some(number as u32))
}

impl Evaluator {
    fn room(&self) -> Room {
        Room { edges: self.options.link_edges, pairs: self.options.link_pairs }
    }

    /// Hands what ties an event's account to the links.
    pub(in crate::eval) fn apply_ties(&mut self, account: u64, ts: i64, words: &[u64]) {
        let room = self.room();
        for (number, link) in self.links.iter_mut().enumerate() {
            let Some((view, plan)) = plan_of(&self.rules, number) else { continue };
            link.see(view, account, ts, of_link(&self.rules, words, view.link), room);
            if let Some(step) = link.next_due(plan, view) {
                self.next_due = self.next_due.min(step.saturating_mul(view.step));
            }
        }
    }

    /// Tells the groups of links at every step that is due at or before `until`, and judges the rules that group by them;
    /// when something is due next.
    pub(in crate::eval) fn judge_links(&mut self, rules: &RuleSet, until: i64) -> i64 {
        let (mut next, room) = (i64::MAX, self.room());
        let mut links = std::mem::take(&mut self.links);
        for (number, link) in links.iter_mut().enumerate() {
            let Some((view, plan)) = plan_of(rules, number) else { continue };
            while let Some(step) = self.next_step(rules, number, link.next_due(plan, view)) {
                let end = step.saturating_mul(view.step);
                if end > until {
                    next = next.min(end);
                    break;
                }
                let changes = match link.next_due(plan, view) {
                    Some(due) if due <= step => link.step(step, plan, view, room, &self.interner),
                    _ => Changes::default(),
                };
                let linked = Linked { link, plan, key: &rules.data().fingerprint_key };
                for (leader, rule_plan, w) in of_view(rules, number) {
                    self.judge_linked(rules, leader, (rule_plan, w), step, linked, &changes);
                }
            }
        }
        self.links = links;
        next
    }

    /// The next step at which a view, or a rule that groups by it, is due.
    fn next_step(&self, rules: &RuleSet, number: usize, link: Option<i64>) -> Option<i64> {
        let of_rules = of_view(rules, number).flat_map(|(_, _, w)| {
            let at = w.number as usize;
            let windows = self.windows.get(at).and_then(|windows| windows.next_due());
            windows.into_iter().chain(self.linked.get(at).and_then(|episodes| episodes.next_due()))
        });
        of_rules.chain(link).min()
    }

    fn judge_linked(
        &mut self,
        rules: &RuleSet,
        leader: u32,
        (plan, w): (&RulePlan, &WindowPlan),
        step: i64,
        linked: Linked<'_>,
        changes: &Changes,
    ) {
        let at = w.number as usize;
        let (Some(windows), Some(episodes)) = (self.windows.get_mut(at), self.linked.get_mut(at)) else { return };
        let bench =
            Bench { events: &self.events, interner: &self.interner, series: &self.series, watch: self.watch.as_ref() };
        let mut ended = Vec::new();
        windows.judge_linked(&Judging { step, plan, w, bench: &bench, linked }, changes, episodes, &mut ended);
        for e in ended {
            let evidence = &e.episode.gathered(bench.events).evidence();
            let (name, closed) = (e.name.as_str(), Some(e.closed));
            let told = Told { name, episode: &e.episode, evidence, exempted: e.exempted, closed };
            for (rule, plan) in rules.members(leader) {
                let subject = Subject { program: rules.program(), rule, plan };
                let mut v = subject.linked(w, linked.plan, told, &bench);
                if let Some(into) = &e.merged {
                    subject.became_part(w, &mut v, into, e.exempted);
                }
                v.cut_by(linked.link.lost_since());
                self.finished.push(v);
            }
        }
    }

    /// Adds the violations under way that changed since they were handed out.
    pub(in crate::eval) fn hand_out_linked(&mut self, rules: &RuleSet, out: &mut Vec<Violation>) {
        for (leader, _, w) in rules.leaders() {
            let Some(number) = w.view else { continue };
            let Some((_, plan)) = plan_of(rules, number as usize) else { continue };
            let Some(episodes) = self.linked.get_mut(w.number as usize).filter(|e| e.any()) else { continue };
            let judged = self.settled.div_euclid(w.step);
            let lost = self.links.get(number as usize).and_then(|link| link.lost_since());
            let bench = Bench {
                events: &self.events,
                interner: &self.interner,
                series: &self.series,
                watch: self.watch.as_ref(),
            };
            episodes.each(|name, e, exempted| {
                if e.episode.holds {
                    e.episode.last = e.episode.last.max(judged);
                }
                if e.episode.handed_out == Some(e.episode.last) {
                    return;
                }
                e.episode.handed_out = Some(e.episode.last);
                let evidence = &e.gathered(bench.events).evidence();
                for (rule, plan_of_rule) in rules.members(leader) {
                    let subject = Subject { program: rules.program(), rule, plan: plan_of_rule };
                    let told = Told { name, episode: e, evidence, exempted, closed: None };
                    let mut v = subject.linked(w, plan, told, &bench);
                    v.cut_by(lost);
                    out.push(v);
                }
            });
        }
    }

    /// Per link that rules group by, what it lost for want of room: edges that were forgotten, and values that were ignored
    /// at most at one step. Links that lost nothing are left out; one that is told at several steps shows the most.
    pub fn links_lost(&self) -> Vec<(String, u64, u64)> {
        let mut lost: std::collections::BTreeMap<&str, (u64, u64)> = std::collections::BTreeMap::new();
        for (number, link) in self.links.iter().enumerate() {
            let Some((_, plan)) = plan_of(&self.rules, number) else { continue };
            let ((edges, values), known) = (link.lost(), lost.entry(&plan.name).or_default());
            *known = (known.0.max(edges), known.1.max(values));
        }
        let told = lost.into_iter().filter(|(_, lost)| *lost != (0, 0));
        told.map(|(name, (edges, values))| (name.to_string(), edges, values)).collect()
    }
}

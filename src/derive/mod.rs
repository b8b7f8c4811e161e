//! Findings again, and otherwise: runs the evaluator over the events of one rule as a journal gives them back, and over what
//! they might have been, to say which events counted, what would have kept a finding silent, and how near one came. Every
//! answer is a run of the evaluator, none is a guess. Knows no file, no log and no terminal.

mod again;
mod choose;
mod reach;
mod reasons;
mod silent;
mod slice;
mod variant;
mod why_not;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use again::{Actions, DIFFERENCES_MAX, Difference, Verdict, WHOLE, differences};
pub use choose::{Wanted, choose};
pub use reach::hangs_on_all_before;
pub use reasons::{EXAMPLES_MAX, Reason, Reasons};
pub use silent::{ACCOUNTS_TRIED_MAX, Bound, EVENTS_RUN_MAX, Effort, Silence, Without};
pub use slice::{SLICE_BYTES_MAX, SLICE_RECORDS_MAX, Slice, SliceRecord, recompute};
pub use variant::not_derivable;
pub use why_not::{Condition, Nearest, WhyNot};

use self::reasons::Conditions;
use crate::diagnostic::Diagnostic;
use crate::eval::{EvalOptions, Evaluator, Look, Origin, Outcome, Recalled, TestNames};
use crate::hir::{Rule, Shape};
use crate::plan::RuleSet;
use crate::source::{SourceMap, Span};
use crate::time::{Duration, Timestamp};
use crate::violation::{Status, Violation};

/// One rule with the events that its run took in.
pub struct Case<'a> {
    rules: &'a RuleSet,
    /// The rule sets that wrote the events down.
    writers: Vec<&'a RuleSet>,
    sources: &'a SourceMap,
    rule: &'a Rule,
    /// Taken in and not displaced since, in order of (time, id).
    events: Vec<Recalled>,
    /// Which of them the rule looks at.
    looked_at: Vec<bool>,
    /// Which of them have a part in what it finds: of a link or a series all, those too that it does not look at.
    fed: Vec<bool>,
    /// How many came behind the watermark.
    pub n_late: u64,
    /// Up to when time is over.
    horizon: Timestamp,
    /// What the rule finds in them, each in its last state: as far as the watermark reaches.
    pub found: Vec<Violation>,
    /// The same once the input has ended.
    pub found_at_end: Vec<Violation>,
}

/// Which windows a run notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looking<'g> {
    /// None.
    Away,
    /// Those of groups, with enough events for the condition to hold.
    On(&'g BTreeSet<Vec<String>>),
    /// All of groups.
    OnAll(&'g BTreeSet<Vec<String>>),
}

/// Why a case cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    /// There is no rule of this name.
    #[error("there is no rule `{0}`")]
    NoRule(String),
    /// The rule cannot be planned.
    #[error("the rule cannot be run: {}", .0.first().map_or("", |d| d.message.as_str()))]
    Rule(Vec<Diagnostic>),
}

impl<'a> Case<'a> {
    /// The case of a rule of `writer`, the rule set that wrote the journal, over events in the order of their arrival.
    ///
    /// # Errors
    /// Where there is no such rule.
    pub fn new(
        writer: &'a RuleSet,
        sources: &'a SourceMap,
        rule: &str,
        events: Vec<Recalled>,
        lateness: Duration,
    ) -> Result<Case<'a>, DeriveError> {
        Case::among(writer, vec![writer], sources, rule, events, lateness)
    }

    /// The same over a journal that several rule sets wrote ([`Recalled::writer`]); the rule is one of `rules`.
    ///
    /// # Errors
    /// Where there is no such rule.
    pub fn among(
        rules: &'a RuleSet,
        writers: Vec<&'a RuleSet>,
        sources: &'a SourceMap,
        rule: &str,
        events: Vec<Recalled>,
        lateness: Duration,
    ) -> Result<Case<'a>, DeriveError> {
        let known = rules.program().rules.iter().find(|r| r.name == rule);
        let rule = known.ok_or_else(|| DeriveError::NoRule(rule.to_string()))?;
        let alone = variant::alone(rules, vec![rule.clone()])?;
        let names = TestNames::among(writers.iter().copied(), &alone);
        let mut evaluator = Evaluator::new(Arc::new(alone), EvalOptions { lateness, ..EvalOptions::default() });
        let (mut outcomes, mut looked_at) = (Vec::with_capacity(events.len()), Vec::with_capacity(events.len()));
        let everything = rule.asks_memory() || matches!(rule.shape, Shape::Sequence(_));
        for (line, recalled) in (0u64..).zip(&events) {
            outcomes.push(evaluator.observe_recalled(recalled, &names, Origin { input: 0, line }));
            let matches = match everything {
                true => rule.kinds.contains(&recalled.event.kind()),
                false => !evaluator.matching_recalled(recalled, &names).is_empty(),
            };
            looked_at.push(matches);
        }
        let found = last_states(evaluator.take_violations(), Vec::new());
        evaluator.finish();
        let found_at_end = last_states(found.clone(), evaluator.take_violations());
        let displaced: BTreeSet<u64> = evaluator.take_refused().into_iter().map(|r| r.origin.line).collect();
        let n_late = outcomes.iter().filter(|o| **o == Outcome::Late).count() as u64;
        let horizon = events.iter().map(|r| r.event.ts()).max().unwrap_or(Timestamp::MIN);
        let mut taken: Vec<(Recalled, bool)> = (0u64..)
            .zip(events.into_iter().zip(looked_at).zip(outcomes))
            .filter(|(line, (_, outcome))| *outcome == Outcome::Evaluated && !displaced.contains(line))
            .map(|(_, (event, _))| event)
            .collect();
        taken.sort_by(|(a, _), (b, _)| (a.event.ts(), a.event.id()).cmp(&(b.event.ts(), b.event.id())));
        let (events, looked_at): (Vec<_>, Vec<bool>) = taken.into_iter().unzip();
        let fed = if reach::is_fed_all(rule) { vec![true; looked_at.len()] } else { looked_at.clone() };
        Ok(Case { rules, writers, sources, rule, events, looked_at, fed, n_late, horizon, found, found_at_end })
    }

    /// The rule.
    pub fn rule(&self) -> &Rule {
        self.rule
    }

    /// How many events were taken in.
    pub fn n_events(&self) -> usize {
        self.events.len()
    }

    /// How many of them the rule looks at.
    pub fn n_looked_at(&self) -> usize {
        self.looked_at.iter().filter(|l| **l).count()
    }

    /// What a variant of the rule finds in the events that pass, and what its windows came to.
    fn run(
        &self,
        rule: Rule,
        looking: Looking<'_>,
        passes: impl Fn(usize, &Recalled) -> bool,
    ) -> Result<(Vec<Violation>, Vec<Look>), DeriveError> {
        let rules = variant::alone(self.rules, vec![rule])?;
        let names = TestNames::among(self.writers.iter().copied(), &rules);
        let rules = if matches!(looking, Looking::OnAll(_)) { rules.judging_all() } else { rules };
        // Sorted: nothing comes late.
        let options = EvalOptions { lateness: Duration(0), ..EvalOptions::default() };
        let mut evaluator = Evaluator::new(Arc::new(rules), options);
        if let Looking::On(groups) | Looking::OnAll(groups) = looking {
            evaluator.watch(groups.clone());
        }
        let fed = self.events.iter().zip(&self.fed).enumerate().filter(|(_, (_, fed))| **fed);
        for (i, (recalled, _)) in fed.filter(|(i, (recalled, _))| passes(*i, recalled)) {
            evaluator.observe_recalled(recalled, &names, Origin { input: 0, line: i as u64 });
        }
        evaluator.advance(self.horizon);
        let found = last_states(evaluator.take_violations(), Vec::new());
        evaluator.finish();
        let found = last_states(found, evaluator.take_violations());
        Ok((found, evaluator.take_looks()))
    }

    /// Which events can have a part in what becomes of some groups: those of the groups, or all where the rule looks further.
    fn scope(&self, groups: &BTreeSet<Vec<String>>, conditions: &mut Conditions<'_, '_>) -> Vec<bool> {
        if !matches!(self.rule.shape, Shape::Windowed(_)) || reach::is_of_others(self.rule) {
            return self.fed.clone();
        }
        let own = |r: &Recalled, conditions: &mut Conditions<'_, '_>| {
            conditions.groups(r).is_some_and(|own| own.iter().any(|group| groups.contains(group)))
        };
        let each = self.events.iter().zip(&self.looked_at);
        each.map(|(recalled, looked_at)| *looked_at && own(recalled, conditions)).collect()
    }

    /// What the author wrote at a place, on one line.
    fn written(&self, span: Span) -> String {
        self.sources.text(span).split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Violations by id, later states over earlier ones, sorted by (opened_at, id).
fn last_states(earlier: Vec<Violation>, later: Vec<Violation>) -> Vec<Violation> {
    let all: BTreeMap<(Timestamp, String), Violation> =
        earlier.into_iter().chain(later).map(|v| ((v.opened_at, v.id.clone()), v)).collect();
    all.into_values().collect()
}

/// Whether a finding accuses.
fn accuses(v: &Violation) -> bool {
    matches!(v.status, Status::Open | Status::Closed)
}

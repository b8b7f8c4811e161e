//! Which events of a journal a finding needs: fewer are tried before more, and what is chosen is computed again, so that a slice
//! never leaves out what counts.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::again::Verdict;
use super::reach::{asks_series, is_fed_all, is_of_others};
use super::slice::{SLICE_BYTES_MAX, SLICE_RECORDS_MAX, Slice, SliceRecord, recompute};
use super::variant::{alone, not_derivable};
use crate::eval::{EvalOptions, Evaluator, Origin, Outcome, Recalled, TestNames};
use crate::event::FieldId;
use crate::hir::{Rule, Shape};
use crate::plan::RuleSet;
use crate::time::{Duration, Timestamp};
use crate::value::Value as Field;

/// Whose slice is asked for, and out of what.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The pack that wrote the journal.
    pub rules: &'a Arc<RuleSet>,
    /// The record, as sealed.
    pub record: &'a str,
    /// The records of events that may count, in the order of their arrival.
    pub candidates: Vec<SliceRecord>,
    /// How far they may have come out of order.
    pub lateness: Duration,
    /// Up to when time had gone.
    pub until: Timestamp,
    /// Whether the input had ended there.
    pub ended: bool,
    /// The position of the journal that the log seals.
    pub journal: String,
}

/// Chooses the events that a finding needs.
///
/// # Errors
/// A text that says why there is no slice.
pub fn choose(wanted: Wanted<'_>) -> Result<Slice, String> {
    let Wanted { rules, record, candidates, lateness, until, ended, journal } = wanted;
    let sealed: Value = serde_json::from_str(record).map_err(|e| e.to_string())?;
    let text = |key: &str| sealed.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    let name = text("rule");
    let known = rules.program().rules.iter().find(|r| r.name == name);
    let rule = known.ok_or_else(|| format!("the rules in force have no `{name}`"))?;
    if let Some(field) = not_derivable(rules.program(), rule) {
        return Err(format!("its rule uses the text of `{field}` itself, which the journal does not keep"));
    }
    let mut all = taken_in(rules, rule, candidates, lateness)?;
    all.sort_by(|(_, a), (_, b)| (a.event.ts(), a.event.id()).cmp(&(b.event.ts(), b.event.id())));
    let mut slice = Slice {
        violation: text("id"),
        rule: name,
        bundle: rules.bundle_hash().to_string(),
        until,
        ended,
        journal,
        records: Vec::new(),
    };
    let mut why = "it is not found again in the events of the journal".to_string();
    for choice in choices(rule, &sealed) {
        let chosen = choice.of(rules, rule, &sealed, &all)?;
        let bytes: usize = chosen.iter().map(|r| r.record.len()).sum();
        if chosen.len() > SLICE_RECORDS_MAX || bytes > SLICE_BYTES_MAX {
            why = format!(
                "it needs {} events of {bytes} bytes, a slice holds at most {SLICE_RECORDS_MAX} of {SLICE_BYTES_MAX}",
                chosen.len()
            );
            continue;
        }
        slice.records = chosen;
        match recompute(&slice, rules, record) {
            Verdict::ReDerived => return Ok(slice),
            Verdict::Differs(differ) => {
                let fields: Vec<&str> = differ.iter().map(|d| d.field.as_str()).collect();
                why = format!("computed alone it comes out otherwise: {}", fields.join(", "));
            }
            Verdict::ConsistentOnly(other) => why = other,
            Verdict::Erased => return Err("it rests on what was erased".to_string()),
        }
    }
    Err(why)
}

type Candidate = (SliceRecord, Recalled);

/// What the run took in and did not displace. Late events count for rules on single events alone.
fn taken_in(
    rules: &RuleSet,
    rule: &Rule,
    candidates: Vec<SliceRecord>,
    lateness: Duration,
) -> Result<Vec<Candidate>, String> {
    let single = matches!(rule.shape, Shape::Single);
    let alone = alone(rules, vec![rule.clone()]).map_err(|e| e.to_string())?;
    let names = TestNames::between(rules, &alone);
    let mut evaluator = Evaluator::new(Arc::new(alone), EvalOptions { lateness, ..EvalOptions::default() });
    let mut all = Vec::with_capacity(candidates.len());
    for (line, candidate) in (0u64..).zip(candidates) {
        let recalled = Recalled::read(&candidate.record)?;
        let outcome = evaluator.observe_recalled(&recalled, &names, Origin { input: 0, line });
        let counts = outcome == Outcome::Evaluated || (single && outcome == Outcome::Late);
        all.push(counts.then_some((candidate, recalled)));
    }
    evaluator.finish();
    for refused in evaluator.take_refused() {
        if let Some(place) = usize::try_from(refused.origin.line).ok().and_then(|line| all.get_mut(line)) {
            *place = None;
        }
    }
    Ok(all.into_iter().flatten().collect())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Those that the record names.
    Named,
    /// Those of its group.
    Group,
    /// Those of its accounts.
    Accounts,
    /// All that the rule looks at, or where others count, all.
    All,
}

/// What is tried, fewest first.
fn choices(rule: &Rule, sealed: &Value) -> Vec<Choice> {
    let mut choices = Vec::new();
    let complete = sealed.pointer("/evidence/complete").and_then(Value::as_bool).unwrap_or(false);
    if matches!(rule.shape, Shape::Single) && complete && !rule.asks_memory() && !asks_series(rule) {
        choices.push(Choice::Named);
    }
    if matches!(rule.shape, Shape::Windowed(_)) && !is_of_others(rule) {
        choices.push(Choice::Group);
    }
    choices.extend([Choice::Accounts, Choice::All]);
    choices
}

impl Choice {
    fn of(self, rules: &RuleSet, rule: &Rule, sealed: &Value, all: &[Candidate]) -> Result<Vec<SliceRecord>, String> {
        let texts = |of: Option<&Value>| -> BTreeSet<String> {
            of.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect()
        };
        let take = |keep: &mut dyn FnMut(&Recalled) -> bool| {
            all.iter().filter(|(_, event)| keep(event)).map(|(record, _)| record.clone()).collect()
        };
        let mut asked = Asked::new(rules, rule)?;
        Ok(match self {
            Choice::Named => {
                let events = sealed.pointer("/evidence/events").and_then(Value::as_array).into_iter().flatten();
                let ids: BTreeSet<&str> = events.filter_map(|e| e.get("id").and_then(Value::as_str)).collect();
                take(&mut |r| ids.contains(r.event.id()))
            }
            Choice::Group => {
                let parts = sealed.get("group").and_then(Value::as_object).into_iter().flatten();
                let group: Vec<String> = parts.filter_map(|(_, v)| v.as_str().map(str::to_string)).collect();
                take(&mut |r| asked.groups(r).is_none_or(|own| own.contains(&group)))
            }
            Choice::Accounts => {
                let accounts = texts(sealed.get("accounts"));
                take(&mut |r| matches!(r.event.get(FieldId::ACCOUNT), Field::Text(a) if accounts.contains(a)))
            }
            Choice::All => take(&mut |r| asked.looks_at(r)),
        })
    }
}

/// A rule, to be asked about events.
struct Asked<'a> {
    rule: &'a Rule,
    evaluator: Evaluator,
    names: TestNames,
}

impl<'a> Asked<'a> {
    fn new(rules: &RuleSet, rule: &'a Rule) -> Result<Self, String> {
        let alone = alone(rules, vec![rule.clone()]).map_err(|e| e.to_string())?;
        let names = TestNames::between(rules, &alone);
        Ok(Asked { rule, evaluator: Evaluator::new(Arc::new(alone), EvalOptions::default()), names })
    }

    /// The groups that an event counts in; `None` where that cannot be decided.
    fn groups(&mut self, recalled: &Recalled) -> Option<Vec<Vec<String>>> {
        self.evaluator.groups_of(recalled, &self.names)
    }

    fn looks_at(&mut self, recalled: &Recalled) -> bool {
        let by_kind = self.rule.asks_memory() || matches!(self.rule.shape, Shape::Sequence(_));
        is_fed_all(self.rule)
            || (by_kind && self.rule.kinds.contains(&recalled.event.kind()))
            || !self.evaluator.matching_recalled(recalled, &self.names).is_empty()
            || self.groups(recalled).is_none()
    }
}

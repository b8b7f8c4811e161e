//! Looking on while windows are judged: what each came to, condition by condition, whether it was a violation or not.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::Evaluator;
use super::route::{HEADER, part_text, records};
use crate::plan::rule::ShapePlan;
use crate::time::Timestamp;
use crate::value::Truth;
use crate::violation::Scalar;

/// A judged window of one group, without the events that an exception takes out.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// The parts of its key.
    pub group: Vec<String>,
    /// Beginning of the window.
    pub start: Timestamp,
    /// Its end: the end of the step.
    pub end: Timestamp,
    /// Events in it.
    pub events: u64,
    /// Whether the condition of the rule held.
    pub holds: bool,
    /// The parts of the condition: what `and` joins, or the whole.
    pub parts: Vec<Part>,
    /// The rule's values.
    pub values: Vec<Option<Scalar>>,
}

/// A part of a condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Whether it held.
    pub truth: Truth,
    /// Where it is a comparison with a constant, what is compared; `None` where that is unknown or it is another condition.
    pub value: Option<Scalar>,
}

/// What is looked on at.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The groups.
    of: BTreeSet<Vec<String>>,
    looks: RefCell<Vec<Look>>,
}

impl Watch {
    pub(crate) fn looks_at(&self, group: &[String]) -> bool {
        self.of.contains(group)
    }

    pub(crate) fn note(&self, look: Look) {
        self.looks.borrow_mut().push(look);
    }
}

impl Evaluator {
    /// Notes every judgement of a window of these groups from now on; see [`Evaluator::take_looks`]. Windows in which too few
    /// events lie for the condition to hold are judged only if the rules were made so
    /// ([`crate::plan::RuleSet::judging_all`]).
    pub fn watch(&mut self, groups: BTreeSet<Vec<String>>) {
        self.watch = Some(Watch { of: groups, looks: RefCell::default() });
    }

    /// The judgements since the last call, in order of time for each group.
    pub fn take_looks(&mut self) -> Vec<Look> {
        self.watch.as_ref().map(|watch| watch.looks.take()).unwrap_or_default()
    }

    /// The groups that the records of the last event name, as the texts of their parts.
    pub(super) fn routed_groups(&self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        for (rule, record) in records(&self.rules, &self.router.words) {
            let Some(ShapePlan::Windowed(w)) = self.rules.rules.get(rule as usize).map(|r| &r.shape) else { continue };
            let key = record.get(HEADER..HEADER + w.per.len()).unwrap_or_default();
            let group = |value: Option<u64>| -> Vec<String> {
                let parts = w.per.iter().zip(key).enumerate();
                let word = |i: usize, word: u64| match (&w.many, value) {
                    (Some(many), Some(value)) if many.at == i => value,
                    _ => word,
                };
                parts.map(|(i, (part, own))| part_text(word(i, *own), part, &self.interner)).collect()
            };
            match w.many {
                None => found.push(group(None)),
                Some(_) => {
                    let values = record.get(HEADER + crate::plan::rule::words(w)..).unwrap_or_default();
                    found.extend(values.iter().map(|value| group(Some(*value))));
                }
            }
        }
        found
    }
}

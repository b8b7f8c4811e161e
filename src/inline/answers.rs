//! Which rules answer at arrival, and why the others do not.

use serde::Serialize;

use super::plan::{inline_verdict, slots};
use crate::check::growing::is_growing;
use crate::decision::Verdict;
use crate::hir::{Rule, Shape};
use crate::plan::RuleSet;

/// Why a rule does not answer at arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Silent {
    /// It asks what was seen before, or for an outage.
    Memory,
    /// It counts accounts of a link together.
    Link,
    /// It is on a sequence.
    Sequence,
    /// It is over sessions.
    Session,
    /// Its group has a part of which an event has several values.
    SeveralKeys,
    /// Its condition may become false again as events come.
    NotGrowing,
    /// It has a budget of actions a day.
    Budget,
    /// It must tell apart more values than are kept, [`super::DISTINCT_MAX`].
    TooManyValues,
}

impl Silent {
    /// The reason, for people.
    pub fn why(self) -> &'static str {
        match self {
            Silent::Memory => {
                "it asks what came before the event, which is known only when nothing earlier can come any more"
            }
            Silent::Link => "accounts are linked when a step has closed, with popular values left out",
            Silent::Sequence => "the order of events is known only when nothing earlier can come any more",
            Silent::Session => "where a session begins is known only when nothing earlier can come any more",
            Silent::SeveralKeys => "an event counts in many groups, which are put together when a step has closed",
            Silent::NotGrowing => {
                "its condition may become false again as events come; only `count`, `distinct`, `sum` and `max` above a bound stay true"
            }
            Silent::Budget => "its budget is spent over all groups in the order of findings",
            Silent::TooManyValues => "it must tell apart more values than are kept at arrival",
        }
    }
}

/// How a rule answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// By the event alone.
    Single,
    /// By what its group came to so far.
    Window,
    /// By what calls of its key have used, and what is held for those under way.
    Limit,
}

impl Form {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Form::Single => "event",
            Form::Window => "window",
            Form::Limit => "limit",
        }
    }
}

/// What one rule says at arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The rule.
    pub rule: String,
    /// How it answers, or why it does not.
    pub form: Result<Form, Silent>,
    /// The strictest verdict that it can come to by itself at arrival, in its mode.
    pub verdict: Verdict,
    /// The same were it in mode `enforce`.
    pub would: Verdict,
}

/// What the rules of a set say at arrival.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answers {
    /// In the order of declaration.
    pub rules: Vec<Answer>,
}

impl Answers {
    /// Of each rule.
    pub fn of(rules: &RuleSet) -> Answers {
        let each = rules.program().rules.iter().zip(&rules.rules);
        let rules = each.map(|(rule, plan)| {
            let form = form(rule, plan.memory.is_some());
            let (verdict, would) = match form {
                Ok(_) => inline_verdict(rule),
                Err(_) => (Verdict::Allow, Verdict::Allow),
            };
            Answer { rule: rule.name.clone(), form, verdict, would }
        });
        Answers { rules: rules.collect() }
    }
}

/// How a rule answers, or why it does not.
pub(super) fn form(rule: &Rule, asks_memory: bool) -> Result<Form, Silent> {
    match &rule.shape {
        _ if asks_memory => Err(Silent::Memory),
        Shape::Sequence(_) => Err(Silent::Sequence),
        _ if rule.limit.is_some() => Ok(Form::Limit),
        _ if rule.budget.is_some() => Err(Silent::Budget),
        Shape::Single => Ok(Form::Single),
        Shape::Windowed(w) if w.link.is_some() => Err(Silent::Link),
        Shape::Windowed(w) if w.gap.is_some() => Err(Silent::Session),
        Shape::Windowed(w) if w.many().is_some() => Err(Silent::SeveralKeys),
        Shape::Windowed(w) if !is_growing(&w.when, &w.aggregates) => Err(Silent::NotGrowing),
        Shape::Windowed(w) => slots(w).map(|_| Form::Window),
    }
}

//! Windows: every step of every group, computed from its events alone.

use std::collections::{BTreeMap, BTreeSet};

use fineprint::event::UsageEvent;
use fineprint::hir::{Aggregate, Exception, Function, Rule, Windowed};
use fineprint::time::{Duration, Timestamp};
use fineprint::value::{MICROS, Type};

use super::expr::{Interpreter, Scope, Val, narrow, quotient};
use super::rows::in_force;

pub type Event = UsageEvent<'static>;

/// What was seen at a step where the condition was true.
#[derive(Clone)]
pub struct Look<'e> {
    /// End of the step.
    pub end: Timestamp,
    /// Result of each aggregate.
    pub aggregates: Vec<Val>,
    /// The events that at least one aggregate counted, in order of (time, id).
    pub contributing: Vec<&'e Event>,
}

/// A stretch of time over which a condition was true, pauses shorter than the cooldown included.
pub struct Episode<'e> {
    /// Every true step, in order; at least one.
    pub looks: Vec<Look<'e>>,
    /// All events of the first true window, excepted ones too.
    pub first_window: Vec<&'e Event>,
    /// End of the step at which it was over.
    pub closed_at: Option<Timestamp>,
    /// Whether only the exceptions kept it from being a violation.
    pub exempted: bool,
}

/// A group and what happened to it.
pub struct Group<'e> {
    pub keys: Vec<Val>,
    pub episodes: Vec<Episode<'e>>,
}

/// Whether an exception takes the event out.
pub fn applies(calc: &Interpreter<'_>, exception: &Exception, event: &Event) -> bool {
    in_force(exception.from, exception.until, event.ts()) && calc.is_true(Some(&exception.filter), Scope::Event(event))
}

/// All groups of a windowed rule over events sorted by (time, id), judged up to and including `horizon`.
pub fn groups<'e>(
    calc: &Interpreter<'_>,
    rule: &Rule,
    w: &Windowed,
    events: &[&'e Event],
    horizon: Timestamp,
) -> Vec<Group<'e>> {
    let mut by_key: BTreeMap<Vec<Val>, Vec<&'e Event>> = BTreeMap::new();
    for event in events {
        let scope = Scope::Event(event);
        let keys: Vec<Val> = w.per.iter().map(|part| calc.value(part, scope)).collect();
        if rule.kinds.contains(&event.kind())
            && calc.is_true(rule.filter.as_ref(), scope)
            && keys.iter().all(Val::is_known)
        {
            by_key.entry(keys).or_default().push(event);
        }
    }
    by_key
        .into_iter()
        .map(|(keys, events)| Group { episodes: episodes(calc, rule, w, &keys, &events, horizon), keys })
        .collect()
}

fn episodes<'e>(
    calc: &Interpreter<'_>,
    rule: &Rule,
    w: &Windowed,
    keys: &[Val],
    events: &[&'e Event],
    horizon: Timestamp,
) -> Vec<Episode<'e>> {
    let pause = w.step.max(rule.cooldown.unwrap_or(w.step));
    let mut violation = Machine { pause, exempted: false, open: None, over: Vec::new() };
    let mut exempted = Machine { pause, exempted: true, open: None, over: Vec::new() };
    // The first end after the first event: a window is half-open, so an event on a multiple belongs to the next.
    let mut end = Timestamp((events[0].ts().0.div_euclid(w.step.0) + 1) * w.step.0);
    while end <= horizon {
        let start = Timestamp(end.0 - w.length.0);
        let all: Vec<&Event> = events.iter().copied().filter(|e| start <= e.ts() && e.ts() < end).collect();
        let kept: Vec<&Event> =
            all.iter().copied().filter(|e| !rule.exceptions.iter().any(|x| applies(calc, x, e))).collect();
        let net = look(calc, w, keys, &kept, end);
        let raw = look(calc, w, keys, &all, end);
        exempted.step(end, if net.is_some() { None } else { raw }, &all);
        violation.step(end, net, &all);
        end = Timestamp(end.0 + w.step.0);
    }
    let machines = [violation, exempted];
    machines.into_iter().flat_map(|m| m.over.into_iter().chain(m.open)).collect()
}

/// What there is to see in a window, if the condition is true there. Over no events it is never true.
fn look<'e>(
    calc: &Interpreter<'_>,
    w: &Windowed,
    keys: &[Val],
    window: &[&'e Event],
    end: Timestamp,
) -> Option<Look<'e>> {
    if window.is_empty() {
        return None;
    }
    let aggregates: Vec<Val> = w.aggregates.iter().map(|a| aggregate(calc, a, window)).collect();
    if !calc.is_true(Some(&w.when), Scope::Window { end, aggregates: &aggregates, keys }) {
        return None;
    }
    let counted = |e: &&&Event| w.aggregates.iter().any(|a| calc.is_true(a.filter.as_ref(), Scope::Event(e)));
    Some(Look { end, aggregates, contributing: window.iter().filter(counted).copied().collect() })
}

struct Machine<'e> {
    pause: Duration,
    exempted: bool,
    open: Option<Episode<'e>>,
    over: Vec<Episode<'e>>,
}

impl<'e> Machine<'e> {
    fn step(&mut self, end: Timestamp, seen: Option<Look<'e>>, window: &[&'e Event]) {
        match (&mut self.open, seen) {
            (Some(episode), Some(look)) => episode.looks.push(look),
            (None, Some(look)) => {
                let first_window = window.to_vec();
                self.open = Some(Episode { looks: vec![look], first_window, closed_at: None, exempted: self.exempted });
            }
            (Some(episode), None) => {
                if end.since(episode.looks.last().unwrap().end) >= self.pause {
                    episode.closed_at = Some(end);
                    self.over.extend(self.open.take());
                }
            }
            (None, None) => {}
        }
    }
}

/// One aggregate over the events of a window.
fn aggregate(calc: &Interpreter<'_>, a: &Aggregate, window: &[&Event]) -> Val {
    let counted: Vec<Scope<'_>> =
        window.iter().map(|e| Scope::Event(e)).filter(|e| calc.is_true(a.filter.as_ref(), *e)).collect();
    let numbers = |of| -> Vec<i64> {
        counted.iter().filter_map(|e| if let Val::Num(n) = calc.value(of, *e) { Some(n) } else { None }).collect()
    };
    let total = |numbers: &[i64]| numbers.iter().map(|n| i128::from(*n)).sum::<i128>();
    match &a.function {
        Function::Count => Val::Num(counted.len() as i64),
        Function::Sum(of) => narrow(total(&numbers(of))),
        Function::Min(of) => numbers(of).into_iter().min().map_or(Val::Unknown, Val::Num),
        Function::Max(of) => numbers(of).into_iter().max().map_or(Val::Unknown, Val::Num),
        // The sum has 128 bits here: only the average itself may be out of range.
        Function::Average(of) => {
            let numbers = numbers(of);
            let scale = if matches!(of.ty, Type::Integer | Type::Tokens) { i128::from(MICROS) } else { 1 };
            quotient(total(&numbers) * scale, numbers.len() as i128)
        }
        // Keys of `one per` and values are counted apart: an organisation and an account of one name are two.
        // Where the condition is true but the key unknown, the value counts; where the key counts, the value need not be known.
        Function::Distinct { of, one_per } => {
            let mut seen: BTreeSet<(bool, Vec<Val>)> = BTreeSet::new();
            for e in &counted {
                let key = one_per
                    .as_ref()
                    .filter(|(_, condition)| calc.is_true(condition.as_ref(), *e))
                    .map(|(key, _)| calc.value(key, *e));
                let values: Vec<Val> = of.iter().map(|part| calc.value(part, *e)).collect();
                match key {
                    Some(key) if key.is_known() => {
                        seen.insert((true, vec![key]));
                    }
                    _ if values.iter().all(Val::is_known) => {
                        seen.insert((false, values));
                    }
                    _ => {}
                }
            }
            Val::Num(seen.len() as i64)
        }
        Function::Share(condition) => {
            let truths: Vec<Val> = counted.iter().map(|e| calc.value(condition, *e)).filter(Val::is_known).collect();
            let yes = truths.iter().filter(|t| **t == Val::Bool(true)).count();
            quotient(yes as i128 * i128::from(MICROS), truths.len() as i128)
        }
    }
}

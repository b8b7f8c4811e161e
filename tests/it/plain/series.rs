//! Series: every step of every key, computed from all events, and judged against the median of those before it.

use std::collections::BTreeMap;

use fineprint::hir::{Series, SeriesId};
use fineprint::time::Timestamp;
use fineprint::value::{MICROS, Truth};

use super::aggregate::{Window, aggregate};
use super::expr::{Interpreter, Scope, Val};
use super::window::Event;

/// What a series came to: per key and step with an event.
pub type Told = BTreeMap<Vec<Val>, BTreeMap<i64, Option<i64>>>;

fn value(calc: &Interpreter<'_>, s: &Series, step: i64, events: Vec<&Event>) -> Option<i64> {
    let (start, end) = (Timestamp(step * s.every.0), Timestamp((step + 1) * s.every.0));
    let window = Window { start, end, step: s.every, events };
    let aggregates: Vec<Val> = s.aggregates.iter().map(|a| aggregate(calc, a, &window).0).collect();
    match calc.value(&s.value, Scope::Window { end, aggregates: &aggregates, keys: &[], link: None }) {
        Val::Num(n) => Some(n),
        _ => None,
    }
}

/// What a series came to over all events, in any order.
pub fn told(calc: &Interpreter<'_>, s: &Series, events: &[&Event]) -> Told {
    let mut events = events.to_vec();
    events.sort_by_key(|e| (e.ts(), e.id()));
    let mut by_step: BTreeMap<(Vec<Val>, i64), Vec<&Event>> = BTreeMap::new();
    for e in events {
        let scope = Scope::Event(e);
        let key: Vec<Val> = s.per.iter().map(|part| calc.value(part, scope)).collect();
        if s.kinds.contains(&e.kind()) && calc.is_true(s.filter.as_ref(), scope) && key.iter().all(Val::is_known) {
            by_step.entry((key, e.ts().0.div_euclid(s.every.0))).or_default().push(e);
        }
    }
    let mut told = Told::new();
    for ((key, step), events) in by_step {
        told.entry(key).or_default().insert(step, value(calc, s, step, events));
    }
    told
}

/// Whether a step was an outage.
fn is_outage(calc: &Interpreter<'_>, s: &Series, steps: &BTreeMap<i64, Option<i64>>, step: i64) -> Truth {
    let empty = |step| value(calc, s, step, Vec::new());
    let at = |step| steps.get(&step).copied().unwrap_or_else(|| empty(step));
    let Some((first, _)) = steps.range(step - i64::from(s.steps)..step).next() else { return Truth::Unknown };
    let mut before: Vec<i64> = (*first..step).filter_map(at).collect();
    let Some(now) = at(step).filter(|_| before.len() >= s.least as usize) else { return Truth::Unknown };
    before.sort_unstable();
    let median = before[before.len().div_ceil(2) - 1];
    Truth::from(i128::from(now) * i128::from(MICROS) < i128::from(median) * i128::from(s.outage.unwrap()))
}

/// Whether any of the steps from `start` to `end` was an outage of a key.
pub fn outage(calc: &Interpreter<'_>, id: SeriesId, key: &[Val], steps: std::ops::Range<i64>) -> Truth {
    let s = &calc.program.series[id.0 as usize];
    if key.iter().any(|part| !part.is_known()) {
        return Truth::Unknown;
    }
    let told = calc.told(id);
    let none = BTreeMap::new();
    let of_key = told.get(key).unwrap_or(&none);
    steps.map(|step| is_outage(calc, s, of_key, step)).fold(Truth::False, Truth::or)
}

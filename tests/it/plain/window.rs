//! Windows: every step of every group, computed from its events alone.

use std::collections::{BTreeMap, BTreeSet};

use fineprint::event::UsageEvent;
use fineprint::hir::{Exception, Expr, ExprKind, Rule, Windowed};
use fineprint::time::{Duration, Timestamp};

use super::aggregate::Window;
use super::baseline::{Bounds, Past, aggregates};
use super::expr::{Interpreter, Scope, Val};
use super::merge;
use super::rows::{holds, in_force};

pub type Event = UsageEvent<'static>;

/// What was seen at a step where the condition was true.
#[derive(Clone)]
pub struct Look<'e> {
    /// Beginning of the window.
    pub start: Timestamp,
    /// End of the step.
    pub end: Timestamp,
    /// Result of each aggregate.
    pub aggregates: Vec<Val>,
    /// What makes each an estimate.
    pub bounds: Vec<Bounds>,
    /// On how many values each baseline rests.
    pub rests_on: Vec<Option<i64>>,
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
    /// Where groups are merged, how many they were at each of the steps.
    pub groups: Vec<i64>,
    /// The violation that it became part of: its group and when it opened.
    pub merged_into: Option<(Vec<Val>, Timestamp)>,
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
            for keys in each_key(calc, w, &keys, event.ts()) {
                by_key.entry(keys).or_default().push(event);
            }
        }
    }
    let pasts: Vec<Past<'_>> = by_key.values().map(|events| Past::new(calc, rule, w, events)).collect();
    let Some(at) = w.many().filter(|_| w.merges()) else {
        return by_key
            .into_iter()
            .enumerate()
            .map(|(own, (keys, events))| Group {
                episodes: episodes(calc, rule, w, &keys, &events, horizon, (&pasts, own)),
                keys,
            })
            .collect();
    };
    let mut families: BTreeMap<Vec<Val>, Vec<merge::Part<'e>>> = BTreeMap::new();
    for (own, (keys, events)) in by_key.into_iter().enumerate() {
        let mut rest = keys.clone();
        rest.remove(at);
        families.entry(rest).or_default().push((keys, events, own));
    }
    families.values().flat_map(|groups| merge::campaigns(calc, rule, w, at, groups, &pasts, horizon)).collect()
}

/// The keys of an event: one, or one for each of the values of a part that the rule does not leave out.
fn each_key(calc: &Interpreter<'_>, w: &Windowed, keys: &[Val], at: Timestamp) -> BTreeSet<Vec<Val>> {
    let Some(part) = w.many() else { return BTreeSet::from([keys.to_vec()]) };
    let Val::Texts(values) = &keys[part] else { panic!("{:?} is no list", keys[part]) };
    let values = values.iter().map(|v| Val::Text(v.clone()));
    let kept = values.filter(|v| w.only.iter().all(|test| takes(calc, test, v, at)));
    kept.map(|value| keys.iter().enumerate().map(|(i, k)| if i == part { &value } else { k }).cloned().collect())
        .collect()
}

/// Whether a value is a key.
fn takes(calc: &Interpreter<'_>, test: &Expr, value: &Val, at: Timestamp) -> bool {
    match &test.kind {
        ExprKind::Not(a) => !takes(calc, a, value, at),
        ExprKind::InList(_, list) => calc.rows.contains(*list, value, at),
        ExprKind::InSet(_, set) => set.iter().any(|c| holds(c, value)),
        other => panic!("{other:?} is no test of a value"),
    }
}

/// What there is to see of a group at a step.
pub struct Seen<'e> {
    /// All events of its window.
    pub all: Vec<&'e Event>,
    /// How many of them no exception takes out.
    pub kept: usize,
    /// Without those that an exception takes out.
    pub net: Option<Look<'e>>,
    /// With them.
    pub raw: Option<Look<'e>>,
}

impl<'e> Seen<'e> {
    pub fn at(
        calc: &Interpreter<'_>,
        rule: &Rule,
        w: &Windowed,
        keys: &[Val],
        events: &[&'e Event],
        end: Timestamp,
        past: (&[Past<'e>], usize),
    ) -> Seen<'e> {
        let (start, all) = match w.gap {
            None => {
                let start = Timestamp(end.0 - w.length.0);
                (start, events.iter().copied().filter(|e| start <= e.ts() && e.ts() < end).collect())
            }
            Some(gap) => session(events, gap, w.length, end),
        };
        let kept: Vec<&Event> =
            all.iter().copied().filter(|e| !rule.exceptions.iter().any(|x| applies(calc, x, e))).collect();
        let n = kept.len();
        let net = look(calc, w, keys, (past, false), Window { start, end, step: w.step, events: kept });
        let raw = look(calc, w, keys, (past, true), Window { start, end, step: w.step, events: all.clone() });
        Seen { all, kept: n, net, raw }
    }
}

fn episodes<'e>(
    calc: &Interpreter<'_>,
    rule: &Rule,
    w: &Windowed,
    keys: &[Val],
    events: &[&'e Event],
    horizon: Timestamp,
    past: (&[Past<'e>], usize),
) -> Vec<Episode<'e>> {
    let pause = w.step.max(rule.cooldown.unwrap_or(w.step));
    let mut violation = Machine { pause, exempted: false, open: None, over: Vec::new() };
    let mut exempted = Machine { pause, exempted: true, open: None, over: Vec::new() };
    // The first end after the first event: a window is half-open, so an event on a multiple belongs to the next.
    let mut end = Timestamp((events[0].ts().0.div_euclid(w.step.0) + 1) * w.step.0);
    while end <= horizon {
        let Seen { all, net, raw, .. } = Seen::at(calc, rule, w, keys, events, end, past);
        exempted.step(end, if net.is_some() { None } else { raw }, &all);
        violation.step(end, net, &all);
        end = Timestamp(end.0 + w.step.0);
    }
    let machines = [violation, exempted];
    machines.into_iter().flat_map(|m| m.over.into_iter().chain(m.open)).collect()
}

/// The session that goes on at `end`, with its first moment: exceptions take events out of it, but do not cut it.
fn session<'e>(events: &[&'e Event], gap: Duration, most: Duration, end: Timestamp) -> (Timestamp, Vec<&'e Event>) {
    let mut run: Vec<&Event> = Vec::new();
    for e in events.iter().copied().filter(|e| e.ts() < end) {
        let goes_on = |first: &&Event, last: &&Event| e.ts().since(last.ts()) <= gap && e.ts().since(first.ts()) < most;
        if !run.first().zip(run.last()).is_some_and(|(first, last)| goes_on(first, last)) {
            run.clear();
        }
        run.push(e);
    }
    if run.last().is_some_and(|last| end.since(last.ts()) > gap) {
        run.clear();
    }
    (run.first().map_or(end, |first| first.ts()), run)
}

/// What there is to see in a window, if the condition is true there. Over no events it is never true.
fn look<'e>(
    calc: &Interpreter<'_>,
    w: &Windowed,
    keys: &[Val],
    (past, raw): ((&[Past<'e>], usize), bool),
    window: Window<'e>,
) -> Option<Look<'e>> {
    let Window { start, end, .. } = window;
    if window.events.is_empty() {
        return None;
    }
    let (aggregates, bounds, rests_on) = aggregates(calc, w, past, raw, &window);
    if !calc.is_true(Some(&w.when), Scope::Window { end, aggregates: &aggregates, keys, link: None }) {
        return None;
    }
    let counting = || w.aggregates.iter().filter(|a| a.function.baseline().is_none());
    let counted = |e: &&&Event| counting().any(|a| calc.is_true(a.filter.as_ref(), Scope::Event(e)));
    let contributing = window.events.iter().filter(counted).copied().collect();
    Some(Look { start, end, aggregates, bounds, rests_on, contributing })
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
                self.open = Some(Episode {
                    looks: vec![look],
                    first_window,
                    closed_at: None,
                    exempted: self.exempted,
                    groups: Vec::new(),
                    merged_into: None,
                });
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

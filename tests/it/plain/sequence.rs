//! Sequences: each first event is followed by itself through all later events, as often as there are first events.

use std::collections::{BTreeMap, BTreeSet};

use fineprint::hir::{PARTIALS_PER_KEY_MAX, Rule, Sequence};
use fineprint::time::Timestamp;
use fineprint::value::Truth;

use super::expr::{Interpreter, Scope, Val};
use super::window::{Event, applies};

/// Events by their number, then the end of what was in time up to a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Instant {
    At(Timestamp, Of),
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Event(usize),
    Time,
}

/// A whole match.
#[derive(Clone)]
pub struct Match<'e> {
    pub at: Timestamp,
    /// The events of each step; none of an absent one.
    pub taken: Vec<Vec<&'e Event>>,
}

/// Matches of one key that follow each other closely.
pub struct Found<'e> {
    pub keys: Vec<Val>,
    /// In order; at least one.
    pub matches: Vec<Match<'e>>,
    pub closed_at: Option<Timestamp>,
    pub exempted: bool,
    /// Partial matches dropped since the key was last without any and without a violation, up to the last match.
    pub dropped: u64,
}

/// What becomes of a first event.
struct Course<'e> {
    begins: Instant,
    ends: Instant,
    whole: Option<Match<'e>>,
}

/// All violations of a rule over events in the order in which they count; `horizon` is the moment up to which time is over.
pub fn found<'e>(
    calc: &Interpreter<'_>,
    rule: &Rule,
    s: &Sequence,
    events: &[&'e Event],
    horizon: Timestamp,
) -> Vec<Found<'e>> {
    let mut by_key: BTreeMap<Vec<Val>, Vec<&'e Event>> = BTreeMap::new();
    for event in events {
        let keys: Vec<Val> = s.per.iter().map(|part| calc.value(part, Scope::Event(event))).collect();
        if keys.iter().all(Val::is_known) {
            by_key.entry(keys).or_default().push(event);
        }
    }
    let excepted = |e: &Event| rule.exceptions.iter().any(|x| applies(calc, x, e));
    let mut all = Vec::new();
    for (keys, events) in by_key {
        let kept: Vec<&Event> = events.iter().copied().filter(|e| !excepted(e)).collect();
        for (events, exempted) in [(kept, false), (events, true)] {
            let (courses, drops) = courses(calc, s, &events, horizon);
            let mut whole: Vec<(Instant, Match<'_>)> =
                courses.iter().filter_map(|c| Some((c.ends, c.whole.clone()?))).collect();
            // Without an excepted event it is no exempted one.
            whole.retain(|(_, m)| !exempted || m.taken.iter().flatten().any(|e| excepted(e)));
            whole.sort_by_key(|(end, _)| *end);
            all.extend(violations(rule, s, &keys, &courses, &drops, whole, horizon, exempted));
        }
    }
    all
}

/// Matches into violations, in order.
#[expect(clippy::too_many_arguments, reason = "one step of a long computation, with all that went before")]
fn violations<'e>(
    rule: &Rule,
    s: &Sequence,
    keys: &[Val],
    courses: &[Course<'e>],
    drops: &[Instant],
    whole: Vec<(Instant, Match<'e>)>,
    horizon: Timestamp,
    exempted: bool,
) -> Vec<Found<'e>> {
    let silence = s.within.max(rule.cooldown.unwrap_or_default());
    let mut found: Vec<(Instant, Instant, Found<'e>)> = Vec::new();
    for (end, m) in whole {
        match found.last_mut() {
            Some((_, last, f)) if m.at.since(f.matches.last().unwrap().at) <= silence => {
                f.matches.push(m);
                *last = end;
            }
            _ => {
                let fresh = Found { keys: keys.to_vec(), matches: vec![m], closed_at: None, exempted, dropped: 0 };
                found.push((end, end, fresh));
            }
        }
    }
    let mut busy: Vec<(Instant, Instant)> = courses.iter().map(|c| (c.begins, c.ends)).collect();
    for (first, _, f) in &found {
        let closes = f.matches.last().unwrap().at.saturating_add(silence);
        busy.push((*first, Instant::At(closes, Of::Time)));
    }
    let is_busy = |at: Instant| busy.iter().any(|(begins, ends)| *begins <= at && at < *ends);
    for (_, last, f) in &mut found {
        let closes = f.matches.last().unwrap().at.saturating_add(silence);
        f.closed_at = (closes < horizon).then_some(closes);
        let since = |drop: &&Instant| {
            **drop < *last && busy.iter().map(|(_, end)| *end).filter(|e| *drop <= e && e < last).all(is_busy)
        };
        f.dropped = drops.iter().filter(since).count() as u64;
    }
    found.into_iter().map(|(_, _, f)| f).collect()
}

/// What becomes of each first event, the oldest dropped where there are too many; and when any was dropped.
fn courses<'e>(
    calc: &Interpreter<'_>,
    s: &Sequence,
    events: &[&'e Event],
    horizon: Timestamp,
) -> (Vec<Course<'e>>, Vec<Instant>) {
    let mut courses: Vec<Course<'e>> = Vec::new();
    let mut drops = Vec::new();
    for (i, event) in events.iter().enumerate() {
        if is_step(calc, s, 0, event, &[]) != Truth::True {
            continue;
        }
        let now = Instant::At(event.ts(), Of::Event(i));
        let live: Vec<usize> = (0..courses.len()).filter(|c| courses[*c].ends > now).collect();
        if live.len() >= PARTIALS_PER_KEY_MAX {
            courses[live[0]].ends = now;
            courses[live[0]].whole = None;
            drops.push(now);
        }
        let (ends, whole) = follow(calc, s, events, i, horizon);
        courses.push(Course { begins: now, ends, whole });
    }
    (courses, drops)
}

fn is_step(calc: &Interpreter<'_>, s: &Sequence, step: usize, event: &Event, taken: &[Vec<&Event>]) -> Truth {
    let step = &s.steps[step];
    match &step.filter {
        _ if !step.kinds.contains(&event.kind()) => Truth::False,
        None => Truth::True,
        Some(filter) => calc.truth(filter, Scope::Step { event, taken }),
    }
}

/// Follows one first event.
fn follow<'e>(
    calc: &Interpreter<'_>,
    s: &Sequence,
    events: &[&'e Event],
    first: usize,
    horizon: Timestamp,
) -> (Instant, Option<Match<'e>>) {
    let begin = events[first].ts();
    let mut taken = vec![vec![events[first]]];
    let mut at = first;
    while taken.len() < s.steps.len() {
        let before = events[at].ts();
        let forbidden: Vec<usize> = (taken.len()..s.steps.len()).take_while(|step| s.steps[*step].absent).collect();
        let next = taken.len() + forbidden.len();
        let until = |step: usize| match s.steps[step].within {
            Some(within) => before.saturating_add(within),
            None => begin.saturating_add(s.within),
        };
        let over = match s.steps.get(next) {
            None => forbidden.iter().map(|step| until(*step)).max().unwrap(),
            Some(_) => until(next).min(begin.saturating_add(s.within)),
        };
        forbidden.iter().for_each(|_| taken.push(Vec::new()));
        let mut happened = Vec::new();
        for (n, event) in events.iter().enumerate().skip(at + 1).take_while(|(_, e)| e.ts() <= over) {
            let now = Instant::At(event.ts(), Of::Event(n));
            // What must not happen must surely not have happened.
            if forbidden.iter().any(|f| event.ts() <= until(*f) && is_step(calc, s, *f, event, &taken) != Truth::False)
            {
                return (now, None);
            }
            if next < s.steps.len() && is_step(calc, s, next, event, &taken) == Truth::True {
                happened.push(*event);
                at = n;
                if happened.len() == s.steps[next].times as usize {
                    break;
                }
            }
        }
        match s.steps.get(next) {
            Some(step) if happened.len() < step.times as usize => return (time_is_over(over, horizon), None),
            Some(_) => taken.push(happened),
            None => {
                let ends = time_is_over(over, horizon);
                return (ends, (ends != Instant::Never).then_some(Match { at: over, taken }));
            }
        }
    }
    let whole = Match { at: events[at].ts(), taken };
    (Instant::At(whole.at, Of::Event(at)), Some(whole))
}

/// The end of a moment, if it has passed.
fn time_is_over(at: Timestamp, horizon: Timestamp) -> Instant {
    if at < horizon { Instant::At(at, Of::Time) } else { Instant::Never }
}

/// The events of matches, each once, in order of (time, id).
pub fn events<'e>(matches: &[Match<'e>]) -> Vec<&'e Event> {
    let all = matches.iter().flat_map(|m| m.taken.iter().flatten());
    let all: BTreeMap<(Timestamp, &str), &Event> = all.map(|e| ((e.ts(), e.id()), *e)).collect();
    all.into_values().collect()
}

/// The matches that were whole at the first moment.
pub fn opening<'f, 'e>(found: &'f Found<'e>) -> &'f [Match<'e>] {
    let n = found.matches.iter().take_while(|m| m.at == found.matches[0].at).count();
    &found.matches[..n]
}

/// Accounts of events, sorted.
pub fn accounts(events: &[&Event]) -> Vec<String> {
    let named = events.iter().filter_map(|e| match e.get(fineprint::event::FieldId::ACCOUNT) {
        fineprint::value::Value::Text(account) => Some(account.to_string()),
        _ => None,
    });
    named.collect::<BTreeSet<_>>().into_iter().collect()
}

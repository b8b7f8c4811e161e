//! Baselines: every earlier window of every group, computed from its events, and looked through each time.

use std::collections::BTreeMap;

use fineprint::hir::{Baseline, Expr, ExprKind, Rule, Whose, Windowed};
use fineprint::time::Timestamp;
use fineprint::value::MICROS;
use fineprint::violation::Bound;

use super::aggregate::{QUANTILE_EXACT, Window, aggregate, middle_of_bucket};
use super::expr::{Interpreter, Scope, Val, children};
use super::link::Facts;
use super::window::{Event, applies};

/// Bounds with the number of the aggregate that they are of.
pub type Bounds = Vec<(u16, Bound)>;

/// A window by its number, with an event in it.
struct Earlier {
    aggregates: Vec<Val>,
    bounds: Vec<Option<Bound>>,
    events: Vec<usize>,
}

/// The earlier windows of one group.
pub struct Past<'e> {
    events: Vec<&'e Event>,
    /// Of a link group, what it is now.
    facts: Option<Facts>,
    /// Without what exceptions take out, and with it.
    lanes: [BTreeMap<i64, Earlier>; 2],
}

impl<'e> Past<'e> {
    pub fn new(calc: &Interpreter<'_>, rule: &Rule, w: &Windowed, events: &[&'e Event]) -> Past<'e> {
        let mut lanes = [BTreeMap::new(), BTreeMap::new()];
        let looks_back = w.aggregates.iter().any(|a| a.function.baseline().is_some());
        for (raw, lane) in lanes.iter_mut().enumerate().filter(|_| looks_back) {
            let mut by_number: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
            for (at, e) in events.iter().enumerate() {
                if raw == 1 || !rule.exceptions.iter().any(|x| applies(calc, x, e)) {
                    by_number.entry(e.ts().0.div_euclid(w.length.0)).or_default().push(at);
                }
            }
            for (number, of) in by_number {
                let window = window(w, number, of.iter().map(|at| events[*at]).collect());
                let (aggregates, bounds) = counted(calc, w, &window);
                lane.insert(number, Earlier { aggregates, bounds, events: of });
            }
        }
        Past { events: events.to_vec(), facts: None, lanes }
    }

    /// The earlier windows of all events of accounts that are one link group now.
    pub fn together(
        calc: &Interpreter<'_>,
        rule: &Rule,
        w: &Windowed,
        events: &[&'e Event],
        facts: &Facts,
    ) -> Past<'e> {
        Past { facts: Some(facts.clone()), ..Past::new(calc, rule, w, events) }
    }
}

/// The window that ends with the `number + 1`-th length since 1970.
fn window<'e>(w: &Windowed, number: i64, events: Vec<&'e Event>) -> Window<'e> {
    let at = |n: i64| Timestamp(n * w.length.0);
    Window { start: at(number), end: at(number + 1), step: w.step, events }
}

/// All aggregates but baselines.
fn counted(calc: &Interpreter<'_>, w: &Windowed, window: &Window<'_>) -> (Vec<Val>, Vec<Option<Bound>>) {
    let one = |a: &fineprint::hir::Aggregate| match a.function.baseline() {
        None => aggregate(calc, a, window),
        Some(_) => (Val::Unknown, None),
    };
    w.aggregates.iter().map(one).unzip()
}

/// All aggregates of a window of the group at `own`, with what makes each an estimate, and on how many values each baseline
/// rests.
pub fn aggregates(
    calc: &Interpreter<'_>,
    w: &Windowed,
    (pasts, own): (&[Past<'_>], usize),
    raw: bool,
    window: &Window<'_>,
) -> (Vec<Val>, Vec<Bounds>, Vec<Option<i64>>) {
    let mut rests_on = Vec::new();
    let (mut values, bounds) = counted(calc, w, window);
    let mut bounds: Vec<Bounds> =
        bounds.into_iter().enumerate().map(|(i, b)| b.map(|b| (i as u16, b)).into_iter().collect()).collect();
    for (i, a) in w.aggregates.iter().enumerate() {
        let Some(b) = a.function.baseline() else { continue };
        let (value, of, n) = match &b.whose {
            Whose::Own => usual(calc, w, b, &pasts[own], raw, window.end),
            Whose::Cohort(by) => {
                let (value, own, of, n) = cohort(calc, w, b, by, pasts, window);
                (value, own.map(|bound| (i as u16, bound)).into_iter().chain(of).collect(), n)
            }
        };
        values[i] = value;
        bounds[i] = of;
        rests_on.push(n.map(|n| n as i64));
    }
    (values, bounds, rests_on)
}

/// Numbers of the windows that are looked back to, the oldest and the newest.
fn range(w: &Windowed, b: &Baseline, end: Timestamp) -> (i64, i64) {
    let newest = (end.0 - w.length.0).div_euclid(w.length.0) - 1;
    (newest - i64::from(b.windows) + 1, newest)
}

fn value(
    calc: &Interpreter<'_>,
    b: &Baseline,
    link: Option<&Facts>,
    end: Timestamp,
    aggregates: &[Val],
) -> Option<i64> {
    match calc.value(&b.of, Scope::Window { end, aggregates, keys: &[], link }) {
        Val::Num(n) => Some(n),
        _ => None,
    }
}

/// The aggregates of a baseline that were estimates in a window.
fn estimates(of: &Expr, bounds: &[Option<Bound>]) -> Bounds {
    let own = match of.kind {
        ExprKind::Aggregate(i) => bounds[usize::from(i)].map(|bound| (i, bound)),
        _ => None,
    };
    own.into_iter().chain(children(of).into_iter().flat_map(|child| estimates(child, bounds))).collect()
}

/// The least of the values that the share does not exceed.
fn quantile(mut values: Vec<i64>, share: i64) -> Option<i64> {
    values.sort_unstable();
    let n = values.len() as i64;
    (1..=n).find(|k| k * MICROS >= n * share).map(|k| values[k as usize - 1])
}

fn usual(
    calc: &Interpreter<'_>,
    w: &Windowed,
    b: &Baseline,
    past: &Past<'_>,
    raw: bool,
    end: Timestamp,
) -> (Val, Bounds, Option<usize>) {
    let (oldest, newest) = range(w, b, end);
    let lane = &past.lanes[usize::from(raw)];
    let Some(first) = lane.keys().copied().find(|n| (oldest..=newest).contains(n)) else {
        return (Val::Unknown, Vec::new(), Some(0));
    };
    let mut values = Vec::new();
    let mut of = Vec::new();
    for number in first..=newest {
        let window = window(w, number, Vec::new());
        values.extend(match lane.get(&number) {
            Some(earlier) => {
                of.extend(estimates(&b.of, &earlier.bounds));
                value(calc, b, past.facts.as_ref(), window.end, &earlier.aggregates)
            }
            None => value(calc, b, past.facts.as_ref(), window.end, &counted(calc, w, &window).0),
        });
    }
    let n = Some(values.len());
    if values.len() < b.least as usize {
        return (Val::Unknown, of, n);
    }
    (quantile(values, b.share).map_or(Val::Unknown, Val::Num), of, n)
}

/// What the events have in common with others: of each value the last known.
fn common(calc: &Interpreter<'_>, by: &[Expr], events: &[&Event]) -> Option<Vec<Val>> {
    let last = |e: &Expr| events.iter().rev().map(|event| calc.value(e, Scope::Event(event))).find(Val::is_known);
    by.iter().map(last).collect()
}

fn cohort(
    calc: &Interpreter<'_>,
    w: &Windowed,
    b: &Baseline,
    by: &[Expr],
    pasts: &[Past<'_>],
    window: &Window<'_>,
) -> (Val, Option<Bound>, Bounds, Option<usize>) {
    let (oldest, newest) = range(w, b, window.end);
    let Some(own) = common(calc, by, &window.events) else {
        return (Val::Unknown, None, Vec::new(), None);
    };
    let mut values = Vec::new();
    let mut of = Vec::new();
    let mut enough = false;
    for number in oldest..=newest {
        let mut groups = 0;
        for past in pasts {
            let Some(earlier) = past.lanes[0].get(&number) else { continue };
            let events: Vec<&Event> = earlier.events.iter().map(|at| past.events[*at]).collect();
            if common(calc, by, &events).as_ref() != Some(&own) {
                continue;
            }
            let end = Timestamp((number + 1) * w.length.0);
            if let Some(value) = value(calc, b, None, end, &earlier.aggregates) {
                groups += 1;
                values.push(value);
                of.extend(estimates(&b.of, &earlier.bounds));
            }
        }
        enough |= groups >= b.least;
    }
    let n = Some(values.len());
    let many = values.len() > QUANTILE_EXACT;
    let found = quantile(values, b.share).map(|n| if many { middle_of_bucket(n) } else { n });
    let value = found.filter(|_| enough).map_or(Val::Unknown, Val::Num);
    (value, many.then_some(Bound::Within(7_813)), of, n)
}

//! What a change is said to mean, against what rules find before it and after: where it is called wider, whatever was found
//! still is; where it is called narrower, whatever is found was found before.

use std::collections::BTreeMap;

use fineprint::counsel::{Effect, Side, diff};
use fineprint::hir::{Compare, Const, Expr, ExprKind, Program, Rule, Shape, canonical_rule};
use fineprint::violation::{Status, Violation};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::{cases, plain};
use crate::plain::generate::{Numbers, Setting, arranged, comings, numbers, setting};
use crate::plain::{Arrival, PlainEvaluator};

/// One change of one rule, drawn by numbers; whether there was anything to change.
fn change(rule: &mut Rule, what: u8, at: u16, by: i64) -> bool {
    match what % 7 {
        0 => rule.filter.as_mut().is_some_and(|e| shift(e, at, by)),
        1 => rule.filter.as_mut().is_some_and(|e| thin(e, at)),
        2 if !rule.exceptions.is_empty() => {
            rule.exceptions.remove(usize::from(at) % rule.exceptions.len());
            true
        }
        3 if rule.kinds.len() > 1 => {
            rule.kinds.remove(usize::from(at) % rule.kinds.len());
            true
        }
        _ => {
            let Shape::Windowed(w) = &mut rule.shape else { return false };
            match what % 7 {
                4 => shift(&mut w.when, at, by),
                5 => thin(&mut w.when, at),
                6 if w.gap.is_none() && w.step < w.length => {
                    w.length.0 *= 2;
                    true
                }
                2 if w.gap.is_none() && w.step.0 % 2 == 0 => {
                    w.step.0 /= 2;
                    true
                }
                3 => w
                    .aggregates
                    .iter_mut()
                    .filter_map(|a| a.filter.as_mut())
                    .nth(usize::from(at) % 3)
                    .is_some_and(|f| shift(f, at, by) || thin(f, at)),
                _ => false,
            }
        }
    }
}

/// Moves the bound of a comparison.
fn shift(e: &mut Expr, at: u16, by: i64) -> bool {
    let mut left = i32::from(at % 4);
    shift_one(e, &mut left, by)
}

fn shift_one(e: &mut Expr, left: &mut i32, by: i64) -> bool {
    match &mut e.kind {
        ExprKind::Not(a) => shift_one(a, left, by),
        ExprKind::And(all) | ExprKind::Or(all) | ExprKind::AtLeast(_, all) => {
            all.iter_mut().any(|e| shift_one(e, left, by))
        }
        ExprKind::Compare(op, _, b) if !matches!(op, Compare::Equal | Compare::NotEqual) => {
            let ExprKind::Const(Const::Num(n)) = &mut b.kind else { return false };
            *left -= 1;
            if *left >= 0 {
                return false;
            }
            *n = n.saturating_add(by);
            true
        }
        _ => false,
    }
}

/// Drops a part of an `and` or an `or`.
fn thin(e: &mut Expr, at: u16) -> bool {
    match &mut e.kind {
        ExprKind::Not(a) => thin(a, at),
        ExprKind::And(all) | ExprKind::Or(all) if all.len() > 1 => {
            all.remove(usize::from(at) % all.len());
            true
        }
        _ => false,
    }
}

/// The program before and after, and what the change of the rule is said to mean: all of its effects.
fn changed(
    numbers: &Numbers,
    what: u8,
    at: u16,
    by: i64,
) -> Option<(PlainEvaluator, PlainEvaluator, String, Vec<Effect>)> {
    let before = plain(&setting(&numbers.setting));
    let mut after = plain(&setting(&numbers.setting));
    let number = usize::from(at) % before.program.rules.len();
    let rule = after.program.rules.get_mut(number)?;
    if !change(rule, what, at, by) {
        return None;
    }
    let name = rule.name.clone();
    let (one, two) = (before.rows.data(&before.program), after.rows.data(&after.program));
    let side = |program, data| Side { program, data };
    let found = diff(side(&before.program, &one), side(&after.program, &two));
    let of = found.rules.iter().find(|r| r.name == name);
    let effects = of.map_or_else(Vec::new, |r| r.changes.iter().map(|c| c.effect).collect());
    Some((before, after, name, effects))
}

fn found(plain: &PlainEvaluator, numbers: &Numbers, rule: &str) -> Vec<Violation> {
    let Setting { scale, options, .. } = &setting(&numbers.setting);
    let all = arranged(comings(numbers, *scale, false), options.lateness);
    let arrivals: Vec<Arrival> = all.into_iter().map(Arrival::Event).chain([Arrival::Finish]).collect();
    let all = plain.run(&arrivals).violations.into_iter();
    all.filter(|v| v.rule == rule && v.status != Status::Exempted).collect()
}

/// Whether at the time when one opens, another of its group holds.
fn still(one: &Violation, others: &[Violation]) -> bool {
    others.iter().any(|o| {
        let open = o.closed_at.is_none_or(|c| c > one.opened_at) || o.opened_at == one.opened_at;
        o.group == one.group && o.opened_at <= one.opened_at && open
    })
}

/// Groups that are put together are named after one of them, and are left to the cases of [`crate::counsel`].
fn compared(program: &Program, rule: &str) -> bool {
    program.rules.iter().filter(|r| r.name == rule).all(|r| match &r.shape {
        Shape::Single => true,
        Shape::Windowed(w) => w.link.is_none() && !w.merges(),
        Shape::Sequence(_) => false,
    })
}

proptest! {
    #![proptest_config(cases(800))]

    #[test]
    fn wider_and_narrower_are_what_they_say(numbers in numbers(40), what in 0u8..7, at in 0u16..64, by in prop::sample::select(vec![-2i64, -1, 1, 2, 1_000_000, -1_000_000])) {
        let Some((before, after, rule, effects)) = changed(&numbers, what, at, by) else { return Ok(()) };
        if !compared(&before.program, &rule) {
            return Ok(());
        }
        let (old, new) = (found(&before, &numbers, &rule), found(&after, &numbers, &rule));
        let all = |wanted: Effect| effects.iter().all(|e| [wanted, Effect::Same].contains(e));
        let meant = |p: &PlainEvaluator| {
            let of = p.program.rules.iter().find(|r| r.name == rule);
            of.map_or_else(String::new, |r| canonical_rule(&p.program, r))
        };
        let wrong = match () {
            () if all(Effect::Wider) => old.iter().find(|v| !still(v, &new)),
            () if all(Effect::Narrower) => new.iter().find(|v| !still(v, &old)),
            () => None,
        };
        prop_assert!(
            wrong.is_none(),
            "{effects:?}\n{}---\n{}{:?}",
            meant(&before),
            meant(&after),
            wrong.map(|v| (&v.group, v.opened_at, v.closed_at, &v.values)),
        );
    }
}

/// The property is not empty: changes of both kinds come up, rules find under them, and what they find differs.
#[test]
fn changes_of_all_kinds_come_up() {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let by = prop::sample::select(vec![-2i64, -1, 1, 2]);
    let strategy = (numbers(40), 0u8..7, 0u16..64, by);
    for _ in 0..400 {
        let (numbers, what, at, by) = strategy.new_tree(&mut runner).unwrap().current();
        let Some((before, after, rule, effects)) = changed(&numbers, what, at, by) else { continue };
        for effect in &effects {
            *seen.entry(effect.word().to_string()).or_default() += 1;
        }
        if compared(&before.program, &rule) && effects.contains(&Effect::Wider) {
            let (old, new) = (found(&before, &numbers, &rule), found(&after, &numbers, &rule));
            *seen.entry("wider, and finds".to_string()).or_default() += usize::from(!old.is_empty());
            *seen.entry("wider, and finds more".to_string()).or_default() += usize::from(old.len() != new.len());
        }
    }
    let least = [("wider", 20), ("narrower", 5), ("unclear", 5), ("wider, and finds", 5), ("wider, and finds more", 2)];
    assert!(least.iter().all(|(what, n)| seen.get(*what).is_some_and(|m| m >= n)), "{seen:?}");
}

//! Random sequences.

use fineprint::event::{FieldId, Kind};
use fineprint::hir::{Arithmetic, Compare, Const, Expr, ExprKind, ListId, Sequence, Step, TextTest};
use fineprint::time::{Duration, SECOND_NS};
use fineprint::value::Type;

use super::build::*;
use super::generate::{Choices, Scale, condition};

pub fn of_step(step: usize, e: Expr) -> Expr {
    expr(e.ty.clone(), ExprKind::OfStep(step as u16, Box::new(e)))
}

/// A sequence, and named values over its steps.
pub fn sequence_of(c: &mut Choices<'_>, scale: Scale) -> (Sequence, Vec<(String, Expr)>) {
    let mut per = Vec::new();
    for _ in 0..c.pick(&[0, 1, 1, 2]) {
        per.push(match c.below(5) {
            0 | 1 => field(FieldId::ORG),
            2 => network(field(FieldId::IP), 24, 48),
            3 => field(FieldId::BATCH),
            _ => or_default(field(FieldId::ACCOUNT), text("none")),
        });
    }
    let (length, part) = c.pick(scale.windows);
    let within = Duration::from_secs(length);
    let count = 2 + c.pick(&[0, 0, 1, 1, 2]);
    let mut steps: Vec<Step> = Vec::new();
    let mut present: Vec<usize> = Vec::new();
    for i in 0..count {
        let absent = i > 0 && c.once_in(5);
        let filter = match c.below(6) {
            0 | 1 => None,
            2 => Some(is(FieldId::STATUS, Compare::Equal, c.pick(&[200, 429, 403]))),
            _ if present.is_empty() => Some(condition(c, 1)),
            3 | 4 => Some(across(c, &present, 1)),
            _ => Some(and(vec![condition(c, 0), across(c, &present, 1)])),
        };
        let step_within = if i > 0 && c.once_in(4) {
            Some(c.pick(&[Duration(within.0 / 2), Duration(part * SECOND_NS), within, Duration(1)]))
        } else {
            None
        };
        let times = if i > 0 && !absent && c.once_in(5) { 2 + c.below(2) as u32 } else { 1 };
        let kinds = c.pick(&[
            &[Kind::Completion][..],
            &Kind::ALL[..],
            &[Kind::Completion][..],
            &[Kind::Completion, Kind::Signup][..],
        ]);
        steps.push(Step { absent, kinds: kinds.to_vec(), filter, within: step_within, times });
        if !absent {
            present.push(i);
        }
    }
    let mut lets = Vec::new();
    for i in 0..c.below(3) {
        let step = c.pick(&present);
        let value = match c.below(4) {
            0 => of_step(step, field(FieldId::ACCOUNT)),
            1 => of_step(step, field(FieldId::OUTPUT_TOKENS)),
            2 => between(step, 0),
            _ => of_step(step, field(FieldId::IP)),
        };
        lets.push((format!("v{i}"), value));
    }
    (Sequence { per, within, steps }, lets)
}

/// The time between the events of two steps.
fn between(step: usize, other: usize) -> Expr {
    let ts = |step| of_step(step, field(FieldId::TS));
    arithmetic(Type::Duration, Arithmetic::Subtract, ts(step), ts(other))
}

/// A condition that holds an event against those of earlier steps.
fn across(c: &mut Choices<'_>, present: &[usize], depth: usize) -> Expr {
    let boolean = |kind| expr(Type::Bool, kind);
    if depth > 0 && c.once_in(3) {
        let parts =
            vec![across(c, present, depth - 1), if c.once_in(2) { condition(c, 0) } else { across(c, present, 0) }];
        return match c.below(4) {
            0 => and(parts),
            1 => or(parts),
            2 => not(and(parts)),
            _ => boolean(ExprKind::AtLeast(1, parts)),
        };
    }
    let step = c.pick(present);
    let equal = [Compare::NotEqual, Compare::Equal];
    let order =
        [Compare::GreaterEqual, Compare::Less, Compare::Equal, Compare::NotEqual, Compare::Greater, Compare::LessEqual];
    match c.below(11) {
        0 | 1 => {
            let which = c.pick(&[FieldId::ACCOUNT, FieldId::MODEL, FieldId::COUNTRY, FieldId::PROMPT_HASH]);
            compare(c.pick(&equal), field(which), of_step(step, field(which)))
        }
        2 => {
            let which = c.pick(&[FieldId::STATUS, FieldId::N, FieldId::OUTPUT_TOKENS, FieldId::LATENCY]);
            compare(c.pick(&order), field(which), of_step(step, field(which)))
        }
        3 => compare(c.pick(&equal), field(FieldId::REFUSED), of_step(step, field(FieldId::REFUSED))),
        4 => compare(
            c.pick(&equal),
            network(field(FieldId::IP), 24, 48),
            network(of_step(step, field(FieldId::IP)), 24, 48),
        ),
        5 => {
            let since =
                arithmetic(Type::Duration, Arithmetic::Subtract, field(FieldId::TS), of_step(step, field(FieldId::TS)));
            compare(c.pick(&order), since, num(Type::Duration, c.pick(&[0, 1, SECOND_NS, 5 * SECOND_NS])))
        }
        6 => {
            let twice = arithmetic(
                Type::Tokens,
                Arithmetic::Multiply,
                of_step(step, field(FieldId::OUTPUT_TOKENS)),
                num(Type::Integer, 2),
            );
            compare(c.pick(&order), field(FieldId::INPUT_TOKENS), twice)
        }
        7 => boolean(ExprKind::InList(Box::new(of_step(step, field(FieldId::ACCOUNT))), ListId(0))),
        8 => {
            let account = of_step(step, field(FieldId::ACCOUNT));
            compare(c.pick(&equal), or_default(account, field(FieldId::ORG)), field(FieldId::ACCOUNT))
        }
        9 => text_test(of_step(step, field(FieldId::MODEL)), TextTest::ContainsAny(vec!["m".into()]), c.once_in(2)),
        _ => boolean(ExprKind::InSet(
            Box::new(of_step(step, field(FieldId::STATUS))),
            vec![Const::Num(200), Const::Num(c.pick(&[429, 403]))],
        )),
    }
}

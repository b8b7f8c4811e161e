//! Hundreds of rules on single events at once: what the index leaves standing is what each rule alone says.

use std::collections::BTreeMap;
use std::sync::Arc;

use fineprint::eval::{EvalOptions, Evaluator};
use fineprint::event::{FieldId, Slot, UsageEvent};
use fineprint::hir::{Compare, Const, Expr, ExprKind};
use fineprint::plan::RuleSet;
use fineprint::value::{Truth, Type};
use proptest::prelude::*;

use super::cases;
use crate::plain::build::*;
use crate::plain::expr::{Interpreter, Scope};
use crate::plain::generate::{Choices, condition, event, setting};

/// Enough for sets of several words, so that values are named by few rows and by many.
const RULES: usize = 500;
const EVENTS: usize = 30;

fn ip_in(nets: Vec<String>) -> Expr {
    let nets = nets.iter().map(|n| Const::Net(n.parse().unwrap())).collect();
    expr(Type::Bool, ExprKind::InSet(Box::new(field(FieldId::IP)), nets))
}

/// A condition that names one of many values, so that no two rules need share one.
fn particular(c: &mut Choices<'_>) -> Expr {
    let ops =
        [Compare::Equal, Compare::NotEqual, Compare::GreaterEqual, Compare::Greater, Compare::LessEqual, Compare::Less];
    match c.below(5) {
        0 | 1 => is(FieldId::N, c.pick(&ops), c.below(200) as i64),
        2 => is(FieldId::INPUT_TOKENS, c.pick(&ops), c.below(10) as i64),
        3 => ip_in(vec![format!("10.0.{}.0/24", c.below(40)), format!("10.{}.0.0/16", c.below(3))]),
        _ => not(ip_in(vec![format!("10.0.{}.{}/32", c.below(10), c.below(10)), "2001:db8::/32".into()])),
    }
}

fn filter(c: &mut Choices<'_>) -> Expr {
    match c.below(4) {
        0 => condition(c, 2),
        1 => particular(c),
        2 => and(vec![particular(c), condition(c, 1)]),
        _ => and(vec![particular(c), or(vec![particular(c), condition(c, 1)])]),
    }
}

fn event_of(
    c: &mut Choices<'_>,
    numbers: &[u16],
    number: usize,
    scale: crate::plain::generate::Scale,
) -> UsageEvent<'static> {
    let mut made = event(numbers, scale, number);
    if !c.once_in(6) {
        made.set(FieldId::N, Slot::Num(c.below(200) as i64));
    }
    if !c.once_in(6) {
        let ip = format!("10.{}.{}.{}", c.below(3), c.below(40), c.below(10));
        made.set(FieldId::IP, Slot::Ip(ip.parse().unwrap()));
    }
    sealed(made)
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn many_rules_match_as_each_alone(seed in any::<u64>()) {
        let mut state = seed;
        let mut numbers = |n: usize| -> Vec<u16> {
            (0..n).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as u16 % 1_000
            }).collect()
        };
        let mut setting = setting(&numbers(400));
        setting.program.rules = (0..RULES).map(|i| rule(&format!("r{i}"), Some(filter(&mut Choices::new(&numbers(60)))))).collect();
        setting.program.series.clear();
        let program = setting.program;
        let plain = Interpreter::new(&program, &setting.rows, Vec::new());
        let rules = Arc::new(RuleSet::new(program.clone(), setting.rows.data(&program)).unwrap());
        let mut fast = Evaluator::new(rules, EvalOptions::default());
        let mut undecided: BTreeMap<String, u64> = BTreeMap::new();
        for number in 0..EVENTS {
            let event = event_of(&mut Choices::new(&numbers(8)), &numbers(60), number, setting.scale);
            let mut expected = Vec::new();
            for rule in program.rules.iter().filter(|r| r.kinds.contains(&event.kind())) {
                match plain.truth(rule.filter.as_ref().unwrap(), Scope::Event(&event)) {
                    Truth::True => expected.push(rule.name.as_str()),
                    Truth::Unknown => *undecided.entry(rule.name.clone()).or_default() += 1,
                    Truth::False => {}
                }
            }
            let mut matching: Vec<&str> = fast.matching(&event).collect();
            matching.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(matching, expected, "{:?}", event.fields().collect::<Vec<_>>());
        }
        let counted: BTreeMap<String, u64> = fast.undecided().into_iter().collect();
        prop_assert_eq!(counted, undecided);
    }
}

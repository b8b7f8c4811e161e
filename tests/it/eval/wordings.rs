//! Aggregates by template, and of fields of several values: by hand, and as a sample of more prompts than are kept.

use std::sync::Arc;

use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::{FieldId, Kind, Slot};
use fineprint::hir::{Aggregate, Expr, ExprKind, Function, Rule, Shape};
use fineprint::plan::RuleSet;
use fineprint::template::Strictness;
use fineprint::time::{Duration, SECOND_NS, Timestamp};
use fineprint::value::Type;
use fineprint::violation::{Bound, Scalar};

use super::cases::Event;
use crate::plain::aggregate::{Window, aggregate as plainly, wordings};
use crate::plain::build::*;
use crate::plain::expr::{Interpreter, Val};
use crate::plain::rows::Rows;
use crate::plain::template::hex;

fn template() -> Expr {
    expr(Type::List(Box::new(Type::Fingerprint)), ExprKind::Template(FieldId::PROMPT, Strictness::Strict))
}

/// The functions, over windows of three minutes in steps of one.
fn counted() -> Vec<Aggregate> {
    let functions = [
        distinct(vec![template()]),
        Function::TopShare(template(), 1),
        Function::TopShare(template(), 3),
        Function::Entropy(template()),
        distinct(vec![field(FieldId::HEADER_FLAGS)]),
        Function::TopShare(field(FieldId::HEADER_FLAGS), 1),
        Function::Entropy(field(FieldId::HEADER_FLAGS)),
    ];
    functions.into_iter().map(|f| aggregate(f, None)).collect()
}

fn texts(all: &[String]) -> Slot<'static> {
    Slot::Texts(all.to_vec())
}

/// A prompt with these fingerprints.
fn prompt(id: &str, ts: Timestamp, fingerprints: &[u64], flags: &[&str]) -> Event {
    let mut event = Event::new(Kind::Completion, id.to_string(), ts);
    event.set(FieldId::ACCOUNT, word("ann"));
    event.set(FieldId::PROMPT_FPS, texts(&fingerprints.iter().map(|f| hex(*f)).collect::<Vec<_>>()));
    event.set(FieldId::HEADER_FLAGS, texts(&flags.iter().map(|f| f.to_string()).collect::<Vec<_>>()));
    event
}

/// Runs both over minutes of events; per judged minute, each value with whether it is of a sample. They must agree.
fn judged(minutes: &[Vec<Event>]) -> Vec<Vec<(Val, bool)>> {
    let aggregates = counted();
    let mut shape = threshold(vec![], 180, 60, aggregates[0].clone(), 0);
    if let Shape::Windowed(w) = &mut shape {
        w.aggregates = aggregates.clone();
    }
    let lets = (0..aggregates.len()).map(|i| (format!("v{i}"), result(&aggregates, i))).collect();
    let program = program(vec![Rule { lets, shape, ..rule("many", None) }], at(0), at(10_000));
    let rows = Rows { lists: vec![], tables: vec![vec![]] };
    let calc = Interpreter::new(&program, &rows, Vec::new());
    let rules = Arc::new(RuleSet::new(program.clone(), rows.data(&program)).unwrap());
    let options = EvalOptions { lateness: Duration(0), ..EvalOptions::default() };
    let mut evaluator = Evaluator::new(rules.clone(), options.clone());
    let mut told = Vec::new();
    for (minute, events) in minutes.iter().enumerate() {
        let end = at(minute as i64 * 60 + 60);
        for event in events {
            evaluator.observe(event, Origin::default());
        }
        evaluator.advance(end);
        let found = evaluator.take_violations();
        let start = Timestamp(end.0 - 180 * SECOND_NS);
        let seen = minutes.iter().flatten().filter(|e| start <= e.ts() && e.ts() < end).collect();
        let window = Window { start, end, step: Duration::from_secs(60), events: seen };
        let mut values = Vec::new();
        for (a, o) in aggregates.iter().zip(&found[0].values) {
            let (expected, bound) = plainly(&calc, a, &window);
            let value = match &o.last {
                Some(Scalar::Num(n)) => Val::Num(*n),
                _ => Val::Unknown,
            };
            assert_eq!(value, expected, "{} in minute {minute}", a.function.word());
            if let Some(bound) = bound {
                assert_eq!(bound, Bound::Sample(1_024));
                assert!(o.estimates.iter().any(|e| e.bound == bound), "{} says nothing in {minute}", o.name);
            }
            values.push((value, bound.is_some()));
        }
        told.push(values);
        if minute == 1 {
            let snapshot = evaluator.snapshot().unwrap();
            evaluator = Evaluator::restore(rules.clone(), options.clone(), &snapshot).unwrap();
        }
    }
    told
}

/// 1 is of two prompts, as 2 and 3 are; being the smallest it takes them, and 3 the rest.
#[test]
fn prompts_that_share_a_fingerprint_are_one_wording() {
    let events = vec![
        prompt("a", at(1), &[1, 2], &["x", "y"]),
        prompt("b", at(2), &[1], &["x", "x"]),
        prompt("c", at(3), &[2, 3], &[]),
        prompt("d", at(4), &[3], &["x", "z"]),
        // Too short for a fingerprint: of no wording.
        prompt("e", at(5), &[], &[]),
    ];
    let told = judged(&[events]);
    let values: Vec<Val> = told[0].iter().map(|(value, _)| value.clone()).collect();
    // Flags: x three times, y and z once each.
    let expected = [2, 500_000, 1_000_000, 1_000_000, 3, 600_000, 1_370_951];
    assert_eq!(values, expected.map(Val::Num));
}

/// Sixty templates of unlike size with payloads of their own, and prompts that are like no other; first many, then few.
#[test]
fn of_too_many_prompts_a_sample_is_judged_and_says_so() {
    let mut n = 0u64;
    let minutes: Vec<Vec<Event>> = [3_000, 1_500, 300, 200, 400, 500]
        .into_iter()
        .enumerate()
        .map(|(minute, many)| {
            let event = |i: i64| {
                n += 1;
                let ts = Timestamp(at(minute as i64 * 60).0 + i * (59 * SECOND_NS / many));
                let own = [1_000_000 + 2 * n, 1_000_001 + 2 * n];
                let shared = 1 + (n * n) % 61;
                let all = if n.is_multiple_of(8) { own.to_vec() } else { vec![shared, own[0], own[1]] };
                prompt(&format!("{n:06}"), ts, &all, &["x", if n.is_multiple_of(3) { "y" } else { "z" }])
            };
            (0..many).map(event).collect()
        })
        .collect();
    let told = judged(&minutes);
    let sampled: Vec<bool> = told.iter().map(|values| values[0].1).collect();
    assert_eq!(sampled, [true, true, true, true, false, true]);
    assert!(told.iter().all(|values| !values[4].1), "two flags are told exactly");
}

/// A sample says of shares what all prompts say, within four of its standard errors.
#[test]
fn a_sample_is_like_the_whole() {
    let of = |n: u64| [if n % 10 < 6 { 1 } else { 2 + n % 50 }, 1_000 + n].into_iter().map(hex).collect();
    let (sizes, bound) = wordings((0..5_000).map(|n| (at(n as i64), of(n))).collect());
    assert_eq!(bound, Some(Bound::Sample(1_024)));
    let share = sizes[0] as f64 / sizes.iter().sum::<i64>() as f64;
    assert!((share - 0.6).abs() < 4.0 * 0.0156, "{share}");
}

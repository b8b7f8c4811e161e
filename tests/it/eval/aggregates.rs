//! Aggregates by hand, and those that become estimates, with as many events as that takes.

use std::sync::Arc;

use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::{FieldId, Kind, Slot};
use fineprint::hir::{Aggregate, Expr, Function, Rule, Shape};
use fineprint::place::Country;
use fineprint::plan::RuleSet;
use fineprint::time::{Duration, SECOND_NS};
use fineprint::value::MICROS;
use fineprint::violation::{Observed, Scalar};

use super::cases::{Case, Event, by_account, calls, cases, count, file, of};
use crate::plain::aggregate::{Window, aggregate as plainly, distance_km};
use crate::plain::build::*;
use crate::plain::expr::{Interpreter, Val};
use crate::plain::rows::Rows;

/// `per account over each 60s when of >= n`
fn at_least(of: Function, n: i64) -> Rule {
    Rule { shape: threshold(by_account(), 60, 60, aggregate(of, None), n), ..rule("many", None) }
}

/// A rule that shows an aggregate of every minute.
fn shown(of: Function) -> Rule {
    let mut shape = threshold(by_account(), 60, 60, count(), 1);
    if let Shape::Windowed(w) = &mut shape {
        w.aggregates.push(aggregate(of, None));
        let value = result(&w.aggregates, 1);
        return Rule { lets: vec![("shown".into(), value)], shape, ..rule("many", None) };
    }
    unreachable!()
}

/// Calls of `ann`, one a second, each with a number of choices.
fn choices(n: &[i64]) -> Vec<Event> {
    minute(n.iter().enumerate().map(|(at, n)| of("ann", at as i64, vec![(FieldId::N, Slot::Num(*n))])).collect())
}

fn models(models: &[&str]) -> Vec<Event> {
    let call = |(at, model): (usize, &&str)| of("ann", at as i64, vec![(FieldId::MODEL, word(model))]);
    minute(models.iter().enumerate().map(call).collect())
}

fn places(places: &[(i64, &str)]) -> Vec<Event> {
    minute(places.iter().map(|(at, code)| of("ann", *at, vec![(FieldId::COUNTRY, word(code))])).collect())
}

/// What ends the minute.
fn minute(mut events: Vec<Event>) -> Vec<Event> {
    events.push(of("zoe", 90, vec![]));
    events
}

fn n() -> Expr {
    field(FieldId::N)
}

fn is_seen(value: &str, events: usize) -> String {
    format!("many closed 60..60, 120 account:ann shown={value}/{value}/{value} count=1/1/1 #{events}")
}

/// What an aggregate of the first minute comes to.
fn comes_to(of: Function, events: Vec<Event>, value: &'static str) -> Case {
    let n = events.len() - 1;
    let line = is_seen(value, n).replace("count=1/1/1", &format!("count={n}/{n}/{n}"));
    let mut events = events;
    events.push(crate::eval::cases::of("zoe", 200, vec![]));
    let rule = Rule { filter: Some(equals(FieldId::ACCOUNT, "ann")), ..shown(of) };
    file(vec![rule], events, &[line.leak()])
}

cases! {
    a_quantile_is_the_least_value_that_enough_do_not_exceed:
        comes_to(Function::Quantile(n(), 500_000), choices(&[4, 1, 3, 2]), "2");
    a_quantile_just_above_takes_the_next:
        comes_to(Function::Quantile(n(), 500_001), choices(&[4, 1, 3, 2]), "3");
    a_small_quantile_is_the_least:
        comes_to(Function::Quantile(n(), 1), choices(&[4, 1, 3, 2]), "1");
    a_quantile_of_nothing_is_unknown:
        comes_to(Function::Quantile(n(), 500_000), models(&["m"]), "?");

    /// Mean 5, standard deviation 2.
    spread_is_deviation_by_mean:
        comes_to(Function::Spread(n()), choices(&[2, 4, 4, 4, 5, 5, 7, 9]), "400000");
    spread_of_one_value_is_none:
        comes_to(Function::Spread(n()), choices(&[7]), "0");
    spread_around_zero_is_unknown:
        comes_to(Function::Spread(n()), choices(&[-1, 1]), "?");
    spread_around_a_negative_mean_is_positive:
        comes_to(Function::Spread(n()), choices(&[-1, -3]), "500000");
    spread_of_the_largest_numbers_is_unknown:
        comes_to(Function::Spread(n()), choices(&[i64::MAX; 3]), "?");

    top_share_is_that_of_the_commonest:
        comes_to(Function::TopShare(field(FieldId::MODEL), 1), models(&["a", "b", "b"]), "666667");
    top_share_of_two_is_that_of_both:
        comes_to(Function::TopShare(field(FieldId::MODEL), 2), models(&["a", "b", "b", "c", "d"]), "600000");
    top_share_of_more_than_there_are_is_all:
        comes_to(Function::TopShare(field(FieldId::MODEL), 5), models(&["a", "b", "b"]), "1000000");
    entropy_of_four_alike_is_two_bits:
        comes_to(Function::Entropy(field(FieldId::MODEL)), models(&["a", "b", "c", "d"]), "2000000");
    /// H(1/3) = 0.918296 bits.
    entropy_of_unlike_shares:
        comes_to(Function::Entropy(field(FieldId::MODEL)), models(&["a", "b", "b"]), "918296");
    entropy_of_one_value_is_none:
        comes_to(Function::Entropy(field(FieldId::MODEL)), models(&["a", "a"]), "0");

    first_is_the_earliest_known: {
        let mut events = models(&["a", "b"]);
        events[0] = of("ann", 0, vec![]);
        comes_to(Function::First(field(FieldId::MODEL)), events, "b")
    };
    last_is_the_latest:
        comes_to(Function::Last(field(FieldId::MODEL)), models(&["b", "a"]), "a");
    first_may_be_a_moment:
        comes_to(Function::First(field(FieldId::TS)), calls_and_end(&[3, 5]), "3000000000");

    /// Three in a minute.
    rate_is_events_per_minute:
        comes_to(Function::Rate, choices(&[1, 1, 1]), "3000000");

    silence_before_the_first_event_counts:
        comes_to(Function::LongestIdle, calls_and_end(&[40, 59]), "40000000000");
    silence_between_events_counts:
        comes_to(Function::LongestIdle, calls_and_end(&[10, 45]), "35000000000");
    silence_after_the_last_event_counts:
        comes_to(Function::LongestIdle, calls_and_end(&[10, 15]), "45000000000");

    /// Berlin to Peking in a minute it is not, but from the middle of one country to that of the other: 7,442 km in 50 s.
    speed_is_distance_by_time:
        comes_to(Function::TopSpeed(field(FieldId::COUNTRY)), places(&[(0, "DE"), (50, "CN")]), "535824000000");
    two_places_at_once_are_a_second_apart:
        file(vec![at_least(Function::TopSpeed(field(FieldId::COUNTRY)), 26_000_000 * MICROS)],
            two_places_at_once(), &["many open 60..60 account:ann top_speed=26791200000000/26791200000000/26791200000000 #2"]);
    one_country_is_no_speed:
        comes_to(Function::TopSpeed(field(FieldId::COUNTRY)), places(&[(0, "DE"), (50, "DE")]), "0");
    unknown_countries_are_passed_over:
        comes_to(Function::TopSpeed(field(FieldId::COUNTRY)), places(&[(0, "DE"), (10, "QQ"), (50, "CN")]), "535824000000");
    one_place_has_no_speed:
        comes_to(Function::TopSpeed(field(FieldId::COUNTRY)), places(&[(0, "DE")]), "?");
}

fn calls_and_end(seconds: &[i64]) -> Vec<Event> {
    minute(calls(seconds))
}

fn two_places_at_once() -> Vec<Event> {
    let at =
        |id: &str, code: &str| completion(id, 5, vec![(FieldId::ACCOUNT, word("ann")), (FieldId::COUNTRY, word(code))]);
    minute(vec![at("1", "DE"), at("2", "CN")])
}

#[test]
fn distances_are_those_of_floating_point_numbers() {
    let all: Vec<(&str, Country)> = Country::all().collect();
    assert!(all.is_sorted_by(|a, b| a.0 < b.0), "codes are looked up in order");
    for (code, a) in &all {
        assert_eq!(Country::from_code(code), Some(*a));
        for (other, b) in all.iter().step_by(7) {
            let (found, wanted) = (a.distance_km(*b), distance_km(*a, *b));
            assert!((found - wanted).abs() <= 1, "{code} to {other}: {found} km, not {wanted}");
            assert_eq!(found, b.distance_km(*a), "{code} to {other}, and back");
        }
    }
}

/// Steps of one minute, windows of three. Minutes of many different accounts and numbers come, then of few.
#[test]
fn estimates_slide_and_say_so() {
    let per_minute: [i64; 6] = [60_000, 50_000, 40_000, 500, 300, 200];
    let functions = [
        distinct(vec![field(FieldId::ACCOUNT)]),
        Function::Quantile(field(FieldId::LATENCY), 950_000),
        Function::TopShare(field(FieldId::ACCOUNT), 1),
        Function::Entropy(field(FieldId::ACCOUNT)),
    ];
    let aggregates: Vec<Aggregate> = functions.into_iter().map(|f| aggregate(f, None)).collect();
    let mut shape = threshold(vec![], 180, 60, aggregates[0].clone(), 1);
    if let Shape::Windowed(w) = &mut shape {
        w.aggregates = aggregates.clone();
    }
    let named = |(i, a): (usize, &Aggregate)| (a.function.word().to_string(), result(&aggregates, i));
    let lets = aggregates.iter().enumerate().map(named).collect();
    let program = program(vec![Rule { lets, shape, ..rule("many", None) }], at(0), at(500));
    let rows = Rows { lists: vec![], tables: vec![vec![]] };
    let calc = Interpreter::new(&program, &rows, Vec::new());
    let rules = Arc::new(RuleSet::new(program.clone(), rows.data(&program)).unwrap());
    let options = EvalOptions { lateness: Duration(0), ..EvalOptions::default() };
    let mut evaluator = Evaluator::new(rules.clone(), options.clone());

    let mut events: Vec<Event> = Vec::new();
    let mut seen = 0;
    let mut estimated = Vec::new();
    for (minute, many) in per_minute.into_iter().enumerate() {
        let (start, end) = (at(minute as i64 * 60), at(minute as i64 * 60 + 60));
        for i in 0..many {
            // Some accounts come again in a later minute; one of them often.
            let account = if i % 20 == 0 {
                7
            } else if i % 50 == 1 {
                seen / 2
            } else {
                seen
            };
            seen += 1;
            let ts = fineprint::time::Timestamp(start.0 + i * (59 * SECOND_NS / many));
            let mut event = Event::new(Kind::Completion, format!("{seen:07}"), ts);
            event.set(FieldId::ACCOUNT, word(&format!("a{account}")));
            event.set(FieldId::LATENCY, Slot::Num((seen * 7_919 % 100_003) * 1_000 - 50_000_000));
            evaluator.observe(&event, Origin::default());
            events.push(event);
        }
        evaluator.advance(end);
        let found = evaluator.take_violations();
        if minute < 2 {
            continue;
        }
        let window = Window {
            start: fineprint::time::Timestamp(end.0 - 180 * SECOND_NS),
            end,
            step: Duration::from_secs(60),
            events: events.iter().filter(|e| e.ts().0 >= end.0 - 180 * SECOND_NS).collect(),
        };
        for (a, o) in aggregates.iter().zip(&found[0].values) {
            let (expected, bound) = plainly(&calc, a, &window);
            assert_eq!(last(o), expected, "{} in minute {minute}", o.name);
            estimated.push((minute, a.function.word(), bound.is_some()));
            if let Some(bound) = bound {
                assert!(o.estimates.iter().any(|e| e.bound == bound), "{} says nothing in minute {minute}", o.name);
            }
        }
        if minute == 3 {
            let snapshot = evaluator.snapshot().unwrap();
            evaluator = Evaluator::restore(rules.clone(), options.clone(), &snapshot).unwrap();
        }
    }
    let of = |word| estimated.iter().filter(|(_, w, yes)| *w == word && *yes).map(|(m, ..)| *m).collect::<Vec<_>>();
    assert_eq!([of("distinct"), of("entropy"), of("quantile")], [vec![2], vec![2, 3], vec![2, 3, 4]]);
}

fn last(o: &Observed) -> Val {
    match &o.last {
        Some(Scalar::Num(n)) => Val::Num(*n),
        other => panic!("{other:?}"),
    }
}

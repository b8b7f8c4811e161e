//! What a feed cannot show, against what rules find on it: whoever is called blind finds nothing, whatever the events.

use std::collections::{BTreeMap, BTreeSet};

use fineprint::counsel::{Feed, blind};
use fineprint::event::{FieldId, Kind, Slot, UsageEvent};
use fineprint::hir::canonical_rule;
use fineprint::value::Value;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::{cases, plain};
use crate::plain::generate::{Numbers, Setting, arranged, comings, numbers, setting};
use crate::plain::{Arrival, PlainEvaluator};

fn slot(value: Value<'_>) -> Slot<'static> {
    match value {
        Value::Bool(b) => Slot::Bool(b),
        Value::Num(n) => Slot::Num(n),
        Value::Text(text) => Slot::Text(text.to_string().into()),
        Value::Ip(ip) => Slot::Ip(ip),
        Value::Texts(texts) => Slot::Texts(texts.to_vec()),
        Value::Unknown | Value::Net(_) => panic!("no value of a field: {value:?}"),
    }
}

/// The events of a case without some of their fields, and the feed that they are.
fn told(numbers: &Numbers, without: &BTreeSet<u8>) -> (PlainEvaluator, Vec<Arrival>, Feed) {
    let Setting { scale, options, .. } = &setting(&numbers.setting);
    let mut feed = Feed { registry_known: true, ..Feed::default() };
    let mut kinds: BTreeSet<Kind> = BTreeSet::new();
    let all = arranged(comings(numbers, *scale, false), options.lateness);
    let all = all.into_iter().map(|event| {
        let mut less = UsageEvent::new(event.kind(), event.id().to_string(), event.ts());
        less.set_content(event.content());
        for (field, value) in event.fields() {
            if !without.contains(&field.0) && field != FieldId::ID && field != FieldId::TS {
                less.set(field, slot(value));
                feed.fields.insert(field);
            }
        }
        kinds.insert(event.kind());
        Arrival::Event(less)
    });
    let arrivals: Vec<Arrival> = all.chain([Arrival::Finish]).collect();
    feed.kinds = Some(kinds.into_iter().collect());
    (plain(&setting(&numbers.setting)), arrivals, feed)
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn who_is_called_blind_finds_nothing(numbers in numbers(40), without in prop::collection::btree_set(0u8..100, 0..60)) {
        let (plain, arrivals, feed) = told(&numbers, &without);
        let blind = blind(&plain.program, &plain.rows.data(&plain.program), &feed);
        let found = plain.run(&arrivals);
        for b in blind.iter().filter(|b| b.exception.is_none()) {
            let wrong = found.violations.iter().find(|v| v.rule == b.rule);
            let rule = plain.program.rules.iter().find(|r| r.name == b.rule).unwrap();
            let meant = canonical_rule(&plain.program, rule);
            prop_assert!(wrong.is_none(), "{b:?}\n{meant}{}", super::told(&plain, &arrivals));
        }
    }
}

/// The property is not empty: of many cases some rules are called blind, some not, and of those that are not many find.
#[test]
fn blind_and_seeing_rules_both_come_up() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (numbers(40), prop::collection::btree_set(0u8..100, 0..60));
    for _ in 0..200 {
        let (numbers, without) = strategy.new_tree(&mut runner).unwrap().current();
        let (plain, arrivals, feed) = told(&numbers, &without);
        let blind = blind(&plain.program, &plain.rows.data(&plain.program), &feed);
        let found = plain.run(&arrivals).violations;
        for rule in &plain.program.rules {
            let is = blind.iter().any(|b| b.rule == rule.name && b.exception.is_none());
            let finds = found.iter().any(|v| v.rule == rule.name);
            *seen
                .entry(if is {
                    "blind"
                } else if finds {
                    "finds"
                } else {
                    "silent"
                })
                .or_default() += 1;
        }
    }
    assert!(["blind", "finds", "silent"].iter().all(|what| seen.get(what).is_some_and(|n| *n > 20)), "{seen:?}");
}

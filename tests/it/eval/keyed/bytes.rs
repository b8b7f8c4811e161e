//! The bytes of a partition: what is refused, what is merged, how large they get.

use std::sync::Arc;

use fineprint::eval::EvalOptions;
use fineprint::eval::Origin;
use fineprint::eval::keyed::{
    Input, KEYED_EVENTS_HELD_MAX, Keyed, KeyedError, KeyedRouter, Partition, PartitionKind, RECORD_VERSION, Record,
    STATE_VERSION, Shards, Step, Stepper,
};
use fineprint::event::{FieldId, Slot};
use fineprint::hir::{Aggregate, Compare, Function, Program, Rule, Shape, Windowed};
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::time::{Duration, SECOND_NS, Timestamp};

use super::super::cases::by_account;
use crate::plain::build::*;
use crate::plain::window::Event;

fn counting(name: &str, least: i64) -> Rule {
    let aggregates: Vec<Aggregate> = vec![aggregate(Function::Count, None)];
    let value = result(&aggregates, 0);
    let when = compare(Compare::GreaterEqual, value.clone(), num(value.ty, least));
    let [length, step] = [60, 10].map(Duration::from_secs);
    let per = by_account();
    let shape = Windowed { per, link: None, only: Vec::new(), length, step, gap: None, aggregates, when };
    Rule { shape: Shape::Windowed(shape), ..rule(name, None) }
}

fn keyed(least: i64) -> Arc<Keyed> {
    Arc::new(Keyed::new(rules(least), EvalOptions::default()))
}

fn rules(least: i64) -> Arc<RuleSet> {
    let rules = vec![counting("many", least)];
    let program = Program { lists: Vec::new(), tables: Vec::new(), ..program(rules, Timestamp(0), Timestamp(0)) };
    Arc::new(RuleSet::new(program, ReferenceData::default()).unwrap())
}

fn event(number: i64, account: &str) -> Event {
    completion(&format!("e{number:05}"), number, vec![(FieldId::ACCOUNT, Slot::Text(account.to_string().into()))])
}

/// What the partition of ids lets go of one event: the record for its unit.
fn released(keyed: &Arc<Keyed>, number: i64, account: &str) -> Record {
    let record = KeyedRouter::new(Arc::clone(keyed)).route(&event(number, account), Origin::default()).unwrap();
    let start = Timestamp(i64::MIN);
    let kept = keyed.step(record.partition, None, Input::Record(&record.bytes), start).unwrap();
    let late = Timestamp((number + 1) * SECOND_NS);
    let mut step = keyed.step(record.partition, kept.state.as_deref(), Input::Advance, late).unwrap();
    assert_eq!(step.state, None);
    assert_eq!(step.records.len(), 1);
    step.records.remove(0)
}

fn take(keyed: &Keyed, state: Option<Vec<u8>>, record: &Record) -> Step {
    keyed.step(record.partition, state.as_deref(), Input::Record(&record.bytes), Timestamp(i64::MIN)).unwrap()
}

/// The state of an account after events, each a second after the other, with the watermark at the end of the step behind.
fn after(keyed: &Arc<Keyed>, account: &str, numbers: std::ops::Range<i64>) -> (Partition, Step) {
    let (mut state, mut partition) = (None, None);
    let end = Timestamp((numbers.end + 9) / 10 * 10 * SECOND_NS);
    for number in numbers {
        let record = released(keyed, number, account);
        partition = Some(record.partition);
        state = take(keyed, state, &record).state;
    }
    let partition = partition.unwrap();
    (partition, keyed.step(partition, state.as_deref(), Input::Advance, end).unwrap())
}

#[test]
fn another_version_is_refused_and_both_are_named() {
    let keyed = keyed(3);
    let (partition, step) = after(&keyed, "ann", 0..3);
    let mut state = step.state.unwrap();
    state[..2].copy_from_slice(&(STATE_VERSION - 1).to_le_bytes());
    let refused = keyed.step(partition, Some(&state), Input::Advance, Timestamp(0)).unwrap_err();
    let version =
        KeyedError::Version { what: "the state of a partition", found: STATE_VERSION - 1, reads: STATE_VERSION };
    assert_eq!(refused, version);
    let text = refused.to_string();
    assert!(
        text.contains(&format!("version {}", STATE_VERSION - 1)) && text.contains(&format!("version {STATE_VERSION}")),
        "{text}"
    );
    assert_eq!(keyed.merge(partition, Some(&state), None, Timestamp(0)).unwrap_err(), version);
    assert_eq!(keyed.timer(&state).unwrap_err(), version);

    let mut record = released(&keyed, 3, "ann");
    record.bytes[..2].copy_from_slice(&(RECORD_VERSION + 1).to_le_bytes());
    let refused = keyed.step(partition, None, Input::Record(&record.bytes), Timestamp(0)).unwrap_err();
    assert_eq!(refused, KeyedError::Version { what: "a record", found: RECORD_VERSION + 1, reads: RECORD_VERSION });
}

#[test]
fn states_and_records_of_other_rules_are_refused() {
    let (keyed, other) = (keyed(3), keyed(4));
    let (partition, step) = after(&keyed, "ann", 0..3);
    let state = step.state.unwrap();
    let refused = other.step(partition, Some(&state), Input::Advance, Timestamp(0)).unwrap_err();
    assert_eq!(refused, KeyedError::OtherRules("the state of a partition"));
    let record = released(&keyed, 3, "ann");
    let refused = other.step(partition, None, Input::Record(&record.bytes), Timestamp(0)).unwrap_err();
    assert_eq!(refused, KeyedError::OtherRules("a record"));
    let nowhere = Partition { kind: PartitionKind::Unit(7), key: 0 };
    let refused = keyed.step(nowhere, None, Input::Advance, Timestamp(0)).unwrap_err();
    assert_eq!(refused, KeyedError::NoPartition(PartitionKind::Unit(7)));
}

/// Wherever a state or a record is cut or altered, it is refused.
#[test]
fn damaged_bytes_are_refused() {
    let keyed = keyed(3);
    let (partition, step) = after(&keyed, "ann", 0..5);
    let record = released(&keyed, 17, "ann");
    let state = take(&keyed, step.state, &record).state.unwrap();
    let end = Timestamp(1_000 * SECOND_NS);
    let each = |bytes: &[u8], fails: &dyn Fn(&[u8]) -> bool| {
        for at in 0..bytes.len() {
            assert!(fails(&bytes[..at]), "cut at {at}");
            for bit in 0..8 {
                let mut altered = bytes.to_vec();
                altered[at] ^= 1 << bit;
                assert!(fails(&altered), "bit {bit} of {at}");
            }
        }
    };
    each(&state, &|state| keyed.step(partition, Some(state), Input::Advance, end).is_err());
    each(&record.bytes, &|record| keyed.step(partition, None, Input::Record(record), end).is_err());
}

#[test]
fn a_record_behind_what_was_judged_is_refused() {
    let keyed = keyed(3);
    let (partition, step) = after(&keyed, "ann", 0..30);
    let again = released(&keyed, 3, "ann");
    let refused = keyed.step(partition, step.state.as_deref(), Input::Record(&again.bytes), Timestamp(0)).unwrap_err();
    let (at, judged) = (Timestamp(3 * SECOND_NS), Timestamp(30 * SECOND_NS));
    assert_eq!(refused, KeyedError::Behind { partition, at, judged });
}

#[test]
fn two_states_that_were_judged_do_not_merge() {
    let keyed = keyed(3);
    let (partition, one) = after(&keyed, "ann", 0..3);
    let (_, other) = after(&keyed, "ann", 3..6);
    let refused = keyed.merge(partition, one.state.as_deref(), other.state.as_deref(), Timestamp(0)).unwrap_err();
    assert_eq!(refused, KeyedError::Judged(partition));
    let gathered = take(&keyed, None, &released(&keyed, 14, "ann")).state;
    let merged = keyed.merge(partition, one.state.as_deref(), gathered.as_deref(), Timestamp(0)).unwrap();
    assert_eq!(merged.timer, Some(Timestamp(20 * SECOND_NS)));
    let direct = take(&keyed, one.state, &released(&keyed, 14, "ann"));
    assert_eq!(merged.state, direct.state);
}

/// A group that holds nothing any more leaves nothing.
#[test]
fn a_key_that_falls_silent_leaves_no_bytes() {
    let keyed = keyed(3);
    let (partition, mut step) = after(&keyed, "ann", 0..20);
    let mut calls = 0;
    while let Some(timer) = step.timer {
        step = keyed.step(partition, step.state.as_deref(), Input::Advance, timer).unwrap();
        calls += 1;
        assert!(calls < 100, "it never ends");
    }
    assert_eq!(step.state, None);
}

/// The events of a window are what a state is made of; those of earlier windows go.
#[test]
fn a_state_is_bounded_by_its_window() {
    let keyed = keyed(1_000);
    let sizes = [60, 120, 600].map(|n| after(&keyed, "ann", 0..n).1.state.unwrap().len());
    let (mut step, mut largest) = (Step::default(), 0);
    for number in 0..600 {
        let record = released(&keyed, number, "ann");
        let partition = record.partition;
        step = take(&keyed, step.state, &record);
        let now = Timestamp((number + 1) * SECOND_NS);
        step = keyed.step(partition, step.state.as_deref(), Input::Advance, now).unwrap();
        largest = largest.max(step.state.as_ref().unwrap().len());
    }
    assert!(largest < 60 * 100, "{largest} bytes, after one advance {sizes:?}");
}

/// More events than a key may hold: counts stay exact, evidence names fewer and says so.
#[test]
fn evidence_says_what_a_key_could_not_hold() {
    let events = (KEYED_EVENTS_HELD_MAX + 3_000) as i64;
    let keyed = Keyed::new(Arc::clone(&rules(events)), EvalOptions::default());
    let keyed = Arc::new(keyed);
    let mut router = KeyedRouter::new(Arc::clone(&keyed));
    let (mut step, mut partition) = (Step::default(), None);
    for number in 0..events {
        let fields = vec![(FieldId::ACCOUNT, Slot::Text("ann".into()))];
        let mut event = completion(&format!("e{number:05}"), 0, fields);
        event.set(FieldId::TS, Slot::Num(number * 1_000_000));
        let record = router.route(&event, Origin::default()).unwrap();
        let kept = keyed.step(record.partition, None, Input::Record(&record.bytes), Timestamp(i64::MIN)).unwrap();
        let late = Timestamp(100 * SECOND_NS);
        let released = keyed.step(record.partition, kept.state.as_deref(), Input::Advance, late).unwrap();
        let record = &released.records[0];
        partition = Some(record.partition);
        step = take(&keyed, step.state, record);
        // As a host does: when it is due, and no earlier.
        let now = Timestamp(event.ts().0 / SECOND_NS * SECOND_NS);
        if step.timer.is_some_and(|timer| timer <= now) {
            step = keyed.step(record.partition, step.state.as_deref(), Input::Advance, now).unwrap();
        }
    }
    let end = Timestamp(60 * SECOND_NS);
    let step = keyed.step(partition.unwrap(), step.state.as_deref(), Input::Advance, end).unwrap();
    let [found] = &step.violations[..] else { panic!("{:?}", step.violations) };
    let evidence = &found.evidence;
    assert_eq!(evidence.count, events as u64);
    assert!(!evidence.complete);
    assert!((3_000..3_000 + 1_024).contains(&evidence.forgotten), "{}", evidence.forgotten);
}

/// What is shared among threads, and what may be moved to one.
#[test]
fn steps_may_run_on_any_thread() {
    fn shared<T: Send + Sync>() {}
    fn moved<T: Send>() {}
    shared::<Keyed>();
    moved::<KeyedRouter>();
    moved::<Shards>();
    moved::<Stepper>();
}

/// Pieces of different moments, or too few of them, are no state.
#[test]
fn pieces_of_shards_belong_together() {
    let keyed = keyed(3);
    let mut shards = Shards::new(Arc::clone(&keyed), 2);
    let early = shards.snapshot().unwrap();
    (0..1_000).step_by(10).for_each(|n| {
        shards.observe(&event(n, "ann"), Origin::default());
    });
    let late = shards.snapshot().unwrap();
    assert!(Shards::restore(Arc::clone(&keyed), &late).is_ok());
    let refused = |pieces: &[Vec<u8>]| Shards::restore(Arc::clone(&keyed), pieces).unwrap_err();
    assert_eq!(refused(&[]), "the saved state has no pieces");
    let apart = "the pieces of the saved state are not of one moment";
    assert_eq!(refused(&late[..1]), apart);
    assert_eq!(refused(&[late[0].clone(), late[1].clone(), early[2].clone()]), apart);
}

/// What two machines took in of the same ids: a copy counts once, of conflicting records the one with the smallest content
/// hash stays, as if all had come to one.
#[test]
fn merged_ids_decide_copies_and_conflicts() {
    let keyed = keyed(3);
    let start = Timestamp(i64::MIN);
    let said = |number: i64, line: u64, status: i64| {
        let mut event = event(number, "ann");
        event.set(FieldId::STATUS, Slot::Num(status));
        let record = KeyedRouter::new(Arc::clone(&keyed)).route(&sealed(event), Origin { input: 0, line }).unwrap();
        Record { partition: record.partition.coarse(0), ..record }
    };
    let gathered = |records: &[&Record]| {
        let mut state = None;
        for record in records {
            let input = Input::Record(&record.bytes);
            state = keyed.step(record.partition, state.as_deref(), input, start).unwrap().state;
        }
        state
    };
    let (one, copy, other) = (said(1, 1, 200), said(1, 2, 200), said(2, 3, 200));
    let conflicts = [said(3, 4, 200), said(3, 5, 429)];
    for [left, right] in [[0, 1], [1, 0]] {
        let a = gathered(&[&one, &conflicts[left]]);
        let b = gathered(&[&conflicts[right], &copy, &other]);
        let merged = keyed.merge(one.partition, a.as_deref(), b.as_deref(), start).unwrap();
        assert_eq!(merged, keyed.merge(one.partition, b.as_deref(), a.as_deref(), start).unwrap());
        assert_eq!(merged.duplicates, 1);
        let together = gathered(&[&one, &other, &conflicts[left], &conflicts[right], &copy]);
        let end = Timestamp(10 * SECOND_NS);
        let released = |state: &Option<Vec<u8>>| {
            let step = keyed.step(one.partition, state.as_deref(), Input::Advance, end).unwrap();
            assert_eq!(step.state, None);
            step.records
        };
        assert_eq!(released(&merged.state), released(&together));
        let [refused] = &merged.refused[..] else { panic!("{:?}", merged.refused) };
        let direct =
            keyed.step(one.partition, gathered(&[&conflicts[0]]).as_deref(), Input::Record(&conflicts[1].bytes), start);
        // The same record goes as where one machine had seen both.
        let goes = if direct.unwrap().refused.is_empty() { 5 } else { 4 };
        assert_eq!((refused.id.as_str(), refused.origin.line), ("e00003", goes));
    }
}

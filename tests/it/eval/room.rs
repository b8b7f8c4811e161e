//! Room for groups: what goes where there is none, that it depends on the events alone, and that it is told.

use std::sync::Arc;

use fineprint::eval::keyed::{Keyed, Shards};
use fineprint::eval::{EvalOptions, Evaluator, Origin, STATE_SHARDS};
use fineprint::event::decode::decode;
use fineprint::plan::{ReferenceData, RuleSet};
use fineprint::reference::TableData;
use fineprint::source::SourceMap;
use fineprint::time::{SECOND_NS, Timestamp};
use fineprint::violation::{Scalar, Status, Violation};

const RULES: &str = "policy example.terms version 2026-01-01 {\n  clause limits \"Limits may not be evaded.\"\n}\n\
    rule many-calls { enforces example.terms.limits on completion per account over 24h every 1h\n\
      let calls = count() when calls >= 25 because \"x\" }\n\
    rule many-models { enforces example.terms.limits on completion per account, country over 24h every 1h\n\
      let models = distinct(model) let calls = count() when models >= 3 and calls >= 3 because \"x\" }\n";

fn rules() -> Arc<RuleSet> {
    let mut sources = SourceMap::default();
    sources.add("rules.tos", RULES);
    let program = fineprint::compile::compile(&sources).program;
    assert_eq!(program.rules.len(), 2);
    let columns = program.tables[0].columns.iter().map(|(n, ty)| (n.as_str().into(), ty.clone())).collect();
    let tables = vec![Arc::new(TableData::empty(columns))];
    Arc::new(RuleSet::new(program, ReferenceData { tables, ..ReferenceData::default() }).unwrap())
}

#[derive(Debug, Clone)]
struct Call {
    ts: i64,
    line: String,
}

const START: i64 = 1_767_322_800 * SECOND_NS;

/// `accounts` accounts that call once, over ten hours; every 400th call is of a campaign's one account, every 1,000th of a
/// few that come back with another model each time.
fn calls(accounts: u32) -> Vec<Call> {
    let call = |i: u32| {
        let ts = START + i64::from(i) * (36_000 * SECOND_NS / i64::from(accounts));
        let (account, model) = match i {
            i if i % 400 == 399 => ("campaign".to_string(), 0),
            i if i % 1_000 == 0 => (format!("again{}", i / 1_000 % 3), i / 1_000 % 7),
            _ => (format!("once{i}"), 0),
        };
        let line = format!(
            r#"{{"type":"completion","id":"e{i:07}","ts":"{}","account":"{account}","country":"DE","model":"m{model}"}}"#,
            Timestamp(ts)
        );
        Call { ts, line }
    };
    (0..accounts).map(call).collect()
}

struct Ran {
    found: Vec<Violation>,
    lost: Vec<(String, u64, u64)>,
    /// The most that was ever accounted.
    most: u64,
}

fn run(calls: &[Call], state_bytes: u64, restart: impl Fn(usize) -> bool) -> Ran {
    let rules = rules();
    let options = EvalOptions { state_bytes, ..EvalOptions::default() };
    let mut evaluator = Evaluator::new(Arc::clone(&rules), options.clone());
    let (mut found, mut most) = (std::collections::BTreeMap::new(), 0);
    for (i, call) in calls.iter().enumerate() {
        evaluator.observe(&decode(call.line.as_bytes()).unwrap(), Origin::default());
        most = most.max(evaluator.state_bytes());
        if restart(i) {
            found.extend(evaluator.take_violations().into_iter().map(|v| (v.id.clone(), v)));
            let snapshot = evaluator.snapshot().unwrap();
            evaluator = Evaluator::restore(Arc::clone(&rules), options.clone(), &snapshot).unwrap();
        }
    }
    evaluator.advance(Timestamp(START + 90_000 * SECOND_NS));
    found.extend(evaluator.take_violations().into_iter().map(|v| (v.id.clone(), v)));
    Ran { found: found.into_values().collect(), lost: evaluator.groups_lost(), most }
}

fn calls_of(v: &Violation) -> Option<i64> {
    v.values.iter().find(|o| o.name == "calls").and_then(|o| match o.last {
        Some(Scalar::Num(n)) => Some(n),
        _ => None,
    })
}

/// One account among forty thousand that come and go is found, in room for a few thousand.
#[test]
fn a_campaign_is_found_in_a_flood() {
    let calls = calls(40_000);
    let room = 6 << 20;
    let (free, tight) = (run(&calls, u64::MAX, |_| false), run(&calls, room, |_| false));
    assert!(free.lost.is_empty());
    assert!(free.most > 3 * room, "the flood fits into {room} bytes: {}", free.most);
    // An event may take a shard over its part before room is made.
    assert!(tight.most <= room + room / 100, "{} bytes of {room}", tight.most);
    let lost: Vec<(&str, bool)> = tight.lost.iter().map(|(rule, n, events)| (rule.as_str(), n <= events)).collect();
    assert_eq!(lost, [("many-calls", true), ("many-models", true)]);
    assert!(tight.lost.iter().all(|(_, groups, _)| *groups > 20_000), "{:?}", tight.lost);
    let of = |ran: &Ran| -> Vec<(String, Vec<String>, Option<i64>)> {
        let campaign = ran.found.iter().filter(|v| v.rule == "many-calls");
        campaign.map(|v| (v.id.clone(), v.accounts.clone(), calls_of(v))).collect()
    };
    assert_eq!(of(&free), of(&tight));
    assert_eq!(of(&free).len(), 1);
}

/// What goes is a function of the events: order within the lateness, copies and restarts do not show.
#[test]
fn what_goes_depends_on_the_events_alone() {
    let mut calls = calls(12_000);
    let room = 1 << 20;
    let expected = run(&calls, room, |_| false);
    assert!(expected.lost.iter().all(|(_, groups, _)| *groups > 1_000), "{:?}", expected.lost);
    assert!(!expected.found.is_empty());
    for seed in 1..4i64 {
        let delay = |call: &Call| (call.ts / SECOND_NS).wrapping_mul(seed * 7_919).rem_euclid(299) * SECOND_NS;
        calls.sort_by_key(|call| call.ts + delay(call));
        let mut twice = calls.clone();
        twice.insert(100, twice[90].clone());
        let actual = run(&twice, room, |i| i as i64 * seed % 1_709 == 3);
        assert_eq!(actual.found, expected.found);
        assert_eq!(actual.lost, expected.lost);
    }
}

/// The parts of the key space lie in one shard each, whatever the number of shards.
#[test]
fn what_goes_does_not_depend_on_the_number_of_shards() {
    let calls = calls(6_000);
    let room = 1 << 19;
    let expected = run(&calls, room, |_| false);
    assert!(expected.lost.iter().all(|(_, groups, _)| *groups > 500), "{:?}", expected.lost);
    for n in [1, 2, 7] {
        let options = EvalOptions { state_bytes: room, ..EvalOptions::default() };
        let mut shards = Shards::new(Arc::new(Keyed::new(rules(), options)), n);
        for call in &calls {
            shards.observe(&decode(call.line.as_bytes()).unwrap(), Origin::default());
        }
        shards.advance(Timestamp(START + 90_000 * SECOND_NS));
        let found: std::collections::BTreeMap<_, _> =
            shards.take_violations().into_iter().map(|v| (v.id.clone(), v)).collect();
        assert_eq!(found.into_values().collect::<Vec<_>>(), expected.found, "{n} shards");
    }
}

/// A group that begins anew after others went tells so, as long as its window reaches back; its violation is less than it
/// would have been, and never more.
#[test]
fn a_loss_stands_in_the_evidence_that_it_may_have_touched() {
    let mut calls = calls(12_000);
    // An account whose calls are few and far between, so that it is among the least promising each time.
    for (i, call) in calls.iter_mut().enumerate().skip(100).step_by(900) {
        call.line = call.line.replace("\"account\":\"once", "\"account\":\"slow").replace(&format!("slow{i}"), "slow");
        call.line = call.line.replace("m0", &format!("m{i}"));
    }
    let (free, tight) = (run(&calls, u64::MAX, |_| false), run(&calls, 1 << 20, |_| false));
    assert!(free.found.iter().all(|v| v.evidence.state_cut_at.is_none()));
    for v in &tight.found {
        let same = free.found.iter().find(|f| (&f.rule, &f.group) == (&v.rule, &v.group));
        let same = same.unwrap_or_else(|| panic!("{} is found in want of room alone", v.because));
        let full = calls_of(v) == calls_of(same);
        assert!(calls_of(v) <= calls_of(same));
        assert!(full || v.evidence.state_cut_at.is_some(), "{v:?}");
        assert_ne!(v.status, Status::Exempted);
    }
    let missed = free.found.iter().filter(|f| !tight.found.iter().any(|v| (&f.rule, &f.group) == (&v.rule, &v.group)));
    assert!(missed.count() + tight.found.iter().filter(|v| v.evidence.state_cut_at.is_some()).count() > 0);
}

/// A busy group of few values takes little room: it drives nobody out of its part of the key space, however many events it has.
#[test]
fn a_busy_group_of_few_values_leaves_room_for_others() {
    let busy = |i: u32| {
        let ts = START + i64::from(i) * SECOND_NS;
        let (account, model) = if i % 10 == 9 { (format!("once{i}"), 0) } else { ("busy".to_string(), i % 3) };
        let line = format!(
            r#"{{"type":"completion","id":"e{i:07}","ts":"{}","account":"{account}","country":"DE","model":"m{model}"}}"#,
            Timestamp(ts)
        );
        Call { ts, line }
    };
    let calls: Vec<Call> = (0..20_000).map(busy).collect();
    // A part of 32 KiB. The busy group has 18,000 events of three models in one day; 40 bytes each would be 720,000.
    let room = STATE_SHARDS as u64 * (32 << 10);
    let ran = run(&calls, room, |_| false);
    assert!(ran.lost.is_empty(), "{:?}", ran.lost);
    assert!(ran.most < room / 2, "{} bytes of {room}", ran.most);
    let calls = |v: &Violation| v.values.iter().find(|o| o.name == "calls").map(|o| o.peak.clone());
    let most: Vec<_> = ran.found.iter().map(calls).collect();
    assert_eq!(most, vec![Some(Some(Scalar::Num(18_000))); 2]);
}

/// Room for nothing is room for one group of each shard.
#[test]
fn without_room_one_group_of_a_shard_stays() {
    let ran = run(&calls(3_000), 0, |_| false);
    assert!(ran.most <= 2 * 700 * STATE_SHARDS as u64, "{}", ran.most);
    assert!(ran.lost.iter().any(|(_, groups, _)| *groups > 2_000), "{:?}", ran.lost);
}

use super::{Adaptation, Plan, Simulation, Truth, benign, campaigns};
use crate::event::decode::Decoder;
use crate::time::Timestamp;

fn plan(seed: u64, days: i64) -> Plan {
    Plan {
        benign: benign().iter().collect(),
        campaigns: campaigns().iter().collect(),
        background: 40,
        adaptation: Adaptation { accounts: Some(3), ..Adaptation::default() },
        days,
        start: Timestamp::parse_date("2026-06-01").unwrap(),
        seed,
    }
}

fn lines(plan: &Plan) -> Vec<String> {
    Simulation::new(plan).events().map(|e| e.line).collect()
}

#[test]
fn the_same_plan_gives_the_same_lines_and_another_seed_gives_others() {
    let (first, again, other) = (lines(&plan(1, 1)), lines(&plan(1, 1)), lines(&plan(2, 1)));
    assert!(first == again);
    assert!(first.len() > 2_000 && first.iter().zip(&other).all(|(a, b)| a != b));
}

#[test]
fn events_are_whole_sorted_and_within_the_days() {
    let plan = plan(3, 2);
    let simulation = Simulation::new(&plan);
    let mut decoder = Decoder::new();
    let mut ids = std::collections::BTreeSet::new();
    let mut last = i64::MIN;
    for event in simulation.events() {
        decoder.decode(event.line.as_bytes()).unwrap_or_else(|e| panic!("{e}: {}", event.line));
        assert!(event.line.starts_with(&format!("{{\"id\":\"{}\",\"ts\":\"2026-06-0", event.id)));
        assert!(event.at_ms >= last && ids.insert(event.id.clone()), "{}", event.line);
        last = event.at_ms;
    }
}

#[test]
fn what_one_workload_does_hangs_on_no_other() {
    let all = plan(5, 1);
    let alone = Plan { benign: vec![&benign()[4]], campaigns: Vec::new(), background: 0, ..all.clone() };
    let without_id = |line: &str| line[line.find("\"ts\"").unwrap()..].to_string();
    let all: std::collections::BTreeSet<String> = lines(&all).iter().map(|l| without_id(l)).collect();
    let alone = lines(&alone);
    assert!(alone.len() > 100 && alone.iter().all(|line| all.contains(&without_id(line))));
}

#[test]
fn the_truth_knows_every_event_and_account() {
    let plan = plan(7, 1);
    let simulation = Simulation::new(&plan);
    let mut truth = Truth::new(&simulation);
    let told: Vec<String> = simulation.events().filter_map(|e| truth.count(&e)).collect();
    assert!(told.iter().all(|row| row.split(',').count() == Truth::EVENTS.split(',').count()));
    let events: u64 = truth.families().iter().map(|(.., events)| events).sum();
    assert_eq!(events, truth.n_events());
    let written = truth.campaigns(&plan).unwrap();
    for campaign in campaigns() {
        assert!(written.contains(&format!("\"family\": \"{}\"", campaign.name)), "{}", campaign.name);
        assert!(told.iter().any(|row| row.contains(&format!(",{},attack", campaign.name))), "{}", campaign.name);
    }
}

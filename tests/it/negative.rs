//! The false-positive suite: each class of honest work that looks like a campaign is simulated and run through all shipped
//! rules, whatever their mode; none may accuse it. What is exempted by a contract is no accusation, and neither is a signal.
//!
//! `tests/data/negative/known.txt` holds what is accused all the same, and a line there that is no longer needed fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use fineprint::eval::{EvalOptions, Evaluator, Origin};
use fineprint::event::decode::Decoder;
use fineprint::hir::{Program, Severity};
use fineprint::pack::{self, PackOptions};
use fineprint::plan::RuleSet;
use fineprint::simulate::{Adaptation, Plan, Simulation, Truth, Workload, benign, campaigns};
use fineprint::template::FingerprintKey;
use fineprint::time::Timestamp;
use fineprint::violation::{Status, Violation};

use crate::golden;

const DAYS: i64 = 8;

fn plan() -> Plan {
    Plan {
        benign: Vec::new(),
        campaigns: Vec::new(),
        background: 0,
        adaptation: Adaptation::default(),
        days: DAYS,
        start: Timestamp::parse_date("2026-06-01").unwrap(),
        seed: 1,
    }
}

fn named(name: &str, all: &'static [Workload]) -> &'static Workload {
    all.iter().find(|w| w.name == name).unwrap()
}

/// The shipped rules over a simulation, with its registry and lists or with empty ones.
fn rules(simulation: &Simulation, with_contracts: bool) -> (Program, Arc<RuleSet>) {
    let folder = tempfile::tempdir().unwrap();
    let registry: Vec<String> = simulation.registry().map(Result::unwrap).collect();
    std::fs::write(folder.path().join("accounts.jsonl"), registry.join("\n")).unwrap();
    for (name, text) in simulation.lists() {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let accounts = folder.path().join("accounts.jsonl");
    let read = |accounts: Option<&Path>, lists: Option<&Path>| {
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        let options =
            PackOptions { rules: &rules, lists, accounts, as_of: None, fingerprint_key: FingerprintKey::PUBLIC };
        pack::load(&options).unwrap().rules.unwrap()
    };
    let set = match with_contracts {
        true => read(Some(&accounts), Some(folder.path())),
        false => read(None, None),
    };
    (set.program().clone(), set)
}

struct Run {
    violations: Vec<Violation>,
    n_events: u64,
}

fn run(simulation: &Simulation, rules: Arc<RuleSet>) -> Run {
    let mut evaluator = Evaluator::new(rules, EvalOptions::default());
    let mut decoder = Decoder::new();
    let mut n_events = 0;
    for event in simulation.events() {
        evaluator.observe(&decoder.decode(event.line.as_bytes()).unwrap(), Origin::default());
        n_events += 1;
    }
    evaluator.finish();
    Run { violations: evaluator.take_violations(), n_events }
}

fn accuses(v: &Violation) -> bool {
    !matches!(v.status, Status::Exempted | Status::Merged) && v.severity != Severity::Info
}

/// Lines of `known.txt`: class, rule, and behind them why.
fn known(class: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(golden::data("negative/known.txt")).unwrap();
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    let words = lines.filter_map(|l| Some((l.split_whitespace().next()?, l.split_whitespace().nth(1)?)));
    words.filter(|(c, _)| *c == class).map(|(_, rule)| rule.to_string()).collect()
}

/// Runs a class: nothing accuses it but what is known, all that is known accuses it, and these rules exempt it.
fn clear(class: &str, exempting: &[&str]) {
    let simulation = Simulation::new(&Plan { benign: vec![named(class, benign())], ..plan() });
    let run = run(&simulation, rules(&simulation, true).1);
    assert!((2_000..=6_500).contains(&run.n_events), "{class}: {} events", run.n_events);
    let mut accused: BTreeMap<&str, String> = BTreeMap::new();
    for v in run.violations.iter().filter(|v| accuses(v)) {
        accused.entry(&v.rule).or_insert_with(|| format!("{} ({} accounts)", v.because, v.accounts.len()));
    }
    let known = known(class);
    let unexpected: Vec<_> = accused.iter().filter(|(rule, _)| !known.contains(**rule)).collect();
    assert!(unexpected.is_empty(), "{class} is accused: {unexpected:#?}");
    let gone: Vec<_> = known.iter().filter(|rule| !accused.contains_key(rule.as_str())).collect();
    assert!(gone.is_empty(), "{class} is no longer accused by {gone:?}: take it out of tests/data/negative/known.txt");
    let exempted: BTreeSet<&str> =
        run.violations.iter().filter(|v| v.status == Status::Exempted).map(|v| v.rule.as_str()).collect();
    for rule in exempting {
        assert!(exempted.contains(rule), "{class}: {rule} exempts nothing, only {exempted:?}");
    }
}

macro_rules! cleared {
    ($($behaviour:ident: $class:literal $(, exempted by $($rule:literal)*)?;)*) => {
        $(#[test]
        fn $behaviour() {
            clear($class, &[$($($rule),*)?]);
        })*

        #[test]
        fn every_class_has_its_test() {
            let tested = [$($class),*];
            let all: Vec<&str> = benign().iter().map(|w| w.name).collect();
            assert_eq!(tested.as_slice(), all.as_slice());
        }
    };
}

cleared! {
    evaluation_by_night_is_not_accused: "F1", exempted by "token-odds-swept";
    a_licensed_producer_of_data_is_exempted: "F2", exempted by "training-tasks-written";
    batches_by_night_are_not_accused: "F3";
    retrieval_with_a_default_prompt_is_not_accused: "F4";
    integration_runners_with_one_key_are_not_accused: "F5";
    the_gateway_of_an_enterprise_is_not_accused: "F6", exempted by "key-passed-around";
    a_router_that_falls_back_is_not_accused: "F7";
    a_drift_monitor_is_not_accused: "F8";
    the_rush_to_a_new_model_is_not_accused: "F9";
    reasoning_kept_for_audits_is_exempted: "F10", exempted by "reasoning-drawn-out";
    public_prompt_templates_are_not_accused: "F11";
    a_class_that_signs_up_together_is_not_accused: "F12";
    a_translation_vendor_is_not_accused: "F13";
    a_red_team_with_leave_is_exempted: "F14", exempted by "jailbreaks-again-and-again";
    a_storm_of_retries_is_not_accused: "F15";
    corporate_cards_are_not_accused: "F16";
    carriers_and_vpns_are_not_accused: "F17";
    people_under_way_are_not_accused: "F18";
    bots_of_customer_service_are_not_accused: "F19";
}

/// The contract is what clears them: without registry and lists the same work is accused.
#[test]
fn without_their_contracts_the_exempted_are_accused() {
    for (class, rule) in
        [("F2", "training-tasks-written"), ("F10", "reasoning-drawn-out"), ("F14", "jailbreaks-again-and-again")]
    {
        let simulation = Simulation::new(&Plan { benign: vec![named(class, benign())], days: 3, ..plan() });
        let run = run(&simulation, rules(&simulation, false).1);
        assert!(run.violations.iter().any(|v| v.rule == rule && accuses(v)), "{class}");
    }
}

#[test]
fn known_accusations_are_of_classes_and_shipped_rules() {
    let simulation = Simulation::new(&plan());
    let shipped: BTreeSet<String> = rules(&simulation, false).0.rules.into_iter().map(|r| r.name).collect();
    let text = std::fs::read_to_string(golden::data("negative/known.txt")).unwrap();
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(words.len() > 2, "say why: {line}");
        assert!(benign().iter().any(|w| w.name == words[0]) && shipped.contains(words[1]), "{line}");
    }
}

/// Only the rules that enforce a clause of the given provider, and nothing else.
fn only(program: &Program, set: &RuleSet, provider: &str) -> Arc<RuleSet> {
    let mut program = program.clone();
    program.rules.retain(|rule| rule.enforces.iter().all(|clause| clause.policy.starts_with(provider)));
    Arc::new(RuleSet::new(program, set.data().clone()).unwrap())
}

/// The same stream is accused of distillation under all terms and of nothing under terms that permit it.
#[test]
fn terms_that_permit_distillation_accuse_nobody_of_it() {
    let kinds = ["self-instruct", "answer-harvest", "reasoning", "shared-key"];
    let plan = Plan {
        benign: vec![named("F2", benign())],
        campaigns: kinds.map(|name| named(name, campaigns())).to_vec(),
        adaptation: Adaptation { accounts: Some(3), ..Adaptation::default() },
        days: 3,
        ..plan()
    };
    let simulation = Simulation::new(&plan);
    let (program, set) = rules(&simulation, true);
    let distillation: BTreeSet<&str> = {
        let about = |p: &str| p.contains("distillation") || p.contains("competing-models") || p.contains("extraction");
        let rules = program.rules.iter().filter(|r| r.enforces.iter().any(|c| about(&c.clause)));
        rules.map(|r| r.name.as_str()).collect()
    };
    let under_deepseek = run(&simulation, only(&program, &set, "deepseek."));
    let under_all = run(&simulation, set.clone());
    let accused = |run: &Run| -> BTreeSet<String> {
        run.violations.iter().filter(|v| accuses(v)).map(|v| v.rule.clone()).collect()
    };
    let (all, deepseek) = (accused(&under_all), accused(&under_deepseek));
    assert!(all.iter().any(|rule| distillation.contains(rule.as_str())), "{all:?}");
    // The pack is alive: it forbids other things.
    assert!(deepseek.contains("key-passed-around-deepseek"), "{deepseek:?}");
    assert!(deepseek.iter().all(|rule| rule.contains("key")), "{deepseek:?}");
    for v in &under_deepseek.violations {
        assert!(v.clauses.iter().all(|c| c.policy.starts_with("deepseek.") && c.clause != "distillation"), "{v:?}");
    }
}

/// Which rules name how many accounts of each kind of campaign. The rules were not written for these campaigns: the table
/// is for people who change rules, and shows what a change finds or loses.
#[test]
fn what_each_campaign_is_found_by() {
    let mut told = String::from("# campaign: accounts that acted; for each rule, how many of them it names\n");
    for kind in campaigns() {
        let accounts = kind.accounts.min(24);
        let adaptation = Adaptation { accounts: Some(accounts), ..Adaptation::default() };
        let days = if kind.accounts > 12 { 8 } else { 2 };
        let plan = Plan { campaigns: vec![kind], adaptation, days, ..plan() };
        let simulation = Simulation::new(&plan);
        let mut truth = Truth::new(&simulation);
        simulation.events().for_each(|event| {
            truth.count(&event);
        });
        let (program, set) = rules(&simulation, true);
        // The same definition bound to another provider's clause says nothing new.
        let definitions = program.rules.iter().filter(|r| r.span == r.definition);
        let definitions: BTreeSet<&str> = definitions.map(|r| r.name.as_str()).collect();
        let run = run(&simulation, set);
        let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for v in run.violations.iter().filter(|v| accuses(v) && definitions.contains(v.rule.as_str())) {
            named.entry(&v.rule).or_default().extend(v.accounts.iter().map(String::as_str));
        }
        told.push_str(&format!("{}: {}\n", kind.name, truth.accounts().count()));
        for (rule, accounts) in named {
            told.push_str(&format!("  {} {rule}\n", accounts.len()));
        }
    }
    golden::check(&golden::data("negative/campaigns.txt"), &told);
}
